//! Memory in stream order, and its pools.

use crate::abi::{Handle, Out, device_address, pointer};
use crate::driver::driver;
use crate::error::Error;
use crate::thread::context;
use std::ffi::c_void;

runtime_api! {
    /// The pool that a device starts with.
    fn cudaDeviceGetDefaultMemPool(pool: Out<Handle>, device: i32) {
        let pool = pool.required()?;
        driver()?.cuDeviceGetDefaultMemPool(pool, device)
    }

    /// The pool that a device takes memory from now.
    fn cudaDeviceGetMemPool(pool: Out<Handle>, device: i32) {
        let pool = pool.required()?;
        driver()?.cuDeviceGetMemPool(pool, device)
    }

    /// Sets it.
    fn cudaDeviceSetMemPool(device: i32, pool: Handle) {
        driver()?.cuDeviceSetMemPool(device, pool)
    }

    /// Gives memory back that a pool holds unused.
    fn cudaMemPoolTrimTo(pool: Handle, keep: usize) {
        context()?.cuMemPoolTrimTo(pool, keep)
    }

    /// Sets an attribute of a pool; the numbers are the driver's.
    fn cudaMemPoolSetAttribute(pool: Handle, attribute: i32, value: *mut c_void) {
        if value.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        context()?.cuMemPoolSetAttribute(pool, attribute, value)
    }

    /// Reads it.
    fn cudaMemPoolGetAttribute(pool: Handle, attribute: i32, value: *mut c_void) {
        if value.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        context()?.cuMemPoolGetAttribute(pool, attribute, value)
    }

    /// Creates a pool; the properties are laid out as the driver's.
    fn cudaMemPoolCreate(pool: Out<Handle>, properties: *const c_void) {
        let pool = pool.required()?;
        if properties.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        context()?.cuMemPoolCreate(pool, properties)
    }

    /// Destroys a pool.
    fn cudaMemPoolDestroy(pool: Handle) {
        context()?.cuMemPoolDestroy(pool)
    }
}

per_thread_api! {
    /// Allocates in stream order.
    fn cudaMallocAsync/cudaMallocAsync_ptsz[default](place: Out<*mut c_void>, bytes: usize, stream: Handle) {
        let place = place.required()?;
        let mut address = 0;
        context()?.cuMemAllocAsync(Out::local(&mut address), bytes, default.stream(stream))?;
        place.set(pointer(address)?)
    }

    /// Allocates in stream order from a pool.
    fn cudaMallocFromPoolAsync/cudaMallocFromPoolAsync_ptsz[default](
        place: Out<*mut c_void>, bytes: usize, pool: Handle, stream: Handle,
    ) {
        let place = place.required()?;
        let mut address = 0;
        context()?.cuMemAllocFromPoolAsync(Out::local(&mut address), bytes, pool, default.stream(stream))?;
        place.set(pointer(address)?)
    }

    /// Frees in stream order.
    fn cudaFreeAsync/cudaFreeAsync_ptsz[default](memory: *mut c_void, stream: Handle) {
        let driver = context()?;
        if memory.is_null() {
            return Ok(());
        }
        driver.cuMemFreeAsync(device_address(memory), default.stream(stream))
    }
}
