// __managed__ variables: one address for host and device, in every context, initial values included. Pools of managed memory.
#include "driver.cuh"

DRIVER(cuCtxDestroy);
DRIVER(cuCtxGetCurrent);
#if CUDA_VERSION >= 13000
DRIVER(cuMemDiscardAndPrefetchBatchAsync);
DRIVER(cuMemAllocFromPoolAsync);
DRIVER(cuMemDiscardBatchAsync);
DRIVER(cuMemFreeAsync);
DRIVER(cuMemGetDefaultMemPool);
DRIVER(cuMemGetMemPool);
DRIVER(cuMemPoolCreate);
DRIVER(cuMemPoolDestroy);
DRIVER(cuMemPoolGetAttribute);
DRIVER(cuMemPrefetchBatchAsync);
DRIVER(cuMemSetMemPool);
DRIVER(cuPointerGetAttribute);
#endif
DRIVER(cuMemRangeGetAttribute);
DRIVER(cuStreamSynchronize);

struct Record {
    int number;
    double value;
    char text[16];
};

__managed__ int counter = 41;
__managed__ unsigned table[1000] = {1, 2, 3};
__managed__ Record record = {7, 2.5, "seven"};
__managed__ int *pointer;
__device__ unsigned plain[4] = {9, 8, 7, 6};

static __global__ void change(unsigned count) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) table[i] += i;
    if (i == 0) {
        ++counter;
        record.number += 1;
        record.value *= 2;
        record.text[0] = 'S';
        pointer = &counter;
        table[500] += 1000;
        plain[0] += counter;
    }
}

static __global__ void wait_for(unsigned *flag, unsigned *answer) {
    while (atomicAdd(flag, 0) == 0) {}
    atomicExch(answer, 5u);
    __threadfence_system();
}

__managed__ unsigned flag, answer;

#if CUDA_VERSION >= 13000
static int prefetched(void *memory, size_t bytes) {
    int device;
    OK(d_cuMemRangeGetAttribute(&device, 4, CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION, CUdeviceptr(memory), bytes));
    return device;
}

// Ranges of a batch, each with its place.
static void batches() {
    const size_t bytes = 1 << 16;
    CUdeviceptr ranges[3];
    size_t sizes[] = {bytes, bytes, bytes}, firsts[] = {0, 2};
    CUmemLocation places[2] = {};
    CUstream work = stream();
    for (CUdeviceptr &range : ranges) {
        void *made;
        CHECK(cudaMallocManaged(&made, bytes));
        std::memset(made, 3, bytes);
        range = CUdeviceptr(made);
    }
    places[0].type = CU_MEM_LOCATION_TYPE_DEVICE;
    places[1].type = CU_MEM_LOCATION_TYPE_HOST;
    OK(d_cuMemPrefetchBatchAsync(ranges, sizes, 3, places, firsts, 2, 0, work));
    OK(d_cuStreamSynchronize(work));
    EXPECT(prefetched((void *)ranges[0], bytes) == 0 && prefetched((void *)ranges[1], bytes) == 0);
    EXPECT(prefetched((void *)ranges[2], bytes) == CU_DEVICE_CPU);
    EXPECT(static_cast<char *>((void *)ranges[1])[100] == 3);
    firsts[0] = 1;
    DRIVER_EXPECT(d_cuMemPrefetchBatchAsync(ranges, sizes, 3, places, firsts, 2, 0, work), CUDA_ERROR_INVALID_VALUE);
    firsts[0] = 0, firsts[1] = 3;
    DRIVER_EXPECT(d_cuMemPrefetchBatchAsync(ranges, sizes, 3, places, firsts, 2, 0, work), CUDA_ERROR_INVALID_VALUE);
    firsts[1] = 1;
    DRIVER_EXPECT(d_cuMemPrefetchBatchAsync(ranges, sizes, 3, places, firsts, 2, 1, work), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemPrefetchBatchAsync(ranges, sizes, 3, places, firsts, 2, 0, CU_STREAM_LEGACY), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemPrefetchBatchAsync(ranges, sizes, 0, places, firsts, 1, 0, work), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuMemDiscardBatchAsync(ranges, sizes, 2, 0, work));
    OK(d_cuMemDiscardAndPrefetchBatchAsync(ranges, sizes, 3, places, firsts, 2, 0, work));
    OK(d_cuStreamSynchronize(work));
    EXPECT(prefetched((void *)ranges[0], bytes) == 0 && prefetched((void *)ranges[1], bytes) == CU_DEVICE_CPU);
    // The runtime's names for the same, and what there is of it.
    CHECK(cudaMemDiscardBatchAsync(reinterpret_cast<void **>(ranges), sizes, 2, 0, work));
    cudaMemLocation place = {};
    place.type = cudaMemLocationTypeDevice;
    firsts[0] = 0;
    CHECK(cudaMemPrefetchBatchAsync(reinterpret_cast<void **>(ranges), sizes, 3, &place, firsts, 1, 0, work));
    CHECK(cudaStreamSynchronize(work));
    EXPECT(prefetched((void *)ranges[1], bytes) == 0);
    sizes[2] += 1;
    DRIVER_EXPECT(d_cuMemDiscardBatchAsync(ranges, sizes, 3, 0, work), CUDA_ERROR_INVALID_VALUE);
    for (CUdeviceptr range : ranges) CHECK(cudaFree((void *)range));
}

static __global__ void twice(unsigned *words, unsigned count) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) words[i] *= 2;
}

static cuuint64_t used(CUmemoryPool pool) {
    cuuint64_t bytes;
    OK(d_cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT, &bytes));
    return bytes;
}

// Memory of a pool, which host and kernel use in turn.
static void pools() {
    const unsigned count = 5000;
    CUmemoryPool pool, other;
    CUmemPoolProps props = {};
    props.allocType = CU_MEM_ALLOCATION_TYPE_MANAGED;
    props.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    props.maxSize = 1 << 20;
    DRIVER_EXPECT(d_cuMemPoolCreate(&pool, &props), CUDA_ERROR_INVALID_VALUE);
    props.maxSize = 0;
    props.handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    DRIVER_EXPECT(d_cuMemPoolCreate(&pool, &props), CUDA_ERROR_INVALID_VALUE);
    props.handleTypes = CU_MEM_HANDLE_TYPE_NONE;
    OK(d_cuMemPoolCreate(&pool, &props));
    CUstream work = stream();
    CUdeviceptr address;
    OK(d_cuMemAllocFromPoolAsync(&address, count * 4, pool, work));
    OK(d_cuStreamSynchronize(work));
    EXPECT(used(pool) == count * 4);
    unsigned *words = reinterpret_cast<unsigned *>(address);
    for (unsigned i = 0; i < count; ++i) words[i] = i;
    twice<<<(count + 255) / 256, 256, 0, work>>>(words, count);
    OK(d_cuStreamSynchronize(work));
    for (unsigned i = 0; i < count; ++i) EXPECT(words[i] == 2 * i);
    unsigned managed = 0;
    OK(d_cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, address));
    EXPECT((managed & 1) == 1);
    OK(d_cuPointerGetAttribute(&other, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, address));
    EXPECT(other == pool);
    int preferred;
    OK(d_cuMemRangeGetAttribute(&preferred, 4, CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION, address, count * 4));
    EXPECT(preferred == 0);
    OK(d_cuMemFreeAsync(address, work));
    DRIVER_EXPECT(d_cuMemFreeAsync(address, work), CUDA_ERROR_INVALID_VALUE);
    EXPECT(used(pool) == 0);
    // The current pool of a place is the default until another is set, and again when that is gone.
    CUmemoryPool first;
    OK(d_cuMemGetDefaultMemPool(&first, &props.location, CU_MEM_ALLOCATION_TYPE_MANAGED));
    OK(d_cuMemSetMemPool(&props.location, CU_MEM_ALLOCATION_TYPE_MANAGED, pool));
    OK(d_cuMemGetMemPool(&other, &props.location, CU_MEM_ALLOCATION_TYPE_MANAGED));
    EXPECT(other == pool && first != pool);
    CUmemLocation nowhere = {};
    DRIVER_EXPECT(d_cuMemSetMemPool(&nowhere, CU_MEM_ALLOCATION_TYPE_MANAGED, pool), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuMemPoolDestroy(pool));
    OK(d_cuMemGetMemPool(&other, &props.location, CU_MEM_ALLOCATION_TYPE_MANAGED));
    EXPECT(other == first);
    DRIVER_EXPECT(d_cuMemPoolDestroy(first), CUDA_ERROR_INVALID_VALUE);
}

// A graph's node that allocates managed memory: the host uses what a launch has made until it frees it.
static void nodes() {
    const unsigned count = 1000;
    cudaGraph_t graph;
    cudaGraphNode_t made, filled;
    cudaGraphExec_t exec;
    cudaMemAllocNodeParams takes = {};
    takes.poolProps.allocType = cudaMemAllocationTypeManaged;
    takes.poolProps.location.type = cudaMemLocationTypeDevice;
    takes.bytesize = count * 4;
    CHECK(cudaGraphCreate(&graph, 0));
    CHECK(cudaGraphAddMemAllocNode(&made, graph, nullptr, 0, &takes));
    cudaMemsetParams fill = {};
    fill.dst = takes.dptr;
    fill.elementSize = 4;
    fill.width = count;
    fill.height = 1;
    fill.value = 7;
    CHECK(cudaGraphAddMemsetNode(&filled, graph, &made, 1, &fill));
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    for (int round = 0; round < 2; ++round) {
        CHECK(cudaGraphLaunch(exec, nullptr));
        CHECK(cudaDeviceSynchronize());
        unsigned *words = static_cast<unsigned *>(takes.dptr);
        for (unsigned i = 0; i < count; ++i) EXPECT(words[i] == 7);
        words[3] = 50;
        twice<<<(count + 255) / 256, 256>>>(words, count);
        LAUNCHED();
        EXPECT(words[3] == 100 && words[0] == 14 && words[count - 1] == 14);
        unsigned managed = 0;
        OK(d_cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, reinterpret_cast<CUdeviceptr>(words)));
        EXPECT((managed & 1) == 1);
        CHECK(cudaFree(words));
    }
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(graph));
    CHECK(cudaDeviceGraphMemTrim(0));
}
#endif

int main() {
    // The host uses it before anything else was asked of the device.
    EXPECT(counter == 41 && table[2] == 3 && table[999] == 0);
    EXPECT(record.number == 7 && record.value == 2.5 && std::strcmp(record.text, "seven") == 0);
    EXPECT(pointer == nullptr);
    counter = 1;
    table[3] = 100;
    change<<<4, 256>>>(1000);
    LAUNCHED();
    EXPECT(counter == 2 && table[0] == 1 && table[3] == 103 && table[999] == 999 && table[500] == 1500);
    EXPECT(record.number == 8 && record.value == 5 && std::strcmp(record.text, "Seven") == 0);
    EXPECT(pointer == &counter);

    void *address;
    size_t bytes;
    CHECK(cudaGetSymbolAddress(&address, table));
    CHECK(cudaGetSymbolSize(&bytes, table));
    EXPECT(address == table && bytes == sizeof table);
    unsigned word = 77;
    CHECK(cudaMemcpyToSymbol(table, &word, 4, 16));
    EXPECT(table[4] == 77);
    CHECK(cudaMemcpyFromSymbol(&word, plain, 4));
    EXPECT(word == 11);
    std::vector<unsigned> copy(1000);
    CHECK(cudaMemcpy(copy.data(), table, sizeof table, cudaMemcpyDefault));
    EXPECT(copy[4] == 77 && copy[999] == 999);
    cudaPointerAttributes attributes;
    CHECK(cudaPointerGetAttributes(&attributes, &record.value));
    EXPECT(attributes.type == cudaMemoryTypeManaged && attributes.devicePointer == &record.value);
    EXPECT(cudaFree(table) == cudaErrorInvalidValue);
    cudaGetLastError();

    // Both sides at once.
    wait_for<<<1, 1>>>(&flag, &answer);
    CHECK(cudaGetLastError());
    __atomic_store_n(&flag, 1, __ATOMIC_SEQ_CST);
    until([&] { return __atomic_load_n(&answer, __ATOMIC_SEQ_CST) == 5; });
    CHECK(cudaDeviceSynchronize());

#if CUDA_VERSION >= 13000
    batches();
    pools();
    nodes();
#endif

    // Another context has the same ones, and they are still there when it is gone.
    CUcontext first;
    OK(d_cuCtxGetCurrent(&first));
    CUcontext second = context();
    change<<<4, 256>>>(1000);
    LAUNCHED();
    EXPECT(counter == 3 && table[999] == 2 * 999 && record.value == 10);
    EXPECT(table[500] == 3000);
    OK(d_cuCtxDestroy(second));
    OK(d_cuCtxSetCurrent(first));
    counter = 10;
    change<<<4, 256>>>(1000);
    LAUNCHED();
    EXPECT(counter == 11 && table[999] == 3 * 999);
    std::printf("PASS six variables\n");
}
