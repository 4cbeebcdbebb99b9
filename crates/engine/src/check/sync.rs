//! Barriers and warp-wide instructions: who comes, who cannot come any more, what that orders.

use std::fmt::Write;
use std::sync::Arc;

use super::clocks::Party;
use super::report::{Finding, FindingKind, ThreadPlace};
use super::state::{BlockState, Step, place_of};
use crate::analysis::cfg::NONE;
use crate::cta::{Block, Exit};
use crate::env::Env;
use crate::error::{Fault, FaultKind};
use crate::exec::{Mask, WARPS};
use crate::frame::{GRID_BARRIER, Group, Shared, Wait};

/// Lanes of a group as a party of the block.
pub(crate) fn party(first_thread: u32, mask: &Mask) -> Party {
    let mut party = [0; 32];
    let first = (first_thread / 32) as usize;
    for (w, &lanes) in mask.iter().enumerate() {
        if let Some(place) = party.get_mut(first + w) {
            *place = lanes;
        }
    }
    party
}

/// The instruction that a split of a group waits at: the number of its place, and whether lanes may come to it one by one.
fn waits_at(state: &Shared, group: &Group, pc: u32) -> Option<(u32, bool)> {
    let launch = &state.launch;
    let code = launch.code(group.vector);
    let inst = *code.inst_of_op.get(pc as usize)?;
    let at = launch.program().analysed.insts.get(inst as usize)?.1;
    Some((at, launch.program().analysed.kernel.loose.contains(&at)))
}

fn finding(state: &Shared, kind: FindingKind, at: u32, thread: u32, note: String) -> Finding {
    Finding {
        kind,
        access: None,
        place: Some(place_of(&state.launch, at)),
        thread: Some(ThreadPlace {
            block: state.block,
            thread: state.thread(thread),
        }),
        other: None,
        note,
        count: 1,
    }
}

fn coordinates([x, y, z]: [u32; 3]) -> String {
    format!("({x},{y},{z})")
}

fn first_lane(mask: u32) -> u32 {
    mask.trailing_zeros() & 31
}

/// One warp at a barrier that opens: the lanes that are there must be all that it has, and at one instruction.
struct WarpAt {
    first_thread: u32,
    all: u32,
    live: u32,
    /// Place, whether lanes may come one by one, lanes.
    parts: Vec<(u32, bool, u32)>,
}

impl WarpAt {
    fn judge(&self, state: &Shared) -> Option<Finding> {
        let &(at, loose, lanes) = self.parts.first()?;
        if loose {
            return None;
        }
        let thread = |mask: u32| self.first_thread + first_lane(mask);
        if let Some(&(other, _, theirs)) = self.parts.iter().find(|p| p.0 != at) {
            let there = place_of(&state.launch, other);
            let note = format!(
                "threads of one warp come to the barrier at different instructions: thread {} to this one, thread {} to PTX line {}",
                coordinates(state.thread(thread(lanes))),
                coordinates(state.thread(thread(theirs))),
                there.line
            );
            return Some(finding(state, FindingKind::Barrier, at, thread(lanes), note));
        }
        let here = self.parts.iter().fold(0, |all, p| all | p.2);
        let missing = self.all & !here;
        if missing == 0 {
            return None;
        }
        let exited = missing & !self.live;
        let (who, why) = if exited != 0 {
            (exited, "have exited")
        } else {
            (missing, "are elsewhere")
        };
        let note = format!(
            "{} of the {} threads of the warp {why}, the first is {}; all of a warp have to come to this barrier",
            who.count_ones(),
            self.all.count_ones(),
            coordinates(state.thread(thread(who)))
        );
        Some(finding(state, FindingKind::Barrier, at, thread(here), note))
    }
}

/// Barrier `id` opens, and its splits still wait. Where it is not `counted`, whoever has exited took part.
pub(crate) fn opens(groups: &[Group], state: &mut Shared, id: usize, counted: bool) {
    let Some(mut check) = state.check.take() else {
        return;
    };
    let mut whole = [0; 32];
    let mut everybody = true;
    for group in groups {
        let mut warps: Vec<WarpAt> = (0..WARPS)
            .map(|w| WarpAt {
                first_thread: group.first_thread() + u32::try_from(w).unwrap_or(0) * 32,
                all: group.all[w],
                live: group.live[w],
                parts: Vec::new(),
            })
            .collect();
        let mut here: Mask = [0; WARPS];
        for split in &group.splits {
            if split.wait != Wait::Barrier(u8::try_from(id).unwrap_or(0)) {
                continue;
            }
            let Some((at, loose)) = waits_at(state, group, split.pc) else {
                continue;
            };
            for w in 0..WARPS {
                here[w] |= split.mask[w];
                if split.mask[w] != 0 {
                    warps[w].parts.push((at, loose, split.mask[w]));
                }
            }
        }
        for w in 0..WARPS {
            let took_part = if counted {
                here[w]
            } else {
                here[w] | group.all[w] & !group.live[w]
            };
            everybody &= took_part == group.all[w];
        }
        for (all, own) in whole.iter_mut().zip(party(group.first_thread(), &here)) {
            *all |= own;
        }
        if check.checker.checks().sync && id != GRID_BARRIER {
            for found in warps.iter().filter_map(|w| w.judge(state)) {
                check.checker.report(found);
            }
        }
    }
    if everybody {
        check.clocks.all();
    } else {
        check.clocks.some(id, &whole);
    }
    if id == GRID_BARRIER {
        check.publish(state);
        check.acquired = true;
    }
    state.check = Some(check);
}

impl BlockState {
    /// What the block did so far can be seen by others that look.
    fn publish(&mut self, state: &Shared) {
        let time = self.clocks.tick();
        let [gx, gy, _] = state.launch.geometry().grid;
        let [x, y, z] = state.block;
        let number = z
            .wrapping_mul(gy)
            .wrapping_add(y)
            .wrapping_mul(gx)
            .wrapping_add(x);
        if let Some(checks) = state.launch.checks() {
            checks.races.release(number, time);
        }
    }

    /// A fence was executed.
    pub(crate) fn fence(&mut self, state: &Shared) {
        if self.checker.checks().race_global {
            self.publish(state);
        }
    }

    /// A barrier let a group that is the whole block pass at once.
    pub(crate) fn passed(&mut self, step: &Step<'_>, state: &Shared, mask: &Mask, all: &Mask) {
        self.clocks.all();
        if !self.checker.checks().sync || step.looked().loose {
            return;
        }
        for w in 0..WARPS {
            let warp = WarpAt {
                first_thread: step.lane(w * 32),
                all: all[w],
                live: mask[w],
                parts: vec![(step.looked().at, false, mask[w])],
            };
            if mask[w] != 0
                && let Some(found) = warp.judge(state)
            {
                self.checker.report(found);
            }
        }
    }

    /// A warp-wide instruction was executed by `mask`; `members` gives the member mask of a lane.
    pub(crate) fn members(
        &self,
        step: &Step<'_>,
        (mask, all, live): (&Mask, &Mask, &Mask),
        members: impl Fn(usize) -> u32,
    ) {
        if !self.checker.checks().sync || step.looked().loose {
            return;
        }
        for w in 0..WARPS {
            let mut known = None;
            for lane in (0..32).filter(|lane| mask[w] >> lane & 1 != 0) {
                let named = members(w * 32 + lane);
                let myself = named >> lane & 1 != 0;
                if known == Some(named) && myself {
                    continue;
                }
                known = Some(named);
                let absent = named & !all[w];
                let exited = named & all[w] & !live[w];
                let elsewhere = named & live[w] & !mask[w];
                let mut note = format!("the member mask {named:#010x} ");
                let said = match (myself, absent, exited, elsewhere) {
                    (false, ..) => write!(note, "does not name the thread itself, lane {lane}"),
                    (_, 1.., ..) => write!(
                        note,
                        "names lanes that the block does not have, the first is {}",
                        first_lane(absent)
                    ),
                    (_, _, 1.., _) => write!(
                        note,
                        "names lanes that have exited, the first is {}",
                        first_lane(exited)
                    ),
                    (_, _, _, 1..) => write!(
                        note,
                        "names lanes that are at another instruction, the first is {}",
                        first_lane(elsewhere)
                    ),
                    _ => continue,
                };
                if said.is_ok() {
                    self.report(step, FindingKind::Members, step.lane(w * 32 + lane), None, note);
                }
                break;
            }
        }
    }

    /// A lane did something to the object at generic address `variable` that publishes what it did before.
    pub(crate) fn publishes(&mut self, step: &Step<'_>, lane: usize, variable: u64) {
        if self.races() {
            self.clocks.tick();
            self.clocks.release(step.lane(lane), variable);
        }
    }

    /// A lane looked at the object at generic address `variable`, which tells it what others published there.
    pub(crate) fn learns(&mut self, step: &Step<'_>, lane: usize, variable: u64) {
        if self.races() {
            self.clocks.acquire(step.lane(lane), variable);
        }
    }

    /// The lanes of `mask` came together at a `bar.warp.sync`.
    pub(crate) fn warp_barrier(&mut self, step: &Step<'_>, mask: &Mask) {
        for w in 0..WARPS {
            if mask[w] != 0 && self.races() {
                self.clocks.warp(step.lane(w * 32) / 32, mask[w]);
            }
        }
    }

    /// The lanes of `mask` use a value that nobody wrote, where `operand` is its number among the tracked registers.
    pub(crate) fn uses(&mut self, step: &Step<'_>, operand: u32, mask: &Mask, what: &str) {
        if operand == NONE || !self.checker.checks().init {
            return;
        }
        let Some(shadow) = self.unwritten[step.group].get_mut(operand as usize) else {
            return;
        };
        let mut first = None;
        for w in 0..WARPS {
            let bad = shadow[w] & mask[w];
            shadow[w] &= !bad;
            if bad != 0 && first.is_none() {
                first = Some(w * 32 + first_lane(bad) as usize);
            }
        }
        if let Some(lane) = first {
            let note = format!("{what} depends on a register that nobody has written");
            self.report(step, FindingKind::Uninitialised, step.lane(lane), None, note);
        }
    }

    /// Lanes whose value of a tracked register nobody wrote.
    pub(crate) fn unwritten(&self, step: &Step<'_>, operand: u32) -> Mask {
        let registers = &self.unwritten[step.group];
        let shadow = (operand != NONE)
            .then(|| registers.get(operand as usize))
            .flatten();
        shadow.copied().unwrap_or([0; WARPS])
    }

    /// Notes for the lanes of `mask` of a result whether it depends on what nobody wrote.
    pub(crate) fn set_unwritten(&mut self, step: &Step<'_>, result: u32, mask: &Mask, value: &Mask) {
        if result == NONE {
            return;
        }
        if let Some(shadow) = self.unwritten[step.group].get_mut(result as usize) {
            for w in 0..WARPS {
                shadow[w] = shadow[w] & !mask[w] | value[w] & mask[w];
            }
        }
    }

    /// Reports something about a lane that is no access.
    pub(crate) fn report_at(&self, step: &Step<'_>, kind: FindingKind, lane: usize, note: String) {
        self.report(step, kind, step.lane(lane), None, note);
    }

    /// A lane got memory from `malloc`.
    pub(crate) fn heap_allocated(&self, step: &Step<'_>, lane: usize, base: u64, bytes: u64) {
        let thread = step.thread(step.lane(lane));
        self.checker.heap_allocated(base, bytes, step.place(), thread);
    }
}

impl Block {
    /// Makes what a checked block keeps, when there is somebody to report to.
    pub(crate) fn begin_checks(&mut self, env: &Env<'_>) {
        let (groups, state) = self.groups_mut();
        let Some(checker) = env.memory.checker() else {
            return;
        };
        // The decoding makes the table.
        state.launch.code(true);
        let launch = Arc::clone(&state.launch);
        if let Some(table) = launch.program().analysed.table.get() {
            state.check = Some(Box::new(BlockState::new(checker, &launch, table, groups.len())));
        }
    }

    /// All threads that are left wait at barriers, none of which can open: a GPU would hang.
    pub(crate) fn deadlock(&mut self) -> Option<Exit> {
        let (groups, state) = self.groups_mut();
        let check = state.check.as_ref().filter(|c| c.checker.checks().sync)?;
        let mut waits: Vec<(u32, u32, u32)> = Vec::new();
        for group in groups.iter() {
            for split in &group.splits {
                let (at, _) = waits_at(state, group, split.pc)?;
                let count = split.mask.iter().map(|w| w.count_ones()).sum::<u32>();
                let lane = split.mask.iter().position(|&w| w != 0).unwrap_or(0);
                let lane = u32::try_from(lane).unwrap_or(0) * 32 + first_lane(split.mask[lane % WARPS]);
                match waits.iter_mut().find(|w| w.0 == at) {
                    Some(known) => known.1 += count,
                    None => waits.push((at, count, group.first_thread() + lane)),
                }
            }
        }
        let &(at, _, thread) = waits.first()?;
        let mut note = "no barrier can open:".to_owned();
        for (i, &(at, count, _)) in waits.iter().enumerate() {
            let line = place_of(&state.launch, at).line;
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(note, "{comma} {count} threads wait at PTX line {line}");
        }
        check
            .checker
            .report(finding(state, FindingKind::Deadlock, at, thread, note));
        let place = place_of(&state.launch, at);
        Some(Exit::Fault(Box::new(Fault {
            kind: FaultKind::Deadlock,
            function: Arc::clone(&place.function),
            line: place.line,
            block: state.block,
            thread: state.thread(thread),
            address: 0,
        })))
    }
}
