//! The worker's end of a channel.
//!
//! ```text
//!   accept ─▶ Pending::receive (Hello) ─▶ Pending::accept ─▶ Receiver (one dispatcher thread) + Session (shared by threads)
//!                   │ wrong magic or version: refused            │ receive ─▶ Some(request) … ─▶ None: the guest is gone
//!                   ▼                                            ▼ Err: the guest broke the protocol
//! ```
//!
//! A thread of the worker sits in [`Session::watch`]; the end of the control stream wakes the dispatcher out of its sleep.

use crate::record::Used;
use crate::ring::Consumer;
use crate::slots::Slots;
use crate::spin::Spin;
use crate::{
    Carrier, ChannelError, Layout, LayoutOptions, Peer, RecordWriter, Shared, SharedRange, layout, memory,
};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tessera_wire::messages::{Hello, HelloReply, Ping};
use tessera_wire::{
    Call, CudaCode, Header, MAGIC, Opcode, Request, VERSION, VgpuInfo, WireError, decode, encode,
    encode_refusal, encode_reply, kind,
};

/// What a worker offers a guest.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Limits and arena; the layout's fields, magic and version are filled in.
    pub welcome: HelloReply,
    /// Sizes of the aperture.
    pub layout: LayoutOptions,
    /// The vGPU.
    pub vgpu: VgpuInfo,
}

/// A guest that has said Hello and was not answered yet.
pub struct Pending {
    carrier: Arc<dyn Carrier>,
    hello: Hello,
    program: String,
    call: u64,
}

impl Pending {
    /// Waits for Hello. A guest of another version, or that is no guest at all, is told so and refused here.
    ///
    /// # Errors
    /// The stream ends, or what comes is not a Hello that this worker can serve.
    pub fn receive(carrier: Arc<dyn Carrier>) -> Result<Self, ChannelError> {
        let received = carrier.receive()?;
        let (header, request) = match decode(&received.frame) {
            Ok(decoded) => decoded,
            Err(error) => {
                let _ = refuse(
                    carrier.as_ref(),
                    1,
                    CudaCode::SystemDriverMismatch,
                    &error.to_string(),
                );
                return Err(error.into());
            }
        };
        let Request::Hello(hello, program) = request else {
            let reason = "The first message of a session must be Hello";
            let _ = refuse(carrier.as_ref(), header.call, CudaCode::InvalidValue, reason);
            return Err(ChannelError::Refused {
                code: CudaCode::InvalidValue.number(),
                reason: reason.into(),
            });
        };
        let reason = if hello.magic != MAGIC {
            Some(WireError::Magic(hello.magic).to_string())
        } else if !(hello.version_min..=hello.version_max).contains(&VERSION) {
            Some(format!(
                "The guest library speaks protocol versions {} to {}, this worker speaks {VERSION}; install the guest libraries of the same release",
                hello.version_min, hello.version_max
            ))
        } else if hello.kind != kind::CUDA && hello.kind != kind::NVML {
            Some(format!("Unknown kind of session: {}", hello.kind))
        } else {
            None
        };
        if let Some(reason) = reason {
            let code = CudaCode::SystemDriverMismatch;
            let _ = refuse(carrier.as_ref(), header.call, code, &reason);
            return Err(ChannelError::Refused {
                code: code.number(),
                reason,
            });
        }
        let program = String::from_utf8_lossy(program)
            .chars()
            .filter(|character| !character.is_control())
            .collect();
        Ok(Self {
            carrier,
            hello,
            program,
            call: header.call,
        })
    }

    /// [`kind::CUDA`] or [`kind::NVML`].
    #[must_use]
    pub fn kind(&self) -> u32 {
        self.hello.kind
    }

    /// Name of the program; given by the guest, without control characters.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Process id that the guest gave.
    #[must_use]
    pub fn claimed_pid(&self) -> u32 {
        self.hello.pid
    }

    /// Who the kernel says the peer is.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.carrier.peer()
    }

    /// Refuses the session.
    pub fn refuse(self, code: CudaCode, reason: &str) {
        // The guest may be gone already; then there is nobody to tell.
        let _ = refuse(self.carrier.as_ref(), self.call, code, reason);
        self.carrier.close();
    }

    /// Accepts the session: makes aperture and host arena for a CUDA session and answers.
    ///
    /// # Errors
    /// No memory for the aperture, or the guest is gone.
    pub fn accept(self, offer: &Offer) -> Result<(Receiver, Arc<Session>), ChannelError> {
        let mut welcome = offer.welcome;
        welcome.magic = MAGIC;
        welcome.version = VERSION;
        let mut frame = Vec::new();
        let vgpu = offer.vgpu.encode();
        if self.hello.kind != kind::CUDA {
            encode_reply::<Hello>(self.call, &welcome, &vgpu, &mut frame)?;
            self.carrier.send(&frame, &[])?;
            let session = Arc::new(Session::new(self.carrier, None));
            return Ok((Receiver::over_stream(Arc::clone(&session)), session));
        }
        let layout = Layout::new(&offer.layout)?;
        layout.announce(&mut welcome);
        let descriptor = memory::sealed_memfd(c"tessera-aperture", layout.total_bytes())?;
        let aperture = Shared::map(&descriptor, layout.total_bytes())?;
        layout::initialise(&aperture)?;
        let host_descriptor = memory::sealed_memfd(c"tessera-host", welcome.host_bytes)?;
        let host = Shared::map(&host_descriptor, welcome.host_bytes)?;
        encode_reply::<Hello>(self.call, &welcome, &vgpu, &mut frame)?;
        let used = Arc::<Used>::default();
        let record = RecordWriter::new(
            Arc::clone(&aperture),
            &layout,
            Arc::clone(&self.carrier),
            Arc::clone(&used),
            0,
            0,
        )?;
        let parts = Parts {
            record,
            used,
            slots: Slots::new(Arc::clone(&aperture), &layout)?,
            aperture,
            layout,
            host,
            host_descriptor,
        };
        let consumer = Consumer::new(Arc::clone(&parts.aperture), &layout)?;
        let carrier = Arc::clone(&self.carrier);
        let session = Arc::new(Session::new(self.carrier, Some(parts)));
        let receiver = Receiver {
            source: Source::Ring {
                consumer,
                spin: Spin::default(),
            },
            session: Arc::clone(&session),
        };
        let host = session.parts()?.host_descriptor.as_fd();
        carrier.send(&frame, &[descriptor.as_fd(), host])?;
        Ok((receiver, session))
    }
}

fn refuse(carrier: &dyn Carrier, call: u64, code: CudaCode, reason: &str) -> Result<(), ChannelError> {
    let mut frame = Vec::new();
    encode_refusal(Opcode::Hello, call, code.number(), reason, &mut frame)?;
    carrier.send(&frame, &[])
}

struct Parts {
    aperture: Arc<Shared>,
    layout: Layout,
    slots: Slots,
    used: Arc<Used>,
    /// The session's own record.
    record: RecordWriter,
    host: Arc<Shared>,
    host_descriptor: std::os::fd::OwnedFd,
}

/// What all threads of the worker share of a session.
pub struct Session {
    carrier: Arc<dyn Carrier>,
    parts: Option<Parts>,
    closed: AtomicBool,
    /// The dispatcher has seen that the session is closed.
    over: AtomicBool,
}

impl Session {
    fn new(carrier: Arc<dyn Carrier>, parts: Option<Parts>) -> Self {
        Self {
            carrier,
            parts,
            closed: AtomicBool::new(false),
            over: AtomicBool::new(false),
        }
    }

    fn parts(&self) -> Result<&Parts, ChannelError> {
        self.parts.as_ref().ok_or(ChannelError::NoAperture)
    }

    /// Whether it has an aperture.
    #[must_use]
    pub fn has_aperture(&self) -> bool {
        self.parts.is_some()
    }

    /// Answers a call.
    ///
    /// # Errors
    /// The guest is gone, or the reply is longer than the guest has room for.
    pub fn reply<M: Call>(&self, header: &Header, reply: &M::Reply, tail: &[u8]) -> Result<(), ChannelError> {
        let mut frame = Vec::new();
        encode_reply::<M>(header.call, reply, tail, &mut frame)?;
        self.answer(header.call, &frame)
    }

    /// Answers a call with a CUDA code and the reason, which is cut to what the guest has room for.
    ///
    /// # Errors
    /// The guest is gone.
    pub fn refuse(
        &self,
        header: &Header,
        opcode: Opcode,
        code: CudaCode,
        reason: &str,
    ) -> Result<(), ChannelError> {
        let mut cut = reason.len().min(self.reply_capacity());
        while !reason.is_char_boundary(cut) {
            cut -= 1;
        }
        let mut frame = Vec::new();
        let reason = reason.get(..cut).unwrap_or_default();
        encode_refusal(opcode, header.call, code.number(), reason, &mut frame)?;
        self.answer(header.call, &frame)
    }

    /// Most bytes of fixed part and tail of a reply.
    #[must_use]
    pub fn reply_capacity(&self) -> usize {
        const STREAM: usize = 1 << 20;
        // Header and head of a reply take 24 bytes.
        self.parts
            .as_ref()
            .map_or(STREAM, |parts| parts.slots.capacity().saturating_sub(24))
    }

    fn answer(&self, call: u64, frame: &[u8]) -> Result<(), ChannelError> {
        match &self.parts {
            Some(parts) => parts.slots.answer(self.carrier.as_ref(), call, frame),
            None => self.carrier.send(frame, &[]),
        }
    }

    /// The writer of a completion record that the guest chose.
    ///
    /// # Errors
    /// There is no such record, or another object has it.
    pub fn record(&self, index: u32, token: u64) -> Result<RecordWriter, ChannelError> {
        let parts = self.parts()?;
        if index == 0 {
            return Err(ChannelError::Corrupt("completion record of the session"));
        }
        RecordWriter::new(
            Arc::clone(&parts.aperture),
            &parts.layout,
            Arc::clone(&self.carrier),
            Arc::clone(&parts.used),
            index,
            token,
        )
    }

    /// A piece of the staging heap; `None` where it is not inside.
    #[must_use]
    pub fn staging(&self, offset: u64, bytes: u64) -> Option<SharedRange> {
        let parts = self.parts.as_ref()?;
        let end = offset.checked_add(bytes)?;
        if end > parts.layout.staging_bytes {
            return None;
        }
        parts
            .aperture
            .range(parts.layout.staging_offset.checked_add(offset)?, bytes)
    }

    /// A piece of the host arena; `None` where it is not inside.
    #[must_use]
    pub fn host(&self, offset: u64, bytes: u64) -> Option<SharedRange> {
        self.parts.as_ref()?.host.range(offset, bytes)
    }

    /// Gives the pages of a piece of the host arena back to the system; they read as zeros afterwards.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn discard_host(&self, offset: u64, bytes: u64) -> Result<(), ChannelError> {
        memory::punch(self.parts()?.host_descriptor.as_fd(), offset, bytes)
    }

    /// Hands the guest a descriptor over the control stream; the guest knows from a reply that follows that it is there.
    ///
    /// # Errors
    /// The guest is gone.
    pub fn send_descriptor(&self, descriptor: BorrowedFd<'_>) -> Result<(), ChannelError> {
        let mut frame = Vec::new();
        encode(&Ping::default(), 0, &[], &mut frame)?;
        self.carrier.send(&frame, &[descriptor])
    }

    /// Ends the session: tells waiting threads of the guest the code and closes the stream.
    pub fn end(&self, code: CudaCode) {
        if let Some(parts) = &self.parts {
            parts.record.fault(code.number());
        }
        self.close();
    }

    /// Closes the stream and has the dispatcher stop at the next message.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.carrier.close();
        if let Some(parts) = &self.parts {
            Consumer::disturb(&parts.aperture, self.carrier.waker());
        }
    }

    /// Whether the session was closed from either side.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits for the end of the control stream, then closes the session and makes sure that the dispatcher notices. With an aperture,
    /// requests come through the ring; `out_of_turn` gets the few that do not.
    pub fn watch(&self, out_of_turn: impl Fn(&Request<'_>) -> Result<(), ChannelError>) {
        while self.carrier.wait(self.has_aperture()) {
            let served = self.carrier.receive().and_then(|received| {
                let (_, request) = decode(&received.frame)?;
                out_of_turn(&request)
            });
            if served.is_err() {
                break;
            }
        }
        self.close();
        // A guest that is malicious and shares its memory with another process can undo the wake-up in the aperture, so it is
        // repeated until the dispatcher has confirmed.
        while !self.over.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
            if let Some(parts) = &self.parts {
                Consumer::disturb(&parts.aperture, self.carrier.waker());
            }
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("aperture", &self.has_aperture())
            .field("closed", &self.is_closed())
            .finish()
    }
}

enum Source {
    Ring { consumer: Consumer, spin: Spin },
    Stream { frame: Vec<u8> },
}

/// Yields the requests of a session, in order; for one dispatcher thread.
pub struct Receiver {
    source: Source,
    session: Arc<Session>,
}

impl Receiver {
    fn over_stream(session: Arc<Session>) -> Self {
        Self {
            source: Source::Stream { frame: Vec::new() },
            session,
        }
    }

    /// The next request; `None` when the session is closed. Spins briefly, then sleeps without using the processor.
    ///
    /// # Errors
    /// The guest broke the protocol; the session should be ended.
    pub fn receive(&mut self) -> Result<Option<(Header, Request<'_>)>, ChannelError> {
        let session = &self.session;
        match &mut self.source {
            Source::Ring { consumer, spin } => {
                let wake = session.carrier.waker();
                loop {
                    if session.is_closed() {
                        return Ok(None);
                    }
                    if consumer.pop(wake)? {
                        break;
                    }
                    if !spin.until(|| consumer.has_more() || session.is_closed()) {
                        let start = Instant::now();
                        consumer.sleep(wake, || session.is_closed());
                        spin.slept(start.elapsed());
                    }
                }
                let (header, request) = decode(consumer.frame())?;
                if header.call != 0 {
                    session.parts()?.slots.check(header.call)?;
                }
                Ok(Some((header, request)))
            }
            Source::Stream { frame } => {
                if session.is_closed() {
                    return Ok(None);
                }
                *frame = match session.carrier.receive() {
                    Ok(received) => received.frame,
                    Err(ChannelError::Disconnected) => return Ok(None),
                    Err(error) => return Err(error),
                };
                Ok(Some(decode(frame)?))
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.session.over.store(true, Ordering::SeqCst);
    }
}
