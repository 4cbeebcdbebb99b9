//! Execution: the context of a running group, its operations, and the loops that carry them out.
//!
//! A **group** is up to eight warps of a block in lock step. Registers are slots of a frame, structure of arrays:
//!
//! ```text
//!  frame of a group   ┌ scalar slots: 16 elements each ─ uniform value (16 copies) or affine value (one base per 16 lanes)
//!                     ├ predicates:   8 x u32, one bit per lane
//!                     └ vector slots: one element per lane, warps side by side
//! ```
//!
//! An operation names its slots by offset; the program counter, the lane mask and the list of pending splits are what
//! [`Group`](crate::frame::Group) keeps between runs. Everything in [`Cx`] is derived from it and dies with the run.

pub(crate) mod alu;
pub(crate) mod atomics;
pub(crate) mod bulk;
pub(crate) mod chain;
pub(crate) mod checked;
mod checked_thread;
pub(crate) mod cluster;
pub(crate) mod control;
pub(crate) mod dot;
pub(crate) mod hooks;
pub(crate) mod isa;
pub(crate) mod lane;
pub(crate) mod line;
pub(crate) mod matrix;
pub(crate) mod mbarrier;
pub(crate) mod media;
pub(crate) mod memory;
pub(crate) mod modifiers;
pub(crate) mod scalar;
pub(crate) mod surface;
pub(crate) mod texture;
pub(crate) mod thread;
pub(crate) mod tile;
pub(crate) mod warp;
pub(crate) mod wide;

use crate::env::Env;
use crate::error::FaultKind;
use crate::frame::{Group, Shared};

/// Warps of a group at most.
pub(crate) const WARPS: usize = 8;

/// Lane mask of a group: one word per warp.
pub(crate) type Mask = [u32; WARPS];

/// Executes one operation and returns the next; null ends the run.
pub(crate) type Handler = unsafe fn(&mut Cx, *const Op) -> *const Op;

/// An operation. What the fields mean is up to its handler; `d` is a destination, `a` to `c` are sources, `imm` a constant.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Op {
    pub(crate) f: Handler,
    pub(crate) d: u32,
    pub(crate) a: u32,
    pub(crate) b: u32,
    pub(crate) c: u32,
    pub(crate) e: u32,
    pub(crate) g: u32,
    /// Immediate: offset of an access, table index, modifier, jump target.
    pub(crate) imm: i32,
    /// Number of the access site, or a second immediate.
    pub(crate) site: u32,
    pub(crate) flags: u32,
}

/// The operation works on scalar slots: one chunk, no mask.
pub(crate) const SCALAR: u32 = 1;
/// The destination may be written in lanes that are not active: nobody reads them.
pub(crate) const UNMASKED: u32 = 2;
/// A predicate operand is negated.
pub(crate) const NEGATED: u32 = 4;
/// The address register has 64 bits.
pub(crate) const WIDE: u32 = 8;
/// The address is a scalar slot; `e` is its stride.
pub(crate) const LINE: u32 = 16;
/// Bits from here hold a small number that the handler knows.
pub(crate) const NUMBER: u32 = 8;

/// An operand that lies in the constant pool.
pub(crate) const POOL: u32 = 1 << 31;
/// An operand that is a scalar slot: the same 16 elements for every chunk.
pub(crate) const FLAT: u32 = 1 << 30;
/// Offsets are in units of 32 bytes.
pub(crate) const UNIT: usize = 32;

/// The translation that an access site used last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) lo: u64,
    pub(crate) len: u64,
    pub(crate) host: *mut u8,
}

impl Site {
    /// Contains no address.
    pub(crate) const EMPTY: Self = Self {
        lo: 0,
        len: 0,
        host: std::ptr::null_mut(),
    };

    /// Host address of `address`, when `bytes` from there lie in the span.
    #[inline(always)]
    pub(crate) fn at(&self, address: u64, bytes: u64) -> Option<*mut u8> {
        let offset = address.wrapping_sub(self.lo);
        let inside = offset < self.len && self.len - offset >= bytes;
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the span is host memory, its length a usize"
        )]
        inside.then(|| self.host.wrapping_add(offset as usize))
    }
}

/// Why a run of a group ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Not yet.
    None,
    /// At a safe point: the quantum is used up or somebody set the stop flag.
    Quantum,
    /// All lanes have exited.
    Done,
    /// The current split has come to its end and the group has others.
    Next,
    /// A warp-wide operation misses lanes of its member mask.
    Sync,
    /// The current split has arrived at a barrier, which the block decides on.
    Barrier,
    /// Values can no longer be shared between lanes: go on in the all-vector decoding.
    Deopt,
    /// A `nanosleep` or another sign that the group waits for someone.
    Idle,
    /// All lanes go to the grid-wide barrier.
    Grid,
    /// A fault; see [`Cx::fault`].
    Fault,
}

/// A fault before it has names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawFault {
    pub(crate) kind: FaultKind,
    /// Lane in the group.
    pub(crate) lane: u32,
    pub(crate) address: u64,
}

impl RawFault {
    /// What a context holds before there is one.
    pub(crate) const NONE: Self = Self {
        kind: FaultKind::Trap,
        lane: 0,
        address: 0,
    };
}

/// The context of a running group.
pub(crate) struct Cx {
    pub(crate) frame: *mut u8,
    pub(crate) pool: *const u8,
    pub(crate) ops: *const Op,
    /// Lanes that execute.
    pub(crate) mask: Mask,
    /// Chunks that the group has.
    pub(crate) chunks: usize,
    /// All lanes of all chunks execute.
    pub(crate) full: bool,
    /// Lowest program counter of the pending splits, `u32::MAX` without any.
    pub(crate) next: u32,
    /// Operations left in the quantum.
    pub(crate) fuel: i64,
    pub(crate) event: Event,
    /// Where the current split goes on when the run ends.
    pub(crate) pc: u32,
    pub(crate) sites: *mut Site,
    /// Where in its span each site's last access of rows began.
    pub(crate) lasts: *mut u64,
    /// Targets of switches; operands of operations that have many.
    pub(crate) targets: *const u32,
    pub(crate) shared: Site,
    pub(crate) local: *mut u8,
    pub(crate) group: *mut Group,
    pub(crate) cta: *mut Shared,
    pub(crate) env: *const Env<'static>,
    pub(crate) fault: RawFault,
    /// A site holds a translation that is only right for this block.
    pub(crate) private_sites: bool,
    /// The group did something that waiting loops do: an ordered load, a compare-and-swap, a sleep.
    pub(crate) spin: bool,
    /// Splits take turns instead of running in order.
    pub(crate) rotating: bool,
    /// The next warp-wide operation goes ahead without the lanes that are missing.
    pub(crate) force: bool,
    /// Chunks as a mask: all lanes that the group has threads for.
    pub(crate) all: Mask,
}

impl Cx {
    /// Address of an operand and the distance between its chunks, which are `bytes` long.
    ///
    /// # Safety
    /// `operand` was made by the decoder for this frame.
    #[inline(always)]
    pub(crate) unsafe fn source(&self, operand: u32, bytes: usize) -> (*const u8, usize) {
        let base = if operand & POOL != 0 {
            self.pool
        } else {
            self.frame.cast_const()
        };
        let step = if operand & FLAT != 0 { 0 } else { bytes };
        let offset = (operand & !(POOL | FLAT)) as usize * UNIT;
        // SAFETY: the decoder keeps offsets inside frame and pool.
        (unsafe { base.add(offset) }, step)
    }

    /// Address of a destination.
    ///
    /// # Safety
    /// `operand` was made by the decoder for this frame.
    #[inline(always)]
    pub(crate) unsafe fn destination(&self, operand: u32) -> *mut u8 {
        let offset = (operand & !(POOL | FLAT)) as usize * UNIT;
        // SAFETY: the decoder keeps offsets inside the frame.
        unsafe { self.frame.add(offset) }
    }

    /// The lanes of chunk `c` that execute.
    #[inline(always)]
    pub(crate) fn chunk_mask(&self, c: usize) -> u16 {
        let word = self.mask[c / 2 % WARPS];
        #[allow(clippy::cast_possible_truncation, reason = "half of a word")]
        let half = (word >> (16 * (c % 2))) as u16;
        half
    }

    /// One bit per chunk that has a lane that executes.
    ///
    /// # Safety
    /// The processor has unit `I`.
    #[inline(always)]
    pub(crate) unsafe fn active_chunks<I: isa::Isa>(&self) -> u16 {
        if self.full {
            #[allow(clippy::cast_possible_truncation, reason = "sixteen chunks at most")]
            let all = ((1u32 << (self.chunks & 31)) - 1) as u16;
            all
        } else {
            // SAFETY: the caller's promise.
            unsafe { I::chunks(&self.mask) }
        }
    }

    /// A predicate.
    ///
    /// # Safety
    /// `operand` is one, made by the decoder for this frame.
    #[inline(always)]
    pub(crate) unsafe fn predicate(&self, operand: u32) -> Mask {
        // SAFETY: predicates are 32 bytes, aligned to 32.
        unsafe { *self.source(operand, 2).0.cast::<Mask>() }
    }

    /// Writes a predicate in the lanes that execute.
    ///
    /// # Safety
    /// As [`predicate`](Self::predicate).
    #[inline(always)]
    pub(crate) unsafe fn set_predicate(&mut self, operand: u32, value: &Mask) {
        // SAFETY: as above.
        let to = unsafe { &mut *self.destination(operand).cast::<Mask>() };
        for w in 0..WARPS {
            to[w] = to[w] & !self.mask[w] | value[w] & self.mask[w];
        }
    }

    /// First lane that executes, counted in the group.
    #[inline(always)]
    pub(crate) fn first_lane(&self) -> u32 {
        let mut lane = 0;
        for word in self.mask {
            if word != 0 {
                return lane + word.trailing_zeros();
            }
            lane += 32;
        }
        0
    }

    /// The environment of this run.
    #[inline(always)]
    pub(crate) fn env(&self) -> &Env<'static> {
        // SAFETY: `run` keeps the environment alive as long as the context.
        unsafe { &*self.env }
    }

    /// Records a fault at `op` and ends the run.
    #[cold]
    pub(crate) fn fail(&mut self, op: *const Op, kind: FaultKind, lane: u32, address: u64) -> *const Op {
        self.fault = RawFault { kind, lane, address };
        self.stop(op, Event::Fault)
    }

    /// Number of an operation.
    #[inline(always)]
    pub(crate) fn index(&self, op: *const Op) -> u32 {
        // By address: a handler may be given a copy of an operation, whose number is then nonsense and corrected by who copied it.
        let at = op.addr().wrapping_sub(self.ops.addr()) / size_of::<Op>();
        u32::try_from(at).unwrap_or(0)
    }

    /// Ends the run with `event`; the split goes on at `op`.
    #[inline]
    pub(crate) fn stop(&mut self, op: *const Op, event: Event) -> *const Op {
        self.pc = self.index(op);
        self.event = event;
        std::ptr::null()
    }
}
