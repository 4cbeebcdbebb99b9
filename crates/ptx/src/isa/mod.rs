//! The instruction table: which modifiers go together, and which operands an instruction takes.
//!
//! The table itself is the text `forms.txt` (its head explains the notation); it is read once, on first use. The
//! parser asks it what a spelling means ([`decode`]), the verifier which operands a form takes.

mod decode;
mod fits;
mod table;

use crate::id::{Id, IdVec};
use crate::modifier::Mod;
use crate::opcode::Opcode;
use crate::types::Type;

pub(crate) use decode::decode_cached;
pub use decode::{DecodeError, Decoded, decode};
pub(crate) use table::TABLE;

/// A row of the instruction table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FormId(u16);

impl Id for FormId {
    fn from_index(index: usize) -> Self {
        Self(u16::try_from(index).unwrap_or(u16::MAX))
    }
    fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One form of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The mnemonic.
    pub op: Opcode,
    /// Places for modifiers.
    pub slots: Vec<Slot>,
    /// Operands in order.
    pub operands: Vec<OperandSpec>,
    /// How many of them there must be.
    pub fewest: u8,
}

/// A place for one modifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What may stand there.
    pub choice: Choice,
    /// Whether it may be missing.
    pub optional: bool,
}

/// What may stand in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One of these.
    Of(Vec<Mod>),
    /// A shape of a warpgroup operation: `.m64nNkK`, N a multiple of 8 from 8 to 256.
    WarpgroupShape,
}

/// What an operand may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperandSpec {
    /// Its role.
    pub role: Role,
    /// Its type.
    pub ty: TypeSpec,
    /// Whether it, and all that follow, may be missing.
    pub optional: bool,
    /// Whether a predicate destination stands behind it (`d|p`).
    pub second: Second,
}

/// A second, predicate destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Second {
    /// `d`
    None,
    /// `d` or `d|p`
    Optional,
    /// `d|p`
    Required,
}

/// The role of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Destination register of the type's size.
    Dest,
    /// Destination register of at least the type's size.
    DestRelaxed,
    /// Destination register of twice the type's size.
    DestDouble,
    /// Destination register or vector of them, as the vector modifier says; each at least the type's size.
    DestVector,
    /// Source value of the type's size.
    Source,
    /// Source value of at least the type's size.
    SourceRelaxed,
    /// Source value of twice the type's size.
    SourceDouble,
    /// Source value or vector of them, as the vector modifier says; each at least the type's size.
    SourceVector,
    /// Predicate destination.
    PredDest,
    /// Predicate source.
    Pred,
    /// Predicate source that may be negated.
    PredOrNot,
    /// Address in brackets.
    Memory,
    /// Integer constant.
    Constant,
    /// Registers of a matrix fragment.
    Fragment(FragmentRole),
    /// Vector of registers of one size.
    Vector,
    /// `mov`: value, address, or vector to pack or unpack.
    Move,
    /// The operands of `call`.
    Call,
    /// Branch target.
    Label,
    /// Table of branch targets.
    Table,
    /// `[texture, coordinates]` or `[texture, sampler, coordinates]`
    Texture,
    /// `[surface, coordinates]`
    Surface,
    /// `[tensor map, coordinates]`
    Tensor,
    /// Source register with an optional selector (video).
    Select,
    /// Destination register with an optional selector (video).
    DestSelect,
    /// Anything.
    Any,
}

/// Which matrix a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FragmentRole {
    /// Left factor.
    A,
    /// Right factor.
    B,
    /// Addend.
    C,
    /// Result.
    D,
    /// Not a factor: the registers of `ldmatrix`, `tcgen05.ld`, ...
    Plain,
}

/// The type of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeSpec {
    /// No type (addresses, labels, predicates).
    None,
    /// The n-th type modifier.
    Nth(u8),
    /// This type.
    Fixed(Type),
    /// An integer of 32 or 64 bits: an address.
    Address,
    /// An integer of any size.
    AnyInteger,
    /// A 32-bit integer or a predicate (`cp.async`: source size or ignore-source).
    IntegerOrPred,
}

/// The row with this id.
#[must_use]
pub fn form(id: FormId) -> &'static Form {
    &TABLE.forms[id]
}

/// All rows, for coverage pages and generators.
#[must_use]
pub fn forms() -> &'static IdVec<FormId, Form> {
    &TABLE.forms
}
