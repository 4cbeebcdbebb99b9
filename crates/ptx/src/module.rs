//! The IR of a module: what is known without looking into function bodies.
//!
//! A [`Module`] owns its text. Bodies are parsed and verified when [`Module::body`] first asks for them and are then
//! kept; that is thread-safe, so an executor can translate a kernel while another thread looks at a second one.
//!
//! ```text
//!  text ──parse_module──▶ Module { vars, funcs, units: [text + names] }
//!                            │ link(modules) ─▶ Module with several units, names resolved across them
//!                            └ body(FuncId) ──▶ Body { regs, vars, blocks, insts }   (cached)
//! ```

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

use crate::body::Body;
use crate::error::{Error, Loc};
use crate::id::{FuncId, IdVec, UnitId, VarId};
use crate::modifier::Space;
use crate::types::Type;

/// The architecture in `.target sm_90a, debug`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// 80 for `sm_80`.
    pub sm: u32,
    /// `sm_90a`, `sm_100f` or neither.
    pub variant: Variant,
    /// `debug`: the text carries DWARF.
    pub debug: bool,
    /// `texmode_independent`: textures and samplers are separate.
    pub texmode_independent: bool,
    /// `map_f64_to_f32`.
    pub map_f64_to_f32: bool,
}

/// What follows the number of an architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Variant {
    /// `sm_90`: runs on this and every later architecture.
    #[default]
    Portable,
    /// `sm_90a`: runs on exactly this architecture.
    Specific,
    /// `sm_100f`: runs on the later members of the same family.
    Family,
}

/// Who sees a symbol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Linkage {
    /// No directive: private to its text.
    #[default]
    Static,
    /// `.visible`: defined here, seen by other modules and by the host.
    Visible,
    /// `.extern`: defined elsewhere.
    Extern,
    /// `.weak`: like visible, but gives way to another definition.
    Weak,
    /// `.common`: like weak, the largest wins.
    Common,
}

/// Something that a name at module scope, or a declaration inside a body, stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// A variable at module scope.
    Var(VarId),
    /// A function.
    Func(FuncId),
    /// A variable declared in the body.
    Local(crate::id::LocalId),
    /// The n-th parameter of the function whose body this is.
    Param(u32),
    /// The n-th return parameter of the function whose body this is.
    Ret(u32),
}

/// A variable: at module scope, or declared in a body.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Its name as written. Static names need not be unique in a linked module.
    pub name: Box<str>,
    /// `.global`, `.const`, `.shared`, `.local`, `.param`; `.tex` only for the deprecated texture space.
    pub space: Space,
    /// Element type.
    pub ty: Type,
    /// Components of one element: 1, 2 or 4 (`.v4 .f32`).
    pub vector: u8,
    /// Array dimensions, outermost first; empty for a scalar. An unsized array `[]` has 0 as its first dimension until
    /// its initialiser gives the number.
    pub dims: SmallVec<[u64; 2]>,
    /// Alignment in bytes, a power of two: the one given, else the natural one of an element.
    pub align: u32,
    /// Size in bytes. 0 for an unsized extern array: dynamic shared memory.
    pub size: u64,
    /// Who sees it.
    pub linkage: Linkage,
    /// Initial contents; `None` means zero (`.global`, `.const`) or undefined (other spaces).
    pub init: Option<Initializer>,
    /// Fields given to a `.texref`, `.samplerref` or `.surfref`, as written.
    pub opaque_init: Vec<(Box<str>, Box<str>)>,
    /// `.attribute(.managed)`.
    pub managed: bool,
    /// `.attribute(.unified(a, b))`.
    pub unified: Option<(u64, u64)>,
    /// Where it is declared.
    pub loc: Loc,
    /// In which text.
    pub unit: UnitId,
}

/// Initial contents of a variable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Initializer {
    /// The leading bytes, little endian; what follows up to the size of the variable is zero. Addresses are zero here.
    pub bytes: Vec<u8>,
    /// The addresses to put in.
    pub relocations: Vec<Relocation>,
}

/// An address inside an initialiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Byte offset in the variable.
    pub offset: u64,
    /// Bytes to write: 1, 2, 4 or 8.
    pub width: u8,
    /// Whose address: [`Symbol::Var`] or [`Symbol::Func`].
    pub target: Symbol,
    /// Added to the address.
    pub addend: i64,
    /// `generic(x)`: the generic address, else the address in the state space of the variable.
    pub generic: bool,
    /// `0xff00(x)`: the address is shifted right by this many bits before `width` bytes of it are written.
    pub shift: u8,
}

/// Kernel or device function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FuncKind {
    /// `.entry`
    Entry,
    /// `.func`
    Func,
}

/// A parameter or return parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name; empty in a prototype that writes `_`.
    pub name: Box<str>,
    /// Element type.
    pub ty: Type,
    /// Components of one element: 1, 2 or 4.
    pub vector: u8,
    /// Number of elements; `None` for a scalar. `Some(0)` is the unsized last parameter of a variadic function.
    pub elements: Option<u64>,
    /// Alignment in bytes, a power of two.
    pub align: u32,
    /// Size in bytes.
    pub size: u32,
    /// Byte offset in the parameter block: each parameter at the next multiple of its alignment.
    pub offset: u32,
    /// `.reg` parameter of the old calling convention.
    pub is_reg: bool,
    /// `.ptr` facts about a kernel's pointer parameter.
    pub ptr: Option<PtrInfo>,
    /// Where it is declared.
    pub loc: Loc,
}

/// `.ptr{.space}{.align n}` of a kernel parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PtrInfo {
    /// The space pointed to; `None` is generic.
    pub space: Option<Space>,
    /// Alignment of what is pointed to.
    pub align: u32,
}

/// Performance-tuning and other directives of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// `.maxntid`: largest block, missing dimensions are 1.
    pub max_ntid: Option<[u32; 3]>,
    /// `.reqntid`: the only legal block.
    pub req_ntid: Option<[u32; 3]>,
    /// `.minnctapersm`
    pub min_cta_per_sm: Option<u32>,
    /// `.maxnctapersm`
    pub max_cta_per_sm: Option<u32>,
    /// `.maxnreg`
    pub max_regs: Option<u32>,
    /// `.noreturn`
    pub noreturn: bool,
    /// `.explicitcluster`
    pub explicit_cluster: bool,
    /// `.reqnctapercluster`
    pub req_cta_per_cluster: Option<[u32; 3]>,
    /// `.maxclusterrank`
    pub max_cluster_rank: Option<u32>,
    /// `.blocksareclusters`
    pub blocks_are_clusters: bool,
    /// `.abi_preserve`
    pub abi_preserve: Option<u32>,
    /// `.abi_preserve_control`
    pub abi_preserve_control: Option<u32>,
    /// `.attribute(.unified(a, b))`
    pub unified: Option<(u64, u64)>,
    /// `.pragma` strings before the body.
    pub pragmas: Vec<Box<str>>,
}

/// A kernel or device function: everything but its body.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name as written. Static names need not be unique in a linked module.
    pub name: Box<str>,
    /// Kernel or function.
    pub kind: FuncKind,
    /// Who sees it.
    pub linkage: Linkage,
    /// Return parameters (at most one from compilers).
    pub rets: Vec<Param>,
    /// Parameters.
    pub params: Vec<Param>,
    /// Size of the parameter block in bytes.
    pub param_bytes: u32,
    /// Directives.
    pub tuning: Tuning,
    /// `.alias` of this function: calls go there.
    pub alias_of: Option<FuncId>,
    /// Whether there is a body; an extern function or a forward declaration has none.
    pub defined: bool,
    /// Where it is declared (the definition, when there is one).
    pub loc: Loc,
    /// In which text.
    pub unit: UnitId,
    /// The text between the braces, and where it starts.
    pub(crate) span: BodySpan,
}

/// Where a body lies in its text: byte range between the braces, and the position of its first byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BodySpan {
    pub(crate) bytes: Range<usize>,
    pub(crate) start: Loc,
}

/// A `.file` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The number that `.loc` uses.
    pub index: u32,
    /// The name.
    pub name: Box<str>,
    /// In which text.
    pub unit: UnitId,
}

/// One source text with the names visible in it.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    pub(crate) text: Arc<[u8]>,
    pub(crate) scope: Arc<crate::names::NameMap>,
}

/// A module: one PTX text, or several linked ones.
#[derive(Debug, Default)]
pub struct Module {
    /// `.version`: major and minor. The highest, in a linked module.
    pub version: (u8, u8),
    /// `.target`. The highest, in a linked module.
    pub target: Target,
    /// `.address_size`: 32 or 64.
    pub address_bits: u8,
    /// Variables at module scope.
    pub vars: IdVec<VarId, Variable>,
    /// Kernels and functions, declared ones too.
    pub funcs: IdVec<FuncId, Function>,
    /// `.file` directives.
    pub files: Vec<SourceFile>,
    /// `.pragma` strings at module scope.
    pub pragmas: Vec<Box<str>>,
    pub(crate) units: IdVec<UnitId, Unit>,
    pub(crate) bodies: IdVec<FuncId, OnceLock<Result<Box<Body>, Error>>>,
}

impl Module {
    /// The function that others see under this name; a private one when no visible one has it.
    #[must_use]
    pub fn func_by_name(&self, name: &str) -> Option<FuncId> {
        let mut found = None;
        for (id, func) in self.funcs.iter().filter(|(_, func)| &*func.name == name) {
            if func.linkage != Linkage::Static {
                return Some(id);
            }
            found = found.or(Some(id));
        }
        found
    }

    /// The variable at module scope that others see under this name; a private one when no visible one has it.
    #[must_use]
    pub fn var_by_name(&self, name: &str) -> Option<VarId> {
        let mut found = None;
        for (id, var) in self.vars.iter().filter(|(_, var)| &*var.name == name) {
            if var.linkage != Linkage::Static {
                return Some(id);
            }
            found = found.or(Some(id));
        }
        found
    }

    /// All kernels.
    pub fn entries(&self) -> impl Iterator<Item = (FuncId, &Function)> {
        self.funcs.iter().filter(|(_, func)| func.kind == FuncKind::Entry)
    }

    /// The body of a function: parsed and verified on the first call, kept for later ones.
    ///
    /// # Errors
    /// The first error in the body's text, and the same again on every later call; [`ErrorKind::Invalid`]
    /// (crate::ErrorKind) for a function without a body.
    pub fn body(&self, func: FuncId) -> Result<&Body, Error> {
        let cell = &self.bodies[func];
        match cell.get_or_init(|| crate::parse::parse_body(self, func).map(Box::new)) {
            Ok(body) => Ok(body),
            Err(error) => Err(error.clone()),
        }
    }
}
