//! A kernel, compiled: what a launch needs to know of it and what the interpreter runs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tessera_ptx::{FuncId, FuncKind, Module, VarId};

use crate::cache::CodeCache;
use crate::decode::{Analysed, Key, Variant};
use crate::error::CompileError;
use crate::lower::lower;
use crate::{MAX_CLUSTER, MAX_THREADS};

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
    /// 32-bit registers per thread, as a GPU would allocate them (an estimate: the peak of live registers, or what the kernel allows).
    pub registers: u32,
    /// Static shared memory in bytes.
    pub static_shared: u32,
    /// Local memory per thread in bytes, without the stack.
    pub local: u32,
    /// `.reqnctapercluster`, when there is one.
    pub required_cluster: Option<[u32; 3]>,
    /// `.explicitcluster`: the launch has to say how large clusters are.
    pub explicit_cluster: bool,
    /// Most blocks of a cluster: 16, or what `.maxclusterrank` says.
    pub max_cluster: u32,
    /// It takes a stack as well: it recurses or uses `alloca`.
    pub stack: bool,
    /// It calls `vprintf`.
    pub prints: bool,
    /// It calls `malloc` or `free`.
    pub allocates: bool,
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
    pub(crate) analysed: Analysed,
    variants: Mutex<HashMap<Key, Arc<Variant>>>,
    /// A block of this kernel had to leave the fast decoding: later ones start in the other one.
    pub(crate) contended: AtomicBool,
    pub(crate) heat: Heat,
    pub(crate) cache: Arc<CodeCache>,
    /// Somebody compiles it for a launch that runs; others do not wait for that.
    pub(crate) compiling: AtomicBool,
}

/// How much of a kernel has been executed, as far as it matters for whether it is worth machine code.
#[derive(Debug, Default)]
pub(crate) struct Heat(AtomicU64);

impl Heat {
    /// Operations of the interpreter, about half a millisecond, after which a kernel is hot.
    pub(crate) const HOT: u64 = 32_768;

    /// Counts operations.
    pub(crate) fn add(&self, operations: u64) {
        // Later on nobody wants the number, and the executors do not have to share it.
        if !self.hot() {
            self.0.fetch_add(operations.max(1), Ordering::Relaxed);
        }
    }

    pub(crate) fn hot(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::HOT
    }
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

    /// Whether launches so far have executed it for so long that further ones are worth machine code.
    #[must_use]
    pub fn is_hot(&self) -> bool {
        self.heat.hot()
    }

    /// The decodings for a geometry, made on first use.
    pub(crate) fn variant(&self, key: Key) -> Arc<Variant> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut variants = self.variants.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            Arc::new(Variant::new(
                &self.analysed,
                key,
                NEXT.fetch_add(1, Ordering::Relaxed),
            ))
        };
        Arc::clone(variants.entry(key).or_insert_with(make))
    }
}

/// Compiles one kernel of a linked module, with a cache of its own.
///
/// # Errors
/// [`CompileError`]: names what is not executed, with its line.
pub fn compile(module: &Module, entry: FuncId, symbols: &dyn Symbols) -> Result<Program, CompileError> {
    compile_with(module, entry, symbols, &Arc::default())
}

/// Compiles one kernel of a linked module; its machine code is shared through `cache`.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(
    module: &Module,
    entry: FuncId,
    symbols: &dyn Symbols,
    cache: &Arc<CodeCache>,
) -> Result<Program, CompileError> {
    let func = module
        .funcs
        .get(entry)
        .ok_or_else(|| CompileError::NotAnEntry(format!("{entry:?}")))?;
    if func.kind != FuncKind::Entry || !func.defined {
        return Err(CompileError::NotAnEntry(func.name.to_string()));
    }
    if func.tuning.blocks_are_clusters {
        return Err(CompileError::Unsupported {
            function: func.name.to_string(),
            text: ".blocksareclusters".to_owned(),
            line: func.loc.line,
            why: "grids counted in clusters".to_owned(),
        });
    }
    let kernel = lower(module, entry, symbols)?;
    let params = func
        .params
        .iter()
        .map(|p| Param {
            offset: p.offset,
            size: p.size,
            align: p.align,
        })
        .collect();
    let product = |d: [u32; 3]| d.iter().fold(1u32, |a, b| a.saturating_mul((*b).max(1)));
    let limits = [func.tuning.max_ntid, func.tuning.req_ntid];
    let max_threads = limits
        .into_iter()
        .flatten()
        .map(product)
        .fold(MAX_THREADS, u32::min);
    let (static_shared, local) = (kernel.static_shared, kernel.local_bytes.next_multiple_of(16));
    let (stack, prints, allocates) = (kernel.stack, kernel.prints, kernel.allocates);
    let analysed = Analysed::new(kernel);
    let resources = Resources {
        registers: func
            .tuning
            .max_regs
            .map_or(analysed.registers(), |most| analysed.registers().min(most)),
        static_shared,
        local,
        stack,
        prints,
        allocates,
        required_cluster: func.tuning.req_cta_per_cluster,
        explicit_cluster: func.tuning.explicit_cluster,
        max_cluster: func
            .tuning
            .max_cluster_rank
            .map_or(MAX_CLUSTER, |n| n.clamp(1, MAX_CLUSTER)),
        param_bytes: func.param_bytes,
        params,
        max_threads,
        required_block: func.tuning.req_ntid,
    };
    Ok(Program {
        name: Arc::from(&*func.name),
        resources,
        analysed,
        variants: Mutex::default(),
        contended: AtomicBool::new(false),
        heat: Heat::default(),
        cache: Arc::clone(cache),
        compiling: AtomicBool::new(false),
    })
}
