//! What is left: old names, settings that devices of today have no use for, notifications and logs.

use crate::abi::{Handle, In, Out};
use crate::error::Error;
use crate::function::function_of;
use crate::texture::DriverView;
use crate::thread::{check_device, context, device, set_first};
use std::ffi::{c_char, c_void};

runtime_api! {
    /// The old name of `cudaDeviceGetLimit`.
    fn cudaThreadGetLimit(value: Out<usize>, limit: i32) {
        context()?.cuCtxGetLimit(value, limit)
    }

    /// The old name of `cudaDeviceSetLimit`.
    fn cudaThreadSetLimit(limit: i32, value: usize) {
        context()?.cuCtxSetLimit(limit, value)
    }

    /// The old name of `cudaDeviceGetCacheConfig`.
    fn cudaThreadGetCacheConfig(config: Out<i32>) {
        context()?.cuCtxGetCacheConfig(config)
    }

    /// The old name of `cudaDeviceSetCacheConfig`.
    fn cudaThreadSetCacheConfig(config: i32) {
        context()?.cuCtxSetCacheConfig(config)
    }

    /// Rounds a number for devices without doubles. There are none.
    fn cudaSetDoubleForDevice(_number: *mut f64) {
        Ok(())
    }

    /// The way back.
    fn cudaSetDoubleForHost(_number: *mut f64) {
        Ok(())
    }

    /// Width of shared memory's banks for a kernel; a hint.
    fn cudaFuncSetSharedMemConfig(stub: *const c_void, config: i32) {
        let (driver, function) = function_of(stub)?;
        driver.cuFuncSetSharedMemConfig(function, config)
    }

    /// The driver's tables are not given.
    fn cudaGetExportTable(table: Out<*const c_void>, id: *const c_void) {
        crate::driver::driver()?.cuGetExportTable(table, id)
    }

    /// How a texture sees its array. Headers of version 12 have no reserved fields at its end.
    fn cudaGetTextureObjectResourceViewDesc(view: Out<DriverView>, object: u64) {
        let view = view.required()?;
        let mut found = DriverView::default();
        context()?.cuTexObjectGetResourceViewDesc(Out::local(&mut found), object)?;
        if crate::version::major() >= 13 { view.set(found) } else { view.of().set(found.first) }
    }

    /// A function of a library that host and device call alike.
    fn cudaLibraryGetUnifiedFunction(function: Out<*mut c_void>, library: Handle, name: In<c_char>) {
        let name = name.text().ok_or(Error::INVALID_VALUE)?;
        context()?.cuLibraryGetUnifiedFunction(function, library, name.as_ptr())
    }

    /// Which devices are tried for a thread that chooses none, in order: the first of them is always to be had. None stands for all.
    fn cudaSetValidDevices(list: In<i32>, count: i32) {
        let driver = crate::driver::driver()?;
        let count = usize::try_from(count).map_err(|_| Error::INVALID_VALUE)?;
        if count == 0 {
            set_first(0);
            return Ok(());
        }
        let first = list.get()?;
        for index in 0..count {
            check_device(driver, list.member::<i32>(index * size_of::<i32>()).get()?)?;
        }
        set_first(first);
        Ok(())
    }

    /// The device that suits best. All devices of a vGPU are of one board, so that it is the thread's.
    fn cudaChooseDevice(place: Out<i32>, wanted: *const c_void) {
        let place = place.required()?;
        if wanted.is_null() {
            return Err(Error::INVALID_VALUE);
        }
        place.set(device()?)
    }
}

forward_api! {
    /// Width of shared memory's banks.
    fn cudaDeviceGetSharedMemConfig(config: Out<i32>) => cuCtxGetSharedMemConfig;
    /// Sets it; a hint.
    fn cudaDeviceSetSharedMemConfig(config: i32) => cuCtxSetSharedMemConfig;
    /// Which atomic operations host and device do on each other's memory.
    fn cudaDeviceGetHostAtomicCapabilities(list: *mut u32, operations: *const i32, count: u32, device: i32) => cuDeviceGetHostAtomicCapabilities;
    /// Which two devices do.
    fn cudaDeviceGetP2PAtomicCapabilities(
        list: *mut u32, operations: *const i32, count: u32, device: i32, peer: i32,
    ) => cuDeviceGetP2PAtomicCapabilities;
    /// Asks to be told of events of a device.
    fn cudaDeviceRegisterAsyncNotification(device: i32, callback: *mut c_void, data: *mut c_void, handle: Out<Handle>) => cuDeviceRegisterAsyncNotification;
    /// Takes that back.
    fn cudaDeviceUnregisterAsyncNotification(device: i32, handle: Handle) => cuDeviceUnregisterAsyncNotification;
    /// Memory that a deferred array needs.
    fn cudaArrayGetMemoryRequirements(what: *mut c_void, array: Handle, device: i32) => cuArrayGetMemoryRequirements;
    /// The same for a mipmapped one.
    fn cudaMipmappedArrayGetMemoryRequirements(what: *mut c_void, array: Handle, device: i32) => cuMipmappedArrayGetMemoryRequirements;
    /// Tiles of a sparse array.
    fn cudaArrayGetSparseProperties(what: *mut c_void, array: Handle) => cuArrayGetSparseProperties;
    /// The same for a mipmapped one.
    fn cudaMipmappedArrayGetSparseProperties(what: *mut c_void, array: Handle) => cuMipmappedArrayGetSparseProperties;
    /// A plane of an array of planes.
    fn cudaArrayGetPlane(plane: Out<Handle>, array: Handle, index: u32) => cuArrayGetPlane;
    /// Where the log ends now.
    fn cudaLogsCurrent(position: *mut u32, flags: u32) => cuLogsCurrent;
    /// Writes the log to a file.
    fn cudaLogsDumpToFile(position: *mut u32, path: *const c_char, flags: u32) => cuLogsDumpToFile;
    /// Writes the log to memory.
    fn cudaLogsDumpToMemory(position: *mut u32, text: *mut c_char, bytes: *mut usize, flags: u32) => cuLogsDumpToMemory;
    /// Asks to be told of each line.
    fn cudaLogsRegisterCallback(callback: *mut c_void, data: *mut c_void, handle: Out<Handle>) => cuLogsRegisterCallback;
    /// Takes that back.
    fn cudaLogsUnregisterCallback(handle: Handle) => cuLogsUnregisterCallback;
}
