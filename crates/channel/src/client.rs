//! The guest's end of a channel.
//!
//! ```text
//!   connect ─▶ Hello ─▶ Welcome + descriptors ─▶ map, reserve arena ─▶ post / call / wait, from any thread ─▶ drop: closed
//! ```
//!
//! Sequence numbers of stream operations are drawn under the ring's lock ([`Client::post_with`]), so that they rise in the
//! order in which the worker sees the messages, whatever threads post.

use crate::record::{LIVENESS, Records};
use crate::ring::{Producer, Pushed};
use crate::slots::{SlotPool, Slots};
use crate::{Arena, Carrier, ChannelError, HostMapping, Layout, Shared, StagingHeap, UnixCarrier, layout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tessera_wire::messages::{Bar1Open, Hello, HelloReply};
use tessera_wire::{
    Call, Header, MAGIC, Message, Posted, VERSION, VgpuInfo, WireError, decode_reply, encode, kind,
};
use thiserror::Error;

/// How to connect.
#[derive(Clone, Debug)]
pub struct ClientOptions<'a> {
    /// [`kind::CUDA`] or [`kind::NVML`].
    pub kind: u32,
    /// Name of the program, shown by the manager and by NVML.
    pub program: &'a str,
    /// Reserve the vGPU's arena in this process. Off only in tests that have both ends in one process.
    pub reserve_arena: bool,
}

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<R> {
    /// Fixed part.
    pub value: R,
    /// Tail.
    pub tail: Vec<u8>,
}

/// Why a call gave no reply.
#[derive(Debug, Error)]
pub enum CallError {
    /// The worker refused it.
    #[error("{reason} (CUDA code {code})")]
    Refused {
        /// CUDA code, never 0.
        code: u32,
        /// Why, for the log; for ModuleLoad the compiler's error log.
        reason: String,
    },
    /// The channel failed.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

#[derive(Debug)]
struct Sender {
    producer: Producer,
    /// Last sequence number given out.
    seq: u64,
}

#[derive(Debug)]
struct Memory {
    sender: Mutex<Sender>,
    slots: SlotPool,
    records: Records,
    staging: StagingHeap,
    arena: Option<Arc<Arena>>,
    host: OwnedFd,
}

/// A session with a worker. All methods may be called from any thread.
pub struct Client {
    carrier: Arc<dyn Carrier>,
    welcome: HelloReply,
    vgpu: VgpuInfo,
    memory: Option<Memory>,
    /// The last sequence number given out, whether its message is in the ring by now or not.
    latest: AtomicU64,
    /// Serialises calls on a stream without aperture.
    stream: Mutex<u64>,
    dead: AtomicBool,
}

impl Client {
    /// Connects to the worker that listens at `path`.
    ///
    /// # Errors
    /// Nobody listens, the worker refuses (another version, too many sessions), or what it sends makes no sense.
    pub fn connect(path: &Path, options: &ClientOptions<'_>) -> Result<Self, ChannelError> {
        Self::over(Arc::new(UnixCarrier::connect(path)?), options)
    }

    /// Opens a session over any carrier.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn over(carrier: Arc<dyn Carrier>, options: &ClientOptions<'_>) -> Result<Self, ChannelError> {
        let hello = Hello {
            magic: MAGIC,
            version_min: VERSION,
            version_max: VERSION,
            kind: options.kind,
            pid: std::process::id(),
        };
        let mut cut = options.program.len().min(Hello::MAX_TAIL);
        while !options.program.is_char_boundary(cut) {
            cut -= 1;
        }
        let mut frame = Vec::new();
        encode(&hello, 1, &options.program.as_bytes()[..cut], &mut frame)?;
        carrier.send(&frame, &[])?;
        let received = carrier.receive()?;
        let (welcome, tail) = match decode_reply::<Hello>(&received.frame, 1)? {
            Ok(served) => served,
            Err((code, reason)) => return Err(ChannelError::Refused { code, reason }),
        };
        if welcome.magic != MAGIC {
            return Err(WireError::Magic(welcome.magic).into());
        }
        if welcome.version != VERSION {
            return Err(ChannelError::Corrupt("protocol version in the answer to Hello"));
        }
        let vgpu = VgpuInfo::decode(tail)?;
        let memory = if options.kind == kind::CUDA {
            let mut descriptors = received.descriptors.into_iter();
            let (Some(aperture), Some(host), None) =
                (descriptors.next(), descriptors.next(), descriptors.next())
            else {
                return Err(ChannelError::NoAperture);
            };
            Some(Memory::open(
                &welcome,
                &aperture,
                host,
                &carrier,
                options.reserve_arena,
            )?)
        } else {
            None
        };
        Ok(Self {
            carrier,
            welcome,
            vgpu,
            memory,
            latest: AtomicU64::new(0),
            stream: Mutex::new(1),
            dead: AtomicBool::new(false),
        })
    }

    /// The worker's answer to Hello: limits, arena.
    #[must_use]
    pub fn welcome(&self) -> &HelloReply {
        &self.welcome
    }

    /// The vGPU.
    #[must_use]
    pub fn vgpu(&self) -> &VgpuInfo {
        &self.vgpu
    }

    /// Whether the worker is there; a system call.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.dead.load(Ordering::Relaxed) && self.carrier.is_open()
    }

    /// Sends a message that is not waited for over the control stream: it overtakes everything in the ring.
    ///
    /// # Errors
    /// The worker is gone.
    pub fn send_out_of_turn<M: Posted>(&self, message: &M) -> Result<(), ChannelError> {
        let mut frame = Vec::new();
        encode(message, 0, &[], &mut frame)?;
        self.carrier.send(&frame, &[])
    }

    #[inline]
    fn memory(&self) -> Result<&Memory, ChannelError> {
        self.memory.as_ref().ok_or(ChannelError::NoAperture)
    }

    /// Completion records.
    ///
    /// # Errors
    /// The session has no aperture.
    #[inline]
    pub fn records(&self) -> Result<&Records, ChannelError> {
        Ok(&self.memory()?.records)
    }

    /// The staging heap.
    ///
    /// # Errors
    /// The session has no aperture.
    pub fn staging(&self) -> Result<&StagingHeap, ChannelError> {
        Ok(&self.memory()?.staging)
    }

    /// Maps what HostAlloc gave: `bytes` bytes at `offset` of the host arena to `address`.
    ///
    /// # Errors
    /// The session has no aperture or reserved no arena, or the range is not inside.
    pub fn map_host(&self, address: u64, offset: u64, bytes: u64) -> Result<HostMapping, ChannelError> {
        let memory = self.memory()?;
        let arena = memory.arena.as_ref().ok_or(ChannelError::NoAperture)?;
        arena.map(memory.host.as_fd(), address, offset, bytes)
    }

    /// Maps the file in which the allocations of this session lie; `None` where the worker has none to show. To be called once.
    ///
    /// # Errors
    /// The worker refuses or is gone, or the kernel refuses the mapping.
    pub fn open_bar1(&self) -> Result<Option<Arc<Shared>>, CallError> {
        let reply = self.call(&Bar1Open::default(), &[])?.value;
        if reply.bytes == 0 {
            return Ok(None);
        }
        // Sent before the reply: it is there, and nothing else is.
        let received = self.carrier.receive()?;
        let descriptor = received.descriptors.first();
        let descriptor = descriptor.ok_or(ChannelError::Corrupt("BAR1 without a descriptor"))?;
        Ok(Some(Shared::map(descriptor, reply.bytes)?))
    }

    /// The host arena's descriptor.
    ///
    /// # Errors
    /// The session has no aperture.
    pub fn host_descriptor(&self) -> Result<BorrowedFd<'_>, ChannelError> {
        Ok(self.memory()?.host.as_fd())
    }

    /// Posts a message.
    ///
    /// # Errors
    /// The tail is too long for the message, or the worker is gone.
    pub fn post<M: Posted>(&self, message: &M, tail: &[u8]) -> Result<(), ChannelError> {
        self.send(0, tail, |_| *message).map(|_| ())
    }

    /// The last sequence number that was given out. Whoever sees one sees what was done while its message was made.
    #[must_use]
    #[inline]
    pub fn latest(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }

    /// Posts a message that carries a new sequence number, larger than all before; returns the number.
    ///
    /// # Errors
    /// As [`Client::post`].
    pub fn post_with<M: Posted>(
        &self,
        tail: &[u8],
        message: impl FnOnce(u64) -> M,
    ) -> Result<u64, ChannelError> {
        self.send(0, tail, message)
    }

    /// Sends a message and waits for the answer.
    ///
    /// # Errors
    /// The worker refuses, or is gone (noticed within a second).
    pub fn call<M: Call>(&self, message: &M, tail: &[u8]) -> Result<Reply<M::Reply>, CallError> {
        let (frame, call) = match &self.memory {
            Some(memory) => self.call_ring(memory, message, tail)?,
            None => self.call_stream(message, tail)?,
        };
        match decode_reply::<M>(&frame, call).map_err(ChannelError::from)? {
            Ok((value, tail)) => Ok(Reply {
                value,
                tail: tail.to_vec(),
            }),
            Err((code, reason)) => Err(CallError::Refused { code, reason }),
        }
    }

    fn call_ring<M: Call>(
        &self,
        memory: &Memory,
        message: &M,
        tail: &[u8],
    ) -> Result<(Vec<u8>, u64), ChannelError> {
        let slot = memory.slots.take();
        self.send(slot.call, tail, |_| *message)?;
        let ended = || memory.records.session_fault() != 0;
        match slot.wait(self.carrier.as_ref(), ended) {
            Ok(Some(frame)) => Ok((frame, slot.call)),
            Ok(None) => Err(ChannelError::Ended(memory.records.session_fault())),
            Err(error) => {
                self.dead.store(true, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    fn call_stream<M: Call>(&self, message: &M, tail: &[u8]) -> Result<(Vec<u8>, u64), ChannelError> {
        let mut counter = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        *counter += 1;
        let call = *counter << 16;
        let mut frame = Vec::new();
        encode(message, call, tail, &mut frame)?;
        self.carrier.send(&frame, &[])?;
        Ok((self.carrier.receive()?.frame, call))
    }

    #[inline]
    fn send<M: Message>(
        &self,
        call: u64,
        tail: &[u8],
        message: impl FnOnce(u64) -> M,
    ) -> Result<u64, ChannelError> {
        let header = Header::of::<M>(call, tail.len())?;
        let Some(memory) = &self.memory else {
            // Without an aperture there are no streams to order: any rising number will do.
            let mut counter = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
            *counter += 1;
            let mut frame = Vec::new();
            encode(&message(*counter), call, tail, &mut frame)?;
            self.carrier.send(&frame, &[])?;
            return Ok(*counter);
        };
        if self.dead.load(Ordering::Relaxed) {
            return Err(ChannelError::Disconnected);
        }
        let mut sender = memory.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = sender.seq + 1;
        let message = message(seq);
        self.latest.store(seq, Ordering::Release);
        while sender.producer.push(&header, message.as_bytes(), tail)? == Pushed::Full {
            self.wait_for_room(memory, &mut sender.producer)?;
        }
        sender.seq = seq;
        // Under the lock: waking after it would let a second sender find the flag cleared and this one be delayed before the call.
        sender.producer.wake(self.carrier.waker());
        Ok(seq)
    }

    #[cold]
    fn wait_for_room(&self, memory: &Memory, producer: &mut Producer) -> Result<(), ChannelError> {
        producer.wake(self.carrier.waker());
        if producer.wait_for_room(self.carrier.waker(), LIVENESS)? {
            return Ok(());
        }
        let ended = memory.records.session_fault();
        if ended != 0 {
            return Err(ChannelError::Ended(ended));
        }
        if !self.carrier.is_open() {
            self.dead.store(true, Ordering::Relaxed);
            return Err(ChannelError::Disconnected);
        }
        Ok(())
    }
}

impl Memory {
    fn open(
        welcome: &HelloReply,
        aperture: &OwnedFd,
        host: OwnedFd,
        carrier: &Arc<dyn Carrier>,
        reserve: bool,
    ) -> Result<Self, ChannelError> {
        let layout = Layout::announced(welcome)?;
        let aperture = Shared::map(aperture, layout.total_bytes())?;
        layout::verify(&aperture)?;
        let arena = if reserve {
            Some(Arena::reserve(welcome.arena_base, welcome.arena_bytes)?)
        } else {
            None
        };
        Ok(Self {
            sender: Mutex::new(Sender {
                producer: Producer::new(Arc::clone(&aperture), &layout)?,
                seq: 0,
            }),
            slots: SlotPool::new(Slots::new(Arc::clone(&aperture), &layout)?),
            records: Records::new(Arc::clone(&aperture), &layout, Arc::clone(carrier))?,
            staging: StagingHeap::new(aperture, &layout),
            arena,
            host,
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A forked child that still holds the socket must not keep the session alive.
        self.carrier.close();
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.vgpu.name)
    }
}
