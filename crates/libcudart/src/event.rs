//! Events.

use crate::abi::{Handle, Out};
use crate::error::Error;
use crate::thread::context;

runtime_api! {
    /// Creates an event.
    fn cudaEventCreate(event: Out<Handle>) {
        let event = event.required()?;
        context()?.cuEventCreate(event, 0)
    }

    /// The same with flags.
    fn cudaEventCreateWithFlags(event: Out<Handle>, flags: u32) {
        let event = event.required()?;
        context()?.cuEventCreate(event, flags)
    }

    /// Destroys an event.
    fn cudaEventDestroy(event: Handle) {
        context()?.cuEventDestroy_v2(event)
    }

    /// Whether what was recorded is done; `cudaErrorNotReady` where it is not.
    fn cudaEventQuery(event: Handle) {
        context()?.cuEventQuery(event)
    }

    /// Waits for what was recorded.
    fn cudaEventSynchronize(event: Handle) {
        context()?.cuEventSynchronize(event)
    }

    /// Milliseconds between two events.
    fn cudaEventElapsedTime(milliseconds: Out<f32>, start: Handle, end: Handle) {
        let milliseconds = milliseconds.required()?;
        context()?.cuEventElapsedTime_v2(milliseconds, start, end)
    }

    /// The name that headers of 12.8 and 12.9 give it.
    fn cudaEventElapsedTime_v2(milliseconds: Out<f32>, start: Handle, end: Handle) {
        let milliseconds = milliseconds.required()?;
        context()?.cuEventElapsedTime_v2(milliseconds, start, end)
    }
}

per_thread_api! {
    /// Records what a stream holds now.
    fn cudaEventRecord/cudaEventRecord_ptsz[default](event: Handle, stream: Handle) {
        context()?.cuEventRecord(event, default.stream(stream))
    }

    /// The same with flags.
    fn cudaEventRecordWithFlags/cudaEventRecordWithFlags_ptsz[default](event: Handle, stream: Handle, flags: u32) {
        if flags > 1 {
            return Err(Error::INVALID_VALUE);
        }
        if flags == 0 {
            return context()?.cuEventRecord(event, default.stream(stream));
        }
        context()?.cuEventRecordWithFlags(event, default.stream(stream), flags)
    }
}
