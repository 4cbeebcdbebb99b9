/* Virtual memory management: memory, addresses and access, each by itself; which error comes first. */
#include "cuda.h"

enum { MIB = 1 << 20, READ_WRITE = 3 };

static CUmemAllocationProp properties(int handle_types) {
    CUmemAllocationProp made = {.type = 1, .requestedHandleTypes = handle_types, .location = {1, 0}};
    return made;
}

static CUmemAccessDesc access(int flags) {
    CUmemAccessDesc made = {{1, 0}, flags};
    return made;
}

static size_t free_memory(void) {
    size_t free = 0, total = 0;
    OK(cuMemGetInfo_v2(&free, &total));
    return free;
}

/* One range of two memories: copies go across the seam, the table of pointers knows both. */
static void one_range(void) {
    static unsigned char in[4 * MIB], out[4 * MIB];
    CUmemAllocationProp wish = properties(1), said;
    CUmemGenericAllocationHandle first, second, same;
    CUdeviceptr base = 0;
    size_t before = free_memory(), granularity = 0;
    OK(cuMemGetAllocationGranularity(&granularity, &wish, 0));
    TRUE(granularity == 2 * MIB);
    OK(cuMemCreate(&first, 2 * MIB, &wish, 0));
    OK(cuMemCreate(&second, 2 * MIB, &wish, 0));
    TRUE(free_memory() == before - 4 * MIB);
    OK(cuMemAddressReserve(&base, 8 * MIB, 0, 0, 0));
    TRUE(base % (2 * MIB) == 0);
    OK(cuMemMap(base, 2 * MIB, 0, first, 0));
    OK(cuMemMap(base + 2 * MIB, 2 * MIB, 0, second, 0));
    unsigned long long flags = 7;
    CUmemLocation here = {1, 0};
    OK(cuMemGetAccess(&flags, &here, base + 5));
    TRUE(flags == 0);
    CUmemAccessDesc both = access(READ_WRITE);
    OK(cuMemSetAccess(base, 4 * MIB, &both, 1));
    OK(cuMemGetAccess(&flags, &here, base + 5));
    TRUE(flags == READ_WRITE);
    for (size_t i = 0; i < sizeof in; i++) in[i] = (unsigned char)(i * 7 + (i >> 9));
    OK(cuMemcpyHtoD_v2(base, in, sizeof in));
    OK(cuMemcpyDtoH_v2(out, base, sizeof out));
    TRUE(memcmp(in, out, sizeof in) == 0);
    WANT(cuMemcpyDtoH_v2(out, base + 1, sizeof out), 1);
    WANT(cuMemFree_v2(base), 1);
    unsigned type = 0;
    unsigned long long types = 9;
    OK(cuPointerGetAttribute(&type, 2, base + 3 * MIB));
    OK(cuPointerGetAttribute(&types, 14, base + 3 * MIB));
    TRUE(type == 2 && types == 1);
    /* Another context of the process sees the same. */
    CUcontext other;
    OK(cuCtxCreate_v2(&other, 0, 0));
    memset(out, 0, sizeof out);
    OK(cuMemcpyDtoH_v2(out, base, sizeof out));
    TRUE(memcmp(in, out, sizeof in) == 0);
    OK(cuCtxDestroy_v2(other));
    /* Handles are counted; what is mapped keeps its memory and its handle can be had again. */
    OK(cuMemRetainAllocationHandle(&same, (void *)(size_t)(base + 3 * MIB)));
    TRUE(same == second);
    OK(cuMemRelease(second));
    OK(cuMemRelease(second));
    WANT(cuMemRelease(second), 1);
    WANT(cuMemGetAllocationPropertiesFromHandle(&said, second), 1);
    OK(cuMemRetainAllocationHandle(&same, (void *)(size_t)(base + 2 * MIB)));
    OK(cuMemGetAllocationPropertiesFromHandle(&said, same));
    TRUE(said.type == 1 && said.requestedHandleTypes == 1 && said.location.type == 1);
    OK(cuMemUnmap(base, 2 * MIB));
    /* The second memory where the first was. */
    OK(cuMemMap(base, 2 * MIB, 0, same, 0));
    OK(cuMemSetAccess(base, 2 * MIB, &both, 1));
    OK(cuMemcpyDtoH_v2(out, base, 2 * MIB));
    TRUE(memcmp(in + 2 * MIB, out, 2 * MIB) == 0);
    WANT(cuMemAddressFree(base, 8 * MIB), 1);
    OK(cuMemUnmap(base, 4 * MIB));
    WANT(cuMemUnmap(base, 4 * MIB), 1);
    WANT(cuMemcpyDtoH_v2(out, base, 1), 1);
    OK(cuMemRelease(same));
    OK(cuMemRelease(first));
    OK(cuMemAddressFree(base, 8 * MIB));
    WANT(cuMemAddressFree(base, 8 * MIB), 1);
    TRUE(free_memory() == before);
}

static void refusals(void) {
    CUmemAllocationProp wish = properties(0), bad;
    CUmemGenericAllocationHandle memory;
    CUdeviceptr base = 0;
    WANT(cuMemCreate(NULL, 2 * MIB, &wish, 0), 1);
    WANT(cuMemCreate(&memory, 2 * MIB, NULL, 0), 1);
    WANT(cuMemCreate(&memory, 0, &wish, 0), 1);
    WANT(cuMemCreate(&memory, MIB, &wish, 0), 1);
    WANT(cuMemCreate(&memory, 2 * MIB, &wish, 1), 1);
    WANT(cuMemCreate(&memory, (size_t)1 << 40, &wish, 0), 2);
    bad = wish, bad.type = 0;
    WANT(cuMemCreate(&memory, 2 * MIB, &bad, 0), 1);
    bad = wish, bad.location.id = 1;
    WANT(cuMemCreate(&memory, 2 * MIB, &bad, 0), 101);
    bad = wish, bad.location.type = 3;
    WANT(cuMemCreate(&memory, 2 * MIB, &bad, 0), 801);
    bad = wish, bad.requestedHandleTypes = 2;
    WANT(cuMemCreate(&memory, 2 * MIB, &bad, 0), 801);
    WANT(cuMemAddressReserve(NULL, 2 * MIB, 0, 0, 0), 1);
    WANT(cuMemAddressReserve(&base, 4095, 0, 0, 0), 1);
    OK(cuMemAddressReserve(&base, 4096, 0, 0, 0));
    OK(cuMemAddressFree(base, 4096));
    WANT(cuMemAddressReserve(&base, 0, 0, 0, 0), 1);
    WANT(cuMemAddressReserve(&base, 2 * MIB, 3, 0, 0), 1);
    WANT(cuMemAddressReserve(&base, 2 * MIB, 0, 0, 1), 1);
    WANT(cuMemAddressReserve(&base, (size_t)1 << 45, 0, 0, 0), 2);
    OK(cuMemCreate(&memory, 4 * MIB, &wish, 0));
    OK(cuMemAddressReserve(&base, 8 * MIB, 1 << 30, 0, 0));
    TRUE(base % (1 << 30) == 0);
    WANT(cuMemMap(base, 4 * MIB, 2 * MIB, memory, 0), 1);
    WANT(cuMemMap(base, 4 * MIB, 0, memory, 1), 1);
    WANT(cuMemMap(base + MIB, 4 * MIB, 0, memory, 0), 1);
    WANT(cuMemMap(base, 6 * MIB, 0, memory, 0), 1);
    WANT(cuMemMap(base + 6 * MIB, 4 * MIB, 0, memory, 0), 1);
    WANT(cuMemMap(base, 4 * MIB, 0, memory + 32, 0), 1);
    WANT(cuMemMap(base, 4 * MIB, 0, 0, 0), 1);
    OK(cuMemMap(base, 4 * MIB, 0, memory, 0));
    WANT(cuMemMap(base + 2 * MIB, 2 * MIB, 0, memory, 0), 1);
    CUmemAccessDesc desc = access(READ_WRITE);
    WANT(cuMemSetAccess(base, 4 * MIB, NULL, 1), 1);
    WANT(cuMemSetAccess(base, 4 * MIB, &desc, 0), 1);
    WANT(cuMemSetAccess(base, 2 * MIB, &desc, 1), 1);
    WANT(cuMemSetAccess(base, 8 * MIB, &desc, 1), 1);
    desc.flags = 2;
    WANT(cuMemSetAccess(base, 4 * MIB, &desc, 1), 1);
    desc = access(READ_WRITE), desc.location.id = 1;
    WANT(cuMemSetAccess(base, 4 * MIB, &desc, 1), 101);
    CUmemLocation here = {1, 0};
    unsigned long long flags;
    WANT(cuMemGetAccess(NULL, &here, base), 1);
    WANT(cuMemGetAccess(&flags, NULL, base), 1);
    WANT(cuMemGetAccess(&flags, &here, base + 4 * MIB), 1);
    WANT(cuMemUnmap(base, 2 * MIB), 1);
    WANT(cuMemRetainAllocationHandle(&memory, (void *)(size_t)(base + 4 * MIB)), 1);
    WANT(cuMemRetainAllocationHandle(NULL, (void *)(size_t)base), 1);
    /* The end of the process gives all of it back. */
}

/* The last one: the context is poisoned. */
static void without_access(void) {
    CUmemAllocationProp wish = properties(0);
    CUmemGenericAllocationHandle memory;
    CUdeviceptr base = 0;
    CUmemAccessDesc desc = access(READ_WRITE);
    OK(cuMemCreate(&memory, 2 * MIB, &wish, 0));
    OK(cuMemAddressReserve(&base, 2 * MIB, 0, 0, 0));
    OK(cuMemMap(base, 2 * MIB, 0, memory, 0));
    OK(cuMemRelease(memory));
    OK(cuMemSetAccess(base, 2 * MIB, &desc, 1));
    OK(cuMemsetD32_v2(base, 7, 100));
    OK(cuCtxSynchronize());
    desc.flags = 0;
    OK(cuMemSetAccess(base, 2 * MIB, &desc, 1));
    cuMemsetD32_v2(base, 7, 100);
    WANT(cuCtxSynchronize(), 700);
}

int main(void) {
    CUcontext context;
    CUdeviceptr base;
    WANT(cuMemAddressReserve(&base, 2 * MIB, 0, 0, 0), 3);
    OK(cuInit(0));
    int supported = 0;
    OK(cuDeviceGetAttribute(&supported, 102, 0));
    TRUE(supported == 1);
    /* No context is needed. */
    OK(cuMemAddressReserve(&base, 2 * MIB, 0, 0, 0));
    OK(cuMemAddressFree(base, 2 * MIB));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
    one_range();
    refusals();
    without_access();
    return failures != 0;
}
