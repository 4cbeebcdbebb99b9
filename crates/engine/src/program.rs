//! A kernel, compiled: what a launch needs to know of it and what the interpreter runs.

use std::sync::Arc;

use tessera_ptx::{FuncId, Module, VarId};

use crate::error::CompileError;

/// Where the symbols of a module lie.
pub trait Symbols {
    /// Device address of a `.global` or `.const` variable; `None` when it is not defined.
    fn variable(&self, id: VarId) -> Option<u64>;

    /// Code handle of a function or kernel: what `mov.u64 %rd, function` gives. Any distinct non-zero numbers do.
    fn function(&self, id: FuncId) -> Option<u64>;
}

/// What a kernel takes and uses: `cuFuncGetAttribute`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources {
    /// 32-bit registers per thread, as a GPU would allocate them (an estimate: the peak of live registers).
    pub registers: u32,
    /// Static shared memory in bytes.
    pub static_shared: u32,
    /// Local memory per thread in bytes.
    pub local: u32,
    /// Bytes of the parameter block.
    pub param_bytes: u32,
    /// Offset, size and alignment of each parameter in the parameter block, in bytes.
    pub params: Vec<Param>,
    /// Most threads that a block may have: 1024 or what `.maxntid` and `.reqntid` say.
    pub max_threads: u32,
    /// `.reqntid`, when there is one: the block must have exactly this shape.
    pub required_block: Option<[u32; 3]>,
}

/// One parameter of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Offset in the parameter block.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Alignment in bytes.
    pub align: u32,
}

/// A compiled kernel. Immutable and shared by all launches; made by [`compile`].
#[derive(Debug)]
pub struct Program {
    name: Arc<str>,
    resources: Resources,
}

impl Program {
    /// Name of the kernel.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What it takes and uses.
    #[must_use]
    pub const fn resources(&self) -> &Resources {
        &self.resources
    }
}

/// Compiles one kernel of a linked module.
///
/// # Errors
/// [`CompileError`]: names what is not executed, with its line.
pub fn compile(module: &Module, entry: FuncId, symbols: &dyn Symbols) -> Result<Program, CompileError> {
    let _ = symbols;
    let name = module
        .funcs
        .get(entry)
        .map(|f| f.name.to_string())
        .unwrap_or_default();
    Err(CompileError::NotAnEntry(name))
}
