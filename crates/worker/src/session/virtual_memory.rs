//! Physical memory by handle, reserved addresses, and what is mapped where.
//!
//! ```text
//!   arena of the vGPU, below pinned memory
//!   ├─ context ─┼─ context ─┼─▶            free            ◀─┼─ reserved ─┼─ reserved ─┤
//!   slices, from below                                        addresses, from above
//! ```
//!
//! Addresses and mappings are the session's: a mapping is made in every context, those to come too. A mapping without access is in
//! the books only, so that whoever touches it faults.
//!
//! Invariants
//! * Reserved ranges overlap neither each other nor the slice of a context.
//! * A mapping lies in one reserved range, and mappings do not overlap.

use super::objects::{ContextObject, Objects};
use super::{Answer, Guest};
use crate::limits::Arena;
use crate::refusal::{Refusal, chain};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tessera_channel::ChannelError;
use tessera_device::{Context, DeviceError, Physical, PhysicalRange};
use tessera_wire::messages::{
    AddressFree, AddressFreeReply, AddressReserve, AddressReserveReply, MemCreate, MemCreateReply, MemExport,
    MemExportReply, MemImport, MemImportReply, MemMap, MemMapReply, MemSetAccess, MemSetAccessReply,
    MemUnmap, MemUnmapReply,
};
use tessera_wire::{CudaCode, Opcode};

/// Addresses are mapped in these steps, and reserved at multiples of them.
const GRANULARITY: u64 = 2 << 20;
/// What is reserved is a multiple of the host's page.
const PAGE: u64 = 4096;

/// `CU_MEM_ACCESS_FLAGS_PROT_*`
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    None,
    Read,
    ReadWrite,
}

impl Access {
    fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::None),
            1 => Some(Self::Read),
            3 => Some(Self::ReadWrite),
            _ => None,
        }
    }
}

struct Mapping {
    range: PhysicalRange,
    access: Access,
}

impl Mapping {
    fn make(&self, context: &dyn Context, address: u64) -> Result<(), DeviceError> {
        match self.access {
            Access::None => Ok(()),
            access => context.map_physical(address, &self.range, access == Access::Read),
        }
    }
}

/// Of one session.
#[derive(Default)]
pub(super) struct VirtualMemory {
    handles: HashMap<u64, Arc<dyn Physical>, RandomState>,
    /// Address to length.
    reserved: BTreeMap<u64, u64>,
    mappings: BTreeMap<u64, Mapping>,
}

impl VirtualMemory {
    /// Makes all mappings in a new context.
    pub(super) fn map_all(&self, context: &dyn Context) -> Result<(), Refusal> {
        for (&address, mapping) in &self.mappings {
            mapping.make(context, address)?;
        }
        Ok(())
    }

    /// The lowest reserved address.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.reserved.keys().next().copied()
    }

    fn is_free(&self, start: u64, end: u64) -> bool {
        let before = self.reserved.range(..end).next_back();
        before.is_none_or(|(base, length)| base + length <= start)
    }

    /// The highest free place between `floor` and `ceiling`.
    fn place(&self, (floor, ceiling): (u64, u64), bytes: u64, align: u64) -> Option<u64> {
        let below = |end: u64| end.checked_sub(bytes).map(|start| start & !(align - 1));
        let mut end = ceiling;
        for (&base, &length) in self.reserved.iter().rev() {
            let start = below(end)?;
            if start >= base + length {
                break;
            }
            end = base;
        }
        below(end).filter(|&start| start >= floor)
    }

    /// Where the mappings begin that make up `[address, address + bytes)` without a gap.
    fn whole(&self, address: u64, bytes: u64) -> Result<Vec<u64>, Refusal> {
        let bad = || Refusal::invalid(format!("{bytes} bytes at {address:#x} are not whole mappings"));
        let end = address.checked_add(bytes).filter(|_| bytes > 0).ok_or_else(bad)?;
        let mut at = address;
        let mut found = Vec::new();
        while at < end {
            let mapping = self.mappings.get(&at).ok_or_else(bad)?;
            found.push(at);
            at += mapping.range.bytes();
        }
        if at == end { Ok(found) } else { Err(bad()) }
    }

    /// Whether something is mapped in a range.
    fn is_mapped(&self, start: u64, end: u64) -> bool {
        let before = self.mappings.range(..end).next_back();
        before.is_some_and(|(base, mapping)| base + mapping.range.bytes() > start)
    }

    fn memory(&self, handle: u64) -> Result<&Arc<dyn Physical>, Refusal> {
        self.handles
            .get(&handle)
            .ok_or_else(|| Refusal::handle("memory", handle))
    }

    fn check_new(&self, handle: u64, limit: usize) -> Result<(), Refusal> {
        if handle == 0 || self.handles.contains_key(&handle) {
            return Err(Refusal::invalid(format!("The handle {handle:#x} is taken")));
        }
        check_count("physical memories", self.handles.len(), limit)
    }
}

fn check_count(what: &str, count: usize, limit: usize) -> Result<(), Refusal> {
    if count < limit {
        Ok(())
    } else {
        Err(Refusal::limit(what, limit))
    }
}

/// How many slices contexts may have, so that none reaches a reserved address.
pub(super) fn slices_below(arena: &Arena, lowest: Option<u64>) -> usize {
    lowest.map_or(usize::MAX, |lowest| {
        usize::try_from((lowest - arena.base) / arena.slice).unwrap_or(usize::MAX)
    })
}

/// Where addresses can be reserved: above the contexts, below pinned memory.
fn room(arena: &Arena, objects: &Objects) -> (u64, u64) {
    (
        arena.base + arena.slice * objects.slices_used() as u64,
        arena.host_base,
    )
}

fn unmap(context: &ContextObject, address: u64, access: Access) {
    if access != Access::None
        && let Err(error) = context.device.unmap_physical(address)
    {
        tracing::debug!(address, error = %chain(&error), "cannot unmap");
    }
}

impl Guest {
    pub(super) fn mem_create(&mut self, message: &MemCreate) -> Answer<MemCreate> {
        self.settle_frees();
        self.virtual_memory
            .check_new(message.memory, self.vgpu.limits.mappings)?;
        let memory = self.vgpu.device.create_physical(message.bytes)?;
        self.info.add_physical(&memory);
        let bytes = memory.bytes();
        self.virtual_memory.handles.insert(message.memory, memory);
        Ok((MemCreateReply { bytes }, Vec::new()))
    }

    pub(super) fn mem_release(&mut self, memory: u64) -> Result<(), ChannelError> {
        if self.virtual_memory.handles.remove(&memory).is_none() {
            return self.stray(Opcode::MemRelease, "memory that does not exist");
        }
        Ok(())
    }

    pub(super) fn address_reserve(&mut self, message: &AddressReserve) -> Answer<AddressReserve> {
        let &AddressReserve {
            bytes, align, wanted, ..
        } = message;
        let align = if align == 0 { GRANULARITY } else { align };
        if bytes == 0 || !bytes.is_multiple_of(PAGE) || !align.is_power_of_two() {
            return Err(Refusal::invalid(format!(
                "{bytes} bytes of addresses with alignment {align}"
            )));
        }
        let books = &mut self.virtual_memory;
        check_count(
            "ranges of addresses",
            books.reserved.len(),
            self.vgpu.limits.mappings,
        )?;
        let align = align.max(GRANULARITY);
        let room = room(&self.vgpu.arena, &self.objects);
        let as_wanted = wanted.checked_add(bytes).is_some_and(|end| {
            wanted.is_multiple_of(align) && wanted >= room.0 && end <= room.1 && books.is_free(wanted, end)
        });
        let address = if as_wanted {
            Some(wanted)
        } else {
            books.place(room, bytes, align)
        };
        let address = address.ok_or_else(|| {
            let reason = format!("The vGPU's arena of addresses has no room for {bytes} bytes");
            Refusal::new(CudaCode::OutOfMemory, reason)
        })?;
        books.reserved.insert(address, bytes);
        Ok((AddressReserveReply { address }, Vec::new()))
    }

    pub(super) fn address_free(&mut self, message: &AddressFree) -> Answer<AddressFree> {
        let &AddressFree { address, bytes, .. } = message;
        let books = &mut self.virtual_memory;
        if books.reserved.get(&address) != Some(&bytes) || books.is_mapped(address, address + bytes) {
            return Err(Refusal::invalid(format!(
                "{bytes} bytes at {address:#x} are not reserved addresses without mappings"
            )));
        }
        books.reserved.remove(&address);
        Ok((AddressFreeReply { bytes }, Vec::new()))
    }

    pub(super) fn mem_map(&mut self, message: &MemMap) -> Answer<MemMap> {
        let &MemMap {
            address,
            bytes,
            offset,
            memory,
            ..
        } = message;
        let books = &mut self.virtual_memory;
        check_count("mappings", books.mappings.len(), self.vgpu.limits.mappings)?;
        let range = PhysicalRange::new(Arc::clone(books.memory(memory)?), offset, bytes)?;
        let bad = || Refusal::invalid(format!("{bytes} bytes cannot be mapped at {address:#x}"));
        let end = address.checked_add(bytes).ok_or_else(bad)?;
        let inside = books
            .reserved
            .range(..=address)
            .next_back()
            .is_some_and(|(base, length)| end <= base + length);
        let pages = address.is_multiple_of(GRANULARITY) && (bytes | offset).is_multiple_of(4096);
        if !inside || !pages || books.is_mapped(address, end) {
            return Err(bad());
        }
        let mapping = Mapping {
            range,
            access: Access::None,
        };
        books.mappings.insert(address, mapping);
        Ok((MemMapReply { bytes }, Vec::new()))
    }

    pub(super) fn mem_unmap(&mut self, message: &MemUnmap) -> Answer<MemUnmap> {
        let whole = self.virtual_memory.whole(message.address, message.bytes)?;
        for address in &whole {
            if let Some(mapping) = self.virtual_memory.mappings.remove(address) {
                for (_, context) in self.objects.contexts() {
                    unmap(context, *address, mapping.access);
                }
            }
        }
        let mappings = whole.len() as u64;
        Ok((MemUnmapReply { mappings }, Vec::new()))
    }

    pub(super) fn mem_set_access(&mut self, message: &MemSetAccess) -> Answer<MemSetAccess> {
        let access = Access::from_number(message.access)
            .ok_or_else(|| Refusal::invalid(format!("Access {}", message.access)))?;
        let whole = self.virtual_memory.whole(message.address, message.bytes)?;
        for &address in &whole {
            let Some(mapping) = self.virtual_memory.mappings.get_mut(&address) else {
                continue;
            };
            let before = std::mem::replace(&mut mapping.access, access);
            if before == access {
                continue;
            }
            for (_, context) in self.objects.contexts() {
                unmap(context, address, before);
                mapping.make(context.device.as_ref(), address)?;
            }
        }
        let mappings = whole.len() as u64;
        Ok((MemSetAccessReply { mappings }, Vec::new()))
    }

    pub(super) fn mem_export(&mut self, message: &MemExport) -> Answer<MemExport> {
        let memory = if message.memory == 0 {
            let context = self.objects.context(message.context)?;
            let memory = context.device.share(message.address)?;
            self.info.add_physical(&memory);
            memory
        } else {
            Arc::clone(self.virtual_memory.memory(message.memory)?)
        };
        let token = self.vgpu.export(&memory)?;
        let bytes = memory.bytes();
        Ok((MemExportReply { token, bytes }, Vec::new()))
    }

    pub(super) fn mem_import(&mut self, message: &MemImport) -> Answer<MemImport> {
        self.virtual_memory
            .check_new(message.memory, self.vgpu.limits.mappings)?;
        let memory = self
            .vgpu
            .import(&message.token)
            .ok_or_else(|| Refusal::invalid("No memory of this vGPU has this token, or it is gone"))?;
        let bytes = memory.bytes();
        self.virtual_memory.handles.insert(message.memory, memory);
        Ok((MemImportReply { bytes }, Vec::new()))
    }
}
