//! Streams and events.

use super::objects::{EventObject, Kind, Object, StreamObject};
use super::{Answer, Guest};
use crate::refusal::Refusal;
use crate::sinks::{EventState, StreamState, Untold};
use std::sync::Arc;
use tessera_channel::{ChannelError, RecordWriter};
use tessera_device::{Event, EventSink, Operation, StreamOptions, StreamSink};
use tessera_wire::messages::{
    EventCreate, EventExport, EventExportReply, EventImport, EventImportReply, EventReached,
    EventReachedReply, EventRecord, EventShared, StreamCreate, StreamHost, StreamPriority, StreamWaitEvent,
};
use tessera_wire::{CudaCode, Opcode, STREAM_LEGACY, STREAM_NON_BLOCKING};

impl Guest {
    pub(super) fn stream_create(&mut self, message: &StreamCreate) -> Result<(), ChannelError> {
        let record = Arc::new(self.channel.record(message.completion, message.token)?);
        match self.make_stream(message, &record) {
            Ok(stream) => self.objects.insert(message.stream, Object::Stream(stream)),
            Err(refusal) => self.failed(message.stream, message.context, Kind::Stream, record, &refusal),
        }
        Ok(())
    }

    fn make_stream(
        &self,
        message: &StreamCreate,
        record: &Arc<RecordWriter>,
    ) -> Result<StreamObject, Refusal> {
        self.objects
            .check_new(message.stream, Kind::Stream, self.vgpu.limits.streams)?;
        let context = self.objects.context(message.context)?;
        if message.flags & !(STREAM_NON_BLOCKING | STREAM_LEGACY) != 0 {
            return Err(Refusal::invalid(format!(
                "Flags {:#x} of a stream",
                message.flags
            )));
        }
        let state = Arc::new(StreamState::new(
            Arc::clone(record),
            Arc::clone(&context.state),
            Arc::clone(&self.queue),
        ));
        let options = StreamOptions {
            legacy: message.flags & STREAM_LEGACY != 0,
            non_blocking: message.flags & STREAM_NON_BLOCKING != 0,
            priority: message.priority,
        };
        let sink = Arc::clone(&state) as Arc<dyn StreamSink>;
        let stream = context.device.create_stream(options, sink)?;
        context.state.adopt(record);
        Ok(StreamObject {
            context: message.context,
            stream,
            state,
            last: 0,
        })
    }

    /// Keeps an object whose creation was posted and refused: whoever waits for it learns why.
    fn failed(
        &mut self,
        handle: u64,
        context: u64,
        kind: Kind,
        record: Arc<RecordWriter>,
        refusal: &Refusal,
    ) {
        tracing::warn!(session = self.info.id, ?kind, %refusal, "object is not made");
        record.fault(refusal.code.number());
        // A handle that is taken keeps its object; the record alone is then given up at once.
        if handle != 0 && self.objects.get(handle).is_none() {
            let object = Object::Failed {
                context,
                kind,
                _record: record,
            };
            self.objects.insert(handle, object);
        }
    }

    pub(super) fn stream_destroy(&mut self, handle: u64) -> Result<(), ChannelError> {
        match self.objects.remove(handle, Kind::Stream) {
            None => return self.stray(Opcode::StreamDestroy, "a stream that does not exist"),
            Some(Object::Stream(stream)) if !stream.state.is_idle() => self.host.outlive(&stream),
            Some(_) => {}
        }
        Ok(())
    }

    pub(super) fn stream_priority(&mut self, message: &StreamPriority) -> Result<(), ChannelError> {
        let Some(stream) = self.objects.stream_mut(message.stream) else {
            return match self.objects.get(message.stream) {
                Some(Object::Failed { .. }) => Ok(()),
                _ => self.stray(Opcode::StreamPriority, "a stream that does not exist"),
            };
        };
        stream.stream.set_priority(message.priority);
        Ok(())
    }

    pub(super) fn event_create(&mut self, message: &EventCreate) -> Result<(), ChannelError> {
        let record = Arc::new(self.channel.record(message.completion, message.token)?);
        match self.make_event(message, &record) {
            Ok(event) => self.objects.insert(message.event, Object::Event(event)),
            Err(refusal) => self.failed(message.event, message.context, Kind::Event, record, &refusal),
        }
        Ok(())
    }

    fn make_event(&self, message: &EventCreate, record: &Arc<RecordWriter>) -> Result<EventObject, Refusal> {
        self.objects
            .check_new(message.event, Kind::Event, self.vgpu.limits.events)?;
        let context = self.objects.context(message.context)?;
        let state = Arc::new(EventState {
            record: Arc::clone(record),
        });
        let sink = Arc::clone(&state) as Arc<dyn EventSink>;
        let event = context.device.create_event(sink);
        context.state.adopt(record);
        Ok(EventObject {
            context: message.context,
            event,
            shared: false,
            _state: Some(state),
        })
    }

    pub(super) fn event_shared(&mut self, message: &EventShared) -> Result<(), ChannelError> {
        let checked = self
            .objects
            .check_new(message.event, Kind::Event, self.vgpu.limits.events)
            .and_then(|()| self.objects.context(message.context));
        match checked {
            Ok(context) => {
                let event = context.device.create_event(Arc::new(Untold));
                self.insert_shared(message.context, message.event, event);
                Ok(())
            }
            Err(refusal) => {
                tracing::warn!(session = self.info.id, %refusal, "event is not made");
                self.stray(Opcode::EventShared, "an event that cannot be made")
            }
        }
    }

    fn insert_shared(&mut self, context: u64, handle: u64, event: Arc<dyn Event>) {
        let event = EventObject {
            context,
            event,
            shared: true,
            _state: None,
        };
        self.objects.insert(handle, Object::Event(event));
    }

    pub(super) fn event_export(&self, message: &EventExport) -> Answer<EventExport> {
        let object = self.objects.event(message.event)?;
        if !object.shared {
            let reason = "The event was not made for several processes";
            return Err(Refusal::new(CudaCode::InvalidHandle, reason));
        }
        let token = self.vgpu.export_event(&object.event)?;
        Ok((EventExportReply { token }, Vec::new()))
    }

    pub(super) fn event_import(&mut self, message: &EventImport) -> Answer<EventImport> {
        self.objects
            .check_new(message.event, Kind::Event, self.vgpu.limits.events)?;
        self.objects.context(message.context)?;
        let event = self.vgpu.import_event(&message.token).ok_or_else(|| {
            let reason = "No event of this vGPU has this token";
            Refusal::new(CudaCode::InvalidHandle, reason)
        })?;
        self.insert_shared(message.context, message.event, event);
        let events = self.objects.count(Kind::Event) as u64;
        Ok((EventImportReply { events }, Vec::new()))
    }

    pub(super) fn event_reached(&self, message: &EventReached) -> Answer<EventReached> {
        let object = self.objects.event(message.event)?;
        let context = self.objects.context(object.context)?;
        let reached = u64::from(context.device.is_reached(&object.event));
        Ok((EventReachedReply { reached }, Vec::new()))
    }

    pub(super) fn event_destroy(&mut self, handle: u64) -> Result<(), ChannelError> {
        if self.objects.remove(handle, Kind::Event).is_none() {
            return self.stray(Opcode::EventDestroy, "an event that does not exist");
        }
        Ok(())
    }

    pub(super) fn record_operation(&self, message: &EventRecord) -> Result<Operation, Refusal> {
        let event = Arc::clone(&self.objects.event(message.event)?.event);
        Ok(Operation::RecordEvent {
            event,
            generation: message.seq,
        })
    }

    pub(super) fn wait_operation(&self, message: &StreamWaitEvent) -> Result<Operation, Refusal> {
        let event = Arc::clone(&self.objects.event(message.event)?.event);
        Ok(Operation::WaitEvent { event })
    }

    /// Host functions of a stream are counted in a record from now on.
    pub(super) fn stream_host(&mut self, message: &StreamHost) -> Result<(), ChannelError> {
        let record = Arc::new(self.channel.record(message.completion, message.token)?);
        let Some(stream) = self.objects.stream_mut(message.stream) else {
            // One that could not be made has no host functions either: whoever waits for them learns of it.
            record.fault(CudaCode::InvalidHandle.number());
            return match self.objects.get(message.stream) {
                Some(Object::Failed { .. }) => Ok(()),
                _ => self.stray(Opcode::StreamHost, "a stream that does not exist"),
            };
        };
        stream.state.context.adopt(&record);
        stream.state.count_host_calls(record);
        self.callers.add(message.stream, &stream.state);
        Ok(())
    }
}
