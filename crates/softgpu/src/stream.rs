//! Streams: from an [`Operation`] to a task in the scheduler.

use crate::context::ContextCore;
use crate::events::SoftEvent;
use crate::graph::{Condition, own_graph};
use crate::images;
use crate::kernel::Kernel;
use crate::task::{Body, Task};
use crate::transfer::{Side, Transfer};
use crate::values::{WaitValue, WriteValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use tessera_device::{DeviceError, Event, Graph, Operation, Stream, StreamOptions, StreamSink};

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What the tasks of a stream share.
pub(crate) struct StreamCore {
    pub(crate) id: u64,
    pub(crate) context: Arc<ContextCore>,
    /// Without the priority, which can change.
    pub(crate) options: StreamOptions,
    pub(crate) priority: AtomicI32,
    pub(crate) sink: Arc<dyn StreamSink>,
    /// Key of the last operation submitted. Used under the scheduler's lock.
    pub(crate) tail: AtomicU64,
}

/// A stream of the software GPU. Its queued tasks hold the core, so dropping this lets them finish.
pub(crate) struct SoftStream {
    core: Arc<StreamCore>,
    /// Newest number, to refuse one that does not rise.
    newest: AtomicU64,
}

impl SoftStream {
    pub(crate) fn new(context: Arc<ContextCore>, options: StreamOptions, sink: Arc<dyn StreamSink>) -> Self {
        Self {
            core: Arc::new(StreamCore {
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                context,
                options,
                priority: AtomicI32::new(options.priority),
                sink,
                tail: AtomicU64::new(0),
            }),
            newest: AtomicU64::new(0),
        }
    }

    fn rise(&self, seq: u64) -> Result<(), DeviceError> {
        let before = self.newest.fetch_max(seq, Ordering::Relaxed);
        if seq <= before {
            let text = format!("operation number {seq} does not rise after {before}");
            return Err(DeviceError::InvalidValue(text));
        }
        Ok(())
    }

    fn submit_graph(&self, seq: u64, graph: Arc<dyn Graph>) -> Result<(), DeviceError> {
        let graph = own_graph(graph, &self.core.context)?;
        self.rise(seq)?;
        let begin = Arc::new(Task::part(Arc::clone(&self.core), seq, Body::Nothing));
        let end = Arc::new(Task::new(Arc::clone(&self.core), seq, Body::Nothing));
        let shared = &self.core.context.shared;
        shared.scheduler.submit_graph(shared, &graph, &begin, &end);
        Ok(())
    }
}

/// What an operation comes to, and the event that it waits for.
pub(crate) fn body(
    context: &Arc<ContextCore>,
    operation: Operation,
) -> Result<(Body, Option<Arc<SoftEvent>>), DeviceError> {
    let transfer = |made: Option<Transfer>| made.map_or(Body::Nothing, Body::Transfer);
    let body = match operation {
        Operation::Launch(launch) => {
            let kernel = Kernel::new(context, &launch)?;
            if context.shared.skip_kernels {
                Body::Nothing
            } else {
                Body::Kernel(Box::new(kernel))
            }
        }
        Operation::BindImage { reference, view } => {
            transfer(images::binding(context, reference, view.as_ref())?)
        }
        Operation::Fill(fill) => transfer(Transfer::fill(&fill)?),
        Operation::RecordEvent { event, generation } => Body::Record {
            event: own_event(event)?,
            generation,
        },
        Operation::WaitEvent { event } => return Ok((Body::Nothing, Some(own_event(event)?))),
        Operation::Free { base } => match context.holdings.range_of(base) {
            Some((found, _)) if found == base => Body::Free(base),
            _ => return Err(DeviceError::NotFound(format!("allocation with base {base:#x}"))),
        },
        Operation::Marker => Body::Nothing,
        Operation::HostCall => Body::HostCall,
        Operation::WaitValue {
            address,
            value,
            wide,
            comparison,
        } => Body::Wait(WaitValue::new(address, value, wide, comparison)?),
        Operation::WriteValue { address, value, wide } => Body::Write(WriteValue::new(address, value, wide)?),
        Operation::Conditional(conditional) => {
            Body::Conditional(Box::new(Condition::new(context, &conditional)?))
        }
        other => transfer(copy(context, other)?),
    };
    Ok((body, None))
}

/// Copies between pieces of linear memory; others are [`array_copy`]'s.
fn copy(context: &ContextCore, operation: Operation) -> Result<Option<Transfer>, DeviceError> {
    match operation {
        Operation::CopyIn {
            destination,
            destination_pitch,
            source,
            source_pitch,
            span,
        } => Transfer::copy(
            (Side::Device(destination), destination_pitch),
            (Side::Host(source), source_pitch),
            span,
        ),
        Operation::CopyOut {
            destination,
            destination_pitch,
            source,
            source_pitch,
            span,
        } => Transfer::copy(
            (Side::Host(destination), destination_pitch),
            (Side::Device(source), source_pitch),
            span,
        ),
        Operation::Copy {
            destination,
            destination_pitch,
            source,
            source_pitch,
            span,
        } => Transfer::copy(
            (Side::Device(destination), destination_pitch),
            (Side::Device(source), source_pitch),
            span,
        ),
        other => array_copy(context, other),
    }
}

/// Copies with an array on a side.
fn array_copy(context: &ContextCore, operation: Operation) -> Result<Option<Transfer>, DeviceError> {
    match operation {
        Operation::ArrayIn {
            destination,
            source,
            source_pitch,
            span,
        } => Transfer::copy(
            images::side(context, &destination, span)?,
            (Side::Host(source), source_pitch),
            span,
        ),
        Operation::ArrayOut {
            destination,
            destination_pitch,
            source,
            span,
        } => Transfer::copy(
            (Side::Host(destination), destination_pitch),
            images::side(context, &source, span)?,
            span,
        ),
        Operation::ArrayFill {
            destination,
            source,
            source_pitch,
            span,
        } => Transfer::copy(
            images::side(context, &destination, span)?,
            (Side::Device(source), source_pitch),
            span,
        ),
        Operation::ArrayRead {
            destination,
            destination_pitch,
            source,
            span,
        } => Transfer::copy(
            (Side::Device(destination), destination_pitch),
            images::side(context, &source, span)?,
            span,
        ),
        Operation::ArrayCopy {
            destination,
            source,
            span,
        } => Transfer::copy(
            images::side(context, &destination, span)?,
            images::side(context, &source, span)?,
            span,
        ),
        _ => Err(DeviceError::NotSupported("this kind of operation".to_owned())),
    }
}

fn own_event(event: Arc<dyn Event>) -> Result<Arc<SoftEvent>, DeviceError> {
    event
        .as_any()
        .downcast()
        .map_err(|_| DeviceError::InvalidValue("an event of another device".to_owned()))
}

impl Stream for SoftStream {
    fn set_priority(&self, priority: i32) {
        self.core.priority.store(priority, Ordering::Relaxed);
    }

    fn submit(&self, seq: u64, operation: Operation) -> Result<(), DeviceError> {
        let operation = match operation {
            Operation::Graph(graph) => return self.submit_graph(seq, graph),
            Operation::Conditional(_) => {
                let text = "a conditional node is part of a graph".to_owned();
                return Err(DeviceError::InvalidValue(text));
            }
            operation => operation,
        };
        let (body, wait) = body(&self.core.context, operation)?;
        self.rise(seq)?;
        let task = Arc::new(Task::new(Arc::clone(&self.core), seq, body));
        let shared = &self.core.context.shared;
        shared.scheduler.submit(shared, &task, wait.as_deref());
        Ok(())
    }
}
