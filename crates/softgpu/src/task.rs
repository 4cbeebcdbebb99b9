//! One operation of a stream, from submission to completion.

use crate::context::ContextCore;
use crate::counters::{Spent, now_ns};
use crate::events::SoftEvent;
use crate::executor::Local;
use crate::graph::Condition;
use crate::holdings::Kind;
use crate::kernel::Kernel;
use crate::stream::StreamCore;
use crate::transfer::Transfer;
use crate::values::{WaitValue, WriteValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tessera_device::{DevicePtr, Fault, FaultKind};

/// How long an executor stays with one task before it looks for another.
pub(crate) const QUANTUM: Duration = Duration::from_millis(1);

/// What is to be done.
pub(crate) enum Body {
    Kernel(Box<Kernel>),
    Transfer(Transfer),
    Record {
        event: Arc<SoftEvent>,
        generation: u64,
    },
    Free(DevicePtr),
    Wait(WaitValue),
    Write(WriteValue),
    Conditional(Box<Condition>),
    /// A function of the guest: over when the guest says so.
    HostCall,
    /// Only its place in the order matters: markers, waits, launches and copies of nothing.
    Nothing,
}

/// An operation with its place.
pub(crate) struct Task {
    pub(crate) stream: Arc<StreamCore>,
    pub(crate) seq: u64,
    pub(crate) body: Body,
    pub(crate) order: Ordered,
    /// It is a part of a graph's launch, of which only the end is reported.
    part: bool,
}

/// What the scheduler keeps with a task; all of it is used under the scheduler's lock.
#[derive(Default)]
pub(crate) struct Ordered {
    /// Key of the node in the graph of dependencies.
    pub(crate) key: AtomicU64,
    /// It stands in a ready queue.
    pub(crate) queued: AtomicBool,
    /// Executors that work on it now.
    pub(crate) workers: AtomicU32,
    /// Its completion has begun.
    pub(crate) finished: AtomicBool,
    /// The guest was told that the stream has come to this host function.
    pub(crate) called: AtomicBool,
}

impl Task {
    pub(crate) fn new(stream: Arc<StreamCore>, seq: u64, body: Body) -> Self {
        Self {
            stream,
            seq,
            body,
            order: Ordered::default(),
            part: false,
        }
    }

    /// A part of the launch of a graph.
    pub(crate) fn part(stream: Arc<StreamCore>, seq: u64, body: Body) -> Self {
        Self {
            part: true,
            ..Self::new(stream, seq, body)
        }
    }

    /// Tells the stream's sink, where this is what it waits for.
    pub(crate) fn report(&self, result: Result<(), Fault>) {
        if !self.part {
            self.stream.sink.completed(self.seq, result);
        }
    }

    /// Whether it only looks at memory again and again: nobody is called to help with that.
    pub(crate) fn is_poll(&self) -> bool {
        matches!(self.body, Body::Wait(_))
    }

    pub(crate) fn context(&self) -> &Arc<ContextCore> {
        &self.stream.context
    }

    /// Whether [`Task::conclude`] does all of it in no time worth an executor's wake-up. `with_slot`: the caller may translate
    /// addresses.
    pub(crate) fn is_instant(&self, with_slot: bool) -> bool {
        self.context().is_dead()
            || match &self.body {
                Body::Kernel(_) => false,
                Body::Transfer(transfer) => with_slot && transfer.is_small(),
                Body::Write(_) => with_slot,
                Body::Wait(_) => false,
                Body::Conditional(condition) => condition.is_over(),
                Body::Record { .. } | Body::Free(_) | Body::HostCall | Body::Nothing => true,
            }
    }

    /// Whether one more executor could help.
    pub(crate) fn has_work(&self) -> bool {
        match &self.body {
            Body::Kernel(kernel) => kernel.has_work(),
            Body::Transfer(transfer) => transfer.has_work(),
            Body::Wait(wait) => !wait.is_over(),
            Body::Write(write) => !write.is_over(),
            Body::Conditional(condition) => !condition.is_decided(),
            _ => false,
        }
    }

    /// Whether an executor that takes it should call others at once.
    pub(crate) fn is_wide(&self) -> bool {
        match &self.body {
            Body::Kernel(kernel) => kernel.is_wide(),
            Body::Transfer(transfer) => transfer.is_wide(),
            _ => false,
        }
    }

    /// Whether all of it is done, or its context is dead.
    pub(crate) fn is_over(&self) -> bool {
        self.context().is_dead()
            || match &self.body {
                Body::Kernel(kernel) => kernel.is_over(),
                Body::Transfer(transfer) => transfer.is_over(),
                Body::Wait(wait) => wait.is_over(),
                Body::Write(write) => write.is_over(),
                Body::Conditional(condition) => condition.is_decided(),
                _ => true,
            }
    }

    /// Works on it for a quantum, or until nothing is left to start. `wide` is called when others should help.
    pub(crate) fn run(&self, local: &mut Local, wide: &mut dyn FnMut()) {
        let context = Arc::clone(self.context());
        let slots = &context.shared.slots;
        let started = now_ns();
        if let Body::Kernel(kernel) = &self.body {
            kernel.reconsider();
        }
        slots.enter(local.slot);
        let mut spent = Spent::default();
        if !context.is_dead() {
            match &self.body {
                Body::Kernel(kernel) => kernel.run(&context, local, started, &mut spent, wide),
                Body::Transfer(transfer) => transfer.run(&context, started, &mut spent),
                Body::Wait(wait) => local.waited(wait.run(&context)),
                Body::Write(write) => write.run(&context),
                Body::Conditional(condition) => condition.decide(&context),
                _ => {}
            }
        }
        slots.leave(local.slot);
        let elapsed = now_ns().saturating_sub(started);
        match &self.body {
            Body::Kernel(_) => spent.kernel_ns = elapsed,
            Body::Transfer(_) => spent.copy_ns = elapsed,
            _ => {}
        }
        self.charge(&spent);
    }

    fn charge(&self, spent: &Spent) {
        let context = self.context();
        context.counters.add(spent);
        context.shared.counters.add(spent);
    }

    /// What is left to do at the end: the effects of operations that take no time. The result goes to the stream's sink.
    pub(crate) fn conclude(&self, slot: Option<usize>) -> Result<(), Fault> {
        let context = self.context();
        if let Body::Kernel(kernel) = &self.body {
            kernel.release();
        }
        if let Some(fault) = context.fault() {
            return Err(fault.clone());
        }
        match &self.body {
            Body::Kernel(_) => {
                context.counters.kernel_done();
                context.shared.counters.kernel_done();
            }
            Body::Transfer(transfer) if !transfer.is_over() => self.run_small(transfer, slot),
            Body::Write(write) if !write.is_over() => {
                if let Some(slot) = slot {
                    context.shared.slots.enter(slot);
                    write.run(context);
                    context.shared.slots.leave(slot);
                }
            }
            Body::Transfer(_)
            | Body::Wait(_)
            | Body::Write(_)
            | Body::Conditional(_)
            | Body::HostCall
            | Body::Nothing => {}
            Body::Record { event, generation } => {
                let key = self.order.key.load(Ordering::Relaxed);
                event.reached.store(key, Ordering::Release);
                event.sink.recorded(*generation, now_ns());
            }
            Body::Free(base) => {
                if let Err(error) = context.remove(*base, Kind::Allocation) {
                    context.poison(Fault {
                        kind: FaultKind::IllegalAddress,
                        place: "free in stream order".to_owned(),
                        detail: error.to_string(),
                    });
                }
            }
        }
        context.fault().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// A small copy or fill, on whatever thread concludes it.
    fn run_small(&self, transfer: &Transfer, slot: Option<usize>) {
        let Some(slot) = slot else {
            debug_assert!(false, "a transfer is instant only where there is a slot");
            return;
        };
        let context = self.context();
        let started = now_ns();
        let mut spent = Spent::default();
        context.shared.slots.enter(slot);
        transfer.run(context, started, &mut spent);
        context.shared.slots.leave(slot);
        spent.copy_ns = now_ns().saturating_sub(started);
        self.charge(&spent);
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.order.finished.load(Ordering::Relaxed)
    }
}
