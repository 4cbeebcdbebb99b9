//! Graphs: work that is described first and launched as one, often.
//!
//! ```text
//!   Graph (here only) ── nodes, edges ──┬─ built: cuGraphAdd*, edited until it is destroyed
//!                                       └─ captured: operations of streams become nodes (capture.rs)
//!     │ cuGraphInstantiate: nodes in topological order, each lowered to the messages that do its work in a stream
//!     ▼
//!   Exec ── GraphCreate, GraphNode*, GraphSeal ──▶ worker's graph ◀── GraphLaunch: one message per launch
//! ```
//!
//! Invariants:
//! * a node's handle is in the table as long as its graph is; the graph's own lock is held for one step at a time and none inside it;
//! * an Exec depends on nothing of its Graph: it has copies, and what these use is kept alive by it;
//! * edges lead between nodes of one graph; that there is no circle is found out at instantiation.

pub(crate) mod build;
pub(crate) mod capture;
pub(crate) mod clone;
pub(crate) mod dot;
pub(crate) mod exec;
pub(crate) mod lower;
pub(crate) mod memory;
pub(crate) mod node;
pub(crate) mod params;
pub(crate) mod plan;
pub(crate) mod query;
pub(crate) mod set;
pub(crate) mod update;
pub(crate) mod user_object;

use crate::code::{Answer, Code};
use crate::state::{self, Driver};
use crate::types::{CUgraphEdgeData, Handle};
use memory::GraphMemory;
use node::Work;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use user_object::Held;

/// An edge, seen from one of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    /// The node at the other end.
    pub(crate) node: u32,
    pub(crate) data: CUgraphEdgeData,
}

/// A node.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) work: Work,
    pub(crate) before: Vec<Edge>,
    pub(crate) after: Vec<Edge>,
    /// In the graph that this one was cloned from; 0 for none.
    pub(crate) original: Handle,
}

/// Nodes by their numbers, which rise as they are made and are not used again.
#[derive(Default)]
pub(crate) struct Body {
    pub(crate) nodes: BTreeMap<u32, Node>,
    next: u32,
    pub(crate) objects: Vec<Held>,
    /// The executable graph, where there can be one only.
    pub(crate) sole: Weak<()>,
    /// Values of conditional nodes: memory, and what it is set to by each launch.
    pub(crate) conditions: Vec<(Arc<GraphMemory>, Option<u32>)>,
}

/// A graph.
pub(crate) struct Graph {
    pub(crate) handle: Handle,
    pub(crate) id: u32,
    /// It belongs to a node or a capture: it is not the program's to destroy.
    pub(crate) owned: AtomicBool,
    /// Of a body of a conditional node: the graph that the node is in.
    outer: OnceLock<Weak<Self>>,
    body: Mutex<Body>,
}

/// What a node's handle leads to.
pub(crate) struct NodeRef {
    pub(crate) graph: Weak<Graph>,
    pub(crate) id: u32,
}

/// Numbers of graphs and executable graphs.
pub(crate) fn next_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Graph {
    /// An empty graph, in the table.
    pub(crate) fn create(driver: &Driver, owned: bool) -> Answer<Arc<Self>> {
        driver.graphs.insert(|handle| {
            Ok(Self {
                handle,
                id: next_id(),
                owned: AtomicBool::new(owned),
                outer: OnceLock::new(),
                body: Mutex::default(),
            })
        })
    }

    /// An empty graph, for a conditional node of `outer`.
    pub(crate) fn create_body(driver: &Driver, outer: &Arc<Self>) -> Answer<Arc<Self>> {
        let graph = Self::create(driver, true)?;
        // It was made just now: nothing is there yet.
        let _ = graph.outer.set(Arc::downgrade(outer));
        Ok(graph)
    }

    /// The value of this address: the graph's own, or one of a graph that this is inside of.
    pub(crate) fn condition(&self, address: u64) -> Option<Arc<GraphMemory>> {
        let own = self
            .body()
            .conditions
            .iter()
            .find_map(|(memory, _)| (memory.address == address).then(|| Arc::clone(memory)));
        own.or_else(|| self.outer.get()?.upgrade()?.condition(address))
    }

    /// The values of the graph's conditional nodes, and those of the graphs inside.
    pub(crate) fn conditions(&self) -> Vec<(Arc<GraphMemory>, Option<u32>)> {
        let (mut all, nodes) = {
            let body = self.body();
            (body.conditions.clone(), body.nodes.clone())
        };
        for node in nodes.values() {
            if let Work::Conditional(conditional) = &node.work {
                all.extend(conditional.bodies.iter().flat_map(|inner| inner.conditions()));
            }
        }
        all
    }

    pub(crate) fn body(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a node; the edges lead to nodes of this graph.
    pub(crate) fn add(
        self: &Arc<Self>,
        driver: &Driver,
        work: Work,
        before: Vec<Edge>,
    ) -> Answer<(u32, Handle)> {
        let mut body = self.body();
        let id = body.next;
        self.add_as(driver, &mut body, id, work, before, 0)
    }

    /// Adds a node under a number that is not below the next one.
    pub(crate) fn add_as(
        self: &Arc<Self>,
        driver: &Driver,
        body: &mut Body,
        id: u32,
        work: Work,
        before: Vec<Edge>,
        original: Handle,
    ) -> Answer<(u32, Handle)> {
        let mut handle = 0;
        driver.nodes.insert(|given| {
            handle = given;
            Ok(NodeRef {
                graph: Arc::downgrade(self),
                id,
            })
        })?;
        for edge in &before {
            if let Some(node) = body.nodes.get_mut(&edge.node) {
                node.after.push(Edge { node: id, ..*edge });
            }
        }
        body.next = id + 1;
        let node = Node {
            handle,
            work,
            before,
            after: Vec::new(),
            original,
        };
        body.nodes.insert(id, node);
        Ok((id, handle))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let Ok(driver) = state::driver() else { return };
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        for node in body.nodes.values() {
            let _ = driver.nodes.remove(node.handle);
            node.work.forget(driver);
        }
    }
}

impl Body {
    /// The nodes in topological order, of those that may come next the oldest first; `None` where edges make a circle.
    pub(crate) fn order(&self) -> Option<Vec<u32>> {
        let mut missing: BTreeMap<u32, usize> = self
            .nodes
            .iter()
            .map(|(&id, node)| (id, node.before.len()))
            .collect();
        let mut ready: BTreeSet<u32> = missing
            .iter()
            .filter(|(_, missing)| **missing == 0)
            .map(|(&id, _)| id)
            .collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(id) = ready.pop_first() {
            order.push(id);
            for edge in self.nodes.get(&id).map(|node| &node.after).into_iter().flatten() {
                if let Some(left) = missing.get_mut(&edge.node) {
                    *left -= 1;
                    if *left == 0 {
                        ready.insert(edge.node);
                    }
                }
            }
        }
        (order.len() == self.nodes.len()).then_some(order)
    }

    /// Whether one of the nodes is, or is after, all of `wanted`: `ends` and everything before them hold `wanted`.
    pub(crate) fn reaches(&self, ends: &[Edge], wanted: &[Edge]) -> bool {
        let mut seen = BTreeSet::new();
        let mut todo: Vec<u32> = ends.iter().map(|edge| edge.node).collect();
        while let Some(id) = todo.pop() {
            if seen.insert(id)
                && let Some(node) = self.nodes.get(&id)
            {
                todo.extend(node.before.iter().map(|edge| edge.node));
            }
        }
        wanted.iter().all(|edge| seen.contains(&edge.node))
    }

    pub(crate) fn handle_of(&self, id: u32) -> Handle {
        self.nodes.get(&id).map_or(0, |node| node.handle)
    }
}

/// The graph of this handle.
pub(crate) fn graph(driver: &Driver, handle: Handle) -> Answer<Arc<Graph>> {
    if handle == 0 {
        return Err(Code::INVALID_VALUE);
    }
    driver.graphs.get(handle)
}

/// The graph and the number of this node.
pub(crate) fn node(driver: &Driver, handle: Handle) -> Answer<(Arc<Graph>, u32)> {
    if handle == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let found = driver.nodes.get(handle)?;
    let graph = found.graph.upgrade().ok_or(Code::INVALID_VALUE)?;
    Ok((graph, found.id))
}

/// Looks at what a node does.
pub(crate) fn with_work<R>(
    driver: &Driver,
    handle: Handle,
    look: impl FnOnce(&Work) -> Answer<R>,
) -> Answer<R> {
    let (graph, id) = node(driver, handle)?;
    let work = {
        let body = graph.body();
        let node = body.nodes.get(&id).ok_or(Code::INVALID_VALUE)?;
        node.work.clone()
    };
    look(&work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(edges: &[(u32, u32)], nodes: u32) -> Body {
        let mut body = Body::default();
        let edge = |node| Edge {
            node,
            data: CUgraphEdgeData::default(),
        };
        for id in 0..nodes {
            let node = Node {
                handle: 0,
                work: Work::Empty,
                before: edges
                    .iter()
                    .filter(|(_, to)| *to == id)
                    .map(|(from, _)| edge(*from))
                    .collect(),
                after: edges
                    .iter()
                    .filter(|(from, _)| *from == id)
                    .map(|(_, to)| edge(*to))
                    .collect(),
                original: 0,
            };
            body.nodes.insert(id, node);
        }
        body
    }

    #[test]
    fn order_follows_edges_and_finds_circles() {
        assert_eq!(body(&[], 3).order(), Some(vec![0, 1, 2]));
        assert_eq!(body(&[(2, 0), (0, 1)], 3).order(), Some(vec![2, 0, 1]));
        assert_eq!(
            body(&[(0, 1), (0, 2), (1, 3), (2, 3)], 4).order(),
            Some(vec![0, 1, 2, 3])
        );
        assert_eq!(body(&[(0, 1), (1, 2), (2, 1)], 3).order(), None);
        assert_eq!(body(&[(0, 0)], 1).order(), None);
    }

    #[test]
    fn joined_work_is_before_the_end() {
        let body = body(&[(0, 1), (0, 2), (1, 3)], 4);
        let edges = |ids: &[u32]| -> Vec<Edge> {
            ids.iter()
                .map(|&node| Edge {
                    node,
                    data: CUgraphEdgeData::default(),
                })
                .collect()
        };
        assert!(body.reaches(&edges(&[3]), &edges(&[0, 1, 3])));
        assert!(!body.reaches(&edges(&[3]), &edges(&[2])));
        assert!(body.reaches(&edges(&[3, 2]), &edges(&[2])));
        assert!(body.reaches(&[], &[]));
    }
}
