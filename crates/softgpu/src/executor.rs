//! Executor threads.

use crate::device::Shared;
use crate::scheduler::Next;
use crate::task::Task;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tessera_device::{Fault, FaultKind};
use tessera_engine::{Pool, Worker};

/// Rounds in which every block only waited for something, after which an executor lets other threads have the processor.
const IDLE_ROUNDS_YIELD: u32 = 16;
/// The same, after which it sleeps for a moment between rounds.
const IDLE_ROUNDS_SLEEP: u32 = 256;
const IDLE_SLEEP: Duration = Duration::from_micros(50);

/// What belongs to one executor.
pub(crate) struct Local {
    /// Its slot in [`crate::quiesce::Slots`].
    pub(crate) slot: usize,
    pub(crate) worker: Worker,
    pub(crate) pool: Pool,
    /// The context whose blocks the pool's memory comes from. Registers and local memory start with what was there before, as on a GPU; but
    /// never with what another context, which may be another process of the guest, left there.
    pub(crate) context: u64,
    /// Whether the last block was taken from the parked ones first.
    pub(crate) parked_first: bool,
    /// Quanta in a row in which no block made progress.
    pub(crate) idle_rounds: u32,
}

impl Local {
    /// A quantum went by in which something was waited for; `over`: it came.
    pub(crate) fn waited(&mut self, over: bool) {
        self.idle_rounds = if over {
            0
        } else {
            self.idle_rounds.saturating_add(1)
        };
    }
}

/// Works until the device is closed.
pub(crate) fn work(shared: &Arc<Shared>, slot: usize) {
    let mut local = Local {
        slot,
        worker: Worker::new(),
        pool: Pool::new(),
        context: 0,
        parked_first: false,
        idle_rounds: 0,
    };
    loop {
        let task = match shared.scheduler.next() {
            Next::Task(task) => task,
            Next::Chore => {
                shared.memory.reclaim();
                continue;
            }
            Next::End => return,
        };
        run(shared, &task, &mut local);
        shared.scheduler.put_back(task, slot);
        if shared.memory.has_retired() {
            shared.scheduler.hand_over();
            shared.memory.reclaim();
        }
        if local.idle_rounds > IDLE_ROUNDS_SLEEP {
            shared.scheduler.hand_over();
            std::thread::sleep(IDLE_SLEEP);
        } else if local.idle_rounds > IDLE_ROUNDS_YIELD {
            std::thread::yield_now();
        }
    }
}

/// One quantum. A panic is a defect of ours; it ends the context that met it, not the device.
fn run(shared: &Arc<Shared>, task: &Arc<Task>, local: &mut Local) {
    let slot = local.slot;
    let context = task.context().id;
    if local.context != context {
        local.pool = Pool::new();
        local.context = context;
    }
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        task.run(local, &mut || shared.scheduler.offer(task));
    }));
    if let Err(panic) = outcome {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        tracing::error!(text, "an executor panicked");
        task.context().poison(Fault {
            kind: FaultKind::LaunchFailed,
            place: "software GPU".to_owned(),
            detail: format!("internal error: {text}"),
        });
        shared.slots.leave_after_panic(slot);
        local.worker = Worker::new();
        local.pool = Pool::new();
    }
}
