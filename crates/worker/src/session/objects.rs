//! The objects of a session: one table for all kinds, so that a handle means one thing.
//!
//! A context owns its children (modules, streams, events), a module its functions; removing an owner removes them. An object
//! whose creation was posted and refused is kept as [`Object::Failed`] until it is destroyed, so that its completion record is
//! retired in the same order as any other.

use crate::refusal::Refusal;
use crate::sinks::{ContextState, EventState, PrintBuffer, StreamState};
use crate::vgpu::SessionInfo;
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tessera_channel::RecordWriter;
use tessera_device::{Array, Context, Event, Function, Graph, GraphNode, Module, Stream};
use tessera_wire::CudaCode;

/// Kinds of objects, for limits and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Context,
    Module,
    Function,
    Stream,
    Event,
    Array,
    Graph,
}

impl Kind {
    /// As said in messages, plural.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Context => "contexts",
            Self::Module => "modules",
            Self::Function => "functions",
            Self::Stream => "streams",
            Self::Event => "events",
            Self::Array => "arrays",
            Self::Graph => "graphs",
        }
    }
}

pub(crate) struct ContextObject {
    pub(crate) device: Arc<dyn Context>,
    pub(crate) state: Arc<ContextState>,
    pub(crate) printer: Arc<PrintBuffer>,
    pub(crate) stack_bytes: u64,
    /// Which slice of the arena.
    pub(crate) slice: usize,
    pub(crate) children: HashSet<u64, RandomState>,
}

pub(crate) struct ModuleObject {
    pub(crate) context: u64,
    pub(crate) module: Arc<dyn Module>,
    /// Bytes of its PTX.
    pub(crate) bytes: u64,
    pub(crate) functions: Vec<u64>,
}

pub(crate) struct StreamObject {
    pub(crate) context: u64,
    pub(crate) stream: Arc<dyn Stream>,
    pub(crate) state: Arc<StreamState>,
    /// Sequence number of the last operation.
    pub(crate) last: u64,
}

pub(crate) struct EventObject {
    pub(crate) context: u64,
    pub(crate) event: Arc<dyn Event>,
    /// The device holds the sink too; kept here so that the record lives as long as the handle.
    /// Other sessions may have it too.
    pub(crate) shared: bool,
    /// Of one that is this session's alone.
    pub(crate) _state: Option<Arc<EventState>>,
}

pub(crate) struct ArrayObject {
    pub(crate) context: u64,
    pub(crate) array: Arc<dyn Array>,
}

/// A graph: its nodes as they were sent, and what the device made of them, unless a node has changed since.
pub(crate) struct GraphObject {
    pub(crate) context: u64,
    pub(crate) nodes: Vec<GraphNode>,
    /// Bytes of the messages that the nodes came with.
    pub(crate) bytes: Vec<u64>,
    pub(crate) sealed: Option<Arc<dyn Graph>>,
    /// The first node that was refused, and why.
    pub(crate) refused: Option<(u32, Refusal)>,
}

/// An object of whatever kind.
pub(crate) enum Object {
    Context(ContextObject),
    Module(ModuleObject),
    Function(Arc<dyn Function>),
    Stream(StreamObject),
    Event(EventObject),
    Array(ArrayObject),
    Graph(GraphObject),
    Failed {
        context: u64,
        kind: Kind,
        _record: Arc<RecordWriter>,
    },
}

impl Object {
    fn kind(&self) -> Kind {
        match self {
            Self::Context(_) => Kind::Context,
            Self::Module(_) => Kind::Module,
            Self::Function(_) => Kind::Function,
            Self::Stream(_) => Kind::Stream,
            Self::Event(_) => Kind::Event,
            Self::Array(_) => Kind::Array,
            Self::Graph(_) => Kind::Graph,
            Self::Failed { kind, .. } => *kind,
        }
    }

    fn module_bytes(&self) -> u64 {
        match self {
            Self::Module(module) => module.bytes,
            _ => 0,
        }
    }

    fn graph_bytes(&self) -> u64 {
        match self {
            Self::Graph(graph) => graph.bytes.iter().sum(),
            _ => 0,
        }
    }

    fn context(&self) -> Option<u64> {
        match self {
            Self::Module(module) => Some(module.context),
            Self::Stream(stream) => Some(stream.context),
            Self::Event(event) => Some(event.context),
            Self::Array(array) => Some(array.context),
            Self::Graph(graph) => Some(graph.context),
            Self::Failed { context, .. } => Some(*context),
            Self::Context(_) | Self::Function(_) => None,
        }
    }
}

pub(crate) struct Objects {
    table: HashMap<u64, Object, RandomState>,
    counts: [usize; 7],
    /// Bytes of PTX of all modules.
    module_bytes: u64,
    /// Bytes of the nodes of all graphs.
    graph_bytes: u64,
    /// Slices of the arena in use.
    slices: Vec<bool>,
}

impl Objects {
    pub(crate) fn new(contexts: usize) -> Self {
        Self {
            table: HashMap::default(),
            counts: [0; 7],
            module_bytes: 0,
            graph_bytes: 0,
            slices: vec![false; contexts],
        }
    }

    /// Whether a new object of this kind can have this handle.
    pub(crate) fn check_new(&self, handle: u64, kind: Kind, limit: usize) -> Result<(), Refusal> {
        if handle == 0 || self.table.contains_key(&handle) {
            return Err(Refusal::invalid(format!("The handle {handle:#x} is taken")));
        }
        if self.counts[kind as usize] >= limit {
            return Err(Refusal::limit(kind.plural(), limit));
        }
        Ok(())
    }

    /// How many objects of a kind there are.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize]
    }

    /// Enters an object whose handle was checked.
    pub(crate) fn insert(&mut self, handle: u64, object: Object) {
        self.counts[object.kind() as usize] += 1;
        self.module_bytes += object.module_bytes();
        if let Some(context) = object.context()
            && let Some(Object::Context(context)) = self.table.get_mut(&context)
        {
            context.children.insert(handle);
        }
        self.table.insert(handle, object);
    }

    fn take(&mut self, handle: u64) -> Option<Object> {
        let object = self.table.remove(&handle)?;
        self.counts[object.kind() as usize] -= 1;
        self.module_bytes -= object.module_bytes();
        self.graph_bytes -= object.graph_bytes();
        Some(object)
    }

    /// Removes an object of this kind with everything it owns; `None`: there is none.
    pub(crate) fn remove(&mut self, handle: u64, kind: Kind) -> Option<Object> {
        if self.table.get(&handle).map(Object::kind) != Some(kind) {
            return None;
        }
        let mut object = self.take(handle)?;
        if let Some(context) = object.context()
            && let Some(Object::Context(context)) = self.table.get_mut(&context)
        {
            context.children.remove(&handle);
        }
        self.remove_owned(&mut object);
        Some(object)
    }

    fn remove_owned(&mut self, object: &mut Object) {
        match object {
            Object::Context(context) => {
                if let Some(slice) = self.slices.get_mut(context.slice) {
                    *slice = false;
                }
                for child in std::mem::take(&mut context.children) {
                    if let Some(mut child) = self.take(child) {
                        self.remove_owned(&mut child);
                    }
                }
            }
            Object::Module(module) => {
                for function in std::mem::take(&mut module.functions) {
                    self.take(function);
                }
            }
            Object::Function(_)
            | Object::Stream(_)
            | Object::Event(_)
            | Object::Array(_)
            | Object::Graph(_)
            | Object::Failed { .. } => {}
        }
    }

    /// Bytes of PTX of all modules: what the compiled form in the worker's memory grows with.
    pub(crate) fn module_bytes(&self) -> u64 {
        self.module_bytes
    }

    pub(crate) fn context_mut(&mut self, handle: u64) -> Option<&mut ContextObject> {
        match self.table.get_mut(&handle) {
            Some(Object::Context(context)) => Some(context),
            _ => None,
        }
    }

    /// How many slices of the arena there are up to the last that is in use.
    pub(crate) fn slices_used(&self) -> usize {
        self.slices
            .iter()
            .rposition(|&taken| taken)
            .map_or(0, |last| last + 1)
    }

    /// Takes a free slice of the first `most` of the arena.
    pub(crate) fn take_slice(&mut self, most: usize) -> Option<usize> {
        let slice = self.slices.iter().take(most).position(|taken| !taken)?;
        self.slices[slice] = true;
        Some(slice)
    }

    /// Gives back a slice whose context was not made after all.
    pub(crate) fn give_slice(&mut self, slice: usize) {
        if let Some(taken) = self.slices.get_mut(slice) {
            *taken = false;
        }
    }

    pub(crate) fn context(&self, handle: u64) -> Result<&ContextObject, Refusal> {
        match self.table.get(&handle) {
            Some(Object::Context(context)) => Ok(context),
            _ => Err(Refusal::new(
                CudaCode::InvalidContext,
                format!("No context has the handle {handle:#x}"),
            )),
        }
    }

    pub(crate) fn module(&self, handle: u64) -> Result<&ModuleObject, Refusal> {
        match self.table.get(&handle) {
            Some(Object::Module(module)) => Ok(module),
            _ => Err(Refusal::handle("module", handle)),
        }
    }

    pub(crate) fn module_mut(&mut self, handle: u64) -> Option<&mut ModuleObject> {
        match self.table.get_mut(&handle) {
            Some(Object::Module(module)) => Some(module),
            _ => None,
        }
    }

    pub(crate) fn function(&self, handle: u64) -> Result<&Arc<dyn Function>, Refusal> {
        match self.table.get(&handle) {
            Some(Object::Function(function)) => Ok(function),
            _ => Err(Refusal::handle("function", handle)),
        }
    }

    pub(crate) fn event(&self, handle: u64) -> Result<&EventObject, Refusal> {
        match self.table.get(&handle) {
            Some(Object::Event(event)) => Ok(event),
            _ => Err(Refusal::handle("event", handle)),
        }
    }

    pub(crate) fn array(&self, handle: u64) -> Result<&ArrayObject, Refusal> {
        match self.table.get(&handle) {
            Some(Object::Array(array)) => Ok(array),
            _ => Err(Refusal::handle("array", handle)),
        }
    }

    pub(crate) fn graph_mut(&mut self, handle: u64) -> Result<&mut GraphObject, Refusal> {
        match self.table.get_mut(&handle) {
            Some(Object::Graph(graph)) => Ok(graph),
            _ => Err(Refusal::handle("graph", handle)),
        }
    }

    /// Bytes of the nodes of all graphs.
    pub(crate) fn graph_bytes(&self) -> u64 {
        self.graph_bytes
    }

    /// A node of `old` bytes was replaced by one of `new` bytes.
    pub(crate) fn charge_node(&mut self, old: u64, new: u64) {
        self.graph_bytes = self.graph_bytes - old + new;
    }

    pub(crate) fn get(&self, handle: u64) -> Option<&Object> {
        self.table.get(&handle)
    }

    pub(crate) fn stream_mut(&mut self, handle: u64) -> Option<&mut StreamObject> {
        match self.table.get_mut(&handle) {
            Some(Object::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    pub(crate) fn contexts(&self) -> impl Iterator<Item = (u64, &ContextObject)> {
        self.table.iter().filter_map(|(&handle, object)| match object {
            Object::Context(context) => Some((handle, context)),
            _ => None,
        })
    }

    /// Streams of a context, or of all.
    pub(crate) fn streams(&self, context: Option<u64>) -> impl Iterator<Item = &StreamObject> {
        self.table.values().filter_map(move |object| match object {
            Object::Stream(stream) if context.is_none_or(|context| stream.context == context) => Some(stream),
            _ => None,
        })
    }

    /// Keeps the figures of all contexts; the session is about to end.
    pub(crate) fn remember_counters(&self, info: &SessionInfo) {
        for (_, context) in self.contexts() {
            info.remember(context.device.counters());
        }
    }
}
