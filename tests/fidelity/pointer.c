/* What is known of a pointer. */
#include "fidelity.h"

STATE(pointer_attributes) {
    CUdeviceptr p, freed, d = 1;
    CUcontext context;
    void *pinned, *host = malloc(64), *h;
    unsigned type = 99, flag = 99;
    unsigned long long id;
    int ordinal = 99;
    size_t size;
    CUcontext expected = with_context();
    SET(cuMemAlloc(&p, 4096));
    SET(cuMemAlloc(&freed, 4096));
    SET(cuMemFree(freed));
    SET(cuMemHostAlloc(&pinned, 4096, 0));
    const CUdeviceptr pageable = (CUdeviceptr)(uintptr_t)host, locked = (CUdeviceptr)(uintptr_t)pinned;
    FAILS(INVALID_VALUE, HIP(hipPointerGetAttribute), cuPointerGetAttribute(NULL, CU_POINTER_ATTRIBUTE_DEVICE_POINTER, p));
    FAILS(INVALID_VALUE, HIP(hipPointerGetAttribute), cuPointerGetAttribute(&d, CU_POINTER_ATTRIBUTE_DEVICE_POINTER, 0));
    FAILS(INVALID_VALUE, HIP(hipPointerGetAttribute), cuPointerGetAttribute(&d, CU_POINTER_ATTRIBUTE_DEVICE_POINTER, freed));
    FAILS(INVALID_VALUE, HIP(hipPointerGetAttribute), cuPointerGetAttribute(&d, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, pageable));
    FAILS(INVALID_VALUE, HIP(hipPointerGetAttribute), cuPointerGetAttribute(&h, CU_POINTER_ATTRIBUTE_HOST_POINTER, p));
    FAILS(INVALID_VALUE, HIP(hipPointerGetAttribute), cuPointerGetAttribute(&id, CU_POINTER_ATTRIBUTE_BUFFER_ID, pageable));
    FAILS(INVALID_VALUE, HIP(hipPointerGetAttribute), cuPointerGetAttribute(&d, (CUpointer_attribute)-1, p));
    FAILS(INVALID_VALUE, DOC, cuPointerGetAttribute(&d, (CUpointer_attribute)0, p));
    FAILS(INVALID_VALUE, DOC, cuPointerGetAttribute(&d, (CUpointer_attribute)1000, p));
    FAILS(INVALID_VALUE, DOC, cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pageable));
    FAILS(INVALID_VALUE, DOC, cuPointerGetAttribute(&context, CU_POINTER_ATTRIBUTE_CONTEXT, freed));
    WORKS(DOC, cuPointerGetAttribute(&context, CU_POINTER_ATTRIBUTE_CONTEXT, p));
    HOLDS(DOC, context == expected);
    WORKS(DOC, cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p + 100));
    HOLDS(DOC, type == CU_MEMORYTYPE_DEVICE);
    WORKS(DOC, cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, locked));
    HOLDS(DOC, type == CU_MEMORYTYPE_HOST);
    WORKS(DOC, cuPointerGetAttribute(&h, CU_POINTER_ATTRIBUTE_HOST_POINTER, locked));
    HOLDS(DOC, h == pinned);
    WORKS(DOC, cuPointerGetAttribute(&d, CU_POINTER_ATTRIBUTE_DEVICE_POINTER, locked));
    WORKS(DOC, cuPointerGetAttribute(&d, CU_POINTER_ATTRIBUTE_DEVICE_POINTER, p + 8));
    HOLDS(DOC, d == p + 8);
    WORKS(DOC, cuPointerGetAttribute(&id, CU_POINTER_ATTRIBUTE_BUFFER_ID, p));
    WORKS(DOC, cuPointerGetAttribute(&flag, CU_POINTER_ATTRIBUTE_IS_MANAGED, p));
    HOLDS(DOC, (flag & 0xff) == 0);
    WORKS(DOC, cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, p));
    HOLDS(DOC, ordinal == 0);
    WORKS(DOC, cuPointerGetAttribute(&d, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, p + 100));
    HOLDS(DOC, d == p);
    WORKS(DOC, cuPointerGetAttribute(&size, CU_POINTER_ATTRIBUTE_RANGE_SIZE, p + 100));
    HOLDS(DOC, size == 4096);
    /* Programs that have no context yet take the one that they find. */
    SET(cuCtxPopCurrent(&context));
    context = NULL;
    WORKS(CP(Buffer_from_ipc_descriptor), cuPointerGetAttribute(&size, CU_POINTER_ATTRIBUTE_RANGE_SIZE, p));
    WORKS(DOC, cuPointerGetAttribute(&context, CU_POINTER_ATTRIBUTE_CONTEXT, p));
    HOLDS(DOC, context == expected);
    SET(cuCtxPushCurrent(context));
    WORKS(DOC, cuPointerGetAttribute(&flag, CU_POINTER_ATTRIBUTE_MAPPED, p));
    WORKS(DOC, cuPointerGetAttribute(&flag, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, p));
    flag = 1;
    WORKS(CP(test_cuda_pointer_attr), cuPointerSetAttribute(&flag, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, p));
    FAILS(INVALID_VALUE, DOC, cuPointerSetAttribute(NULL, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, p));
    FAILS(INVALID_VALUE, DOC, cuPointerSetAttribute(&flag, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p));
    FAILS(INVALID_VALUE, DOC, cuPointerSetAttribute(&flag, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, pageable));
    free(host);
}

STATE(pointer_attribute_lists) {
    CUdeviceptr p, d = 7;
    unsigned type = 7;
    void *data[] = {&type, &d};
    CUpointer_attribute list[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_POINTER};
    CUpointer_attribute wrong[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (CUpointer_attribute)1000};
    with_context();
    SET(cuMemAlloc(&p, 4096));
    FAILS(INVALID_VALUE, HIP(hipDrvPtrGetAttributes), cuPointerGetAttributes(0, list, data, p));
    FAILS(INVALID_VALUE, HIP(hipDrvPtrGetAttributes), cuPointerGetAttributes(2, NULL, data, p));
    FAILS(INVALID_VALUE, HIP(hipDrvPtrGetAttributes), cuPointerGetAttributes(2, list, NULL, p));
    FAILS(INVALID_VALUE, HIP(hipDrvPtrGetAttributes), cuPointerGetAttributes(2, wrong, data, p));
    WORKS(DOC, cuPointerGetAttributes(2, list, data, p));
    HOLDS(DOC, type == CU_MEMORYTYPE_DEVICE && d == p);
    /* "the attributes are assigned default NULL values and CUDA_SUCCESS is returned" */
    WORKS(DOC, cuPointerGetAttributes(2, list, data, (CUdeviceptr)(uintptr_t)&type));
    HOLDS(DOC, type == 0 && d == 0);
    type = 7;
    WORKS(DOC, cuPointerGetAttributes(2, list, data, 0));
    HOLDS(DOC, type == 0);
}
