/* Managed memory: one pointer for both sides, what pointers and ranges say of it, advice. */
#include "cuda.h"

enum { GLOBAL = 1, HOST = 2, SINGLE = 4, PAGE = 4096 };

static int number_of(CUdeviceptr memory, size_t bytes, int attribute) {
    int value = 77;
    OK(cuMemRangeGetAttribute(&value, 4, attribute, memory, bytes));
    return value;
}

static void one_pointer(void) {
    CUdeviceptr memory = 0, device = 0, again = 0;
    size_t bytes = 100000, size = 0;
    WANT(cuMemAllocManaged(NULL, bytes, GLOBAL), 1);
    WANT(cuMemAllocManaged(&memory, 0, GLOBAL), 1);
    WANT(cuMemAllocManaged(&memory, bytes, 0), 1);
    WANT(cuMemAllocManaged(&memory, bytes, SINGLE), 1);
    OK(cuMemAllocManaged(&memory, bytes, GLOBAL));
    unsigned *host = (unsigned *)(size_t)memory;
    for (unsigned i = 0; i < bytes / 4; i++) host[i] = i;
    OK(cuMemAlloc_v2(&device, bytes));
    OK(cuMemcpyDtoD_v2(device, memory, bytes));
    OK(cuMemsetD32_v2(memory, 5, 1000));
    OK(cuCtxSynchronize());
    TRUE(host[0] == 5 && host[999] == 5 && host[1000] == 1000);
    OK(cuMemcpyDtoH_v2(host, device, 4000));
    TRUE(host[999] == 999);
    host[7] = 123;
    OK(cuMemcpyHtoD_v2(device, host, bytes));
    host[7] = 0;
    OK(cuMemcpy(memory, device, bytes));
    TRUE(host[7] == 123);
    unsigned type = 0;
    void *pointer = NULL;
    unsigned char managed = 0;
    OK(cuPointerGetAttribute(&type, 2, memory + 5));
    OK(cuPointerGetAttribute(&pointer, 4, memory + 5));
    OK(cuPointerGetAttribute(&managed, 8, memory + 5));
    TRUE(type == 2 && pointer == (char *)host + 5 && managed == 1);
    OK(cuPointerGetAttribute(&managed, 8, device));
    TRUE(managed == 0);
    OK(cuMemGetAddressRange_v2(&again, &size, memory + 50));
    TRUE(again == memory && size == bytes);
    WANT(cuMemFreeHost(host), 1);
    OK(cuMemFree_v2(memory));
    WANT(cuMemFree_v2(memory), 1);
    WANT(cuMemcpyDtoD_v2(device, memory, 4), 1);
    OK(cuMemFree_v2(device));
}

static void advice(void) {
    CUdeviceptr memory = 0, device = 0;
    CUmemLocation here = {1, 0}, host = {2, 0}, none = {0, 0}, other = {1, 1};
    OK(cuMemAllocManaged(&memory, 8 * PAGE, GLOBAL));
    OK(cuMemAlloc_v2(&device, 8 * PAGE));
    TRUE(number_of(memory, 8 * PAGE, 1) == 0 && number_of(memory, 8 * PAGE, 2) == -2 && number_of(memory, 8 * PAGE, 5) == 0);
    OK(cuMemAdvise(memory, 4 * PAGE, 1, 0));
    TRUE(number_of(memory, 4 * PAGE, 1) == 1 && number_of(memory, 8 * PAGE, 1) == 0);
    OK(cuMemAdvise_v2(memory + PAGE, PAGE, 2, none));
    TRUE(number_of(memory, 4 * PAGE, 1) == 0 && number_of(memory, PAGE, 1) == 1);
    OK(cuMemAdvise(memory, 8 * PAGE, 3, -1));
    TRUE(number_of(memory, 8 * PAGE, 2) == -1 && number_of(memory, 8 * PAGE, 5) == 2);
    OK(cuMemAdvise_v2(memory, 8 * PAGE, 3, here));
    TRUE(number_of(memory, 8 * PAGE, 2) == 0 && number_of(memory, 8 * PAGE, 5) == 1);
    OK(cuMemAdvise(memory, PAGE, 4, 0));
    TRUE(number_of(memory, 8 * PAGE, 2) == -2 && number_of(memory + PAGE, PAGE, 2) == 0);
    OK(cuMemAdvise(memory, 8 * PAGE, 5, 0));
    OK(cuMemAdvise_v2(memory, 8 * PAGE, 5, host));
    int by[3] = {7, 7, 7};
    OK(cuMemRangeGetAttribute(by, sizeof by, 3, memory, 8 * PAGE));
    TRUE(by[0] == 0 && by[1] == -1 && by[2] == -2);
    OK(cuMemAdvise(memory, 8 * PAGE, 6, 0));
    OK(cuMemRangeGetAttribute(by, sizeof by, 3, memory, 8 * PAGE));
    TRUE(by[0] == -1 && by[1] == -2);
    TRUE(number_of(memory, PAGE, 4) == -2);
    OK(cuMemPrefetchAsync(memory, 8 * PAGE, 0, NULL));
    TRUE(number_of(memory, 8 * PAGE, 4) == 0 && number_of(memory, 8 * PAGE, 7) == 1);
    OK(cuMemPrefetchAsync_v2(memory, PAGE, host, 0, NULL));
    int first = 7, second = 7, wanted[2] = {4, 7};
    void *out[2] = {&first, &second};
    size_t sizes[2] = {4, 4};
    OK(cuMemRangeGetAttributes(out, sizes, wanted, 2, memory, PAGE));
    TRUE(first == -1 && second == 2);
    WANT(cuMemAdvise(memory, 0, 1, 0), 1);
    WANT(cuMemAdvise(memory, 9 * PAGE, 1, 0), 1);
    WANT(cuMemAdvise(memory, PAGE, 7, 0), 1);
    WANT(cuMemAdvise(device, PAGE, 1, 0), 1);
    WANT(cuMemAdvise(memory, PAGE, 3, 1), 101);
    WANT(cuMemAdvise_v2(memory, PAGE, 3, none), 1);
    WANT(cuMemPrefetchAsync(device, PAGE, 0, NULL), 1);
    WANT(cuMemPrefetchAsync_v2(memory, PAGE, other, 0, NULL), 101);
    WANT(cuMemPrefetchAsync_v2(memory, PAGE, here, 1, NULL), 1);
    WANT(cuMemRangeGetAttribute(NULL, 4, 1, memory, PAGE), 1);
    WANT(cuMemRangeGetAttribute(by, 8, 1, memory, PAGE), 1);
    WANT(cuMemRangeGetAttribute(by, 6, 3, memory, PAGE), 1);
    WANT(cuMemRangeGetAttribute(by, 4, 9, memory, PAGE), 1);
    WANT(cuMemRangeGetAttribute(by, 4, 1, device, PAGE), 1);
    CUstream stream;
    OK(cuStreamCreate(&stream, 1));
    OK(cuStreamAttachMemAsync(stream, memory, 0, SINGLE));
    OK(cuStreamAttachMemAsync(NULL, memory, 8 * PAGE, GLOBAL));
    WANT(cuStreamAttachMemAsync(NULL, memory, 0, SINGLE), 1);
    WANT(cuStreamAttachMemAsync(stream, memory, PAGE, GLOBAL), 1);
    WANT(cuStreamAttachMemAsync(stream, device, 0, GLOBAL), 1);
    WANT(cuStreamAttachMemAsync(stream, memory, 0, 3), 1);
    OK(cuStreamDestroy_v2(stream));
    /* Advice goes with the memory. */
    OK(cuMemFree_v2(memory));
    CUdeviceptr next = 0;
    OK(cuMemAllocManaged(&next, 8 * PAGE, HOST));
    TRUE(next == memory && number_of(next, 8 * PAGE, 2) == -2 && number_of(next, PAGE, 4) == -2);
    OK(cuMemFree_v2(next));
    OK(cuMemFree_v2(device));
}

/* So does what a context that is destroyed had: the same addresses are given out again. */
static void with_its_context(void) {
    CUcontext context;
    CUdeviceptr memory = 0, again = 0;
    void *pinned = NULL, *pinned_again = NULL;
    for (int round = 0; round < 2; round++) {
        OK(cuCtxCreate_v2(&context, 0, 0));
        OK(cuMemAllocManaged(round ? &again : &memory, 8 * PAGE, GLOBAL));
        OK(cuMemHostAlloc(round ? &pinned_again : &pinned, PAGE, 0));
        TRUE(number_of(round ? again : memory, PAGE, 1) == 0);
        OK(cuMemAdvise(round ? again : memory, 8 * PAGE, 1, 0));
        OK(cuCtxDestroy_v2(context));
    }
    TRUE(memory == again && pinned == pinned_again);
}

int main(int count, char **arguments) {
    CUcontext context;
    int managed = 7, concurrent = 7;
    OK(cuInit(0));
    OK(cuDevicePrimaryCtxRetain(&context, 0));
    OK(cuCtxSetCurrent(context));
    OK(cuDeviceGetAttribute(&managed, 83, 0));
    OK(cuDeviceGetAttribute(&concurrent, 89, 0));
    if (count > 1 && strcmp(arguments[1], "off") == 0) {
        CUdeviceptr memory;
        TRUE(managed == 0 && concurrent == 0);
        WANT(cuMemAllocManaged(&memory, 4096, GLOBAL), 801);
        return failures != 0;
    }
    TRUE(managed == 1 && concurrent == 1);
    one_pointer();
    advice();
    with_its_context();
    return failures != 0;
}
