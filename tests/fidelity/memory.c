/* Allocation, host memory, pools. */
#include "fidelity.h"

STATE(device_memory) {
    CUdeviceptr p, q = 0, base;
    size_t pitch, size;
    int host;
    with_context();
    SET(cuMemAlloc(&p, 4096));
    FAILS(INVALID_VALUE, DOC, cuMemAlloc(&q, 0));
    FAILS(INVALID_VALUE, DOC, cuMemAlloc(NULL, 64));
    FAILS(OUT_OF_MEMORY, DOC, cuMemAlloc(&q, TIB));
    FAILS(OUT_OF_MEMORY, DOC, cuMemAlloc(&q, SIZE_MAX));
    FAILS(OUT_OF_MEMORY, DOC, cuMemAlloc(&q, SIZE_MAX / 2));
    HOLDS(DOC, q == 0);
    FAILS(INVALID_VALUE, HIP(hipMallocPitch), cuMemAllocPitch(NULL, &pitch, 64, 64, 4));
    FAILS(INVALID_VALUE, HIP(hipMallocPitch), cuMemAllocPitch(&q, NULL, 64, 64, 4));
    FAILS(INVALID_VALUE, HIP(hipMallocPitch), cuMemAllocPitch(&q, &pitch, 0, 64, 4));
    FAILS(INVALID_VALUE, HIP(hipMallocPitch), cuMemAllocPitch(&q, &pitch, 64, 0, 4));
    FAILS(INVALID_VALUE, HIP(hipMallocPitch), cuMemAllocPitch(&q, &pitch, 64, 64, 0));
    FAILS(INVALID_VALUE, DOC, cuMemAllocPitch(&q, &pitch, 64, 64, 3));
    FAILS(INVALID_VALUE, DOC, cuMemAllocPitch(&q, &pitch, 64, 64, 32));
    FAILS(INVALID_VALUE, HIP(hipMallocPitch), cuMemAllocPitch(&q, &pitch, SIZE_MAX, 1, 4));
    FAILS(OUT_OF_MEMORY, HIP(hipMallocPitch), cuMemAllocPitch(&q, &pitch, 1, SIZE_MAX, 4));
    FAILS(OUT_OF_MEMORY, DOC, cuMemAllocPitch(&q, &pitch, MIB, MIB, 4));
    FAILS(INVALID_VALUE, DOC, cuMemFree(p + 16));
    FAILS(INVALID_VALUE, HIP(hipFree), cuMemFree((CUdeviceptr)(uintptr_t)&host));
    FAILS(INVALID_VALUE, DOC, cuMemFree(0x10));
    WORKS(DOC, cuMemGetAddressRange(&base, &size, p + 100));
    HOLDS(DOC, base == p && size == 4096);
    /* "If either pbase or psize is NULL, it is ignored." */
    WORKS(DOC, cuMemGetAddressRange(NULL, &size, p));
    WORKS(DOC, cuMemGetAddressRange(&base, NULL, p));
    FAILS(NOT_FOUND, HIP(hipMemGetAddressRange), cuMemGetAddressRange(&base, &size, 0));
    FAILS(NOT_FOUND, HIP(hipMemGetAddressRange), cuMemGetAddressRange(&base, &size, p + GIB));
    WORKS(DOC, cuMemFree(p));
    FAILS(INVALID_VALUE, HIP(hipFree), cuMemFree(p));
    FAILS(NOT_FOUND, DOC, cuMemGetAddressRange(&base, &size, p));
}

/* Out of memory leaves what there is as it was, and what was given back can be had again. */
STATE(out_of_memory) {
    CUdeviceptr block[64] = {0}, p = 0;
    CUarray array;
    size_t before, after, total;
    int count = 0;
    CUDA_ARRAY_DESCRIPTOR shape = {.Width = 32768, .Height = 32768, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 4};
    with_context();
    while (count < 64 && cuMemAlloc(&block[count], GIB) == CUDA_SUCCESS) count++;
    HOLDS(DOC, count > 0 && count < 64);
    SET(cuMemGetInfo(&before, &total));
    HOLDS(DOC, before < GIB);
    for (int i = 0; i < 3; i++) FAILS(OUT_OF_MEMORY, DOC, cuMemAlloc(&p, GIB));
    FAILS(OUT_OF_MEMORY, DOC, cuMemAllocPitch(&p, &total, MIB, 2048, 16));
    FAILS(OUT_OF_MEMORY, DOC, cuMemAllocAsync(&p, 2 * GIB, NULL));
    FAILS(OUT_OF_MEMORY, DOC, cuArrayCreate(&array, &shape));
    SET(cuMemGetInfo(&after, &total));
    HOLDS(DOC, after == before);
    WORKS(DOC, cuCtxSynchronize());
    WORKS(DOC, cuMemsetD8(block[0], 1, 64));
    WORKS(DOC, cuMemFree(block[--count]));
    WORKS(DOC, cuMemAlloc(&p, GIB));
    WORKS(DOC, cuMemFree(p));
    while (count > 0) SET(cuMemFree(block[--count]));
}

STATE(host_memory) {
    void *pinned, *p = NULL;
    char *pageable = aligned_alloc(4096, 16384);
    CUdeviceptr device, d;
    unsigned flags;
    with_context();
    memset(pageable, 0, 16384);
    SET(cuMemAlloc(&device, 4096));
    FAILS(INVALID_VALUE, HIP(hipHostAlloc), cuMemHostAlloc(NULL, 64, 0));
    FAILS(OUT_OF_MEMORY, HIP(hipHostAlloc), cuMemHostAlloc(&p, SIZE_MAX, 0));
    FAILS(INVALID_VALUE, HIP(hipHostAlloc), cuMemHostAlloc(&p, 64, 0xff00));
    FAILS(INVALID_VALUE, DOC, cuMemHostAlloc(&p, 64, 8));
    FAILS(INVALID_VALUE, DOC, cuMemAllocHost(NULL, 64));
    WORKS(DOC, cuMemHostAlloc(&pinned, 4096, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP));
    FAILS(INVALID_VALUE, HIP(hipHostGetDevicePointer), cuMemHostGetDevicePointer(NULL, pinned, 0));
    FAILS(INVALID_VALUE, HIP(hipHostGetDevicePointer), cuMemHostGetDevicePointer(&d, NULL, 0));
    FAILS(INVALID_VALUE, HIP(hipHostGetDevicePointer), cuMemHostGetDevicePointer(&d, pageable, 0));
    FAILS(INVALID_VALUE, HIP(hipHostGetDevicePointer), cuMemHostGetDevicePointer(&d, pinned, 1));
    WORKS(DOC, cuMemHostGetDevicePointer(&d, pinned, 0));
    FAILS(INVALID_VALUE, HIP(hipHostGetFlags), cuMemHostGetFlags(NULL, pinned));
    FAILS(INVALID_VALUE, HIP(hipHostGetFlags), cuMemHostGetFlags(&flags, (void *)device));
    FAILS(INVALID_VALUE, DOC, cuMemHostGetFlags(&flags, pageable));
    WORKS(DOC, cuMemHostGetFlags(&flags, pinned));
    HOLDS(DOC, (flags & CU_MEMHOSTALLOC_PORTABLE) != 0);
    FAILS(INVALID_VALUE, HIP(hipFree), cuMemFreeHost(pageable));
    FAILS(INVALID_VALUE, DOC, cuMemFreeHost((void *)device));
    WORKS(DOC, cuMemFreeHost(pinned));
    FAILS(INVALID_VALUE, HIP(hipFree), cuMemFreeHost(pinned));
    FAILS(INVALID_VALUE, HIP(hipHostRegister), cuMemHostRegister(NULL, 1, 0));
    FAILS(INVALID_VALUE, HIP(hipHostRegister), cuMemHostRegister(pageable, 0, 0));
    FAILS(INVALID_VALUE, HIP(hipHostRegister), cuMemHostRegister(pageable, 4096, 0xf0));
    FAILS(INVALID_VALUE, HIP(hipHostRegister), cuMemHostRegister(pageable, 4096, 0xfff2));
    FAILS(INVALID_VALUE, HIP(hipHostRegister), cuMemHostRegister(pageable, 4096, 0xffffffff));
    FAILS(HOST_MEMORY_NOT_REGISTERED, HIP(hipHostUnregister), cuMemHostUnregister(pageable));
    FAILS(INVALID_VALUE, HIP(hipHostUnregister), cuMemHostUnregister(NULL));
    WORKS(HIP(hipHostRegister), cuMemHostRegister(pageable, 8192, CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP));
    FAILS(HOST_MEMORY_ALREADY_REGISTERED, DOC, cuMemHostRegister(pageable, 8192, 0));
    FAILS(HOST_MEMORY_ALREADY_REGISTERED, DOC, cuMemHostRegister(pageable + 4096, 8192, 0));
    FAILS(INVALID_VALUE, HIP(hipFree), cuMemFreeHost(pageable));
    FAILS(INVALID_VALUE, CP(test_cudart_hostRegister), cuMemHostUnregister(pageable + 1));
    WORKS(DOC, cuMemHostGetDevicePointer(&d, pageable, 0));
    WORKS(DOC, cuMemHostGetDevicePointer(&d, pageable + 8191, 0));
    FAILS(INVALID_VALUE, DOC, cuMemHostGetDevicePointer(&d, pageable + 8192, 0));
    WORKS(DOC, cuMemHostUnregister(pageable));
    FAILS(HOST_MEMORY_NOT_REGISTERED, HIP(hipHostUnregister), cuMemHostUnregister(pageable));
    FAILS(INVALID_VALUE, HIP(hipHostUnregister), cuMemHostGetDevicePointer(&d, pageable, 0));
    free(pageable);
}

STATE(pools) {
    CUmemoryPool pool, standard, out;
    CUdeviceptr p = 0;
    CUstream none = (CUstream)-1;
    cuuint64_t value = 1;
    CUmemPoolProps good = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}}, bad;
    with_context();
    SET(cuDeviceGetDefaultMemPool(&standard, 0));
    FAILS(INVALID_VALUE, DOC, cuDeviceGetDefaultMemPool(NULL, 0));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetDefaultMemPool(&out, 1000));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetMemPool(&out, -1));
    FAILS(INVALID_VALUE, HIP(hipMemPoolCreate), cuMemPoolCreate(NULL, &good));
    FAILS(INVALID_VALUE, HIP(hipMemPoolCreate), cuMemPoolCreate(&out, NULL));
    bad = good, bad.allocType = CU_MEM_ALLOCATION_TYPE_INVALID;
    FAILS(INVALID_VALUE, HIP(hipMemPoolCreate), cuMemPoolCreate(&out, &bad));
    bad = good, bad.location.type = CU_MEM_LOCATION_TYPE_INVALID;
    FAILS(INVALID_VALUE, HIP(hipMemPoolCreate), cuMemPoolCreate(&out, &bad));
    bad = good, bad.location.id = 1000;
    FAILS(INVALID_VALUE, HIP(hipMemPoolCreate), cuMemPoolCreate(&out, &bad));
    WORKS(CP(test_cuda_memPool_attr), cuMemPoolCreate(&pool, &good));
    for (int attribute = 1; attribute <= 8; attribute++)
        WORKS(CP(test_cuda_memPool_attr), cuMemPoolGetAttribute(pool, (CUmemPool_attribute)attribute, &value));
    value = 9;
    for (int attribute = 1; attribute <= 4; attribute++)
        WORKS(CP(test_cuda_memPool_attr), cuMemPoolSetAttribute(pool, (CUmemPool_attribute)attribute, &value));
    FAILS(INVALID_VALUE, HIP(hipMemPoolSetGetAttribute), cuMemPoolGetAttribute(NULL, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &value));
    FAILS(INVALID_VALUE, HIP(hipMemPoolSetGetAttribute), cuMemPoolGetAttribute(pool, (CUmemPool_attribute)0x1000, &value));
    FAILS(INVALID_VALUE, HIP(hipMemPoolSetGetAttribute), cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, NULL));
    FAILS(INVALID_VALUE, HIP(hipMemPoolSetGetAttribute), cuMemPoolSetAttribute(NULL, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &value));
    FAILS(INVALID_VALUE, HIP(hipMemPoolSetGetAttribute), cuMemPoolSetAttribute(pool, (CUmemPool_attribute)0x1000, &value));
    FAILS(INVALID_VALUE, HIP(hipMemPoolSetGetAttribute), cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &value));
    FAILS(INVALID_VALUE, HIP(hipMemPoolSetGetAttribute), cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &value));
    FAILS(INVALID_VALUE, DOC, cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &value));
    value = 0;
    WORKS(DOC, cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &value));
    FAILS(INVALID_VALUE, HIP(hipMemPoolTrimTo), cuMemPoolTrimTo(NULL, 0));
    WORKS(DOC, cuMemPoolTrimTo(pool, 0));
    WORKS(DOC, cuDeviceSetMemPool(0, pool));
    WORKS(DOC, cuDeviceGetMemPool(&out, 0));
    HOLDS(DOC, out == pool);
    /* "it becomes the default pool again" */
    WORKS(DOC, cuMemPoolDestroy(pool));
    WORKS(DOC, cuDeviceGetMemPool(&out, 0));
    HOLDS(DOC, out == standard);
    FAILS(INVALID_VALUE, HIP(hipMemPoolDestroy), cuMemPoolDestroy(pool));
    FAILS(INVALID_VALUE, HIP(hipMemPoolDestroy), cuMemPoolDestroy(NULL));
    FAILS(INVALID_VALUE, HIP(hipMemPoolDestroy), cuMemPoolDestroy(standard));
    FAILS(INVALID_VALUE, HIP(hipMallocAsync), cuMemAllocAsync(NULL, 64, NULL));
    FAILS(INVALID_HANDLE, HIP(hipMallocAsync), cuMemAllocAsync(&p, 64, none));
    FAILS(OUT_OF_MEMORY, HIP(hipMallocAsync), cuMemAllocAsync(&p, SIZE_MAX, NULL));
    FAILS(INVALID_VALUE, HIP(hipFreeAsync), cuMemFreeAsync(0, NULL));
    WORKS(DOC, cuMemAllocAsync(&p, 64, NULL));
    FAILS(INVALID_HANDLE, HIP(hipFreeAsync), cuMemFreeAsync(p, none));
    WORKS(DOC, cuMemFreeAsync(p, NULL));
    FAILS(INVALID_VALUE, HIP(hipFreeAsync), cuMemFreeAsync(p, NULL));
    FAILS(INVALID_VALUE, DOC, cuMemAllocFromPoolAsync(&p, 64, NULL, NULL));
}

/* "To create an IPC capable mempool, create a mempool with a CUmemAllocationHandleType other than CU_MEM_HANDLE_TYPE_NONE." */
STATE(shared_pools) {
    CUmemoryPool pool, plain, imported, out;
    CUdeviceptr p, q, r = 0;
    CUmemPoolPtrExportData data;
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemAllocationHandleType by_descriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    int descriptor = -1, attribute = 0;
    with_context();
    SET(cuMemPoolCreate(&plain, &props));
    props.handleTypes = by_descriptor;
    WORKS(CP(test_cuda_mempool), cuMemPoolCreate(&pool, &props));
    props.handleTypes = (CUmemAllocationHandleType)0x1000;
    FAILS(INVALID_VALUE, DOC, cuMemPoolCreate(&out, &props));
    WORKS(DOC, cuDeviceGetAttribute(&attribute, CU_DEVICE_ATTRIBUTE_MEMPOOL_SUPPORTED_HANDLE_TYPES, 0));
    HOLDS(DOC, (attribute & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != 0);
    FAILS(INVALID_VALUE, DOC, cuMemPoolExportToShareableHandle(NULL, pool, by_descriptor, 0));
    FAILS(INVALID_VALUE, DOC, cuMemPoolExportToShareableHandle(&descriptor, NULL, by_descriptor, 0));
    FAILS(INVALID_VALUE, DOC, cuMemPoolExportToShareableHandle(&descriptor, pool, by_descriptor, 1));
    FAILS(INVALID_VALUE, DOC, cuMemPoolExportToShareableHandle(&descriptor, plain, by_descriptor, 0));
    WORKS(DOC, cuMemPoolExportToShareableHandle(&descriptor, pool, by_descriptor, 0));
    void *handle = (void *)(intptr_t)descriptor;
    FAILS(INVALID_VALUE, DOC, cuMemPoolImportFromShareableHandle(NULL, handle, by_descriptor, 0));
    FAILS(INVALID_VALUE, DOC, cuMemPoolImportFromShareableHandle(&imported, handle, by_descriptor, 1));
    FAILS(INVALID_VALUE, DOC, cuMemPoolImportFromShareableHandle(&imported, handle, CU_MEM_HANDLE_TYPE_NONE, 0));
    WORKS(DOC, cuMemPoolImportFromShareableHandle(&imported, handle, by_descriptor, 0));
    SET(cuMemAllocFromPoolAsync(&p, 64, pool, NULL));
    SET(cuMemAllocFromPoolAsync(&q, 64, plain, NULL));
    SET(cuStreamSynchronize(NULL));
    FAILS(INVALID_VALUE, DOC, cuMemPoolExportPointer(NULL, p));
    FAILS(INVALID_VALUE, DOC, cuMemPoolExportPointer(&data, 0));
    FAILS(INVALID_VALUE, DOC, cuMemPoolExportPointer(&data, q));
    WORKS(DOC, cuMemPoolExportPointer(&data, p));
    FAILS(INVALID_VALUE, DOC, cuMemPoolImportPointer(NULL, imported, &data));
    FAILS(INVALID_VALUE, DOC, cuMemPoolImportPointer(&r, imported, NULL));
    FAILS(INVALID_VALUE, DOC, cuMemPoolImportPointer(&r, NULL, &data));
    /* "Imported memory pools do not support creating new allocations." */
    FAILS(INVALID_VALUE, DOC, cuMemAllocFromPoolAsync(&r, 64, imported, NULL));
    FAILS(INVALID_VALUE, DOC, cuDeviceSetMemPool(0, imported));
}

/* "the event must have been created with CU_EVENT_INTERPROCESS and CU_EVENT_DISABLE_TIMING" */
STATE(shared_events) {
    CUevent event, plain;
    CUipcEventHandle handle;
    float time;
    with_context();
    FAILS(INVALID_VALUE, DOC, cuEventCreate(&event, CU_EVENT_INTERPROCESS));
    WORKS(DOC, cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING));
    SET(cuEventCreate(&plain, CU_EVENT_DISABLE_TIMING));
    FAILS(INVALID_VALUE, DOC, cuIpcGetEventHandle(NULL, event));
    FAILS(INVALID_HANDLE, DOC, cuIpcGetEventHandle(&handle, NULL));
    FAILS(INVALID_HANDLE, DOC, cuIpcGetEventHandle(&handle, WILD(CUevent)));
    FAILS(INVALID_HANDLE, DOC, cuIpcGetEventHandle(&handle, plain));
    WORKS(DOC, cuIpcGetEventHandle(&handle, event));
    FAILS(INVALID_VALUE, DOC, cuIpcOpenEventHandle(NULL, handle));
    WORKS(DOC, cuEventQuery(event));
    WORKS(DOC, cuEventRecord(event, NULL));
    WORKS(DOC, cuEventSynchronize(event));
    WORKS(DOC, cuEventQuery(event));
    FAILS(INVALID_HANDLE, DOC, cuEventElapsedTime(&time, event, event));
    WORKS(DOC, cuStreamWaitEvent(NULL, event, 0));
    WORKS(DOC, cuEventDestroy(event));
    FAILS(INVALID_HANDLE, DOC, cuEventDestroy(event));
}
