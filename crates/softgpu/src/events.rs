//! Events: marks in a stream that other streams and the host can wait for.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tessera_device::{Event, EventSink};

/// An event of the software GPU.
pub(crate) struct SoftEvent {
    pub(crate) sink: Arc<dyn EventSink>,
    /// Key of the newest record submitted (see [`crate::scheduler`]), 0 before the first. Used under the scheduler's lock.
    pub(crate) newest: AtomicU64,
    /// Key of the record that was reached last.
    pub(crate) reached: AtomicU64,
}

impl SoftEvent {
    pub(crate) fn new(sink: Arc<dyn EventSink>) -> Self {
        Self {
            sink,
            newest: AtomicU64::new(0),
            reached: AtomicU64::new(0),
        }
    }
}

impl Event for SoftEvent {
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
