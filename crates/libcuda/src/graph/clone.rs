//! Copies of graphs.

use super::node::Work;
use super::{Graph, graph, node};
use crate::code::{Answer, Code};
use crate::state::{self, Driver};
use crate::types::{Caller, Handle};
use std::sync::Arc;

/// A copy with copies of the graphs inside; nodes keep their numbers and know what they are copies of.
pub(crate) fn clone(driver: &Driver, from: &Graph, owned: bool) -> Answer<Arc<Graph>> {
    let (nodes, objects) = {
        let body = from.body();
        (body.nodes.clone(), body.objects.clone())
    };
    // Documented: their bodies are the program's by handles that a copy cannot have, and memory has one address.
    let fixed = |work: &Work| matches!(work, Work::Conditional(_)) || work.is_memory();
    if nodes.values().any(|node| fixed(&node.work)) {
        return Err(Code::NOT_SUPPORTED);
    }
    let copy = Graph::create(driver, owned)?;
    let filled = fill(driver, &copy, nodes);
    if filled.is_err() {
        let _ = driver.graphs.remove(copy.handle);
    }
    filled?;
    copy.body().objects = objects;
    Ok(copy)
}

fn fill(driver: &Driver, copy: &Arc<Graph>, nodes: std::collections::BTreeMap<u32, super::Node>) -> Answer {
    // Edges may lead to nodes that are younger: they are set when all nodes are there.
    let mut edges = Vec::with_capacity(nodes.len());
    for (id, node) in nodes {
        let work = match &node.work {
            Work::Child(child) => Work::Child(clone(driver, child, true)?),
            other => other.clone(),
        };
        edges.push((id, node.before, node.after));
        let mut body = copy.body();
        copy.add_as(driver, &mut body, id, work, Vec::new(), node.handle)?;
    }
    let mut body = copy.body();
    for (id, before, after) in edges {
        if let Some(node) = body.nodes.get_mut(&id) {
            (node.before, node.after) = (before, after);
        }
    }
    Ok(())
}

/// `cuGraphClone`
pub(crate) fn graph_clone(out: Caller<Handle>, original: Handle) -> Answer {
    let driver = state::driver()?;
    out.required()?;
    let from = graph(driver, original)?;
    out.put(clone(driver, &from, false)?.handle)
}

/// The copy of a node in a copy of its graph, or in a graph inside.
fn find(graph: &Graph, original: Handle) -> Option<Handle> {
    let (found, inside) = {
        let body = graph.body();
        let found = body
            .nodes
            .values()
            .find(|node| node.original == original)
            .map(|node| node.handle);
        let child = |node: &super::Node| match &node.work {
            Work::Child(child) => Some(Arc::clone(child)),
            _ => None,
        };
        (found, body.nodes.values().filter_map(child).collect::<Vec<_>>())
    };
    found.or_else(|| inside.iter().find_map(|child| find(child, original)))
}

/// `cuGraphNodeFindInClone`
pub(crate) fn graph_node_find_in_clone(out: Caller<Handle>, original: Handle, cloned: Handle) -> Answer {
    let driver = state::driver()?;
    out.required()?;
    let cloned = graph(driver, cloned)?;
    node(driver, original)?;
    out.put(find(&cloned, original).ok_or(Code::INVALID_VALUE)?)
}
