//! Streams.

use crate::abi::{Handle, Out};
use crate::error::Error;
use crate::thread::context;
use std::ffi::c_void;

/// `cudaStreamNonBlocking`, the only flag there is.
const NON_BLOCKING: u32 = 1;

fn check_flags(flags: u32) -> Result<(), Error> {
    if flags & !NON_BLOCKING == 0 {
        Ok(())
    } else {
        Err(Error::INVALID_VALUE)
    }
}

runtime_api! {
    /// Creates a stream.
    fn cudaStreamCreate(stream: Out<Handle>) {
        let stream = stream.required()?;
        context()?.cuStreamCreate(stream, 0)
    }

    /// The same with flags.
    fn cudaStreamCreateWithFlags(stream: Out<Handle>, flags: u32) {
        let stream = stream.required()?;
        check_flags(flags)?;
        context()?.cuStreamCreate(stream, flags)
    }

    /// The same with a priority.
    fn cudaStreamCreateWithPriority(stream: Out<Handle>, flags: u32, priority: i32) {
        let stream = stream.required()?;
        check_flags(flags)?;
        context()?.cuStreamCreateWithPriority(stream, flags, priority)
    }

    /// Destroys a stream once its work is done.
    fn cudaStreamDestroy(stream: Handle) {
        context()?.cuStreamDestroy_v2(stream)
    }

    /// Exchanges what the thread may do while a stream captures.
    fn cudaThreadExchangeStreamCaptureMode(mode: Out<i32>) {
        let mode = mode.required()?;
        context()?.cuThreadExchangeStreamCaptureMode(mode)
    }
}

per_thread_api! {
    /// Waits for a stream.
    fn cudaStreamSynchronize/cudaStreamSynchronize_ptsz[default](stream: Handle) {
        context()?.cuStreamSynchronize(default.stream(stream))
    }

    /// Whether a stream is done; `cudaErrorNotReady` where it is not.
    fn cudaStreamQuery/cudaStreamQuery_ptsz[default](stream: Handle) {
        context()?.cuStreamQuery(default.stream(stream))
    }

    /// Lets a stream wait for an event.
    fn cudaStreamWaitEvent/cudaStreamWaitEvent_ptsz[default](stream: Handle, event: Handle, flags: u32) {
        context()?.cuStreamWaitEvent(default.stream(stream), event, flags)
    }

    /// Priority of a stream.
    fn cudaStreamGetPriority/cudaStreamGetPriority_ptsz[default](stream: Handle, priority: Out<i32>) {
        let priority = priority.required()?;
        context()?.cuStreamGetPriority(default.stream(stream), priority)
    }

    /// Flags of a stream.
    fn cudaStreamGetFlags/cudaStreamGetFlags_ptsz[default](stream: Handle, flags: Out<u32>) {
        let flags = flags.required()?;
        context()?.cuStreamGetFlags(default.stream(stream), flags)
    }

    /// A number that no other stream of the process has.
    fn cudaStreamGetId/cudaStreamGetId_ptsz[default](stream: Handle, id: Out<u64>) {
        let id = id.required()?;
        context()?.cuStreamGetId(default.stream(stream), id)
    }

    /// Device of a stream.
    fn cudaStreamGetDevice/cudaStreamGetDevice_ptsz[default](stream: Handle, device: Out<i32>) {
        let device = device.required()?;
        context()?.cuStreamGetDevice(default.stream(stream), device)
    }

    /// Calls a function of the program, with the stream's error, when the stream gets there.
    fn cudaStreamAddCallback/cudaStreamAddCallback_ptsz[default](
        stream: Handle, callback: *mut c_void, data: *mut c_void, flags: u32,
    ) {
        context()?.cuStreamAddCallback(default.stream(stream), callback, data, flags)
    }

    /// Whether a stream captures its work into a graph.
    fn cudaStreamIsCapturing/cudaStreamIsCapturing_ptsz[default](stream: Handle, status: Out<i32>) {
        let status = status.required()?;
        context()?.cuStreamIsCapturing(default.stream(stream), status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_flag_is_taken() {
        assert_eq!(check_flags(0), Ok(()));
        assert_eq!(check_flags(1), Ok(()));
        assert_eq!(check_flags(2), Err(Error::INVALID_VALUE));
    }
}
