//! What all blocks of a context share: its allocations, the shadow of its global memory, the findings.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::Checks;
use super::allocations::{Allocation, Allocations, Found, Origin};
use super::report::{AccessAt, AccessKind, CheckSpace, CodePlace, Finding, FindingKind, Key, ThreadPlace};
use super::shadow::{Page, Shadow};

/// Findings kept at most; a program with more mistakes than this has been told enough.
const MOST: usize = 10_000;

/// The checks of a context. The device tells it of allocations and of what the host writes; running blocks tell it what they find.
#[derive(Debug)]
pub struct Checker {
    checks: Checks,
    allocations: RwLock<Allocations>,
    /// Changes with the allocations.
    generation: AtomicU64,
    shadow: Shadow,
    findings: Mutex<BTreeMap<Key, (usize, Finding)>>,
}

impl Checker {
    /// Nothing allocated, nothing found.
    #[must_use]
    pub fn new(checks: Checks) -> Arc<Self> {
        Arc::new(Self {
            checks,
            allocations: RwLock::default(),
            generation: AtomicU64::new(1),
            shadow: Shadow::new(),
            findings: Mutex::default(),
        })
    }

    /// What is looked for.
    #[must_use]
    pub const fn checks(&self) -> Checks {
        self.checks
    }

    fn change<R>(&self, with: impl FnOnce(&mut Allocations) -> R) -> R {
        let mut allocations = self.allocations.write().unwrap_or_else(PoisonError::into_inner);
        let result = with(&mut allocations);
        self.generation.fetch_add(1, Ordering::Release);
        result
    }

    /// Memory was allocated. Nobody has written it yet.
    pub fn allocated(&self, allocation: Allocation) {
        if self.checks.init && !allocation.initialised {
            self.shadow.clear(allocation.base, allocation.bytes);
        }
        self.change(|all| all.add(allocation, None));
    }

    /// Memory was freed; false when there was no allocation with this base.
    pub fn freed(&self, base: u64) -> bool {
        self.change(|all| all.remove(base)).is_some()
    }

    /// The host wrote, copied or filled.
    pub fn written(&self, address: u64, bytes: u64) {
        if self.checks.init {
            self.shadow.mark(address, bytes);
        }
    }

    /// Memory was copied inside the device.
    pub fn copied(&self, to: u64, from: u64, bytes: u64) {
        if !self.checks.init {
            return;
        }
        let unseen = |address| {
            matches!(
                self.find(address, 1),
                Found::Inside {
                    initialised: true,
                    ..
                }
            )
        };
        if unseen(from) {
            self.shadow.mark(to, bytes);
        } else {
            self.shadow.copy(to, from, bytes);
        }
    }

    /// The context comes to its end: what is still allocated was leaked.
    pub fn finish(&self) {
        if !self.checks.leak {
            return;
        }
        let allocations = self.allocations.read().unwrap_or_else(PoisonError::into_inner);
        let lost: Vec<_> = allocations
            .live()
            .filter(|e| matches!(e.allocation.origin, Origin::Host | Origin::Heap))
            .cloned()
            .collect();
        drop(allocations);
        for entry in lost {
            let a = &entry.allocation;
            let (place, thread) = entry.made.clone().unzip();
            let note = match a.origin {
                Origin::Heap => format!("{} bytes from malloc at {:#x} were never freed", a.bytes, a.base),
                _ => format!(
                    "the allocation of {} bytes at {:#x} was never freed",
                    a.bytes, a.base
                ),
            };
            let access = place.is_none().then_some(AccessAt {
                access: AccessKind::Write,
                space: CheckSpace::Global,
                bytes: 0,
                address: a.base,
            });
            self.report_as(Finding {
                kind: FindingKind::Leak,
                access,
                place,
                thread,
                other: None,
                note,
                count: 1,
            });
        }
    }

    fn report_as(&self, finding: Finding) {
        let key = finding.key();
        let mut finding = finding;
        if finding.kind == FindingKind::Leak {
            // The address only told them apart.
            finding.access = None;
        }
        let mut findings = self.table();
        let number = findings.len();
        match findings.get_mut(&key) {
            Some(known) => known.1.count += finding.count,
            None if number < MOST => {
                findings.insert(key, (number, finding));
            }
            None => {}
        }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<Key, (usize, Finding)>> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a finding, or counts it when it is known.
    pub(crate) fn report(&self, finding: Finding) {
        self.report_as(finding);
    }

    /// What was found, in the order in which it was first seen.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let mut all: Vec<_> = self.table().values().cloned().collect();
        all.sort_by_key(|f| f.0);
        all.into_iter().map(|f| f.1).collect()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn find(&self, address: u64, bytes: u64) -> Found {
        let allocations = self.allocations.read().unwrap_or_else(PoisonError::into_inner);
        allocations.find(address, bytes)
    }

    pub(super) fn page(&self, page: u64) -> Arc<Page> {
        self.shadow.page(page)
    }

    /// A kernel called `malloc` and got `base`.
    pub(crate) fn heap_allocated(&self, base: u64, bytes: u64, place: CodePlace, thread: ThreadPlace) {
        if self.checks.init {
            self.shadow.clear(base, bytes);
        }
        let allocation = Allocation {
            origin: Origin::Heap,
            ..Allocation::host(base, bytes)
        };
        self.change(|all| all.add(allocation, Some((place, thread))));
    }

    /// A kernel calls `free`; what is wrong with that, if anything is.
    pub(crate) fn heap_freed(&self, base: u64) -> Option<(FindingKind, String)> {
        self.change(|all| {
            if all.at(base).is_some_and(|a| a.origin == Origin::Heap) {
                all.remove(base);
                return None;
            }
            if let Some(a) = all.was_at(base).filter(|a| a.origin == Origin::Heap) {
                return Some((
                    FindingKind::DoubleFree,
                    format!("{} were freed already", a.describe()),
                ));
            }
            let what = match all.find(base, 1) {
                Found::Inside { base: start, .. } => match all.at(start) {
                    Some(a) => format!("{base:#x} is {} bytes into {}", base - start, a.describe()),
                    None => String::new(),
                },
                Found::Outside(near) => format!("{base:#x} is no address that malloc gave: {near}"),
            };
            Some((FindingKind::InvalidFree, what))
        })
    }
}
