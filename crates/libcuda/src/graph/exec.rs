//! Executable graphs: made, changed, launched, destroyed.

use super::lower::{Bounce, HostStep, Step};
use super::memory::GraphMemory;
use super::node::Work;
use super::plan::{
    Refused, Unit, Wire, WireGraph, assemble, check_device_launch, context_of, flatten, post_node, result,
    send, steps, with_defaults,
};
use super::user_object::Held;
use super::{Edge, Graph, capture, graph, next_id};
use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::context::Context;
use crate::event::Event;
use crate::hostfn;
use crate::reference;
use crate::state::{self, Driver};
use crate::stream::{self, Stream};
use crate::types::{CUDA_GRAPH_INSTANTIATE_PARAMS, CUgraphEdgeData, Caller, Handle, c_char};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tessera_wire::messages::GraphLaunch;

/// `CUDA_GRAPH_INSTANTIATE_FLAG_*`
const AUTO_FREE_ON_LAUNCH: u64 = 1;
const UPLOAD: u64 = 2;
const DEVICE_LAUNCH: u64 = 4;
const USE_NODE_PRIORITY: u64 = 8;

/// What changes as it is updated and launched.
pub(crate) struct State {
    pub(crate) units: Vec<Unit>,
    sources: HashMap<Handle, usize>,
    nodes: Vec<Wire>,
    graph: Arc<WireGraph>,
    hosts: Vec<HostStep>,
    events: Vec<Arc<Event>>,
    modules: Vec<Handle>,
    /// Memory that launches of an earlier shape may still use.
    kept: Vec<Arc<Bounce>>,
    /// Newest launch in each stream.
    last: Vec<(Arc<Stream>, u64)>,
}

/// An executable graph.
pub(crate) struct Exec {
    pub(crate) handle: Handle,
    id: u32,
    flags: u64,
    pub(crate) context: Handle,
    objects: Vec<Held>,
    conditions: Vec<Arc<GraphMemory>>,
    /// Of a graph with memory, until it is destroyed: there is no other one.
    sole: Mutex<Option<Arc<()>>>,
    state: Mutex<State>,
}

/// Documented: of a graph that allocates or frees there is one executable graph at a time, since the memory has one address.
fn sole(graph: &Graph, units: &[Unit]) -> Answer<Option<Arc<()>>> {
    if !units.iter().any(|unit| unit.work.is_memory()) {
        return Ok(None);
    }
    let mut body = graph.body();
    if body.sole.strong_count() > 0 {
        return Err(Code::NOT_SUPPORTED);
    }
    let token = Arc::new(());
    body.sole = Arc::downgrade(&token);
    Ok(Some(token))
}

/// Everything that is made of a list of units.
fn build(driver: &Driver, context: &Context, mut units: Vec<Unit>) -> Result<State, Refused> {
    let nodes = assemble(driver, context, &mut units)?;
    let graph = send(driver, context, &units, &nodes)?;
    let mut state = State {
        sources: units
            .iter()
            .enumerate()
            .map(|(index, unit)| (unit.source, index))
            .collect(),
        units,
        nodes,
        graph,
        hosts: Vec::new(),
        events: Vec::new(),
        modules: Vec::new(),
        kept: Vec::new(),
        last: Vec::new(),
    };
    state.gather();
    Ok(state)
}

impl State {
    /// What a launch has to do beside posting its message.
    fn gather(&mut self) {
        self.hosts = self
            .nodes
            .iter()
            .filter_map(|node| node.step.host.clone())
            .collect();
        self.events.clear();
        self.modules.clear();
        for unit in self.units.iter().filter(|unit| unit.enabled) {
            match &unit.work {
                Work::Record(event) => self.events.push(Arc::clone(event)),
                Work::Kernel(kernel) if !self.modules.contains(&kernel.function.module) => {
                    self.modules.push(kernel.function.module);
                }
                _ => {}
            }
        }
    }

    pub(crate) fn place(&self, source: Handle) -> Answer<usize> {
        self.sources.get(&source).copied().ok_or(Code::INVALID_VALUE)
    }

    /// Changes a unit; where it keeps its shape the worker's nodes are replaced, otherwise its whole graph.
    pub(crate) fn change(
        &mut self,
        driver: &Driver,
        context: &Context,
        index: usize,
        change: impl FnOnce(&mut Unit),
    ) -> Answer {
        let mut unit = self.units.get(index).ok_or(Code::INVALID_VALUE)?.clone();
        change(&mut unit);
        let first = unit.first as usize;
        let old = self
            .nodes
            .get(first..first + unit.count as usize)
            .ok_or(Code::UNKNOWN)?;
        let old_steps: Vec<Step> = old.iter().map(|node| node.step.clone()).collect();
        let steps = steps(driver, context, &unit, &old_steps).map_err(|refused| refused.code)?;
        let fits = old.len() == steps.len()
            && old
                .iter()
                .zip(&steps)
                .all(|(old, new)| old.step.host.is_some() == new.host.is_some());
        if !fits {
            let mut units = self.units.clone();
            if let Some(slot) = units.get_mut(index) {
                *slot = unit;
            }
            let built = build(driver, context, units).map_err(|refused| refused.code)?;
            let old = std::mem::replace(self, built);
            self.last = old.last;
            self.kept = old.kept;
            self.kept
                .extend(old.nodes.iter().filter_map(|node| node.step.bounce().cloned()));
            return Ok(());
        }
        for (old, new) in old_steps.iter().zip(&steps) {
            if let Some(bounce) = old.bounce()
                && !new.bounce().is_some_and(|new| Arc::ptr_eq(new, bounce))
            {
                self.kept.push(Arc::clone(bounce));
            }
        }
        for (offset, step) in steps.into_iter().enumerate() {
            let Some(node) = self.nodes.get_mut(first + offset) else {
                continue;
            };
            let same = node.step.frame == step.frame;
            node.step = step;
            if !same {
                post_node(driver, self.graph.0, first + offset, node)?;
            }
        }
        if let Some(slot) = self.units.get_mut(index) {
            *slot = unit;
        }
        Ok(())
    }

    /// After a few changes.
    pub(crate) fn changed(&mut self) {
        self.gather();
    }
}

impl Exec {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(driver: &Driver, graph: &Graph, flags: u64) -> Result<Arc<Self>, Refused> {
        let objects = graph.body().objects.clone();
        let conditions = graph.conditions();
        let mut units = Vec::new();
        flatten(graph, &[], &mut units)?;
        let context = context_of(driver, &units)?;
        if flags & DEVICE_LAUNCH != 0 {
            check_device_launch(graph)?;
        }
        let sole = sole(graph, &units)?;
        let mut state = build(driver, &context, with_defaults(units, &conditions))?;
        state.changed();
        // Documented: no copies of pageable memory, which need the host here too.
        if flags & DEVICE_LAUNCH != 0 && !state.hosts.is_empty() {
            return Err(Code::INVALID_VALUE.into());
        }
        let exec = driver.execs.insert(|handle| {
            Ok(Self {
                handle,
                id: next_id(),
                flags,
                context: context.core.handle,
                objects,
                conditions: conditions.into_iter().map(|(memory, _)| memory).collect(),
                sole: Mutex::new(sole),
                state: Mutex::new(state),
            })
        })?;
        Ok(exec)
    }

    /// The context, usable.
    pub(crate) fn context(&self, driver: &Driver) -> Answer<Arc<Context>> {
        let context = driver
            .contexts
            .get(self.context)
            .map_err(|_| Code::CONTEXT_IS_DESTROYED)?;
        context.core.check()?;
        Ok(context)
    }

    /// A graph of the same nodes, for a stream that captures.
    fn as_graph(&self, driver: &Driver) -> Answer<Arc<Graph>> {
        let graph = Graph::create(driver, true)?;
        for unit in &self.state().units {
            let edge = |&node| Edge {
                node,
                data: CUgraphEdgeData::default(),
            };
            let work = if unit.enabled {
                unit.work.clone()
            } else {
                Work::Empty
            };
            graph.add(driver, work, unit.before.iter().map(edge).collect())?;
        }
        Ok(graph)
    }

    /// Allocations and frees of a launch.
    fn allocate(&self, state: &State) -> Answer {
        let memory = |unit: &Unit| match &unit.work {
            Work::Alloc(memory) => Some(Arc::clone(memory)),
            _ => None,
        };
        let mut live: Vec<Arc<GraphMemory>> = state.units.iter().filter_map(memory).collect();
        if live.iter().any(|memory| memory.is_live()) {
            if self.flags & AUTO_FREE_ON_LAUNCH == 0 {
                return Err(Code::INVALID_VALUE);
            }
            for memory in &live {
                memory.end();
            }
        }
        for memory in &live {
            memory.begin();
        }
        for unit in &state.units {
            if let Work::Free(address) = unit.work {
                live.retain(|memory| memory.address != address);
                if let Some(memory) = super::memory::find(address) {
                    memory.end();
                }
            }
        }
        Ok(())
    }

    fn launch(&self, driver: &Driver, stream: &Arc<Stream>) -> Answer {
        if stream.core.handle != self.context {
            return Err(Code::NOT_SUPPORTED);
        }
        let context = self.context(driver)?;
        let mut state = self.state();
        for &module in &state.modules {
            reference::settle(driver, &context, module, stream)?;
        }
        self.allocate(&state)?;
        let functions = state.hosts.iter().map(HostStep::function).collect();
        let graph = state.graph.0;
        let seq = hostfn::submit(driver, stream, functions, &[], |seq| GraphLaunch {
            stream: stream.handle(),
            seq,
            graph,
        })?;
        for event in &state.events {
            event.recorded(seq);
        }
        match state.last.iter_mut().find(|(last, _)| Arc::ptr_eq(last, stream)) {
            Some((_, newest)) => *newest = seq,
            None => state.last.push((Arc::clone(stream), seq)),
        }
        Ok(())
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let kept = (
            std::mem::take(&mut state.nodes),
            std::mem::take(&mut state.kept),
            std::mem::take(&mut self.objects),
            std::mem::take(&mut self.conditions),
        );
        let bounced = kept.0.iter().any(|node| node.step.bounce().is_some());
        let needed = bounced || !kept.1.is_empty() || !kept.2.is_empty() || !kept.3.is_empty();
        let last = std::mem::take(&mut state.last);
        if !needed || last.is_empty() {
            return;
        }
        // The last launch may still use what was kept for it; nobody is kept waiting for that.
        let wait = move || {
            for (stream, seq) in last {
                let _ = stream.wait(seq);
            }
            drop(kept);
        };
        // Without a thread it is let go of now, which the worker survives.
        let _ = std::thread::Builder::new().name("cuda-graph".into()).spawn(wait);
    }
}

/// The executable graph of this handle.
pub(crate) fn exec(driver: &Driver, handle: Handle) -> Answer<Arc<Exec>> {
    if handle == 0 {
        return Err(Code::INVALID_VALUE);
    }
    driver.execs.get(handle)
}

fn checked_flags(flags: u64) -> Answer {
    let all = AUTO_FREE_ON_LAUNCH | UPLOAD | DEVICE_LAUNCH | USE_NODE_PRIORITY;
    let contradiction = AUTO_FREE_ON_LAUNCH | DEVICE_LAUNCH;
    if flags & !all != 0 || flags & contradiction == contradiction {
        return Err(Code::INVALID_VALUE);
    }
    Ok(())
}

fn instantiate(out: Caller<Handle>, handle: Handle, flags: u64) -> Result<(), Refused> {
    let driver = state::driver()?;
    out.required()?;
    let graph = graph(driver, handle)?;
    checked_flags(flags)?;
    let exec = Exec::create(driver, &graph, flags)?;
    Ok(out.put(exec.handle)?)
}

/// `cuGraphInstantiate` and `cuGraphInstantiate_v2`, up to CUDA 11
pub(crate) fn graph_instantiate_v2(
    out: Caller<Handle>,
    graph: Handle,
    error_node: Caller<Handle>,
    log: Caller<c_char>,
    log_bytes: usize,
) -> Answer {
    let made = instantiate(out, graph, 0);
    error_node.put_if_wanted(made.as_ref().err().map_or(0, |refused| refused.node));
    if !log.is_null() && log_bytes > 0 {
        log.put_text("", log_bytes)?;
    }
    made.map_err(|refused| refused.code)
}

/// `cuGraphInstantiateWithFlags`
pub(crate) fn graph_instantiate(out: Caller<Handle>, graph: Handle, flags: u64) -> Answer {
    // Uploading needs a stream.
    if flags & UPLOAD != 0 {
        return Err(Code::INVALID_VALUE);
    }
    instantiate(out, graph, flags).map_err(|refused| refused.code)
}

/// `cuGraphInstantiateWithParams`
pub(crate) fn graph_instantiate_with_params(
    default: DefaultStream,
    out: Caller<Handle>,
    graph: Handle,
    params: Caller<CUDA_GRAPH_INSTANTIATE_PARAMS>,
) -> Answer {
    let mut given = params.get()?;
    let made = instantiate(out, graph, given.flags);
    (given.error_node, given.result) = match &made {
        Ok(()) => (0, result::SUCCESS),
        Err(refused) => (refused.node, refused.result),
    };
    params.put(given)?;
    made.map_err(|refused| refused.code)?;
    if given.flags & UPLOAD != 0 {
        stream::stream(default, given.upload_stream)?;
    }
    Ok(())
}

/// `cuGraphExecGetFlags`: of an upload nothing stays.
pub(crate) fn graph_exec_get_flags(handle: Handle, flags: Caller<u64>) -> Answer {
    flags.required()?;
    flags.put(exec(state::driver()?, handle)?.flags & !UPLOAD)
}

/// `cuGraphExecGetId`
pub(crate) fn graph_exec_get_id(handle: Handle, id: Caller<u32>) -> Answer {
    id.required()?;
    id.put(exec(state::driver()?, handle)?.id)
}

/// `cuGraphUpload`: the worker has the graph since it was instantiated.
pub(crate) fn graph_upload(default: DefaultStream, handle: Handle, stream: Handle) -> Answer {
    let driver = state::driver()?;
    exec(driver, handle)?;
    let stream = stream::stream(default, stream)?;
    if capture::enter(&stream)? {
        return Err(capture::refuse(&stream));
    }
    Ok(())
}

/// `cuGraphLaunch`
pub(crate) fn graph_launch(default: DefaultStream, handle: Handle, stream: Handle) -> Answer {
    let driver = state::driver()?;
    let exec = exec(driver, handle)?;
    stream::with_stream(default, stream, |stream| {
        if capture::enter(stream)? {
            return capture::add(driver, stream, Work::Child(exec.as_graph(driver)?));
        }
        exec.launch(driver, stream)
    })
}

/// `cuGraphExecDestroy`: launches that are under way still run.
pub(crate) fn graph_exec_destroy(handle: Handle) -> Answer {
    let driver = state::driver()?;
    if handle == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let exec = driver.execs.remove(handle)?;
    drop(exec.sole.lock().unwrap_or_else(PoisonError::into_inner).take());
    Ok(())
}
