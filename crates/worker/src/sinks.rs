//! Where the device reports to: streams, events, printed text. All of this runs on executor threads and only publishes.
//!
//! ```text
//!   StreamSink::completed(seq, Ok)  ─▶ record.value = seq
//!   StreamSink::completed(seq, Err) ─▶ ContextState::poison: the context's record, and every stream's and event's of it
//!   StreamSink::host_call(seq, call) ▶ kept until HostDone; the stream's second record counts it, record.time = its seq
//!   EventSink::recorded(g, ns)      ─▶ record.value = g, record.time = ns
//!   Printer::print(text)            ─▶ kept for PrintfDrain, the context's record.value = bytes printed so far
//! ```

use crate::queue::Queue;
use crate::refusal::{fault_code, xid};
use crate::vgpu::SessionInfo;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tessera_channel::RecordWriter;
use tessera_device::{EventSink, Fault, HostCall, Printer, StreamSink};

/// The part of a context that completions reach.
#[derive(Debug)]
pub(crate) struct ContextState {
    pub(crate) record: Arc<RecordWriter>,
    fault: Mutex<Option<Fault>>,
    /// Records of its streams and events: they learn of a fault too, so that nobody waits for what never comes.
    dependents: Mutex<Vec<Weak<RecordWriter>>>,
    session: Arc<SessionInfo>,
}

impl ContextState {
    pub(crate) fn new(record: Arc<RecordWriter>, session: Arc<SessionInfo>) -> Self {
        Self {
            record,
            fault: Mutex::default(),
            dependents: Mutex::default(),
            session,
        }
    }

    /// Adds the record of a stream or event.
    pub(crate) fn adopt(&self, record: &Arc<RecordWriter>) {
        let mut dependents = self.dependents.lock().unwrap_or_else(PoisonError::into_inner);
        // Now and then, not each time: amortised constant.
        if dependents.len() == dependents.capacity() {
            dependents.retain(|dependent| dependent.strong_count() > 0);
        }
        dependents.push(Arc::downgrade(record));
        drop(dependents);
        // After it was added: a fault in between reaches it twice rather than never.
        if let Some(fault) = self.fault() {
            record.fault(fault_code(fault.kind).number());
        }
    }

    /// The first fault, which stays.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn poison(&self, fault: &Fault) {
        {
            let mut first = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
            if first.is_some() {
                return;
            }
            *first = Some(fault.clone());
        }
        let code = fault_code(fault.kind).number();
        tracing::warn!(session = self.session.id, %fault, code, "context is poisoned");
        self.session.set_fault(fault.to_string(), xid(fault.kind));
        self.record.fault(code);
        let dependents: Vec<_> = self
            .dependents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for record in dependents {
            record.fault(code);
        }
    }
}

/// A stream as the device sees it.
#[derive(Debug)]
pub(crate) struct StreamState {
    pub(crate) record: Arc<RecordWriter>,
    pub(crate) context: Arc<ContextState>,
    queue: Arc<Queue>,
    outstanding: AtomicU64,
    host: Mutex<HostCalls>,
}

/// Host functions that a stream has come to and that have not returned. At most one, unless the guest says so too late.
#[derive(Debug, Default)]
struct HostCalls {
    record: Option<Arc<RecordWriter>>,
    begun: u64,
    waiting: VecDeque<HostCall>,
    closed: bool,
}

impl StreamState {
    pub(crate) fn new(record: Arc<RecordWriter>, context: Arc<ContextState>, queue: Arc<Queue>) -> Self {
        Self {
            record,
            context,
            queue,
            outstanding: AtomicU64::new(0),
            host: Mutex::default(),
        }
    }

    fn host(&self) -> MutexGuard<'_, HostCalls> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where host functions are counted from now on.
    pub(crate) fn count_host_calls(&self, record: Arc<RecordWriter>) {
        self.host().record = Some(record);
    }

    /// The oldest host function has returned; whether there was one.
    pub(crate) fn host_call_done(&self) -> bool {
        // Finished without the lock: what comes next may be a host function too.
        let call = self.host().waiting.pop_front();
        call.map(HostCall::finish).is_some()
    }

    /// Lets go of all host functions: the guest is gone.
    pub(crate) fn close_host_calls(&self) {
        let waiting = {
            let mut host = self.host();
            host.closed = true;
            std::mem::take(&mut host.waiting)
        };
        drop(waiting);
    }

    /// Counts an operation that was entered into the queue and is about to be submitted.
    pub(crate) fn entered(&self) {
        self.outstanding.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes back [`StreamState::entered`] for an operation that the device refused.
    pub(crate) fn taken_back(&self) {
        self.left();
    }

    fn left(&self) {
        let counted = self
            .outstanding
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1));
        if counted.is_ok() {
            self.queue.leave(1);
        }
    }

    /// Whether all submitted work is done.
    pub(crate) fn is_idle(&self) -> bool {
        self.outstanding.load(Ordering::SeqCst) == 0
    }
}

impl StreamSink for StreamState {
    fn completed(&self, seq: u64, result: Result<(), Fault>) {
        match result {
            Ok(()) => self.record.complete(seq),
            Err(fault) => {
                self.context.poison(&fault);
                self.record.fault(fault_code(fault.kind).number());
            }
        }
        self.left();
    }

    fn host_call(&self, seq: u64, call: HostCall) {
        let mut host = self.host();
        // A guest that has learned of a fault answers for functions that it was not told of, once and perhaps before this.
        let ended = host.closed || self.context.fault().is_some();
        let Some(record) = host.record.clone().filter(|_| !ended) else {
            drop(host);
            return call.finish();
        };
        host.begun += 1;
        host.waiting.push_back(call);
        let begun = host.begun;
        // Only then may the guest learn of it, since it may answer at once.
        drop(host);
        record.complete_at(begun, seq);
    }
}

/// The streams of a session that have host functions, by handle: the thread that hears of their return is not the dispatcher's, which
/// may wait for room that only they can make.
#[derive(Debug, Default)]
pub(crate) struct Callers(Mutex<HashMap<u64, Weak<StreamState>>>);

impl Callers {
    fn streams(&self) -> MutexGuard<'_, HashMap<u64, Weak<StreamState>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, handle: u64, stream: &Arc<StreamState>) {
        let mut streams = self.streams();
        if streams.len() == streams.capacity() {
            streams.retain(|_, stream| stream.strong_count() > 0);
        }
        streams.insert(handle, Arc::downgrade(stream));
    }

    /// The oldest host function of a stream has returned; whether there was one.
    pub(crate) fn done(&self, handle: u64) -> bool {
        let stream = self.streams().get(&handle).and_then(Weak::upgrade);
        stream.is_some_and(|stream| stream.host_call_done())
    }

    /// Lets go of all host functions.
    pub(crate) fn close(&self) {
        let streams = std::mem::take(&mut *self.streams());
        for stream in streams.into_values().filter_map(|stream| stream.upgrade()) {
            stream.close_host_calls();
        }
    }
}

impl Drop for StreamState {
    fn drop(&mut self) {
        // Work that ended with its context without being reported.
        self.queue.leave(*self.outstanding.get_mut());
    }
}

/// An event as the device sees it.
#[derive(Debug)]
pub(crate) struct EventState {
    pub(crate) record: Arc<RecordWriter>,
}

impl EventSink for EventState {
    fn recorded(&self, generation: u64, nanoseconds: u64) {
        self.record.complete_at(generation, nanoseconds);
    }
}

/// An event of several sessions: streams that wait for it tell.
#[derive(Debug)]
pub(crate) struct Untold;

impl EventSink for Untold {
    fn recorded(&self, _generation: u64, _nanoseconds: u64) {}
}

#[derive(Debug, Default)]
struct Printed {
    pieces: VecDeque<(bool, Vec<u8>)>,
    bytes: usize,
    limit: usize,
    lost: u64,
    total: u64,
}

/// Text that kernels of a context printed and that the guest has not fetched. When it is full the oldest is dropped, as CUDA does.
#[derive(Debug)]
pub(crate) struct PrintBuffer {
    printed: Mutex<Printed>,
    record: Arc<RecordWriter>,
}

/// A piece for the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Drained {
    pub(crate) text: Vec<u8>,
    pub(crate) to_stderr: bool,
    pub(crate) lost: u64,
    pub(crate) more: bool,
}

impl PrintBuffer {
    pub(crate) fn new(record: Arc<RecordWriter>, limit: usize) -> Self {
        Self {
            printed: Mutex::new(Printed {
                limit,
                ..Printed::default()
            }),
            record,
        }
    }

    pub(crate) fn set_limit(&self, limit: usize) {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        printed.limit = limit;
        printed.shrink();
    }

    /// Takes text for one destination, at most `most` bytes.
    pub(crate) fn drain(&self, most: usize) -> Drained {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut drained = Drained {
            lost: std::mem::take(&mut printed.lost),
            ..Drained::default()
        };
        if let Some(&(to_stderr, _)) = printed.pieces.front() {
            drained.to_stderr = to_stderr;
        }
        while let Some((to_stderr, mut piece)) = printed.pieces.pop_front() {
            if to_stderr != drained.to_stderr || drained.text.len() == most {
                printed.pieces.push_front((to_stderr, piece));
                break;
            }
            let room = most - drained.text.len();
            let rest = if piece.len() > room {
                piece.split_off(room)
            } else {
                Vec::new()
            };
            printed.bytes -= piece.len();
            drained.text.append(&mut piece);
            if !rest.is_empty() {
                printed.pieces.push_front((to_stderr, rest));
            }
        }
        drained.more = !printed.pieces.is_empty();
        drained
    }
}

impl Printed {
    fn shrink(&mut self) {
        while self.bytes > self.limit {
            let Some((_, piece)) = self.pieces.pop_front() else {
                break;
            };
            self.bytes -= piece.len();
            self.lost += piece.len() as u64;
        }
    }
}

impl Printer for PrintBuffer {
    fn print(&self, text: &[u8], to_stderr: bool) {
        let total = {
            let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
            printed.total += text.len() as u64;
            printed.bytes += text.len();
            match printed.pieces.back_mut() {
                // Short pieces are joined, so that the count of pieces stays small against the bytes.
                Some((same, piece)) if *same == to_stderr && piece.len() < 4096 => {
                    piece.extend_from_slice(text);
                }
                _ => printed.pieces.push_back((to_stderr, text.to_vec())),
            }
            printed.shrink();
            printed.total
        };
        self.record.complete(total);
    }
}
