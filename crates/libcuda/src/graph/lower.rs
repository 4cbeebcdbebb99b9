//! Nodes as the messages that do their work in a stream.
//!
//! ```text
//!   device or pinned memory on both sides   CopyIn, CopyOut, CopyWithin or CopyArray
//!   pageable ──▶ device                     HostCall: rows into the bounce buffer ─▶ CopyIn from there
//!   device ──▶ pageable                     CopyOut to the bounce buffer ─▶ HostCall: rows out of it
//!   host ──▶ host                           HostCall
//! ```
//!
//! The worker cannot see pageable memory, and a graph reads it when it runs: so the guest copies it, in a host function. The steps of a
//! node follow each other.

use super::node::{HostWork, KernelWork, Work, area};
use super::params::CUDA_MEMSET_NODE_PARAMS;
use super::plan::WireGraph;
use crate::code::{Answer, Code};
use crate::context::Context;
use crate::copy::{self, Extent, Place, Side};
use crate::copy3d::{self, Slice};
use crate::hostfn::HostFunction;
use crate::memop;
use crate::memory;
use crate::memset;
use crate::ranges::Range;
use crate::state::{self, Driver};
use crate::types::CUDA_MEMCPY3D;
use std::sync::Arc;
use tessera_wire::messages::{
    CopyIn, CopyOut, CopyWithin, EventRecord, Fill, HostCall, Launch, Marker, StreamWaitEvent,
};
use tessera_wire::{Message, PLACE_PINNED};

/// Pinned memory of an executable graph's.
pub(crate) struct Bounce {
    address: u64,
    bytes: usize,
}

impl Drop for Bounce {
    fn drop(&mut self) {
        if let Ok(driver) = state::driver()
            && let Some(range) = driver.ranges.take(self.address, Range::is_host)
        {
            let _ = memory::free_host(driver, &range);
        }
    }
}

/// What a host function of a graph does.
#[derive(Clone)]
pub(crate) enum HostStep {
    Program(HostWork),
    Copy {
        to: Side,
        from: Side,
        extent: Extent,
        /// One of the sides, where that is not the program's memory.
        bounce: Option<Arc<Bounce>>,
    },
}

impl HostStep {
    /// For one launch.
    pub(crate) fn function(&self) -> HostFunction {
        match self {
            Self::Program(work) => HostFunction::program(work.function, work.data.address()),
            Self::Copy {
                to,
                from,
                extent,
                bounce,
            } => {
                let (to, from, extent, bounce) = (*to, *from, *extent, bounce.clone());
                HostFunction::work(move || {
                    copy::host_to_host(to, from, extent);
                    drop(bounce);
                })
            }
        }
    }
}

/// A node of the worker's.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) frame: Vec<u8>,
    pub(crate) host: Option<HostStep>,
    /// Graphs that the message names.
    pub(crate) bodies: Vec<Arc<WireGraph>>,
}

impl Step {
    pub(crate) fn new<M: Message>(message: &M, tail: &[u8]) -> Answer<Self> {
        let mut frame = Vec::new();
        tessera_wire::encode(message, 0, tail, &mut frame).map_err(|_| Code::INVALID_VALUE)?;
        Ok(Self {
            frame,
            host: None,
            bodies: Vec::new(),
        })
    }

    /// Nothing, for a place in the order.
    pub(crate) fn marker() -> Answer<Self> {
        Self::new(&Marker::default(), &[])
    }

    pub(crate) fn bounce(&self) -> Option<&Arc<Bounce>> {
        match &self.host {
            Some(HostStep::Copy { bounce, .. }) => bounce.as_ref(),
            _ => None,
        }
    }

    fn host(step: HostStep) -> Answer<Self> {
        Ok(Self {
            host: Some(step),
            ..Self::new(&HostCall::default(), &[])?
        })
    }
}

/// The steps of a node; conditional nodes and graphs inside the graph are the plan's.
/// `old`: the steps that these replace, whose bounce buffers are used again.
pub(crate) fn lower(driver: &Driver, context: &Context, work: &Work, old: &[Step]) -> Answer<Vec<Step>> {
    let one = |step: Answer<Step>| step.map(|step| vec![step]);
    match work {
        Work::Kernel(kernel) => one(launch(kernel)),
        Work::Memcpy(what) => memcpy(driver, context, what, old),
        Work::Memset(what) => one(fill(driver, what)),
        Work::Host(host) => one(Step::host(HostStep::Program(*host))),
        Work::Wait(event) => {
            let message = StreamWaitEvent {
                event: event.handle(),
                ..StreamWaitEvent::default()
            };
            one(Step::new(&message, &[]))
        }
        Work::Record(event) => {
            let message = EventRecord {
                event: event.handle(),
                ..EventRecord::default()
            };
            one(Step::new(&message, &[]))
        }
        Work::Values(list) => {
            let step = |operation: &memop::Operation| Step::new(&operation.message(0, 0), &[]);
            let mut steps = list.operations.iter().map(step).collect::<Answer<Vec<_>>>()?;
            if steps.is_empty() {
                steps.push(Step::marker()?);
            }
            Ok(steps)
        }
        Work::Empty | Work::Alloc(_) | Work::Free(_) => one(Step::marker()),
        Work::Child(_) | Work::Conditional(_) => Err(Code::NOT_SUPPORTED),
    }
}

fn launch(kernel: &KernelWork) -> Answer<Step> {
    kernel.function.core.check()?;
    let message = Launch {
        function: kernel.function.handle,
        grid: kernel.shape.grid,
        block: kernel.shape.block,
        shared_bytes: kernel.shape.shared_bytes,
        flags: tessera_wire::launch_flags(kernel.shape.cooperative, kernel.shape.cluster),
        ..Launch::default()
    };
    Step::new(&message, &kernel.block)
}

fn fill(driver: &Driver, what: &CUDA_MEMSET_NODE_PARAMS) -> Answer<Step> {
    let (pitch, _) = memset::check(driver, &area(what), what.element_bytes)?;
    let message = Fill {
        destination: what.destination,
        pitch,
        width: what.width as u64,
        height: what.height as u64,
        pattern: what.value,
        element_bytes: what.element_bytes,
        ..Fill::default()
    };
    Step::new(&message, &[])
}

/// A fill that sets 4 bytes.
pub(crate) fn assignment(address: u64, value: u32) -> CUDA_MEMSET_NODE_PARAMS {
    CUDA_MEMSET_NODE_PARAMS {
        destination: address,
        pitch: 4,
        value,
        element_bytes: 4,
        width: 1,
        height: 1,
    }
}

fn memcpy(driver: &Driver, context: &Context, what: &CUDA_MEMCPY3D, old: &[Step]) -> Answer<Vec<Step>> {
    let mut spare = old.iter().filter_map(Step::bounce);
    let extent = Extent {
        width: what.width,
        height: what.height,
    };
    let mut steps = Vec::new();
    for (to, from) in copy3d::Prepared::new(driver, what)?.slices {
        check_owner(context, to)?;
        check_owner(context, from)?;
        match (to, from) {
            (Slice::Memory(to), Slice::Memory(from))
                if to.place != Place::Device && from.place != Place::Device =>
            {
                if to.place == Place::Pinned && from.place == Place::Pinned {
                    steps.push(direct(Slice::Memory(to), Slice::Memory(from), extent)?);
                } else {
                    steps.push(on_host(to, from, extent, None)?);
                }
            }
            (to, Slice::Memory(from)) if from.place == Place::Pageable => {
                let (bounce, side) = bounce(driver, context, extent, spare.next())?;
                steps.push(on_host(side, from, extent, Some(bounce))?);
                steps.push(direct(to, Slice::Memory(side), extent)?);
            }
            (Slice::Memory(to), from) if to.place == Place::Pageable => {
                let (bounce, side) = bounce(driver, context, extent, spare.next())?;
                steps.push(direct(Slice::Memory(side), from, extent)?);
                steps.push(on_host(to, side, extent, Some(bounce))?);
            }
            (to, from) => steps.push(direct(to, from, extent)?),
        }
    }
    Ok(steps)
}

/// A context reaches its own memory only.
fn check_owner(context: &Context, side: Slice) -> Answer {
    match side {
        Slice::Memory(side) if side.context != 0 && side.context != context.core.handle => {
            Err(Code::NOT_SUPPORTED)
        }
        _ => Ok(()),
    }
}

fn bounce(
    driver: &Driver,
    context: &Context,
    extent: Extent,
    spare: Option<&Arc<Bounce>>,
) -> Answer<(Arc<Bounce>, Side)> {
    let bytes = extent.bytes()?;
    let bounce = match spare {
        Some(spare) if spare.bytes >= bytes => Arc::clone(spare),
        _ => Arc::new(Bounce {
            address: memory::allocate_host(driver, context, bytes, 0)?,
            bytes,
        }),
    };
    let side = Side {
        address: bounce.address,
        pitch: extent.width,
        place: Place::Pinned,
        context: 0,
        bar1: None,
    };
    Ok((bounce, side))
}

fn on_host(to: Side, from: Side, extent: Extent, bounce: Option<Arc<Bounce>>) -> Answer<Step> {
    Step::host(HostStep::Copy {
        to,
        from,
        extent,
        bounce,
    })
}

/// A copy without pageable memory.
fn direct(to: Slice, from: Slice, extent: Extent) -> Answer<Step> {
    let (to, from) = match (to, from) {
        (Slice::Memory(to), Slice::Memory(from)) => (to, from),
        (to, from) => {
            let message = copy3d::node(to, from, extent).ok_or(Code::INVALID_VALUE)?;
            return Step::new(&message, &[]);
        }
    };
    let (width, height) = (extent.width as u64, extent.height as u64);
    let (destination, destination_pitch) = (to.address, to.pitch as u64);
    let (source, source_pitch) = (from.address, from.pitch as u64);
    match (to.place, from.place) {
        (Place::Device, Place::Pinned) => {
            let message = CopyIn {
                destination,
                destination_pitch,
                source,
                source_pitch,
                width,
                height,
                place: PLACE_PINNED,
                ..CopyIn::default()
            };
            Step::new(&message, &[])
        }
        (Place::Pinned, Place::Device) => {
            let message = CopyOut {
                destination,
                destination_pitch,
                source,
                source_pitch,
                width,
                height,
                place: PLACE_PINNED,
                ..CopyOut::default()
            };
            Step::new(&message, &[])
        }
        _ => {
            let message = CopyWithin {
                destination,
                destination_pitch,
                source,
                source_pitch,
                width,
                height,
                ..CopyWithin::default()
            };
            Step::new(&message, &[])
        }
    }
}
