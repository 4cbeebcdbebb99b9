//! What a block keeps while it is checked: shadows of its registers, shared and local memory, its clocks.

use std::sync::Arc;

use super::checker::Checker;
use super::clocks::Clocks;
use super::info::{Looked, Table};
use super::races::{Cells, LaunchRaces, Mark};
use super::report::{
    AccessAt, AccessKind, CheckSpace, CodePlace, Finding, FindingKind, OtherSide, ThreadPlace,
};
use super::shadow::Page;
use crate::exec::{Mask, WARPS};
use crate::launch::Launch;
use crate::lir::{DYNAMIC, Object, RESERVED, Space};

/// Pages of the shadow of global memory that a block holds on to.
const HELD: usize = 64;

/// A variable with its size in this launch.
#[derive(Debug, Clone)]
pub(super) struct Extent {
    pub(super) name: Arc<str>,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// What the blocks of a launch share for the checks.
#[derive(Debug)]
pub(crate) struct LaunchChecks {
    pub(super) races: LaunchRaces,
    /// Variables of shared and of local memory, by offset.
    pub(super) shared: Vec<Extent>,
    pub(super) local: Vec<Extent>,
}

impl LaunchChecks {
    /// For a kernel with these variables. Dynamic shared memory goes from `dynamic` to the end, `shared_bytes`.
    pub(crate) fn new(objects: &[Object], dynamic: u32, shared_bytes: u32) -> Self {
        let of = |space: Space| {
            let mut all: Vec<Extent> = objects
                .iter()
                .filter(|o| o.space == space && o.size != 0)
                .map(|o| Extent {
                    name: Arc::clone(&o.name),
                    offset: u64::from(o.offset),
                    bytes: u64::from(o.size),
                })
                .collect();
            if space == Space::Shared && dynamic < shared_bytes {
                all.push(Extent {
                    name: Arc::from(""),
                    offset: u64::from(dynamic),
                    bytes: u64::from(shared_bytes - dynamic),
                });
            }
            all.sort_by_key(|e| e.offset);
            all
        };
        Self {
            races: LaunchRaces::default(),
            shared: of(Space::Shared),
            local: of(Space::Local),
        }
    }
}

/// One instruction of one group, being looked at.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) launch: &'a Launch,
    pub(crate) table: &'a Table,
    /// Index into the table.
    pub(crate) index: u32,
    pub(crate) block: [u32; 3],
    pub(crate) group: usize,
    pub(crate) first_thread: u32,
}

impl<'a> Step<'a> {
    pub(crate) fn looked(&self) -> &'a Looked {
        &self.table.looked[self.index as usize]
    }

    pub(super) fn place_of(&self, at: u32) -> CodePlace {
        place_of(self.launch, at)
    }

    pub(super) fn place(&self) -> CodePlace {
        self.place_of(self.looked().at)
    }

    /// The thread with this number in the block.
    pub(super) fn thread(&self, number: u32) -> ThreadPlace {
        let [x, y, _] = self.launch.geometry().block;
        let (x, y) = (x.max(1), y.max(1));
        ThreadPlace {
            block: self.block,
            thread: [number % x, number / x % y, number / x / y],
        }
    }

    pub(super) fn lane(&self, lane: usize) -> u32 {
        self.first_thread + u32::try_from(lane).unwrap_or(0)
    }

    /// Number of the block in the grid.
    pub(super) fn block_number(&self) -> u32 {
        let [gx, gy, _] = self.launch.geometry().grid;
        let [x, y, z] = self.block;
        z.wrapping_mul(gy)
            .wrapping_add(y)
            .wrapping_mul(gx)
            .wrapping_add(x)
    }
}

/// A place of a kernel by its number.
pub(super) fn place_of(launch: &Launch, at: u32) -> CodePlace {
    let kernel = launch.program().name();
    let places = &launch.program().analysed.kernel.places;
    match places.get(at as usize) {
        Some(p) => CodePlace {
            kernel: Arc::clone(kernel),
            function: Arc::clone(&p.function),
            line: p.line,
            source: p.source.clone(),
        },
        None => CodePlace {
            kernel: Arc::clone(kernel),
            function: Arc::clone(kernel),
            line: 0,
            source: None,
        },
    }
}

/// Where an address was last found to be allocated: first address, bytes, whether its contents are not looked at.
pub(super) type Known = (u64, u64, bool);

/// The shadow of a block.
#[derive(Debug, Clone)]
pub(crate) struct BlockState {
    pub(crate) checker: Arc<Checker>,
    /// By group and tracked register: lanes that hold what nobody wrote.
    pub(super) unwritten: Vec<Vec<Mask>>,
    /// A bit per byte of shared memory that was written.
    pub(super) shared: Vec<u64>,
    /// The same for the local memory of each thread, made when it is first used.
    pub(super) local: Vec<Option<Box<[u64]>>>,
    pub(super) cells: Cells,
    pub(crate) clocks: Clocks,
    pub(super) sites: Vec<Known>,
    pub(super) generation: u64,
    pub(super) pages: Vec<Option<(u64, Arc<Page>)>>,
    /// Some thread did what can learn of other blocks.
    pub(super) acquired: bool,
}

impl BlockState {
    pub(crate) fn new(checker: Arc<Checker>, launch: &Launch, table: &Table, groups: usize) -> Self {
        let tracked = if checker.checks().init { table.tracked } else { 0 };
        let threads = launch.threads as usize;
        let mut shared = vec![0; (launch.shared_bytes as usize).div_ceil(64)];
        let reserved = launch
            .checks()
            .and_then(|c| c.shared.iter().find(|e| &*e.name == RESERVED));
        if let Some(extent) = reserved {
            // The system has cleared it. It begins and ends where words of the shadow do.
            let first = usize::try_from(extent.offset / 64).unwrap_or(0);
            let words = usize::try_from(extent.bytes / 64).unwrap_or(0);
            shared
                .iter_mut()
                .skip(first)
                .take(words)
                .for_each(|w| *w = u64::MAX);
        }
        Self {
            unwritten: vec![vec![[u32::MAX; WARPS]; tracked]; groups],
            shared,
            local: vec![None; if launch.local_bytes() == 0 { 0 } else { threads }],
            cells: Cells::default(),
            clocks: Clocks::default(),
            sites: vec![(0, 0, false); table.looked.len()],
            generation: checker.generation(),
            pages: vec![None; HELD],
            acquired: false,
            checker,
        }
    }

    pub(super) fn races(&self) -> bool {
        let checks = self.checker.checks();
        checks.race || checks.race_global
    }

    /// Whether conflicts need the values that stores write.
    pub(crate) fn wants_values(&self) -> bool {
        self.races()
    }

    /// A page of the shadow of global memory.
    pub(super) fn page(&mut self, number: u64) -> &Page {
        let slot = usize::try_from(number % HELD as u64).unwrap_or(0);
        let held = &mut self.pages[slot];
        if held.as_ref().is_none_or(|h| h.0 != number) {
            *held = None;
        }
        &held.get_or_insert_with(|| (number, self.checker.page(number))).1
    }

    /// Reports something about the thread with this number.
    pub(super) fn report(
        &self,
        step: &Step<'_>,
        kind: FindingKind,
        thread: u32,
        access: Option<AccessAt>,
        note: String,
    ) {
        self.checker.report(Finding {
            kind,
            access,
            place: Some(step.place()),
            thread: Some(step.thread(thread)),
            other: None,
            note,
            count: 1,
        });
    }

    /// Reports a race of a thread with a use before.
    pub(super) fn report_race(&self, step: &Step<'_>, thread: u32, access: AccessAt, other: &Mark) {
        let place = step
            .table
            .looked
            .get(other.inst as usize)
            .map_or_else(|| step.place(), |looked| step.place_of(looked.at));
        let [gx, gy, _] = step.launch.geometry().grid.map(|d| d.max(1));
        let block = [other.block % gx, other.block / gx % gy, other.block / gx / gy];
        let who = step.thread(u32::from(other.thread)).thread;
        let note = match (access.access, other.kind) {
            (AccessKind::Read, _) => "nothing orders the read after the write",
            (_, AccessKind::Read) => "nothing orders the write after the read",
            _ => "nothing orders the two writes",
        };
        let note = format!("{note}{}", variable_at(step, access.space, access.address));
        self.checker.report(Finding {
            kind: FindingKind::Race,
            access: Some(access),
            place: Some(step.place()),
            thread: Some(step.thread(thread)),
            other: Some(OtherSide {
                access: other.kind,
                place,
                thread: ThreadPlace { block, thread: who },
            }),
            note,
            count: 1,
        });
    }
}

/// The variable with number `object`, in a launch.
pub(super) fn extent_of(step: &Step<'_>, object: u32, checks: &LaunchChecks) -> Option<Extent> {
    if object == DYNAMIC {
        return checks.shared.last().filter(|e| e.name.is_empty()).cloned();
    }
    let o = step
        .launch
        .program()
        .analysed
        .kernel
        .objects
        .get(object as usize)?;
    Some(Extent {
        name: Arc::clone(&o.name),
        offset: u64::from(o.offset),
        bytes: u64::from(o.size),
    })
}

impl Extent {
    pub(super) const fn holds(&self, at: u64, bytes: u64) -> bool {
        at >= self.offset && at - self.offset < self.bytes && self.bytes - (at - self.offset) >= bytes
    }

    fn describe(&self) -> String {
        let (bytes, at) = (self.bytes, self.offset);
        if self.name.is_empty() {
            format!("the {bytes} bytes of dynamic shared memory at {at:#x}")
        } else {
            format!("`{}`, {bytes} bytes at {at:#x}", self.name)
        }
    }

    /// Where an access lies that is not inside.
    pub(super) fn near(&self, at: u64, bytes: u64) -> String {
        let end = self.offset + self.bytes;
        if at >= end {
            format!("{} bytes after the end of {}", at - end, self.describe())
        } else if at >= self.offset {
            format!(
                "runs {} bytes over the end of {}",
                at + bytes - end,
                self.describe()
            )
        } else {
            format!("begins {} bytes before {}", self.offset - at, self.describe())
        }
    }
}

/// The variable that an address lies in, as a clause.
pub(super) fn variable_at(step: &Step<'_>, space: CheckSpace, at: u64) -> String {
    let Some(checks) = step.launch.checks() else {
        return String::new();
    };
    let all = match space {
        CheckSpace::Global => return String::new(),
        CheckSpace::Shared => &checks.shared,
        CheckSpace::Local => &checks.local,
    };
    match all.iter().find(|e| e.holds(at, 1)) {
        Some(e) => format!(", {} bytes into {}", at - e.offset, e.describe()),
        None => String::new(),
    }
}

pub(super) const fn space_name(space: CheckSpace) -> &'static str {
    match space {
        CheckSpace::Global => "global memory",
        CheckSpace::Shared => "shared memory",
        CheckSpace::Local => "local memory",
    }
}
