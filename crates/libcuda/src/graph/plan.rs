//! What an executable graph is made of: nodes in an order that the worker takes.
//!
//! ```text
//!   Graph ─ flatten ─▶ units: nodes in topological order, those of child graphs among them
//!         ─ assemble ─▶ the worker's nodes: one or more for each unit, host functions one after the other
//!         ─ send ────▶ GraphCreate, GraphNode*, GraphSeal
//! ```
//!
//! Host functions of a stream are called in the order that the stream comes to them, so those of a graph get edges that make their
//! order the one in which a launch lists them.

use super::Graph;
use super::lower::{self, Step};
use super::memory::GraphMemory;
use super::node::{ConditionalWork, Work};
use crate::code::{Answer, Code};
use crate::context::{Context, code_of};
use crate::copy::memory_type;
use crate::current;
use crate::objects::hidden;
use crate::state::{self, Driver};
use crate::types::{CUDA_MEMCPY3D, Handle};
use std::collections::HashMap;
use std::sync::Arc;
use tessera_wire::messages::{Conditional, GraphCreate, GraphDestroy, GraphNode, GraphSeal};

/// `CUgraphInstantiateResult`
pub(super) mod result {
    pub(crate) const SUCCESS: i32 = 0;
    pub(crate) const ERROR: i32 = 1;
    pub(crate) const INVALID_STRUCTURE: i32 = 2;
    pub(crate) const NODE_NOT_SUPPORTED: i32 = 3;
    pub(crate) const MULTIPLE_CONTEXTS: i32 = 4;
}

/// A graph of the worker's.
pub(crate) struct WireGraph(pub(crate) Handle);

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
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// A node of the worker's.
pub(crate) struct Wire {
    after: Vec<u32>,
    pub(crate) step: Step,
}

/// Why a graph cannot be instantiated.
pub(crate) struct Refused {
    pub(crate) code: Code,
    pub(crate) node: Handle,
    pub(crate) result: i32,
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

pub(crate) fn steps(
    driver: &Driver,
    context: &Context,
    unit: &Unit,
    old: &[Step],
) -> Result<Vec<Step>, Refused> {
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
pub(crate) fn assemble(driver: &Driver, context: &Context, units: &mut [Unit]) -> Result<Vec<Wire>, Refused> {
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

pub(crate) fn post_node(driver: &Driver, graph: Handle, index: usize, node: &Wire) -> Answer {
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
pub(crate) fn send(
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
pub(crate) fn context_of(driver: &Driver, units: &[Unit]) -> Result<Arc<Context>, Refused> {
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

/// Units that set the values of conditional nodes, before all others.
pub(crate) fn with_defaults(
    mut units: Vec<Unit>,
    conditions: &[(Arc<GraphMemory>, Option<u32>)],
) -> Vec<Unit> {
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

/// Documented for graphs that kernels may launch too: kernels, fills and copies alone, at least one of them, and no arrays.
pub(crate) fn check_device_launch(graph: &Graph) -> Result<(), Refused> {
    let refused = |node, result| Refused {
        code: Code::INVALID_VALUE,
        node,
        result,
    };
    let arrays = |copy: &CUDA_MEMCPY3D| {
        copy.source.kind == memory_type::ARRAY || copy.destination.kind == memory_type::ARRAY
    };
    let nodes = graph.body().nodes.clone();
    if nodes.is_empty() {
        return Err(refused(0, result::INVALID_STRUCTURE));
    }
    for node in nodes.values() {
        match &node.work {
            Work::Kernel(_) | Work::Memset(_) => {}
            Work::Memcpy(copy) if !arrays(copy) => {}
            Work::Child(child) => check_device_launch(child)?,
            _ => return Err(refused(node.handle, result::NODE_NOT_SUPPORTED)),
        }
    }
    Ok(())
}
