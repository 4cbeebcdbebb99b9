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
use crate::memory::host_range;
use crate::refusal::{Refusal, chain};
use crate::sinks::StreamState;
use std::collections::BTreeMap;
use std::sync::Arc;
use tessera_channel::{ChannelError, RangePool, Session};
use tessera_device::Context;
use tessera_wire::messages::{HostAlloc, HostAllocReply, MemAlloc, MemAllocReply, MemFree};
use tessera_wire::{CudaCode, Opcode};

/// Pinned memory is given out in pages.
const PAGE: u64 = 4096;

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

/// Pinned host memory of a session: pieces of the host arena, mapped in every context.
pub(super) struct HostMemory {
    base: u64,
    pool: RangePool,
    /// Offset to length of what is given out.
    pieces: BTreeMap<u64, u64>,
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
            waiting: Vec::new(),
            outliving: Vec::new(),
        }
    }

    /// Maps all there is in a new context.
    pub(super) fn map_all(&self, context: &dyn Context, channel: &Session) -> Result<(), Refusal> {
        for (&offset, &bytes) in &self.pieces {
            map(context, channel, self.base + offset, offset, bytes)?;
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
        let offset = address.checked_sub(self.base)?;
        let (&start, &length) = self.pieces.range(..=offset).next_back()?;
        let end = offset.checked_add(bytes)?;
        (end <= start + length).then_some(offset)
    }
}

fn map(
    context: &dyn Context,
    channel: &Session,
    address: u64,
    offset: u64,
    bytes: u64,
) -> Result<(), Refusal> {
    let range = channel
        .host(offset, bytes)
        .ok_or_else(|| Refusal::invalid("Pinned memory outside the host arena"))?;
    context.map_host(address, host_range(&range), false)?;
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

    pub(super) fn host_alloc(&mut self, message: &HostAlloc) -> Answer<HostAlloc> {
        self.settle_frees();
        self.objects.context(message.context)?;
        let full = || {
            Refusal::new(
                CudaCode::OutOfMemory,
                format!(
                    "Pinned memory: {} bytes asked for, {} of {} free",
                    message.bytes,
                    self.host.pool.free_bytes(),
                    self.vgpu.limits.host_bytes
                ),
            )
        };
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
        let refused = full();
        let offset = self.host.pool.take(bytes).ok_or(refused)?;
        let address = self.host.base + offset;
        let mut mapped = Vec::new();
        for (handle, context) in self.objects.contexts() {
            if let Err(refusal) = map(context.device.as_ref(), &self.channel, address, offset, bytes) {
                // A poisoned context cannot keep the others from having memory.
                if context.state.fault().is_some() && handle != message.context {
                    continue;
                }
                for context in mapped {
                    self.unmap_in(context, address);
                }
                self.host.pool.give(offset, bytes);
                return Err(refusal);
            }
            mapped.push(handle);
        }
        self.host.pieces.insert(offset, bytes);
        let reply = HostAllocReply {
            address,
            offset,
            bytes,
        };
        Ok((reply, Vec::new()))
    }

    fn unmap_in(&self, context: u64, address: u64) {
        if let Ok(context) = self.objects.context(context)
            && let Err(error) = context.device.unmap_host(address)
        {
            tracing::debug!(session = self.info.id, address, error = %chain(&error), "cannot unmap");
        }
    }

    pub(super) fn host_free(&mut self, address: u64) -> Result<(), ChannelError> {
        let known = address
            .checked_sub(self.host.base)
            .is_some_and(|offset| self.host.pieces.contains_key(&offset));
        if !known {
            return self.stray(Opcode::HostFree, "pinned memory that does not exist");
        }
        self.free_later(What::Host { address }, None);
        Ok(())
    }

    fn host_release(&mut self, address: u64) {
        let Some(offset) = address.checked_sub(self.host.base) else {
            return;
        };
        // Taken out first: a second free of the same piece finds nothing.
        let Some(bytes) = self.host.pieces.remove(&offset) else {
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
