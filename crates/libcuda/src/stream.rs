//! Streams.
//!
//! A stream is a completion record and the sequence number of the last operation posted to it. Sequence numbers rise over all
//! streams of the process (the channel draws them), so a record never shows a number of an earlier user as new.
//!
//! ```text
//!   post(seq) ─▶ posted = seq ─▶ worker ─▶ record.value = seq         query: value >= posted      wait: until then
//!                                     └──▶ record.error (refused, once) or the context's fault (sticky)
//! ```
//!
//! Host functions are operations like any other; [`HostQueue`] has the stream's functions.

use crate::abi::{DefaultStream, STREAM_LEGACY, STREAM_PER_THREAD};
use crate::code::{Answer, Code};
use crate::context::{Context, Core, PRIORITIES, Record, code_of, fence};
use crate::current;
use crate::event::Event;
use crate::graph::capture::{self, Member};
use crate::green::{self, Green};
use crate::hostfn::{self, HostFunction, HostQueue};
use crate::join;
use crate::objects;
use crate::printf;
use crate::state::{self, Driver};
use crate::stream_attribute::Attributes;
use crate::types::{Caller, Handle};
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tessera_channel::Progress;
use tessera_wire::Posted;
use tessera_wire::messages::{StreamCreate, StreamDestroy, StreamPriority, StreamWaitEvent};

const FLAG_NON_BLOCKING: u32 = 1;

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    handle: Handle,
    pub(crate) core: Arc<Core>,
    /// The green context that it is of.
    pub(crate) green: Option<Arc<Green>>,
    record: Record,
    flags: u32,
    priority: AtomicI32,
    legacy: bool,
    /// Executable graphs and threads may hold it longer than the program.
    destroyed: AtomicBool,
    identity: u64,
    posted: AtomicU64,
    /// Sequence number of the refused operation that was reported last.
    reported: AtomicU64,
    /// Everything up to this sequence number has completed, and the program knows what was refused of it.
    checked: AtomicU64,
    host: Mutex<Option<Arc<HostQueue>>>,
    pub(crate) attributes: Mutex<Attributes>,
    /// The part that it has in a capture.
    pub(crate) capture: Mutex<Option<Member>>,
}

/// A handle for what programs never see: legacy and per-thread streams.
pub(crate) fn hidden(driver: &Driver) -> Handle {
    objects::hidden(driver.next_identity())
}

impl Stream {
    fn create(
        driver: &Driver,
        core: &Arc<Core>,
        handle: Handle,
        flags: u32,
        wire_flags: u32,
        priority: i32,
    ) -> Answer<Self> {
        let record = Record::allocate(driver)?;
        let message = StreamCreate {
            context: core.handle,
            stream: handle,
            token: record.0.token,
            completion: record.0.index,
            flags: wire_flags,
            priority,
            ..StreamCreate::default()
        };
        driver.session.post(&message, &[])?;
        if wire_flags & (tessera_wire::STREAM_LEGACY | tessera_wire::STREAM_NON_BLOCKING) == 0 {
            core.has_blocking.store(true, Ordering::Relaxed);
        }
        Ok(Self {
            handle,
            core: Arc::clone(core),
            green: None,
            record,
            flags,
            priority: AtomicI32::new(priority),
            destroyed: AtomicBool::new(false),
            legacy: wire_flags & tessera_wire::STREAM_LEGACY != 0,
            identity: driver.next_identity(),
            posted: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            checked: AtomicU64::new(0),
            host: Mutex::default(),
            attributes: Mutex::default(),
            capture: Mutex::default(),
        })
    }

    /// The legacy stream of a new context.
    pub(crate) fn create_legacy(driver: &Driver, core: &Arc<Core>) -> Answer<Arc<Self>> {
        let handle = hidden(driver);
        Self::create(driver, core, handle, 0, tessera_wire::STREAM_LEGACY, 0).map(Arc::new)
    }

    /// The default stream of a green context. It has nothing to do with the primary context's.
    pub(crate) fn create_in_view(driver: &Driver, core: &Arc<Core>, green: &Arc<Green>) -> Answer<Arc<Self>> {
        let wire_flags = tessera_wire::STREAM_NON_BLOCKING;
        let mut stream = Self::create(driver, core, hidden(driver), 0, wire_flags, 0)?;
        stream.green = Some(Arc::clone(green));
        Ok(Arc::new(stream))
    }

    /// The context was not destroyed and has no sticky error, and the green context was not destroyed.
    #[inline]
    fn check(&self) -> Answer {
        self.core.check()?;
        match &self.green {
            Some(green) => green.check(),
            None => Ok(()),
        }
    }

    /// The stream in which a context takes part in copies of others.
    pub(crate) fn create_peer(driver: &Driver, context: &Context) -> Answer<Arc<Self>> {
        let (flags, wire_flags) = (FLAG_NON_BLOCKING, tessera_wire::STREAM_NON_BLOCKING);
        let mut stream = Self::create(driver, &context.core, hidden(driver), flags, wire_flags, 0)?;
        stream.green.clone_from(&context.green);
        let stream = Arc::new(stream);
        context.children().streams.push(Arc::downgrade(&stream));
        Ok(stream)
    }

    fn create_per_thread(driver: &Driver, context: &Context) -> Answer<Arc<Self>> {
        let stream = Self::create(driver, &context.core, hidden(driver), 0, 0, 0).map(Arc::new)?;
        context.children().streams.push(Arc::downgrade(&stream));
        join::begin(context, &stream)?;
        Ok(stream)
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle
    }

    pub(crate) fn priority(&self) -> i32 {
        self.priority.load(Ordering::Relaxed)
    }

    /// Changes the priority; one out of range is clamped, as at the creation.
    pub(crate) fn set_priority(&self, driver: &Driver, priority: i32) -> Answer {
        let priority = priority.clamp(PRIORITIES.1, PRIORITIES.0);
        self.priority.store(priority, Ordering::Relaxed);
        let message = StreamPriority {
            stream: self.handle,
            priority,
            ..StreamPriority::default()
        };
        Ok(driver.session.post(&message, &[])?)
    }

    pub(crate) fn record(&self) -> tessera_channel::Completion {
        self.record.0
    }

    /// The stream's host functions.
    pub(crate) fn host_queue(&self, driver: &Driver) -> Answer<Arc<HostQueue>> {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = &*host {
            return Ok(Arc::clone(queue));
        }
        let queue = HostQueue::create(driver, self.handle)?;
        *host = Some(Arc::clone(&queue));
        Ok(queue)
    }

    pub(crate) fn is_blocking(&self) -> bool {
        self.flags & FLAG_NON_BLOCKING == 0
    }

    pub(crate) fn is_legacy(&self) -> bool {
        self.legacy
    }

    /// Posts an operation; `build` gets its sequence number, which is given back.
    #[inline]
    pub(crate) fn submit<M: Posted>(
        &self,
        driver: &Driver,
        tail: &[u8],
        build: impl FnOnce(u64) -> M,
    ) -> Answer<u64> {
        if capture::enter(self)? {
            return Err(capture::refuse(self));
        }
        Ok(driver.session.post_with(tail, |seq| {
            // Before anybody can see the number: who finds nothing newer finds all that is posted (`Core::is_quiet`).
            self.posted.fetch_max(seq, Ordering::Release);
            build(seq)
        })?)
    }

    /// Whether everything posted so far is over, well or not.
    #[inline]
    pub(crate) fn is_idle(&self, driver: &Driver) -> bool {
        driver.session.records().value(self.record.0) >= self.posted.load(Ordering::Acquire)
    }

    /// Whether everything posted so far has completed, and was seen to have completed without an error.
    #[inline]
    pub(crate) fn is_settled(&self, driver: &Driver) -> bool {
        self.is_idle(driver) && self.checked.load(Ordering::Relaxed) >= self.posted.load(Ordering::Acquire)
    }

    /// Waits like [`Stream::synchronize`]; cheap where there is nothing to wait for.
    #[inline]
    pub(crate) fn settled(&self, driver: &Driver) -> Answer {
        if self.is_settled(driver) {
            return self.core.look();
        }
        let posted = self.posted.load(Ordering::Acquire);
        self.wait(posted)?;
        self.checked.fetch_max(posted, Ordering::Relaxed);
        Ok(())
    }

    /// Whether nothing is under way of what the next operation of this stream waits for in other streams.
    #[inline]
    pub(crate) fn is_next(&self, driver: &Driver) -> bool {
        if !self.is_blocking() || !self.core.has_blocking.load(Ordering::Relaxed) {
            return true;
        }
        let others_idle = driver.contexts.with(self.core.handle, |context| {
            if self.legacy {
                context.blocking_streams_idle(driver)
            } else {
                context.legacy.is_idle(driver)
            }
        });
        others_idle.unwrap_or(false)
    }

    /// Whether everything posted so far has completed.
    pub(crate) fn query(&self) -> Answer {
        let driver = state::driver()?;
        self.core.look()?;
        let posted = self.posted.load(Ordering::Acquire);
        if !self.is_idle(driver) {
            // A worker that is gone completes nothing: a program that polls must hear of it, not wait for ever.
            return Err(state::not_ready(driver));
        }
        // What has completed and was found good once is not looked at again.
        if self.checked.load(Ordering::Relaxed) >= posted {
            return Ok(());
        }
        self.refused(&driver.session.records().progress(self.record.0))?;
        self.checked.fetch_max(posted, Ordering::Relaxed);
        Ok(())
    }

    /// The error of an operation that the worker refused, reported once.
    fn refused(&self, progress: &Progress) -> Answer {
        if progress.error == 0
            || self.reported.fetch_max(progress.error_seq, Ordering::Relaxed) >= progress.error_seq
        {
            return Ok(());
        }
        Err(code_of(progress.error))
    }

    /// Waits until operation `seq` has completed.
    pub(crate) fn wait(&self, seq: u64) -> Answer {
        let driver = state::driver()?;
        let records = driver.session.records();
        for attempt in 0.. {
            let progress = records
                .wait(self.record.0, seq)
                .map_err(|error| Code::from(tessera_guest::Failure::from(error)))?;
            if progress.value >= seq {
                return self.core.look().and(self.refused(&progress));
            }
            self.core.look()?;
            if attempt > 0 {
                // The worker lets go of a destroyed stream when all its work is done.
                if self.destroyed.load(Ordering::Acquire) {
                    return Ok(());
                }
                // Neither done nor at fault nor destroyed by us: the worker has let go of the stream.
                return Err(match progress.fault {
                    0 => Code::CONTEXT_IS_DESTROYED,
                    fault => code_of(fault),
                });
            }
            // The record may still show what its last user left: let the worker see the creation first.
            fence(driver)?;
        }
        Err(Code::UNKNOWN)
    }

    /// Waits for everything posted so far.
    pub(crate) fn synchronize(&self) -> Answer {
        self.settled(state::driver()?)
    }

    /// Waits like [`Stream::synchronize`], for a context that is being destroyed.
    pub(crate) fn settle(&self) -> Answer {
        let driver = state::driver()?;
        driver
            .session
            .records()
            .wait(self.record.0, self.posted.load(Ordering::Acquire))
            .map(drop)
            .map_err(|error| Code::from(tessera_guest::Failure::from(error)))
    }

    /// Whether there is nothing to settle: all is done, or nothing will be.
    pub(crate) fn is_over(&self, driver: &Driver) -> bool {
        self.is_idle(driver) || self.core.has_fault(driver)
    }

    pub(crate) fn destroy(&self, driver: &Driver) -> Answer {
        self.destroyed.store(true, Ordering::Release);
        capture::forget(self);
        Ok(driver.session.post(&StreamDestroy { stream: self.handle }, &[])?)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(queue) = self.host.get_mut().unwrap_or_else(PoisonError::into_inner) {
            queue.close();
        }
    }
}

/// The calling thread's own default streams, one per context.
struct PerThread(Vec<Arc<Stream>>);

impl Drop for PerThread {
    fn drop(&mut self) {
        let Ok(driver) = state::driver() else { return };
        for stream in self.0.iter().filter(|stream| stream.core.check_alive().is_ok()) {
            let _ = stream.destroy(driver);
        }
    }
}

thread_local! {
    static PER_THREAD: RefCell<PerThread> = const { RefCell::new(PerThread(Vec::new())) };
}

fn per_thread(context: &Context) -> Answer<Arc<Stream>> {
    let driver = state::driver()?;
    // Documented.
    if context.green.is_some() {
        return Err(Code::INVALID_HANDLE);
    }
    PER_THREAD
        .try_with(|streams| {
            let mut streams = streams.try_borrow_mut().map_err(|_| Code::INVALID_CONTEXT)?;
            if let Some(stream) = streams
                .0
                .iter()
                .find(|stream| stream.core.handle == context.handle())
            {
                return Ok(Arc::clone(stream));
            }
            streams.0.retain(|stream| stream.core.check_alive().is_ok());
            let stream = Stream::create_per_thread(driver, context)?;
            streams.0.push(Arc::clone(&stream));
            Ok(stream)
        })
        .unwrap_or(Err(Code::INVALID_CONTEXT))
}

/// Looks at the stream that a handle names in a context, without counting a reference: for what is called a million times.
#[inline]
pub(crate) fn with_stream_in<R>(
    context: &Context,
    default: DefaultStream,
    handle: Handle,
    look: impl FnOnce(&Arc<Stream>) -> Answer<R>,
) -> Answer<R> {
    match default.resolve(handle) {
        STREAM_LEGACY => {
            if let Some(green) = &context.green {
                green.check().map_err(|_| Code::CONTEXT_IS_DESTROYED)?;
            }
            look(&context.legacy)
        }
        STREAM_PER_THREAD => look(&per_thread(context)?),
        handle => state::driver()?.streams.with(handle, |stream| {
            stream.check()?;
            look(stream)
        })?,
    }
}

/// Looks at the stream that a handle names; 0, 1 and 2 need a current context.
#[inline]
pub(crate) fn with_stream<R>(
    default: DefaultStream,
    handle: Handle,
    look: impl FnOnce(&Arc<Stream>) -> Answer<R>,
) -> Answer<R> {
    match default.resolve(handle) {
        STREAM_LEGACY | STREAM_PER_THREAD => {
            current::with_current(|context| with_stream_in(context, default, handle, look))
        }
        handle => state::driver()?.streams.with(handle, |stream| {
            stream.check()?;
            look(stream)
        })?,
    }
}

/// The stream that a handle names, to be held.
pub(crate) fn stream(default: DefaultStream, handle: Handle) -> Answer<Arc<Stream>> {
    with_stream(default, handle, |stream| Ok(Arc::clone(stream)))
}

/// `cuStreamCreate`: looks at its flags before it looks for a driver.
pub(crate) fn stream_create(ph_stream: Caller<Handle>, flags: u32) -> Answer {
    if flags & !FLAG_NON_BLOCKING != 0 {
        return Err(Code::INVALID_VALUE);
    }
    stream_create_with_priority(ph_stream, flags, 0)
}

/// `cuStreamCreateWithPriority`: a priority out of range is clamped, as documented.
pub(crate) fn stream_create_with_priority(ph_stream: Caller<Handle>, flags: u32, priority: i32) -> Answer {
    let driver = state::driver()?;
    if flags & !FLAG_NON_BLOCKING != 0 {
        return Err(Code::INVALID_VALUE);
    }
    ph_stream.required()?;
    let context = current::current()?;
    ph_stream.put(create_in(driver, &context, flags, priority)?)
}

/// Makes a stream in a context.
pub(crate) fn create_in(driver: &Driver, context: &Context, flags: u32, priority: i32) -> Answer<Handle> {
    let priority = priority.clamp(PRIORITIES.1, PRIORITIES.0);
    let wire_flags = if flags & FLAG_NON_BLOCKING != 0 {
        tessera_wire::STREAM_NON_BLOCKING
    } else {
        0
    };
    let stream = driver.streams.insert(|handle| {
        let mut stream = Stream::create(driver, &context.core, handle, flags, wire_flags, priority)?;
        stream.green.clone_from(&context.green);
        Ok(stream)
    })?;
    context.children().streams.push(Arc::downgrade(&stream));
    join::begin(context, &stream)?;
    Ok(stream.handle)
}

/// `cuStreamDestroy`: returns at once; queued work still runs.
pub(crate) fn stream_destroy(stream: Handle) -> Answer {
    let driver = state::driver()?;
    // The default streams are nobody's to destroy.
    if stream <= STREAM_PER_THREAD {
        return Err(Code::INVALID_HANDLE);
    }
    let stream = driver.streams.remove(stream)?;
    stream.core.check_alive()?;
    // A sticky error is told; the stream is gone all the same.
    let told = stream.core.check();
    stream.destroy(driver)?;
    told
}

/// `cuStreamSynchronize`
pub(crate) fn stream_synchronize(default: DefaultStream, handle: Handle) -> Answer {
    let stream = stream(default, handle)?;
    if capture::enter(&stream)? {
        return Err(capture::refuse(&stream));
    }
    let context = current::top();
    let mut result = Ok(());
    // The legacy stream's last operation is done when the blocking streams before it are; an idle legacy stream still waits for them.
    if default.resolve(handle) == STREAM_LEGACY
        && let Some(context) = &context
    {
        for other in context.streams().iter().filter(|other| other.is_blocking()) {
            result = result.and(other.synchronize());
        }
    }
    let result = result.and(stream.synchronize());
    printf::drain(state::driver()?, &stream.core);
    result
}

/// `cuStreamQuery`
pub(crate) fn stream_query(default: DefaultStream, handle: Handle) -> Answer {
    with_stream(default, handle, |stream| {
        if capture::enter(stream)? {
            return Err(capture::refuse(stream));
        }
        stream.query()
    })
}

/// `CU_EVENT_WAIT_EXTERNAL`, `CU_EVENT_RECORD_EXTERNAL`: in a capture it becomes a node of its own; documented as invalid outside one.
pub(crate) const EXTERNAL: u32 = 1;

/// `cuStreamWaitEvent`
pub(crate) fn stream_wait_event(
    default: DefaultStream,
    handle: Handle,
    h_event: Handle,
    flags: u32,
) -> Answer {
    if flags > EXTERNAL {
        return Err(Code::INVALID_VALUE);
    }
    let driver = state::driver()?;
    with_stream(default, handle, |stream| {
        let event: Arc<Event> = driver.events.get(h_event)?;
        if capture::wait(stream, &event, flags == EXTERNAL)? {
            return Ok(());
        }
        if flags == EXTERNAL {
            return Err(Code::INVALID_VALUE);
        }
        if event.is_done(driver) {
            return Ok(());
        }
        stream.submit(driver, &[], |seq| StreamWaitEvent {
            stream: stream.handle,
            seq,
            event: h_event,
        })?;
        Ok(())
    })
}

/// `cuStreamGetPriority`
pub(crate) fn stream_get_priority(default: DefaultStream, handle: Handle, priority: Caller<i32>) -> Answer {
    priority.put(stream(default, handle)?.priority())
}

/// `cuStreamGetFlags`
pub(crate) fn stream_get_flags(default: DefaultStream, handle: Handle, flags: Caller<u32>) -> Answer {
    flags.put(stream(default, handle)?.flags)
}

/// `cuStreamGetId`
pub(crate) fn stream_get_id(default: DefaultStream, handle: Handle, stream_id: Caller<u64>) -> Answer {
    stream_id.put(stream(default, handle)?.identity)
}

/// `cuStreamGetDevice`
pub(crate) fn stream_get_device(default: DefaultStream, handle: Handle, device: Caller<i32>) -> Answer {
    stream(default, handle)?;
    device.put(0)
}

/// `cuStreamGetCtx`
pub(crate) fn stream_get_ctx_v1(default: DefaultStream, handle: Handle, pctx: Caller<Handle>) -> Answer {
    pctx.put(stream(default, handle)?.core.handle)
}

/// `cuStreamGetCtx_v2`: of a stream of a green context, that and the primary context.
pub(crate) fn stream_get_ctx(
    default: DefaultStream,
    handle: Handle,
    pctx: Caller<Handle>,
    green: Caller<Handle>,
) -> Answer {
    stream_get_ctx_v1(default, handle, pctx)?;
    let of = green::of_stream(default, handle)?;
    green.put_if_wanted(of.map_or(0, |green| green.handle));
    Ok(())
}

/// `cuStreamAddCallback`
pub(crate) fn stream_add_callback(
    default: DefaultStream,
    handle: Handle,
    callback: crate::types::CUstreamCallback,
    user_data: Caller<std::ffi::c_void>,
    flags: u32,
) -> Answer {
    let callback = callback.ok_or(Code::INVALID_VALUE)?;
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let stream = stream(default, handle)?;
    // Documented: captures take cuLaunchHostFunc only.
    if capture::enter(&stream)? {
        return Err(capture::refuse(&stream));
    }
    hostfn::launch(
        &stream,
        HostFunction::callback(callback, handle, user_data.address()),
    )
}
