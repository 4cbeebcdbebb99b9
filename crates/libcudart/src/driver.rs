//! The driver API as this library uses it: `libcuda.so.1`, opened once.
//!
//! The library beside this one is preferred, since both come from one build; otherwise the loader searches as usual. A function that the
//! driver lacks answers `cudaErrorNotSupported`.

use crate::abi::{
    AttributeValue, DevicePtr, DriverKernelNode, DriverLaunchConfig, DriverLaunchParams, EdgeData, Handle,
    Location, Memcpy2d, Out,
};
use crate::array::ArrayShape;
use crate::copy3d::Memcpy3d;
use crate::error::Error;
use crate::graph::{InstantiateParameters, NodeParameters};
use crate::ipc::IpcHandle;
use crate::texture::{DriverResource, DriverTexture, DriverView};
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
    fn cuLaunchCooperativeKernelMultiDevice(list: *const DriverLaunchParams, devices: u32, flags: u32);
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
    fn cuGraphCreate(graph: Out<Handle>, flags: u32);
    fn cuGraphDestroy(graph: Handle);
    fn cuGraphDestroyNode(node: Handle);
    fn cuGraphAddKernelNode_v2(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, what: *const DriverKernelNode);
    fn cuGraphKernelNodeGetParams_v2(node: Handle, what: Out<DriverKernelNode>);
    fn cuGraphKernelNodeSetParams_v2(node: Handle, what: *const DriverKernelNode);
    fn cuGraphKernelNodeCopyAttributes(to: Handle, from: Handle);
    fn cuGraphKernelNodeGetAttribute(node: Handle, attribute: i32, value: Out<AttributeValue>);
    fn cuGraphKernelNodeSetAttribute(node: Handle, attribute: i32, value: *const AttributeValue);
    fn cuGraphAddMemcpyNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, what: *const Memcpy3d, context: Handle);
    fn cuGraphMemcpyNodeGetParams(node: Handle, what: Out<Memcpy3d>);
    fn cuGraphMemcpyNodeSetParams(node: Handle, what: *const Memcpy3d);
    fn cuGraphAddMemsetNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, what: *const c_void, context: Handle);
    fn cuGraphMemsetNodeGetParams(node: Handle, what: *mut c_void);
    fn cuGraphMemsetNodeSetParams(node: Handle, what: *const c_void);
    fn cuGraphAddHostNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, what: *const c_void);
    fn cuGraphHostNodeGetParams(node: Handle, what: *mut c_void);
    fn cuGraphHostNodeSetParams(node: Handle, what: *const c_void);
    fn cuGraphAddChildGraphNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, child: Handle);
    fn cuGraphChildGraphNodeGetGraph(node: Handle, graph: Out<Handle>);
    fn cuGraphAddEmptyNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize);
    fn cuGraphAddEventRecordNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, event: Handle);
    fn cuGraphEventRecordNodeGetEvent(node: Handle, event: Out<Handle>);
    fn cuGraphEventRecordNodeSetEvent(node: Handle, event: Handle);
    fn cuGraphAddEventWaitNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, event: Handle);
    fn cuGraphEventWaitNodeGetEvent(node: Handle, event: Out<Handle>);
    fn cuGraphEventWaitNodeSetEvent(node: Handle, event: Handle);
    fn cuGraphAddMemAllocNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, what: *mut c_void);
    fn cuGraphMemAllocNodeGetParams(node: Handle, what: *mut c_void);
    fn cuGraphAddMemFreeNode(node: Out<Handle>, graph: Handle, before: *const Handle, count: usize, memory: DevicePtr);
    fn cuGraphMemFreeNodeGetParams(node: Handle, memory: *mut c_void);
    fn cuDeviceGraphMemTrim(device: i32);
    fn cuDeviceGetGraphMemAttribute(device: i32, attribute: i32, value: *mut c_void);
    fn cuDeviceSetGraphMemAttribute(device: i32, attribute: i32, value: *mut c_void);
    fn cuGraphClone(clone: Out<Handle>, graph: Handle);
    fn cuGraphNodeFindInClone(node: Out<Handle>, original: Handle, clone: Handle);
    fn cuGraphNodeGetType(node: Handle, kind: Out<i32>);
    fn cuGraphNodeGetContainingGraph(node: Handle, graph: Out<Handle>);
    fn cuGraphNodeGetLocalId(node: Handle, id: Out<u32>);
    fn cuGraphNodeGetToolsId(node: Handle, id: Out<u64>);
    fn cuGraphGetId(graph: Handle, id: Out<u32>);
    fn cuGraphExecGetId(graph: Handle, id: Out<u32>);
    fn cuGraphGetNodes(graph: Handle, nodes: *mut Handle, count: Out<usize>);
    fn cuGraphGetRootNodes(graph: Handle, nodes: *mut Handle, count: Out<usize>);
    fn cuGraphGetEdges(graph: Handle, from: *mut Handle, to: *mut Handle, count: Out<usize>);
    fn cuGraphGetEdges_v2(graph: Handle, from: *mut Handle, to: *mut Handle, data: *mut EdgeData, count: Out<usize>);
    fn cuGraphNodeGetDependencies(node: Handle, nodes: *mut Handle, count: Out<usize>);
    fn cuGraphNodeGetDependencies_v2(node: Handle, nodes: *mut Handle, data: *mut EdgeData, count: Out<usize>);
    fn cuGraphNodeGetDependentNodes(node: Handle, nodes: *mut Handle, count: Out<usize>);
    fn cuGraphNodeGetDependentNodes_v2(node: Handle, nodes: *mut Handle, data: *mut EdgeData, count: Out<usize>);
    fn cuGraphAddDependencies_v2(graph: Handle, from: *const Handle, to: *const Handle, data: *const EdgeData, count: usize);
    fn cuGraphRemoveDependencies_v2(graph: Handle, from: *const Handle, to: *const Handle, data: *const EdgeData, count: usize);
    fn cuGraphAddNode_v2(node: Out<Handle>, graph: Handle, before: *const Handle, data: *const EdgeData, count: usize,
        what: Out<NodeParameters>);
    fn cuGraphNodeSetParams(node: Handle, what: Out<NodeParameters>);
    fn cuGraphNodeGetParams(node: Handle, what: Out<NodeParameters>);
    fn cuGraphExecNodeSetParams(exec: Handle, node: Handle, what: Out<NodeParameters>);
    fn cuGraphInstantiateWithFlags(exec: Out<Handle>, graph: Handle, flags: u64);
    fn cuGraphInstantiateWithParams(exec: Out<Handle>, graph: Handle, what: *mut InstantiateParameters);
    fn cuGraphInstantiate_v2(exec: Out<Handle>, graph: Handle, error: *mut Handle, log: *mut c_char, bytes: usize);
    fn cuGraphExecGetFlags(exec: Handle, flags: Out<u64>);
    fn cuGraphUpload(exec: Handle, stream: Handle);
    fn cuGraphLaunch(exec: Handle, stream: Handle);
    fn cuGraphExecDestroy(exec: Handle);
    fn cuGraphExecKernelNodeSetParams_v2(exec: Handle, node: Handle, what: *const DriverKernelNode);
    fn cuGraphExecMemcpyNodeSetParams(exec: Handle, node: Handle, what: *const Memcpy3d, context: Handle);
    fn cuGraphExecMemsetNodeSetParams(exec: Handle, node: Handle, what: *const c_void, context: Handle);
    fn cuGraphExecHostNodeSetParams(exec: Handle, node: Handle, what: *const c_void);
    fn cuGraphExecChildGraphNodeSetParams(exec: Handle, node: Handle, child: Handle);
    fn cuGraphExecEventRecordNodeSetEvent(exec: Handle, node: Handle, event: Handle);
    fn cuGraphExecEventWaitNodeSetEvent(exec: Handle, node: Handle, event: Handle);
    fn cuGraphNodeSetEnabled(exec: Handle, node: Handle, enabled: u32);
    fn cuGraphNodeGetEnabled(exec: Handle, node: Handle, enabled: Out<u32>);
    fn cuGraphExecUpdate(exec: Handle, graph: Handle, error: *mut Handle, result: *mut i32);
    fn cuGraphExecUpdate_v2(exec: Handle, graph: Handle, result: *mut c_void);
    fn cuGraphDebugDotPrint(graph: Handle, path: *const c_char, flags: u32);
    fn cuGraphConditionalHandleCreate(handle: Out<u64>, graph: Handle, context: Handle, value: u32, flags: u32);
    fn cuUserObjectCreate(object: Out<Handle>, data: *mut c_void, destroy: *mut c_void, count: u32, flags: u32);
    fn cuUserObjectRetain(object: Handle, count: u32);
    fn cuUserObjectRelease(object: Handle, count: u32);
    fn cuGraphRetainUserObject(graph: Handle, object: Handle, count: u32, flags: u32);
    fn cuGraphReleaseUserObject(graph: Handle, object: Handle, count: u32);
    fn cuStreamBeginCapture_v2(stream: Handle, mode: i32);
    fn cuStreamBeginCaptureToGraph(stream: Handle, graph: Handle, before: *const Handle, data: *const EdgeData, count: usize, mode: i32);
    fn cuStreamEndCapture(stream: Handle, graph: Out<Handle>);
    fn cuStreamGetCaptureInfo_v2(stream: Handle, status: *mut i32, id: *mut u64, graph: *mut Handle, before: *mut *const Handle,
        count: *mut usize);
    fn cuStreamGetCaptureInfo_v3(stream: Handle, status: *mut i32, id: *mut u64, graph: *mut Handle, before: *mut *const Handle,
        data: *mut *const EdgeData, count: *mut usize);
    fn cuStreamUpdateCaptureDependencies_v2(stream: Handle, nodes: *mut Handle, data: *const EdgeData, count: usize, flags: u32);
    fn cuStreamCopyAttributes(to: Handle, from: Handle);
    fn cuStreamGetAttribute(stream: Handle, attribute: i32, value: Out<AttributeValue>);
    fn cuStreamSetAttribute(stream: Handle, attribute: i32, value: *const AttributeValue);
    fn cuStreamAttachMemAsync(stream: Handle, memory: DevicePtr, bytes: usize, flags: u32);
    fn cuStreamGetDevResource(stream: Handle, resource: *mut c_void, kind: i32);
    fn cuMemcpyPeer(to: DevicePtr, to_context: Handle, from: DevicePtr, from_context: Handle, bytes: usize);
    fn cuMemcpyPeerAsync(to: DevicePtr, to_context: Handle, from: DevicePtr, from_context: Handle, bytes: usize, stream: Handle);
    fn cuMemcpy3DPeer(copy: *const Memcpy3d);
    fn cuMemcpy3DPeerAsync(copy: *const Memcpy3d, stream: Handle);
    fn cuMemcpyBatchAsync(to: *const DevicePtr, from: *const DevicePtr, bytes: *const usize, count: usize, attributes: *mut c_void,
        indices: *mut usize, attribute_count: usize, failed: *mut usize, stream: Handle);
    fn cuMemcpyBatchAsync_v2(to: *const DevicePtr, from: *const DevicePtr, bytes: *const usize, count: usize, attributes: *mut c_void,
        indices: *mut usize, attribute_count: usize, stream: Handle);
    fn cuMemcpy3DBatchAsync(count: usize, list: *mut c_void, failed: *mut usize, flags: u64, stream: Handle);
    fn cuMemcpy3DBatchAsync_v2(count: usize, list: *mut c_void, flags: u64, stream: Handle);
    fn cuMemcpyWithAttributesAsync(to: DevicePtr, from: DevicePtr, bytes: usize, attributes: *mut c_void, stream: Handle);
    fn cuMemcpy3DWithAttributesAsync(what: *mut c_void, flags: u64, stream: Handle);
    fn cuMemAdvise(memory: DevicePtr, bytes: usize, advice: i32, device: i32);
    fn cuMemAdvise_v2(memory: DevicePtr, bytes: usize, advice: i32, location: Location);
    fn cuMemPrefetchAsync(memory: DevicePtr, bytes: usize, device: i32, stream: Handle);
    fn cuMemPrefetchAsync_v2(memory: DevicePtr, bytes: usize, location: Location, flags: u32, stream: Handle);
    fn cuMemPrefetchBatchAsync(memory: *const DevicePtr, bytes: *const usize, count: usize, locations: *const Location,
        firsts: *const usize, location_count: usize, flags: u64, stream: Handle);
    fn cuMemDiscardBatchAsync(memory: *const DevicePtr, bytes: *const usize, count: usize, flags: u64, stream: Handle);
    fn cuMemDiscardAndPrefetchBatchAsync(memory: *const DevicePtr, bytes: *const usize, count: usize, locations: *const Location,
        firsts: *const usize, location_count: usize, flags: u64, stream: Handle);
    fn cuMemGetLocationInfo(memory: DevicePtr, bytes: usize, summary: usize, sampling: usize, locations: *mut Location);
    fn cuMemRangeGetAttribute(value: *mut c_void, size: usize, attribute: i32, memory: DevicePtr, bytes: usize);
    fn cuMemRangeGetAttributes(values: *mut *mut c_void, sizes: *mut usize, attributes: *mut i32, count: usize, memory: DevicePtr,
        bytes: usize);
    fn cuIpcGetMemHandle(handle: Out<IpcHandle>, memory: DevicePtr);
    fn cuIpcOpenMemHandle_v2(memory: Out<DevicePtr>, handle: IpcHandle, flags: u32);
    fn cuIpcCloseMemHandle(memory: DevicePtr);
    fn cuIpcGetEventHandle(handle: Out<IpcHandle>, event: Handle);
    fn cuIpcOpenEventHandle(event: Out<Handle>, handle: IpcHandle);
    fn cuMemPoolSetAccess(pool: Handle, list: *const c_void, count: usize);
    fn cuMemPoolGetAccess(access: Out<i32>, pool: Handle, location: *mut Location);
    fn cuMemPoolExportToShareableHandle(shareable: *mut c_void, pool: Handle, kind: i32, flags: u64);
    fn cuMemPoolImportFromShareableHandle(pool: Out<Handle>, shareable: *mut c_void, kind: i32, flags: u64);
    fn cuMemPoolExportPointer(data: *mut c_void, memory: DevicePtr);
    fn cuMemPoolImportPointer(memory: Out<DevicePtr>, pool: Handle, data: *mut c_void);
    fn cuMemGetDefaultMemPool(pool: Out<Handle>, location: *mut Location, kind: i32);
    fn cuMemGetMemPool(pool: Out<Handle>, location: *mut Location, kind: i32);
    fn cuMemSetMemPool(location: *mut Location, kind: i32, pool: Handle);
    fn cuDeviceGetHostAtomicCapabilities(list: *mut u32, operations: *const i32, count: u32, device: i32);
    fn cuDeviceGetP2PAtomicCapabilities(list: *mut u32, operations: *const i32, count: u32, device: i32, peer: i32);
    fn cuDeviceRegisterAsyncNotification(device: i32, callback: *mut c_void, data: *mut c_void, handle: Out<Handle>);
    fn cuDeviceUnregisterAsyncNotification(device: i32, handle: Handle);
    fn cuCtxGetSharedMemConfig(config: Out<i32>);
    fn cuCtxSetSharedMemConfig(config: i32);
    fn cuFuncSetSharedMemConfig(function: Handle, config: i32);
    fn cuGetExportTable(table: Out<*const c_void>, id: *const c_void);
    fn cuArrayGetMemoryRequirements(what: *mut c_void, array: Handle, device: i32);
    fn cuMipmappedArrayGetMemoryRequirements(what: *mut c_void, array: Handle, device: i32);
    fn cuArrayGetSparseProperties(what: *mut c_void, array: Handle);
    fn cuMipmappedArrayGetSparseProperties(what: *mut c_void, array: Handle);
    fn cuArrayGetPlane(plane: Out<Handle>, array: Handle, index: u32);
    fn cuTexObjectGetResourceViewDesc(view: Out<DriverView>, object: u64);
    fn cuLibraryGetUnifiedFunction(function: Out<*mut c_void>, library: Handle, name: *const c_char);
    fn cuLaunchHostFunc_v2(stream: Handle, function: *mut c_void, data: *mut c_void, mode: u32);
    fn cuLogsCurrent(position: *mut u32, flags: u32);
    fn cuLogsDumpToFile(position: *mut u32, path: *const c_char, flags: u32);
    fn cuLogsDumpToMemory(position: *mut u32, text: *mut c_char, bytes: *mut usize, flags: u32);
    fn cuLogsRegisterCallback(callback: *mut c_void, data: *mut c_void, handle: Out<Handle>);
    fn cuLogsUnregisterCallback(handle: Handle);
    fn cuDeviceGetDevResource(device: i32, resource: *mut c_void, kind: i32);
    fn cuDevSmResourceSplitByCount(result: *mut c_void, groups: *mut u32, input: *const c_void, rest: *mut c_void, flags: u32, least: u32);
    fn cuDevSmResourceSplit(result: *mut c_void, groups: u32, input: *const c_void, rest: *mut c_void, flags: u32, what: *mut c_void);
    fn cuDevResourceGenerateDesc(description: Out<Handle>, resources: *mut c_void, count: u32);
    fn cuGreenCtxCreate(context: Out<Handle>, description: Handle, device: i32, flags: u32);
    fn cuGreenCtxDestroy(context: Handle);
    fn cuGreenCtxStreamCreate(stream: Out<Handle>, context: Handle, flags: u32, priority: i32);
    fn cuCtxFromGreenCtx(context: Out<Handle>, green: Handle);
    fn cuCtxGetDevResource(context: Handle, resource: *mut c_void, kind: i32);
    fn cuCtxGetDevice_v2(device: Out<i32>, context: Handle);
    fn cuCtxGetId(context: Handle, id: Out<u64>);
    fn cuCtxRecordEvent(context: Handle, event: Handle);
    fn cuCtxWaitEvent(context: Handle, event: Handle);
    fn cuCtxSynchronize_v2(context: Handle);
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
