//! Which memory there is: every allocation with its exact size, and those that are gone, to name what a stray access is near to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::report::{CodePlace, ThreadPlace};

/// Where memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The host asked the driver for it.
    Host,
    /// A kernel called `malloc`.
    Heap,
    /// A `.global` or `.const` variable of a module.
    Variable,
    /// Memory of the host that kernels see.
    Mapped,
    /// The device made it for itself.
    Device,
}

/// An allocation.
#[derive(Debug, Clone)]
pub struct Allocation {
    /// First address.
    pub base: u64,
    /// Bytes asked for.
    pub bytes: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// Its name, for variables.
    pub name: Option<Arc<str>>,
    /// Its contents are not looked at by the check for uninitialised reads: somebody may write it unseen.
    pub initialised: bool,
}

impl Allocation {
    /// Memory that the host allocated.
    #[must_use]
    pub const fn host(base: u64, bytes: u64) -> Self {
        Self {
            base,
            bytes,
            origin: Origin::Host,
            name: None,
            initialised: false,
        }
    }

    pub(super) fn describe(&self) -> String {
        let (base, bytes) = (self.base, self.bytes);
        match (self.origin, &self.name) {
            (_, Some(name)) => format!("the variable `{name}`, {bytes} bytes at {base:#x}"),
            (Origin::Heap, _) => format!("the {bytes} bytes at {base:#x} from malloc in a kernel"),
            (Origin::Mapped, _) => format!("the {bytes} bytes of host memory at {base:#x}"),
            (Origin::Device, _) => format!("the {bytes} bytes at {base:#x} of the device's own"),
            _ => format!("the allocation of {bytes} bytes at {base:#x}"),
        }
    }
}

/// An allocation with what leaks want to know.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) allocation: Allocation,
    /// Who called `malloc`.
    pub(super) made: Option<(CodePlace, ThreadPlace)>,
}

/// What a look at the books says of an access.
pub(super) enum Found {
    /// It lies in this allocation.
    Inside {
        base: u64,
        bytes: u64,
        initialised: bool,
    },
    /// It does not; this is what it is near to.
    Outside(String),
}

/// Addresses below this come from a null pointer.
const NULL: u64 = 1 << 16;
/// From this distance on an allocation is not near.
const FAR: u64 = 1 << 30;

/// Frees that are remembered.
const REMEMBERED: usize = 4096;

/// What there is and what there was.
#[derive(Debug, Default)]
pub(super) struct Allocations {
    live: BTreeMap<u64, Entry>,
    gone: VecDeque<Entry>,
}

impl Allocations {
    pub(super) fn add(&mut self, allocation: Allocation, made: Option<(CodePlace, ThreadPlace)>) {
        self.live.insert(allocation.base, Entry { allocation, made });
    }

    pub(super) fn remove(&mut self, base: u64) -> Option<Allocation> {
        let entry = self.live.remove(&base)?;
        let allocation = entry.allocation.clone();
        if self.gone.len() == REMEMBERED {
            self.gone.pop_front();
        }
        self.gone.push_back(entry);
        Some(allocation)
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Entry> {
        self.live.values()
    }

    pub(super) fn at(&self, base: u64) -> Option<&Allocation> {
        self.live.get(&base).map(|entry| &entry.allocation)
    }

    /// The allocation that was last at `base` and is gone.
    pub(super) fn was_at(&self, base: u64) -> Option<&Allocation> {
        let found = self.gone.iter().rev().find(|e| e.allocation.base == base);
        found.map(|entry| &entry.allocation)
    }

    pub(super) fn find(&self, address: u64, bytes: u64) -> Found {
        let before = self.live.range(..=address).next_back().map(|e| &e.1.allocation);
        if let Some(a) = before
            && address - a.base < a.bytes
        {
            if a.bytes - (address - a.base) >= bytes {
                return Found::Inside {
                    base: a.base,
                    bytes: a.bytes,
                    initialised: a.initialised,
                };
            }
            let over = bytes - (a.bytes - (address - a.base));
            return Found::Outside(format!("runs {over} bytes over the end of {}", a.describe()));
        }
        Found::Outside(self.near(address, bytes, before))
    }

    /// What an access outside of everything is near to.
    fn near(&self, address: u64, bytes: u64, before: Option<&Allocation>) -> String {
        let inside = |e: &&Entry| address.wrapping_sub(e.allocation.base) < e.allocation.bytes;
        if let Some(entry) = self.gone.iter().rev().find(inside) {
            let (a, offset) = (&entry.allocation, address - entry.allocation.base);
            return format!("{offset} bytes into {}, which was freed", a.describe());
        }
        if address < NULL {
            return "next to the null pointer".to_owned();
        }
        let after = self.live.range(address..).next().map(|e| &e.1.allocation);
        let past = before.map(|a| (address - (a.base + a.bytes), a));
        let short = after.map(|a| (a.base.saturating_sub(address.saturating_add(bytes)), a));
        // Far away from everything the nearest allocation explains nothing.
        let past = past.filter(|p| p.0 < FAR);
        let short = short.filter(|s| s.0 < FAR);
        match (past, short) {
            (None, None) => "nothing is allocated near there".to_owned(),
            (Some((far, a)), other) if other.is_none_or(|o| far <= o.0) => {
                format!("{far} bytes after the end of {}", a.describe())
            }
            (_, Some((far, a))) => format!("ends {far} bytes before {}", a.describe()),
            (Some((far, a)), None) => format!("{far} bytes after the end of {}", a.describe()),
        }
    }
}
