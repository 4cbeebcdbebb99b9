//! Making and editing graphs.

use super::memory::{self, GraphMemory};
use super::node::{ConditionalWork, Work, kind};
use super::{Edge, Graph, graph, node};
use crate::code::{Answer, Code};
use crate::current;
use crate::external;
use crate::state::{self, Driver};
use crate::types::{
    CUDA_BATCH_MEM_OP_NODE_PARAMS, CUDA_CHILD_GRAPH_NODE_PARAMS, CUDA_CONDITIONAL_NODE_PARAMS,
    CUDA_EVENT_NODE_PARAMS, CUDA_HOST_NODE_PARAMS, CUDA_KERNEL_NODE_PARAMS, CUDA_KERNEL_NODE_PARAMS_v1,
    CUDA_MEM_ALLOC_NODE_PARAMS, CUDA_MEMCPY_NODE_PARAMS, CUDA_MEMCPY3D, CUDA_MEMSET_NODE_PARAMS,
    CUgraphEdgeData, CUgraphNodeParams, Caller, Handle, c_void,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// `CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC`, `CU_GRAPH_KERNEL_NODE_PORT_LAUNCH_ORDER`
const PROGRAMMATIC: u8 = 1;
const LAST_PORT: u8 = 2;
/// `CU_GRAPH_NODE_TYPE_FABRIC_CPY_BATCH`
const LAST_KIND: i32 = 18;

fn check_edge(data: &CUgraphEdgeData) -> Answer {
    let programmatic = match data.kind {
        0 => data.from_port == 0,
        PROGRAMMATIC => (1..=LAST_PORT).contains(&data.from_port),
        _ => false,
    };
    if !programmatic || data.to_port != 0 || data.reserved != [0; 5] {
        return Err(Code::INVALID_VALUE);
    }
    Ok(())
}

/// Edges from nodes of this graph, as the program lists them: each node once.
pub(crate) fn edges(
    driver: &Driver,
    graph: &Arc<Graph>,
    dependencies: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: usize,
) -> Answer<Vec<Edge>> {
    let mut list: Vec<Edge> = Vec::new();
    for index in 0..count {
        let (found, id) = node(driver, dependencies.at(index)?)?;
        let data = if data.is_null() {
            CUgraphEdgeData::default()
        } else {
            data.at(index)?
        };
        check_edge(&data)?;
        if !Arc::ptr_eq(&found, graph) || list.iter().any(|edge| edge.node == id) {
            return Err(Code::INVALID_VALUE);
        }
        if data.kind == PROGRAMMATIC {
            let body = graph.body();
            if body
                .nodes
                .get(&id)
                .is_none_or(|node| node.work.kind() != kind::KERNEL)
            {
                return Err(Code::INVALID_VALUE);
            }
        }
        list.push(Edge { node: id, data });
    }
    Ok(list)
}

/// Where a new node goes.
#[derive(Clone, Copy)]
struct Place {
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: usize,
}

/// Adds a node: graph and edges are looked at first, then what it does.
fn add(place: Place, make: impl FnOnce(&'static Driver, &Arc<Graph>) -> Answer<Work>) -> Answer {
    let driver = state::driver()?;
    place.out.required()?;
    let graph = graph(driver, place.graph)?;
    let before = edges(driver, &graph, place.dependencies, place.data, place.count)?;
    let work = make(driver, &graph)?;
    if work.kind() != kind::KERNEL && before.iter().any(|edge| edge.data.kind == PROGRAMMATIC) {
        return Err(Code::INVALID_VALUE);
    }
    let (_, handle) = graph.add(driver, work, before)?;
    place.out.put(handle)
}

fn place(out: Caller<Handle>, graph: Handle, dependencies: Caller<Handle>, count: usize) -> Place {
    Place {
        out,
        graph,
        dependencies,
        data: Caller::null(),
        count,
    }
}

/// `cuGraphCreate`
pub(crate) fn graph_create(out: Caller<Handle>, flags: u32) -> Answer {
    out.required()?;
    if flags != 0 {
        return Err(Code::INVALID_VALUE);
    }
    out.put(Graph::create(state::driver()?, false)?.handle)
}

/// `cuGraphDestroy`: executable graphs made of it stay.
pub(crate) fn graph_destroy(handle: Handle) -> Answer {
    let driver = state::driver()?;
    if graph(driver, handle)?.owned.load(Ordering::Acquire) {
        return Err(Code::INVALID_VALUE);
    }
    driver.graphs.remove(handle).map(drop)
}

/// `cuGraphDestroyNode`: with its edges.
pub(crate) fn graph_destroy_node(handle: Handle) -> Answer {
    let driver = state::driver()?;
    let (graph, id) = node(driver, handle)?;
    let mut body = graph.body();
    let work = &body.nodes.get(&id).ok_or(Code::INVALID_VALUE)?.work;
    // Documented: what allocates and frees cannot be taken out again.
    if work.is_memory() {
        return Err(Code::NOT_SUPPORTED);
    }
    let gone = body.nodes.remove(&id);
    for node in body.nodes.values_mut() {
        node.before.retain(|edge| edge.node != id);
        node.after.retain(|edge| edge.node != id);
    }
    drop(body);
    if let Some(gone) = gone {
        gone.work.forget(driver);
    }
    driver.nodes.remove(handle).map(drop)
}

/// `cuGraphAddKernelNode`
pub(crate) fn graph_add_kernel_node_v1(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    params: Caller<CUDA_KERNEL_NODE_PARAMS_v1>,
) -> Answer {
    add(place(out, graph, dependencies, count), |driver, _| {
        Work::kernel_v1(driver, &params.get()?)
    })
}

/// `cuGraphAddKernelNode_v2`
pub(crate) fn graph_add_kernel_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    params: Caller<CUDA_KERNEL_NODE_PARAMS>,
) -> Answer {
    add(place(out, graph, dependencies, count), |driver, _| {
        Work::kernel(driver, &params.get()?)
    })
}

/// `cuGraphAddMemcpyNode`
pub(crate) fn graph_add_memcpy_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    params: Caller<CUDA_MEMCPY3D>,
    context: Handle,
) -> Answer {
    add(place(out, graph, dependencies, count), |driver, _| {
        let params = params.get()?;
        crate::context::context(context)?;
        Work::memcpy(driver, &params)
    })
}

/// `cuGraphAddMemsetNode`
pub(crate) fn graph_add_memset_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    params: Caller<CUDA_MEMSET_NODE_PARAMS>,
    context: Handle,
) -> Answer {
    add(place(out, graph, dependencies, count), |driver, _| {
        let params = params.get()?;
        crate::context::context(context)?;
        Work::memset(driver, &params)
    })
}

/// `cuGraphAddHostNode`
pub(crate) fn graph_add_host_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    params: Caller<CUDA_HOST_NODE_PARAMS>,
) -> Answer {
    add(place(out, graph, dependencies, count), |_, _| {
        Work::host_params(&params.get()?)
    })
}

/// `cuGraphAddEmptyNode`
pub(crate) fn graph_add_empty_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
) -> Answer {
    add(place(out, graph, dependencies, count), |_, _| Ok(Work::Empty))
}

/// `cuGraphAddEventRecordNode`
pub(crate) fn graph_add_event_record_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    event: Handle,
) -> Answer {
    add(place(out, graph, dependencies, count), |driver, _| {
        Work::event(driver, event).map(Work::Record)
    })
}

/// `cuGraphAddEventWaitNode`
pub(crate) fn graph_add_event_wait_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    event: Handle,
) -> Answer {
    add(place(out, graph, dependencies, count), |driver, _| {
        Work::event(driver, event).map(Work::Wait)
    })
}

/// `cuGraphAddExternalSemaphoresSignalNode`, `cuGraphAddExternalSemaphoresWaitNode`
pub(crate) fn graph_add_external_semaphores_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    params: Caller<c_void>,
) -> Answer {
    add(place(out, graph, dependencies, count), |_, _| {
        params.required()?;
        external::work()
    })
}

/// `cuGraphAddBatchMemOpNode`
pub(crate) fn graph_add_batch_mem_op_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    params: Caller<CUDA_BATCH_MEM_OP_NODE_PARAMS>,
) -> Answer {
    add(place(out, graph, dependencies, count), |driver, _| {
        Work::values(driver, &params.get()?)
    })
}

/// `cuGraphAddMemAllocNode`
pub(crate) fn graph_add_mem_alloc_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    params: Caller<CUDA_MEM_ALLOC_NODE_PARAMS>,
) -> Answer {
    add(place(out, graph, dependencies, count), |driver, _| {
        memory::alloc_work(driver, params)
    })
}

/// `cuGraphAddMemFreeNode`
pub(crate) fn graph_add_mem_free_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    address: u64,
) -> Answer {
    add(place(out, graph, dependencies, count), |_, graph| {
        free_in(graph, address)
    })
}

/// A free node; a graph frees an allocation once.
fn free_in(graph: &Arc<Graph>, address: u64) -> Answer<Work> {
    let twice = graph
        .body()
        .nodes
        .values()
        .any(|node| matches!(node.work, Work::Free(freed) if freed == address));
    if twice {
        return Err(Code::INVALID_VALUE);
    }
    memory::free_work(address)
}

/// A graph for a node: cloned, or taken from the program.
pub(crate) fn child(
    driver: &Driver,
    parent: &Arc<Graph>,
    params: &CUDA_CHILD_GRAPH_NODE_PARAMS,
) -> Answer<Work> {
    const CLONE: i32 = 0;
    const MOVE: i32 = 1;
    let child = graph(driver, params.graph)?;
    if Arc::ptr_eq(&child, parent) {
        return Err(Code::INVALID_VALUE);
    }
    let (memory, conditional) = {
        let body = child.body();
        let any = |wanted: fn(&Work) -> bool| body.nodes.values().any(|node| wanted(&node.work));
        (
            any(Work::is_memory),
            any(|work| matches!(work, Work::Conditional(_))),
        )
    };
    if conditional || memory && params.ownership != MOVE {
        return Err(Code::NOT_SUPPORTED);
    }
    match params.ownership {
        CLONE => super::clone::clone(driver, &child, true).map(Work::Child),
        MOVE => {
            if child.owned.swap(true, Ordering::AcqRel) {
                return Err(Code::INVALID_VALUE);
            }
            Ok(Work::Child(child))
        }
        _ => Err(Code::INVALID_VALUE),
    }
}

/// `cuGraphAddChildGraphNode`
pub(crate) fn graph_add_child_graph_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    child_graph: Handle,
) -> Answer {
    add(place(out, graph, dependencies, count), |driver, graph| {
        let params = CUDA_CHILD_GRAPH_NODE_PARAMS {
            graph: child_graph,
            ownership: 0,
        };
        child(driver, graph, &params)
    })
}

fn conditional(
    driver: &Driver,
    graph: &Arc<Graph>,
    out: Caller<CUDA_CONDITIONAL_NODE_PARAMS>,
) -> Answer<Work> {
    const IF: u32 = 0;
    const WHILE: u32 = 1;
    const SWITCH: u32 = 2;
    /// As many as the message takes.
    const MOST: u32 = 128;
    let mut params = out.get()?;
    let fits = match params.kind {
        IF => (1..=2).contains(&params.size),
        WHILE => params.size == 1,
        SWITCH => params.size >= 1,
        _ => false,
    };
    if !fits {
        return Err(Code::INVALID_VALUE);
    }
    if params.size > MOST {
        return Err(Code::NOT_SUPPORTED);
    }
    let value = graph.condition(params.handle).ok_or(Code::INVALID_VALUE)?;
    let bodies = (0..params.size)
        .map(|_| Graph::create_body(driver, graph))
        .collect::<Answer<Vec<_>>>()?;
    let work = ConditionalWork {
        value,
        kind: params.kind,
        handles: bodies.iter().map(|body| body.handle).collect(),
        bodies,
        context: params.context,
    };
    params.bodies = Caller::from_raw(work.handles.as_ptr().cast_mut());
    out.put(params)?;
    Ok(Work::Conditional(Arc::new(work)))
}

/// `cuGraphConditionalHandleCreate`: the handle is the address of the value.
pub(crate) fn graph_conditional_handle_create(
    out: Caller<u64>,
    handle: Handle,
    context: Handle,
    default: u32,
    flags: u32,
) -> Answer {
    const ASSIGN_DEFAULT: u32 = 1;
    const VALUE_BYTES: usize = 4;
    let driver = state::driver()?;
    out.required()?;
    let graph = graph(driver, handle)?;
    if flags & !ASSIGN_DEFAULT != 0 {
        return Err(Code::INVALID_VALUE);
    }
    let context = if context == 0 {
        current::current()?
    } else {
        crate::context::context(context)?
    };
    let value = GraphMemory::allocate(driver, &context, VALUE_BYTES, None)?;
    let address = value.address;
    let default = (flags & ASSIGN_DEFAULT != 0).then_some(default);
    graph.body().conditions.push((value, default));
    out.put(address)
}

/// What a node does, from the parameters for nodes of any kind.
fn from_params(driver: &Driver, graph: &Arc<Graph>, params: Caller<CUgraphNodeParams>) -> Answer<Work> {
    let given = params.get()?;
    if given.reserved != [0; 3] || given.reserved_end != 0 {
        return Err(Code::INVALID_VALUE);
    }
    match given.kind {
        kind::MEM_ALLOC => memory::alloc_work(driver, params.member()),
        kind::MEM_FREE => free_in(graph, params.member().get()?),
        kind::CONDITIONAL => conditional(driver, graph, params.member()),
        kind::GRAPH => child(driver, graph, &params.member().get()?),
        _ => editable(driver, params),
    }
}

/// The same for the kinds whose parameters can be set again.
pub(crate) fn editable(driver: &Driver, params: Caller<CUgraphNodeParams>) -> Answer<Work> {
    match params.get()?.kind {
        kind::KERNEL => Work::kernel(driver, &params.member().get()?),
        kind::MEMCPY => {
            let given = params.member::<CUDA_MEMCPY_NODE_PARAMS>().get()?;
            if given.flags != 0 || given.reserved != 0 {
                return Err(Code::INVALID_VALUE);
            }
            Work::memcpy(driver, &given.copy)
        }
        // The context, which is behind these in the second version, is no part of what is done.
        kind::MEMSET => Work::memset(driver, &params.member().get()?),
        kind::HOST => Work::host_params(&params.member().get()?),
        kind::EMPTY => Ok(Work::Empty),
        kind::WAIT_EVENT => Work::event(driver, params.member().get()?).map(Work::Wait),
        kind::EVENT_RECORD => {
            let given = params.member::<CUDA_EVENT_NODE_PARAMS>().get()?;
            Work::event(driver, given.event).map(Work::Record)
        }
        kind::BATCH_MEM_OP => Work::values(driver, &params.member().get()?),
        // Kinds that are not served, and those that are made another way.
        other if (0..=LAST_KIND).contains(&other) => Err(Code::NOT_SUPPORTED),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// `cuGraphAddNode`
pub(crate) fn graph_add_node_v1(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    count: usize,
    params: Caller<CUgraphNodeParams>,
) -> Answer {
    graph_add_node(out, graph, dependencies, Caller::null(), count, params)
}

/// `cuGraphAddNode_v2` and `_v3`
pub(crate) fn graph_add_node(
    out: Caller<Handle>,
    graph: Handle,
    dependencies: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: usize,
    params: Caller<CUgraphNodeParams>,
) -> Answer {
    let place = Place {
        data,
        ..place(out, graph, dependencies, count)
    };
    add(place, |driver, graph| from_params(driver, graph, params))
}

/// Pairs of nodes of a graph.
fn pairs(
    graph: &Arc<Graph>,
    from: Caller<Handle>,
    to: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: usize,
) -> Answer<Vec<(u32, u32, CUgraphEdgeData)>> {
    let driver = state::driver()?;
    let inside = |handle| {
        let (found, id) = node(driver, handle)?;
        if Arc::ptr_eq(&found, graph) {
            Ok(id)
        } else {
            Err(Code::INVALID_VALUE)
        }
    };
    let pair = |index| {
        let data = if data.is_null() {
            CUgraphEdgeData::default()
        } else {
            data.at(index)?
        };
        check_edge(&data)?;
        let (from, to) = (inside(from.at(index)?)?, inside(to.at(index)?)?);
        if from == to {
            return Err(Code::INVALID_VALUE);
        }
        Ok((from, to, data))
    };
    (0..count).map(pair).collect()
}

/// `cuGraphAddDependencies`
pub(crate) fn graph_add_dependencies_v1(
    handle: Handle,
    from: Caller<Handle>,
    to: Caller<Handle>,
    count: usize,
) -> Answer {
    graph_add_dependencies(handle, from, to, Caller::null(), count)
}

/// `cuGraphAddDependencies_v2`: an edge that is there already is an error, and then none is added.
pub(crate) fn graph_add_dependencies(
    handle: Handle,
    from: Caller<Handle>,
    to: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: usize,
) -> Answer {
    let graph = graph(state::driver()?, handle)?;
    let pairs = pairs(&graph, from, to, data, count)?;
    let mut body = graph.body();
    for (index, (from, to, data)) in pairs.iter().enumerate() {
        let kernels = [from, to].iter().all(|id| {
            body.nodes
                .get(id)
                .is_some_and(|node| node.work.kind() == kind::KERNEL)
        });
        let known = body
            .nodes
            .get(to)
            .is_some_and(|node| node.before.iter().any(|edge| edge.node == *from));
        let twice = pairs.iter().take(index).any(|(a, b, _)| a == from && b == to);
        if known || twice || data.kind == PROGRAMMATIC && !kernels {
            return Err(Code::INVALID_VALUE);
        }
    }
    for (from, to, data) in pairs {
        if let Some(node) = body.nodes.get_mut(&to) {
            node.before.push(Edge { node: from, data });
        }
        if let Some(node) = body.nodes.get_mut(&from) {
            node.after.push(Edge { node: to, data });
        }
    }
    Ok(())
}

/// `cuGraphRemoveDependencies`
pub(crate) fn graph_remove_dependencies_v1(
    handle: Handle,
    from: Caller<Handle>,
    to: Caller<Handle>,
    count: usize,
) -> Answer {
    graph_remove_dependencies(handle, from, to, Caller::null(), count)
}

/// `cuGraphRemoveDependencies_v2`: an edge that is not there is an error, and then none is removed.
pub(crate) fn graph_remove_dependencies(
    handle: Handle,
    from: Caller<Handle>,
    to: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: usize,
) -> Answer {
    let graph = graph(state::driver()?, handle)?;
    let pairs = pairs(&graph, from, to, data, count)?;
    let mut body = graph.body();
    // Documented: the order of what allocates and frees stays.
    if body.nodes.values().any(|node| node.work.is_memory()) {
        return Err(Code::NOT_SUPPORTED);
    }
    for (from, to, data) in &pairs {
        let edge = Edge {
            node: *from,
            data: *data,
        };
        if !body.nodes.get(to).is_some_and(|node| node.before.contains(&edge)) {
            return Err(Code::INVALID_VALUE);
        }
    }
    for (from, to, _) in pairs {
        if let Some(node) = body.nodes.get_mut(&to) {
            node.before.retain(|edge| edge.node != from);
        }
        if let Some(node) = body.nodes.get_mut(&from) {
            node.after.retain(|edge| edge.node != to);
        }
    }
    Ok(())
}
