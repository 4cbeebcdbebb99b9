//! Host functions: code of the program that runs when a stream gets there.
//!
//! ```text
//!   posting thread                      worker                                thread of the stream's queue
//!     submit ── under the ring's lock ─┐
//!       ├─▶ queue: (seq, function) ────┼──────────────────────────────────────▶ waits for call n
//!       └─▶ ring: HostCall(seq) ───────┴▶ the stream comes to it: record = (n, seq) ─▶ drops what is before seq, runs seq's
//!                                         what is behind it goes on  ◀── HostDone, past the ring ── it has returned
//! ```
//!
//! Invariants:
//! * the queue has the order of the ring: an item is queued while the ring's lock is held, under the number drawn there;
//! * nothing that posts waits for a function, and the thread of a queue posts nothing: the ring may be full of work behind a function;
//! * a function of an operation that was refused is never called: the next call has a larger number.
//!
//! A fault shows in the record as it does in the stream's, and nothing is called after it. CUDA forbids host functions to call CUDA;
//! from inside one, functions of the classes `posted` and `call` answer `CUDA_ERROR_NOT_PERMITTED` ([`crate::abi::entry`]).

use crate::code::{Answer, Code};
use crate::context::{Record, code_of};
use crate::state::{self, Driver};
use crate::stream::Stream;
use crate::types::{Handle, c_void};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tessera_wire::Posted;
use tessera_wire::messages::{HostCall, HostDone, StreamHost};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread runs host functions.
#[inline]
pub(crate) fn is_inside() -> bool {
    INSIDE.with(Cell::get)
}

/// How long the thread of an empty queue stays: programs that use host functions use many.
const LINGER: Duration = Duration::from_secs(1);

/// What runs; it gets 0, or the code of the context's fault.
type Work = Box<dyn FnOnce(i32) + Send>;

/// A host function on its way.
pub(crate) struct HostFunction {
    work: Work,
    /// Runs even after a fault, with its code: `cuStreamAddCallback` does, `cuLaunchHostFunc` does not.
    always: bool,
}

impl HostFunction {
    /// A function of the program's, as `cuLaunchHostFunc` takes it.
    pub(crate) fn program(function: unsafe extern "C" fn(*mut c_void), data: u64) -> Self {
        Self::work(move || {
            // SAFETY: the program gave this function and its argument for exactly this call.
            unsafe { function(pointer(data)) };
        })
    }

    /// A callback of the program's, as `cuStreamAddCallback` takes it.
    pub(crate) fn callback(
        function: unsafe extern "C" fn(Handle, i32, *mut c_void),
        stream: Handle,
        data: u64,
    ) -> Self {
        let work = move |status| {
            // SAFETY: as in `program`.
            unsafe { function(stream, status, pointer(data)) };
        };
        Self {
            work: Box::new(work),
            always: true,
        }
    }

    /// Something that this library does when the stream gets there.
    pub(crate) fn work(work: impl FnOnce() + Send + 'static) -> Self {
        Self {
            work: Box::new(move |_| work()),
            always: false,
        }
    }

    fn run(self, status: i32) {
        if status != 0 && !self.always {
            return;
        }
        let work = std::panic::AssertUnwindSafe(self.work);
        let _ = std::panic::catch_unwind(move || {
            let work = work;
            (work.0)(status);
        });
    }
}

fn pointer(data: u64) -> *mut c_void {
    std::ptr::with_exposed_provenance_mut(usize::try_from(data).unwrap_or(0))
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<(u64, HostFunction)>,
    /// Calls of the worker's that were answered.
    called: u64,
    /// The thread is there.
    served: bool,
    /// Threads that are about to queue something.
    posting: u32,
    /// Nothing more comes.
    closed: bool,
}

/// The host functions of a stream.
pub(crate) struct HostQueue {
    stream: Handle,
    record: Record,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl std::fmt::Debug for HostQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HostQueue({:#x})", self.stream)
    }
}

/// What the worker says of the next function.
enum Call {
    /// The stream has come to the operation with this number; the context's fault.
    Begun { seq: u64, status: i32 },
    /// It never will.
    Never { status: i32 },
}

impl HostQueue {
    /// The queue of a stream, before its first host function.
    pub(crate) fn create(driver: &Driver, stream: Handle) -> Answer<Arc<Self>> {
        let record = Record::allocate(driver)?;
        let message = StreamHost {
            stream,
            token: record.0.token,
            completion: record.0.index,
            ..StreamHost::default()
        };
        driver.session.post(&message, &[])?;
        Ok(Arc::new(Self {
            stream,
            record,
            waiting: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream is gone: the thread ends when all is done.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.changed.notify_all();
    }

    /// Makes sure that there is a thread, which then stays until [`HostQueue::leave`].
    fn enter(self: &Arc<Self>) -> Answer {
        let mut waiting = self.waiting();
        if !waiting.served {
            let queue = Arc::clone(self);
            std::thread::Builder::new()
                .name("cuda-host-fn".into())
                .spawn(move || queue.serve())
                .map_err(|_| Code::OPERATING_SYSTEM)?;
            waiting.served = true;
        }
        waiting.posting += 1;
        Ok(())
    }

    fn push(&self, seq: u64, functions: Vec<HostFunction>) {
        let items = functions.into_iter().map(|function| (seq, function));
        self.waiting().items.extend(items);
    }

    /// `refused`: number of an operation that could not be posted; its functions do not run.
    fn leave(&self, refused: Option<u64>) {
        let mut waiting = self.waiting();
        waiting.posting -= 1;
        if let Some(refused) = refused {
            waiting.items.retain(|(seq, _)| *seq != refused);
        }
        drop(waiting);
        self.changed.notify_all();
    }

    /// Waits until there is a function; `None`: the thread is to end. Otherwise the number of the call that is next.
    fn wait(&self) -> Option<u64> {
        let mut waiting = self.waiting();
        let mut lingered = false;
        while waiting.items.is_empty() {
            if waiting.posting == 0 && (lingered || waiting.closed) {
                waiting.served = false;
                return None;
            }
            let (back, timeout) = self
                .changed
                .wait_timeout(waiting, LINGER)
                .unwrap_or_else(PoisonError::into_inner);
            waiting = back;
            lingered = timeout.timed_out();
        }
        Some(waiting.called + 1)
    }

    fn call(&self, driver: &Driver, number: u64) -> Call {
        match driver.session.records().wait(self.record.0, number) {
            Ok(progress) => {
                let status = code_of(progress.fault).0;
                if progress.value >= number {
                    let seq = progress.time;
                    return Call::Begun { seq, status };
                }
                let status = if status == 0 {
                    Code::CONTEXT_IS_DESTROYED.0
                } else {
                    status
                };
                Call::Never { status }
            }
            Err(error) => Call::Never {
                status: Code::from(tessera_guest::Failure::from(error)).0,
            },
        }
    }

    /// The function that a call is for.
    fn take(&self, call: &Call) -> Option<HostFunction> {
        let mut waiting = self.waiting();
        match *call {
            Call::Begun { seq, .. } => {
                waiting.called += 1;
                while waiting.items.front().is_some_and(|(item, _)| *item < seq) {
                    waiting.items.pop_front();
                }
                let (item, _) = waiting.items.front()?;
                if *item > seq {
                    return None;
                }
            }
            Call::Never { .. } => {}
        }
        waiting.items.pop_front().map(|(_, function)| function)
    }

    /// The queue's thread.
    fn serve(&self) {
        INSIDE.with(|inside| inside.set(true));
        let Ok(driver) = state::driver() else { return };
        while let Some(number) = self.wait() {
            let call = self.call(driver, number);
            if let Some(function) = self.take(&call) {
                let (Call::Begun { status, .. } | Call::Never { status }) = call;
                function.run(status);
            }
            // Also for one that was never called: the call may just be on its way. A worker that is gone waits for nothing.
            let _ = driver.session.send_out_of_turn(&HostDone { stream: self.stream });
        }
    }
}

/// Posts an operation that comes to these functions, one after the other.
pub(crate) fn submit<M: Posted>(
    driver: &Driver,
    stream: &Stream,
    functions: Vec<HostFunction>,
    tail: &[u8],
    build: impl FnOnce(u64) -> M,
) -> Answer<u64> {
    if functions.is_empty() {
        return stream.submit(driver, tail, build);
    }
    let queue = stream.host_queue(driver)?;
    queue.enter()?;
    let mut drawn = 0;
    let posted = stream.submit(driver, tail, |seq| {
        drawn = seq;
        queue.push(seq, functions);
        build(seq)
    });
    queue.leave(posted.is_err().then_some(drawn));
    posted
}

/// Posts a host function.
pub(crate) fn launch(stream: &Stream, function: HostFunction) -> Answer {
    let driver = state::driver()?;
    let message = |seq| HostCall {
        stream: stream.handle(),
        seq,
    };
    submit(driver, stream, vec![function], &[], message).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_channel::Completion;

    /// Numbers and status of what ran.
    type Notes = Arc<Mutex<Vec<(u64, i32)>>>;

    /// A queue of functions that note the numbers of their operations.
    fn queue(numbers: &[u64]) -> (HostQueue, Notes) {
        let ran = Arc::new(Mutex::new(Vec::new()));
        let queue = HostQueue {
            stream: 4,
            record: Record(Completion { index: 1, token: 1 }),
            waiting: Mutex::default(),
            changed: Condvar::new(),
        };
        for &seq in numbers {
            let notes = Arc::clone(&ran);
            let function = HostFunction {
                work: Box::new(move |status| notes.lock().expect("lock").push((seq, status))),
                always: seq.is_multiple_of(2),
            };
            queue.push(seq, vec![function]);
        }
        (queue, ran)
    }

    fn run(queue: &HostQueue, call: &Call) {
        let (Call::Begun { status, .. } | Call::Never { status }) = *call;
        if let Some(function) = queue.take(call) {
            function.run(status);
        }
    }

    #[test]
    fn functions_of_refused_operations_are_passed_over() {
        let (queue, ran) = queue(&[3, 5, 5, 8, 9]);
        for seq in [5, 5, 9] {
            run(&queue, &Call::Begun { seq, status: 0 });
        }
        assert_eq!(*ran.lock().expect("lock"), [(5, 0), (5, 0), (9, 0)]);
        assert_eq!(queue.waiting().called, 3);
        assert!(queue.waiting().items.is_empty());
    }

    #[test]
    fn a_call_for_an_operation_that_is_not_queued_runs_nothing() {
        let (queue, ran) = queue(&[7]);
        run(&queue, &Call::Begun { seq: 6, status: 0 });
        assert!(ran.lock().expect("lock").is_empty());
        assert_eq!(queue.waiting().items.len(), 1);
    }

    #[test]
    fn after_a_fault_only_callbacks_run() {
        let (queue, ran) = queue(&[1, 2, 3, 4]);
        run(&queue, &Call::Begun { seq: 1, status: 700 });
        for _ in 0..3 {
            run(&queue, &Call::Never { status: 700 });
        }
        assert_eq!(*ran.lock().expect("lock"), [(2, 700), (4, 700)]);
        assert!(queue.take(&Call::Never { status: 700 }).is_none());
    }

    #[test]
    fn functions_of_an_operation_that_was_not_posted_do_not_run() {
        let (queue, ran) = queue(&[1, 2, 2, 3]);
        queue.waiting().posting = 1;
        queue.leave(Some(2));
        for seq in [1, 3] {
            run(&queue, &Call::Begun { seq, status: 0 });
        }
        assert_eq!(*ran.lock().expect("lock"), [(1, 0), (3, 0)]);
    }
}
