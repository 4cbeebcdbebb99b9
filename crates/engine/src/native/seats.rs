//! Warps of a block taking turns inside machine code.
//!
//! A warp that can run, or waits at the barrier of the whole block, has a **seat** for as long as its block is in machine
//! code. Coming to the barrier, and going on to the next warp, is then a matter of a few instructions that touch seats only:
//!
//! ```text
//!            sit                    rotate: lowest bit of `ready`
//!  groups ─────────▶ ready ───────────────────────▶ runs ── exit ──▶ no seat
//!    ▲                 ▲                             │
//!    │                 └─ nobody ready: all go on ─ arrived ◀── barrier
//!    └── rise ◀──── the code is left, for whatever reason
//! ```
//!
//! Between runs groups and barriers hold everything, as the interpreter wants it. A block is **whole** when every warp that
//! has not exited has a seat; only then do barriers count here. `finished` takes over when no seat is left: a launch may
//! have another block to carry out in the same memory.

use super::compile::Compiled;
use super::context::State;
use crate::cta::Block;
use crate::exec::{Cx, Event, Mask, WARPS};
use crate::frame::{BLOCK_WARPS, Barrier, Group, Split, Wait};

/// A warp that takes part.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Seat {
    pub(super) frame: *mut u8,
    pub(super) local: *mut u8,
    pub(super) tid: *const u32,
    pub(super) group: *mut Group,
    /// Code that loads homes, and where that goes on.
    pub(super) resume: usize,
    pub(super) entry: usize,
    /// Lanes that run when it has its turn.
    pub(super) mask: u32,
    /// Lanes that have to come to the barrier together; 0 when that is not decided here.
    pub(super) live: u32,
    /// Where it goes on: one that has arrived behind the barrier.
    pub(super) pc: u32,
    pub(super) all: u32,
}

/// All seats of a block.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Seats {
    pub(super) seat: [Seat; BLOCK_WARPS],
    /// Seats whose warps can run, one bit each; the one that runs is not among them.
    pub(super) ready: u32,
    /// Seats whose warps wait at the barrier.
    pub(super) arrived: u32,
    /// The one that runs, and its bit.
    pub(super) current: *mut Seat,
    pub(super) bit: u32,
    /// One that is ready, but waits for another to come to its [loop](super::pairs), and its bit; it is not among `ready`.
    pub(super) parked: *mut Seat,
    pub(super) parked_bit: u32,
    /// Not 0 when every warp that has not exited has a seat.
    pub(super) whole: u32,
    pub(super) finished: unsafe extern "sysv64" fn(*mut State) -> u32,
}

impl Default for Seats {
    fn default() -> Self {
        let seat = Seat {
            frame: std::ptr::null_mut(),
            local: std::ptr::null_mut(),
            tid: std::ptr::null(),
            group: std::ptr::null_mut(),
            resume: 0,
            entry: 0,
            mask: 0,
            live: 0,
            pc: 0,
            all: 0,
        };
        Self {
            seat: [seat; BLOCK_WARPS],
            ready: 0,
            arrived: 0,
            current: std::ptr::null_mut(),
            bit: 0,
            parked: std::ptr::null_mut(),
            parked_bit: 0,
            whole: 0,
            finished,
        }
    }
}

fn one_word(word: u32) -> Mask {
    let mut mask = [0; WARPS];
    mask[0] = word;
    mask
}

/// What a group is when its block enters machine code.
enum Role {
    Exited,
    Ready(u32),
    Arrived(u32),
    /// Something that seats cannot say: lanes that stand apart, another barrier, turns.
    Other,
}

fn role(group: &Group, code: &Compiled, barrier: &Barrier) -> Role {
    if group.done() {
        return Role::Exited;
    }
    let [split] = group.splits[..] else {
        return Role::Other;
    };
    if group.vector || group.rotating || group.force || split.mask != group.live {
        return Role::Other;
    }
    match split.wait {
        Wait::None if code.entry(split.pc).is_some() => Role::Ready(split.pc),
        Wait::Barrier(id)
            if u32::from(id) == code.barrier
                && barrier.expected == 0
                && barrier.passed == 0
                && code.counts(split.pc)
                && code.entry(split.pc + 1).is_some() =>
        {
            Role::Arrived(split.pc)
        }
        _ => Role::Other,
    }
}

impl Seats {
    /// Seats the groups of a block. Group `current` is the one that runs, its split taken out already.
    ///
    /// # Safety
    /// Block and code outlive the run; `cx` is the context of group `current`.
    pub(super) unsafe fn sit(&mut self, code: &Compiled, cx: &Cx, block: &mut Block, current: usize) {
        let (groups, state) = block.groups_mut();
        let place = code.barrier as usize % state.barriers.len();
        let mut whole = true;
        (self.ready, self.arrived) = (0, 0);
        for (i, group) in groups.iter_mut().enumerate().take(BLOCK_WARPS) {
            let (pc, mask) = if i == current {
                let simple = cx.mask == group.live && group.splits.is_empty();
                whole &= simple;
                (cx.pc, cx.mask)
            } else {
                match role(group, code, &state.barriers[place]) {
                    Role::Exited => continue,
                    Role::Other => {
                        whole = false;
                        continue;
                    }
                    Role::Ready(pc) => {
                        self.ready |= 1 << i;
                        (pc, group.live)
                    }
                    Role::Arrived(pc) => {
                        self.arrived |= 1 << i;
                        // Of others, which have no seat, some lanes may have arrived: the barrier goes on counting those.
                        state.barriers[place].arrived[group.first_warp as usize % BLOCK_WARPS] = 0;
                        (pc, group.live)
                    }
                }
            };
            if i != current {
                group.splits.clear();
            }
            // One that has arrived goes on behind the barrier.
            let next = pc + (self.arrived >> i & 1);
            self.seat[i] = Seat {
                frame: group.frame.as_ptr(),
                local: group.local.as_ptr(),
                tid: state.build().tids(group.first_warp),
                group: &raw mut *group,
                resume: code.loader(next).addr(),
                entry: code.entry(next).map_or(0, <*const u8>::addr),
                mask: mask[0],
                live: mask[0],
                pc: next,
                all: group.all[0],
            };
        }
        self.whole = u32::from(whole);
        if !whole {
            for seat in &mut self.seat {
                seat.live = 0;
            }
        }
        if self.arrived != 0 && state.barriers[place].arrived.iter().all(|&lanes| lanes == 0) {
            state.barriers[place] = Barrier::default();
            state.active &= !(1 << place);
        }
        self.bit = 1 << (current % BLOCK_WARPS);
        self.current = &raw mut self.seat[current % BLOCK_WARPS];
    }

    /// The group that runs.
    pub(super) fn running(&self) -> usize {
        self.bit.trailing_zeros() as usize
    }

    /// Gives all seats but that of the running group back to their groups.
    pub(super) fn rise(&mut self, code: &Compiled, block: &mut Block) {
        let (groups, state) = block.groups_mut();
        let (ready, arrived) = (std::mem::take(&mut self.ready), std::mem::take(&mut self.arrived));
        let ready = ready | std::mem::take(&mut self.parked_bit);
        self.parked = std::ptr::null_mut();
        let mut left = ready | arrived;
        while left != 0 {
            let i = left.trailing_zeros() as usize;
            left &= left - 1;
            let (seat, group) = (&self.seat[i], &mut groups[i]);
            let waits = arrived >> i & 1 != 0;
            let wait = if waits {
                let place = code.barrier as usize % state.barriers.len();
                let warp = group.first_warp as usize % BLOCK_WARPS;
                state.barriers[place].arrived[warp] |= seat.mask;
                state.active |= 1 << place;
                Wait::Barrier(u8::try_from(place).unwrap_or(0))
            } else {
                Wait::None
            };
            group.splits.push(Split {
                pc: seat.pc - u32::from(waits),
                mask: one_word(seat.mask),
                wait,
                stamp: group.clock,
            });
        }
    }

    /// All warps begin another block.
    fn restart(&mut self, code: &Compiled, groups: usize) {
        let resume = code.loader(0).addr();
        let entry = code.entry(0).map_or(0, <*const u8>::addr);
        for seat in &mut self.seat[..groups] {
            (seat.resume, seat.entry, seat.pc) = (resume, entry, 0);
            (seat.mask, seat.live) = (seat.all, seat.all);
        }
        self.ready = u32::MAX >> (BLOCK_WARPS - groups);
    }
}

/// Nobody is seated any more. 1: another block begins, in the same seats.
///
/// # Safety
/// Called by machine code during [`State::run`], with nothing in its registers that anybody wants.
unsafe extern "sysv64" fn finished(state: *mut State) -> u32 {
    // SAFETY: the caller's promise; nothing else uses block and context meanwhile.
    unsafe {
        let state = &mut *state;
        let cx = &mut *state.cx;
        cx.event = Event::Next;
        if state.seats.whole == 0
            || cx.fuel <= 0
            || !(*state.block).advance_seated(cx.env(), state.generation)
        {
            return 0;
        }
        cx.event = Event::None;
        // A block costs something even if its threads do next to nothing.
        cx.fuel -= FINISHED;
        let groups = (*state.block).groups_mut().0.len();
        state.seats.restart(&*state.code, groups);
        1
    }
}

/// Operations that the change to another block counts as.
const FINISHED: i64 = 16;
