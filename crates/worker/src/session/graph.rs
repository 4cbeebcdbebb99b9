//! Graphs: nodes arrive one by one, as the messages that would do the same in a stream; the device makes one thing of them.
//!
//! ```text
//!   GraphCreate ─▶ open ◀─ GraphNode (adds or replaces) ── GraphSeal ─▶ sealed ── GraphLaunch ─▶ Operation::Graph
//!                   ▲                                                     │ GraphNode
//!                   └─────────── sealed again by the next launch ◀────────┘
//! ```
//!
//! A node that is refused is remembered with its reason: GraphSeal answers with it, and a launch is refused for it.

use super::objects::{GraphObject, Kind, Object};
use super::{Answer, Guest};
use crate::refusal::{Refusal, chain, device_code};
use std::sync::Arc;
use tessera_channel::ChannelError;
use tessera_device::{Comparison, ConditionKind, DeviceError, Graph, GraphNode as Node, Operation};
use tessera_wire::messages::{Conditional, GraphCreate, GraphNode, GraphSeal, GraphSealReply, StreamValue};
use tessera_wire::{Opcode, VALUE_AND, VALUE_EQUAL, VALUE_GREATER_OR_EQUAL, VALUE_NOR, VALUE_WRITE, decode};

/// What a node costs beside its message: its place in tables here and in the device.
const NODE_BYTES: u64 = 512;

impl Guest {
    pub(super) fn graph_create(&mut self, message: &GraphCreate) -> Result<(), ChannelError> {
        let made = self
            .objects
            .check_new(message.graph, Kind::Graph, self.vgpu.limits.graphs)
            .and_then(|()| self.objects.context(message.context).map(drop));
        let refused = made.err().map(|refusal| (0, refusal));
        if message.graph == 0 || self.objects.get(message.graph).is_some() {
            return self.stray(Opcode::GraphCreate, "a graph whose handle is taken");
        }
        let graph = GraphObject {
            context: message.context,
            nodes: Vec::new(),
            bytes: Vec::new(),
            sealed: None,
            refused,
        };
        self.objects.insert(message.graph, Object::Graph(graph));
        Ok(())
    }

    pub(super) fn graph_node(&mut self, message: &GraphNode, tail: &[u8]) -> Result<(), ChannelError> {
        let node = self.make_node(message, tail);
        let bytes = NODE_BYTES + tail.len() as u64;
        let over = self.objects.graph_bytes() + bytes > self.vgpu.limits.graph_bytes;
        let Ok(graph) = self.objects.graph_mut(message.graph) else {
            return self.stray(Opcode::GraphNode, "a graph that does not exist");
        };
        graph.sealed = None;
        let index = message.node as usize;
        let node = match node {
            _ if index > graph.nodes.len() => Err(Refusal::invalid(format!(
                "Node {index} of a graph of {} nodes",
                graph.nodes.len()
            ))),
            Ok(_) if over => Err(Refusal::limit("nodes of graphs", tail.len())),
            other => other,
        };
        let node = match node {
            Ok(node) => {
                // A good node in place of the bad one mends the graph.
                if graph
                    .refused
                    .as_ref()
                    .is_some_and(|(bad, _)| *bad == message.node)
                    && index < graph.nodes.len()
                {
                    graph.refused = None;
                }
                node
            }
            Err(refusal) => {
                tracing::debug!(session = self.info.id, node = message.node, %refusal, "node is refused");
                graph.refused.get_or_insert((message.node, refusal));
                // Keeps its place, so that the nodes after it keep theirs.
                Node {
                    operation: Operation::Marker,
                    after: Vec::new(),
                }
            }
        };
        if index > graph.nodes.len() || (over && index == graph.nodes.len()) {
            return Ok(());
        }
        let old = if index == graph.nodes.len() {
            graph.nodes.push(node);
            graph.bytes.push(bytes);
            0
        } else {
            graph.nodes[index] = node;
            std::mem::replace(&mut graph.bytes[index], bytes)
        };
        self.objects.charge_node(old, bytes);
        Ok(())
    }

    fn make_node(&mut self, message: &GraphNode, tail: &[u8]) -> Result<Node, Refusal> {
        let edges = message.after as usize;
        let cut = edges.checked_mul(4).filter(|&cut| cut <= tail.len());
        let (after, frame) = cut
            .map(|cut| tail.split_at(cut))
            .ok_or_else(|| Refusal::invalid(format!("{edges} edges do not fit the message")))?;
        let after = after
            .as_chunks::<4>()
            .0
            .iter()
            .map(|index| u32::from_le_bytes(*index))
            .collect::<Vec<_>>();
        if let Some(later) = after.iter().find(|&&before| before >= message.node) {
            return Err(Refusal::invalid(format!(
                "Node {} waits for node {later}",
                message.node
            )));
        }
        let (_, request) = decode(frame).map_err(|error| Refusal::invalid(chain(&error)))?;
        let work = self
            .work(&request)
            .ok_or_else(|| Refusal::invalid(format!("{:?} is no node of a graph", request.opcode())))?;
        Ok(Node {
            operation: work.operation?,
            after,
        })
    }

    /// The device's graph; made anew where a node has changed.
    fn sealed(&mut self, handle: u64) -> Result<Arc<dyn Graph>, (u32, Refusal)> {
        let no_node = |refusal| (u32::MAX, refusal);
        let graph = self.objects.graph_mut(handle).map_err(no_node)?;
        if let Some((node, refusal)) = &graph.refused {
            return Err((*node, refusal.clone()));
        }
        if let Some(sealed) = &graph.sealed {
            return Ok(Arc::clone(sealed));
        }
        let (context, nodes) = (graph.context, graph.nodes.clone());
        let context = self.objects.context(context).map_err(no_node)?;
        let made = context.device.create_graph(nodes).map_err(|error| {
            let node = match &error {
                DeviceError::InvalidNode { node, .. } => *node,
                _ => u32::MAX,
            };
            (node, Refusal::new(device_code(&error), chain(&error)))
        })?;
        let graph = self.objects.graph_mut(handle).map_err(no_node)?;
        graph.sealed = Some(Arc::clone(&made));
        Ok(made)
    }

    pub(super) fn graph_seal(&mut self, message: &GraphSeal) -> Answer<GraphSeal> {
        let nodes = self.objects.graph_mut(message.graph)?.nodes.len();
        let mut reply = GraphSealReply {
            nodes: u32::try_from(nodes).unwrap_or(u32::MAX),
            ..GraphSealReply::default()
        };
        match self.sealed(message.graph) {
            Ok(_) => Ok((reply, Vec::new())),
            Err((u32::MAX, refusal)) => Err(refusal),
            Err((node, refusal)) => {
                reply.bad = node + 1;
                reply.code = refusal.code.number();
                Ok((reply, refusal.reason.into_bytes()))
            }
        }
    }

    pub(super) fn graph_operation(&mut self, handle: u64) -> Result<Operation, Refusal> {
        let graph = self.sealed(handle).map_err(|(_, refusal)| refusal)?;
        Ok(Operation::Graph(graph))
    }

    pub(super) fn graph_destroy(&mut self, handle: u64) -> Result<(), ChannelError> {
        if self.objects.remove(handle, Kind::Graph).is_none() {
            return self.stray(Opcode::GraphDestroy, "a graph that does not exist");
        }
        Ok(())
    }

    pub(super) fn conditional_operation(
        &mut self,
        message: &Conditional,
        tail: &[u8],
    ) -> Result<Operation, Refusal> {
        let kind = match message.kind {
            0 => ConditionKind::If,
            1 => ConditionKind::While,
            2 => ConditionKind::Switch,
            other => return Err(Refusal::invalid(format!("A conditional node of kind {other}"))),
        };
        let (handles, rest) = tail.as_chunks::<8>();
        if !rest.is_empty() || handles.len() != message.bodies as usize {
            return Err(Refusal::invalid("A conditional node with a cut list of bodies"));
        }
        let body = |handle: &[u8; 8]| {
            self.sealed(u64::from_le_bytes(*handle))
                .map_err(|(_, refusal)| refusal)
        };
        Ok(Operation::Conditional(tessera_device::Conditional {
            value: message.value,
            kind,
            bodies: handles.iter().map(body).collect::<Result<_, _>>()?,
        }))
    }

    pub(super) fn value_operation(message: &StreamValue) -> Result<Operation, Refusal> {
        let (address, value) = (message.address, message.value);
        let wide = match message.bytes {
            4 => false,
            8 => true,
            other => return Err(Refusal::invalid(format!("A value of {other} bytes"))),
        };
        let comparison = match message.kind {
            VALUE_WRITE => return Ok(Operation::WriteValue { address, value, wide }),
            VALUE_GREATER_OR_EQUAL => Comparison::GreaterOrEqual,
            VALUE_EQUAL => Comparison::Equal,
            VALUE_AND => Comparison::And,
            VALUE_NOR => Comparison::Nor,
            other => return Err(Refusal::invalid(format!("A comparison of kind {other}"))),
        };
        Ok(Operation::WaitValue {
            address,
            value,
            wide,
            comparison,
        })
    }
}
