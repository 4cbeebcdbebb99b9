/* Before cuInit, and what needs no context after it. */
#include "fidelity.h"

/* "If cuInit() has not been called, any function from the driver API will return CUDA_ERROR_NOT_INITIALIZED." */
static void host_function(void *data) { (void)data; }

STATE(before_init_devices) {
    int number;
    char text[64];
    size_t bytes;
    CUdevice device;
    CUuuid uuid;
    CUcontext context;
    unsigned flags;
    WORKS(ORACLE, cuDriverGetVersion(&number));
    FAILS(INVALID_VALUE, DOC, cuDriverGetVersion(NULL));
    FAILS(INVALID_VALUE, ORACLE, cuInit(1));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceGetCount(&number));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceGet(&device, 0));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceGetName(text, sizeof text, 0));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceGetUuid(&uuid, 0));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceTotalMem(&bytes, 0));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceComputeCapability(&number, &number, 0));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceGetPCIBusId(text, sizeof text, 0));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceGetByPCIBusId(&device, "0000:01:00.0"));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceCanAccessPeer(&number, 0, 0));
    FAILS(NOT_INITIALIZED, DOC, cuDevicePrimaryCtxRetain(&context, 0));
    FAILS(NOT_INITIALIZED, DOC, cuDevicePrimaryCtxRelease(0));
    FAILS(NOT_INITIALIZED, DOC, cuDevicePrimaryCtxReset(0));
    FAILS(NOT_INITIALIZED, DOC, cuDevicePrimaryCtxSetFlags(0, 0));
    FAILS(NOT_INITIALIZED, DOC, cuDevicePrimaryCtxGetState(0, &flags, &number));
    WORKS(DOC, cuInit(0));
    WORKS(DOC, cuInit(0));
    WORKS(DOC, cuDeviceGetCount(&number));
}

STATE(before_init_contexts) {
    CUcontext context;
    CUdevice device;
    size_t bytes;
    int low, high;
    unsigned flags;
    unsigned long long id;
    CUfunc_cache cache;
    FAILS(NOT_INITIALIZED, DOC, cuCtxCreate(&context, NULL, 0, 0));
    FAILS(NOT_INITIALIZED, DOC, cuCtxDestroy(WILD(CUcontext)));
    FAILS(NOT_INITIALIZED, DOC, cuCtxGetCurrent(&context));
    FAILS(NOT_INITIALIZED, DOC, cuCtxSetCurrent(NULL));
    FAILS(NOT_INITIALIZED, DOC, cuCtxPushCurrent(NULL));
    FAILS(NOT_INITIALIZED, DOC, cuCtxPopCurrent(&context));
    FAILS(NOT_INITIALIZED, DOC, cuCtxGetDevice(&device));
    FAILS(NOT_INITIALIZED, DOC, cuCtxGetFlags(&flags));
    FAILS(NOT_INITIALIZED, DOC, cuCtxGetId(NULL, &id));
    FAILS(NOT_INITIALIZED, DOC, cuCtxSynchronize());
    FAILS(NOT_INITIALIZED, DOC, cuCtxGetLimit(&bytes, CU_LIMIT_STACK_SIZE));
    FAILS(NOT_INITIALIZED, DOC, cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 1024));
    FAILS(NOT_INITIALIZED, DOC, cuCtxGetCacheConfig(&cache));
    FAILS(NOT_INITIALIZED, DOC, cuCtxSetCacheConfig(CU_FUNC_CACHE_PREFER_NONE));
    FAILS(NOT_INITIALIZED, DOC, cuCtxGetStreamPriorityRange(&low, &high));
}

STATE(before_init_memory) {
    CUdeviceptr p = 0;
    void *host = NULL;
    char byte = 0;
    size_t bytes, total;
    unsigned flags;
    CUmemoryPool pool;
    CUarray array;
    CUDA_ARRAY_DESCRIPTOR shape = {.Width = 1, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    FAILS(NOT_INITIALIZED, DOC, cuMemGetInfo(&bytes, &total));
    FAILS(NOT_INITIALIZED, DOC, cuMemAlloc(&p, 16));
    FAILS(NOT_INITIALIZED, ORACLE, cuMemAlloc(NULL, 16));
    FAILS(NOT_INITIALIZED, DOC, cuMemAllocPitch(&p, &bytes, 16, 16, 4));
    FAILS(NOT_INITIALIZED, DOC, cuMemFree(0));
    FAILS(NOT_INITIALIZED, DOC, cuMemGetAddressRange(&p, &bytes, 0));
    FAILS(NOT_INITIALIZED, DOC, cuMemHostAlloc(&host, 16, 0));
    FAILS(NOT_INITIALIZED, DOC, cuMemAllocHost(&host, 16));
    FAILS(NOT_INITIALIZED, DOC, cuMemFreeHost(&byte));
    FAILS(NOT_INITIALIZED, DOC, cuMemHostRegister(&byte, 1, 0));
    FAILS(NOT_INITIALIZED, DOC, cuMemHostUnregister(&byte));
    FAILS(NOT_INITIALIZED, DOC, cuMemHostGetDevicePointer(&p, &byte, 0));
    FAILS(NOT_INITIALIZED, DOC, cuMemHostGetFlags(&flags, &byte));
    FAILS(NOT_INITIALIZED, DOC, cuMemcpyHtoD(p, &byte, 1));
    FAILS(NOT_INITIALIZED, DOC, cuMemcpyDtoH(&byte, p, 1));
    FAILS(NOT_INITIALIZED, DOC, cuMemcpyDtoD(p, p, 1));
    FAILS(NOT_INITIALIZED, DOC, cuMemsetD8(p, 0, 1));
    FAILS(NOT_INITIALIZED, DOC, cuArrayCreate(&array, &shape));
    FAILS(NOT_INITIALIZED, DOC, cuArrayDestroy(WILD(CUarray)));
    FAILS(NOT_INITIALIZED, DOC, cuPointerGetAttribute(&p, CU_POINTER_ATTRIBUTE_DEVICE_POINTER, p));
    FAILS(NOT_INITIALIZED, DOC, cuMemAllocAsync(&p, 16, NULL));
    FAILS(NOT_INITIALIZED, DOC, cuMemFreeAsync(p, NULL));
    FAILS(NOT_INITIALIZED, DOC, cuDeviceGetDefaultMemPool(&pool, 0));
}

STATE(before_init_execution) {
    CUstream stream;
    CUevent event;
    CUmodule module;
    CUfunction function;
    CUlibrary library;
    CUkernel kernel;
    CUlinkState linker;
    CUgraph graph;
    CUdeviceptr p;
    size_t bytes;
    float ms;
    int number;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
    FAILS(NOT_INITIALIZED, ORACLE, cuStreamCreate(&stream, 0));
    FAILS(INVALID_VALUE, ORACLE, cuStreamCreate(&stream, 77));
    FAILS(NOT_INITIALIZED, DOC, cuStreamCreateWithPriority(&stream, 0, 0));
    FAILS(NOT_INITIALIZED, DOC, cuStreamQuery(NULL));
    FAILS(NOT_INITIALIZED, DOC, cuStreamSynchronize(NULL));
    FAILS(NOT_INITIALIZED, DOC, cuStreamDestroy(NULL));
    FAILS(NOT_INITIALIZED, DOC, cuStreamWaitEvent(NULL, NULL, 0));
    FAILS(NOT_INITIALIZED, DOC, cuLaunchHostFunc(NULL, host_function, NULL));
    FAILS(NOT_INITIALIZED, DOC, cuThreadExchangeStreamCaptureMode(&mode));
    FAILS(NOT_INITIALIZED, DOC, cuEventCreate(&event, 0));
    FAILS(NOT_INITIALIZED, DOC, cuEventRecord(NULL, NULL));
    FAILS(NOT_INITIALIZED, DOC, cuEventQuery(NULL));
    FAILS(NOT_INITIALIZED, DOC, cuEventSynchronize(NULL));
    FAILS(NOT_INITIALIZED, DOC, cuEventDestroy(NULL));
    FAILS(NOT_INITIALIZED, DOC, cuEventElapsedTime(&ms, NULL, NULL));
    FAILS(NOT_INITIALIZED, DOC, cuModuleLoadData(&module, PTX));
    FAILS(NOT_INITIALIZED, DOC, cuModuleLoad(&module, "/dev/null"));
    FAILS(NOT_INITIALIZED, DOC, cuModuleUnload(NULL));
    FAILS(NOT_INITIALIZED, DOC, cuModuleGetFunction(&function, NULL, "x"));
    FAILS(NOT_INITIALIZED, DOC, cuModuleGetGlobal(&p, &bytes, NULL, "x"));
    FAILS(NOT_INITIALIZED, DOC, cuLinkCreate(0, NULL, NULL, &linker));
    FAILS(NOT_INITIALIZED, DOC, cuLibraryLoadData(&library, PTX, NULL, NULL, 0, NULL, NULL, 0));
    FAILS(NOT_INITIALIZED, DOC, cuLibraryGetKernel(&kernel, NULL, "x"));
    FAILS(NOT_INITIALIZED, DOC, cuFuncGetAttribute(&number, CU_FUNC_ATTRIBUTE_NUM_REGS, NULL));
    FAILS(NOT_INITIALIZED, DOC, cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    FAILS(NOT_INITIALIZED, DOC, cuOccupancyMaxActiveBlocksPerMultiprocessor(&number, NULL, 32, 0));
    FAILS(NOT_INITIALIZED, DOC, cuGraphCreate(&graph, 0));
    FAILS(NOT_INITIALIZED, DOC, cuProfilerStart());
}

STATE(errors) {
    const char *text = "kept";
    WORKS(DOC, cuGetErrorName(CUDA_SUCCESS, &text));
    HOLDS(CP(test_get_error_name_and_string), strcmp(text, "CUDA_SUCCESS") == 0);
    WORKS(DOC, cuGetErrorString(CUDA_SUCCESS, &text));
    HOLDS(CP(test_get_error_name_and_string), strcmp(text, "no error") == 0);
    WORKS(DOC, cuGetErrorString(CUDA_ERROR_INVALID_DEVICE, &text));
    HOLDS(CP(test_get_error_name_and_string), strcmp(text, "invalid device ordinal") == 0);
    WORKS(DOC, cuGetErrorName(CUDA_ERROR_INVALID_DEVICE, &text));
    HOLDS(CP(test_get_error_name_and_string), strcmp(text, "CUDA_ERROR_INVALID_DEVICE") == 0);
    FAILS(INVALID_VALUE, DOC, cuGetErrorName((CUresult)12345, &text));
    HOLDS(DOC, text == NULL);
    text = "kept";
    FAILS(INVALID_VALUE, DOC, cuGetErrorString((CUresult)12345, &text));
    HOLDS(DOC, text == NULL);
    for (int code = 0; code < 4; code++) WORKS(DOC, cuGetErrorName((CUresult)code, &text));
    WORKS(DOC, cuGetErrorName(CUDA_ERROR_UNKNOWN, &text));
    HOLDS(DOC, strcmp(text, "CUDA_ERROR_UNKNOWN") == 0);
}

static CUdriverProcAddressQueryResult status;
static CUresult is(CUresult result, CUdriverProcAddressQueryResult want) { return result ? result : (CUresult)(status == want ? 0 : 999); }

STATE(entry_points) {
    void *pfn = &status;
    const CUdriverProcAddressQueryResult found = CU_GET_PROC_ADDRESS_SUCCESS, none = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND,
                                         old = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
    WORKS(ORACLE, is(cuGetProcAddress("cuMemAlloc", &pfn, 12000, 0, &status), found));
    WORKS(ORACLE, is(cuGetProcAddress("cuInit", &pfn, 2000, 0, &status), found));
    WORKS(ORACLE, is(cuGetProcAddress("cuGetProcAddress", &pfn, 11030, 0, &status), found));
    WORKS(ORACLE, is(cuGetProcAddress("cuNoSuchFunction", &pfn, 12000, 0, &status), none));
    HOLDS(ORACLE, pfn == NULL);
    WORKS(ORACLE, is(cuGetProcAddress("", &pfn, 12000, 0, &status), none));
    WORKS(ORACLE, is(cuGetProcAddress("cuMemAlloc_v2", &pfn, 12000, 0, &status), none));
    WORKS(ORACLE, is(cuGetProcAddress("cuMemcpy_ptds", &pfn, 12000, 0, &status), none));
    WORKS(ORACLE, is(cuGetProcAddress("cudbgApiInit", &pfn, 12000, 0, &status), none));
    WORKS(ORACLE, is(cuGetProcAddress("cuMemAllocAsync", &pfn, 11010, 0, &status), old));
    HOLDS(ORACLE, pfn == NULL);
    WORKS(ORACLE, is(cuGetProcAddress("cuMemAllocAsync", &pfn, 11020, 0, &status), found));
    WORKS(ORACLE, is(cuGetProcAddress("cuInit", &pfn, 0, 0, &status), old));
    WORKS(ORACLE, is(cuGetProcAddress("cuInit", &pfn, -1, 0, &status), found));
    WORKS(ORACLE, is(cuGetProcAddress("cuLaunchKernel", &pfn, 12000, 1, &status), found));
    WORKS(ORACLE, is(cuGetProcAddress("cuLaunchKernel", &pfn, 12000, 2, &status), found));
    WORKS(ORACLE, is(cuGetProcAddress("cuLaunchKernel", &pfn, 6000, 2, &status), old));
    WORKS(ORACLE, is(cuGetProcAddress("cuLaunchKernel", &pfn, 12000, 3, &status), found));
    FAILS(INVALID_VALUE, ORACLE, cuGetProcAddress("cuInit", &pfn, 12000, 4, &status));
    FAILS(INVALID_VALUE, ORACLE, cuGetProcAddress("cuInit", &pfn, 12000, 1ull << 40, &status));
    WORKS(ORACLE, cuGetProcAddress("cuNoSuchFunction", &pfn, 12000, 0, NULL));
    /* The entry of CUDA 11 has no status. */
    CUresult (*first)(const char *, void **, int, cuuint64_t) = NULL;
    SET(cuGetProcAddress("cuGetProcAddress", (void **)&first, 11030, 0, NULL));
    WORKS(ORACLE, first("cuInit", &pfn, 11030, 0));
    FAILS(NOT_FOUND, ORACLE, first("cuNoSuchFunction", &pfn, 11030, 0));
    FAILS(NOT_FOUND, ORACLE, first("cuMemAllocAsync", &pfn, 11010, 0));
    FAILS(INVALID_VALUE, ORACLE, first("cuInit", &pfn, 11030, 4));
}
