//! Work for streams: launches, copies, fills, markers.
//!
//! Every such message has a stream and a sequence number, and whatever becomes of it, the number completes in order: an operation
//! that is refused is replaced by a marker, and the stream's record says which number was refused and why.

use super::Guest;
use super::objects::Object;
use crate::memory::{host_range, inline_range};
use crate::refusal::{Refusal, chain, device_code};
use std::sync::Arc;
use tessera_channel::ChannelError;
use tessera_device::{DeviceError, Dim3, HostRange, Operation, Span2d};
use tessera_wire::messages::{CopyIn, CopyOut, CopyWithin, Fill, Launch};
use tessera_wire::{
    LAUNCH_COOPERATIVE, LAUNCH_FLAGS, Opcode, PLACE_PINNED, PLACE_STAGING, PLACE_TAIL, Request,
};

/// Bytes from the first of the first row to the last of the last; `None` where that overflows. 0 for an empty span.
fn extent(width: u64, height: u64, pitch: u64) -> Option<u64> {
    if width == 0 || height == 0 {
        return Some(0);
    }
    (height - 1).checked_mul(pitch)?.checked_add(width)
}

fn dim3(extents: [u32; 3]) -> Dim3 {
    let [x, y, z] = extents;
    Dim3 { x, y, z }
}

/// What a message asks of a stream.
pub(super) struct Work {
    pub(super) stream: u64,
    pub(super) seq: u64,
    pub(super) operation: Result<Operation, Refusal>,
}

/// A copy whose sides, address and pitch, both lie in the context's address space.
fn by_address(to: (u64, u64), from: (u64, u64), span: Span2d) -> Operation {
    Operation::Copy {
        destination: to.0,
        destination_pitch: to.1,
        source: from.0,
        source_pitch: from.1,
        span,
    }
}

impl Guest {
    /// Submits an operation, or a marker in place of one that is refused.
    pub(super) fn submit(
        &mut self,
        opcode: Opcode,
        handle: u64,
        seq: u64,
        operation: Result<Operation, Refusal>,
    ) -> Result<(), ChannelError> {
        let Some(object) = self.objects.stream_mut(handle) else {
            // A stream that could not be made has said so in its record already.
            return match self.objects.get(handle) {
                Some(Object::Failed { .. }) => Ok(()),
                _ => self.stray(opcode, "a stream that does not exist"),
            };
        };
        if seq <= object.last {
            return Err(ChannelError::Corrupt("sequence number does not rise"));
        }
        object.last = seq;
        let channel = &self.channel;
        if !self.queue.enter(self.vgpu.limits.queued, || channel.is_closed()) {
            return Err(ChannelError::Disconnected);
        }
        object.state.entered();
        let refused = match operation {
            Ok(operation) => match object.stream.submit(seq, operation) {
                Ok(()) => return Ok(()),
                Err(DeviceError::Poisoned(fault)) => {
                    object.state.context.poison(&fault);
                    object.state.taken_back();
                    return Ok(());
                }
                Err(error) => Refusal::new(device_code(&error), chain(&error)),
            },
            Err(refusal) => refusal,
        };
        tracing::debug!(session = self.info.id, ?opcode, seq, %refused, "operation is refused");
        object.state.record.refuse(seq, refused.code.number());
        if let Err(error) = object.stream.submit(seq, Operation::Marker) {
            object.state.taken_back();
            match error {
                DeviceError::Poisoned(fault) => object.state.context.poison(&fault),
                // Not even a marker: the stream is unusable, and whoever waits for it must not wait for ever.
                error => object.state.record.fault(device_code(&error).number()),
            }
        }
        Ok(())
    }

    fn launch_operation(&self, message: &Launch, tail: &[u8]) -> Result<Operation, Refusal> {
        let function = self.objects.function(message.function)?;
        let info = function.info();
        let bytes = usize::try_from(info.parameter_bytes).unwrap_or(usize::MAX);
        let Some(parameters) = tail.get(..bytes) else {
            return Err(Refusal::invalid(format!(
                "{} takes {bytes} bytes of parameters, {} given",
                info.name,
                tail.len()
            )));
        };
        if message.flags & !LAUNCH_FLAGS != 0 {
            return Err(Refusal::invalid(format!(
                "Flags {:#x} of a launch",
                message.flags
            )));
        }
        Ok(Operation::Launch(tessera_device::Launch {
            function: Arc::clone(function),
            grid: dim3(message.grid),
            block: dim3(message.block),
            dynamic_shared_bytes: message.shared_bytes,
            parameters: parameters.into(),
            cooperative: message.flags & LAUNCH_COOPERATIVE != 0,
            cluster: tessera_wire::launch_cluster(message.flags),
        }))
    }

    fn copy_in_operation(&self, message: &CopyIn, tail: &[u8]) -> Result<Operation, Refusal> {
        let bytes = self.checked_extent(message.width, message.height, message.source_pitch)?;
        if bytes == 0 {
            return Ok(Operation::Marker);
        }
        let span = Span2d {
            width: message.width,
            height: message.height,
        };
        let (to, from) = (
            (message.destination, message.destination_pitch),
            (message.source, message.source_pitch),
        );
        if self.is_registered(message.place, message.source, bytes) {
            return Ok(by_address(to, from, span));
        }
        let source = if message.place == PLACE_TAIL {
            self.inside(message.source, bytes, tail)?
        } else {
            self.host_side(message.place, message.source, bytes)?
        };
        Ok(Operation::CopyIn {
            destination: message.destination,
            destination_pitch: message.destination_pitch,
            source,
            source_pitch: message.source_pitch,
            span,
        })
    }

    /// Bytes that came with a message.
    pub(super) fn inside(&self, start: u64, bytes: u64, tail: &[u8]) -> Result<HostRange, Refusal> {
        let inside = usize::try_from(start)
            .ok()
            .zip(usize::try_from(bytes).ok())
            .and_then(|(start, bytes)| tail.get(start..start.checked_add(bytes)?));
        let Some(inside) = inside else {
            return Err(Refusal::invalid("Copy from outside the message"));
        };
        inline_range(inside, &self.budget, self.vgpu.limits.inline_bytes)
            .ok_or_else(|| Refusal::limit("bytes in queued copies", tail.len()))
    }

    fn copy_out_operation(&self, message: &CopyOut) -> Result<Operation, Refusal> {
        let bytes = self.checked_extent(message.width, message.height, message.destination_pitch)?;
        if bytes == 0 {
            return Ok(Operation::Marker);
        }
        let span = Span2d {
            width: message.width,
            height: message.height,
        };
        let (to, from) = (
            (message.destination, message.destination_pitch),
            (message.source, message.source_pitch),
        );
        if self.is_registered(message.place, message.destination, bytes) {
            return Ok(by_address(to, from, span));
        }
        Ok(Operation::CopyOut {
            destination: self.host_side(message.place, message.destination, bytes)?,
            destination_pitch: message.destination_pitch,
            source: message.source,
            source_pitch: message.source_pitch,
            span,
        })
    }

    /// Whether host memory that a message names is memory that was registered. Contexts have it at the guest's address, in one piece,
    /// which it need not be in the host arena.
    pub(super) fn is_registered(&self, place: u32, address: u64, bytes: u64) -> bool {
        place == PLACE_PINNED && self.host.is_registered(address, bytes)
    }

    pub(super) fn checked_extent(&self, width: u64, height: u64, pitch: u64) -> Result<u64, Refusal> {
        if height > 1 && pitch < width {
            return Err(Refusal::invalid(format!(
                "Rows of {width} bytes are {pitch} bytes apart"
            )));
        }
        extent(width, height, pitch).ok_or_else(|| Refusal::invalid("Extent of a copy overflows"))
    }

    /// Staging or pinned memory that a message names; checked to belong to the session.
    pub(super) fn host_side(&self, place: u32, position: u64, bytes: u64) -> Result<HostRange, Refusal> {
        let range = match place {
            PLACE_STAGING => self.channel.staging(position, bytes),
            PLACE_PINNED => self
                .host
                .offset_of(position, bytes)
                .and_then(|offset| self.channel.host(offset, bytes)),
            other => return Err(Refusal::invalid(format!("Unknown place of host memory: {other}"))),
        };
        range.map_or_else(
            || {
                Err(Refusal::invalid(format!(
                    "{bytes} bytes at {position:#x} are not in {}",
                    if place == PLACE_STAGING {
                        "the staging heap"
                    } else {
                        "pinned memory"
                    }
                )))
            },
            |range| Ok(host_range(&range)),
        )
    }

    fn copy_within_operation(message: &CopyWithin) -> Operation {
        let span = Span2d {
            width: message.width,
            height: message.height,
        };
        by_address(
            (message.destination, message.destination_pitch),
            (message.source, message.source_pitch),
            span,
        )
    }

    fn fill_operation(message: &Fill) -> Result<Operation, Refusal> {
        match message.element_bytes {
            1 | 2 | 4 => Ok(Operation::Fill(tessera_device::Fill {
                destination: message.destination,
                pattern: message.pattern,
                // One of three small numbers.
                element_bytes: u8::try_from(message.element_bytes).unwrap_or(4),
                width: message.width,
                height: message.height,
                pitch: message.pitch,
            })),
            other => Err(Refusal::invalid(format!("Fill with elements of {other} bytes"))),
        }
    }

    /// What a message asks of a stream, or does as a node of a graph; `None` where it is none of these.
    pub(super) fn work(&mut self, request: &Request<'_>) -> Option<Work> {
        let (stream, seq, operation) = match *request {
            Request::Launch(m, tail) => (m.stream, m.seq, self.launch_operation(&m, tail)),
            Request::CopyIn(m, tail) => (m.stream, m.seq, self.copy_in_operation(&m, tail)),
            Request::CopyOut(m) => (m.stream, m.seq, self.copy_out_operation(&m)),
            Request::CopyWithin(m) => (m.stream, m.seq, Ok(Self::copy_within_operation(&m))),
            Request::CopyArray(m, tail) => (m.stream, m.seq, self.copy_array_operation(&m, tail)),
            Request::Fill(m) => (m.stream, m.seq, Self::fill_operation(&m)),
            Request::EventRecord(m) => (m.stream, m.seq, self.record_operation(&m)),
            Request::StreamWaitEvent(m) => (m.stream, m.seq, self.wait_operation(&m)),
            Request::MemFreeAsync(m) => (m.stream, m.seq, Ok(Operation::Free { base: m.address })),
            Request::Marker(m) => (m.stream, m.seq, Ok(Operation::Marker)),
            Request::HostCall(m) => (m.stream, m.seq, Ok(Operation::HostCall)),
            Request::StreamValue(m) => (m.stream, m.seq, Self::value_operation(&m)),
            Request::GraphLaunch(m) => (m.stream, m.seq, self.graph_operation(m.graph)),
            Request::Conditional(m, tail) => (m.stream, m.seq, self.conditional_operation(&m, tail)),
            _ => return None,
        };
        Some(Work {
            stream,
            seq,
            operation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_are_checked() {
        assert_eq!(extent(10, 3, 16), Some(42));
        assert_eq!(extent(0, 3, 16), Some(0));
        assert_eq!(extent(10, 0, u64::MAX), Some(0));
        assert_eq!(extent(10, 1, u64::MAX), Some(10));
        assert_eq!(extent(10, 3, u64::MAX), None);
        assert_eq!(extent(u64::MAX, 2, 1), None);
    }
}
