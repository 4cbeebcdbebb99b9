/* Virtual memory: reservations, physical memory, mappings, access, handles that are shared. */
#include "fidelity.h"

static CUmemAllocationProp on_device(void) {
    return (CUmemAllocationProp){.type = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
}

static CUmemAccessDesc access_of(CUmemAccess_flags flags) {
    return (CUmemAccessDesc){.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}, .flags = flags};
}

static size_t granule(void) {
    CUmemAllocationProp good = on_device();
    size_t bytes;
    SET(cuMemGetAllocationGranularity(&bytes, &good, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    return bytes;
}

STATE(granularity) {
    CUmemAllocationProp good = on_device(), bad;
    size_t least = 0, best = 0;
    with_context();
    FAILS(INVALID_VALUE, HIP(hipMemGetAllocationGranularity), cuMemGetAllocationGranularity(NULL, &good, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    FAILS(INVALID_VALUE, HIP(hipMemGetAllocationGranularity), cuMemGetAllocationGranularity(&least, NULL, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    FAILS(INVALID_VALUE, HIP(hipMemGetAllocationGranularity), cuMemGetAllocationGranularity(&least, &good, (CUmemAllocationGranularity_flags)0xff));
    bad = good, bad.type = CU_MEM_ALLOCATION_TYPE_INVALID;
    FAILS(INVALID_VALUE, HIP(hipMemGetAllocationGranularity), cuMemGetAllocationGranularity(&least, &bad, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    bad = good, bad.location.type = CU_MEM_LOCATION_TYPE_INVALID;
    FAILS(INVALID_VALUE, HIP(hipMemGetAllocationGranularity), cuMemGetAllocationGranularity(&least, &bad, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    WORKS(DOC, cuMemGetAllocationGranularity(&least, &good, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    WORKS(DOC, cuMemGetAllocationGranularity(&best, &good, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
    HOLDS(DOC, least > 0 && best % least == 0);
}

STATE(reservations) {
    CUdeviceptr p, q;
    size_t g;
    with_context();
    g = granule();
    FAILS(INVALID_VALUE, HIP(hipMemAddressReserve), cuMemAddressReserve(NULL, g, 0, 0, 0));
    FAILS(INVALID_VALUE, HIP(hipMemAddressReserve), cuMemAddressReserve(&p, 0, 0, 0, 0));
    FAILS(INVALID_VALUE, HIP(hipMemAddressReserve), cuMemAddressReserve(&p, g, 3, 0, 0));
    FAILS(INVALID_VALUE, HIP(hipMemAddressReserve), cuMemAddressReserve(&p, g - 1, 0, 0, 0));
    FAILS(INVALID_VALUE, DOC, cuMemAddressReserve(&p, g, 0, 0, 1));
    FAILS(OUT_OF_MEMORY, DOC, cuMemAddressReserve(&p, (size_t)1 << 60, 0, 0, 0));
    /* "The size and address parameters must be a multiple of the host page size" */
    WORKS(DOC, cuMemAddressReserve(&q, 4096, 0, 0, 0));
    WORKS(DOC, cuMemAddressFree(q, 4096));
    WORKS(DOC, cuMemAddressReserve(&p, 4 * g, 4 * g, 0, 0));
    HOLDS(DOC, p % (4 * g) == 0);
    FAILS(INVALID_VALUE, HIP(hipMemAddressFree), cuMemAddressFree(0, 4 * g));
    FAILS(INVALID_VALUE, HIP(hipMemAddressFree), cuMemAddressFree(p, 0));
    FAILS(INVALID_VALUE, DOC, cuMemAddressFree(p, 2 * g));
    FAILS(INVALID_VALUE, DOC, cuMemAddressFree(p + g, g));
    FAILS(INVALID_VALUE, DOC, cuMemFree(p));
    WORKS(DOC, cuMemAddressFree(p, 4 * g));
    FAILS(INVALID_VALUE, DOC, cuMemAddressFree(p, 4 * g));
}

STATE(physical_memory) {
    CUmemAllocationProp good = on_device(), bad, got;
    CUmemGenericAllocationHandle handle, again;
    size_t g, total;
    CUdeviceptr ordinary;
    with_context();
    g = granule();
    SET(cuDeviceTotalMem(&total, 0));
    SET(cuMemAlloc(&ordinary, 64));
    FAILS(INVALID_VALUE, HIP(hipMemCreate), cuMemCreate(NULL, g, &good, 0));
    FAILS(INVALID_VALUE, HIP(hipMemCreate), cuMemCreate(&handle, 0, &good, 0));
    FAILS(INVALID_VALUE, HIP(hipMemCreate), cuMemCreate(&handle, g, NULL, 0));
    FAILS(INVALID_VALUE, HIP(hipMemCreate), cuMemCreate(&handle, g - 1, &good, 0));
    FAILS(INVALID_VALUE, HIP(hipMemCreate), cuMemCreate(&handle, g, &good, 1));
    bad = good, bad.type = CU_MEM_ALLOCATION_TYPE_INVALID;
    FAILS(INVALID_VALUE, HIP(hipMemCreate), cuMemCreate(&handle, g, &bad, 0));
    bad = good, bad.location.type = CU_MEM_LOCATION_TYPE_INVALID;
    FAILS(INVALID_VALUE, HIP(hipMemCreate), cuMemCreate(&handle, g, &bad, 0));
    bad = good, bad.location.id = 1000;
    FAILS(INVALID_DEVICE, DOC, cuMemCreate(&handle, g, &bad, 0));
    bad = good, bad.location.id = -1;
    FAILS(INVALID_DEVICE, DOC, cuMemCreate(&handle, g, &bad, 0));
    bad = good, bad.location.type = CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT;
    FAILS(INVALID_VALUE, DOC, cuMemCreate(&handle, g, &bad, 0));
    bad = good, bad.location.type = CU_MEM_LOCATION_TYPE_HOST, bad.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    FAILS(INVALID_VALUE, DOC, cuMemCreate(&handle, g, &bad, 0));
    bad = good, bad.requestedHandleTypes = (CUmemAllocationHandleType)0x1000;
    FAILS(INVALID_VALUE, DOC, cuMemCreate(&handle, g, &bad, 0));
    FAILS(OUT_OF_MEMORY, DOC, cuMemCreate(&handle, (total / g + 1) * g, &good, 0));
    WORKS(DOC, cuMemCreate(&handle, g, &good, 0));
    FAILS(INVALID_VALUE, HIP(hipMemGetAllocationPropertiesFromHandle), cuMemGetAllocationPropertiesFromHandle(NULL, handle));
    FAILS(INVALID_VALUE, HIP(hipMemGetAllocationPropertiesFromHandle), cuMemGetAllocationPropertiesFromHandle(&got, 0));
    WORKS(DOC, cuMemGetAllocationPropertiesFromHandle(&got, handle));
    HOLDS(DOC, got.type == good.type && got.location.id == 0);
    FAILS(INVALID_VALUE, HIP(hipMemRetainAllocationHandle), cuMemRetainAllocationHandle(NULL, (void *)ordinary));
    FAILS(INVALID_VALUE, HIP(hipMemRetainAllocationHandle), cuMemRetainAllocationHandle(&again, NULL));
    FAILS(INVALID_VALUE, DOC, cuMemRetainAllocationHandle(&again, (void *)ordinary));
    FAILS(INVALID_VALUE, HIP(hipMemRelease), cuMemRelease(0));
    WORKS(DOC, cuMemRelease(handle));
    FAILS(INVALID_VALUE, HIP(hipMemRelease), cuMemRelease(handle));
    FAILS(INVALID_VALUE, DOC, cuMemGetAllocationPropertiesFromHandle(&got, handle));
}

STATE(mappings) {
    CUmemAllocationProp good = on_device();
    CUmemAccessDesc both = access_of(CU_MEM_ACCESS_FLAGS_PROT_READWRITE), bad;
    CUmemLocation here = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}, nowhere = {.type = CU_MEM_LOCATION_TYPE_INVALID};
    CUmemGenericAllocationHandle handle, again;
    CUdeviceptr p;
    unsigned long long flags = 77;
    char host[16] = "";
    size_t g;
    with_context();
    g = granule();
    SET(cuMemAddressReserve(&p, 4 * g, 0, 0, 0));
    SET(cuMemCreate(&handle, 2 * g, &good, 0));
    FAILS(INVALID_VALUE, HIP(hipMemMap), cuMemMap(0, g, 0, handle, 0));
    FAILS(INVALID_VALUE, HIP(hipMemMap), cuMemMap(p, 0, 0, handle, 0));
    FAILS(INVALID_VALUE, HIP(hipMemMap), cuMemMap(p, g - 1, 0, handle, 0));
    FAILS(INVALID_VALUE, DOC, cuMemMap(p, 2 * g, 0, 0, 0));
    FAILS(INVALID_VALUE, DOC, cuMemMap(p, 2 * g, 0, handle, 1));
    FAILS(INVALID_VALUE, DOC, cuMemMap(p, 3 * g, 0, handle, 0));
    FAILS(INVALID_VALUE, DOC, cuMemMap(p + 3 * g, 2 * g, 0, handle, 0));
    FAILS(INVALID_VALUE, DOC, cuMemMap(0x123456000000ull, 2 * g, 0, handle, 0));
    FAILS(INVALID_VALUE, DOC, cuMemUnmap(p, 2 * g));
    FAILS(INVALID_VALUE, DOC, cuMemSetAccess(p, 2 * g, &both, 1));
    WORKS(DOC, cuMemMap(p, 2 * g, 0, handle, 0));
    FAILS(INVALID_VALUE, DOC, cuMemMap(p, 2 * g, 0, handle, 0));
    FAILS(INVALID_VALUE, DOC, cuMemMap(p + g, 2 * g, 0, handle, 0));
    FAILS(INVALID_VALUE, DOC, cuMemAddressFree(p, 4 * g));
    WORKS(DOC, cuMemGetAccess(&flags, &here, p));
    HOLDS(DOC, flags == CU_MEM_ACCESS_FLAGS_PROT_NONE);
    FAILS(INVALID_VALUE, HIP(hipMemSetAccess), cuMemSetAccess(0, 2 * g, &both, 1));
    FAILS(INVALID_VALUE, HIP(hipMemSetAccess), cuMemSetAccess(p, 0, &both, 1));
    FAILS(INVALID_VALUE, HIP(hipMemSetAccess), cuMemSetAccess(p, 2 * g, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipMemSetAccess), cuMemSetAccess(p, 2 * g, &both, 0));
    FAILS(INVALID_VALUE, HIP(hipMemSetAccess), cuMemSetAccess(p, 3 * g, &both, 1));
    bad = both, bad.location.type = CU_MEM_LOCATION_TYPE_INVALID;
    FAILS(INVALID_VALUE, HIP(hipMemSetAccess), cuMemSetAccess(p, 2 * g, &bad, 1));
    bad = both, bad.location.id = 1000;
    FAILS(INVALID_DEVICE, DOC, cuMemSetAccess(p, 2 * g, &bad, 1));
    bad = both, bad.flags = (CUmemAccess_flags)77;
    FAILS(INVALID_VALUE, DOC, cuMemSetAccess(p, 2 * g, &bad, 1));
    WORKS(DOC, cuMemSetAccess(p, 2 * g, &both, 1));
    FAILS(INVALID_VALUE, HIP(hipMemGetAccess), cuMemGetAccess(NULL, &here, p));
    FAILS(INVALID_VALUE, HIP(hipMemGetAccess), cuMemGetAccess(&flags, NULL, p));
    FAILS(INVALID_VALUE, HIP(hipMemGetAccess), cuMemGetAccess(&flags, &here, 0));
    FAILS(INVALID_VALUE, HIP(hipMemGetAccess), cuMemGetAccess(&flags, &nowhere, p));
    WORKS(DOC, cuMemGetAccess(&flags, &here, p));
    HOLDS(DOC, flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    WORKS(DOC, cuMemcpyHtoD(p, host, 16));
    FAILS(INVALID_VALUE, DOC, cuMemFree(p));
    WORKS(DOC, cuMemRetainAllocationHandle(&again, (void *)(p + 5)));
    HOLDS(DOC, again == handle);
    WORKS(DOC, cuMemRelease(again));
    WORKS(DOC, cuMemRelease(handle));
    WORKS(DOC, cuMemcpyDtoH(host, p, 16));
    FAILS(INVALID_VALUE, HIP(hipMemUnmap), cuMemUnmap(0, 2 * g));
    FAILS(INVALID_VALUE, HIP(hipMemUnmap), cuMemUnmap(p, 0));
    FAILS(INVALID_VALUE, HIP(hipMemUnmap), cuMemUnmap(p, g));
    WORKS(DOC, cuMemUnmap(p, 2 * g));
    FAILS(INVALID_VALUE, DOC, cuMemUnmap(p, 2 * g));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoH(host, p, 16));
    FAILS(INVALID_VALUE, DOC, cuMemGetAccess(&flags, &here, p));
    WORKS(DOC, cuMemAddressFree(p, 4 * g));
}

STATE(shared_memory_of_processes) {
    CUmemAllocationProp plain = on_device(), good = on_device();
    CUmemGenericAllocationHandle handle, mine, other;
    int file = -1;
    size_t g;
    with_context();
    g = granule();
    good.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    SET(cuMemCreate(&mine, g, &plain, 0));
    SET(cuMemCreate(&handle, g, &good, 0));
    FAILS(INVALID_VALUE, HIP(hipMemExportToShareableHandle), cuMemExportToShareableHandle(NULL, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    FAILS(INVALID_VALUE, HIP(hipMemExportToShareableHandle), cuMemExportToShareableHandle(&file, handle, CU_MEM_HANDLE_TYPE_NONE, 0));
    FAILS(INVALID_VALUE, HIP(hipMemExportToShareableHandle), cuMemExportToShareableHandle(&file, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 1));
    FAILS(INVALID_VALUE, DOC, cuMemExportToShareableHandle(&file, mine, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    FAILS(INVALID_VALUE, DOC, cuMemExportToShareableHandle(&file, 0, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    WORKS(DOC, cuMemExportToShareableHandle(&file, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    HOLDS(DOC, file >= 0);
    FAILS(INVALID_VALUE, HIP(hipMemImportFromShareableHandle), cuMemImportFromShareableHandle(NULL, (void *)(uintptr_t)file, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    FAILS(INVALID_VALUE, HIP(hipMemImportFromShareableHandle), cuMemImportFromShareableHandle(&other, (void *)(uintptr_t)file, CU_MEM_HANDLE_TYPE_NONE));
    WORKS(DOC, cuMemImportFromShareableHandle(&other, (void *)(uintptr_t)file, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    WORKS(DOC, cuMemRelease(other));
    WORKS(DOC, cuMemRelease(handle));
    WORKS(DOC, cuMemRelease(mine));
}

STATE(memory_of_other_processes) {
    CUipcMemHandle handle, wild;
    CUdeviceptr p, out;
    void *pinned;
    with_context();
    memset(&wild, 0x5a, sizeof wild);
    SET(cuMemAlloc(&p, 64));
    SET(cuMemHostAlloc(&pinned, 64, 0));
    FAILS(INVALID_VALUE, HIP(hipIpcGetMemHandle), cuIpcGetMemHandle(NULL, p));
    FAILS(INVALID_VALUE, HIP(hipIpcGetMemHandle), cuIpcGetMemHandle(&handle, 0));
    HOLDS(DOC, cuIpcGetMemHandle(&handle, 0x123456789000ull) != CUDA_SUCCESS);
    HOLDS(DOC, cuIpcGetMemHandle(&handle, (CUdeviceptr)pinned) != CUDA_SUCCESS);
    WORKS(DOC, cuIpcGetMemHandle(&handle, p));
    FAILS(INVALID_VALUE, HIP(hipIpcOpenMemHandle), cuIpcOpenMemHandle(NULL, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    FAILS(INVALID_VALUE, HIP(hipIpcOpenMemHandle), cuIpcOpenMemHandle(&out, handle, 77));
    HOLDS(DOC, cuIpcOpenMemHandle(&out, wild, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS) != CUDA_SUCCESS);
    /* "Opening the same memory in the process that exported it": CUDA_ERROR_INVALID_CONTEXT, as the multi-process guide has it. */
    FAILS(INVALID_CONTEXT, HIP(hipIpcOpenMemHandle), cuIpcOpenMemHandle(&out, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    FAILS(INVALID_VALUE, HIP(hipIpcCloseMemHandle), cuIpcCloseMemHandle(0));
    FAILS(INVALID_VALUE, HIP(hipIpcCloseMemHandle), cuIpcCloseMemHandle(p));
}
