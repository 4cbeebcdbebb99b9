//! Executable graphs.
//!
//! ```text
//!   Graph ─ flatten ─▶ units: nodes in topological order, those of child graphs among them
//!         ─ assemble ─▶ the worker's nodes: one or more for each unit, host functions one after the other
//!         ─ send ────▶ GraphCreate, GraphNode*, GraphSeal ─▶ launches: GraphLaunch
//! ```
//!
//! Host functions of a stream are called in the order that the stream comes to them, so those of a graph get edges that make their
//! order the one in which a launch lists them.

use super::lower::{self, Bounce, HostStep, Step};
use super::memory::GraphMemory;
use super::node::{ConditionalWork, Work};
use super::user_object::Held;
use super::{Edge, Graph, capture, graph, next_id};
use crate::abi::DefaultStream;
use crate::code::{Answer, Code};
use crate::context::{Context, code_of};
use crate::current;
use crate::event::Event;
use crate::hostfn;
use crate::objects::hidden;
use crate::reference;
use crate::state::{self, Driver};
use crate::stream::{self, Stream};
use crate::types::{CUDA_GRAPH_INSTANTIATE_PARAMS, CUgraphEdgeData, Caller, Handle, c_char};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tessera_wire::messages::{Conditional, GraphCreate, GraphDestroy, GraphLaunch, GraphNode, GraphSeal};

/// `CUDA_GRAPH_INSTANTIATE_FLAG_*`
const AUTO_FREE_ON_LAUNCH: u64 = 1;
const UPLOAD: u64 = 2;
const DEVICE_LAUNCH: u64 = 4;
const USE_NODE_PRIORITY: u64 = 8;

/// `CUgraphInstantiateResult`
mod result {
    pub(super) const SUCCESS: i32 = 0;
    pub(super) const ERROR: i32 = 1;
    pub(super) const INVALID_STRUCTURE: i32 = 2;
    pub(super) const NODE_NOT_SUPPORTED: i32 = 3;
    pub(super) const MULTIPLE_CONTEXTS: i32 = 4;
}

/// A graph of the worker's.
pub(crate) struct WireGraph(Handle);

impl Drop for WireGraph {
    fn drop(&mut self) {
        if let Ok(driver) = state::driver() {
            let _ = driver.session.post(&GraphDestroy { graph: self.0 }, &[]);
        }
    }
}

/// A node that takes part.
#[derive(Clone)]
pub(crate) struct Unit {
    /// Handle of the node that it was made from.
    pub(crate) source: Handle,
    pub(crate) work: Work,
    pub(crate) enabled: bool,
    /// Units that it waits for.
    pub(crate) before: Vec<u32>,
    /// Its first node of the worker's, and how many there are.
    first: u32,
    count: u32,
}

/// A node of the worker's.
struct Wire {
    after: Vec<u32>,
    step: Step,
}

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
    state: Mutex<State>,
}

/// Why a graph cannot be instantiated.
pub(crate) struct Refused {
    pub(crate) code: Code,
    node: Handle,
    result: i32,
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        let result = if code == Code::NOT_SUPPORTED {
            result::NODE_NOT_SUPPORTED
        } else {
            result::ERROR
        };
        Self {
            code,
            node: 0,
            result,
        }
    }
}

fn at(node: Handle) -> impl Fn(Code) -> Refused {
    move |code| Refused {
        node,
        ..Refused::from(code)
    }
}

/// Appends the nodes of a graph, which start after the units `after`; the units that are over last.
pub(crate) fn flatten(graph: &Graph, after: &[u32], units: &mut Vec<Unit>) -> Result<Vec<u32>, Refused> {
    let (order, nodes) = {
        let body = graph.body();
        let circle = Refused {
            code: Code::INVALID_VALUE,
            node: 0,
            result: result::INVALID_STRUCTURE,
        };
        (body.order().ok_or(circle)?, body.nodes.clone())
    };
    let mut places = HashMap::with_capacity(order.len());
    let mut ends = Vec::new();
    for id in order {
        let Some(node) = nodes.get(&id) else { continue };
        let mut before: Vec<u32> = node
            .before
            .iter()
            .filter_map(|edge| places.get(&edge.node).copied())
            .collect();
        if before.is_empty() {
            before.extend_from_slice(after);
        }
        let work = match &node.work {
            // What follows waits for a place behind all of them.
            Work::Child(child) => {
                before = flatten(child, &before, units)?;
                Work::Empty
            }
            other => other.clone(),
        };
        let place = u32::try_from(units.len()).map_err(|_| Code::OUT_OF_MEMORY)?;
        units.push(Unit {
            source: node.handle,
            work,
            enabled: true,
            before,
            first: 0,
            count: 0,
        });
        places.insert(id, place);
        if node.after.is_empty() {
            ends.push(place);
        }
    }
    Ok(if ends.is_empty() { after.to_vec() } else { ends })
}

fn steps(driver: &Driver, context: &Context, unit: &Unit, old: &[Step]) -> Result<Vec<Step>, Refused> {
    let made = match &unit.work {
        _ if !unit.enabled => Step::marker().map(|step| vec![step]),
        Work::Conditional(conditional) => return choice(driver, context, conditional),
        work => lower::lower(driver, context, work, old),
    };
    made.map_err(at(unit.source))
}

/// A conditional node and the graphs that it chooses among.
fn choice(driver: &Driver, context: &Context, conditional: &ConditionalWork) -> Result<Vec<Step>, Refused> {
    let mut bodies = Vec::with_capacity(conditional.bodies.len());
    for body in &conditional.bodies {
        let mut units = Vec::new();
        flatten(body, &[], &mut units)?;
        let nodes = assemble(driver, context, &mut units)?;
        // Documented: no host functions. What they would be for, copies of pageable memory, is not served in bodies.
        if nodes.iter().any(|node| node.step.host.is_some()) {
            return Err(Code::NOT_SUPPORTED.into());
        }
        bodies.push(send(driver, context, &units, &nodes)?);
    }
    let tail: Vec<u8> = bodies.iter().flat_map(|body| body.0.to_le_bytes()).collect();
    let message = Conditional {
        value: conditional.value.address,
        kind: conditional.kind,
        bodies: u32::try_from(bodies.len()).unwrap_or(u32::MAX),
        ..Conditional::default()
    };
    let mut step = Step::new(&message, &tail)?;
    step.bodies = bodies;
    Ok(vec![step])
}

/// Makes the worker's nodes of the units.
fn assemble(driver: &Driver, context: &Context, units: &mut [Unit]) -> Result<Vec<Wire>, Refused> {
    let mut nodes: Vec<Wire> = Vec::with_capacity(units.len());
    let mut last = Vec::with_capacity(units.len());
    let mut host = None;
    for unit in units.iter_mut() {
        let steps = steps(driver, context, unit, &[])?;
        unit.first = u32::try_from(nodes.len()).map_err(|_| Code::OUT_OF_MEMORY)?;
        unit.count = u32::try_from(steps.len()).map_err(|_| Code::OUT_OF_MEMORY)?;
        for (place, step) in (unit.first..).zip(steps) {
            let mut after = if place == unit.first {
                unit.before
                    .iter()
                    .filter_map(|&before| last.get(before as usize).copied())
                    .collect()
            } else {
                vec![place - 1]
            };
            if step.host.is_some() {
                after.extend(host.replace(place));
            }
            after.sort_unstable();
            after.dedup();
            nodes.push(Wire { after, step });
        }
        last.push(unit.first + unit.count.saturating_sub(1));
    }
    Ok(nodes)
}

fn post_node(driver: &Driver, graph: Handle, index: usize, node: &Wire) -> Answer {
    let mut tail = Vec::with_capacity(node.after.len() * 4 + node.step.frame.len());
    for before in &node.after {
        tail.extend_from_slice(&before.to_le_bytes());
    }
    tail.extend_from_slice(&node.step.frame);
    let message = GraphNode {
        graph,
        node: u32::try_from(index).map_err(|_| Code::OUT_OF_MEMORY)?,
        after: u32::try_from(node.after.len()).map_err(|_| Code::OUT_OF_MEMORY)?,
    };
    Ok(driver.session.post(&message, &tail)?)
}

/// Sends a graph to the worker.
fn send(
    driver: &Driver,
    context: &Context,
    units: &[Unit],
    nodes: &[Wire],
) -> Result<Arc<WireGraph>, Refused> {
    let handle = hidden(driver.next_identity());
    let message = GraphCreate {
        context: context.core.handle,
        graph: handle,
    };
    driver.session.post(&message, &[]).map_err(Code::from)?;
    let made = Arc::new(WireGraph(handle));
    for (index, node) in nodes.iter().enumerate() {
        post_node(driver, handle, index, node)?;
    }
    let (reply, _) = driver
        .session
        .call(&GraphSeal { graph: handle }, &[])
        .map_err(Code::from)?;
    if reply.bad == 0 {
        return Ok(made);
    }
    let bad = reply.bad - 1;
    let unit = units
        .iter()
        .find(|unit| (unit.first..unit.first + unit.count).contains(&bad));
    Err(at(unit.map_or(0, |unit| unit.source))(code_of(reply.code)))
}

/// The context that a graph's kernels are of; the current one where there are none.
fn context_of(driver: &Driver, units: &[Unit]) -> Result<Arc<Context>, Refused> {
    let mut found = None;
    for unit in units {
        if let Work::Kernel(kernel) = &unit.work {
            let context = kernel.function.core.handle;
            if found.is_some_and(|found| found != context) {
                return Err(Refused {
                    code: Code::NOT_SUPPORTED,
                    node: unit.source,
                    result: result::MULTIPLE_CONTEXTS,
                });
            }
            found = Some(context);
        }
    }
    let context = match found {
        Some(handle) => driver
            .contexts
            .get(handle)
            .map_err(|_| Code::CONTEXT_IS_DESTROYED)?,
        None => current::current()?,
    };
    context.core.check()?;
    Ok(context)
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
        let (objects, conditions) = {
            let body = graph.body();
            (body.objects.clone(), body.conditions.clone())
        };
        let mut units = Vec::new();
        flatten(graph, &[], &mut units)?;
        let context = context_of(driver, &units)?;
        let mut state = build(driver, &context, with_defaults(units, &conditions))?;
        state.changed();
        let exec = driver.execs.insert(|handle| {
            Ok(Self {
                handle,
                id: next_id(),
                flags,
                context: context.core.handle,
                objects,
                conditions: conditions.into_iter().map(|(memory, _)| memory).collect(),
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

/// Units that set the values of conditional nodes, before all others.
fn with_defaults(mut units: Vec<Unit>, conditions: &[(Arc<GraphMemory>, Option<u32>)]) -> Vec<Unit> {
    let fills: Vec<Unit> = conditions
        .iter()
        .filter_map(|(memory, default)| {
            let default = (*default)?;
            Some(Unit {
                source: 0,
                work: Work::Memset(lower::assignment(memory.address, default)),
                enabled: true,
                before: Vec::new(),
                first: 0,
                count: 0,
            })
        })
        .collect();
    let Ok(added) = u32::try_from(fills.len()) else {
        return units;
    };
    if added == 0 {
        return units;
    }
    for unit in &mut units {
        for before in &mut unit.before {
            *before += added;
        }
        if unit.before.is_empty() {
            unit.before.extend(0..added);
        }
    }
    fills.into_iter().chain(units).collect()
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
    if flags & !(AUTO_FREE_ON_LAUNCH | UPLOAD | DEVICE_LAUNCH | USE_NODE_PRIORITY) != 0 {
        return Err(Code::INVALID_VALUE);
    }
    if flags & DEVICE_LAUNCH != 0 {
        return Err(Code::NOT_SUPPORTED);
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
    driver.execs.remove(handle).map(drop)
}
