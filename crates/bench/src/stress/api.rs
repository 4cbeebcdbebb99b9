//! The functions of the driver that the stress calls, loaded once.

use anyhow::{Context, Result};
use libloading::Library;
use std::ffi::{c_char, c_int, c_uint, c_void};

/// A handle of the driver's.
pub(super) type Handle = *mut c_void;
/// `CUresult`
pub(super) type Code = c_int;

macro_rules! api {
    ($( $name:ident = $symbol:literal ( $($type:ty),* ); )*) => {
        /// Functions by symbol, with the signatures of the public header.
        pub(super) struct Api {
            $( pub(super) $name: unsafe extern "C" fn($($type),*) -> Code, )*
            /// Keeps them loaded.
            _library: Library,
        }

        impl Api {
            /// Loads `libcuda.so.1`.
            pub(super) fn load() -> Result<Self> {
                // SAFETY: loading runs the library's initialisers, which is what every CUDA program does.
                let library = unsafe { Library::new("libcuda.so.1") }
                    .context("libcuda.so.1 is not on the library path; run inside `tessera run`")?;
                Ok(Self {
                    $(
                        // SAFETY: the signature is that of the public header for this symbol.
                        $name: *unsafe { library.get(concat!($symbol, "\0").as_bytes()) }
                            .context($symbol)?,
                    )*
                    _library: library,
                })
            }
        }
    };
}

api! {
    init = "cuInit"(c_uint);
    primary_retain = "cuDevicePrimaryCtxRetain"(*mut Handle, c_int);
    primary_release = "cuDevicePrimaryCtxRelease_v2"(c_int);
    context_create = "cuCtxCreate_v2"(*mut Handle, c_uint, c_int);
    context_destroy = "cuCtxDestroy_v2"(Handle);
    context_set = "cuCtxSetCurrent"(Handle);
    context_synchronize = "cuCtxSynchronize"();
    alloc = "cuMemAlloc_v2"(*mut u64, usize);
    free = "cuMemFree_v2"(u64);
    alloc_async = "cuMemAllocAsync"(*mut u64, usize, Handle);
    free_async = "cuMemFreeAsync"(u64, Handle);
    host_alloc = "cuMemHostAlloc"(*mut *mut c_void, usize, c_uint);
    host_free = "cuMemFreeHost"(*mut c_void);
    fill_words = "cuMemsetD32Async"(u64, c_uint, usize, Handle);
    fill_bytes = "cuMemsetD8Async"(u64, u8, usize, Handle);
    to_device = "cuMemcpyHtoD_v2"(u64, *const c_void, usize);
    to_host = "cuMemcpyDtoH_v2"(*mut c_void, u64, usize);
    to_device_async = "cuMemcpyHtoDAsync_v2"(u64, *const c_void, usize, Handle);
    to_host_async = "cuMemcpyDtoHAsync_v2"(*mut c_void, u64, usize, Handle);
    copy_async = "cuMemcpyDtoDAsync_v2"(u64, u64, usize, Handle);
    stream_create = "cuStreamCreate"(*mut Handle, c_uint);
    stream_destroy = "cuStreamDestroy_v2"(Handle);
    stream_synchronize = "cuStreamSynchronize"(Handle);
    stream_query = "cuStreamQuery"(Handle);
    stream_wait = "cuStreamWaitEvent"(Handle, Handle, c_uint);
    event_create = "cuEventCreate"(*mut Handle, c_uint);
    event_destroy = "cuEventDestroy_v2"(Handle);
    event_record = "cuEventRecord"(Handle, Handle);
    event_query = "cuEventQuery"(Handle);
    event_synchronize = "cuEventSynchronize"(Handle);
    module_load = "cuModuleLoadData"(*mut Handle, *const c_void);
    module_unload = "cuModuleUnload"(Handle);
    module_function = "cuModuleGetFunction"(*mut Handle, Handle, *const c_char);
    launch = "cuLaunchKernel"(
        Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void
    );
    host_function = "cuLaunchHostFunc"(Handle, unsafe extern "C" fn(*mut c_void), *mut c_void);
    capture_begin = "cuStreamBeginCapture_v2"(Handle, c_uint);
    capture_end = "cuStreamEndCapture"(Handle, *mut Handle);
    graph_instantiate = "cuGraphInstantiateWithFlags"(*mut Handle, Handle, u64);
    graph_launch = "cuGraphLaunch"(Handle, Handle);
    graph_destroy = "cuGraphDestroy"(Handle);
    exec_destroy = "cuGraphExecDestroy"(Handle);
}
