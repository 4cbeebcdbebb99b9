/* Resources of a device and green contexts, events by context, attributes of streams, memory of managed kind where there is none. */
#include "fidelity.h"

STATE(resources) {
    CUdevResource all, part[2], wrong = {0};
    CUdevResourceDesc description;
    CUgreenCtx green, none = NULL;
    CUcontext context, of;
    CUstream stream;
    CUevent event;
    unsigned groups = 1;
    unsigned long long id;
    context = with_context();
    SET(cuEventCreate(&event, 0));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetDevResource(0, NULL, CU_DEV_RESOURCE_TYPE_SM));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetDevResource(1000, &all, CU_DEV_RESOURCE_TYPE_SM));
    FAILS(INVALID_RESOURCE_TYPE, DOC, cuDeviceGetDevResource(0, &all, (CUdevResourceType)77));
    WORKS(DOC, cuDeviceGetDevResource(0, &all, CU_DEV_RESOURCE_TYPE_SM));
    HOLDS(DOC, all.type == CU_DEV_RESOURCE_TYPE_SM && all.sm.smCount > 0);
    FAILS(INVALID_VALUE, DOC, cuDevSmResourceSplitByCount(part, NULL, &all, NULL, 0, 8));
    FAILS(INVALID_VALUE, DOC, cuDevSmResourceSplitByCount(part, &groups, NULL, NULL, 0, 8));
    HOLDS(DOC, cuDevSmResourceSplitByCount(part, &groups, &wrong, NULL, 0, 8) != CUDA_SUCCESS);
    WORKS(DOC, cuDevSmResourceSplitByCount(part, &groups, &all, NULL, 0, 8));
    HOLDS(DOC, groups == 1 && part[0].sm.smCount >= 8);
    FAILS(INVALID_VALUE, DOC, cuDevResourceGenerateDesc(NULL, part, 1));
    FAILS(INVALID_VALUE, DOC, cuDevResourceGenerateDesc(&description, NULL, 1));
    HOLDS(DOC, cuDevResourceGenerateDesc(&description, &wrong, 1) != CUDA_SUCCESS);
    WORKS(DOC, cuDevResourceGenerateDesc(&description, part, 1));
    FAILS(INVALID_VALUE, DOC, cuGreenCtxCreate(NULL, description, 0, CU_GREEN_CTX_DEFAULT_STREAM));
    FAILS(INVALID_DEVICE, DOC, cuGreenCtxCreate(&green, description, 1000, CU_GREEN_CTX_DEFAULT_STREAM));
    FAILS(INVALID_VALUE, DOC, cuGreenCtxCreate(&green, description, 0, 0x100));
    WORKS(DOC, cuGreenCtxCreate(&green, description, 0, CU_GREEN_CTX_DEFAULT_STREAM));
    FAILS(INVALID_VALUE, DOC, cuCtxFromGreenCtx(NULL, green));
    FAILS(INVALID_VALUE, DOC, cuGreenCtxGetDevResource(green, NULL, CU_DEV_RESOURCE_TYPE_SM));
    FAILS(INVALID_RESOURCE_TYPE, DOC, cuGreenCtxGetDevResource(green, &all, (CUdevResourceType)77));
    WORKS(DOC, cuGreenCtxGetDevResource(green, &all, CU_DEV_RESOURCE_TYPE_SM));
    HOLDS(DOC, all.sm.smCount == part[0].sm.smCount);
    FAILS(INVALID_VALUE, DOC, cuGreenCtxGetId(green, NULL));
    WORKS(DOC, cuGreenCtxGetId(green, &id));
    WORKS(DOC, cuCtxFromGreenCtx(&of, green));
    HOLDS(DOC, of != context);
    FAILS(INVALID_VALUE, DOC, cuGreenCtxStreamCreate(NULL, green, CU_STREAM_NON_BLOCKING, 0));
    /* "This parameter is required": the flag. */
    FAILS(INVALID_VALUE, DOC, cuGreenCtxStreamCreate(&stream, green, 0, 0));
    WORKS(DOC, cuGreenCtxStreamCreate(&stream, green, CU_STREAM_NON_BLOCKING, 0));
    WORKS(DOC, cuStreamGetGreenCtx(stream, &none));
    HOLDS(DOC, none == green);
    FAILS(INVALID_VALUE, DOC, cuStreamGetGreenCtx(stream, NULL));
    WORKS(DOC, cuStreamDestroy(stream));
    WORKS(DOC, cuGreenCtxDestroy(green));
    HOLDS(DOC, cuGreenCtxDestroy(green) != CUDA_SUCCESS);
    HOLDS(DOC, cuGreenCtxDestroy(NULL) != CUDA_SUCCESS);
    FAILS(INVALID_VALUE, DOC, cuCtxGetDevResource(context, NULL, CU_DEV_RESOURCE_TYPE_SM));
    FAILS(INVALID_RESOURCE_TYPE, DOC, cuCtxGetDevResource(context, &all, (CUdevResourceType)77));
    FAILS(INVALID_CONTEXT, DOC, cuCtxGetDevResource(WILD(CUcontext), &all, CU_DEV_RESOURCE_TYPE_SM));
    WORKS(DOC, cuCtxGetDevResource(context, &all, CU_DEV_RESOURCE_TYPE_SM));
}

STATE(events_by_context) {
    CUcontext context = with_context(), gone;
    CUevent event;
    SET(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    SET(cuCtxCreate(&gone, NULL, 0, 0));
    SET(cuCtxDestroy(gone));
    FAILS(INVALID_CONTEXT, DOC, cuCtxRecordEvent(WILD(CUcontext), event));
    FAILS(INVALID_CONTEXT, DOC, cuCtxWaitEvent(WILD(CUcontext), event));
    FAILS(INVALID_HANDLE, DOC, cuCtxRecordEvent(context, NULL));
    FAILS(INVALID_HANDLE, DOC, cuCtxWaitEvent(context, NULL));
    FAILS(INVALID_HANDLE, DOC, cuCtxRecordEvent(context, WILD(CUevent)));
    FAILS(INVALID_HANDLE, DOC, cuCtxWaitEvent(context, WILD(CUevent)));
    HOLDS(DOC, cuCtxRecordEvent(gone, event) != CUDA_SUCCESS);
    WORKS(DOC, cuCtxRecordEvent(context, event));
    WORKS(DOC, cuCtxWaitEvent(context, event));
    WORKS(DOC, cuEventSynchronize(event));
}

STATE(attributes_of_streams) {
    CUstream stream, other;
    CUstreamAttrValue value = {0};
    with_context();
    SET(cuStreamCreate(&stream, 0));
    SET(cuStreamCreate(&other, 0));
    FAILS(INVALID_VALUE, DOC, cuStreamGetAttribute(stream, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, NULL));
    FAILS(INVALID_VALUE, DOC, cuStreamSetAttribute(stream, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, NULL));
    FAILS(INVALID_VALUE, DOC, cuStreamGetAttribute(stream, (CUstreamAttrID)1000, &value));
    FAILS(INVALID_VALUE, DOC, cuStreamSetAttribute(stream, (CUstreamAttrID)1000, &value));
    FAILS(INVALID_HANDLE, DOC, cuStreamGetAttribute(WILD(CUstream), CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    FAILS(INVALID_HANDLE, DOC, cuStreamSetAttribute(WILD(CUstream), CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    WORKS(DOC, cuStreamGetAttribute(stream, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    value.syncPolicy = (CUsynchronizationPolicy)77;
    FAILS(INVALID_VALUE, DOC, cuStreamSetAttribute(stream, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    value.syncPolicy = CU_SYNC_POLICY_SPIN;
    WORKS(DOC, cuStreamSetAttribute(stream, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    HOLDS(DOC, cuStreamCopyAttributes(WILD(CUstream), stream) != CUDA_SUCCESS);
    HOLDS(DOC, cuStreamCopyAttributes(stream, WILD(CUstream)) != CUDA_SUCCESS);
    WORKS(DOC, cuStreamCopyAttributes(other, stream));
    value.syncPolicy = CU_SYNC_POLICY_AUTO;
    WORKS(DOC, cuStreamGetAttribute(other, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    HOLDS(DOC, value.syncPolicy == CU_SYNC_POLICY_SPIN);
}

/* Of a vGPU without unified memory: "CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY" is 0, and what needs it is not supported. */
STATE(no_managed_memory) {
    CUdeviceptr p, q;
    CUmemLocation here = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0};
    CUstream stream;
    int has = 1;
    with_context();
    SET(cuMemAlloc(&q, 4096));
    SET(cuStreamCreate(&stream, 0));
    WORKS(DOC, cuDeviceGetAttribute(&has, CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 0));
    HOLDS(DOC, has == 0);
    FAILS(INVALID_VALUE, DOC, cuMemAllocManaged(NULL, 4096, CU_MEM_ATTACH_GLOBAL));
    FAILS(INVALID_VALUE, DOC, cuMemAllocManaged(&p, 0, CU_MEM_ATTACH_GLOBAL));
    FAILS(INVALID_VALUE, DOC, cuMemAllocManaged(&p, 4096, 77));
    FAILS(NOT_SUPPORTED, DOC, cuMemAllocManaged(&p, 4096, CU_MEM_ATTACH_GLOBAL));
    HOLDS(DOC, cuMemAdvise(q, 4096, CU_MEM_ADVISE_SET_READ_MOSTLY, here) != CUDA_SUCCESS);
    HOLDS(DOC, cuMemAdvise(0, 4096, CU_MEM_ADVISE_SET_READ_MOSTLY, here) != CUDA_SUCCESS);
    HOLDS(DOC, cuMemPrefetchAsync(q, 4096, here, 0, stream) != CUDA_SUCCESS);
    HOLDS(DOC, cuMemPrefetchAsync(q, 0, here, 0, stream) != CUDA_SUCCESS);
    HOLDS(DOC, cuMemRangeGetAttribute(&has, 4, CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, 0, 4096) != CUDA_SUCCESS);
    HOLDS(DOC, cuStreamAttachMemAsync(stream, q, 0, CU_MEM_ATTACH_GLOBAL) != CUDA_SUCCESS);
}

STATE(kernels_of_libraries) {
    CUlibrary library, of;
    CUkernel kernel, list[16];
    CUfunction function, functions[16];
    CUmodule module;
    CUfunctionLoadingState loaded;
    const char *name = NULL;
    unsigned count = 0;
    size_t parameters = 0;
    int clusters;
    with_context();
    SET(cuLibraryLoadData(&library, PTX, NULL, NULL, 0, NULL, NULL, 0));
    SET(cuLibraryGetKernel(&kernel, library, "store"));
    SET(cuModuleLoadData(&module, PTX));
    SET(cuModuleGetFunction(&function, module, "store"));
    FAILS(INVALID_VALUE, DOC, cuLibraryGetKernelCount(NULL, library));
    FAILS(INVALID_HANDLE, DOC, cuLibraryGetKernelCount(&count, WILD(CUlibrary)));
    WORKS(DOC, cuLibraryGetKernelCount(&count, library));
    FAILS(INVALID_VALUE, DOC, cuLibraryEnumerateKernels(NULL, count, library));
    FAILS(INVALID_HANDLE, DOC, cuLibraryEnumerateKernels(list, 1, WILD(CUlibrary)));
    WORKS(DOC, cuLibraryEnumerateKernels(list, count, library));
    FAILS(INVALID_VALUE, DOC, cuKernelGetName(NULL, kernel));
    FAILS(INVALID_VALUE, DOC, cuKernelGetLibrary(NULL, kernel));
    FAILS(INVALID_HANDLE, DOC, cuKernelGetLibrary(&of, NULL));
    WORKS(DOC, cuKernelGetLibrary(&of, kernel));
    HOLDS(DOC, of == library);
    WORKS(DOC, cuKernelGetName(&name, kernel));
    HOLDS(DOC, name != NULL && strcmp(name, "store") == 0);
    FAILS(INVALID_VALUE, DOC, cuKernelGetParamCount(kernel, NULL));
    WORKS(DOC, cuKernelGetParamCount(kernel, &parameters));
    HOLDS(DOC, parameters == 2);
    FAILS(INVALID_VALUE, DOC, cuFuncGetParamCount(function, NULL));
    WORKS(DOC, cuFuncGetParamCount(function, &parameters));
    HOLDS(DOC, parameters == 2);
    FAILS(INVALID_HANDLE, DOC, cuFuncLoad(NULL));
    FAILS(INVALID_HANDLE, DOC, cuFuncLoad(WILD(CUfunction)));
    WORKS(DOC, cuFuncLoad(function));
    FAILS(INVALID_VALUE, DOC, cuFuncIsLoaded(NULL, function));
    FAILS(INVALID_HANDLE, DOC, cuFuncIsLoaded(&loaded, WILD(CUfunction)));
    WORKS(DOC, cuFuncIsLoaded(&loaded, function));
    HOLDS(DOC, loaded == CU_FUNCTION_LOADING_STATE_LOADED);
    FAILS(INVALID_VALUE, DOC, cuModuleEnumerateFunctions(NULL, 1, module));
    FAILS(INVALID_HANDLE, DOC, cuModuleEnumerateFunctions(functions, 1, WILD(CUmodule)));
    WORKS(DOC, cuModuleEnumerateFunctions(functions, 1, module));
    FAILS(INVALID_HANDLE, DOC, cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1024, NULL, 0));
    FAILS(INVALID_DEVICE, DOC, cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1024, kernel, 1000));
    FAILS(INVALID_VALUE, DOC, cuKernelSetAttribute((CUfunction_attribute)1000, 1024, kernel, 0));
    WORKS(DOC, cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1024, kernel, 0));
    FAILS(INVALID_HANDLE, DOC, cuKernelSetCacheConfig(NULL, CU_FUNC_CACHE_PREFER_L1, 0));
    FAILS(INVALID_DEVICE, DOC, cuKernelSetCacheConfig(kernel, CU_FUNC_CACHE_PREFER_L1, 1000));
    WORKS(DOC, cuKernelSetCacheConfig(kernel, CU_FUNC_CACHE_PREFER_L1, 0));
    CUlaunchConfig shape = {.gridDimX = 8, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 32, .blockDimY = 1, .blockDimZ = 1};
    FAILS(INVALID_VALUE, DOC, cuOccupancyMaxActiveClusters(NULL, function, &shape));
    FAILS(INVALID_VALUE, DOC, cuOccupancyMaxActiveClusters(&clusters, function, NULL));
    FAILS(INVALID_VALUE, DOC, cuOccupancyMaxPotentialClusterSize(NULL, function, &shape));
    FAILS(INVALID_VALUE, DOC, cuOccupancyMaxPotentialClusterSize(&clusters, function, NULL));
    WORKS(DOC, cuOccupancyMaxPotentialClusterSize(&clusters, function, &shape));
    HOLDS(DOC, clusters >= 1 && clusters <= 8);
    WORKS(DOC, cuLibraryUnload(library));
}
