//! Accesses: bounds, alignment, whether the bytes were written, who used them before.
//!
//! Sixteen lanes at a time, like the operations. Lanes that lie in one allocation and in a row are looked at together; that is what
//! nearly all accesses do, and what keeps the checks affordable.

use super::allocations::Found;
use super::info::Shape;
use super::races::Mark;
use super::report::{AccessAt, AccessKind, CheckSpace, FindingKind};
use super::shadow::pieces;
use super::state::{BlockState, Extent, Step, extent_of, space_name, variable_at};
use crate::cluster::RANK_SHIFT;
use crate::lir::Space;
use crate::{LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW_BYTES};

const CHUNK: usize = 16;

/// Bytes that a thread may move at once.
pub(crate) const WIDEST: usize = 32;

/// The lanes of a chunk that make an access.
pub(crate) struct Lanes {
    pub(crate) chunk: usize,
    pub(crate) mask: u16,
    pub(crate) address: [u64; CHUNK],
    /// The variable that the addresses were made from, where that is known.
    pub(crate) object: Option<u32>,
    /// What a store writes, when [`BlockState::wants_values`] and it is one.
    pub(crate) values: Option<Box<[[u8; WIDEST]; CHUNK]>>,
}

fn each(mask: u16) -> impl Iterator<Item = usize> {
    (0..CHUNK).filter(move |i| mask >> i & 1 != 0)
}

/// How many of `bytes` bits from `at` on are set.
fn count_bits(bits: &[u64], at: u64, bytes: u64) -> u64 {
    let is_set = |i: u64| {
        let word = usize::try_from(i / 64).ok().and_then(|w| bits.get(w));
        word.is_some_and(|w| w >> (i % 64) & 1 != 0)
    };
    (at..at + bytes).filter(|&i| is_set(i)).count() as u64
}

fn set_bits(bits: &mut [u64], at: u64, bytes: u64) {
    for i in at..at + bytes {
        if let Some(word) = usize::try_from(i / 64).ok().and_then(|w| bits.get_mut(w)) {
            *word |= 1 << (i % 64);
        }
    }
}

/// Whether other blocks of a cluster reach this block's shared memory.
fn several(step: &Step<'_>) -> bool {
    step.launch.geometry().cluster_blocks() > 1
}

impl BlockState {
    /// Looks at an access before it is made.
    pub(crate) fn access(&mut self, step: &Step<'_>, shape: &Shape, lanes: &mut Lanes) {
        match shape.space {
            Space::Global => self.global(step, shape, lanes, lanes.mask),
            Space::Shared => self.shared(step, shape, lanes, lanes.mask),
            Space::Local => self.local(step, shape, lanes, lanes.mask),
            Space::Generic => {
                let inside = |at: u64, window: u64| at.wrapping_sub(window) < WINDOW_BYTES;
                let (mut shared, mut local, mut global) = (0, 0, 0);
                for i in each(lanes.mask) {
                    let at = lanes.address[i];
                    if inside(at, SHARED_WINDOW) {
                        // What lies in another block of the cluster is that block's to look at.
                        shared |= u16::from(at - SHARED_WINDOW < 1 << RANK_SHIFT) << i;
                        lanes.address[i] = at - SHARED_WINDOW;
                    } else if inside(at, LOCAL_WINDOW) {
                        local |= 1 << i;
                        lanes.address[i] = at - LOCAL_WINDOW;
                    } else if !inside(at, PARAM_WINDOW) {
                        global |= 1 << i;
                    }
                }
                self.global(step, shape, lanes, global);
                self.shared(step, shape, lanes, shared);
                self.local(step, shape, lanes, local);
            }
        }
    }

    /// The same for one lane.
    pub(crate) fn lane_access(
        &mut self,
        step: &Step<'_>,
        shape: &Shape,
        (lane, at, object): (usize, u64, Option<u32>),
    ) {
        let mut address = [0; CHUNK];
        address[lane % CHUNK] = at;
        let mut lanes = Lanes {
            chunk: lane / CHUNK,
            mask: 1 << (lane % CHUNK),
            address,
            object,
            values: None,
        };
        self.access(step, shape, &mut lanes);
    }

    fn wrong(
        &self,
        step: &Step<'_>,
        shape: &Shape,
        kind: FindingKind,
        at: (u32, u64, CheckSpace),
        note: String,
    ) {
        let (thread, address, space) = at;
        let access = AccessAt {
            access: shape.kind,
            space,
            bytes: shape.bytes,
            address,
        };
        self.report(step, kind, thread, Some(access), note);
    }

    /// Reports lanes that are not aligned; the others.
    fn aligned(&self, step: &Step<'_>, shape: &Shape, lanes: &Lanes, mask: u16, space: CheckSpace) -> u16 {
        let size = u64::from(shape.align).max(1);
        let mut good = mask;
        for i in each(mask) {
            if lanes.address[i].is_multiple_of(size) {
                continue;
            }
            good &= !(1 << i);
            if self.checker.checks().memory {
                let thread = step.lane(lanes.chunk * CHUNK + i);
                let note = format!("the address is not a multiple of {size}");
                self.wrong(
                    step,
                    shape,
                    FindingKind::Misaligned,
                    (thread, lanes.address[i], space),
                    note,
                );
            }
        }
        good
    }

    fn global(&mut self, step: &Step<'_>, shape: &Shape, lanes: &Lanes, mask: u16) {
        if mask == 0 {
            return;
        }
        let generation = self.checker.generation();
        if generation != self.generation {
            self.sites.fill((0, 0, false));
            self.generation = generation;
        }
        let size = u64::from(shape.bytes);
        let (mut good, mut watched) = (mask, 0u16);
        for i in each(mask) {
            let at = lanes.address[i];
            let site = &mut self.sites[step.index as usize];
            let offset = at.wrapping_sub(site.0);
            if !(offset < site.1 && site.1 - offset >= size) {
                match self.checker.find(at, size) {
                    Found::Inside {
                        base,
                        bytes,
                        initialised,
                    } => *site = (base, bytes, initialised),
                    Found::Outside(note) => {
                        good &= !(1 << i);
                        if self.checker.checks().memory {
                            let who = (step.lane(lanes.chunk * CHUNK + i), at, CheckSpace::Global);
                            self.wrong(step, shape, FindingKind::OutOfBounds, who, note);
                        }
                        continue;
                    }
                }
            }
            if !self.sites[step.index as usize].2 {
                watched |= 1 << i;
            }
        }
        let good = self.aligned(step, shape, lanes, good, CheckSpace::Global);
        if self.checker.checks().init {
            self.global_written(step, shape, lanes, good & watched);
        }
        if self.checker.checks().race_global {
            self.race(step, shape, lanes, good, CheckSpace::Global);
        }
    }

    /// Reads of what nobody wrote; notes writes.
    fn global_written(&mut self, step: &Step<'_>, shape: &Shape, lanes: &Lanes, mask: u16) {
        if mask == 0 {
            return;
        }
        let size = u64::from(shape.bytes);
        let first = lanes.address[0];
        let in_a_row = mask == u16::MAX
            && (0u64..)
                .zip(&lanes.address)
                .all(|(i, &at)| at == first.wrapping_add(i * size));
        if in_a_row {
            let total = size * CHUNK as u64;
            let mut all = true;
            for (page, at, bytes) in pieces(first, total) {
                let page = self.page(page);
                match shape.kind {
                    AccessKind::Write => page.set(at, bytes, true),
                    _ => all &= page.written(at, bytes) == bytes,
                }
            }
            if all {
                return;
            }
        }
        for i in each(mask) {
            let at = lanes.address[i];
            if size > WIDEST as u64 {
                self.range_written(step, shape, (step.lane(lanes.chunk * CHUNK + i), at));
                continue;
            }
            let page = self.page(at / super::shadow::PAGE);
            if shape.kind == AccessKind::Write {
                page.set(at, size, true);
                continue;
            }
            let elements = (0..shape.bytes / shape.unit.max(1)).map(|e| at + u64::from(e * shape.unit));
            let bad = { elements }.find(|&e| page.written(e, u64::from(shape.unit)) == 0);
            if shape.kind == AccessKind::Atomic {
                page.set(at, size, true);
            }
            if let Some(element) = bad {
                let who = (step.lane(lanes.chunk * CHUNK + i), element, CheckSpace::Global);
                self.not_written(step, shape, who);
            }
        }
    }

    /// The same for a range that may be in several pages.
    fn range_written(&mut self, step: &Step<'_>, shape: &Shape, (thread, at): (u32, u64)) {
        let mut bad = None;
        for (number, at, bytes) in pieces(at, u64::from(shape.bytes)) {
            let page = self.page(number);
            if shape.kind != AccessKind::Write && page.written(at, bytes) == 0 {
                bad = bad.or(Some(at));
            }
            if shape.kind != AccessKind::Read {
                page.set(at, bytes, true);
            }
        }
        if let Some(at) = bad {
            self.not_written(step, shape, (thread, at, CheckSpace::Global));
        }
    }

    fn not_written(&self, step: &Step<'_>, shape: &Shape, who: (u32, u64, CheckSpace)) {
        let note = match who.2 {
            CheckSpace::Global => {
                let near = match self.checker.find(who.1, 1) {
                    Found::Inside { base, bytes, .. } => {
                        format!(", {} bytes into the {bytes} bytes at {base:#x}", who.1 - base)
                    }
                    Found::Outside(_) => String::new(),
                };
                format!("neither the host nor a kernel has written there{near}")
            }
            space => {
                let since = if space == CheckSpace::Shared {
                    "block"
                } else {
                    "thread"
                };
                let variable = variable_at(step, space, who.1);
                format!("nobody has written there since the {since} began{variable}")
            }
        };
        self.wrong(step, shape, FindingKind::Uninitialised, who, note);
    }

    /// Whether an access is inside its window and its variable; reports it when not.
    fn inside(
        &self,
        step: &Step<'_>,
        shape: &Shape,
        (object, all): (Option<&Extent>, &[Extent]),
        limit: u64,
        who: (u32, u64, CheckSpace),
    ) -> bool {
        let (_, at, space) = who;
        let size = u64::from(shape.bytes);
        let whole = at < limit && limit - at >= size;
        let note = match object {
            Some(object) if object.holds(at, size) => return whole,
            Some(object) => object.near(at, size),
            None if whole => {
                // Not made from a known variable: at least it has to be in one.
                let before = all.partition_point(|e| e.offset <= at);
                let near = before.checked_sub(1).and_then(|i| all.get(i)).or(all.first());
                match near {
                    Some(extent) if !extent.holds(at, size) => extent.near(at, size),
                    _ => return true,
                }
            }
            None => format!("there are {limit} bytes of {}", space_name(space)),
        };
        if self.checker.checks().memory {
            self.wrong(step, shape, FindingKind::OutOfBounds, who, note);
        }
        // Inside of the memory that there is, it is an access like any other.
        whole
    }

    fn shared(&mut self, step: &Step<'_>, shape: &Shape, lanes: &Lanes, mask: u16) {
        let Some(checks) = step.launch.checks().filter(|_| mask != 0) else {
            return;
        };
        let size = u64::from(shape.bytes);
        let object = lanes.object.and_then(|o| extent_of(step, o, checks));
        let limit = u64::from(step.launch.shared_bytes);
        let mut good = 0;
        for i in each(mask) {
            let who = (
                step.lane(lanes.chunk * CHUNK + i),
                lanes.address[i],
                CheckSpace::Shared,
            );
            let inside = self.inside(step, shape, (object.as_ref(), &checks.shared), limit, who);
            good |= u16::from(inside) << i;
        }
        let good = self.aligned(step, shape, lanes, good, CheckSpace::Shared);
        if self.checker.checks().init && !several(step) {
            for i in each(good) {
                let at = lanes.address[i];
                if shape.kind != AccessKind::Write {
                    let unit = u64::from(shape.unit.max(1));
                    let mut elements = (0..size / unit).map(|e| at + e * unit);
                    if let Some(bad) = elements.find(|&e| count_bits(&self.shared, e, unit) == 0) {
                        let who = (step.lane(lanes.chunk * CHUNK + i), bad, CheckSpace::Shared);
                        self.not_written(step, shape, who);
                    }
                }
            }
            if shape.kind != AccessKind::Read {
                for i in each(good) {
                    set_bits(&mut self.shared, lanes.address[i], size);
                }
            }
        }
        if self.checker.checks().race {
            self.race(step, shape, lanes, good, CheckSpace::Shared);
        }
    }

    fn local(&mut self, step: &Step<'_>, shape: &Shape, lanes: &Lanes, mask: u16) {
        let Some(checks) = step.launch.checks().filter(|_| mask != 0) else {
            return;
        };
        let size = u64::from(shape.bytes);
        let object = lanes.object.and_then(|o| extent_of(step, o, checks));
        let limit = step.launch.local_bytes() as u64;
        let mut good = 0;
        for i in each(mask) {
            let who = (
                step.lane(lanes.chunk * CHUNK + i),
                lanes.address[i],
                CheckSpace::Local,
            );
            let inside = self.inside(step, shape, (object.as_ref(), &checks.local), limit, who);
            good |= u16::from(inside) << i;
        }
        let good = self.aligned(step, shape, lanes, good, CheckSpace::Local);
        if !self.checker.checks().init {
            return;
        }
        let words = step.launch.local_bytes().div_ceil(64);
        for i in each(good) {
            let (thread, at) = (step.lane(lanes.chunk * CHUNK + i), lanes.address[i]);
            let Some(own) = self.local.get_mut(thread as usize) else {
                continue;
            };
            let bits = own.get_or_insert_with(|| vec![0; words].into_boxed_slice());
            if shape.kind != AccessKind::Read {
                set_bits(bits, at, size);
                continue;
            }
            let unit = u64::from(shape.unit.max(1));
            let mut elements = (0..size / unit).map(|e| at + e * unit);
            if let Some(bad) = elements.find(|&e| count_bits(bits, e, unit) == 0) {
                self.not_written(step, shape, (thread, bad, CheckSpace::Local));
            }
        }
    }

    /// Looks who used the bytes before, and notes this use.
    fn race(&mut self, step: &Step<'_>, shape: &Shape, lanes: &Lanes, mask: u16, space: CheckSpace) {
        if step.launch.program().analysed.kernel.cluster_barrier || several(step) {
            // Clocks are those of one block: they do not know the barrier of a cluster.
            return;
        }
        let granule = step.table.granule;
        let global = space == CheckSpace::Global;
        let publishes = shape.strong && step.table.publishes;
        if publishes {
            self.clocks.tick();
        }
        for i in each(mask) {
            let (thread, at) = (step.lane(lanes.chunk * CHUNK + i), lanes.address[i]);
            // Variables of all memories are told apart by their generic address.
            let variable = if global { at } else { at + SHARED_WINDOW };
            if publishes && shape.kind != AccessKind::Write {
                self.clocks.acquire(thread, variable);
                self.acquired |= global;
            }
            let me = Mark {
                time: self.clocks.time(),
                block: step.block_number(),
                thread: u16::try_from(thread).unwrap_or(0),
                kind: shape.kind,
                strong: shape.strong,
                verifies: shape.verifies,
                inst: step.index,
            };
            let mut other = None;
            for g in 0..u64::from(shape.bytes / granule.max(1)) {
                let from = usize::try_from(g * u64::from(granule)).unwrap_or(0);
                let value = lanes.values.as_ref().map(|v| {
                    let mut raw = [0; 4];
                    let n = (granule as usize).min(4);
                    raw[..n].copy_from_slice(&v[i][from..from + n]);
                    u32::from_le_bytes(raw)
                });
                let number = at / u64::from(granule) + g;
                other = self.touch(step, (global, number), me, value).or(other);
            }
            if let Some(other) = other {
                let access = AccessAt {
                    access: shape.kind,
                    space,
                    bytes: shape.bytes,
                    address: at,
                };
                self.report_race(step, thread, access, &other);
            }
            if publishes && shape.kind != AccessKind::Read {
                self.clocks.release(thread, variable);
            }
        }
    }

    fn touch(
        &mut self,
        step: &Step<'_>,
        (global, number): (bool, u64),
        me: Mark,
        value: Option<u32>,
    ) -> Option<Mark> {
        let Self {
            clocks,
            cells,
            acquired,
            ..
        } = self;
        let mine = u32::from(me.thread);
        if !global {
            let cell = cells.cell(usize::try_from(number).unwrap_or(0));
            return cell.touch(me, value, |m| clocks.ordered(u32::from(m.thread), m.time, mine));
        }
        let races = &step.launch.checks()?.races;
        races.touch(number, me, value, |m| {
            if m.block == me.block {
                clocks.ordered(u32::from(m.thread), m.time, mine)
            } else {
                // One published, the other looked: that they mean the same variable is taken for granted.
                *acquired && races.is_released(m.block, m.time)
            }
        })
    }
}
