//! Capture of a stream's work into a graph; attributes of streams.

use crate::abi::{EdgeData, Handle, In, Out, Word, address, device_address, low};
use crate::graph_node::{give_attribute, take_attribute};
use crate::thread::context;
use crate::version::major;
use std::ffi::c_void;

/// The flags' word as the driver takes it.
fn flags(word: Word) -> u32 {
    low(word).cast_unsigned()
}

per_thread_api! {
    /// Begins to capture.
    fn cudaStreamBeginCapture/cudaStreamBeginCapture_ptsz[default](stream: Handle, mode: i32) {
        context()?.cuStreamBeginCapture_v2(default.stream(stream), mode)
    }

    /// Begins to capture into a graph that is there.
    fn cudaStreamBeginCaptureToGraph/cudaStreamBeginCaptureToGraph_ptsz[default](
        stream: Handle, graph: Handle, before: *const Handle, data: *const EdgeData, count: usize, mode: i32,
    ) {
        context()?.cuStreamBeginCaptureToGraph(default.stream(stream), graph, before, data, count, mode)
    }

    /// Ends it and gives the graph.
    fn cudaStreamEndCapture/cudaStreamEndCapture_ptsz[default](stream: Handle, graph: Out<Handle>) {
        context()?.cuStreamEndCapture(default.stream(stream), graph)
    }

    /// State of a capture: of three arguments up to version 12, of seven since 13.
    fn cudaStreamGetCaptureInfo/cudaStreamGetCaptureInfo_ptsz[default](
        stream: Handle, status: *mut i32, id: *mut u64, graph: Word, before: Word, data: Word, count: Word,
    ) {
        let (driver, stream) = (context()?, default.stream(stream));
        if major() >= 13 {
            return driver.cuStreamGetCaptureInfo_v3(
                stream, status, id, address(graph), address(before), address(data), address(count),
            );
        }
        let none = std::ptr::null_mut();
        driver.cuStreamGetCaptureInfo_v2(stream, status, id, none, std::ptr::null_mut(), std::ptr::null_mut())
    }

    /// State of a capture and what it has come to.
    fn cudaStreamGetCaptureInfo_v2/cudaStreamGetCaptureInfo_v2_ptsz[default](
        stream: Handle, status: *mut i32, id: *mut u64, graph: *mut Handle, before: *mut *const Handle, count: *mut usize,
    ) {
        context()?.cuStreamGetCaptureInfo_v2(default.stream(stream), status, id, graph, before, count)
    }

    /// The same with what the edges say.
    fn cudaStreamGetCaptureInfo_v3/cudaStreamGetCaptureInfo_v3_ptsz[default](
        stream: Handle, status: *mut i32, id: *mut u64, graph: *mut Handle, before: *mut *const Handle,
        data: *mut *const EdgeData, count: *mut usize,
    ) {
        context()?.cuStreamGetCaptureInfo_v3(default.stream(stream), status, id, graph, before, data, count)
    }

    /// Sets what the next captured node waits for; in version 13 with what the edges say.
    fn cudaStreamUpdateCaptureDependencies/cudaStreamUpdateCaptureDependencies_ptsz[default](
        stream: Handle, nodes: *mut Handle, third: Word, fourth: Word, fifth: Word,
    ) {
        let (data, count, flags) = if major() >= 13 {
            (address(third), fourth, flags(fifth))
        } else {
            (std::ptr::null_mut(), third, flags(fourth))
        };
        context()?.cuStreamUpdateCaptureDependencies_v2(default.stream(stream), nodes, data, count, flags)
    }

    /// The same with what the edges say.
    fn cudaStreamUpdateCaptureDependencies_v2/cudaStreamUpdateCaptureDependencies_v2_ptsz[default](
        stream: Handle, nodes: *mut Handle, data: *const EdgeData, count: usize, flags: u32,
    ) {
        context()?.cuStreamUpdateCaptureDependencies_v2(default.stream(stream), nodes, data, count, flags)
    }

    /// Takes the attributes of one stream over to another.
    fn cudaStreamCopyAttributes/cudaStreamCopyAttributes_ptsz[default](to: Handle, from: Handle) {
        context()?.cuStreamCopyAttributes(default.stream(to), default.stream(from))
    }

    /// An attribute of a stream.
    fn cudaStreamGetAttribute/cudaStreamGetAttribute_ptsz[default](stream: Handle, attribute: i32, value: Out<u8>) {
        let value = value.required()?;
        let mut found = [0; 8];
        context()?.cuStreamGetAttribute(default.stream(stream), attribute, Out::local(&mut found))?;
        give_attribute(value, found)
    }

    /// Sets it.
    fn cudaStreamSetAttribute/cudaStreamSetAttribute_ptsz[default](stream: Handle, attribute: i32, value: In<u8>) {
        let value = take_attribute(value)?;
        context()?.cuStreamSetAttribute(default.stream(stream), attribute, &value)
    }

    /// Which stream managed memory belongs to.
    fn cudaStreamAttachMemAsync/cudaStreamAttachMemAsync_ptsz[default](stream: Handle, memory: *mut c_void, bytes: usize, flags: u32) {
        context()?.cuStreamAttachMemAsync(default.stream(stream), device_address(memory), bytes, flags)
    }

    /// What of the device a stream may use.
    fn cudaStreamGetDevResource/cudaStreamGetDevResource_ptsz[default](stream: Handle, resource: *mut c_void, kind: i32) {
        context()?.cuStreamGetDevResource(default.stream(stream), resource, kind)
    }

    /// Calls a function of the program when the stream gets there, and waits for it as the mode says.
    fn cudaLaunchHostFunc_v2/cudaLaunchHostFunc_v2_ptsz[default](stream: Handle, function: *mut c_void, data: *mut c_void, mode: u32) {
        context()?.cuLaunchHostFunc_v2(default.stream(stream), function, data, mode)
    }
}
