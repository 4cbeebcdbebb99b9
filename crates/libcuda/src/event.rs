//! Events.
//!
//! An event is a completion record whose value is the sequence number of the newest record that was reached, with its time.

use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::context::{Core, Record, fence};
use crate::current;
use crate::graph::capture::{self, Captured};
use crate::printf;
use crate::state::{self, Driver};
use crate::stream::{self, EXTERNAL, Stream};
use crate::types::{Caller, Handle};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tessera_wire::messages::{EventCreate, EventDestroy, EventRecord};

const FLAG_DISABLE_TIMING: u32 = 2;
const FLAG_INTERPROCESS: u32 = 4;
const FLAGS_KNOWN: u32 = 7;
const NANOSECONDS_PER_MILLISECOND: f64 = 1e6;

/// An event.
#[derive(Debug)]
pub(crate) struct Event {
    handle: Handle,
    pub(crate) core: Arc<Core>,
    record: Record,
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

    /// Whether the newest record was reached; an event that was never recorded counts as reached.
    pub(crate) fn is_done(&self, driver: &Driver) -> bool {
        let posted = self.posted.load(Ordering::Acquire);
        posted == 0 || driver.session.records().value(self.record.0) >= posted
    }

    /// Handle of the context.
    pub(crate) fn context(&self) -> Handle {
        self.core.handle
    }

    fn wait(&self, driver: &Driver) -> Answer {
        let posted = self.posted.load(Ordering::Acquire);
        if posted == 0 {
            return Ok(());
        }
        for _ in 0..2 {
            let progress = driver
                .session
                .records()
                .wait(self.record.0, posted)
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
        // Documented: it needs timing switched off. Sharing events between processes is not served yet; the event itself is.
        if flags & FLAG_DISABLE_TIMING == 0 {
            return Err(Code::INVALID_VALUE);
        }
    }
    let event = driver.events.insert(|handle| {
        let record = Record::allocate(driver)?;
        let message = EventCreate {
            context: context.handle(),
            event: handle,
            token: record.0.token,
            completion: record.0.index,
            flags,
        };
        driver.session.post(&message, &[])?;
        Ok(Event {
            handle,
            core: Arc::clone(&context.core),
            record,
            flags,
            posted: AtomicU64::new(0),
            captured: Mutex::default(),
            is_captured: AtomicBool::new(false),
        })
    })?;
    context.children().events.insert(event.handle);
    ph_event.put(event.handle)
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
    Ok(())
}

/// `cuEventQuery`
pub(crate) fn event_query(h_event: Handle) -> Answer {
    let (driver, done) = with_event(h_event, |driver, event| {
        event.core.look()?;
        event.check_wait()?;
        Ok((driver, event.is_done(driver)))
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
    let time = |event: &Event| driver.session.records().progress(event.record.0).time;
    let (from, to) = (time(&start), time(&end));
    let nanoseconds = if to >= from {
        (to - from) as f64
    } else {
        -((from - to) as f64)
    };
    #[allow(clippy::cast_possible_truncation, reason = "CUDA answers in single precision")]
    p_milliseconds.put((nanoseconds / NANOSECONDS_PER_MILLISECOND) as f32)
}
