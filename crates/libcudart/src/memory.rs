//! Memory: device allocations, pinned host memory, fills.

use crate::abi::{Handle, Out, device_address, pointer};
use crate::thread::context;
use std::ffi::c_void;

/// Element size for which the driver chooses a pitch that suits all types.
const PITCH_ELEMENT: u32 = 16;

/// The byte that fills memory; CUDA takes it as an `int` and uses its low eight bits.
fn fill_byte(value: i32) -> u8 {
    value.to_le_bytes()[0]
}

runtime_api! {
    /// Allocates device memory; nothing for zero bytes.
    fn cudaMalloc(place: Out<*mut c_void>, bytes: usize) {
        let place = place.required()?;
        let driver = context()?;
        if bytes == 0 {
            return place.set(std::ptr::null_mut());
        }
        let mut address = 0;
        driver.cuMemAlloc_v2(Out::local(&mut address), bytes)?;
        place.set(pointer(address)?)
    }

    /// Frees it; nothing to do for null.
    fn cudaFree(memory: *mut c_void) {
        let driver = context()?;
        if memory.is_null() { Ok(()) } else { driver.cuMemFree_v2(device_address(memory)) }
    }

    /// Allocates rows that start at suitable addresses.
    fn cudaMallocPitch(place: Out<*mut c_void>, pitch: Out<usize>, width: usize, height: usize) {
        let (place, pitch) = (place.required()?, pitch.required()?);
        let mut address = 0;
        context()?.cuMemAllocPitch_v2(Out::local(&mut address), pitch, width, height, PITCH_ELEMENT)?;
        place.set(pointer(address)?)
    }

    /// Allocates memory that host and device share, moved by the driver.
    fn cudaMallocManaged(place: Out<*mut c_void>, bytes: usize, flags: u32) {
        let place = place.required()?;
        let mut address = 0;
        context()?.cuMemAllocManaged(Out::local(&mut address), bytes, flags)?;
        place.set(pointer(address)?)
    }

    /// Allocates pinned host memory.
    fn cudaMallocHost(place: Out<*mut c_void>, bytes: usize) {
        let place = place.required()?;
        context()?.cuMemHostAlloc(place, bytes, 0)
    }

    /// The same with flags.
    fn cudaHostAlloc(place: Out<*mut c_void>, bytes: usize, flags: u32) {
        let place = place.required()?;
        context()?.cuMemHostAlloc(place, bytes, flags)
    }

    /// Frees pinned host memory; nothing to do for null.
    fn cudaFreeHost(memory: *mut c_void) {
        let driver = context()?;
        if memory.is_null() { Ok(()) } else { driver.cuMemFreeHost(memory) }
    }

    /// Pins memory of the program.
    fn cudaHostRegister(memory: *mut c_void, bytes: usize, flags: u32) {
        context()?.cuMemHostRegister_v2(memory, bytes, flags)
    }

    /// Takes that back.
    fn cudaHostUnregister(memory: *mut c_void) {
        context()?.cuMemHostUnregister(memory)
    }

    /// Where the device sees pinned host memory.
    fn cudaHostGetDevicePointer(place: Out<*mut c_void>, host: *mut c_void, flags: u32) {
        let place = place.required()?;
        let mut address = 0;
        context()?.cuMemHostGetDevicePointer_v2(Out::local(&mut address), host, flags)?;
        place.set(pointer(address)?)
    }

    /// Flags that pinned host memory was made with.
    fn cudaHostGetFlags(flags: Out<u32>, host: *mut c_void) {
        let flags = flags.required()?;
        context()?.cuMemHostGetFlags(flags, host)
    }

    /// Free and total device memory, bytes.
    fn cudaMemGetInfo(free: Out<usize>, total: Out<usize>) {
        let (free, total) = (free.required()?, total.required()?);
        context()?.cuMemGetInfo_v2(free, total)
    }
}

per_thread_api! {
    /// Fills device memory.
    fn cudaMemset/cudaMemset_ptds[default](memory: *mut c_void, value: i32, bytes: usize) {
        let driver = context()?;
        if default == crate::abi::DefaultStream::Legacy {
            return driver.cuMemsetD8_v2(device_address(memory), fill_byte(value), bytes);
        }
        let stream = default.stream(std::ptr::null_mut());
        driver.cuMemsetD8Async(device_address(memory), fill_byte(value), bytes, stream)
    }

    /// Fills device memory in a stream.
    fn cudaMemsetAsync/cudaMemsetAsync_ptsz[default](memory: *mut c_void, value: i32, bytes: usize, stream: Handle) {
        context()?.cuMemsetD8Async(device_address(memory), fill_byte(value), bytes, default.stream(stream))
    }

    /// Fills the left part of rows.
    fn cudaMemset2D/cudaMemset2D_ptds[default](memory: *mut c_void, pitch: usize, value: i32, width: usize, height: usize) {
        let driver = context()?;
        if default == crate::abi::DefaultStream::Legacy {
            return driver.cuMemsetD2D8_v2(device_address(memory), pitch, fill_byte(value), width, height);
        }
        let stream = default.stream(std::ptr::null_mut());
        driver.cuMemsetD2D8Async(device_address(memory), pitch, fill_byte(value), width, height, stream)
    }

    /// Fills the left part of rows in a stream.
    fn cudaMemset2DAsync/cudaMemset2DAsync_ptsz[default](
        memory: *mut c_void, pitch: usize, value: i32, width: usize, height: usize, stream: Handle,
    ) {
        context()?.cuMemsetD2D8Async(device_address(memory), pitch, fill_byte(value), width, height, default.stream(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_takes_the_low_byte() {
        assert_eq!(fill_byte(-1), 0xFF);
        assert_eq!(fill_byte(0x1234), 0x34);
    }
}
