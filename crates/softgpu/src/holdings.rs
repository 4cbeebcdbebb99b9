//! What a context holds: allocations and mappings by address. Tables, addresses and the device's ledger change together here.
//!
//! Invariants
//! * Sum over the allocations of a context = its `used`; sum over the contexts and physical memory = `used` of the device
//!   ([`crate::SoftGpu::check_ledger`]).
//! * After an allocation lies at least one unmapped page, so that running past its end finds nothing.

use crate::fb::FrameBuffer;
use crate::memory::{Memory, Pages};
use crate::physical::SoftPhysical;
use crate::ranges::Ranges;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tessera_device::{DeviceError, DevicePtr, HostRange};
use tessera_engine::{LOCAL_WINDOW, SHARED_WINDOW, WINDOW_BYTES};
use tessera_mmu::{AddressSpace, Flags, LARGE_PAGE_BYTES, MapError, PAGE_BYTES};

enum Backing {
    /// Pages of the frame buffer.
    FrameBuffer(Pages),
    /// Memory of the host; kept alive by the range.
    Host(HostRange),
    /// Pages of the frame buffer that others may hold too, and that are not counted here.
    Physical(Arc<SoftPhysical>),
}

/// Who may take a holding away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An allocation of the user's.
    Allocation,
    /// Of the device itself: variables of a module, the heap of kernels, the workspace of a cooperative launch.
    Internal,
    /// A mapping of host memory.
    Host,
    /// A mapping of physical memory.
    Physical,
}

struct Holding {
    kind: Kind,
    /// Bytes asked for.
    bytes: u64,
    /// Bytes mapped: whole pages.
    mapped: u64,
    /// Addresses taken from the arena, the unmapped page behind included: (start, length), or nothing outside of the arena.
    reserved: Option<(u64, u64)>,
    backing: Backing,
}

#[derive(Default)]
struct Table {
    addresses: Ranges,
    holdings: BTreeMap<DevicePtr, Holding>,
    /// Frame buffer held, bytes.
    used: u64,
    closed: bool,
}

/// All memory of a context.
pub(crate) struct Holdings {
    arena: (u64, u64),
    table: Mutex<Table>,
}

fn invalid(text: String) -> DeviceError {
    DeviceError::InvalidValue(text)
}

fn closed() -> DeviceError {
    invalid("the context is destroyed".to_owned())
}

/// Whether a range touches the windows through which kernels see shared and local memory.
fn in_a_window(base: u64, bytes: u64) -> bool {
    [SHARED_WINDOW, LOCAL_WINDOW]
        .iter()
        .any(|&window| base < window + WINDOW_BYTES && window < base.saturating_add(bytes))
}

impl Holdings {
    /// Nothing held; addresses come from `arena` (start, length).
    pub(crate) fn new(arena: (u64, u64)) -> Result<Self, DeviceError> {
        let (start, length) = arena;
        let whole = start.is_multiple_of(LARGE_PAGE_BYTES) && length.is_multiple_of(LARGE_PAGE_BYTES);
        let end = start.checked_add(length).filter(|&end| end <= 1 << 47);
        if !whole || start == 0 || length == 0 || end.is_none() || in_a_window(start, length) {
            return Err(invalid(format!("arena {start:#x} + {length:#x}")));
        }
        Ok(Self {
            arena,
            table: Mutex::new(Table {
                addresses: Ranges::new(start, length),
                ..Table::default()
            }),
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Frame buffer held, bytes, and the same summed over the allocations.
    pub(crate) fn used(&self) -> (u64, u64) {
        let table = self.table();
        let of_one = |holding: &Holding| match &holding.backing {
            Backing::FrameBuffer(pages) => pages.bytes(),
            Backing::Host(_) | Backing::Physical(_) => 0_u64,
        };
        (table.used, table.holdings.values().map(of_one).sum())
    }

    /// Allocates zeroed frame buffer of a file.
    pub(crate) fn alloc(
        &self,
        (memory, file): (&Memory, &Arc<FrameBuffer>),
        space: &AddressSpace,
        bytes: u64,
        align: u64,
        kind: Kind,
    ) -> Result<DevicePtr, DeviceError> {
        if bytes == 0 {
            return Err(invalid("an allocation of no bytes".to_owned()));
        }
        if !align.is_power_of_two() {
            return Err(invalid(format!("alignment {align} is not a power of two")));
        }
        let mapped = bytes
            .checked_next_multiple_of(PAGE_BYTES)
            .filter(|&mapped| mapped < self.arena.1)
            .ok_or_else(|| invalid(format!("an allocation of {bytes} bytes")))?;
        let pages = memory.take(file, mapped)?;
        let mut table = self.table();
        let placed = if table.closed {
            Err(closed())
        } else {
            table
                .place(mapped, align)
                .ok_or_else(|| DeviceError::OutOfMemory {
                    requested: bytes,
                    free: table.addresses.total(),
                    total: self.arena.1,
                })
        };
        let placed = placed.and_then(|reserved| {
            map_pages(space, reserved.0, &pages, Flags::empty())
                .map(|()| reserved)
                .inspect_err(|_| {
                    table.addresses.give(reserved.0, reserved.1);
                })
        });
        match placed {
            Ok(reserved) => {
                table.used += mapped;
                table.holdings.insert(
                    reserved.0,
                    Holding {
                        kind,
                        bytes,
                        mapped,
                        reserved: Some(reserved),
                        backing: Backing::FrameBuffer(pages),
                    },
                );
                Ok(reserved.0)
            }
            Err(error) => {
                drop(table);
                memory.retire(Some(pages), None);
                Err(error)
            }
        }
    }

    /// Maps host memory.
    pub(crate) fn map_host(
        &self,
        space: &AddressSpace,
        address: DevicePtr,
        host: HostRange,
        read_only: bool,
    ) -> Result<(), DeviceError> {
        let bytes = host.len() as u64;
        if in_a_window(address, bytes) {
            return Err(invalid(format!(
                "address {address:#x} belongs to shared or local memory"
            )));
        }
        let mut flags = Flags::HOST;
        flags.set(Flags::READ_ONLY, read_only);
        let mut table = self.table();
        if table.closed {
            return Err(closed());
        }
        // SAFETY: the range keeps the memory mapped; it is dropped only after its mapping is gone and every executor has passed a
        // safe point (`Memory::retire`).
        unsafe { space.map(address, host.as_ptr(), bytes, flags) }.map_err(|error| map_error(&error))?;
        let reserved = table
            .addresses
            .take_exactly(address, bytes)
            .then_some((address, bytes));
        table.holdings.insert(
            address,
            Holding {
                kind: Kind::Host,
                bytes,
                mapped: bytes,
                reserved,
                backing: Backing::Host(host),
            },
        );
        Ok(())
    }

    /// Maps `bytes` bytes of physical memory from `offset`, which lie inside.
    pub(crate) fn map_physical(
        &self,
        space: &AddressSpace,
        address: DevicePtr,
        physical: &Arc<SoftPhysical>,
        (offset, bytes): (u64, u64),
        read_only: bool,
    ) -> Result<(), DeviceError> {
        if in_a_window(address, bytes) {
            return Err(invalid(format!(
                "address {address:#x} belongs to shared or local memory"
            )));
        }
        if !offset.is_multiple_of(PAGE_BYTES) || !bytes.is_multiple_of(PAGE_BYTES) {
            return Err(invalid(format!("{bytes} bytes at {offset} are not whole pages")));
        }
        let mut flags = Flags::empty();
        flags.set(Flags::READ_ONLY, read_only);
        let mut table = self.table();
        if table.closed {
            return Err(closed());
        }
        let part = physical
            .part(offset, bytes)
            .ok_or_else(|| invalid("physical memory that is being given back".to_owned()))?;
        map_pages(space, address, &part, flags)?;
        let reserved = table
            .addresses
            .take_exactly(address, bytes)
            .then_some((address, bytes));
        table.holdings.insert(
            address,
            Holding {
                kind: Kind::Physical,
                bytes,
                mapped: bytes,
                reserved,
                backing: Backing::Physical(Arc::clone(physical)),
            },
        );
        Ok(())
    }

    /// The pages of an allocation as physical memory; from now on they are not counted here. `adopt` makes it.
    pub(crate) fn share(
        &self,
        base: DevicePtr,
        adopt: impl FnOnce(Pages) -> Arc<SoftPhysical>,
    ) -> Result<Arc<SoftPhysical>, DeviceError> {
        let mut table = self.table();
        let table = &mut *table;
        let holding = table
            .holdings
            .get_mut(&base)
            .filter(|holding| holding.kind == Kind::Allocation)
            .ok_or_else(|| DeviceError::NotFound(format!("allocation with base {base:#x}")))?;
        if let Backing::FrameBuffer(pages) = &mut holding.backing {
            table.used -= holding.mapped;
            let pages = Pages {
                file: Arc::clone(&pages.file),
                pieces: std::mem::take(&mut pages.pieces),
            };
            holding.backing = Backing::Physical(adopt(pages));
        }
        match &holding.backing {
            Backing::Physical(physical) => Ok(Arc::clone(physical)),
            Backing::FrameBuffer(_) | Backing::Host(_) => {
                Err(DeviceError::NotFound(format!("frame buffer at {base:#x}")))
            }
        }
    }

    /// Takes a holding of this kind away by its base.
    pub(crate) fn remove(
        &self,
        memory: &Memory,
        space: &AddressSpace,
        base: DevicePtr,
        kind: Kind,
    ) -> Result<(), DeviceError> {
        let mut table = self.table();
        if table
            .holdings
            .get(&base)
            .is_none_or(|holding| holding.kind != kind)
        {
            let what = match kind {
                Kind::Allocation => "allocation",
                Kind::Internal => "internal allocation",
                Kind::Host => "host mapping",
                Kind::Physical => "mapping of physical memory",
            };
            return Err(DeviceError::NotFound(format!("{what} with base {base:#x}")));
        }
        let removed = table.take(base);
        if let Some((_, mapped)) = &removed {
            // Before the addresses can be taken by the next allocation, which needs this lock.
            unmap(space, base, *mapped);
        }
        drop(table);
        if let Some((backing, _)) = removed {
            retire(memory, backing);
        }
        Ok(())
    }

    /// Base and bytes of what holds `address`.
    pub(crate) fn range_of(&self, address: DevicePtr) -> Option<(DevicePtr, u64)> {
        let table = self.table();
        let (&base, holding) = table.holdings.range(..=address).next_back()?;
        (address - base < holding.bytes).then_some((base, holding.bytes))
    }

    /// Offset of an allocation in a file, if it lies there in one piece.
    pub(crate) fn place_of(&self, base: DevicePtr, file: &Arc<FrameBuffer>) -> Option<u64> {
        let table = self.table();
        let holding = table.holdings.get(&base)?;
        let pages = match &holding.backing {
            _ if holding.kind != Kind::Allocation => return None,
            Backing::FrameBuffer(pages) => pages,
            Backing::Physical(physical) => physical.pages()?,
            Backing::Host(_) => return None,
        };
        match pages.pieces.as_slice() {
            &[(offset, _)] if Arc::ptr_eq(&pages.file, file) => Some(offset),
            _ => None,
        }
    }

    /// Takes everything away, for good.
    pub(crate) fn close(&self, memory: &Memory, space: &AddressSpace) {
        let mut table = self.table();
        table.closed = true;
        let bases: Vec<_> = table.holdings.keys().copied().collect();
        let mut backings = Vec::new();
        for base in bases {
            if let Some((backing, mapped)) = table.take(base) {
                unmap(space, base, mapped);
                backings.push(backing);
            }
        }
        debug_assert_eq!(table.used, 0, "ledger of a closed context");
        drop(table);
        backings.into_iter().for_each(|backing| retire(memory, backing));
    }
}

impl Table {
    /// Addresses for `mapped` bytes and an unmapped page behind them. Large allocations begin at a large page.
    fn place(&mut self, mapped: u64, align: u64) -> Option<(u64, u64)> {
        let granule = if mapped >= LARGE_PAGE_BYTES {
            LARGE_PAGE_BYTES
        } else {
            PAGE_BYTES
        };
        let length = (mapped + PAGE_BYTES).checked_next_multiple_of(granule)?;
        let start = self.addresses.take(length, align.max(granule))?;
        Some((start, length))
    }

    /// Takes a holding out of the books: its backing and the bytes mapped.
    fn take(&mut self, base: DevicePtr) -> Option<(Backing, u64)> {
        let holding = self.holdings.remove(&base)?;
        if let Some((start, length)) = holding.reserved {
            self.addresses.give(start, length);
        }
        if let Backing::FrameBuffer(_) = holding.backing {
            self.used -= holding.mapped;
        }
        Some((holding.backing, holding.mapped))
    }
}

fn map_error(error: &MapError) -> DeviceError {
    invalid(error.to_string())
}

fn map_pages(space: &AddressSpace, base: u64, pages: &Pages, flags: Flags) -> Result<(), DeviceError> {
    let mut at = base;
    for &(offset, bytes) in &pages.pieces {
        // SAFETY: pages of a file stay mapped as long as somebody holds the file, as whoever holds pages does until they are
        // scrubbed; they change owner only by way of `Memory::retire`.
        let mapped = unsafe { space.map(at, pages.file.pointer(offset), bytes, flags) };
        if let Err(error) = mapped {
            if at > base {
                unmap(space, base, at - base);
            }
            return Err(map_error(&error));
        }
        at += bytes;
    }
    Ok(())
}

fn unmap(space: &AddressSpace, base: u64, bytes: u64) {
    if let Err(error) = space.unmap(base, bytes) {
        // The books said that it is mapped: they and the tables disagree, which is a defect of this crate.
        tracing::error!(%error, base, bytes, "page tables disagree with the ledger");
        debug_assert!(false, "page tables disagree with the ledger: {error}");
    }
}

fn retire(memory: &Memory, backing: Backing) {
    match backing {
        Backing::FrameBuffer(pages) => memory.retire(Some(pages), None),
        Backing::Host(range) => memory.retire(None, Some(Box::new(range))),
        // Its pages are retired after the last holder has let go, which is after this mapping went.
        Backing::Physical(physical) => drop(physical),
    }
}
