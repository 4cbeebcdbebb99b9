//! Managed memory: advice, prefetch, what is known of a range.

use crate::abi::{DevicePtr, Handle, Location, Word, address, device_address, low};
use crate::thread::context;
use crate::version::major;
use std::ffi::c_void;

/// A place that came by value in one register.
fn location(word: Word) -> Location {
    Location {
        kind: low(word),
        id: low(word >> 32),
    }
}

runtime_api! {
    /// Advice on a range: for a device up to version 12, for a place since 13.
    fn cudaMemAdvise(memory: *const c_void, bytes: usize, advice: i32, place: Word) {
        let (driver, memory) = (context()?, device_address(memory));
        if major() >= 13 {
            driver.cuMemAdvise_v2(memory, bytes, advice, location(place))
        } else {
            driver.cuMemAdvise(memory, bytes, advice, low(place))
        }
    }

    /// Advice on a range, for a place.
    fn cudaMemAdvise_v2(memory: *const c_void, bytes: usize, advice: i32, place: Location) {
        context()?.cuMemAdvise_v2(device_address(memory), bytes, advice, place)
    }

    /// Something that is known of a range.
    fn cudaMemRangeGetAttribute(value: *mut c_void, size: usize, attribute: i32, memory: *const c_void, bytes: usize) {
        context()?.cuMemRangeGetAttribute(value, size, attribute, device_address(memory), bytes)
    }

    /// Several of those.
    fn cudaMemRangeGetAttributes(
        values: *mut *mut c_void, sizes: *mut usize, attributes: *mut i32, count: usize, memory: *const c_void, bytes: usize,
    ) {
        context()?.cuMemRangeGetAttributes(values, sizes, attributes, count, device_address(memory), bytes)
    }

    /// Where the parts of a range are.
    fn cudaMemGetLocationInfo(memory: *mut c_void, bytes: usize, summary: usize, sampling: usize, locations: *mut Location) {
        context()?.cuMemGetLocationInfo(device_address(memory), bytes, summary, sampling, locations)
    }
}

per_thread_api! {
    /// Moves a range: to a device up to version 12, to a place since 13.
    fn cudaMemPrefetchAsync/cudaMemPrefetchAsync_ptsz[default](
        memory: *const c_void, bytes: usize, place: Word, fourth: Word, fifth: Word,
    ) {
        let (driver, memory) = (context()?, device_address(memory));
        if major() >= 13 {
            let stream: Handle = default.stream(address(fifth));
            driver.cuMemPrefetchAsync_v2(memory, bytes, location(place), low(fourth).cast_unsigned(), stream)
        } else {
            driver.cuMemPrefetchAsync(memory, bytes, low(place), default.stream(address(fourth)))
        }
    }

    /// Moves a range to a place.
    fn cudaMemPrefetchAsync_v2/cudaMemPrefetchAsync_v2_ptsz[default](
        memory: *const c_void, bytes: usize, place: Location, flags: u32, stream: Handle,
    ) {
        context()?.cuMemPrefetchAsync_v2(device_address(memory), bytes, place, flags, default.stream(stream))
    }

    /// Moves many ranges.
    fn cudaMemPrefetchBatchAsync/cudaMemPrefetchBatchAsync_ptsz[default](
        memory: *const DevicePtr, bytes: *const usize, count: usize, locations: *const Location, firsts: *const usize,
        location_count: usize, flags: u64, stream: Handle,
    ) {
        let stream = default.stream(stream);
        context()?.cuMemPrefetchBatchAsync(memory, bytes, count, locations, firsts, location_count, flags, stream)
    }

    /// Gives up what is in many ranges.
    fn cudaMemDiscardBatchAsync/cudaMemDiscardBatchAsync_ptsz[default](
        memory: *const DevicePtr, bytes: *const usize, count: usize, flags: u64, stream: Handle,
    ) {
        context()?.cuMemDiscardBatchAsync(memory, bytes, count, flags, default.stream(stream))
    }

    /// Both.
    fn cudaMemDiscardAndPrefetchBatchAsync/cudaMemDiscardAndPrefetchBatchAsync_ptsz[default](
        memory: *const DevicePtr, bytes: *const usize, count: usize, locations: *const Location, firsts: *const usize,
        location_count: usize, flags: u64, stream: Handle,
    ) {
        let stream = default.stream(stream);
        context()?.cuMemDiscardAndPrefetchBatchAsync(memory, bytes, count, locations, firsts, location_count, flags, stream)
    }
}
