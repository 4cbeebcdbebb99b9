//! Questions about graphs: nodes, edges, numbers.
//!
//! Lists follow one rule: without a place to write to, the count is told; with one, up to the given count is written, the rest of the
//! places is set to 0, and the count becomes what was written.

use super::{Edge, graph, node, with_work};
use crate::code::{Answer, Code};
use crate::state;
use crate::types::{CUgraphEdgeData, Caller, Handle};

/// Writes a list by that rule.
fn put_list(list: &[Handle], out: Caller<Handle>, count: Caller<usize>) -> Answer {
    if out.is_null() {
        return count.put(list.len());
    }
    let room = count.get()?;
    for index in 0..room {
        out.put_at(index, list.get(index).copied().unwrap_or(0))?;
    }
    count.put(list.len().min(room))
}

/// Nodes at the other ends of edges, with what the edges say.
fn put_edges(
    list: &[(Handle, CUgraphEdgeData)],
    out: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: Caller<usize>,
) -> Answer {
    check_lossy(list.iter().map(|(_, data)| data), out, data)?;
    let room = if out.is_null() { 0 } else { count.get()? };
    let handles: Vec<Handle> = list.iter().map(|(handle, _)| *handle).collect();
    put_list(&handles, out, count)?;
    put_data(list.iter().map(|(_, data)| *data), data, room)
}

/// Fails where edges say what the caller has no room for.
fn check_lossy<'a>(
    mut all: impl Iterator<Item = &'a CUgraphEdgeData>,
    out: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
) -> Answer {
    if !out.is_null() && data.is_null() && all.any(|data| *data != CUgraphEdgeData::default()) {
        return Err(Code::LOSSY_QUERY);
    }
    Ok(())
}

fn put_data(all: impl Iterator<Item = CUgraphEdgeData>, out: Caller<CUgraphEdgeData>, room: usize) -> Answer {
    if out.is_null() {
        return Ok(());
    }
    for (index, data) in all.take(room).enumerate() {
        out.put_at(index, data)?;
    }
    Ok(())
}

/// `cuGraphGetNodes`
pub(crate) fn graph_get_nodes(handle: Handle, nodes: Caller<Handle>, count: Caller<usize>) -> Answer {
    let graph = graph(state::driver()?, handle)?;
    count.required()?;
    let list: Vec<Handle> = graph.body().nodes.values().map(|node| node.handle).collect();
    put_list(&list, nodes, count)
}

/// `cuGraphGetRootNodes`
pub(crate) fn graph_get_root_nodes(handle: Handle, nodes: Caller<Handle>, count: Caller<usize>) -> Answer {
    let graph = graph(state::driver()?, handle)?;
    count.required()?;
    let list: Vec<Handle> = graph
        .body()
        .nodes
        .values()
        .filter(|node| node.before.is_empty())
        .map(|node| node.handle)
        .collect();
    put_list(&list, nodes, count)
}

/// `cuGraphGetEdges`
pub(crate) fn graph_get_edges_v1(
    handle: Handle,
    from: Caller<Handle>,
    to: Caller<Handle>,
    count: Caller<usize>,
) -> Answer {
    graph_get_edges(handle, from, to, Caller::null(), count)
}

/// `cuGraphGetEdges_v2`: of the two lists of nodes both or none are wanted.
pub(crate) fn graph_get_edges(
    handle: Handle,
    from: Caller<Handle>,
    to: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: Caller<usize>,
) -> Answer {
    let graph = graph(state::driver()?, handle)?;
    count.required()?;
    if from.is_null() != to.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    let mut list = Vec::new();
    {
        let body = graph.body();
        for node in body.nodes.values() {
            for edge in &node.after {
                list.push((node.handle, body.handle_of(edge.node), edge.data));
            }
        }
    }
    check_lossy(list.iter().map(|(_, _, data)| data), from, data)?;
    if from.is_null() {
        return count.put(list.len());
    }
    let room = count.get()?;
    let column = |pick: fn(&(Handle, Handle, CUgraphEdgeData)) -> Handle| -> Vec<Handle> {
        list.iter().map(pick).collect()
    };
    let (sources, targets) = (column(|row| row.0), column(|row| row.1));
    put_list(&targets, to, count)?;
    count.put(room)?;
    put_list(&sources, from, count)?;
    put_data(list.iter().map(|(_, _, data)| *data), data, room)
}

/// The nodes on one side of a node.
fn neighbours(
    handle: Handle,
    side: fn(&super::Node) -> &Vec<Edge>,
) -> Answer<Vec<(Handle, CUgraphEdgeData)>> {
    let (graph, id) = node(state::driver()?, handle)?;
    let body = graph.body();
    let node = body.nodes.get(&id).ok_or(Code::INVALID_VALUE)?;
    Ok(side(node)
        .iter()
        .map(|edge| (body.handle_of(edge.node), edge.data))
        .collect())
}

/// `cuGraphNodeGetDependencies`
pub(crate) fn graph_node_get_dependencies_v1(
    handle: Handle,
    nodes: Caller<Handle>,
    count: Caller<usize>,
) -> Answer {
    graph_node_get_dependencies(handle, nodes, Caller::null(), count)
}

/// `cuGraphNodeGetDependencies_v2`
pub(crate) fn graph_node_get_dependencies(
    handle: Handle,
    nodes: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: Caller<usize>,
) -> Answer {
    count.required()?;
    put_edges(&neighbours(handle, |node| &node.before)?, nodes, data, count)
}

/// `cuGraphNodeGetDependentNodes`
pub(crate) fn graph_node_get_dependent_nodes_v1(
    handle: Handle,
    nodes: Caller<Handle>,
    count: Caller<usize>,
) -> Answer {
    graph_node_get_dependent_nodes(handle, nodes, Caller::null(), count)
}

/// `cuGraphNodeGetDependentNodes_v2`
pub(crate) fn graph_node_get_dependent_nodes(
    handle: Handle,
    nodes: Caller<Handle>,
    data: Caller<CUgraphEdgeData>,
    count: Caller<usize>,
) -> Answer {
    count.required()?;
    put_edges(&neighbours(handle, |node| &node.after)?, nodes, data, count)
}

/// `cuGraphNodeGetType`
pub(crate) fn graph_node_get_type(handle: Handle, kind: Caller<i32>) -> Answer {
    kind.required()?;
    with_work(state::driver()?, handle, |work| kind.put(work.kind()))
}

/// `cuGraphNodeGetContainingGraph`
pub(crate) fn graph_node_get_containing_graph(handle: Handle, out: Caller<Handle>) -> Answer {
    out.required()?;
    out.put(node(state::driver()?, handle)?.0.handle)
}

/// `cuGraphNodeGetLocalId`
pub(crate) fn graph_node_get_local_id(handle: Handle, id: Caller<u32>) -> Answer {
    id.required()?;
    id.put(node(state::driver()?, handle)?.1)
}

/// `cuGraphNodeGetToolsId`: the graph's number above the node's.
pub(crate) fn graph_node_get_tools_id(handle: Handle, id: Caller<u64>) -> Answer {
    id.required()?;
    let (graph, node) = node(state::driver()?, handle)?;
    id.put(u64::from(graph.id) << 32 | u64::from(node))
}

/// `cuGraphGetId`
pub(crate) fn graph_get_id(handle: Handle, id: Caller<u32>) -> Answer {
    id.required()?;
    id.put(graph(state::driver()?, handle)?.id)
}
