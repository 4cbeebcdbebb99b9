//! The IR of a function body: registers, local variables, instructions in basic blocks.

use std::ops::Range;

use smallvec::SmallVec;

use crate::error::Loc;
use crate::id::{BlockId, FuncId, Id, IdVec, InstId, LocalId, ProtoId, RegId, TableId};
use crate::modifier::{
    AtomOp, BoolOp, CacheOp, CmpOp, Count, Flag, Fragment, Geometry, Kind, Layout, Mod, MulHalf, Rounding,
    Scope, Semantics, Shape, ShflMode, Space, VoteMode,
};
use crate::module::{Param, Symbol, Variable};
use crate::opcode::Opcode;
use crate::special::SpecialReg;
use crate::types::Type;

/// A register. Only registers that the text mentions exist: `%r<100000>` costs nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reg {
    /// Its type; `.pred` for predicates. A vector register (`.reg .v4 .f32 %v`) is split into its components.
    pub ty: Type,
    pub(crate) name: Range<u32>,
}

/// A function body.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// All registers of the body, those of inner scopes too.
    pub regs: IdVec<RegId, Reg>,
    /// Variables declared in the body, at any depth of `{ }`. `.shared` ones exist once per CTA and function.
    pub vars: IdVec<LocalId, Variable>,
    /// All instructions, in source order.
    pub insts: IdVec<InstId, Inst>,
    /// Basic blocks, in source order: consecutive ranges of `insts`. Block 0 is the entry. A block may be empty.
    pub blocks: IdVec<BlockId, Block>,
    /// `.branchtargets` and `.calltargets` lists.
    pub tables: IdVec<TableId, Table>,
    /// `.callprototype` declarations.
    pub protos: IdVec<ProtoId, Prototype>,
    /// The registers of `.reg` parameters, by parameter; `None` for ordinary ones.
    pub param_regs: Vec<Option<RegId>>,
    /// The registers of `.reg` return parameters.
    pub ret_regs: Vec<Option<RegId>>,
    /// `.loc` directives: from this instruction on, this source line.
    pub lines: Vec<DebugLine>,
    /// `.pragma` strings with the instruction that they stand before.
    pub pragmas: Vec<(InstId, Box<str>)>,
    pub(crate) names: String,
}

/// A basic block: control enters at its first instruction and leaves after its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its label, or an empty string.
    pub label: Box<str>,
    /// First instruction and one past the last.
    pub insts: (InstId, InstId),
    /// Where control can go: branch targets, then the next block when control can fall through (it is then the last
    /// one). Empty after `ret`, `exit` and `trap`. No duplicates.
    pub succs: SmallVec<[BlockId; 2]>,
}

/// A `.loc` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugLine {
    /// The first instruction that it is about.
    pub inst: InstId,
    /// Number of the `.file`.
    pub file: u32,
    /// Source line.
    pub line: u32,
    /// Source column.
    pub column: u32,
}

/// The targets of `brx.idx` or the candidates of an indirect call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    /// `.branchtargets`
    Branch(Vec<BlockId>),
    /// `.calltargets`
    Call(Vec<FuncId>),
}

/// A `.callprototype`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// Its label.
    pub name: Box<str>,
    /// Return parameters.
    pub rets: Vec<Param>,
    /// Parameters.
    pub params: Vec<Param>,
    /// `.noreturn`
    pub noreturn: bool,
    /// `.abi_preserve`
    pub abi_preserve: Option<u32>,
    /// `.abi_preserve_control`
    pub abi_preserve_control: Option<u32>,
}

/// The predicate of `@p` or `@!p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    /// The predicate register.
    pub reg: RegId,
    /// `@!p`
    pub negated: bool,
}

/// The modifiers of an instruction, in source order.
pub type Mods = SmallVec<[Mod; 4]>;

/// An instruction.
///
/// Operands are in source order, destination first. `call` is normalised to three or four operands: the list of
/// return values, the callee, the list of arguments, and for an indirect call the prototype or table.
#[derive(Clone, Debug, PartialEq)]
pub struct Inst {
    /// The mnemonic.
    pub op: Opcode,
    /// Its modifiers, in source order.
    pub mods: Mods,
    /// The predicate that decides whether a thread executes it.
    pub guard: Option<Guard>,
    /// Operands in source order.
    pub operands: SmallVec<[Operand; 4]>,
    /// Where it stands in the text.
    pub loc: Loc,
    /// Which row of the instruction table it matches; see [`crate::isa`].
    pub form: crate::isa::FormId,
}

/// An operand.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A register.
    Reg(RegId),
    /// `!p`
    Not(RegId),
    /// An integer constant: 64 bits, of which the instruction uses as many as its type has. Unsigned constants above
    /// `i64::MAX` are kept as the same bits.
    Int(i64),
    /// A single-precision constant (`0f3F800000`): its bits.
    F32(u32),
    /// A double-precision constant (`0d...`, or decimal): its bits. As an operand of a narrower floating type it
    /// is rounded to nearest even.
    F64(u64),
    /// The address of a symbol plus an offset, as a value (`mov.u64 %rd, table+8`), or a bare parameter name.
    Sym {
        /// Which symbol.
        symbol: Symbol,
        /// Bytes to add.
        offset: i32,
    },
    /// `[address]`
    Mem(Address),
    /// `{a, b, ...}`: vector of registers, constants or sinks; also a matrix fragment.
    Vec(Box<[Operand]>),
    /// `d|p`: a value and a predicate, or two predicates.
    Pair(Box<(Operand, Operand)>),
    /// A special register.
    Special(SpecialReg),
    /// A branch target.
    Label(BlockId),
    /// `(a, b)` of a call.
    List(Box<[Operand]>),
    /// The `.branchtargets` of `brx.idx`, or the `.calltargets` of an indirect call.
    Table(TableId),
    /// The `.callprototype` of an indirect call.
    Proto(ProtoId),
    /// `[a, b, ...]` with more than one element: texture, surface and tensor operands. The first element is
    /// [`Operand::Mem`]; coordinates are [`Operand::Vec`] or a register, a sampler is a register or symbol.
    Bracket(Box<[Operand]>),
    /// A part of a register, possibly negated: video instructions (`-a.b3`, `a.h1`).
    Part {
        /// The register.
        reg: RegId,
        /// Which part; `None` for the whole register (then negated).
        part: Option<Part>,
        /// A minus sign before it.
        negated: bool,
    },
    /// `_`: nothing is read or written.
    Sink,
}

/// An address in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// Register plus offset.
    Reg {
        /// Base.
        base: RegId,
        /// Bytes to add.
        offset: i32,
    },
    /// Symbol plus offset.
    Sym {
        /// Base.
        symbol: Symbol,
        /// Bytes to add.
        offset: i32,
    },
    /// An absolute address.
    Abs(u64),
}

/// A selected part of a 32-bit register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// `.b0` to `.b3`
    Byte(u8),
    /// `.h0`, `.h1`
    Half(u8),
    /// Several bytes or halves: a selection from the pair (a, b) like `.b7654`, or a mask of a destination like `.b20`.
    Select {
        /// The digits as written; those from `count` on are 0.
        lanes: [u8; 4],
        /// How many digits there are: 2 to 4.
        count: u8,
        /// Halves (`.h`), else bytes (`.b`).
        halves: bool,
    },
}

macro_rules! first {
    ($($(#[$doc:meta])* $name:ident $variant:ident $ty:ty;)+) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(&self) -> Option<$ty> {
            self.mods.iter().find_map(|m| match *m { Mod::$variant(value) => Some(value), _ => None })
        }
    )+};
}

impl Inst {
    first! {
        /// The state space; `None` is generic.
        space Space Space;
        /// The rounding modifier.
        rounding Rounding Rounding;
        /// The cache operator.
        cache Cache CacheOp;
        /// Memory ordering; `None` is weak.
        semantics Semantics Semantics;
        /// Scope of the ordering.
        scope Scope Scope;
        /// Comparison.
        cmp Cmp CmpOp;
        /// Boolean combination of a comparison, or the operation of a barrier reduction.
        bool_op Bool BoolOp;
        /// Operation of an atomic, a reduction or a `redux`.
        atom_op Atom AtomOp;
        /// Mode of a vote or match.
        vote_mode Vote VoteMode;
        /// Mode of a shuffle.
        shfl_mode Shfl ShflMode;
        /// Which part of a product.
        mul_half Half MulHalf;
        /// Geometry of a texture, surface or tensor.
        geometry Geometry Geometry;
        /// Shape of a matrix operation.
        shape Shape Shape;
        /// Repetition count.
        count Count Count;
        /// Which fragment a load or store moves.
        fragment Fragment Fragment;
        /// Family of formats of the factors of a matrix operation.
        kind Kind Kind;
    }

    /// The n-th type modifier, from 0.
    #[must_use]
    pub fn ty(&self, n: usize) -> Option<Type> {
        self.types().nth(n)
    }

    /// All type modifiers in order.
    pub fn types(&self) -> impl Iterator<Item = Type> {
        self.mods.iter().filter_map(|m| match *m {
            Mod::Type(ty) => Some(ty),
            _ => None,
        })
    }

    /// Layouts in order (`.row.col`).
    pub fn layouts(&self) -> impl Iterator<Item = Layout> {
        self.mods.iter().filter_map(|m| match *m {
            Mod::Layout(layout) => Some(layout),
            _ => None,
        })
    }

    /// Elements that the vector modifier says: 1 without one.
    #[must_use]
    pub fn vector(&self) -> usize {
        self.mods
            .iter()
            .find_map(|m| match *m {
                Mod::Vec(crate::modifier::VecWidth::V2) => Some(2),
                Mod::Vec(crate::modifier::VecWidth::V4) => Some(4),
                Mod::Vec(crate::modifier::VecWidth::V8) => Some(8),
                _ => None,
            })
            .unwrap_or(1)
    }

    /// Whether the instruction has this flag.
    #[must_use]
    pub fn has(&self, flag: Flag) -> bool {
        self.mods.contains(&Mod::Flag(flag))
    }

    /// All state spaces in order: `cp.async.ca.shared.global` has two, destination first.
    pub fn spaces(&self) -> impl Iterator<Item = Space> {
        self.mods.iter().filter_map(|m| match *m {
            Mod::Space(space) => Some(space),
            _ => None,
        })
    }

    /// The opcode with its modifiers as it would be printed.
    #[must_use]
    pub fn spelling(&self) -> String {
        let mut text = self.op.as_str().to_owned();
        for m in &self.mods {
            text.push('.');
            text.push_str(&m.to_string());
        }
        text
    }
}

impl Body {
    /// The instructions of a block, in order.
    pub fn block_insts(
        &self,
        block: BlockId,
    ) -> impl DoubleEndedIterator<Item = (InstId, &Inst)> + ExactSizeIterator {
        let (first, end) = self.blocks[block].insts;
        let range = first.index()..end.index();
        self.insts.as_slice()[range]
            .iter()
            .enumerate()
            .map(move |(i, inst)| (InstId::from_index(first.index() + i), inst))
    }

    /// The name of a register as written; the components of a vector register are `name.x` and so on.
    #[must_use]
    pub fn reg_name(&self, reg: RegId) -> &str {
        let Range { start, end } = self.regs[reg].name;
        self.names.get(start as usize..end as usize).unwrap_or("")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel has up to a hundred thousand instructions: what one costs is worth a test.
    #[test]
    fn instructions_stay_small() {
        assert!(size_of::<Operand>() <= 24, "{}", size_of::<Operand>());
        assert!(size_of::<Inst>() <= 176, "{}", size_of::<Inst>());
    }
}
