/* Handles of other kinds and of nothing, given to everything that takes one: "a resource handle passed to the API call was not valid". */
#include "fidelity.h"

static void give(void *h) {
    int number;
    unsigned flags;
    float ms;
    size_t bytes;
    CUdeviceptr p;
    CUfunction function;
    CUkernel kernel;
    CUcontext context;
    void *image;
    FAILS(INVALID_HANDLE, DOC, cuEventQuery(h));
    FAILS(INVALID_HANDLE, DOC, cuEventRecord(h, NULL));
    FAILS(INVALID_HANDLE, DOC, cuEventSynchronize(h));
    FAILS(INVALID_HANDLE, DOC, cuEventElapsedTime(&ms, h, h));
    FAILS(INVALID_HANDLE, DOC, cuStreamWaitEvent(NULL, h, 0));
    FAILS(INVALID_HANDLE, DOC, cuEventDestroy(h));
    FAILS(INVALID_HANDLE, DOC, cuModuleGetFunction(&function, h, "nothing"));
    FAILS(INVALID_HANDLE, DOC, cuModuleGetGlobal(&p, &bytes, h, "number"));
    FAILS(INVALID_HANDLE, DOC, cuModuleUnload(h));
    FAILS(INVALID_HANDLE, DOC, cuFuncGetAttribute(&number, CU_FUNC_ATTRIBUTE_NUM_REGS, h));
    FAILS(INVALID_HANDLE, DOC, cuFuncSetAttribute(h, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1024));
    FAILS(INVALID_HANDLE, DOC, cuLaunchKernel(h, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    FAILS(INVALID_HANDLE, DOC, cuLibraryGetKernel(&kernel, h, "nothing"));
    FAILS(INVALID_HANDLE, DOC, cuLibraryUnload(h));
    FAILS(INVALID_HANDLE, DOC, cuKernelGetFunction(&function, h));
    FAILS(INVALID_HANDLE, DOC, cuLinkComplete(h, &image, &bytes));
    FAILS(INVALID_HANDLE, DOC, cuArrayDestroy(h));
    if (h == NULL) return;
    FAILS(INVALID_HANDLE, DOC, cuStreamQuery(h));
    FAILS(INVALID_HANDLE, DOC, cuStreamSynchronize(h));
    FAILS(INVALID_HANDLE, DOC, cuStreamGetPriority(h, &number));
    FAILS(INVALID_HANDLE, DOC, cuStreamGetFlags(h, &flags));
    FAILS(INVALID_HANDLE, DOC, cuStreamGetCtx(h, &context));
    FAILS(INVALID_HANDLE, DOC, cuStreamDestroy(h));
    FAILS(INVALID_CONTEXT, DOC, cuCtxSetCurrent(h));
    FAILS(INVALID_CONTEXT, DOC, cuCtxPushCurrent(h));
}

STATE(zero_handles) {
    with_context();
    give(NULL);
}

STATE(wild_handles) {
    with_context();
    give(WILD(void *));
    give((void *)-1);
}

STATE(handles_of_other_kinds) {
    CUmemoryPool pool;
    CUdeviceptr p;
    with_context();
    SET(cuDeviceGetDefaultMemPool(&pool, 0));
    SET(cuMemAlloc(&p, 64));
    give(pool);
    give((void *)p);
}
