//! Host functions: code of the program that runs when a stream gets there.
//!
//! ```text
//!   cuLaunchHostFunc ─▶ Gate.pending += 1 ─▶ a thread of its own waits for what the stream has so far ─▶ runs ─▶ pending -= 1
//!                                                                                                               │
//!   next submit to the stream, or a synchronisation of it, waits here ◀────────────────────────────────────────┘
//! ```
//!
//! Work behind a host function must not start before the function has returned. The device knows nothing of the guest's threads, so
//! the guest holds such work back. CUDA forbids host functions to call CUDA, so this cannot wait for itself; a call from one is
//! answered with `CUDA_ERROR_NOT_PERMITTED`.

use crate::code::{Answer, Code};
use crate::state;
use crate::stream::Stream;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

type Work = Box<dyn FnOnce(i32) + Send>;

struct Item {
    work: Work,
    /// Runs even after a fault, with its code: `cuStreamAddCallback` does, `cuLaunchHostFunc` does not.
    always: bool,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// Queued and not finished.
    pending: usize,
    running: bool,
}

/// Counts a stream's host functions that have not finished.
#[derive(Default)]
pub(crate) struct Gate {
    queue: Mutex<Queue>,
    finished: Condvar,
    /// The same count, for a look without the lock.
    busy: std::sync::atomic::AtomicUsize,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gate({:?})", self.busy)
    }
}

impl Gate {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no host function is pending.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.busy.load(std::sync::atomic::Ordering::Acquire) == 0
    }

    /// Waits until no host function is pending.
    pub(crate) fn wait(&self) -> Answer {
        if self.is_open() {
            return Ok(());
        }
        if INSIDE.with(Cell::get) {
            return Err(Code::NOT_PERMITTED);
        }
        let mut queue = self.queue();
        while queue.pending > 0 {
            queue = self.finished.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Waits until work may be posted to `stream`: for its own host functions, and for those of streams that it is ordered after.
    #[inline]
    pub(crate) fn pass(&self, stream: &Stream) -> Answer {
        self.wait()?;
        if ANYWHERE.load(std::sync::atomic::Ordering::Acquire) != 0 {
            return pass_others(stream);
        }
        Ok(())
    }
}

/// Host functions pending in any stream.
static ANYWHERE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// The legacy stream is ordered after all blocking streams of its context, and they after it.
#[cold]
fn pass_others(stream: &Stream) -> Answer {
    let Ok(context) = state::driver()?.contexts.get(stream.core.handle) else {
        return Ok(());
    };
    if context.legacy.handle() != stream.handle() {
        return if stream.is_blocking() {
            context.legacy.gate.wait()
        } else {
            Ok(())
        };
    }
    for other in context.streams().iter().filter(|other| other.is_blocking()) {
        other.gate.wait()?;
    }
    Ok(())
}

/// Queues a host function.
pub(crate) fn enqueue(stream: &Arc<Stream>, work: Work, always: bool) -> Answer {
    use std::sync::atomic::Ordering;
    if INSIDE.with(Cell::get) {
        return Err(Code::NOT_PERMITTED);
    }
    let mut queue = stream.gate.queue();
    queue.items.push_back(Item { work, always });
    queue.pending += 1;
    stream.gate.busy.fetch_add(1, Ordering::AcqRel);
    ANYWHERE.fetch_add(1, Ordering::AcqRel);
    if queue.running {
        return Ok(());
    }
    queue.running = true;
    drop(queue);
    let owned = Arc::clone(stream);
    let spawned = std::thread::Builder::new()
        .name("cuda-host-fn".into())
        .spawn(move || serve(&owned));
    if spawned.is_err() {
        // Without a thread there is nobody to run it: take it back.
        let mut queue = stream.gate.queue();
        queue.running = false;
        queue.items.pop_back();
        queue.pending -= 1;
        stream.gate.busy.fetch_sub(1, Ordering::AcqRel);
        ANYWHERE.fetch_sub(1, Ordering::AcqRel);
        return Err(Code::OPERATING_SYSTEM);
    }
    Ok(())
}

/// Runs a stream's host functions until there are none; then the thread ends.
fn serve(stream: &Arc<Stream>) {
    use std::sync::atomic::Ordering;
    INSIDE.with(|inside| inside.set(true));
    loop {
        let item = {
            let mut queue = stream.gate.queue();
            match queue.items.pop_front() {
                Some(item) => item,
                None => {
                    queue.running = false;
                    return;
                }
            }
        };
        // Nothing is posted behind a pending host function, so what is posted now is what comes before it.
        let status = stream.wait_posted().err().map_or(0, |code| code.0);
        if status == 0 || item.always {
            let work = std::panic::AssertUnwindSafe(item.work);
            let _ = std::panic::catch_unwind(move || {
                let work = work;
                (work.0)(status);
            });
        }
        let mut queue = stream.gate.queue();
        queue.pending -= 1;
        stream.gate.busy.fetch_sub(1, Ordering::AcqRel);
        ANYWHERE.fetch_sub(1, Ordering::AcqRel);
        drop(queue);
        stream.gate.finished.notify_all();
    }
}
