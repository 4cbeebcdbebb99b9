//! Events.
//!
//! An event is a completion record whose value is the sequence number of the newest record that was reached, with its time.
//!
//! One that several processes have (`CU_EVENT_INTERPROCESS`) has none: nobody knows what the others record. The worker is asked, or a
//! stream of its own waits for it. Who records it waits until the worker knows, so that another process that hears of it finds it there.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::context::{Context, Core, Record, fence};
use crate::current;
use crate::graph::capture::{self, Captured};
use crate::printf;
use crate::state::{self, Driver};
use crate::stream::{self, EXTERNAL, Stream};
use crate::types::{Caller, Handle};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tessera_wire::messages::{
    EventCreate, EventDestroy, EventExport, EventImport, EventReached, EventRecord, EventShared,
    StreamWaitEvent,
};

const FLAG_DISABLE_TIMING: u32 = 2;
const FLAG_INTERPROCESS: u32 = 4;
const FLAGS_KNOWN: u32 = 7;
const NANOSECONDS_PER_MILLISECOND: f64 = 1e6;

/// Who tells how far an event is.
#[derive(Debug)]
enum Told {
    /// Its completion record.
    Record(Record),
    /// A stream that waits for it, made when it is first needed.
    Stream(Mutex<Option<Arc<Stream>>>),
}

/// An event.
#[derive(Debug)]
pub(crate) struct Event {
    handle: Handle,
    pub(crate) core: Arc<Core>,
    kind: Told,
    flags: u32,
    /// Sequence number of the newest record posted; 0: never recorded.
    posted: AtomicU64,
    /// It was recorded last in a capture.
    captured: Mutex<Option<Captured>>,
    is_captured: AtomicBool,
}

impl Event {
    pub(crate) fn handle(&self) -> Handle {
        self.handle
    }

    /// It was never recorded.
    pub(crate) fn is_fresh(&self) -> bool {
        self.posted.load(Ordering::Acquire) == 0
    }

    /// What it stands for in a capture, where it was recorded last in one.
    pub(crate) fn captured(&self) -> Option<Captured> {
        if !self.is_captured.load(Ordering::Acquire) {
            return None;
        }
        self.captured
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_captured(&self, captured: Option<Captured>) {
        let mut slot = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_captured.store(captured.is_some(), Ordering::Release);
        *slot = captured;
    }

    /// A record with this number was posted.
    pub(crate) fn recorded(&self, seq: u64) {
        self.posted.fetch_max(seq, Ordering::Release);
        if self.is_captured.load(Ordering::Acquire) {
            self.set_captured(None);
        }
    }

    /// Fails where nobody may wait for it: it stands for work that was captured, or captures forbid to wait for any.
    fn check_wait(&self) -> Answer {
        // The question harms a capture in either case.
        let allowed = capture::unsafe_call();
        self.check_captured().and(allowed)
    }

    /// Fails where it stands for work that was captured and does not run.
    fn check_captured(&self) -> Answer {
        if self.is_captured.load(Ordering::Acquire) {
            Err(Code::CAPTURED_EVENT)
        } else {
            Ok(())
        }
    }

    /// Whether it is known that the newest record was reached; an event that was never recorded counts as reached. Of one that several
    /// processes have it is not known.
    pub(crate) fn is_done(&self, driver: &Driver) -> bool {
        let Told::Record(record) = &self.kind else {
            return false;
        };
        let posted = self.posted.load(Ordering::Acquire);
        posted == 0 || driver.session.records().value(record.0) >= posted
    }

    /// Whether the newest record was reached.
    fn query(&self, driver: &Driver) -> Answer<bool> {
        match &self.kind {
            Told::Record(_) => Ok(self.is_done(driver)),
            Told::Stream(_) => {
                let message = EventReached { event: self.handle };
                Ok(driver.session.call(&message, &[])?.0.reached != 0)
            }
        }
    }

    /// The stream that waits for it.
    fn watch(&self, driver: &Driver, watch: &Mutex<Option<Arc<Stream>>>) -> Answer<Arc<Stream>> {
        let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = &*watch {
            return Ok(Arc::clone(stream));
        }
        let context = driver.contexts.get(self.core.handle)?;
        let stream = Stream::create_peer(driver, &context)?;
        Ok(Arc::clone(watch.insert(stream)))
    }

    /// Has a stream wait for the newest record.
    fn wait_in(&self, driver: &Driver, stream: &Stream) -> Answer<u64> {
        stream.submit(driver, &[], |seq| StreamWaitEvent {
            stream: stream.handle(),
            seq,
            event: self.handle,
        })
    }

    /// Handle of the context.
    pub(crate) fn context(&self) -> Handle {
        self.core.handle
    }

    fn wait(&self, driver: &Driver) -> Answer {
        let record = match &self.kind {
            Told::Record(record) => record.0,
            Told::Stream(watch) => {
                let stream = self.watch(driver, watch)?;
                return stream.wait(self.wait_in(driver, &stream)?);
            }
        };
        let posted = self.posted.load(Ordering::Acquire);
        if posted == 0 {
            return Ok(());
        }
        for _ in 0..2 {
            let progress = driver
                .session
                .records()
                .wait(record, posted)
                .map_err(|error| Code::from(tessera_guest::Failure::from(error)))?;
            if progress.value >= posted {
                return self.core.look();
            }
            self.core.look()?;
            // The record may still show what its last user left: let the worker see the creation first.
            fence(driver)?;
        }
        Err(Code::CONTEXT_IS_DESTROYED)
    }
}

/// Looks at an event without counting a reference.
#[inline]
fn with_event<R>(handle: Handle, look: impl FnOnce(&'static Driver, &Arc<Event>) -> Answer<R>) -> Answer<R> {
    let driver = state::driver()?;
    driver.events.with(handle, |event| {
        event.core.check()?;
        look(driver, event)
    })?
}

fn event(handle: Handle) -> Answer<(&'static Driver, Arc<Event>)> {
    let driver = state::driver()?;
    let event = driver.events.get(handle)?;
    event.core.check()?;
    Ok((driver, event))
}

/// `cuEventCreate`
pub(crate) fn event_create(ph_event: Caller<Handle>, flags: u32) -> Answer {
    let driver = state::driver()?;
    ph_event.required()?;
    let context = current::current()?;
    if flags & !FLAGS_KNOWN != 0 {
        return Err(Code::INVALID_VALUE);
    }
    if flags & FLAG_INTERPROCESS != 0 {
        // Documented: it needs timing switched off.
        if flags & FLAG_DISABLE_TIMING == 0 {
            return Err(Code::INVALID_VALUE);
        }
    }
    let event = insert(driver, &context, flags, |handle| {
        if flags & FLAG_INTERPROCESS != 0 {
            let message = EventShared {
                context: context.handle(),
                event: handle,
            };
            driver.session.post(&message, &[])?;
            return Ok(Told::Stream(Mutex::default()));
        }
        let record = Record::allocate(driver)?;
        let message = EventCreate {
            context: context.handle(),
            event: handle,
            token: record.0.token,
            completion: record.0.index,
            flags,
        };
        driver.session.post(&message, &[])?;
        Ok(Told::Record(record))
    })?;
    ph_event.put(event)
}

/// Enters a new event; `make` makes it in the worker.
fn insert(
    driver: &Driver,
    context: &Context,
    flags: u32,
    make: impl FnOnce(Handle) -> Answer<Told>,
) -> Answer<Handle> {
    let event = driver.events.insert(|handle| {
        Ok(Event {
            handle,
            core: Arc::clone(&context.core),
            kind: make(handle)?,
            flags,
            posted: AtomicU64::new(0),
            captured: Mutex::default(),
            is_captured: AtomicBool::new(false),
        })
    })?;
    context.children().events.insert(event.handle);
    Ok(event.handle)
}

/// The token of an event, for other processes.
pub(crate) fn export(handle: Handle) -> Answer<[u8; 16]> {
    with_event(handle, |driver, event| {
        // Only what was made for it.
        if event.flags & FLAG_INTERPROCESS == 0 {
            return Err(Code::INVALID_HANDLE);
        }
        let (reply, _) = driver.session.call(&EventExport { event: handle }, &[])?;
        Ok(reply.token)
    })
}

/// The event of another process.
pub(crate) fn import(driver: &Driver, context: &Context, token: [u8; 16]) -> Answer<Handle> {
    insert(
        driver,
        context,
        FLAG_INTERPROCESS | FLAG_DISABLE_TIMING,
        |event| {
            let message = EventImport {
                context: context.handle(),
                event,
                token,
            };
            driver.session.call(&message, &[])?;
            Ok(Told::Stream(Mutex::default()))
        },
    )
}

/// `cuEventDestroy`: returns at once; a record that is queued still runs.
pub(crate) fn event_destroy(h_event: Handle) -> Answer {
    let driver = state::driver()?;
    let event = driver.events.remove(h_event)?;
    if let Ok(context) = driver.contexts.get(event.core.handle) {
        context.children().events.remove(&h_event);
    }
    // A sticky error is told; the event is gone all the same, as it is where the context went before it.
    let told = match event.core.check_alive() {
        Ok(()) => event.core.check(),
        Err(_) => Ok(()),
    };
    if let Told::Stream(watch) = &event.kind
        && let Some(stream) = watch.lock().unwrap_or_else(PoisonError::into_inner).take()
    {
        stream.destroy(driver)?;
    }
    driver.session.post(&EventDestroy { event: h_event }, &[])?;
    told
}

/// `cuEventRecord`
pub(crate) fn event_record(default: DefaultStream, h_event: Handle, handle: Handle) -> Answer {
    event_record_with_flags(default, h_event, handle, 0)
}

/// `cuEventRecordWithFlags`
pub(crate) fn event_record_with_flags(
    default: DefaultStream,
    h_event: Handle,
    handle: Handle,
    flags: u32,
) -> Answer {
    if flags > EXTERNAL {
        return Err(Code::INVALID_VALUE);
    }
    with_event(h_event, |driver, event| {
        stream::with_stream(default, handle, |stream| {
            if stream.core.handle != event.core.handle {
                return Err(Code::INVALID_HANDLE);
            }
            if capture::enter(stream)? {
                return capture::record(stream, event, flags == EXTERNAL);
            }
            if flags == EXTERNAL {
                return Err(Code::INVALID_VALUE);
            }
            record_in(driver, stream, event)
        })
    })
}

/// Records an event in a stream of its context.
pub(crate) fn record_in(driver: &Driver, stream: &Stream, event: &Event) -> Answer {
    let seq = stream.submit(driver, &[], |seq| EventRecord {
        stream: stream.handle(),
        seq,
        event: event.handle,
    })?;
    event.recorded(seq);
    match event.kind {
        Told::Record(_) => Ok(()),
        Told::Stream(_) => fence(driver),
    }
}

/// `cuEventQuery`
pub(crate) fn event_query(h_event: Handle) -> Answer {
    let (driver, done) = with_event(h_event, |driver, event| {
        event.core.look()?;
        event.check_wait()?;
        Ok((driver, event.query(driver)?))
    })?;
    if done {
        return Ok(());
    }
    Err(state::not_ready(driver))
}

/// `cuEventSynchronize`
pub(crate) fn event_synchronize(h_event: Handle) -> Answer {
    let (driver, event) = event(h_event)?;
    event.check_wait()?;
    let result = event.wait(driver);
    printf::drain(driver, &event.core);
    result
}

/// `cuEventElapsedTime`, both versions.
pub(crate) fn event_elapsed_time(p_milliseconds: Caller<f32>, h_start: Handle, h_end: Handle) -> Answer {
    p_milliseconds.required()?;
    let (driver, start) = event(h_start)?;
    let (_, end) = event(h_end)?;
    for event in [&start, &end] {
        event.core.look()?;
        event.check_captured()?;
        if event.flags & FLAG_DISABLE_TIMING != 0 || event.posted.load(Ordering::Acquire) == 0 {
            return Err(Code::INVALID_HANDLE);
        }
    }
    if !start.is_done(driver) || !end.is_done(driver) {
        return Err(Code::NOT_READY);
    }
    let time = |event: &Event| match &event.kind {
        Told::Record(record) => driver.session.records().progress(record.0).time,
        // Without times, as was found above.
        Told::Stream(_) => 0,
    };
    let (from, to) = (time(&start), time(&end));
    let nanoseconds = if to >= from {
        (to - from) as f64
    } else {
        -((from - to) as f64)
    };
    #[allow(clippy::cast_possible_truncation, reason = "CUDA answers in single precision")]
    p_milliseconds.put((nanoseconds / NANOSECONDS_PER_MILLISECOND) as f32)
}
