//! What may run, and in which order.
//!
//! Operations form a graph: each is a *node* that waits for the last operation of its stream, for what the legacy default stream
//! asks for, and for an event's newest record. A node whose count of waits is zero is ready: operations that take no time are concluded
//! by whoever made them ready, all others go to a ready queue.
//!
//! ```text
//!            submit                 waits = 0                     all parts done
//!   (none) ─────────▶ waiting ───────────────────▶ ready queue ◀──┐      │
//!                        │ instant                  │  executor    │      ▼
//!                        └─────────────▶ conclude   └─▶ running ───┘   conclude ─▶ sink.completed ─▶ node gone, dependents wait
//!                                                    quantum over                                    for one less
//! ```
//!
//! Invariants
//! * The sink hears of an operation before any operation that waits for it can start; so completions of a stream are in order.
//! * A task with work left stands in a ready queue, or an executor works on it and puts it back: no task is lost.
//! * Nobody sleeps while a ready queue holds more than spinning executors will take.
//! * No sink and no kernel runs under the lock, and no task is dropped under it.

use crate::device::Shared;
use crate::events::SoftEvent;
use crate::graph::{Part, SoftGraph};
use crate::stream::StreamCore;
use crate::task::{Body, Task};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tessera_device::{DevicePtr, Fault, FaultKind, HostCall};

/// Levels of priority, as `cuCtxGetStreamPriorityRange` reports them: 0 (least) to -5.
pub(crate) const LEVELS: usize = 6;
/// Every so many picks the least urgent task goes first, so that nothing starves.
const LEAST_FIRST_EVERY: u32 = 4;

/// Streams remembered for the legacy stream before those that are idle are forgotten.
const MANY_STREAMS: usize = 32;
/// Shortest look for work before an executor sleeps.
const LEAST_SPIN_NS: u64 = 1_000;

/// Names a node: number of its place plus one, and how often the place was used.
type Key = u64;

#[derive(Default)]
struct Node {
    uses: u32,
    /// Nodes that it still waits for, and what holds it.
    waits: u32,
    /// How often it is held: nodes that it will wait for are still to come.
    held: u32,
    /// Places of the nodes that wait for it.
    dependents: Vec<u32>,
    task: Option<Arc<Task>>,
}

#[derive(Default)]
struct Nodes {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

impl Nodes {
    fn insert(&mut self, task: Arc<Task>) -> (u32, Key) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            u32::try_from(self.nodes.len() - 1)
                .unwrap_or_else(|_| unreachable!("memory ends before four thousand million nodes"))
        });
        let node = &mut self.nodes[index as usize];
        node.task = Some(task);
        node.waits = 0;
        (index, u64::from(node.uses) << 32 | u64::from(index + 1))
    }

    /// The place of a node that is not gone yet.
    fn find(&self, key: Key) -> Option<u32> {
        let index = u32::try_from(key & 0xffff_ffff).ok()?.checked_sub(1)?;
        let node = self.nodes.get(index as usize)?;
        (u64::from(node.uses) == key >> 32 && node.task.is_some()).then_some(index)
    }

    /// Makes `index` wait for the node `key`, where that is not gone.
    fn wait_for(&mut self, index: u32, key: Key) {
        if let Some(before) = self.find(key)
            && before != index
        {
            self.nodes[before as usize].dependents.push(index);
            self.nodes[index as usize].waits += 1;
        }
    }
}

/// What the legacy default stream of a context needs to know.
#[derive(Default)]
struct LegacyOrder {
    legacy: Key,
    /// Stream and key of its last operation, for the blocking streams.
    blocking: Vec<(u64, Key)>,
}

#[derive(Default)]
struct State {
    nodes: Nodes,
    orders: HashMap<u64, LegacyOrder>,
    ready: [VecDeque<Arc<Task>>; LEVELS],
    picks: u32,
    sleeping: usize,
    /// Of those that sleep, how many were called and have not come yet.
    called: usize,
    spinning: usize,
    /// Somebody should scrub retired memory.
    chore: bool,
    shut_down: bool,
}

/// What an executor does next.
pub(crate) enum Next {
    Task(Arc<Task>),
    /// [`crate::memory::Memory::reclaim`]
    Chore,
    /// The device is being closed.
    End,
}

/// The queues of a device.
pub(crate) struct Scheduler {
    state: Mutex<State>,
    wake: Condvar,
    /// Tasks in the ready queues, for spinning executors.
    ready: AtomicUsize,
    stopping: AtomicBool,
    /// Longest look for work before an executor sleeps, nanoseconds.
    most_spin: u64,
    /// The same as it pays at present: doubled when a look found work, halved when it did not.
    spin: AtomicU64,
}

fn level(stream: &StreamCore) -> usize {
    usize::try_from(-i64::from(stream.priority.load(Ordering::Relaxed)))
        .map_or(0, |level| level.min(LEVELS - 1))
}

impl State {
    fn order(&mut self, task: &Arc<Task>, wait: Option<&SoftEvent>) -> bool {
        let (index, key) = self.nodes.insert(Arc::clone(task));
        task.order.key.store(key, Ordering::Relaxed);
        let stream = &task.stream;
        self.nodes
            .wait_for(index, stream.tail.swap(key, Ordering::Relaxed));
        if !stream.options.non_blocking {
            let order = self.orders.entry(stream.context.id).or_default();
            if stream.options.legacy {
                for (_, last) in order.blocking.drain(..) {
                    self.nodes.wait_for(index, last);
                }
                order.legacy = key;
            } else {
                self.nodes.wait_for(index, order.legacy);
                match order.blocking.iter_mut().find(|entry| entry.0 == stream.id) {
                    Some(entry) => entry.1 = key,
                    None => {
                        if order.blocking.len() >= MANY_STREAMS {
                            order.blocking.retain(|entry| self.nodes.find(entry.1).is_some());
                        }
                        order.blocking.push((stream.id, key));
                    }
                }
            }
        }
        if let Some(event) = wait {
            self.nodes.wait_for(index, event.newest.load(Ordering::Relaxed));
        }
        if let Body::Record { event, .. } = &task.body {
            event.newest.store(key, Ordering::Relaxed);
        }
        self.nodes.nodes[index as usize].waits == 0
    }

    /// Takes in one more part of a graph, after the node `begin` where it has no edge; `keys` has the parts before it. Gives the part back
    /// where it waits for nothing.
    fn order_part(
        &mut self,
        part: &Part,
        after: &[u32],
        begin: Key,
        keys: &mut Vec<Key>,
    ) -> Option<Arc<Task>> {
        let (index, key) = self.nodes.insert(Arc::clone(&part.task));
        part.task.order.key.store(key, Ordering::Relaxed);
        if after.is_empty() {
            self.nodes.wait_for(index, begin);
        }
        for &before in after {
            self.nodes.wait_for(index, keys[before as usize]);
        }
        if let Some(event) = &part.wait {
            self.nodes.wait_for(index, event.newest.load(Ordering::Relaxed));
        }
        if let Body::Record { event, .. } = &part.task.body {
            event.newest.store(key, Ordering::Relaxed);
        }
        keys.push(key);
        (self.nodes.nodes[index as usize].waits == 0).then(|| Arc::clone(&part.task))
    }

    /// Makes the node `key` wait for others.
    fn wait_for_all(&mut self, key: Key, others: &[Key]) {
        if let Some(index) = self.nodes.find(key) {
            for &other in others {
                self.nodes.wait_for(index, other);
            }
        }
    }

    /// The node `key` waits until [`State::let_go`].
    fn hold(&mut self, key: Key) {
        if let Some(index) = self.nodes.find(key) {
            let node = &mut self.nodes.nodes[index as usize];
            node.waits += 1;
            node.held += 1;
        }
    }

    /// Takes [`State::hold`] back; whether the node waits for nothing now.
    fn let_go(&mut self, key: Key) -> bool {
        let Some(index) = self.nodes.find(key) else {
            return false;
        };
        let node = &mut self.nodes.nodes[index as usize];
        node.waits -= 1;
        node.held -= 1;
        node.waits == 0
    }

    /// Addresses that the operations of a context wait at, where all that are ready are waits and the others are behind these.
    fn stuck_at(&self, context: u64) -> Option<Vec<DevicePtr>> {
        let nodes = &self.nodes.nodes;
        let of = |index: u32| nodes[index as usize].task.as_ref().map(|task| task.context().id);
        let mut addresses = Vec::new();
        for node in nodes {
            let Some(task) = &node.task else { continue };
            if task.context().id != context {
                if node.dependents.iter().any(|&other| of(other) == Some(context)) {
                    return None;
                }
                continue;
            }
            match &task.body {
                _ if node.held > 0 => return None,
                _ if node.waits > 0 => {}
                Body::Wait(wait) if !wait.is_over() => addresses.push(wait.address()),
                _ => return None,
            }
        }
        Some(addresses)
    }

    fn push(&mut self, task: Arc<Task>) {
        if !task.order.queued.swap(true, Ordering::Relaxed) {
            self.ready[level(&task.stream)].push_back(task);
        }
    }

    /// The next task to work on. Entries of tasks that are finished go to `stale`: the last reference to a task must not be dropped
    /// under the lock, since a module or host memory may go with it.
    fn pick(&mut self, stale: &mut Vec<Arc<Task>>) -> Option<Arc<Task>> {
        loop {
            self.picks = self.picks.wrapping_add(1);
            let busy = |level: &usize| !self.ready[*level].is_empty();
            let level = if self.picks.is_multiple_of(LEAST_FIRST_EVERY) {
                (0..LEVELS).find(busy)
            } else {
                (0..LEVELS).rev().find(busy)
            }?;
            let task = self.ready[level].pop_front()?;
            task.order.queued.store(false, Ordering::Relaxed);
            if task.is_finished() {
                stale.push(task);
                continue;
            }
            // A dead task is taken too: somebody has to conclude it, unless the executors that are in it will.
            let idle = task.order.workers.load(Ordering::Relaxed) == 0;
            if task.has_work() || (idle && task.is_over()) {
                return Some(task);
            }
            stale.push(task);
        }
    }

    fn ready_count(&self) -> usize {
        self.ready.iter().map(VecDeque::len).sum()
    }
}

impl Scheduler {
    pub(crate) fn new(most_spin: Duration) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            ready: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            most_spin: u64::try_from(most_spin.as_nanos()).unwrap_or(u64::MAX),
            spin: AtomicU64::new(LEAST_SPIN_NS),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the number of ready tasks where spinning executors see it, and wakes one that sleeps where those are too few.
    fn announce(&self, mut state: MutexGuard<'_, State>) {
        let ready = state.ready_count();
        self.ready.store(ready, Ordering::Release);
        let call = ready > state.spinning + state.called && state.sleeping > state.called;
        state.called += usize::from(call);
        drop(state);
        if call {
            self.wake.notify_one();
        }
    }

    /// Whether the newest record of an event was reached, or will never be because its context is lost.
    pub(crate) fn is_reached(&self, event: &SoftEvent) -> bool {
        let state = self.state();
        let newest = event.newest.load(Ordering::Relaxed);
        // Whoever saw the record completed must find it reached: its node goes a little later.
        event.reached.load(Ordering::Acquire) == newest || state.nodes.find(newest).is_none()
    }

    /// Takes an operation in. Does not wait for anything that runs.
    pub(crate) fn submit(&self, shared: &Shared, task: &Arc<Task>, wait: Option<&SoftEvent>) {
        let mut state = self.state();
        if !state.order(task, wait) {
            return;
        }
        if !task.is_instant(true) {
            state.push(Arc::clone(task));
            self.announce(state);
            return;
        }
        drop(state);
        // Only one submitting thread at a time may translate addresses; another one leaves its copy to the executors.
        let slot = shared.submitter.try_lock();
        if slot.is_ok() || task.is_instant(false) {
            self.finish(
                Arc::clone(task),
                slot.is_ok().then_some(shared.submitter_slot()),
                false,
            );
        } else {
            let mut state = self.state();
            state.push(Arc::clone(task));
            self.announce(state);
        }
    }

    /// Takes the launch of a graph in: `begin` and `end` in their stream's order, the parts between them. Parts are made and taken in a few
    /// at a time, so that the first run while the last are made; `end` is held until all are there.
    pub(crate) fn submit_graph(
        &self,
        shared: &Shared,
        graph: &SoftGraph,
        begin: &Arc<Task>,
        end: &Arc<Task>,
    ) {
        let (first, last) = {
            let mut state = self.state();
            state.order(begin, None);
            let first = begin.order.key.load(Ordering::Relaxed);
            let before = graph.tail.load(Ordering::Relaxed);
            state.wait_for_all(first, &[before]);
            state.order(end, None);
            let last = end.order.key.load(Ordering::Relaxed);
            state.hold(last);
            graph.tail.store(last, Ordering::Relaxed);
            (first, last)
        };
        self.finish_if_free(shared, begin, first);
        let keys = self.take_in(shared, graph, begin, first);
        let mut state = self.state();
        let ends = graph
            .ends()
            .iter()
            .filter_map(|&end| keys.get(end as usize).copied());
        let ends = ends.collect::<Vec<_>>();
        state.wait_for_all(last, &ends);
        let free = state.let_go(last);
        drop(state);
        if free {
            self.finish_here(shared, Arc::clone(end));
        }
    }

    /// Concludes the begin of a graph, the node `key`, where it waits for nothing.
    fn finish_if_free(&self, shared: &Shared, begin: &Arc<Task>, key: Key) {
        let free = {
            let state = self.state();
            let index = state.nodes.find(key);
            index.is_some_and(|index| state.nodes.nodes[index as usize].waits == 0)
        };
        if free {
            self.finish_here(shared, Arc::clone(begin));
        }
    }

    /// Makes the parts of a launch and takes them in after the node `begin`; their keys. Where one cannot be made the context is poisoned.
    fn take_in(&self, shared: &Shared, graph: &SoftGraph, of: &Task, begin: Key) -> Vec<Key> {
        let mut keys = Vec::with_capacity(graph.edges().len());
        let mut ready = Vec::new();
        for range in graph.pieces() {
            let parts = match graph.parts(&of.stream, of.seq, range.clone()) {
                Ok(parts) => parts,
                Err(error) => {
                    of.context().poison(Fault {
                        kind: FaultKind::LaunchFailed,
                        place: "launch of a graph".to_owned(),
                        detail: error.to_string(),
                    });
                    break;
                }
            };
            let mut state = self.state();
            for (part, after) in parts.iter().zip(&graph.edges()[range]) {
                ready.extend(state.order_part(part, after, begin, &mut keys));
            }
            let instant = ready
                .extract_if(.., |task| task.is_instant(false))
                .collect::<Vec<_>>();
            for task in ready.drain(..) {
                state.push(task);
            }
            self.announce(state);
            for task in instant {
                self.finish_here(shared, task);
            }
        }
        keys
    }

    /// A conditional node whose body is over already: it is decided again, or over.
    fn take_up(&self, mut state: MutexGuard<'_, State>, task: &Arc<Task>) {
        if task.is_instant(false) {
            drop(state);
            self.finish(Arc::clone(task), None, false);
        } else {
            state.push(Arc::clone(task));
            self.announce(state);
        }
    }

    /// Concludes a task on the submitting thread.
    fn finish_here(&self, shared: &Shared, task: Arc<Task>) {
        let slot = shared.submitter.try_lock();
        self.finish(task, slot.is_ok().then_some(shared.submitter_slot()), false);
    }

    /// Tells the guest of a host function that its stream has come to; whether there was one.
    fn call_host(task: &Arc<Task>) -> bool {
        if !matches!(task.body, Body::HostCall)
            || task.context().is_dead()
            || task.order.called.swap(true, Ordering::Relaxed)
        {
            return false;
        }
        let (shared, called) = (Arc::clone(&task.context().shared), Arc::clone(task));
        let finish = move || shared.scheduler.finish(called, None, false);
        let call = HostCall::new(Box::new(finish));
        task.stream.sink.host_call(task.seq, call);
        true
    }

    /// Puts the graph that a conditional node has chosen before the node itself; whether there was one.
    fn expand(&self, task: &Arc<Task>) -> bool {
        let Body::Conditional(condition) = &task.body else {
            return false;
        };
        let Some(graph) = condition.take_chosen() else {
            return false;
        };
        let context = task.context();
        if context.is_dead() {
            return false;
        }
        let begin = Arc::new(Task::part(Arc::clone(&task.stream), task.seq, Body::Nothing));
        let mut state = self.state();
        let (_, key) = state.nodes.insert(Arc::clone(&begin));
        begin.order.key.store(key, Ordering::Relaxed);
        task.order.finished.store(false, Ordering::Relaxed);
        state.wait_for_all(task.order.key.load(Ordering::Relaxed), &[key]);
        state.hold(task.order.key.load(Ordering::Relaxed));
        drop(state);
        let shared = Arc::clone(&context.shared);
        self.finish(Arc::clone(&begin), None, false);
        let keys = self.take_in(&shared, &graph, &begin, key);
        let mut state = self.state();
        let ends = graph
            .ends()
            .iter()
            .filter_map(|&end| keys.get(end as usize).copied());
        let ends = ends.collect::<Vec<_>>();
        let own = task.order.key.load(Ordering::Relaxed);
        state.wait_for_all(own, &ends);
        if state.let_go(own) {
            self.take_up(state, task);
        }
        true
    }

    /// Concludes a task whose parts are all done, and then every instant operation that this makes ready. An executor takes up the
    /// first task that became ready itself, when it asks for the [`Scheduler::next`] one: nobody is called for that.
    pub(crate) fn finish(&self, task: Arc<Task>, slot: Option<usize>, by_executor: bool) {
        let mut keeps = usize::from(by_executor);
        let mut over = VecDeque::from([task]);
        while let Some(task) = over.pop_front() {
            if Self::call_host(&task) || self.expand(&task) {
                continue;
            }
            let result = task.conclude(slot);
            task.report(result);
            let mut state = self.state();
            let key = task.order.key.load(Ordering::Relaxed);
            let Some(index) = state.nodes.find(key) else {
                debug_assert!(false, "operation {} is concluded twice", task.seq);
                continue;
            };
            let node = &mut state.nodes.nodes[index as usize];
            node.task = None;
            node.uses = node.uses.wrapping_add(1);
            let dependents = std::mem::take(&mut node.dependents);
            state.nodes.free.push(index);
            let mut pushed = 0;
            for dependent in dependents {
                let node = &mut state.nodes.nodes[dependent as usize];
                node.waits -= 1;
                if node.waits > 0 {
                    continue;
                }
                let Some(next) = node.task.clone() else { continue };
                if next.is_instant(slot.is_some()) {
                    over.push_back(next);
                } else {
                    state.push(next);
                    pushed += 1;
                }
            }
            if pushed > keeps {
                self.announce(state);
            } else {
                keeps -= pushed;
                drop(state);
            }
            // The task may hold the last reference to a module or to host memory: it goes without the lock.
            drop(task);
        }
    }

    /// What an executor does next; it counts as working on the task from now on. Sleeps until there is something.
    pub(crate) fn next(&self) -> Next {
        let mut stale = Vec::new();
        let mut state = self.state();
        loop {
            if state.shut_down {
                return Next::End;
            }
            if std::mem::take(&mut state.chore) {
                return Next::Chore;
            }
            if let Some(task) = state.pick(&mut stale) {
                task.order.workers.fetch_add(1, Ordering::Relaxed);
                if task.is_wide() {
                    state.push(Arc::clone(&task));
                }
                self.announce(state);
                return Next::Task(task);
            }
            self.ready.store(0, Ordering::Release);
            if stale.is_empty() {
                state = self.idle(state);
            } else {
                drop(state);
                stale.clear();
                state = self.state();
            }
        }
    }

    /// Waits for work: spins for a moment where that pays and nobody else does, then sleeps.
    fn idle<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if self.most_spin > 0 && state.spinning == 0 {
            state.spinning += 1;
            drop(state);
            let spin = self.spin.load(Ordering::Relaxed);
            let found = self.spin_for(Duration::from_nanos(spin));
            let next = if found {
                (spin * 2).min(self.most_spin)
            } else {
                (spin / 2).max(LEAST_SPIN_NS)
            };
            self.spin.store(next, Ordering::Relaxed);
            state = self.state();
            state.spinning -= 1;
            if state.ready_count() > 0 || state.chore || state.shut_down {
                return state;
            }
        }
        state.sleeping += 1;
        state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.sleeping -= 1;
        state.called = state.called.saturating_sub(1);
        state
    }

    /// Looks for work without the lock; whether there is some.
    fn spin_for(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            for _ in 0..16 {
                if self.ready.load(Ordering::Acquire) > 0 || self.stopping.load(Ordering::Relaxed) {
                    return true;
                }
                std::hint::spin_loop();
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }

    /// An executor will be away for a while: what it meant to take up is for the others.
    pub(crate) fn hand_over(&self) {
        self.announce(self.state());
    }

    /// An executor is in a task that others could help with.
    pub(crate) fn offer(&self, task: &Arc<Task>) {
        let mut state = self.state();
        if !task.is_finished() && task.has_work() {
            state.push(Arc::clone(task));
            self.announce(state);
        }
    }

    /// An executor leaves a task: puts it back, or concludes it as the last one out.
    pub(crate) fn put_back(&self, task: Arc<Task>, slot: usize) {
        let mut state = self.state();
        let others = task.order.workers.fetch_sub(1, Ordering::Relaxed) - 1;
        if task.is_over() {
            if others == 0 && !task.order.finished.swap(true, Ordering::Relaxed) {
                drop(state);
                self.finish(task, Some(slot), true);
            }
        } else if task.has_work() {
            let poll = task.is_poll();
            state.push(task);
            if poll {
                self.ready.store(state.ready_count(), Ordering::Release);
            } else {
                self.announce(state);
            }
        }
    }

    /// Wakes an executor, if all sleep, to scrub memory.
    pub(crate) fn call_for_chore(&self) {
        let mut state = self.state();
        state.chore = true;
        drop(state);
        self.wake.notify_one();
    }

    /// See [`tessera_device::Context::stuck_at`].
    pub(crate) fn stuck_at(&self, context: u64) -> Vec<DevicePtr> {
        self.state().stuck_at(context).unwrap_or_default()
    }

    /// Forgets what was kept for the order of a context's legacy stream.
    pub(crate) fn forget_context(&self, id: u64) {
        self.state().orders.remove(&id);
    }

    /// Ends all executors, and what is queued with them.
    pub(crate) fn shut_down(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.state().shut_down = true;
        self.wake.notify_all();
    }

    /// Drops everything that is queued. Only after the executors have ended: tasks hold the device, so it would never go.
    pub(crate) fn clear(&self) {
        let state = std::mem::take(&mut *self.state());
        self.state().shut_down = true;
        drop(state);
    }
}
