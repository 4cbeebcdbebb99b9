/* Launches, and what a fault leaves behind. */
#include "fidelity.h"

#define GRID(x, y, z) cuLaunchKernel(nothing, x, y, z, 1, 1, 1, 0, NULL, NULL, NULL)
#define BLOCK(x, y, z) cuLaunchKernel(nothing, 1, 1, 1, x, y, z, 0, NULL, NULL, NULL)
#define LAUNCH HIP(hip_module_launch_kernel_common)

STATE(launches) {
    CUfunction nothing, store;
    CUdeviceptr p;
    unsigned value = 1;
    with_context();
    nothing = kernel_of("nothing"), store = kernel_of("store");
    SET(cuMemAlloc(&p, 64));
    void *parameters[] = {&p, &value};
    size_t bytes = 12;
    struct {
        CUdeviceptr p;
        unsigned value;
    } block = {p, 1};
    void *extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &block, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
    void *unknown[] = {(void *)77, &block, CU_LAUNCH_PARAM_END};
    FAILS(INVALID_HANDLE, LAUNCH, cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    FAILS(INVALID_VALUE, LAUNCH, GRID(0, 1, 1));
    FAILS(INVALID_VALUE, LAUNCH, GRID(1, 0, 1));
    FAILS(INVALID_VALUE, LAUNCH, GRID(1, 1, 0));
    FAILS(INVALID_VALUE, LAUNCH, GRID(0x80000000u, 1, 1));
    FAILS(INVALID_VALUE, LAUNCH, GRID(1, 65536, 1));
    FAILS(INVALID_VALUE, LAUNCH, GRID(1, 1, 65536));
    FAILS(INVALID_VALUE, LAUNCH, BLOCK(0, 1, 1));
    FAILS(INVALID_VALUE, LAUNCH, BLOCK(1, 0, 1));
    FAILS(INVALID_VALUE, LAUNCH, BLOCK(1, 1, 0));
    FAILS(INVALID_VALUE, LAUNCH, BLOCK(1025, 1, 1));
    FAILS(INVALID_VALUE, LAUNCH, BLOCK(1, 1025, 1));
    FAILS(INVALID_VALUE, LAUNCH, BLOCK(1, 1, 65));
    FAILS(INVALID_VALUE, LAUNCH, BLOCK(32, 33, 1));
    WORKS(LAUNCH, BLOCK(1024, 1, 1));
    WORKS(LAUNCH, BLOCK(1, 1024, 1));
    WORKS(LAUNCH, BLOCK(1, 1, 64));
    WORKS(LAUNCH, GRID(1, 65535, 1));
    FAILS(INVALID_VALUE, LAUNCH, cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, (48 << 10) + 1, NULL, NULL, NULL));
    WORKS(DOC, cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 48 << 10, NULL, NULL, NULL));
    FAILS(INVALID_VALUE, LAUNCH, cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, extra));
    FAILS(INVALID_VALUE, DOC, cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    FAILS(INVALID_VALUE, LAUNCH, cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, unknown));
    WORKS(LAUNCH, cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    WORKS(LAUNCH, cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, extra));
    FAILS(INVALID_HANDLE, DOC, cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 0, (CUstream)-1, NULL, NULL));
    /* More threads than the kernel was compiled for. */
    FAILS(INVALID_VALUE, NUMBA(test_launch_bounds_scalar), cuLaunchKernel(kernel_of("narrow"), 1, 1, 1, 65, 1, 1, 0, NULL, NULL, NULL));
    WORKS(NUMBA(test_launch_bounds_scalar), cuLaunchKernel(kernel_of("narrow"), 1, 1, 1, 64, 1, 1, 0, NULL, NULL, NULL));
    WORKS(DOC, cuLaunchKernel(kernel_of("fixed_shape"), 1, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL));
    WORKS(DOC, cuCtxSynchronize());
}

/* Which bound dynamic shared memory has: the function's attribute, and that of a launch before it. */
STATE(shared_memory_modes) {
    CUfunction nothing;
    CUlaunchAttribute attribute = {.id = CU_LAUNCH_ATTRIBUTE_SHARED_MEMORY_MODE};
    CUlaunchConfig large = {.gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1};
    with_context();
    nothing = kernel_of("nothing");
    large.sharedMemBytes = 64 << 10;
    FAILS(INVALID_VALUE, DOC, cuFuncSetAttribute(nothing, CU_FUNC_ATTRIBUTE_SHARED_MEMORY_MODE, -1));
    FAILS(INVALID_VALUE, DOC, cuFuncSetAttribute(nothing, CU_FUNC_ATTRIBUTE_SHARED_MEMORY_MODE, 5));
    FAILS(INVALID_VALUE, DOC, cuLaunchKernelEx(&large, nothing, NULL, NULL));
    WORKS(DOC, cuFuncSetAttribute(nothing, CU_FUNC_ATTRIBUTE_SHARED_MEMORY_MODE, CU_SHARED_MEMORY_MODE_ALLOW_NON_PORTABLE));
    WORKS(DOC, cuLaunchKernelEx(&large, nothing, NULL, NULL));
    /* "within the bounds of CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN" */
    FAILS(INVALID_VALUE, DOC, cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 1 << 20, NULL, NULL, NULL));
    large.attrs = &attribute, large.numAttrs = 1;
    attribute.value.sharedMemoryMode = CU_SHARED_MEMORY_MODE_REQUIRE_PORTABLE;
    FAILS(INVALID_VALUE, DOC, cuLaunchKernelEx(&large, nothing, NULL, NULL));
    attribute.value.sharedMemoryMode = CU_SHARED_MEMORY_MODE_DEFAULT;
    WORKS(DOC, cuLaunchKernelEx(&large, nothing, NULL, NULL));
    WORKS(DOC, cuFuncSetAttribute(nothing, CU_FUNC_ATTRIBUTE_SHARED_MEMORY_MODE, CU_SHARED_MEMORY_MODE_DEFAULT));
    FAILS(INVALID_VALUE, DOC, cuLaunchKernelEx(&large, nothing, NULL, NULL));
    attribute.value.sharedMemoryMode = CU_SHARED_MEMORY_MODE_ALLOW_OVERSIZED_SHARED_MEMORY;
    WORKS(DOC, cuLaunchKernelEx(&large, nothing, NULL, NULL));
    /* The older attribute does not count in a mode. */
    WORKS(DOC, cuFuncSetAttribute(nothing, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 64 << 10));
    WORKS(DOC, cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 64 << 10, NULL, NULL, NULL));
    WORKS(DOC, cuFuncSetAttribute(nothing, CU_FUNC_ATTRIBUTE_SHARED_MEMORY_MODE, CU_SHARED_MEMORY_MODE_REQUIRE_PORTABLE));
    FAILS(INVALID_VALUE, DOC, cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 64 << 10, NULL, NULL, NULL));
    WORKS(DOC, cuCtxSynchronize());
}

STATE(launches_ex) {
    CUfunction nothing;
    with_context();
    nothing = kernel_of("nothing");
    CUlaunchAttribute attribute = {0};
    CUlaunchConfig good = {.gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1}, c;
    WORKS(DOC, cuLaunchKernelEx(&good, nothing, NULL, NULL));
    FAILS(INVALID_VALUE, DOC, cuLaunchKernelEx(NULL, nothing, NULL, NULL));
    FAILS(INVALID_HANDLE, DOC, cuLaunchKernelEx(&good, NULL, NULL, NULL));
    c = good, c.gridDimY = 0;
    FAILS(INVALID_VALUE, DOC, cuLaunchKernelEx(&c, nothing, NULL, NULL));
    c = good, c.numAttrs = 1;
    FAILS(INVALID_VALUE, DOC, cuLaunchKernelEx(&c, nothing, NULL, NULL));
    /* "CU_LAUNCH_ATTRIBUTE_IGNORE: Ignored entry, for convenient composition" */
    c.attrs = &attribute, attribute.id = CU_LAUNCH_ATTRIBUTE_IGNORE;
    WORKS(DOC, cuLaunchKernelEx(&c, nothing, NULL, NULL));
    attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim.x = 2, attribute.value.clusterDim.y = attribute.value.clusterDim.z = 1;
    /* "a kernel launch error due to cluster misconfiguration": the grid is not a multiple of the cluster. */
    c.gridDimX = 3;
    FAILS(INVALID_CLUSTER_SIZE, DOC, cuLaunchKernelEx(&c, nothing, NULL, NULL));
    FAILS(INVALID_HANDLE, HIP(hipModuleLaunchCooperativeKernel), cuLaunchCooperativeKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, NULL));
    FAILS(INVALID_VALUE, HIP(hipModuleLaunchCooperativeKernel), cuLaunchCooperativeKernel(nothing, 0, 1, 1, 1, 1, 1, 0, NULL, NULL));
    FAILS(INVALID_VALUE, HIP(hipModuleLaunchCooperativeKernel), cuLaunchCooperativeKernel(nothing, 1, 1, 0, 1, 1, 1, 0, NULL, NULL));
    FAILS(INVALID_VALUE, HIP(hipModuleLaunchCooperativeKernel), cuLaunchCooperativeKernel(nothing, 1, 1, 1, 1, 0, 1, 0, NULL, NULL));
    FAILS(INVALID_VALUE, HIP(hipModuleLaunchCooperativeKernel), cuLaunchCooperativeKernel(nothing, 1, 1, 1, 1025, 1, 1, 0, NULL, NULL));
    FAILS(INVALID_VALUE, HIP(hipModuleLaunchCooperativeKernel), cuLaunchCooperativeKernel(nothing, 1, 1, 1, 1, 1, 65, 0, NULL, NULL));
    FAILS(INVALID_VALUE, HIP(hipModuleLaunchCooperativeKernel), cuLaunchCooperativeKernel(nothing, 1, 1, 1, 32, 33, 1, 0, NULL, NULL));
    /* "The total number of blocks launched cannot exceed the maximum number of blocks per multiprocessor ... times the number of
     * multiprocessors" */
    FAILS(COOPERATIVE_LAUNCH_TOO_LARGE, DOC, cuLaunchCooperativeKernel(nothing, 1 << 20, 1, 1, 1024, 1, 1, 0, NULL, NULL));
    WORKS(DOC, cuCtxSynchronize());
}

#define MULTI HIP(hipModuleLaunchCooperativeKernelMultiDevice)

/* A cooperative launch on as many devices as there are, which is one: the table runs on a vGPU. */
STATE(launches_on_several_devices) {
    CUcontext other;
    CUstream stream, gone;
    CUdeviceptr p;
    unsigned value = 7, read = 0;
    int is = 0;
    void *parameters[] = {&p, &value};
    with_context();
    SET(cuStreamCreate(&stream, 0));
    SET(cuStreamCreate(&gone, 0));
    SET(cuStreamDestroy(gone));
    SET(cuMemAlloc(&p, 64));
    CUDA_LAUNCH_PARAMS good = {.function = kernel_of("store"), .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1, .hStream = stream, .kernelParams = parameters}, bad;
    WORKS(DOC, cuDeviceGetAttribute(&is, CU_DEVICE_ATTRIBUTE_COOPERATIVE_MULTI_DEVICE_LAUNCH, 0));
    /* What the vendor's deviceQuery prints for boards since Volta, with drivers of CUDA 9 to 12. */
    HOLDS(ISSUE(deviceQuery), is == 1);
    FAILS(INVALID_VALUE, MULTI, cuLaunchCooperativeKernelMultiDevice(NULL, 1, 0));
    FAILS(INVALID_VALUE, MULTI, cuLaunchCooperativeKernelMultiDevice(&good, 0, 0));
    FAILS(INVALID_VALUE, MULTI, cuLaunchCooperativeKernelMultiDevice(&good, 1, 999));
    bad = good, bad.gridDimX = 0;
    FAILS(INVALID_VALUE, DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0));
    bad = good, bad.blockDimX = 1025;
    FAILS(INVALID_VALUE, DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0));
    bad = good, bad.gridDimX = 1 << 20, bad.blockDimX = 1024;
    FAILS(COOPERATIVE_LAUNCH_TOO_LARGE, DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0));
    bad = good, bad.kernelParams = NULL;
    FAILS(INVALID_VALUE, DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0));
    bad = good, bad.function = NULL;
    FAILS(INVALID_HANDLE, DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0));
    bad = good, bad.function = WILD(CUfunction);
    FAILS(INVALID_HANDLE, DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0));
    bad = good, bad.hStream = WILD(CUstream);
    FAILS(INVALID_HANDLE, DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0));
    /* "The NULL stream or CU_STREAM_LEGACY or CU_STREAM_PER_THREAD cannot be used": with which code is not said. */
    bad = good, bad.hStream = NULL;
    HOLDS(DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0) != CUDA_SUCCESS);
    bad = good, bad.hStream = CU_STREAM_LEGACY;
    HOLDS(DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0) != CUDA_SUCCESS);
    bad = good, bad.hStream = CU_STREAM_PER_THREAD;
    HOLDS(DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0) != CUDA_SUCCESS);
    bad = good, bad.hStream = gone;
    HOLDS(DOC, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0) != CUDA_SUCCESS);
    WORKS(MULTI, cuLaunchCooperativeKernelMultiDevice(&good, 1, 0));
    WORKS(DOC, cuStreamSynchronize(stream));
    SET(cuMemcpyDtoH(&read, p, sizeof read));
    HOLDS(DOC, read == 7);
    value = 8;
    WORKS(DOC, cuLaunchCooperativeKernelMultiDevice(&good, 1, CUDA_COOPERATIVE_LAUNCH_MULTI_DEVICE_NO_PRE_LAUNCH_SYNC | CUDA_COOPERATIVE_LAUNCH_MULTI_DEVICE_NO_POST_LAUNCH_SYNC));
    WORKS(DOC, cuStreamSynchronize(stream));
    SET(cuMemcpyDtoH(&read, p, sizeof read));
    HOLDS(DOC, read == 8);
    /* The streams say where the kernels run; a function of another context is not theirs: "the CUDA context associated with this stream
     * must match that associated with function". */
    SET(cuCtxCreate(&other, NULL, 0, 0));
    value = 9;
    WORKS(DOC, cuLaunchCooperativeKernelMultiDevice(&good, 1, 0));
    bad = good, bad.function = kernel_of("store");
    FAILS(INVALID_HANDLE, MULTI, cuLaunchCooperativeKernelMultiDevice(&bad, 1, 0));
    SET(cuCtxDestroy(other));
    SET(cuMemcpyDtoH(&read, p, sizeof read));
    HOLDS(DOC, read == 9);
}

/* "The context cannot be used, so it must be destroyed (and a new one should be created). All existing device memory allocations from this
 * context are invalid and must be reconstructed": what needs the context answers the error, what does not goes on. */
STATE(after_an_illegal_address) {
    CUcontext context, current, fresh;
    CUdeviceptr p, q;
    CUstream stream, other;
    CUevent event, second;
    CUmodule module;
    CUdevice device;
    char host[16];
    int number;
    size_t bytes, total;
    void *pinned;
    context = with_context();
    SET(cuMemAlloc(&p, 64));
    SET(cuStreamCreate(&stream, 0));
    SET(cuEventCreate(&event, 0));
    CUfunction nothing = kernel_of("nothing");
    FAILS(ILLEGAL_ADDRESS, DOC, make_sticky());
    FAILS(ILLEGAL_ADDRESS, DOC, cuCtxSynchronize());
    FAILS(ILLEGAL_ADDRESS, DOC, cuStreamSynchronize(NULL));
    FAILS(ILLEGAL_ADDRESS, DOC, cuStreamSynchronize(stream));
    FAILS(ILLEGAL_ADDRESS, DOC, cuStreamQuery(NULL));
    FAILS(ILLEGAL_ADDRESS, DOC, cuStreamQuery(stream));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemAlloc(&q, 64));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemHostAlloc(&pinned, 64, 0));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemAllocAsync(&q, 64, NULL));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemFree(p));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemGetInfo(&bytes, &total));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemcpyDtoH(host, p, 16));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemcpyHtoD(p, host, 16));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemcpyDtoD(p, p, 16));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemcpyDtoHAsync(host, p, 16, stream));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemsetD8(p, 0, 16));
    FAILS(ILLEGAL_ADDRESS, DOC, cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    FAILS(ILLEGAL_ADDRESS, DOC, cuStreamCreate(&other, 0));
    FAILS(ILLEGAL_ADDRESS, DOC, cuEventCreate(&second, 0));
    FAILS(ILLEGAL_ADDRESS, DOC, cuEventRecord(event, NULL));
    FAILS(ILLEGAL_ADDRESS, DOC, cuModuleLoadData(&module, PTX));
    WORKS(DOC, cuCtxGetCurrent(&current));
    HOLDS(DOC, current == context);
    WORKS(DOC, cuCtxGetDevice(&device));
    WORKS(DOC, cuDeviceGetCount(&number));
    WORKS(DOC, cuDeviceGetAttribute(&number, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0));
    WORKS(DOC, cuDeviceTotalMem(&bytes, 0));
    WORKS(DOC, cuDriverGetVersion(&number));
    WORKS(DOC, cuCtxPopCurrent(&current));
    WORKS(DOC, cuCtxPushCurrent(current));
    WORKS(DOC, cuCtxSetCurrent(NULL));
    WORKS(DOC, cuDevicePrimaryCtxReset(0));
    WORKS(DOC, cuDevicePrimaryCtxRetain(&fresh, 0));
    WORKS(DOC, cuCtxSetCurrent(fresh));
    WORKS(DOC, cuCtxSynchronize());
    WORKS(DOC, cuMemAlloc(&p, 64));
    WORKS(DOC, cuMemcpyDtoH(host, p, 16));
}

STATE(after_a_trap) {
    CUdeviceptr p;
    with_context();
    WORKS(DOC, cuLaunchKernel(kernel_of("stop"), 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    CUresult first = cuCtxSynchronize();
    /* A trap is "an exception occurred on the device while executing a kernel" or a breakpoint without a debugger; it stays. */
    HOLDS(DOC, first == CUDA_ERROR_LAUNCH_FAILED || first == CUDA_ERROR_ILLEGAL_INSTRUCTION);
    HOLDS(DOC, cuCtxSynchronize() == first);
    HOLDS(DOC, cuMemAlloc(&p, 64) == first);
}

/* The kernels of the states below. */
static const char CALLS[] =
    ".version 7.0\n.target sm_50\n.address_size 64\n"
    ".extern .func __assertfail (.param .b64 a, .param .b64 b, .param .b32 c, .param .b64 d, .param .b64 e);\n"
    ".extern .func (.param .b32 r) vprintf (.param .b64 f, .param .b64 a);\n"
    ".global .align 1 .b8 empty[1] = {0};\n"
    ".visible .entry claims()\n"
    "{\n"
    "  .reg .b64 %d<3>;\n  .reg .b32 %r<2>;\n"
    "  mov.u64 %d1, empty;\n  cvta.global.u64 %d2, %d1;\n  mov.u32 %r1, 1;\n"
    "  {\n  .param .b64 a;\n  .param .b64 b;\n  .param .b32 c;\n  .param .b64 d;\n  .param .b64 e;\n"
    "  st.param.b64 [a], %d2;\n  st.param.b64 [b], %d2;\n  st.param.b32 [c], %r1;\n  st.param.b64 [d], %d2;\n  st.param.b64 [e], 1;\n"
    "  call.uni __assertfail, (a, b, c, d, e);\n  }\n"
    "  ret;\n}\n"
    ".visible .entry prints()\n"
    "{\n"
    "  .reg .b64 %d<4>;\n  .reg .b32 %r<2>;\n"
    "  mov.u64 %d1, empty;\n  cvta.global.u64 %d2, %d1;\n  mov.u64 %d3, 0;\n"
    "  {\n  .param .b64 f;\n  .param .b64 a;\n  .param .b32 r;\n"
    "  st.param.b64 [f], %d2;\n  st.param.b64 [a], %d3;\n"
    "  call.uni (r), vprintf, (f, a);\n  ld.param.b32 %r1, [r];\n  }\n"
    "  ret;\n}\n"
    ".visible .entry claims_not()\n{\n  ret;\n}\n"
    ".extern .func (.param .b64 r) malloc (.param .b64 n);\n"
    ".visible .entry takes(.param .u64 p, .param .u64 n)\n"
    "{\n"
    "  .reg .b64 %d<4>;\n"
    "  ld.param.u64 %d1, [p];\n  ld.param.u64 %d2, [n];\n"
    "  {\n  .param .b64 n;\n  .param .b64 r;\n"
    "  st.param.b64 [n], %d2;\n  call.uni (r), malloc, (n);\n  ld.param.b64 %d3, [r];\n  }\n"
    "  st.global.u64 [%d1], %d3;\n"
    "  ret;\n}\n"
    /* Says in memory of the host that it runs, and fails. */
    ".visible .entry fails(.param .u64 flag)\n"
    "{\n"
    "  .reg .b64 %d<2>;\n  .reg .b32 %r<2>;\n"
    "  ld.param.u64 %d1, [flag];\n  mov.u32 %r1, 1;\n  st.volatile.global.u32 [%d1], %r1;\n  membar.sys;\n  trap;\n  ret;\n}\n";

static CUresult run(const char *name) {
    CUmodule module;
    CUfunction function;
    SET(cuModuleLoadData(&module, CALLS));
    SET(cuModuleGetFunction(&function, module, name));
    SET(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    return cuCtxSynchronize();
}

/* A kernel ends here before the next call of the program; on a board the fault is told by what waits or asks, and programs make calls
 * behind a launch that they count on: cudarc records events. */
STATE(behind_a_fault) {
    CUmodule module;
    CUfunction function, nothing;
    CUstream stream, second;
    CUevent event, before;
    CUdeviceptr p, q;
    volatile unsigned *flag;
    char host[16] = "";
    int number;
    with_context();
    SET(cuModuleLoadData(&module, CALLS));
    SET(cuModuleGetFunction(&function, module, "fails"));
    SET(cuModuleGetFunction(&nothing, module, "claims_not"));
    SET(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    SET(cuEventCreate(&before, 0));
    SET(cuMemAlloc(&p, 64));
    SET(cuMemAllocAsync(&q, 64, stream));
    SET(cuMemHostAlloc((void **)&flag, 4, 0));
    *flag = 0;
    void *parameters[] = {(void *)&flag};
    WORKS(CUDARC(test_device_side_assert), cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, parameters, NULL));
    while (*flag == 0) sched_yield();
    /* Longer than the fault takes here to be known. */
    usleep(50000);
    WORKS(CUDARC(test_device_side_assert), cuEventRecord(before, stream));
    WORKS(CUDARC(test_device_side_assert), cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    WORKS(CUDARC(test_device_side_assert), cuEventRecord(event, stream));
    WORKS(DOC, cuStreamWaitEvent(NULL, event, 0));
    WORKS(DOC, cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL));
    WORKS(DOC, cuMemsetD8Async(p, 0, 16, stream));
    WORKS(DOC, cuMemcpyHtoDAsync(p, host, 16, stream));
    WORKS(DOC, cuMemFreeAsync(q, stream));
    WORKS(DOC, cuStreamCreate(&second, 0));
    WORKS(DOC, cuStreamDestroy(second));
    WORKS(DOC, cuEventDestroy(event));
    WORKS(DOC, cuFuncGetAttribute(&number, CU_FUNC_ATTRIBUTE_NUM_REGS, nothing));
    FAILS(LAUNCH_FAILED, CUDARC(test_device_side_assert), cuStreamSynchronize(stream));
    FAILS(LAUNCH_FAILED, DOC, cuEventRecord(before, stream));
    FAILS(LAUNCH_FAILED, DOC, cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL));
    FAILS(LAUNCH_FAILED, DOC, cuEventCreate(&event, 0));
    FAILS(LAUNCH_FAILED, ISSUE(davisking/dlib 1743), cuStreamDestroy(stream));
}

/* What a fault does to whoever asks, each time in a process that was told nothing. */
static void after_fault(CUstream stream, CUevent *event) {
    volatile unsigned *flag;
    CUmodule module;
    CUfunction function;
    SET(cuModuleLoadData(&module, CALLS));
    SET(cuModuleGetFunction(&function, module, "fails"));
    SET(cuEventCreate(event, 0));
    SET(cuMemHostAlloc((void **)&flag, 4, 0));
    *flag = 0;
    void *parameters[] = {(void *)&flag};
    SET(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, parameters, NULL));
    SET(cuEventRecord(*event, stream));
    while (*flag == 0) sched_yield();
}

STATE(fault_at_a_query_of_a_stream) {
    CUevent event;
    CUresult code;
    with_context();
    after_fault(NULL, &event);
    while ((code = cuStreamQuery(NULL)) == CUDA_ERROR_NOT_READY) sched_yield();
    FAILS(LAUNCH_FAILED, DOC, code);
    FAILS(LAUNCH_FAILED, DOC, cuEventRecord(event, NULL));
}

STATE(fault_at_a_query_of_an_event) {
    CUevent event;
    CUresult code;
    with_context();
    after_fault(NULL, &event);
    while ((code = cuEventQuery(event)) == CUDA_ERROR_NOT_READY) sched_yield();
    FAILS(LAUNCH_FAILED, DOC, code);
    FAILS(LAUNCH_FAILED, DOC, cuEventRecord(event, NULL));
}

STATE(fault_at_an_event) {
    CUevent event;
    with_context();
    after_fault(NULL, &event);
    FAILS(LAUNCH_FAILED, DOC, cuEventSynchronize(event));
    FAILS(LAUNCH_FAILED, DOC, cuEventRecord(event, NULL));
}

STATE(fault_at_a_copy) {
    CUevent event;
    CUdeviceptr p;
    char host[16];
    with_context();
    SET(cuMemAlloc(&p, 16));
    after_fault(NULL, &event);
    FAILS(LAUNCH_FAILED, DOC, cuMemcpyDtoH(host, p, 16));
    FAILS(LAUNCH_FAILED, DOC, cuEventRecord(event, NULL));
}

/* A program that only launches hears of a fault too. */
STATE(fault_at_a_launch) {
    CUevent event;
    CUresult code = CUDA_SUCCESS;
    with_context();
    CUfunction nothing = kernel_of("nothing");
    after_fault(NULL, &event);
    while (code == CUDA_SUCCESS) code = cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
    FAILS(LAUNCH_FAILED, DOC, code);
}

STATE(clearing_up_after_a_fault) {
    CUmodule module;
    CUstream stream;
    CUevent event;
    CUdeviceptr p, q;
    CUarray array;
    CUDA_ARRAY_DESCRIPTOR shape = {.Width = 16, .Height = 1, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    void *pinned;
    with_context();
    SET(cuModuleLoadData(&module, PTX));
    SET(cuStreamCreate(&stream, 0));
    SET(cuEventCreate(&event, 0));
    SET(cuMemAlloc(&p, 64));
    SET(cuMemAllocAsync(&q, 64, stream));
    SET(cuMemHostAlloc(&pinned, 64, 0));
    SET(cuArrayCreate(&array, &shape));
    FAILS(ILLEGAL_ADDRESS, DOC, make_sticky());
    FAILS(ILLEGAL_ADDRESS, ISSUE(davisking/dlib 1743), cuMemFree(p));
    FAILS(ILLEGAL_ADDRESS, ISSUE(davisking/dlib 1743), cuMemFreeHost(pinned));
    FAILS(ILLEGAL_ADDRESS, DOC, cuMemFreeAsync(q, stream));
    FAILS(ILLEGAL_ADDRESS, DOC, cuArrayDestroy(array));
    FAILS(ILLEGAL_ADDRESS, ISSUE(davisking/dlib 1743), cuStreamDestroy(stream));
    FAILS(ILLEGAL_ADDRESS, ISSUE(NVIDIA/TensorRT 1469), cuEventDestroy(event));
    FAILS(ILLEGAL_ADDRESS, ISSUE(cupy/cupy 9811), cuModuleUnload(module));
    WORKS(DOC, cuDevicePrimaryCtxReset(0));
}

STATE(after_an_assertion) {
    CUdeviceptr p;
    with_context();
    FAILS(ASSERT, DOC, run("claims"));
    FAILS(ASSERT, DOC, cuCtxSynchronize());
    FAILS(ASSERT, DOC, cuMemAlloc(&p, 64));
    FAILS(ASSERT, DOC, cuStreamQuery(NULL));
}

STATE(after_a_misaligned_address) {
    CUdeviceptr p, odd;
    unsigned value = 1;
    with_context();
    SET(cuMemAlloc(&p, 64));
    odd = p + 1;
    void *parameters[] = {&odd, &value};
    WORKS(DOC, cuLaunchKernel(kernel_of("store"), 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    FAILS(MISALIGNED_ADDRESS, DOC, cuCtxSynchronize());
    FAILS(MISALIGNED_ADDRESS, DOC, cuStreamQuery(NULL));
    FAILS(MISALIGNED_ADDRESS, DOC, cuMemFree(p));
}

/* "Setting CU_LIMIT_PRINTF_FIFO_SIZE must be performed before launching any kernel that uses the printf() device system call" */
STATE(limit_of_printf_in_use) {
    with_context();
    WORKS(DOC, cuCtxSetLimit(CU_LIMIT_PRINTF_FIFO_SIZE, MIB));
    SET(run("claims_not"));
    WORKS(DOC, cuCtxSetLimit(CU_LIMIT_PRINTF_FIFO_SIZE, 2 * MIB));
    SET(run("prints"));
    FAILS(INVALID_VALUE, HIP(hipDeviceSetGetLimit), cuCtxSetLimit(CU_LIMIT_PRINTF_FIFO_SIZE, 1024));
    FAILS(INVALID_VALUE, DOC, cuCtxSetLimit(CU_LIMIT_PRINTF_FIFO_SIZE, 4 * MIB));
    WORKS(DOC, cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 16 * MIB));
}

/* "Setting CU_LIMIT_MALLOC_HEAP_SIZE must be performed before launching any kernel that uses the malloc() or free() device system calls" */
STATE(limit_of_the_heap_in_use) {
    CUdeviceptr p;
    unsigned long long got[2] = {0, 0}, wanted = 12 * MIB;
    CUmodule module;
    CUfunction takes;
    with_context();
    SET(cuMemAlloc(&p, 64));
    SET(cuModuleLoadData(&module, CALLS));
    SET(cuModuleGetFunction(&takes, module, "takes"));
    void *parameters[] = {&p, &wanted};
    WORKS(DOC, cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 16 * MIB));
    WORKS(DOC, cuLaunchKernel(takes, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    FAILS(INVALID_VALUE, HIP(hipDeviceSetGetLimit), cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 8 * MIB));
    FAILS(INVALID_VALUE, DOC, cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 32 * MIB));
    WORKS(DOC, cuMemcpyDtoH(got, p, 16));
    HOLDS(GUIDE, got[0] != 0);
    WORKS(DOC, cuCtxSetLimit(CU_LIMIT_PRINTF_FIFO_SIZE, 2 * MIB));
}
