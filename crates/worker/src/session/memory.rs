//! Frame buffer and pinned host memory of a session.
//!
//! Freeing waits until the work that was queued before it is done, as CUDA does. The dispatcher must not wait, so such a free is
//! kept with the operations it waits for and settled when the session next asks for memory or about it. The guest library
//! synchronises before it frees, so that this is the exception.
//!
//! ```text
//!   MemFree ─▶ all streams idle? ─ yes ─▶ freed
//!                    └─ no ─▶ kept with the streams' states ─▶ settle_frees: all idle since? ─▶ freed
//! ```

use super::objects::{Kind, StreamObject};
use super::{Answer, Guest};
use crate::limits::ARENA_BYTES;
use crate::memory::host_range;
use crate::refusal::{Refusal, chain};
use crate::sinks::StreamState;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tessera_channel::{ChannelError, RangePool, Session};
use tessera_device::Context;
use tessera_wire::messages::{
    HostAlloc, HostAllocReply, HostRegister, HostRegisterReply, MemAlloc, MemAllocReply, MemFree,
};
use tessera_wire::{CudaCode, HOST_READ_ONLY, Opcode};

/// Pinned memory is given out in pages.
const PAGE: u64 = 4096;
/// Bits of a device address.
const ADDRESS_BITS: u32 = 47;
/// Page tables that addresses of the guest's own may cost, over the life of a session; a few KiB each.
const MOST_TABLES: usize = 65_536;

/// A free that waits.
struct Waiting {
    what: What,
    /// Streams with work from before, each with the last sequence number of that work.
    behind: Vec<(Arc<StreamState>, u64)>,
}

#[derive(Clone, Copy)]
enum What {
    Device { context: u64, address: u64 },
    Host { address: u64 },
    Array { context: u64, array: u64 },
}

/// Pinned memory: where it is in the host arena.
#[derive(Clone, Copy)]
struct Piece {
    offset: u64,
    bytes: u64,
    read_only: bool,
    /// At the guest's own address, outside the arena.
    registered: bool,
}

/// Pinned host memory of a session: pieces of the host arena, mapped in every context.
pub(super) struct HostMemory {
    base: u64,
    pool: RangePool,
    /// What is given out, by address.
    pieces: BTreeMap<u64, Piece>,
    /// Numbers of the 2 MiB for which page tables were made because of registered memory. They stay, so that their number is limited.
    tables: HashSet<u64>,
    waiting: Vec<Waiting>,
    /// Streams whose handles are gone and whose work is not: context, state, last sequence number.
    outliving: Vec<(u64, Arc<StreamState>, u64)>,
}

impl HostMemory {
    pub(super) fn new(base: u64, bytes: u64) -> Self {
        Self {
            base,
            pool: RangePool::new(bytes),
            pieces: BTreeMap::new(),
            tables: HashSet::new(),
            waiting: Vec::new(),
            outliving: Vec::new(),
        }
    }

    /// Maps all there is in a new context.
    pub(super) fn map_all(&self, context: &dyn Context, channel: &Session) -> Result<(), Refusal> {
        for (&address, piece) in &self.pieces {
            map(context, channel, address, piece)?;
        }
        Ok(())
    }

    /// The memory of a context is gone: nothing of it needs to be freed any more.
    pub(super) fn forget_context(&mut self, handle: u64) {
        self.waiting
            .retain(|waiting| !matches!(waiting.what, What::Device { context, .. } | What::Array { context, .. } if context == handle));
    }

    /// Remembers a stream that was destroyed while it had work: frees must wait for that too.
    pub(super) fn outlive(&mut self, stream: &StreamObject) {
        self.outliving.retain(|(_, state, _)| !state.is_idle());
        self.outliving
            .push((stream.context, Arc::clone(&stream.state), stream.last));
    }

    /// Offset of `address`, if `bytes` bytes from there lie in one piece.
    pub(super) fn offset_of(&self, address: u64, bytes: u64) -> Option<u64> {
        let (&start, piece) = self.pieces.range(..=address).next_back()?;
        let inside = address - start;
        (inside.checked_add(bytes)? <= piece.bytes).then_some(piece.offset + inside)
    }

    /// Whether a piece of the arena begins at `address` and has so many bytes.
    pub(super) fn is_allocated(&self, address: u64, bytes: u64) -> bool {
        self.pieces
            .get(&address)
            .is_some_and(|piece| !piece.registered && piece.bytes >= bytes)
    }

    /// Whether `bytes` bytes from `address` are memory that was registered: several pieces in the arena, perhaps, but one range in every
    /// context.
    pub(super) fn is_registered(&self, address: u64, bytes: u64) -> bool {
        let Some(end) = address.checked_add(bytes) else {
            return false;
        };
        let mut covered = address;
        while covered < end {
            match self.pieces.range(..=covered).next_back() {
                Some((&start, piece)) if piece.registered && start + piece.bytes > covered => {
                    covered = start + piece.bytes;
                }
                _ => return false,
            }
        }
        bytes > 0
    }

    /// Counts the page tables that a range of the guest's own needs: one for each 2 MiB that it has a part of, one for each 512 MiB.
    fn book_tables(&mut self, address: u64, bytes: u64) -> bool {
        const SMALL: u64 = 21;
        const LARGE: u64 = 29;
        let last = address + bytes - 1;
        let parts = [address, last].map(|end| end >> SMALL);
        // Told apart from the small ones, whose numbers are below 2^26.
        let large = (address >> LARGE..=last >> LARGE).map(|number| number | 1 << 40);
        let needed: HashSet<_> = parts.into_iter().chain(large).collect();
        let new = needed.difference(&self.tables).count();
        if new > 0 && self.tables.len() + new > MOST_TABLES {
            return false;
        }
        self.tables.extend(needed);
        true
    }
}

fn map(context: &dyn Context, channel: &Session, address: u64, piece: &Piece) -> Result<(), Refusal> {
    let range = channel
        .host(piece.offset, piece.bytes)
        .ok_or_else(|| Refusal::invalid("Pinned memory outside the host arena"))?;
    context.map_host(address, host_range(&range), piece.read_only)?;
    Ok(())
}

impl Guest {
    pub(super) fn mem_alloc(&mut self, message: &MemAlloc) -> Answer<MemAlloc> {
        let address = self.allocate(message.context, message.bytes, message.align)?;
        Ok((MemAllocReply { address }, Vec::new()))
    }

    /// Takes frame buffer for a context; its address.
    pub(super) fn allocate(&mut self, context: u64, bytes: u64, align: u64) -> Result<u64, Refusal> {
        self.settle_frees();
        let context = self.objects.context(context)?;
        let align = if align == 0 { 256 } else { align };
        if bytes == 0 || !align.is_power_of_two() {
            return Err(Refusal::invalid(format!(
                "Allocation of {bytes} bytes with alignment {align}"
            )));
        }
        Ok(context.device.alloc(bytes, align)?)
    }

    pub(super) fn array_destroy(&mut self, array: u64) -> Result<(), ChannelError> {
        let Ok(object) = self.objects.array(array) else {
            return self.stray(Opcode::ArrayDestroy, "an array that does not exist");
        };
        let context = object.context;
        self.free_later(What::Array { context, array }, Some(context));
        Ok(())
    }

    pub(super) fn mem_free(&mut self, message: &MemFree) -> Result<(), ChannelError> {
        if self.objects.context(message.context).is_err() {
            return self.stray(Opcode::MemFree, "a context that does not exist");
        }
        let what = What::Device {
            context: message.context,
            address: message.address,
        };
        self.free_later(what, Some(message.context));
        Ok(())
    }

    /// Frees now or when the work queued by now in these streams is done.
    fn free_later(&mut self, what: What, context: Option<u64>) {
        let outliving = self
            .host
            .outliving
            .iter()
            .filter(|(owner, ..)| context.is_none_or(|context| *owner == context))
            .map(|(_, state, last)| (state, *last));
        let behind: Vec<_> = self
            .objects
            .streams(context)
            .map(|stream| (&stream.state, stream.last))
            .chain(outliving)
            .filter(|(state, _)| !state.is_idle())
            .map(|(state, last)| (Arc::clone(state), last))
            .collect();
        self.host.waiting.push(Waiting { what, behind });
        self.settle_frees();
    }

    /// Frees what waits for nothing any more.
    pub(super) fn settle_frees(&mut self) {
        if self.host.waiting.is_empty() {
            return;
        }
        let mut ready = Vec::new();
        self.host.waiting.retain_mut(|waiting| {
            waiting
                .behind
                .retain(|(state, last)| !state.is_idle() && state.record.published().value < *last);
            if waiting.behind.is_empty() {
                ready.push(waiting.what);
            }
            !waiting.behind.is_empty()
        });
        for what in ready {
            match what {
                What::Device { context, address } => {
                    let Ok(context) = self.objects.context(context) else {
                        continue;
                    };
                    if let Err(error) = context.device.free(address) {
                        tracing::debug!(session = self.info.id, address, error = %chain(&error), "cannot free");
                    }
                }
                What::Host { address } => self.host_release(address),
                What::Array { array, .. } => {
                    // Dropping it frees its memory.
                    self.objects.remove(array, Kind::Array);
                }
            }
        }
    }

    /// Takes a piece of the host arena.
    fn take_host(&mut self, bytes: u64) -> Result<u64, Refusal> {
        let Some(offset) = self.host.pool.take(bytes) else {
            return Err(Refusal::new(
                CudaCode::OutOfMemory,
                format!(
                    "Pinned memory: {bytes} bytes asked for, {} of {} free",
                    self.host.pool.free_bytes(),
                    self.vgpu.limits.host_bytes
                ),
            ));
        };
        Ok(offset)
    }

    /// Maps a new piece in every context of the session, for `context`.
    fn map_host_everywhere(&mut self, context: u64, address: u64, piece: Piece) -> Result<(), Refusal> {
        let mut mapped = Vec::new();
        for (handle, other) in self.objects.contexts() {
            if let Err(refusal) = map(other.device.as_ref(), &self.channel, address, &piece) {
                // A poisoned context cannot keep the others from having memory.
                if other.state.fault().is_some() && handle != context {
                    continue;
                }
                for handle in mapped {
                    self.unmap_in(handle, address);
                }
                self.host.pool.give(piece.offset, piece.bytes);
                return Err(refusal);
            }
            mapped.push(handle);
        }
        self.host.pieces.insert(address, piece);
        Ok(())
    }

    pub(super) fn host_alloc(&mut self, message: &HostAlloc) -> Answer<HostAlloc> {
        self.settle_frees();
        self.objects.context(message.context)?;
        let Some(bytes) = message
            .bytes
            .checked_next_multiple_of(PAGE)
            .filter(|&bytes| bytes > 0)
        else {
            return Err(Refusal::invalid(format!(
                "Pinned memory of {} bytes",
                message.bytes
            )));
        };
        let offset = self.take_host(bytes)?;
        let address = self.host.base + offset;
        let piece = Piece {
            offset,
            bytes,
            read_only: false,
            registered: false,
        };
        self.map_host_everywhere(message.context, address, piece)?;
        let reply = HostAllocReply {
            address,
            offset,
            bytes,
        };
        Ok((reply, Vec::new()))
    }

    pub(super) fn host_register(&mut self, message: &HostRegister) -> Answer<HostRegister> {
        self.settle_frees();
        self.objects.context(message.context)?;
        let &HostRegister {
            address,
            bytes,
            flags,
            ..
        } = message;
        let arena = self.vgpu.arena.base..self.vgpu.arena.base + ARENA_BYTES;
        let end = address.checked_add(bytes).filter(|&end| end <= 1 << ADDRESS_BITS);
        let outside = end.is_some_and(|end| end <= arena.start || address >= arena.end);
        let whole = bytes > 0 && bytes.is_multiple_of(PAGE) && address.is_multiple_of(PAGE);
        if !outside || !whole || address == 0 || flags & !HOST_READ_ONLY != 0 {
            return Err(Refusal::invalid(format!(
                "Registration of {bytes} bytes at {address:#x}, flags {flags:#x}"
            )));
        }
        if self.host.pieces.len() >= self.vgpu.limits.mappings {
            return Err(Refusal::limit(
                "pieces of pinned memory",
                self.vgpu.limits.mappings,
            ));
        }
        let offset = self.take_host(bytes)?;
        if !self.host.book_tables(address, bytes) {
            self.host.pool.give(offset, bytes);
            return Err(Refusal::limit("page tables of registered memory", MOST_TABLES));
        }
        let piece = Piece {
            offset,
            bytes,
            read_only: flags & HOST_READ_ONLY != 0,
            registered: true,
        };
        self.map_host_everywhere(message.context, address, piece)?;
        Ok((HostRegisterReply { offset }, Vec::new()))
    }

    fn unmap_in(&self, context: u64, address: u64) {
        if let Ok(context) = self.objects.context(context)
            && let Err(error) = context.device.unmap_host(address)
        {
            tracing::debug!(session = self.info.id, address, error = %chain(&error), "cannot unmap");
        }
    }

    pub(super) fn host_free(&mut self, address: u64) -> Result<(), ChannelError> {
        if !self.host.pieces.contains_key(&address) {
            return self.stray(Opcode::HostFree, "pinned memory that does not exist");
        }
        self.free_later(What::Host { address }, None);
        Ok(())
    }

    fn host_release(&mut self, address: u64) {
        // Taken out first: a second free of the same piece finds nothing.
        let Some(Piece { offset, bytes, .. }) = self.host.pieces.remove(&address) else {
            return;
        };
        for (_, context) in self.objects.contexts() {
            if let Err(error) = context.device.unmap_host(address) {
                tracing::debug!(session = self.info.id, address, error = %chain(&error), "cannot unmap");
            }
        }
        if let Err(error) = self.channel.discard_host(offset, bytes) {
            tracing::warn!(session = self.info.id, error = %chain(&error), "pages of pinned memory stay in use");
        }
        self.host.pool.give(offset, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_tables_for_scattered_pages_are_limited() {
        let mut memory = HostMemory::new(1 << 40, 1 << 30);
        let place = |index: u64| 0x6000_0000_0000 + (index << 29);
        let last = (0..).find(|&index| !memory.book_tables(place(index), PAGE));
        // A page in every 512 MiB costs two.
        assert_eq!(last, Some(MOST_TABLES as u64 / 2));
        assert!(
            memory.book_tables(place(7), PAGE),
            "where there are tables, there is room"
        );
        assert!(!memory.book_tables(place(7), 3 << 21), "and not beyond");
    }

    #[test]
    fn a_range_of_pieces_is_registered_where_they_follow_each_other() {
        let mut memory = HostMemory::new(1 << 40, 1 << 30);
        let mut insert = |address, pages: u64, registered| {
            let piece = Piece {
                offset: 0,
                bytes: pages * PAGE,
                read_only: false,
                registered,
            };
            memory.pieces.insert(address, piece);
        };
        insert(0x10_000, 1, true);
        insert(0x11_000, 2, true);
        insert(0x13_000, 1, false);
        assert!(memory.is_registered(0x10_800, 0x2_800));
        assert!(!memory.is_registered(0x10_800, 0x2_801), "the next is none");
        assert!(!memory.is_registered(0xf_fff, 2) && !memory.is_registered(0x13_000, 1));
        assert!(!memory.is_registered(0x10_000, 0) && !memory.is_registered(u64::MAX, 2));
    }
}
