// What graphs hold of the device's memory, what a pointer remembers, what kernels tell of themselves.
#include "symbols.cuh"

DRIVER(cuDeviceGetGraphMemAttribute);
DRIVER(cuDeviceGraphMemTrim);
DRIVER(cuDeviceSetGraphMemAttribute);
DRIVER(cuFuncGetName);
DRIVER(cuGraphAddMemAllocNode);
DRIVER(cuGraphAddMemFreeNode);
DRIVER(cuGraphCreate);
DRIVER(cuGraphDestroy);
DRIVER(cuGraphExecDestroy);
DRIVER(cuGraphInstantiate);
DRIVER(cuGraphLaunch);
DRIVER(cuCtxPopCurrent);
DRIVER(cuCtxPushCurrent);
DRIVER(cuKernelGetName);
DRIVER(cuKernelGetParamInfo);
DRIVER(cuMemAlloc);
DRIVER(cuMemFree);
DRIVER(cuMemHostAlloc);
DRIVER(cuMemFreeHost);
DRIVER(cuPointerGetAttribute);
DRIVER(cuPointerSetAttribute);
DRIVER(cuStreamSynchronize);

static cuuint64_t read(CUgraphMem_attribute which) {
    cuuint64_t value = 0;
    OK(d_cuDeviceGetGraphMemAttribute(0, which, &value));
    return value;
}

static cuuint64_t used() { return read(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT); }
static cuuint64_t reserved() { return read(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT); }
static cuuint64_t used_high() { return read(CU_GRAPH_MEM_ATTR_USED_MEM_HIGH); }
static cuuint64_t reserved_high() { return read(CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH); }

static CUresult set(CUgraphMem_attribute which, cuuint64_t value) { return d_cuDeviceSetGraphMemAttribute(0, which, &value); }

// A graph that allocates, and frees again if that is wanted.
struct Graph {
    CUgraph graph;
    CUgraphExec exec;
    CUdeviceptr memory;
    Graph(size_t bytes, bool frees) {
        OK(d_cuGraphCreate(&graph, 0));
        CUDA_MEM_ALLOC_NODE_PARAMS wanted = {};
        wanted.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
        wanted.poolProps.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
        wanted.bytesize = bytes;
        CUgraphNode allocated, freed;
        OK(d_cuGraphAddMemAllocNode(&allocated, graph, nullptr, 0, &wanted));
        memory = wanted.dptr;
        if (frees) OK(d_cuGraphAddMemFreeNode(&freed, graph, &allocated, 1, memory));
        OK(d_cuGraphInstantiate(&exec, graph, 0));
    }
    void launch() const { OK(d_cuGraphLaunch(exec, nullptr)); }
    ~Graph() {
        OK(d_cuStreamSynchronize(nullptr));
        OK(d_cuGraphExecDestroy(exec));
        OK(d_cuGraphDestroy(graph));
    }
};

// Memory stays with graphs until it is trimmed, whether it was freed or not and whether its graph is there or not.
static void trimmed() {
    const size_t bytes = 1 << 20;
    {
        Graph graph(bytes, true);
        EXPECT(used() == 0 && used_high() == 0);
        graph.launch();
        EXPECT(used() == bytes && used_high() == bytes && reserved() == bytes && reserved_high() == bytes);
        graph.launch();
        EXPECT(used() == bytes && reserved() == bytes);
    }
    EXPECT(used() == bytes && reserved() == bytes);
    DRIVER_EXPECT(d_cuDeviceGraphMemTrim(9), CUDA_ERROR_INVALID_DEVICE);
    OK(d_cuDeviceGraphMemTrim(0));
    EXPECT(used() == 0 && reserved() == 0 && used_high() == bytes && reserved_high() == bytes);
    DRIVER_EXPECT(set(CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, 1), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(set(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, 0), CUDA_ERROR_INVALID_VALUE);
    OK(set(CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, 0));
    OK(set(CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH, 0));
    EXPECT(used_high() == 0 && reserved_high() == 0);
}

// What the program has not freed is not trimmed, even without its graph.
static void live() {
    const size_t bytes = 1 << 16;
    CUdeviceptr memory;
    {
        Graph graph(bytes, false);
        graph.launch();
        memory = graph.memory;
    }
    OK(d_cuDeviceGraphMemTrim(0));
    EXPECT(used() == bytes && reserved() == bytes);
    CHECK(cudaMemset(reinterpret_cast<void *>(memory), 1, bytes));
    OK(d_cuMemFree(memory));
    EXPECT(used() == bytes);
    OK(d_cuDeviceGraphMemTrim(0));
    EXPECT(used() == 0 && reserved() == 0);
}

// Graphs one after the other hold no more than one.
static void in_turn() {
    const size_t bytes = 1 << 20;
    OK(set(CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH, 0));
    for (int round = 0; round < 50; ++round) {
        Graph graph(bytes, true);
        graph.launch();
    }
    EXPECT(used() == bytes && reserved() == bytes && reserved_high() == bytes);
    OK(d_cuDeviceGraphMemTrim(0));
    EXPECT(used() == 0);
}

// An allocation remembers that its operations are to be synchronous; the next one at its address does not.
static void synchronous() {
    const auto flag = CU_POINTER_ATTRIBUTE_SYNC_MEMOPS;
    CUdeviceptr memory, again;
    unsigned on = 1, off = 0;
    unsigned char now = 9;
    OK(d_cuMemAlloc(&memory, 4096));
    OK(d_cuPointerGetAttribute(&now, flag, memory));
    EXPECT(now == 0);
    OK(d_cuPointerSetAttribute(&on, flag, memory + 100));
    OK(d_cuPointerGetAttribute(&now, flag, memory));
    EXPECT(now == 1);
    OK(d_cuPointerSetAttribute(&off, flag, memory));
    OK(d_cuPointerGetAttribute(&now, flag, memory));
    EXPECT(now == 0);
    OK(d_cuPointerSetAttribute(&on, flag, memory));
    OK(d_cuMemFree(memory));
    OK(d_cuMemAlloc(&again, 4096));
    OK(d_cuPointerGetAttribute(&now, flag, again));
    EXPECT(now == 0);
    OK(d_cuMemFree(again));
    DRIVER_EXPECT(d_cuPointerSetAttribute(&on, flag, again), CUDA_ERROR_INVALID_VALUE);
    void *host;
    OK(d_cuMemHostAlloc(&host, 4096, 0));
    DRIVER_EXPECT(d_cuPointerSetAttribute(&on, flag, reinterpret_cast<CUdeviceptr>(host)), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuMemFreeHost(host));
}

// No function at all is a value that is not valid, not a handle that is not.
static void unnamed() {
    const char *name = nullptr;
    DRIVER_EXPECT(d_cuFuncGetName(&name, nullptr), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuKernelGetName(&name, nullptr), CUDA_ERROR_INVALID_VALUE);
    EXPECT(name == nullptr);
}

__global__ void two(int, double) {}

// The parameters are those of the kernel in the current context.
static void parameters() {
    cudaKernel_t kernel;
    CHECK(cudaGetKernel(&kernel, reinterpret_cast<const void *>(two)));
    size_t offset = 0, bytes = 0;
    OK(d_cuKernelGetParamInfo(reinterpret_cast<CUkernel>(kernel), 1, &offset, &bytes));
    EXPECT(offset == 8 && bytes == 8);
    DRIVER_EXPECT(d_cuKernelGetParamInfo(reinterpret_cast<CUkernel>(kernel), 2, &offset, &bytes), CUDA_ERROR_INVALID_VALUE);
    CUcontext context;
    OK(d_cuCtxPopCurrent(&context));
    DRIVER_EXPECT(d_cuKernelGetParamInfo(reinterpret_cast<CUkernel>(kernel), 1, &offset, &bytes), CUDA_ERROR_INVALID_CONTEXT);
    OK(d_cuCtxPushCurrent(context));
}

int main() {
    CHECK(cudaFree(nullptr));
    trimmed();
    live();
    in_turn();
    synchronous();
    unnamed();
    parameters();
    return passed("graph memory");
}
