//! One guest process: its objects, and the dispatch of its messages.
//!
//! ```text
//!   Receiver ─▶ Guest::dispatch ─┬─ context.rs   contexts, limits, printed text
//!                                ├─ bar1.rs      memory that the guest reaches by itself
//!                                ├─ memory.rs    frame buffer, pinned memory
//!                                ├─ virtual_memory.rs  memory apart from addresses
//!                                ├─ module.rs    modules, functions, variables
//!                                ├─ stream.rs    streams, events
//!                                ├─ image.rs     arrays, textures, surfaces
//!                                └─ work.rs      launches, copies, fills
//! ```
//!
//! A call is answered in every case. A posted message that is refused shows in the completion record of its stream; one that
//! names no object at all is counted, and too many of them end the session. Only a broken protocol (a record index out of
//! range, a sequence number that does not rise) ends it at once.
//!
//! Everything that a session holds is owned by its [`Guest`]; dropping that frees it, whatever the reason.

mod bar1;
mod context;
mod graph;
mod image;
mod memory;
mod module;
mod objects;
mod stream;
mod virtual_memory;
mod work;

use crate::memory::Budget;
use crate::queue::Queue;
use crate::refusal::Refusal;
use crate::sinks::Callers;
use crate::vgpu::{SessionInfo, Vgpu};
use memory::HostMemory;
use objects::Objects;
use std::sync::Arc;
use tessera_channel::{ChannelError, Session};
use tessera_wire::messages::{
    AddressFree, AddressReserve, ArrayCreate, Bar1Alloc, Bar1Open, ContextCreate, ContextFault,
    ContextSetLimit, ContextWaits, EventExport, EventImport, EventReached, FunctionGet, FunctionList,
    GlobalGet, GraphSeal, Hello, HostAlloc, HostRegister, ImageCreate, LinkCheck, MemAlloc, MemCreate,
    MemExport, MemImport, MemInfo, MemInfoReply, MemMap, MemSetAccess, MemUnmap, ModuleLoad, ModuleManaged,
    Ping, PingReply, PrintfDrain, QueryFaults, QueryFaultsReply, QueryUse, QueryUseReply, QueryVgpu,
    QueryVgpuReply, ReferenceGet,
};
use tessera_wire::{Call, CudaCode, Header, Opcode, ProcessList, Request, UseList};
use virtual_memory::VirtualMemory;

/// What a call comes to: reply and tail.
type Answer<M> = Result<(<M as Call>::Reply, Vec<u8>), Refusal>;

/// A guest and all it holds.
pub(crate) struct Guest {
    vgpu: Arc<Vgpu>,
    info: Arc<SessionInfo>,
    channel: Arc<Session>,
    objects: Objects,
    host: HostMemory,
    bar1: bar1::File,
    virtual_memory: VirtualMemory,
    queue: Arc<Queue>,
    callers: Arc<Callers>,
    budget: Arc<Budget>,
    /// Posted messages so far that named no object.
    strays: u32,
}

impl Guest {
    pub(crate) fn new(
        vgpu: Arc<Vgpu>,
        info: Arc<SessionInfo>,
        channel: Arc<Session>,
        callers: Arc<Callers>,
    ) -> Self {
        let host = HostMemory::new(vgpu.arena.host_base, vgpu.limits.host_bytes);
        Self {
            objects: Objects::new(vgpu.arena.slices.min(vgpu.limits.contexts)),
            vgpu,
            info,
            channel,
            host,
            bar1: bar1::File::default(),
            virtual_memory: VirtualMemory::default(),
            queue: Arc::default(),
            callers,
            budget: Arc::default(),
            strays: 0,
        }
    }

    /// Serves one message.
    ///
    /// # Errors
    /// The guest broke the protocol or is gone: the session ends.
    pub(crate) fn dispatch(&mut self, header: &Header, request: &Request<'_>) -> Result<(), ChannelError> {
        if !self.channel.has_aperture() {
            return self.dispatch_stream(header, request);
        }
        match *request {
            Request::ContextCreate(message) => {
                let answer = self.context_create(&message);
                self.answer::<ContextCreate>(header, answer?)
            }
            Request::ContextDestroy(message) => {
                self.context_destroy(message.context);
                Ok(())
            }
            Request::ContextSetLimit(message) => {
                let answer = self.context_set_limit(&message);
                self.answer::<ContextSetLimit>(header, answer)
            }
            Request::ContextWaits(message) => {
                self.answer::<ContextWaits>(header, self.context_waits(message.context))
            }
            Request::ContextFault(message) => {
                self.answer::<ContextFault>(header, self.context_fault(message.context))
            }
            Request::PrintfDrain(message) => {
                self.answer::<PrintfDrain>(header, self.printf_drain(message.context))
            }
            Request::MemAlloc(message) => {
                let answer = self.mem_alloc(&message);
                self.answer::<MemAlloc>(header, answer)
            }
            Request::MemFree(message) => self.mem_free(&message),
            Request::HostAlloc(message) => {
                let answer = self.host_alloc(&message);
                self.answer::<HostAlloc>(header, answer)
            }
            Request::HostRegister(message) => {
                let answer = self.host_register(&message);
                self.answer::<HostRegister>(header, answer)
            }
            Request::HostFree(message) => self.host_free(message.address),
            Request::ModuleLoad(message, tail) => {
                let answer = self.module_load(&message, tail);
                self.answer::<ModuleLoad>(header, answer)
            }
            Request::ModuleManaged(message) => {
                self.answer::<ModuleManaged>(header, self.module_managed(&message))
            }
            Request::ModuleUnload(message) => {
                self.module_unload(message.module);
                Ok(())
            }
            Request::FunctionGet(message, tail) => {
                let answer = self.function_get(&message, tail);
                self.answer::<FunctionGet>(header, answer)
            }
            Request::FunctionList(message) => {
                self.answer::<FunctionList>(header, self.function_list(&message))
            }
            Request::GlobalGet(message, tail) => {
                self.answer::<GlobalGet>(header, self.global_get(&message, tail))
            }
            Request::LinkCheck(message, tail) => {
                self.answer::<LinkCheck>(header, self.link_check(&message, tail))
            }
            _ => self.dispatch_mapping(header, request),
        }
    }

    /// Memory apart from addresses, and where it lies.
    fn dispatch_mapping(&mut self, header: &Header, request: &Request<'_>) -> Result<(), ChannelError> {
        match *request {
            Request::MemCreate(message) => {
                let answer = self.mem_create(&message);
                self.answer::<MemCreate>(header, answer)
            }
            Request::MemRelease(message) => self.mem_release(message.memory),
            Request::AddressReserve(message) => {
                let answer = self.address_reserve(&message);
                self.answer::<AddressReserve>(header, answer)
            }
            Request::AddressFree(message) => {
                let answer = self.address_free(&message);
                self.answer::<AddressFree>(header, answer)
            }
            Request::MemMap(message) => {
                let answer = self.mem_map(&message);
                self.answer::<MemMap>(header, answer)
            }
            Request::MemUnmap(message) => {
                let answer = self.mem_unmap(&message);
                self.answer::<MemUnmap>(header, answer)
            }
            Request::MemSetAccess(message) => {
                let answer = self.mem_set_access(&message);
                self.answer::<MemSetAccess>(header, answer)
            }
            Request::MemExport(message) => {
                let answer = self.mem_export(&message);
                self.answer::<MemExport>(header, answer)
            }
            Request::MemImport(message) => {
                let answer = self.mem_import(&message);
                self.answer::<MemImport>(header, answer)
            }
            Request::Bar1Open(_) => {
                let answer = self.bar1_open()?;
                self.answer::<Bar1Open>(header, answer)
            }
            Request::Bar1Alloc(message) => {
                let answer = self.bar1_alloc(&message);
                self.answer::<Bar1Alloc>(header, answer)
            }
            _ => self.dispatch_image(header, request),
        }
    }

    /// Arrays, textures, surfaces.
    fn dispatch_image(&mut self, header: &Header, request: &Request<'_>) -> Result<(), ChannelError> {
        match *request {
            Request::ReferenceGet(message, tail) => {
                self.answer::<ReferenceGet>(header, self.reference_get(&message, tail))
            }
            Request::ArrayCreate(message) => {
                let answer = self.array_create(&message);
                self.answer::<ArrayCreate>(header, answer)
            }
            Request::ArrayDestroy(message) => self.array_destroy(message.array),
            Request::ImageCreate(message) => self.answer::<ImageCreate>(header, self.image_create(&message)),
            Request::ImageDestroy(message) => self.image_destroy(&message),
            Request::ImageBind(message) => self.image_bind(&message),
            _ => self.dispatch_work(header, request),
        }
    }

    /// Streams, events, graphs and what goes through them.
    fn dispatch_work(&mut self, header: &Header, request: &Request<'_>) -> Result<(), ChannelError> {
        if let Some(work) = self.work(request) {
            return self.submit(request.opcode(), work.stream, work.seq, work.operation);
        }
        match *request {
            Request::StreamCreate(message) => self.stream_create(&message),
            Request::StreamDestroy(message) => self.stream_destroy(message.stream),
            Request::StreamHost(message) => self.stream_host(&message),
            Request::EventCreate(message) => self.event_create(&message),
            Request::StreamPriority(message) => self.stream_priority(&message),
            Request::EventShared(message) => self.event_shared(&message),
            Request::EventExport(message) => self.answer::<EventExport>(header, self.event_export(&message)),
            Request::EventReached(message) => {
                self.answer::<EventReached>(header, self.event_reached(&message))
            }
            Request::EventImport(message) => {
                let answer = self.event_import(&message);
                self.answer::<EventImport>(header, answer)
            }
            Request::EventDestroy(message) => self.event_destroy(message.event),
            Request::GraphCreate(message) => self.graph_create(&message),
            Request::GraphNode(message, tail) => self.graph_node(&message, tail),
            Request::GraphDestroy(message) => self.graph_destroy(message.graph),
            Request::GraphSeal(message) => {
                let answer = self.graph_seal(&message);
                self.answer::<GraphSeal>(header, answer)
            }
            // Every kind that is not named here or above is served there or refused there.
            _ => self.dispatch_stream(header, request),
        }
    }

    /// What every session may ask, with an aperture or without.
    fn dispatch_stream(&mut self, header: &Header, request: &Request<'_>) -> Result<(), ChannelError> {
        match *request {
            Request::Ping(message) => {
                let reply = PingReply { value: message.value };
                self.answer::<Ping>(header, Ok((reply, Vec::new())))
            }
            Request::MemInfo(_) => {
                self.settle_frees();
                let memory = self.vgpu.device.memory();
                let reply = MemInfoReply {
                    free: memory.total.saturating_sub(memory.used),
                    total: memory.total,
                };
                self.answer::<MemInfo>(header, Ok((reply, Vec::new())))
            }
            Request::QueryVgpu(_) => self.answer::<QueryVgpu>(header, Ok(self.query_vgpu())),
            Request::QueryUse(_) => self.answer::<QueryUse>(header, Ok(self.query_use())),
            Request::QueryFaults(_) => {
                let (count, xids) = self.vgpu.faults.get();
                let reply = QueryFaultsReply { count, xids };
                self.answer::<QueryFaults>(header, Ok((reply, Vec::new())))
            }
            Request::Hello(..) => {
                let refusal = Refusal::invalid("The session has begun already");
                self.answer::<Hello>(header, Err(refusal))
            }
            ref other if header.call != 0 => {
                let reason = "This session has no aperture: it can only be asked about the vGPU";
                self.channel
                    .refuse(header, other.opcode(), CudaCode::NotSupported, reason)
            }
            ref other => self.stray(other.opcode(), "a session without aperture"),
        }
    }

    fn query_vgpu(&self) -> (QueryVgpuReply, Vec<u8>) {
        let memory = self.vgpu.device.memory();
        let utilisation = self.vgpu.measured().device;
        let reply = QueryVgpuReply {
            memory_total: memory.total,
            memory_used: memory.used,
            gpu_utilisation: utilisation.kernels,
            memory_utilisation: utilisation.copies,
            kernels: self.vgpu.device.counters().kernels,
            uptime_ns: u64::try_from(self.vgpu.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
        };
        (reply, ProcessList(self.vgpu.processes()).encode())
    }

    fn query_use(&self) -> (QueryUseReply, Vec<u8>) {
        let measured = self.vgpu.measured();
        let reply = QueryUseReply {
            time_us: measured.time_us,
            gpu_utilisation: measured.device.kernels,
            memory_utilisation: measured.device.copies,
        };
        (reply, UseList(measured.processes).encode())
    }

    /// Answers a call.
    fn answer<M: Call>(&self, header: &Header, answer: Answer<M>) -> Result<(), ChannelError> {
        match answer {
            Ok((reply, tail)) => {
                let most = self
                    .channel
                    .reply_capacity()
                    .saturating_sub(size_of::<M::Reply>());
                if tail.len() > most {
                    let reason = format!("The reply has {} bytes, the channel takes {most}", tail.len());
                    return self.channel.refuse(header, M::OPCODE, CudaCode::Unknown, &reason);
                }
                self.channel.reply::<M>(header, &reply, &tail)
            }
            Err(refusal) => {
                tracing::debug!(session = self.info.id, opcode = ?M::OPCODE, %refusal, "refused");
                self.channel
                    .refuse(header, M::OPCODE, refusal.code, &refusal.reason)
            }
        }
    }

    /// Counts a posted message that named no object; too many end the session.
    fn stray(&mut self, opcode: Opcode, what: &str) -> Result<(), ChannelError> {
        self.strays = self.strays.saturating_add(1);
        if self.strays <= 10 {
            tracing::warn!(session = self.info.id, ?opcode, "posted message for {what}");
        }
        if self.strays > self.vgpu.limits.strays {
            return Err(ChannelError::Corrupt(
                "too many messages for objects that do not exist",
            ));
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Streams that wait for a function of the guest would wait for ever.
        self.callers.close();
        // Nobody else comes to free what work has let go of since, and it would count as lost.
        self.settle_frees();
        self.objects.remember_counters(&self.info);
    }
}
