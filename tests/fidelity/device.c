/* Devices, and calls that find no current context. */
#include "fidelity.h"

STATE(devices) {
    int number = 0, major, minor;
    char text[64];
    size_t bytes;
    CUdevice device;
    CUuuid uuid;
    SET(cuInit(0));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetCount(NULL));
    FAILS(INVALID_VALUE, DOC, cuDeviceGet(NULL, 0));
    FAILS(INVALID_DEVICE, CP(test_get_error_name_and_string), cuDeviceGet(&device, -1));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGet(&device, 1000));
    FAILS(INVALID_VALUE, HIP(hipDeviceGetName), cuDeviceGetName(NULL, sizeof text, 0));
    FAILS(INVALID_DEVICE, HIP(hipDeviceGetName), cuDeviceGetName(text, sizeof text, -1));
    FAILS(INVALID_DEVICE, HIP(hipDeviceGetName), cuDeviceGetName(text, sizeof text, 1000));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetUuid(NULL, 0));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetUuid(&uuid, 1000));
    FAILS(INVALID_VALUE, HIP(hipDeviceTotalMem), cuDeviceTotalMem(NULL, 0));
    FAILS(INVALID_DEVICE, HIP(hipDeviceTotalMem), cuDeviceTotalMem(&bytes, -1));
    FAILS(INVALID_DEVICE, HIP(hipDeviceTotalMem), cuDeviceTotalMem(&bytes, 1000));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetAttribute(NULL, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetAttribute(&number, (CUdevice_attribute)0, 0));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetAttribute(&number, (CUdevice_attribute)-1, 0));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetAttribute(&number, (CUdevice_attribute)100000, 0));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_WARP_SIZE, -1));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 1000));
    WORKS(DOC, cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0));
    FAILS(INVALID_VALUE, DOC, cuDeviceComputeCapability(NULL, &minor, 0));
    FAILS(INVALID_VALUE, DOC, cuDeviceComputeCapability(&major, NULL, 0));
    FAILS(INVALID_DEVICE, DOC, cuDeviceComputeCapability(&major, &minor, -1));
    FAILS(INVALID_DEVICE, DOC, cuDeviceComputeCapability(&major, &minor, 1000));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetPCIBusId(NULL, sizeof text, 0));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetPCIBusId(text, 0, 0));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetPCIBusId(text, -1, 0));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetPCIBusId(text, sizeof text, -1));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetPCIBusId(text, sizeof text, 1000));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetByPCIBusId(NULL, "0000:00:00.0"));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetByPCIBusId(&device, NULL));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetByPCIBusId(&device, "0000:ff:1f.0"));
    FAILS(INVALID_DEVICE, DOC, cuDeviceCanAccessPeer(&number, 0, 1000));
    FAILS(INVALID_DEVICE, DOC, cuDeviceCanAccessPeer(&number, -1, 0));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetP2PAttribute(&number, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 0));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetP2PAttribute(&number, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 1000));
    FAILS(INVALID_VALUE, HIP(hipInit), cuInit(1));
}

STATE(primary_context) {
    CUcontext context, second, current;
    unsigned flags = 99;
    int active = 99;
    SET(cuInit(0));
    FAILS(INVALID_CONTEXT, DOC, cuDevicePrimaryCtxRelease(0));
    FAILS(INVALID_DEVICE, DOC, cuDevicePrimaryCtxRelease(1000));
    FAILS(INVALID_DEVICE, DOC, cuDevicePrimaryCtxRetain(&context, 1000));
    FAILS(INVALID_DEVICE, DOC, cuDevicePrimaryCtxRetain(&context, -1));
    FAILS(INVALID_VALUE, DOC, cuDevicePrimaryCtxRetain(NULL, 0));
    FAILS(INVALID_DEVICE, DOC, cuDevicePrimaryCtxReset(1000));
    FAILS(INVALID_DEVICE, DOC, cuDevicePrimaryCtxSetFlags(1000, 0));
    FAILS(INVALID_VALUE, DOC, cuDevicePrimaryCtxSetFlags(0, 0x10000));
    FAILS(INVALID_VALUE, DOC, cuDevicePrimaryCtxSetFlags(0, CU_CTX_SCHED_SPIN | CU_CTX_SCHED_YIELD));
    FAILS(INVALID_DEVICE, DOC, cuDevicePrimaryCtxGetState(1000, &flags, &active));
    WORKS(DOC, cuDevicePrimaryCtxGetState(0, &flags, &active));
    HOLDS(DOC, active == 0);
    WORKS(DOC, cuDevicePrimaryCtxSetFlags(0, CU_CTX_SCHED_BLOCKING_SYNC));
    WORKS(DOC, cuDevicePrimaryCtxGetState(0, &flags, &active));
    HOLDS(DOC, (flags & CU_CTX_SCHED_MASK) == CU_CTX_SCHED_BLOCKING_SYNC);
    WORKS(DOC, cuDevicePrimaryCtxReset(0));
    WORKS(DOC, cuDevicePrimaryCtxRetain(&context, 0));
    /* "Unlike cuCtxCreate() the newly retained context is not pushed onto the stack." */
    WORKS(DOC, cuCtxGetCurrent(&current));
    HOLDS(DOC, current == NULL);
    WORKS(DOC, cuDevicePrimaryCtxRetain(&second, 0));
    HOLDS(DOC, context == second);
    WORKS(DOC, cuDevicePrimaryCtxGetState(0, &flags, &active));
    HOLDS(DOC, active == 1);
    /* Since CUDA 11 also while it is active. */
    WORKS(DOC, cuDevicePrimaryCtxSetFlags(0, CU_CTX_SCHED_SPIN));
    WORKS(DOC, cuCtxSetCurrent(context));
    WORKS(DOC, cuCtxSynchronize());
    WORKS(DOC, cuDevicePrimaryCtxRelease(0));
    WORKS(DOC, cuCtxSynchronize());
    WORKS(DOC, cuDevicePrimaryCtxRelease(0));
    FAILS(INVALID_CONTEXT, DOC, cuDevicePrimaryCtxRelease(0));
    WORKS(DOC, cuDevicePrimaryCtxGetState(0, &flags, &active));
    HOLDS(DOC, active == 0);
    /* "... or is a primary context which has not yet been initialized" */
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuCtxSynchronize());
}

STATE(no_context) {
    CUcontext context;
    CUdevice device;
    CUdeviceptr p = 0;
    void *host;
    int number, other;
    unsigned flags;
    size_t bytes, total;
    CUstream stream;
    CUevent event;
    CUmodule module;
    CUarray array;
    CUfunc_cache cache;
    CUDA_ARRAY_DESCRIPTOR shape = {.Width = 1, .Format = CU_AD_FORMAT_SIGNED_INT8, .NumChannels = 1};
    SET(cuInit(0));
    WORKS(DOC, cuCtxGetCurrent(&context));
    HOLDS(DOC, context == NULL);
    WORKS(DOC, cuCtxSetCurrent(NULL));
    FAILS(INVALID_CONTEXT, DOC, cuCtxGetDevice(&device));
    FAILS(INVALID_CONTEXT, DOC, cuCtxGetFlags(&flags));
    FAILS(INVALID_CONTEXT, DOC, cuCtxSynchronize());
    FAILS(INVALID_CONTEXT, DOC, cuCtxPopCurrent(&context));
    FAILS(INVALID_CONTEXT, DOC, cuCtxPopCurrent(NULL));
    FAILS(INVALID_CONTEXT, DOC, cuCtxGetLimit(&bytes, CU_LIMIT_STACK_SIZE));
    FAILS(INVALID_CONTEXT, DOC, cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 1024));
    FAILS(INVALID_CONTEXT, DOC, cuCtxGetCacheConfig(&cache));
    FAILS(INVALID_CONTEXT, DOC, cuCtxSetCacheConfig(CU_FUNC_CACHE_PREFER_L1));
    FAILS(INVALID_CONTEXT, DOC, cuCtxGetStreamPriorityRange(&number, &other));
    FAILS(INVALID_CONTEXT, DOC, cuMemGetInfo(&bytes, &total));
    FAILS(INVALID_CONTEXT, DOC, cuMemAlloc(&p, 16));
    FAILS(INVALID_CONTEXT, DOC, cuMemAllocPitch(&p, &bytes, 16, 16, 4));
    FAILS(INVALID_CONTEXT, DOC, cuMemHostAlloc(&host, 16, 0));
    FAILS(INVALID_CONTEXT, DOC, cuMemAllocHost(&host, 16));
    FAILS(INVALID_CONTEXT, DOC, cuMemHostRegister(&p, sizeof p, 0));
    FAILS(INVALID_CONTEXT, DOC, cuMemAllocAsync(&p, 16, NULL));
    FAILS(INVALID_CONTEXT, CP(test_cuda_array), cuArrayCreate(&array, &shape));
    FAILS(INVALID_CONTEXT, DOC, cuStreamCreate(&stream, 0));
    FAILS(INVALID_CONTEXT, DOC, cuStreamCreateWithPriority(&stream, 0, 0));
    FAILS(INVALID_CONTEXT, DOC, cuStreamQuery(NULL));
    FAILS(INVALID_CONTEXT, DOC, cuStreamSynchronize(NULL));
    FAILS(INVALID_CONTEXT, DOC, cuStreamSynchronize(CU_STREAM_PER_THREAD));
    FAILS(INVALID_CONTEXT, DOC, cuEventCreate(&event, 0));
    FAILS(INVALID_CONTEXT, DOC, cuModuleLoadData(&module, PTX));
    FAILS(INVALID_CONTEXT, DOC, cuMemcpyDtoD(0x1000, 0x2000, 16));
    FAILS(INVALID_CONTEXT, DOC, cuMemsetD8(0x1000, 0, 16));
    FAILS(INVALID_CONTEXT, DOC, cuCtxEnablePeerAccess(NULL, 0));
    FAILS(INVALID_CONTEXT, DOC, cuProfilerStart());
    FAILS(INVALID_CONTEXT, DOC, cuProfilerStop());
    /* These need a device only. */
    CUlibrary library;
    CUkernel kernel;
    CUfunction function;
    WORKS(DOC, cuLibraryLoadData(&library, PTX, NULL, NULL, 0, NULL, NULL, 0));
    WORKS(DOC, cuLibraryGetKernel(&kernel, library, "nothing"));
    FAILS(INVALID_CONTEXT, DOC, cuKernelGetFunction(&function, kernel));
    FAILS(INVALID_CONTEXT, DOC, cuLibraryGetGlobal(&p, &bytes, library, "number"));
    WORKS(DOC, cuLibraryUnload(library));
}
