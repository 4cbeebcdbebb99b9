//! The run of a group in machine code: what the code finds in memory, and what it calls.
//!
//! ```text
//!  slice ──▶ run ──enter──▶ machine code ──leave──▶ run ──▶ event, as from the interpreter
//!            │ splits to marks    │   ▲                │ marks to splits
//!            ▼                    ▼   │
//!        State.pending        handler of tier 0 (an operation without a native form), elect, refill
//! ```
//!
//! Between `enter` and `leave` registers of the processor hold hot slots; everywhere else the frame holds them all, laid out
//! as the interpreter has them, so that either tier can run a group on at any safe point.

use super::compile::Compiled;
use super::seats::Seats;
use crate::cta::Block;
use crate::exec::{Cx, Event, Op, Site};
use crate::frame::{Split, Wait};

/// Words of the set of places where lanes wait.
pub(super) const WORDS: usize = 16;
/// Places where lanes may wait in a kernel at most; one with more stays with the interpreter.
pub(super) const PLACES: usize = WORDS * 64;
/// Checked addresses of a block at most.
pub(super) const BASES: usize = 64;
/// [`State::next`] when nobody waits.
pub(super) const NOBODY: u32 = u32::MAX;

/// The translation of an access site, ready to be compared with: `address - lo < limit` and host `address + delta`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Window {
    pub(super) lo: u64,
    /// Bytes from `lo` at which the widest thing that the site accesses in one go may begin, plus one.
    pub(super) row: u64,
    /// As `row`, for one lane.
    pub(super) one: u64,
    pub(super) delta: u64,
}

impl Window {
    /// Contains no address: nothing is below a limit of zero.
    pub(super) const EMPTY: Self = Self {
        lo: 0,
        row: 0,
        one: 0,
        delta: 0,
    };
}

/// Memory of one executor that machine code uses. All of `pending` is zero and nobody waits while no group runs.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct State {
    pub(super) cx: *mut Cx,
    pub(super) windows: *mut Window,
    pub(super) code: *const Compiled,
    /// Addresses of the places in the code.
    pub(super) places: *const usize,
    /// Lowest place where lanes wait, [`NOBODY`] without any.
    pub(super) next: u32,
    /// Changes of the set of splits.
    pub(super) progress: u32,
    /// First byte past the shared memory of the block.
    pub(super) shared_len: u64,
    pub(super) shared: *mut u8,
    pub(super) call: unsafe extern "sysv64" fn(*mut State, u32) -> u32,
    pub(super) access: unsafe extern "sysv64" fn(*mut State, u32, u32) -> u32,
    pub(super) stretch: unsafe extern "sysv64" fn(*mut State, u32, u32) -> u32,
    pub(super) control: unsafe extern "sysv64" fn(*mut State, u32) -> usize,
    pub(super) block: *mut Block,
    /// The warps of the block.
    pub(super) seats: Seats,
    /// One bit per place where lanes wait.
    pub(super) bits: [u64; WORDS],
    /// Lanes that wait, by place.
    pub(super) pending: [u32; PLACES],
    /// Host addresses that a block has checked, zero where it must not be used.
    pub(super) bases: [u64; BASES],
    /// Offsets and operands of the lanes of an atomic.
    pub(super) scratch: Scratch,
    /// Coordinates of the group's threads: 32 of each.
    pub(super) tid: *const u32,
    pub(super) store: Vec<Window>,
    /// Generation of the address space that the windows are right for.
    pub(crate) generation: u64,
    /// Values of code for AVX2 that registers do not hold.
    pub(super) spill: Spill,
}

/// Memory for the registers that AVX2 does not have.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Spill([u8; super::avx2::SPILL]);

/// Memory for the lanes of one operation.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Scratch([u64; 64]);

// SAFETY: the pointers are only used during a run, and set at its start.
unsafe impl Send for State {}

impl Default for State {
    fn default() -> Self {
        Self {
            cx: std::ptr::null_mut(),
            windows: std::ptr::null_mut(),
            code: std::ptr::null(),
            places: std::ptr::null(),
            next: NOBODY,
            progress: 0,
            shared_len: 0,
            shared: std::ptr::null_mut(),
            call,
            access,
            stretch,
            control,
            block: std::ptr::null_mut(),
            seats: Seats::default(),
            bits: [0; WORDS],
            pending: [0; PLACES],
            bases: [0; BASES],
            scratch: Scratch([0; 64]),
            tid: std::ptr::null(),
            store: Vec::new(),
            generation: 0,
            spill: Spill([0; super::avx2::SPILL]),
        }
    }
}

impl State {
    /// Forgets all translations: there are `sites` now.
    pub(crate) fn forget(&mut self, sites: usize, generation: u64) {
        self.generation = generation;
        self.store.clear();
        self.store.resize(sites, Window::EMPTY);
    }

    /// Takes over what tier 0 has found for a site.
    ///
    /// # Safety
    /// During [`run`](Self::run).
    unsafe fn read_window(&mut self, number: u32) {
        // SAFETY: the caller's promise; `store` has all sites.
        unsafe {
            let code = &*self.code;
            let (row, one) = code.spans(number);
            if row == 0 {
                return;
            }
            let site = *(*self.cx).sites.add(number as usize);
            let limit = |span: u64| (site.len + 1).saturating_sub(span);
            *self.windows.add(number as usize) = if site.len == 0 {
                Window::EMPTY
            } else {
                Window {
                    lo: site.lo,
                    row: limit(row),
                    one: limit(one),
                    delta: (site.host.addr() as u64).wrapping_sub(site.lo),
                }
            };
        }
    }

    fn wait_at(&mut self, place: u32, mask: u32) {
        let at = place as usize % PLACES;
        self.pending[at] |= mask;
        self.bits[at / 64] |= 1 << (at % 64);
        self.next = self.next.min(place);
    }

    /// Takes the splits of the group that can run. False when one stands where machine code has no place: the caller then
    /// interprets.
    ///
    /// # Safety
    /// The context is that of a running group of `code`.
    unsafe fn import(&mut self, code: &Compiled, cx: &mut Cx) -> bool {
        // SAFETY: the group outlives the run and nothing else refers to it meanwhile.
        let group = unsafe { &mut *cx.group };
        if group.splits.is_empty() {
            return true;
        }
        let known = |s: &Split| s.wait != Wait::None || s.pc == cx.pc || code.place(s.pc).is_some();
        if !group.splits.iter().all(known) {
            return false;
        }
        group.splits.retain(|s| {
            if s.wait != Wait::None {
                return true;
            }
            if s.pc == cx.pc {
                cx.mask[0] |= s.mask[0];
                group.progress += 1;
            } else if let Some(place) = code.place(s.pc) {
                self.wait_at(place, s.mask[0]);
            }
            false
        });
        true
    }

    /// Gives the splits back.
    ///
    /// # Safety
    /// As [`import`](Self::import).
    unsafe fn export(&mut self, code: &Compiled, cx: &mut Cx) {
        // SAFETY: as there.
        let group = unsafe { &mut *cx.group };
        group.progress += u64::from(std::mem::take(&mut self.progress));
        if self.next == NOBODY {
            return;
        }
        self.next = NOBODY;
        for w in 0..WORDS {
            while self.bits[w] != 0 {
                let at = w * 64 + self.bits[w].trailing_zeros() as usize;
                self.bits[w] &= self.bits[w] - 1;
                let mask = std::mem::take(&mut self.pending[at]);
                let pc = code.pc_of_place[at];
                if cx.event == Event::Quantum && pc == cx.pc {
                    cx.mask[0] |= mask;
                    group.progress += 1;
                    continue;
                }
                let mut split = Split {
                    pc,
                    mask: [0; crate::exec::WARPS],
                    wait: Wait::None,
                    stamp: group.clock,
                };
                split.mask[0] = mask;
                group.splits.push(split);
            }
        }
    }

    /// Runs the current split of a group, and others as they come first, and other groups when it waits, until there is an
    /// event. Returns the group that has it; none when the group has to be interpreted from where it stands.
    ///
    /// # Safety
    /// `cx` is the context of group `g` of the block, a group of one warp in the fast decoding that `code` was made from,
    /// `cx.pc` where it stands; nobody uses the block meanwhile.
    pub(crate) unsafe fn run(
        &mut self,
        code: &Compiled,
        cx: &mut Cx,
        block: *mut Block,
        g: usize,
    ) -> Option<usize> {
        let entry = code.entry(cx.pc)?;
        // SAFETY: the caller's promise.
        if !unsafe { self.import(code, cx) } {
            return None;
        }
        self.block = block;
        self.cx = cx;
        self.windows = self.store.as_mut_ptr();
        self.code = code;
        self.places = code.places.as_ptr();
        (self.shared_len, self.shared) = (cx.shared.len, cx.shared.host);
        // SAFETY: group and block outlive the run.
        self.tid = unsafe { (*cx.cta).build().tids((*cx.group).first_warp) };
        // SAFETY: the code keeps to the frame, the windows, the seats and the tables that were just set; the block is not in use
        // but through the pointers of context and seats.
        unsafe {
            self.seats.sit(code, cx, &mut *block, g);
            (code.enter)(cx, self, entry, code.loader(cx.pc));
            self.export(code, cx);
            self.seats.rise(code, &mut *block);
        }
        Some(self.seats.running())
    }
}

/// Executes operation `number` as tier 0 does. 0: the run is over.
///
/// # Safety
/// Called by machine code during [`State::run`], with all that the operation reads in the frame.
unsafe extern "sysv64" fn call(state: *mut State, number: u32) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let cx = &mut *(*state).cx;
        cx.full = cx.mask[0] == u32::MAX;
        let op = cx.ops.add(number as usize);
        u32::from(!((*op).f)(cx, op).is_null())
    }
}

/// As [`call`] for operation `access`, maybe behind a guard at `number`, whose site it reads afterwards.
///
/// # Safety
/// As there.
unsafe extern "sysv64" fn access(state: *mut State, number: u32, access: u32) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let more = call(state, number);
        let op = (*state).cx.as_ref().map(|cx| *cx.ops.add(access as usize));
        if let Some(op) = op {
            (*state).read_window(op.site);
        }
        more
    }
}

/// Executes operations `from` to before `to`, which stand in one block, as tier 0 does, and reads their sites afterwards. 0: the
/// run is over.
///
/// # Safety
/// As [`call`], with all that any of them reads in the frame.
unsafe extern "sysv64" fn stretch(state: *mut State, from: u32, to: u32) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let state = &mut *state;
        let cx = &mut *state.cx;
        cx.full = cx.mask[0] == u32::MAX;
        let (first, end) = (cx.ops.add(from as usize), cx.ops.add(to as usize));
        let mut op = first;
        while op < end {
            op = ((*op).f)(cx, op);
            if op.is_null() {
                return 0;
            }
        }
        for number in from..to {
            let site = (*state.cx).ops.add(number as usize);
            state.read_window((*site).site);
        }
        1
    }
}

/// Executes a transfer of control as tier 0 does. The address to go on at, 0 when the run is over.
///
/// # Safety
/// As [`call`].
unsafe extern "sysv64" fn control(state: *mut State, number: u32) -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        let (cx, code) = (&mut *(*state).cx, &*(*state).code);
        (*state).export(code, cx);
        crate::exec::control::refresh(cx);
        cx.full = cx.mask[0] == u32::MAX;
        let op: *const Op = cx.ops.add(number as usize);
        let next = ((*op).f)(cx, op);
        if next.is_null() {
            return 0;
        }
        cx.pc = cx.index(next);
        if (*state).import(code, cx)
            && let Some(entry) = code.entry(cx.pc)
        {
            return entry as usize;
        }
        // The interpreter goes on.
        cx.event = Event::Quantum;
        0
    }
}

/// The sites of generic accesses translate one block's own memory too; machine code takes them like any other.
const _: () = assert!(size_of::<Site>() == 24);
