/* Contexts: the stack, destroyed contexts, limits, flags, other threads. */
#include "fidelity.h"

STATE(context_stack) {
    CUcontext a, b, top;
    CUdevice device;
    SET(cuInit(0));
    FAILS(INVALID_VALUE, DOC, cuCtxCreate(NULL, NULL, 0, 0));
    FAILS(INVALID_VALUE, DOC, cuCtxCreate(&a, NULL, CU_CTX_SCHED_SPIN | CU_CTX_SCHED_YIELD, 0));
    FAILS(INVALID_VALUE, DOC, cuCtxCreate(&a, NULL, 0x10000, 0));
    FAILS(INVALID_DEVICE, DOC, cuCtxCreate(&a, NULL, 0, 1000));
    FAILS(INVALID_DEVICE, DOC, cuCtxCreate(&a, NULL, 0, -1));
    WORKS(DOC, cuCtxCreate(&a, NULL, 0, 0));
    WORKS(DOC, cuCtxCreate(&b, NULL, CU_CTX_SCHED_BLOCKING_SYNC | CU_CTX_MAP_HOST, 0));
    FAILS(INVALID_VALUE, DOC, cuCtxGetCurrent(NULL));
    FAILS(INVALID_VALUE, DOC, cuCtxGetDevice(NULL));
    WORKS(DOC, cuCtxGetCurrent(&top));
    HOLDS(DOC, top == b);
    WORKS(DOC, cuCtxPopCurrent(&top));
    HOLDS(DOC, top == b);
    WORKS(DOC, cuCtxPushCurrent(b));
    WORKS(DOC, cuCtxPushCurrent(b));
    WORKS(DOC, cuCtxPopCurrent(NULL));
    WORKS(DOC, cuCtxPopCurrent(NULL));
    WORKS(DOC, cuCtxPopCurrent(&top));
    HOLDS(DOC, top == a);
    FAILS(INVALID_CONTEXT, DOC, cuCtxPopCurrent(&top));
    /* "If ctx is NULL, then the current CUDA context is popped"; with an empty stack there is nothing to do. */
    WORKS(DOC, cuCtxSetCurrent(NULL));
    WORKS(DOC, cuCtxSetCurrent(a));
    WORKS(DOC, cuCtxSetCurrent(b));
    WORKS(DOC, cuCtxGetDevice(&device));
    WORKS(DOC, cuCtxSetCurrent(NULL));
    WORKS(DOC, cuCtxGetCurrent(&top));
    HOLDS(DOC, top == NULL);
    /* "If ctx is current to the calling thread then ctx will also be popped from the current thread's context stack" */
    WORKS(DOC, cuCtxPushCurrent(a));
    WORKS(DOC, cuCtxPushCurrent(b));
    WORKS(DOC, cuCtxDestroy(b));
    WORKS(DOC, cuCtxGetCurrent(&top));
    HOLDS(DOC, top == a);
    WORKS(DOC, cuCtxDestroy(a));
    WORKS(DOC, cuCtxGetCurrent(&top));
    HOLDS(DOC, top == NULL);
}

static void *destroys(void *context) { return (void *)(uintptr_t)cuCtxDestroy(context); }

STATE(destroyed_context) {
    CUcontext context, top;
    CUdeviceptr p, q;
    CUstream stream;
    CUevent event;
    CUmodule module;
    CUfunction function;
    size_t bytes, total;
    pthread_t thread;
    void *result;
    SET(cuInit(0));
    SET(cuCtxCreate(&context, NULL, 0, 0));
    SET(cuMemAlloc(&p, 64));
    SET(cuStreamCreate(&stream, 0));
    SET(cuEventCreate(&event, 0));
    SET(cuModuleLoadData(&module, PTX));
    SET(cuModuleGetFunction(&function, module, "nothing"));
    /* "If ctx is current to other threads, then ctx will remain current to those threads, and attempting to access ctx from those
     * threads will result in the error CUDA_ERROR_CONTEXT_IS_DESTROYED." */
    SET(pthread_create(&thread, NULL, destroys, context));
    SET(pthread_join(thread, &result));
    WORKS(DOC, (uintptr_t)result);
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuCtxSynchronize());
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuMemAlloc(&q, 16));
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuMemGetInfo(&bytes, &total));
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuStreamCreate(&stream, 0));
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuStreamQuery(NULL));
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuStreamSynchronize(NULL));
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuEventCreate(&event, 0));
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuModuleLoadData(&module, PTX));
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuMemsetD8(p, 0, 16));
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuMemcpyDtoH(&bytes, p, 4));
    FAILS(CONTEXT_IS_DESTROYED, DOC, cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 1024));
    WORKS(DOC, cuCtxPopCurrent(&top));
    WORKS(DOC, cuCtxGetCurrent(&top));
    HOLDS(DOC, top == NULL);
}

STATE(limits) {
    size_t bytes;
    with_context();
    FAILS(INVALID_VALUE, HIP(hipDeviceSetGetLimit), cuCtxGetLimit(NULL, CU_LIMIT_STACK_SIZE));
    FAILS(UNSUPPORTED_LIMIT, DOC, cuCtxGetLimit(&bytes, CU_LIMIT_MAX));
    FAILS(UNSUPPORTED_LIMIT, DOC, cuCtxGetLimit(&bytes, (CUlimit)1000));
    FAILS(UNSUPPORTED_LIMIT, HIP(hipDeviceSetGetLimit), cuCtxGetLimit(&bytes, (CUlimit)-1));
    FAILS(UNSUPPORTED_LIMIT, DOC, cuCtxSetLimit((CUlimit)1000, 1));
    FAILS(UNSUPPORTED_LIMIT, HIP(hipDeviceSetGetLimit), cuCtxSetLimit((CUlimit)-1, 1024));
    WORKS(DOC, cuCtxGetLimit(&bytes, CU_LIMIT_STACK_SIZE));
    WORKS(DOC, cuCtxGetLimit(&bytes, CU_LIMIT_PRINTF_FIFO_SIZE));
    WORKS(DOC, cuCtxGetLimit(&bytes, CU_LIMIT_MALLOC_HEAP_SIZE));
    WORKS(DOC, cuCtxGetLimit(&bytes, CU_LIMIT_MAX_L2_FETCH_GRANULARITY));
    WORKS(DOC, cuCtxSetLimit(CU_LIMIT_STACK_SIZE, 4096));
    WORKS(DOC, cuCtxGetLimit(&bytes, CU_LIMIT_STACK_SIZE));
    HOLDS(DOC, bytes >= 4096);
    WORKS(DOC, cuCtxSetLimit(CU_LIMIT_PRINTF_FIFO_SIZE, 2 * MIB));
    WORKS(DOC, cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, 16 * MIB));
    WORKS(DOC, cuCtxGetLimit(&bytes, CU_LIMIT_MALLOC_HEAP_SIZE));
    HOLDS(DOC, bytes >= 16 * MIB);
    FAILS(OUT_OF_MEMORY, DOC, cuCtxSetLimit(CU_LIMIT_MALLOC_HEAP_SIZE, TIB));
    WORKS(DOC, cuCtxSetLimit(CU_LIMIT_MAX_L2_FETCH_GRANULARITY, 64));
}

STATE(cache_and_flags) {
    CUfunc_cache cache;
    unsigned flags, version;
    int low, high;
    unsigned long long id = 0, again = 0;
    CUcontext context = with_context();
    WORKS(DOC, cuCtxGetCacheConfig(&cache));
    FAILS(INVALID_VALUE, DOC, cuCtxGetCacheConfig(NULL));
    WORKS(DOC, cuCtxSetCacheConfig(CU_FUNC_CACHE_PREFER_SHARED));
    FAILS(INVALID_VALUE, DOC, cuCtxSetCacheConfig((CUfunc_cache)4));
    FAILS(INVALID_VALUE, DOC, cuCtxSetCacheConfig((CUfunc_cache)-1));
    FAILS(INVALID_VALUE, DOC, cuCtxGetFlags(NULL));
    WORKS(DOC, cuCtxGetFlags(&flags));
    FAILS(INVALID_VALUE, DOC, cuCtxSetFlags(0x10000));
    WORKS(DOC, cuCtxGetApiVersion(context, &version));
    WORKS(DOC, cuCtxGetApiVersion(NULL, &version));
    FAILS(INVALID_VALUE, DOC, cuCtxGetApiVersion(context, NULL));
    WORKS(DOC, cuCtxGetStreamPriorityRange(&low, &high));
    HOLDS(DOC, low >= high);
    /* "Passing in a NULL value for leastPriority or greatestPriority ... will result in it not being returned" */
    WORKS(DOC, cuCtxGetStreamPriorityRange(NULL, &high));
    WORKS(DOC, cuCtxGetStreamPriorityRange(&low, NULL));
    WORKS(DOC, cuCtxGetId(context, &id));
    WORKS(DOC, cuCtxGetId(NULL, &again));
    HOLDS(DOC, id == again);
    FAILS(INVALID_VALUE, DOC, cuCtxGetId(context, NULL));
    /* The device is not its own peer. */
    FAILS(INVALID_CONTEXT, DOC, cuCtxEnablePeerAccess(context, 0));
    FAILS(INVALID_CONTEXT, DOC, cuCtxEnablePeerAccess(WILD(CUcontext), 0));
    FAILS(PEER_ACCESS_NOT_ENABLED, DOC, cuCtxDisablePeerAccess(context));
    WORKS(CP(test_profiler), cuProfilerStart());
    WORKS(CP(test_profiler), cuProfilerStop());
}

static CUresult codes[4];
static CUcontext shared_context;

static void *elsewhere(void *data) {
    CUdeviceptr p;
    (void)data;
    codes[0] = cuMemAlloc(&p, 16);
    codes[1] = cuCtxSynchronize();
    codes[2] = cuStreamQuery(NULL);
    cuCtxSetCurrent(shared_context);
    codes[3] = cuCtxSynchronize();
    return NULL;
}

/* A thread has a stack of its own. */
STATE(another_thread) {
    pthread_t thread;
    shared_context = with_context();
    SET(pthread_create(&thread, NULL, elsewhere, NULL));
    SET(pthread_join(thread, NULL));
    FAILS(INVALID_CONTEXT, DOC, codes[0]);
    FAILS(INVALID_CONTEXT, DOC, codes[1]);
    FAILS(INVALID_CONTEXT, DOC, codes[2]);
    WORKS(DOC, codes[3]);
}
