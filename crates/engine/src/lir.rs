//! The kernel between PTX and operations: one flat control-flow graph, calls inlined or turned into jumps, few kinds of instructions.
//!
//! Invariants: block 0 is the entry; operands have the classes that the instruction wants; a constant register is never
//! written; an instruction that can stop (barrier, hook, guard of a widening) may stand anywhere, since a program counter is
//! the number of an instruction in the final order of blocks.

pub(crate) mod matrix;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::error::FaultKind;
use crate::exec::alu::{Alu, Class};
use crate::exec::thread::Thread;
pub(crate) use crate::image_ops::{Edge, Geom, ImageQuery, Lod, Out, SurfKind, SurfOp, SurfRed, TexOp};

/// A virtual register.
pub(crate) type V = u32;
/// A basic block.
pub(crate) type B = u32;

/// A value that is known when the kernel is launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Konst {
    /// Known now.
    Imm(u64),
    /// Bytes of the parameter block.
    Param { offset: u32, bytes: u8, signed: bool },
    /// `%ntid` and so on, by component.
    Ntid(u8),
    /// `%nctaid`.
    Nctaid(u8),
    /// `%gridid`
    GridId,
    /// `%envreg1` (high half) and `%envreg2` (low half).
    GridWorkspace { high: bool },
    /// `%nwarpid`
    Warps,
    /// `%dynamic_smem_size`
    DynamicShared,
    /// `%total_smem_size`
    TotalShared,
    /// `%cluster_nctaid`
    ClusterNctaid(u8),
    /// `%cluster_nctarank`
    ClusterBlocks,
    /// `%nclusterid`
    Nclusterid(u8),
    /// `%is_explicit_cluster`
    ExplicitCluster,
    /// One past the last byte of the thread's stack, in local memory.
    StackEnd,
}

/// A per-thread or per-block value that is not a constant of the launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Special {
    Tid(u8),
    Ctaid(u8),
    LaneId,
    WarpId,
    LaneMaskEq,
    LaneMaskLe,
    LaneMaskLt,
    LaneMaskGe,
    LaneMaskGt,
    Clock,
    GlobalTimer,
    Sm,
    Sms,
}

/// Operations on predicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PredOp {
    Mov,
    Not,
    And,
    Or,
    Xor,
    True,
    False,
}

/// Where an access goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    Global,
    Shared,
    Local,
    Generic,
}

/// What an access moves, per element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MemType {
    U8,
    S8,
    U16,
    S16,
    B32,
    S32,
    B64,
}

/// Ordering of an access or fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    Weak,
    /// Volatile and relaxed: each element is one access.
    Relaxed,
    Acquire,
    Release,
    AcqRel,
}

/// A load or store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Access {
    pub(crate) space: Space,
    pub(crate) ty: MemType,
    /// Elements: 1, 2 or 4.
    pub(crate) n: u8,
    pub(crate) order: Order,
    pub(crate) offset: i32,
    /// The address is a multiple of the bytes of the access, shifted left by this: it is part of a wider one.
    pub(crate) align: u8,
}

/// What an atomic does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AtomKind {
    /// An integer operation of the table in `tessera-arith`.
    Int(tessera_arith::atomics::AtomOp),
    Cas,
    AddF32 {
        ftz: bool,
    },
    AddF64,
    AddF16,
    AddF16x2,
    AddBf16,
    AddBf16x2,
    /// `min` or `max` of a half.
    Half {
        max: bool,
        bf16: bool,
        /// Of both halves of 32 bits.
        packed: bool,
    },
}

/// An atomic or reduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Atom {
    pub(crate) space: Space,
    pub(crate) kind: AtomKind,
    /// 2, 4 or 8.
    pub(crate) bytes: u8,
    pub(crate) offset: i32,
    /// As in [`Access`].
    pub(crate) align: u8,
}

/// Mode of a shuffle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shfl {
    Up,
    Down,
    Bfly,
    Idx,
}

/// Mode of a vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Vote {
    All,
    Any,
    Uni,
    Ballot,
}

/// Operation of `redux`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Redux {
    Add,
    MinU,
    MaxU,
    MinS,
    MaxS,
    And,
    Or,
    Xor,
}

/// What a barrier reduces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BarRed {
    None,
    Popc,
    And,
    Or,
}

/// A function that the device supplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Hook {
    Printf,
    AssertFail,
    Malloc,
    Free,
    /// `cudaCGGetIntrinsicHandle`
    GridHandle,
    /// `cudaCGSynchronize`
    GridSync,
}

/// What an instruction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// Lane by lane, with an immediate.
    Alu(Alu, u32),
    Pred(PredOp),
    Special(Special),
    Load(Access),
    Store(Access),
    Atom(Atom),
    /// s and d: as the operation says.
    Thread(Thread),
    /// `fence.sc` and what is as strong: everything before it comes before everything after it.
    Fence,
    /// `fence.acq_rel`: but a store may still come after a later load.
    LightFence,
    /// d0 value, maybe d1 predicate; s: value, lane, clamp, member mask.
    Shfl(Shfl),
    /// d: predicate or ballot; s: predicate, member mask.
    Vote(Vote),
    /// d0 mask, maybe d1 predicate; s: value, member mask.
    Match {
        all: bool,
    },
    /// s: value, member mask.
    Redux(Redux),
    /// d0 lane, maybe absent; d1 predicate; s: member mask.
    Elect,
    ActiveMask,
    /// s: member mask.
    BarWarp,
    /// s: barrier, maybe thread count, maybe predicate; d: result of a reduction.
    Bar {
        red: BarRed,
        count: bool,
        arrive: bool,
    },
    /// d: predicate; s: generic address.
    IsSpace(Space),
    /// Operands: see [`matrix`].
    Mma(matrix::Mma),
    /// d: registers; s: address.
    LoadMatrix(matrix::Move),
    /// s: address, registers.
    StoreMatrix(matrix::Move),
    MoveMatrix,
    /// Operands: A, B, C of one lane.
    Quarters(matrix::Quarters),
    /// d: registers; s: address, stride in elements.
    LoadTile(matrix::TileMove),
    /// s: address, stride in elements, registers.
    StoreTile(matrix::TileMove),
    Hook(Hook),
    /// d: results; s: texture, maybe sampler, coordinates, level or gradients, offsets.
    Tex(TexOp),
    /// d: what is loaded; s: surface, coordinates, what is stored.
    Surf(SurfOp),
    /// s: texture, sampler or surface; level.
    ImageQuery(ImageQuery),
    Sleep,
    Trap,
    /// The barrier of the cluster: arrive, or wait.
    Cluster {
        arrive: bool,
    },
    /// The fault that this is.
    Raise(FaultKind),
}

impl What {
    /// Whether it has a site that translates addresses.
    pub(crate) const fn has_site(self) -> bool {
        matches!(
            self,
            Self::Load(_)
                | Self::Store(_)
                | Self::Atom(_)
                | Self::Thread(_)
                | Self::LoadTile(_)
                | Self::StoreTile(_)
        )
    }
}

/// An instruction.
#[derive(Debug, Clone)]
pub(crate) struct Inst {
    pub(crate) what: What,
    pub(crate) d: SmallVec<[V; 2]>,
    pub(crate) s: SmallVec<[V; 4]>,
    /// Predicate and whether it is negated.
    pub(crate) guard: Option<(V, bool)>,
    /// Which line: an index into [`Kernel::places`].
    pub(crate) at: u32,
}

/// How a block ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Term {
    Jump(B),
    Branch {
        pred: V,
        negated: bool,
        taken: B,
        other: B,
    },
    /// Value `index` chooses; out of range is an invalid program counter.
    Switch {
        index: V,
        targets: Vec<B>,
    },
    Exit,
}

impl Term {
    pub(crate) fn successors(&self) -> SmallVec<[B; 2]> {
        match self {
            Self::Jump(b) => SmallVec::from_slice(&[*b]),
            Self::Branch { taken, other, .. } => SmallVec::from_slice(&[*taken, *other]),
            Self::Switch { targets, .. } => targets.iter().copied().collect(),
            Self::Exit => SmallVec::new(),
        }
    }

    pub(crate) fn retarget(&mut self, from: B, to: B) {
        let swap = |b: &mut B| {
            if *b == from {
                *b = to;
            }
        };
        match self {
            Self::Jump(b) => swap(b),
            Self::Branch { taken, other, .. } => {
                swap(taken);
                swap(other);
            }
            Self::Switch { targets, .. } => targets.iter_mut().for_each(swap),
            Self::Exit => {}
        }
    }

    pub(crate) const fn operand(&self) -> Option<V> {
        match self {
            Self::Branch { pred, .. } => Some(*pred),
            Self::Switch { index, .. } => Some(*index),
            _ => None,
        }
    }
}

/// A basic block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) insts: Vec<Inst>,
    pub(crate) term: Term,
    /// Line of the terminator.
    pub(crate) at: u32,
}

/// A virtual register's facts.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct Vreg {
    pub(crate) class: Class,
    pub(crate) konst: Option<Konst>,
}

/// A line of the PTX text.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) function: Arc<str>,
    pub(crate) line: u32,
    /// File and line of the source, where the PTX says it with `.loc`.
    pub(crate) source: Option<(Arc<str>, u32)>,
}

/// A variable in shared or local memory.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) space: Space,
    pub(crate) name: Arc<str>,
    pub(crate) offset: u32,
    pub(crate) size: u32,
}

/// The object that stands for dynamic shared memory, whose size only the launch knows.
pub(crate) const DYNAMIC: u32 = u32::MAX;

/// Name of the shared memory that the system reserves; no variable can be called so.
pub(crate) const RESERVED: &str = "%reserved_smem";

/// A kernel with all that it calls.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kernel {
    pub(crate) vregs: Vec<Vreg>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) places: Vec<Place>,
    pub(crate) static_shared: u32,
    pub(crate) shared_align: u32,
    pub(crate) local_bytes: u32,
    /// Variables of the frame and of shared memory.
    pub(crate) objects: Vec<Object>,
    /// Constants that are the address of a variable: an index into `objects`, or [`DYNAMIC`].
    pub(crate) addresses: HashMap<V, u32>,
    /// Registers that carry parameters and results of functions that are called. The padding of a struct is never written there.
    pub(crate) carriers: HashSet<V>,
    /// Places of warp-wide instructions and barriers that do not ask whole warps to come together.
    pub(crate) loose: HashSet<u32>,
    /// An atomic with acquire or release semantics is there.
    pub(crate) publishes: bool,
    /// It looks at other blocks of its cluster or waits for them.
    pub(crate) cluster: bool,
    /// Its threads meet at the barrier of the cluster.
    pub(crate) cluster_barrier: bool,
    /// Threads have a stack behind that.
    pub(crate) stack: bool,
    /// It calls `vprintf`.
    pub(crate) prints: bool,
    /// It calls `malloc` or `free`.
    pub(crate) allocates: bool,
}
