//! Copies between devices, and many copies by one call.

use crate::abi::{DevicePtr, Handle, In, Word, address, device_address};
use crate::copy3d::PeerParameters;
use crate::thread::{check_device, context, primary};
use crate::version::major;
use std::ffi::c_void;

/// The primary context of a device that exists.
fn of_device(device: i32) -> Result<Handle, crate::error::Error> {
    let driver = context()?;
    check_device(driver, device)?;
    primary(driver, device)
}

runtime_api! {
    /// Copies between devices.
    fn cudaMemcpyPeer(to: *mut c_void, to_device: i32, from: *const c_void, from_device: i32, bytes: usize) {
        let (to_context, from_context) = (of_device(to_device)?, of_device(from_device)?);
        context()?.cuMemcpyPeer(device_address(to), to_context, device_address(from), from_context, bytes)
    }

    /// Copies between devices in a stream.
    fn cudaMemcpyPeerAsync(to: *mut c_void, to_device: i32, from: *const c_void, from_device: i32, bytes: usize, stream: Handle) {
        let (to_context, from_context) = (of_device(to_device)?, of_device(from_device)?);
        context()?.cuMemcpyPeerAsync(device_address(to), to_context, device_address(from), from_context, bytes, stream)
    }
}

per_thread_api! {
    /// Copies a box between devices.
    fn cudaMemcpy3DPeer/cudaMemcpy3DPeer_ptds[default](what: In<PeerParameters>) {
        let copy = what.get()?.driver(of_device)?;
        let driver = context()?;
        if copy.is_empty() {
            return Ok(());
        }
        if default == crate::abi::DefaultStream::Legacy {
            return driver.cuMemcpy3DPeer(&copy);
        }
        let stream = default.stream(std::ptr::null_mut());
        driver.cuMemcpy3DPeerAsync(&copy, stream)?;
        driver.cuStreamSynchronize(stream)
    }

    /// Copies a box between devices in a stream.
    fn cudaMemcpy3DPeerAsync/cudaMemcpy3DPeerAsync_ptsz[default](what: In<PeerParameters>, stream: Handle) {
        let copy = what.get()?.driver(of_device)?;
        let driver = context()?;
        if copy.is_empty() { Ok(()) } else { driver.cuMemcpy3DPeerAsync(&copy, default.stream(stream)) }
    }

    /// Many copies; up to version 12 with a place for the number of the copy that is wrong.
    fn cudaMemcpyBatchAsync/cudaMemcpyBatchAsync_ptsz[default](
        to: *const DevicePtr, from: *const DevicePtr, bytes: *const usize, count: usize, attributes: *mut c_void,
        indices: *mut usize, attribute_count: usize, eighth: Word, ninth: Word,
    ) {
        let driver = context()?;
        if major() >= 13 {
            let stream = default.stream(address(eighth));
            return driver.cuMemcpyBatchAsync_v2(to, from, bytes, count, attributes, indices, attribute_count, stream);
        }
        let stream = default.stream(address(ninth));
        driver.cuMemcpyBatchAsync(to, from, bytes, count, attributes, indices, attribute_count, address(eighth), stream)
    }

    /// Many copies of boxes; up to version 12 with a place for the number of the copy that is wrong.
    fn cudaMemcpy3DBatchAsync/cudaMemcpy3DBatchAsync_ptsz[default](
        count: usize, list: *mut c_void, third: Word, fourth: Word, fifth: Word,
    ) {
        let driver = context()?;
        if major() >= 13 {
            return driver.cuMemcpy3DBatchAsync_v2(count, list, third as u64, default.stream(address(fourth)));
        }
        driver.cuMemcpy3DBatchAsync(count, list, address(third), fourth as u64, default.stream(address(fifth)))
    }

    /// A copy with attributes.
    fn cudaMemcpyWithAttributesAsync/cudaMemcpyWithAttributesAsync_ptsz[default](
        to: *mut c_void, from: *const c_void, bytes: usize, attributes: *mut c_void, stream: Handle,
    ) {
        let (to, from) = (device_address(to), device_address(from));
        context()?.cuMemcpyWithAttributesAsync(to, from, bytes, attributes, default.stream(stream))
    }

    /// A copy of a box with attributes.
    fn cudaMemcpy3DWithAttributesAsync/cudaMemcpy3DWithAttributesAsync_ptsz[default](what: *mut c_void, flags: u64, stream: Handle) {
        context()?.cuMemcpy3DWithAttributesAsync(what, flags, default.stream(stream))
    }
}
