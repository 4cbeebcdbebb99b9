//! Contexts: creation, limits, faults, printed text.

use super::objects::{ContextObject, Kind, Object};
use super::virtual_memory::slices_below;
use super::{Answer, Guest};
use crate::refusal::{Refusal, cut, fault_code};
use crate::sinks::{ContextState, PrintBuffer};
use std::collections::HashSet;
use std::sync::Arc;
use tessera_channel::ChannelError;
use tessera_device::ContextOptions;
use tessera_wire::messages::{
    ContextCreate, ContextCreateReply, ContextFault, ContextFaultReply, ContextSetLimit,
    ContextSetLimitReply, ContextWaits, ContextWaitsReply, PrintfDrain, PrintfDrainReply,
};
use tessera_wire::{AddressList, CudaCode};

/// CUDA's defaults for `CU_LIMIT_STACK_SIZE`, `CU_LIMIT_MALLOC_HEAP_SIZE` and `CU_LIMIT_PRINTF_FIFO_SIZE`.
const STACK_BYTES: u64 = 1024;
const HEAP_BYTES: u64 = 8 << 20;
const PRINTF_BYTES: u64 = 1 << 20;
/// Most that a guest can ask for: what the worker itself holds, or a local window can have.
const MOST_STACK_BYTES: u64 = 512 << 10;
const MOST_PRINTF_BYTES: u64 = 64 << 20;

/// Most addresses in an answer.
const MOST_ADDRESSES: usize = 1024;

fn or_default(value: u64, default: u64) -> u64 {
    if value == 0 { default } else { value }
}

impl Guest {
    pub(super) fn context_create(
        &mut self,
        message: &ContextCreate,
    ) -> Result<Answer<ContextCreate>, ChannelError> {
        let limit = self.vgpu.limits.contexts;
        if let Err(refusal) = self.objects.check_new(message.handle, Kind::Context, limit) {
            return Ok(Err(refusal));
        }
        // Broken only by a guest library that is not ours.
        let record = Arc::new(self.channel.record(message.completion, message.token)?);
        let most = slices_below(&self.vgpu.arena, self.virtual_memory.lowest());
        let Some(slice) = self.objects.take_slice(most) else {
            let reason = "The vGPU's arena of addresses has no room for another context";
            return Ok(Err(Refusal::new(CudaCode::OutOfMemory, reason)));
        };
        let made = self.make_context(message, slice, record);
        if made.is_err() {
            self.objects.give_slice(slice);
        }
        Ok(made)
    }

    fn make_context(
        &mut self,
        message: &ContextCreate,
        slice: usize,
        record: Arc<tessera_channel::RecordWriter>,
    ) -> Answer<ContextCreate> {
        let bar1 = self.bar1();
        let arena = &self.vgpu.arena;
        // Inside the arena: `slices` was chosen so.
        let device_base = arena.base + arena.slice * slice as u64;
        let printf_bytes = or_default(message.printf_bytes, PRINTF_BYTES).min(MOST_PRINTF_BYTES);
        let stack_bytes = or_default(message.stack_bytes, STACK_BYTES);
        if stack_bytes > MOST_STACK_BYTES {
            return Err(Refusal::invalid(format!(
                "A stack of {stack_bytes} bytes per thread, at most {MOST_STACK_BYTES}"
            )));
        }
        let heap_bytes = or_default(message.heap_bytes, HEAP_BYTES);
        let limit = usize::try_from(printf_bytes).unwrap_or(usize::MAX);
        let printer = Arc::new(PrintBuffer::new(Arc::clone(&record), limit));
        let device = self.vgpu.device.create_context(ContextOptions {
            arena: (device_base, arena.slice),
            printer: Arc::clone(&printer) as Arc<dyn tessera_device::Printer>,
            stack_bytes,
            heap_bytes,
            bar1,
        })?;
        self.host.map_all(device.as_ref(), &self.channel)?;
        self.virtual_memory.map_all(device.as_ref())?;
        self.info.add_context(&device);
        let context = ContextObject {
            device,
            state: Arc::new(ContextState::new(record, Arc::clone(&self.info))),
            printer,
            stack_bytes,
            slice,
            children: HashSet::default(),
        };
        self.objects.insert(message.handle, Object::Context(context));
        let reply = ContextCreateReply {
            device_base,
            device_bytes: arena.slice,
        };
        Ok((reply, Vec::new()))
    }

    pub(super) fn context_destroy(&mut self, handle: u64) {
        self.settle_frees();
        if let Some(Object::Context(context)) = self.objects.remove(handle, Kind::Context) {
            self.info.remember(context.device.counters());
            self.host.forget_context(handle);
        } else {
            tracing::debug!(session = self.info.id, handle, "no such context to destroy");
        }
    }

    pub(super) fn context_set_limit(&mut self, message: &ContextSetLimit) -> Answer<ContextSetLimit> {
        // For the refusal where there is none.
        self.objects.context(message.context)?;
        let Some(context) = self.objects.context_mut(message.context) else {
            return Err(Refusal::handle("context", message.context));
        };
        let in_use =
            |what: &str| Refusal::invalid(format!("A kernel that uses the {what} was launched already"));
        let value = match message.limit {
            0 => {
                context.stack_bytes = message.value.min(MOST_STACK_BYTES);
                context.device.set_stack_bytes(context.stack_bytes);
                context.stack_bytes
            }
            1 if context.device.has_printed() => return Err(in_use("text of kernels")),
            1 => {
                let value = message.value.min(MOST_PRINTF_BYTES);
                context
                    .printer
                    .set_limit(usize::try_from(value).unwrap_or(usize::MAX));
                value
            }
            2 if message.value > self.vgpu.device.memory().total => {
                let reason = format!("A heap of {} bytes is more than the frame buffer", message.value);
                return Err(Refusal::new(CudaCode::OutOfMemory, reason));
            }
            2 => {
                if !context.device.set_heap_bytes(message.value) {
                    return Err(in_use("heap"));
                }
                message.value
            }
            other => {
                let reason = format!("The worker keeps no limit with the number {other}");
                return Err(Refusal::new(CudaCode::UnsupportedLimit, reason));
            }
        };
        Ok((ContextSetLimitReply { value }, Vec::new()))
    }

    pub(super) fn context_fault(&self, handle: u64) -> Answer<ContextFault> {
        let context = self.objects.context(handle)?;
        let fault = context.state.fault().or_else(|| context.device.fault());
        Ok(fault.map_or_else(
            || (ContextFaultReply::default(), Vec::new()),
            |fault| {
                let mut text = fault.to_string();
                cut(&mut text, 4096);
                let reply = ContextFaultReply {
                    code: fault_code(fault.kind).number(),
                    ..ContextFaultReply::default()
                };
                (reply, text.into_bytes())
            },
        ))
    }

    pub(super) fn context_waits(&self, handle: u64) -> Answer<ContextWaits> {
        let mut addresses = self.objects.context(handle)?.device.stuck_at();
        let reply = ContextWaitsReply {
            waits: addresses.len() as u64,
        };
        addresses.truncate(MOST_ADDRESSES);
        Ok((reply, AddressList(addresses).encode()))
    }

    pub(super) fn printf_drain(&self, handle: u64) -> Answer<PrintfDrain> {
        let context = self.objects.context(handle)?;
        let room = self
            .channel
            .reply_capacity()
            .saturating_sub(size_of::<PrintfDrainReply>());
        let drained = context.printer.drain(room);
        let reply = PrintfDrainReply {
            lost: drained.lost,
            to_stderr: u32::from(drained.to_stderr),
            more: u32::from(drained.more),
        };
        Ok((reply, drained.text))
    }
}
