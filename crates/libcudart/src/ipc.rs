//! Memory and events of two processes; access to pools.

use crate::abi::{Handle, Location, Out, device_address, pointer};
use crate::thread::context;
use std::ffi::c_void;

/// `cudaIpcMemHandle_t` and `cudaIpcEventHandle_t`.
pub(crate) type IpcHandle = IpcBytes;

/// Their bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct IpcBytes([u8; 64]);

runtime_api! {
    /// Names an allocation for another process.
    fn cudaIpcGetMemHandle(handle: Out<IpcHandle>, memory: *mut c_void) {
        context()?.cuIpcGetMemHandle(handle, device_address(memory))
    }

    /// Opens it there.
    fn cudaIpcOpenMemHandle(place: Out<*mut c_void>, handle: IpcHandle, flags: u32) {
        let place = place.required()?;
        let mut address = 0;
        context()?.cuIpcOpenMemHandle_v2(Out::local(&mut address), handle, flags)?;
        place.set(pointer(address)?)
    }

    /// Closes it.
    fn cudaIpcCloseMemHandle(memory: *mut c_void) {
        context()?.cuIpcCloseMemHandle(device_address(memory))
    }

    /// Exports a pointer of a pool.
    fn cudaMemPoolExportPointer(data: *mut c_void, memory: *mut c_void) {
        context()?.cuMemPoolExportPointer(data, device_address(memory))
    }

    /// Imports it.
    fn cudaMemPoolImportPointer(place: Out<*mut c_void>, pool: Handle, data: *mut c_void) {
        let place = place.required()?;
        let mut address = 0;
        context()?.cuMemPoolImportPointer(Out::local(&mut address), pool, data)?;
        place.set(pointer(address)?)
    }

    /// Exports a pool.
    fn cudaMemPoolExportToShareableHandle(shareable: *mut c_void, pool: Handle, kind: i32, flags: u32) {
        context()?.cuMemPoolExportToShareableHandle(shareable, pool, kind, u64::from(flags))
    }

    /// Imports it.
    fn cudaMemPoolImportFromShareableHandle(pool: Out<Handle>, shareable: *mut c_void, kind: i32, flags: u32) {
        context()?.cuMemPoolImportFromShareableHandle(pool, shareable, kind, u64::from(flags))
    }
}

forward_api! {
    /// Names an event for another process.
    fn cudaIpcGetEventHandle(handle: Out<IpcHandle>, event: Handle) => cuIpcGetEventHandle;
    /// Opens it there.
    fn cudaIpcOpenEventHandle(event: Out<Handle>, handle: IpcHandle) => cuIpcOpenEventHandle;
    /// Which devices may use a pool's memory.
    fn cudaMemPoolSetAccess(pool: Handle, list: *const c_void, count: usize) => cuMemPoolSetAccess;
    /// Whether a device may.
    fn cudaMemPoolGetAccess(access: Out<i32>, pool: Handle, location: *mut Location) => cuMemPoolGetAccess;
    /// The pool that a place starts with.
    fn cudaMemGetDefaultMemPool(pool: Out<Handle>, location: *mut Location, kind: i32) => cuMemGetDefaultMemPool;
    /// The pool that a place takes memory from now.
    fn cudaMemGetMemPool(pool: Out<Handle>, location: *mut Location, kind: i32) => cuMemGetMemPool;
    /// Sets it.
    fn cudaMemSetMemPool(location: *mut Location, kind: i32, pool: Handle) => cuMemSetMemPool;
}
