//! The driver API as this library uses it: `libcuda.so.1`, opened once.
//!
//! The library beside this one is preferred, since both come from one build; otherwise the loader searches as usual. A function that the
//! driver lacks answers `cudaErrorNotSupported`.

use crate::abi::{DevicePtr, DriverLaunchConfig, Handle, Memcpy2d, Out};
use crate::array::ArrayShape;
use crate::copy3d::Memcpy3d;
use crate::error::Error;
use crate::texture::{DriverResource, DriverTexture};
use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

/// Declares the functions of the driver and how they are called.
macro_rules! driver_functions {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?);)*) => {
        /// Functions of the driver, by the names of their newest binary forms.
        pub(crate) struct Driver {
            $($name: Option<unsafe extern "C" fn($($type),*) -> i32>,)*
        }

        impl Driver {
            fn bind(library: Library) -> Self {
                Driver {
                    $($name: {
                        let address = library.symbol(concat!(stringify!($name), "\0"));
                        // SAFETY: the driver's function of this name has this signature by its public header; null becomes `None`.
                        unsafe { std::mem::transmute::<*mut c_void, Option<unsafe extern "C" fn($($type),*) -> i32>>(address) }
                    },)*
                }
            }

            $(
                #[allow(clippy::too_many_arguments)]
                pub(crate) fn $name(&self, $($argument: $type),*) -> Result<(), Error> {
                    let Some(function) = self.$name else { return Err(Error::NOT_SUPPORTED) };
                    // SAFETY: addresses are those of locals, or those that the program gave for the same purpose and that the
                    // contract of the runtime API makes valid for it; handles are checked by the driver.
                    Error::from_driver(unsafe { function($($argument),*) })
                }
            )*
        }
    };
}

driver_functions! {
    fn cuInit(flags: u32);
    fn cuDriverGetVersion(version: Out<i32>);
    fn cuGetErrorString(error: i32, text: Out<*const c_char>);
    fn cuGetProcAddress_v2(symbol: *const c_char, function: Out<*mut c_void>, version: i32, flags: u64, status: *mut i32);
    fn cuDeviceGetCount(count: Out<i32>);
    fn cuDeviceGet(device: Out<i32>, ordinal: i32);
    fn cuDeviceGetName(name: *mut c_char, length: i32, device: i32);
    fn cuDeviceGetUuid_v2(uuid: Out<[u8; 16]>, device: i32);
    fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: i32);
    fn cuDeviceGetAttribute(value: Out<i32>, attribute: i32, device: i32);
    fn cuDeviceGetPCIBusId(text: *mut c_char, length: i32, device: i32);
    fn cuDeviceGetByPCIBusId(device: Out<i32>, text: *const c_char);
    fn cuDeviceCanAccessPeer(can: Out<i32>, device: i32, peer: i32);
    fn cuDeviceGetP2PAttribute(value: Out<i32>, attribute: i32, source: i32, destination: i32);
    fn cuDeviceGetDefaultMemPool(pool: Out<Handle>, device: i32);
    fn cuDeviceGetMemPool(pool: Out<Handle>, device: i32);
    fn cuDeviceSetMemPool(device: i32, pool: Handle);
    fn cuDevicePrimaryCtxRetain(context: Out<Handle>, device: i32);
    fn cuDevicePrimaryCtxRelease_v2(device: i32);
    fn cuDevicePrimaryCtxReset_v2(device: i32);
    fn cuDevicePrimaryCtxSetFlags_v2(device: i32, flags: u32);
    fn cuDevicePrimaryCtxGetState(device: i32, flags: Out<u32>, active: Out<i32>);
    fn cuCtxGetCurrent(context: Out<Handle>);
    fn cuCtxSetCurrent(context: Handle);
    fn cuCtxGetDevice(device: Out<i32>);
    fn cuCtxSynchronize();
    fn cuCtxGetLimit(value: Out<usize>, limit: i32);
    fn cuCtxSetLimit(limit: i32, value: usize);
    fn cuCtxGetCacheConfig(config: Out<i32>);
    fn cuCtxSetCacheConfig(config: i32);
    fn cuCtxGetStreamPriorityRange(least: Out<i32>, greatest: Out<i32>);
    fn cuCtxResetPersistingL2Cache();
    fn cuCtxEnablePeerAccess(context: Handle, flags: u32);
    fn cuCtxDisablePeerAccess(context: Handle);
    fn cuLibraryLoadData(library: Out<Handle>, code: *const c_void, jit: *mut i32, jit_values: *mut *mut c_void, jit_count: u32,
        options: *mut i32, values: *mut *mut c_void, count: u32);
    fn cuLibraryLoadFromFile(library: Out<Handle>, path: *const c_char, jit: *mut i32, jit_values: *mut *mut c_void, jit_count: u32,
        options: *mut i32, values: *mut *mut c_void, count: u32);
    fn cuLibraryUnload(library: Handle);
    fn cuLibraryGetKernel(kernel: Out<Handle>, library: Handle, name: *const c_char);
    fn cuLibraryGetGlobal(address: Out<DevicePtr>, bytes: Out<usize>, library: Handle, name: *const c_char);
    fn cuLibraryGetManaged(address: Out<DevicePtr>, bytes: Out<usize>, library: Handle, name: *const c_char);
    fn cuLibraryGetKernelCount(count: Out<u32>, library: Handle);
    fn cuLibraryEnumerateKernels(kernels: Out<Handle>, count: u32, library: Handle);
    fn cuKernelGetFunction(function: Out<Handle>, kernel: Handle);
    fn cuKernelGetAttribute(value: Out<i32>, attribute: i32, kernel: Handle, device: i32);
    fn cuKernelSetAttribute(attribute: i32, value: i32, kernel: Handle, device: i32);
    fn cuKernelSetCacheConfig(kernel: Handle, config: i32, device: i32);
    fn cuKernelGetName(name: Out<*const c_char>, kernel: Handle);
    fn cuKernelGetParamInfo(kernel: Handle, index: usize, offset: Out<usize>, bytes: Out<usize>);
    fn cuLaunchKernel(function: Handle, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32, block_z: u32,
        shared_bytes: u32, stream: Handle, parameters: *mut *mut c_void, extra: *mut *mut c_void);
    fn cuLaunchKernelEx(config: *const DriverLaunchConfig, function: Handle, parameters: *mut *mut c_void, extra: *mut *mut c_void);
    fn cuLaunchCooperativeKernel(function: Handle, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32, block_z: u32,
        shared_bytes: u32, stream: Handle, parameters: *mut *mut c_void);
    fn cuLaunchHostFunc(stream: Handle, function: *mut c_void, data: *mut c_void);
    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks: Out<i32>, function: Handle, block_size: i32, shared_bytes: usize,
        flags: u32);
    fn cuOccupancyAvailableDynamicSMemPerBlock(bytes: Out<usize>, function: Handle, blocks: i32, block_size: i32);
    fn cuOccupancyMaxPotentialClusterSize(size: Out<i32>, function: Handle, config: *const DriverLaunchConfig);
    fn cuOccupancyMaxActiveClusters(clusters: Out<i32>, function: Handle, config: *const DriverLaunchConfig);
    fn cuMemAlloc_v2(address: Out<DevicePtr>, bytes: usize);
    fn cuMemAllocPitch_v2(address: Out<DevicePtr>, pitch: Out<usize>, width: usize, height: usize, element: u32);
    fn cuMemAllocManaged(address: Out<DevicePtr>, bytes: usize, flags: u32);
    fn cuMemFree_v2(address: DevicePtr);
    fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>);
    fn cuMemHostAlloc(address: Out<*mut c_void>, bytes: usize, flags: u32);
    fn cuMemFreeHost(address: *mut c_void);
    fn cuMemHostRegister_v2(address: *mut c_void, bytes: usize, flags: u32);
    fn cuMemHostUnregister(address: *mut c_void);
    fn cuMemHostGetDevicePointer_v2(device: Out<DevicePtr>, host: *mut c_void, flags: u32);
    fn cuMemHostGetFlags(flags: Out<u32>, host: *mut c_void);
    fn cuMemcpy(destination: DevicePtr, source: DevicePtr, bytes: usize);
    fn cuMemcpyAsync(destination: DevicePtr, source: DevicePtr, bytes: usize, stream: Handle);
    fn cuMemcpyHtoD_v2(destination: DevicePtr, source: *const c_void, bytes: usize);
    fn cuMemcpyDtoH_v2(destination: *mut c_void, source: DevicePtr, bytes: usize);
    fn cuMemcpyDtoD_v2(destination: DevicePtr, source: DevicePtr, bytes: usize);
    fn cuMemcpyHtoDAsync_v2(destination: DevicePtr, source: *const c_void, bytes: usize, stream: Handle);
    fn cuMemcpyDtoHAsync_v2(destination: *mut c_void, source: DevicePtr, bytes: usize, stream: Handle);
    fn cuMemcpyDtoDAsync_v2(destination: DevicePtr, source: DevicePtr, bytes: usize, stream: Handle);
    fn cuMemcpy2DUnaligned_v2(copy: *const Memcpy2d);
    fn cuMemcpy2DAsync_v2(copy: *const Memcpy2d, stream: Handle);
    fn cuMemcpy3D_v2(copy: *const Memcpy3d);
    fn cuMemcpy3DAsync_v2(copy: *const Memcpy3d, stream: Handle);
    fn cuArray3DCreate_v2(array: Out<Handle>, shape: *const ArrayShape);
    fn cuArray3DGetDescriptor_v2(shape: Out<ArrayShape>, array: Handle);
    fn cuArrayDestroy(array: Handle);
    fn cuMipmappedArrayCreate(array: Out<Handle>, shape: *const ArrayShape, levels: u32);
    fn cuMipmappedArrayGetLevel(level_array: Out<Handle>, array: Handle, level: u32);
    fn cuMipmappedArrayDestroy(array: Handle);
    fn cuTexObjectCreate(object: Out<u64>, resource: *const DriverResource, texture: *const DriverTexture, view: *const c_void);
    fn cuTexObjectDestroy(object: u64);
    fn cuTexObjectGetResourceDesc(resource: Out<DriverResource>, object: u64);
    fn cuTexObjectGetTextureDesc(texture: Out<DriverTexture>, object: u64);
    fn cuSurfObjectCreate(object: Out<u64>, resource: *const DriverResource);
    fn cuSurfObjectDestroy(object: u64);
    fn cuSurfObjectGetResourceDesc(resource: Out<DriverResource>, object: u64);
    fn cuDeviceGetTexture1DLinearMaxWidth(width: Out<usize>, format: u32, channels: u32, device: i32);
    fn cuMemsetD8_v2(address: DevicePtr, value: u8, bytes: usize);
    fn cuMemsetD8Async(address: DevicePtr, value: u8, bytes: usize, stream: Handle);
    fn cuMemsetD2D8_v2(address: DevicePtr, pitch: usize, value: u8, width: usize, height: usize);
    fn cuMemsetD2D8Async(address: DevicePtr, pitch: usize, value: u8, width: usize, height: usize, stream: Handle);
    fn cuMemAllocAsync(address: Out<DevicePtr>, bytes: usize, stream: Handle);
    fn cuMemAllocFromPoolAsync(address: Out<DevicePtr>, bytes: usize, pool: Handle, stream: Handle);
    fn cuMemFreeAsync(address: DevicePtr, stream: Handle);
    fn cuMemPoolTrimTo(pool: Handle, keep: usize);
    fn cuMemPoolSetAttribute(pool: Handle, attribute: i32, value: *mut c_void);
    fn cuMemPoolGetAttribute(pool: Handle, attribute: i32, value: *mut c_void);
    fn cuMemPoolCreate(pool: Out<Handle>, properties: *const c_void);
    fn cuMemPoolDestroy(pool: Handle);
    fn cuPointerGetAttribute(value: *mut c_void, attribute: i32, address: DevicePtr);
    fn cuStreamCreate(stream: Out<Handle>, flags: u32);
    fn cuStreamCreateWithPriority(stream: Out<Handle>, flags: u32, priority: i32);
    fn cuStreamDestroy_v2(stream: Handle);
    fn cuStreamSynchronize(stream: Handle);
    fn cuStreamQuery(stream: Handle);
    fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: u32);
    fn cuStreamGetPriority(stream: Handle, priority: Out<i32>);
    fn cuStreamGetFlags(stream: Handle, flags: Out<u32>);
    fn cuStreamGetId(stream: Handle, id: Out<u64>);
    fn cuStreamGetDevice(stream: Handle, device: Out<i32>);
    fn cuStreamAddCallback(stream: Handle, callback: *mut c_void, data: *mut c_void, flags: u32);
    fn cuStreamIsCapturing(stream: Handle, status: Out<i32>);
    fn cuThreadExchangeStreamCaptureMode(mode: Out<i32>);
    fn cuEventCreate(event: Out<Handle>, flags: u32);
    fn cuEventDestroy_v2(event: Handle);
    fn cuEventRecord(event: Handle, stream: Handle);
    fn cuEventRecordWithFlags(event: Handle, stream: Handle, flags: u32);
    fn cuEventQuery(event: Handle);
    fn cuEventSynchronize(event: Handle);
    fn cuEventElapsedTime_v2(milliseconds: Out<f32>, start: Handle, end: Handle);
    fn cuProfilerStart();
    fn cuProfilerStop();
}

/// A library that the loader opened and that stays open.
#[derive(Clone, Copy)]
struct Library(*mut c_void);

impl Library {
    fn open(path: &CStr) -> Option<Self> {
        // SAFETY: a NUL-terminated path; initialisers of the driver library run, as they would for any program that links it.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        (!handle.is_null()).then_some(Library(handle))
    }

    /// Address of a symbol, or null; `name` ends with NUL.
    fn symbol(self, name: &str) -> *mut c_void {
        debug_assert!(name.ends_with('\0'));
        // SAFETY: an open handle and a NUL-terminated name.
        unsafe { libc::dlsym(self.0, name.as_ptr().cast()) }
    }
}

/// The driver library in the directory of this library.
fn beside_us() -> Option<CString> {
    // SAFETY: all fields of `Dl_info` are addresses, for which zero is valid.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    let ours: fn() -> Option<CString> = beside_us;
    // SAFETY: the address of a function of this library, and a place for the answer.
    let found = unsafe { libc::dladdr(ours as *const c_void, &mut info) };
    if found == 0 || info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's own NUL-terminated name of this library, which lives as long as the library is loaded.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let path = Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()));
    let driver = path.canonicalize().ok()?.parent()?.join("libcuda.so.1");
    CString::new(driver.as_os_str().as_bytes()).ok()
}

/// The driver library, initialised or not; nothing where there is none.
pub(crate) fn opened() -> Option<&'static Driver> {
    static DRIVER: OnceLock<Option<Driver>> = OnceLock::new();
    let open = || {
        let library = beside_us()
            .and_then(|path| Library::open(&path))
            .or_else(|| Library::open(c"libcuda.so.1"))?;
        Some(Driver::bind(library))
    };
    DRIVER.get_or_init(open).as_ref()
}

/// The driver, initialised on the first call; later calls repeat the first result.
pub(crate) fn driver() -> Result<&'static Driver, Error> {
    static INITIALISED: OnceLock<Result<(), Error>> = OnceLock::new();
    let driver = opened().ok_or(Error::INSUFFICIENT_DRIVER)?;
    let initialise = || {
        driver.cuInit(0)?;
        let mut version = 0;
        driver.cuDriverGetVersion(Out::local(&mut version))?;
        if version / 1000 < crate::version::major() {
            Err(Error::INSUFFICIENT_DRIVER)
        } else {
            Ok(())
        }
    };
    INITIALISED.get_or_init(initialise).map(|()| driver)
}
