//! Graphs: what a launch puts into the scheduler's own graph at once.
//!
//! Nodes are kept as operations; every launch makes new tasks of them. A graph inside a graph is laid out among the nodes of the
//! outer one when that is created, so a launch walks one list. A conditional node is a task that reads its value and then puts the
//! chosen graph in front of itself:
//!
//! ```text
//!   undecided ── read ──▶ decided: body b ── its parts go in, the node waits for them ──▶ If, Switch: over
//!       ▲                    └─ no body ─▶ over                                      └──▶ While: undecided ─┐
//!       └───────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use crate::context::ContextCore;
use crate::events::SoftEvent;
use crate::stream::{StreamCore, body};
use crate::task::Task;
use crate::values::Cell;
use std::any::Any;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use tessera_device::{ConditionKind, Conditional, DeviceError, Graph, GraphNode, Operation};

/// Nodes that are made at a time.
const PIECE: usize = 32;

/// A graph of the software GPU.
pub(crate) struct SoftGraph {
    /// Of its context.
    context: u64,
    operations: Vec<Operation>,
    edges: Vec<Vec<u32>>,
    /// Nodes that no other waits for.
    ends: Vec<u32>,
    /// Key of the end of the last launch. Used under the scheduler's lock.
    pub(crate) tail: AtomicU64,
}

/// A node of one launch.
pub(crate) struct Part {
    pub(crate) task: Arc<Task>,
    /// It waits for this event's newest record.
    pub(crate) wait: Option<Arc<SoftEvent>>,
}

fn refused(node: usize, source: DeviceError) -> DeviceError {
    DeviceError::InvalidNode {
        node: u32::try_from(node).unwrap_or(u32::MAX),
        source: Box::new(source),
    }
}

/// A graph of this context.
pub(crate) fn own_graph(graph: Arc<dyn Graph>, context: &ContextCore) -> Result<Arc<SoftGraph>, DeviceError> {
    let foreign = || DeviceError::InvalidValue("a graph of another context".to_owned());
    let graph: Arc<SoftGraph> = graph.as_any().downcast().map_err(|_| foreign())?;
    if graph.context == context.id {
        Ok(graph)
    } else {
        Err(foreign())
    }
}

impl SoftGraph {
    pub(crate) fn new(context: &Arc<ContextCore>, nodes: Vec<GraphNode>) -> Result<Self, DeviceError> {
        let mut graph = Self {
            context: context.id,
            operations: Vec::with_capacity(nodes.len()),
            edges: Vec::with_capacity(nodes.len()),
            ends: Vec::new(),
            tail: AtomicU64::new(0),
        };
        // Where each node of the caller came to lie: the node that is over last.
        let mut places = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.into_iter().enumerate() {
            let after = node.after.iter().map(|&before| {
                let later = || {
                    DeviceError::InvalidValue(format!("it waits for node {before}, which is not before it"))
                };
                places.get(before as usize).copied().ok_or_else(later)
            });
            let after = after
                .collect::<Result<Vec<u32>, _>>()
                .map_err(|error| refused(index, error))?;
            let place = match node.operation {
                Operation::Graph(inner) => {
                    let inner = own_graph(inner, context).map_err(|error| refused(index, error))?;
                    graph.lay_out(&inner, &after)
                }
                operation => {
                    body(context, operation.clone()).map_err(|error| refused(index, error))?;
                    graph.push(operation, after)
                }
            };
            places.push(place);
        }
        let mut waited = vec![false; graph.operations.len()];
        for &before in graph.edges.iter().flatten() {
            waited[before as usize] = true;
        }
        graph.ends = (0u32..)
            .zip(&waited)
            .filter(|(_, waited)| !**waited)
            .map(|(end, _)| end)
            .collect();
        Ok(graph)
    }

    fn push(&mut self, operation: Operation, after: Vec<u32>) -> u32 {
        let place = u32::try_from(self.operations.len()).unwrap_or(u32::MAX);
        self.operations.push(operation);
        self.edges.push(after);
        place
    }

    /// Puts the nodes of another graph after the nodes `after`; the place of the node that is over when all of them are.
    fn lay_out(&mut self, inner: &Self, after: &[u32]) -> u32 {
        let first = u32::try_from(self.operations.len()).unwrap_or(u32::MAX);
        for (operation, edges) in inner.operations.iter().zip(&inner.edges) {
            let edges = if edges.is_empty() {
                after.to_vec()
            } else {
                edges.iter().map(|edge| first + edge).collect()
            };
            self.push(operation.clone(), edges);
        }
        let ends = inner.ends.iter().map(|end| first + end).collect::<Vec<_>>();
        let ends = if ends.is_empty() { after.to_vec() } else { ends };
        self.push(Operation::Marker, ends)
    }

    /// For each node, the nodes it waits for.
    pub(crate) fn edges(&self) -> &[Vec<u32>] {
        &self.edges
    }

    /// Nodes that no other waits for.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The nodes, a few at a time: as many as a launch makes before it lets executors have them.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let nodes = self.operations.len();
        (0..nodes)
            .step_by(PIECE)
            .map(move |start| start..(start + PIECE).min(nodes))
    }

    /// Tasks of one launch.
    pub(crate) fn parts(
        &self,
        stream: &Arc<StreamCore>,
        seq: u64,
        nodes: Range<usize>,
    ) -> Result<Vec<Part>, DeviceError> {
        let first = nodes.start;
        let part = |(index, operation): (usize, &Operation)| {
            let operation = match operation {
                Operation::RecordEvent { event, .. } => Operation::RecordEvent {
                    event: Arc::clone(event),
                    generation: seq,
                },
                other => other.clone(),
            };
            let (body, wait) =
                body(&stream.context, operation).map_err(|error| refused(first + index, error))?;
            let task = Arc::new(Task::part(Arc::clone(stream), seq, body));
            Ok(Part { task, wait })
        };
        self.operations[nodes].iter().enumerate().map(part).collect()
    }
}

impl Graph for SoftGraph {
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

enum State {
    Undecided,
    Chosen(Arc<SoftGraph>),
    Over,
}

/// A conditional node of one launch.
pub(crate) struct Condition {
    cell: Cell,
    kind: ConditionKind,
    bodies: Vec<Arc<SoftGraph>>,
    state: Mutex<State>,
}

impl Condition {
    pub(crate) fn new(context: &ContextCore, conditional: &Conditional) -> Result<Self, DeviceError> {
        let bodies = conditional
            .bodies
            .iter()
            .map(|body| own_graph(Arc::clone(body), context));
        let bodies = bodies.collect::<Result<Vec<_>, _>>()?;
        let fits = match conditional.kind {
            ConditionKind::If => (1..=2).contains(&bodies.len()),
            ConditionKind::While => bodies.len() == 1,
            ConditionKind::Switch => !bodies.is_empty(),
        };
        if !fits {
            let text = format!(
                "a conditional node {:?} with {} bodies",
                conditional.kind,
                bodies.len()
            );
            return Err(DeviceError::InvalidValue(text));
        }
        Ok(Self {
            cell: Cell::new(conditional.value, false)?,
            kind: conditional.kind,
            bodies,
            state: Mutex::new(State::Undecided),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the value and chooses. The caller has entered its slot.
    pub(crate) fn decide(&self, context: &ContextCore) {
        let Some(value) = self.cell.read(context, "value of a conditional node") else {
            return;
        };
        let index = match self.kind {
            ConditionKind::If => usize::from(value == 0),
            ConditionKind::While if value == 0 => usize::MAX,
            ConditionKind::While => 0,
            ConditionKind::Switch => usize::try_from(value).unwrap_or(usize::MAX),
        };
        *self.state() = match self.bodies.get(index) {
            Some(body) => State::Chosen(Arc::clone(body)),
            None => State::Over,
        };
    }

    pub(crate) fn is_decided(&self) -> bool {
        !matches!(*self.state(), State::Undecided)
    }

    /// Whether nothing is to be run any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(*self.state(), State::Over)
    }

    /// The graph that was chosen, once.
    pub(crate) fn take_chosen(&self) -> Option<Arc<SoftGraph>> {
        let mut state = self.state();
        let after = match self.kind {
            ConditionKind::While => State::Undecided,
            _ => State::Over,
        };
        match std::mem::replace(&mut *state, State::Over) {
            State::Chosen(body) => {
                *state = after;
                Some(body)
            }
            other => {
                *state = other;
                None
            }
        }
    }
}
