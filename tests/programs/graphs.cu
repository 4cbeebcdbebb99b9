// Graphs through the driver API: built, captured, changed, launched often; what captures forbid.
#include "symbols.cuh"

#include <atomic>
#include <chrono>
#include <thread>

DRIVER(cuCtxCreate);
DRIVER(cuCtxDestroy);
DRIVER(cuCtxGetCurrent);
DRIVER(cuCtxSynchronize);
DRIVER(cuEventCreate);
DRIVER(cuEventDestroy);
DRIVER(cuEventQuery);
DRIVER(cuEventRecord);
DRIVER(cuEventRecordWithFlags);
DRIVER(cuEventSynchronize);
DRIVER(cuGraphAddBatchMemOpNode);
DRIVER(cuGraphAddChildGraphNode);
DRIVER(cuGraphAddDependencies);
DRIVER(cuGraphAddEmptyNode);
DRIVER(cuGraphAddEventRecordNode);
DRIVER(cuGraphAddEventWaitNode);
DRIVER(cuGraphAddHostNode);
DRIVER(cuGraphAddKernelNode);
DRIVER(cuGraphAddMemAllocNode);
DRIVER(cuGraphAddMemFreeNode);
DRIVER(cuGraphAddMemcpyNode);
DRIVER(cuGraphAddMemsetNode);
DRIVER(cuGraphAddNode);
DRIVER(cuGraphChildGraphNodeGetGraph);
DRIVER(cuGraphClone);
DRIVER(cuGraphConditionalHandleCreate);
DRIVER(cuGraphCreate);
DRIVER(cuGraphDebugDotPrint);
DRIVER(cuGraphDestroy);
DRIVER(cuGraphDestroyNode);
DRIVER(cuGraphExecChildGraphNodeSetParams);
DRIVER(cuGraphExecDestroy);
DRIVER(cuGraphExecHostNodeSetParams);
DRIVER(cuGraphExecKernelNodeSetParams);
DRIVER(cuGraphExecMemcpyNodeSetParams);
DRIVER(cuGraphExecMemsetNodeSetParams);
DRIVER(cuGraphExecUpdate);
DRIVER(cuGraphGetEdges);
DRIVER(cuGraphGetNodes);
DRIVER(cuGraphGetRootNodes);
DRIVER(cuGraphInstantiate);
DRIVER(cuGraphKernelNodeGetAttribute);
DRIVER(cuGraphKernelNodeGetParams);
DRIVER(cuGraphKernelNodeSetAttribute);
DRIVER(cuGraphKernelNodeSetParams);
DRIVER(cuGraphLaunch);
DRIVER(cuGraphMemcpyNodeGetParams);
DRIVER(cuGraphNodeFindInClone);
DRIVER(cuGraphNodeGetDependencies);
DRIVER(cuGraphNodeGetEnabled);
DRIVER(cuGraphNodeGetType);
DRIVER(cuGraphNodeSetEnabled);
DRIVER(cuGraphReleaseUserObject);
DRIVER(cuGraphRemoveDependencies);
DRIVER(cuGraphRetainUserObject);
DRIVER(cuGraphUpload);
DRIVER(cuLaunchHostFunc);
DRIVER(cuMemAlloc);
DRIVER(cuMemAllocAsync);
DRIVER(cuMemFree);
DRIVER(cuMemFreeAsync);
DRIVER(cuMemcpyDtoH);
DRIVER(cuMemcpyDtoHAsync);
DRIVER(cuMemcpyHtoDAsync);
DRIVER(cuMemsetD32Async);
DRIVER(cuModuleGetFunction);
DRIVER(cuModuleLoadData);
DRIVER(cuModuleUnload);
DRIVER(cuStreamBeginCapture);
DRIVER(cuStreamCreate);
DRIVER(cuStreamDestroy);
DRIVER(cuStreamEndCapture);
DRIVER(cuStreamGetCaptureInfo);
DRIVER(cuStreamIsCapturing);
DRIVER(cuStreamQuery);
DRIVER(cuStreamSynchronize);
DRIVER(cuStreamWaitEvent);
DRIVER(cuStreamWaitValue32);
DRIVER(cuStreamWriteValue32);
DRIVER(cuThreadExchangeStreamCaptureMode);
DRIVER(cuUserObjectCreate);
DRIVER(cuUserObjectRelease);

static CUcontext context;

__global__ void add(int *to, const int *a, const int *b, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = a[i] + b[i];
}

__global__ void scale(int *data, int factor, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) data[i] *= factor;
}

__global__ void bump(int *data, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) ++data[i];
}

__global__ void nothing() {}

template <typename F> CUfunction function(F *kernel) {
    cudaFunction_t made;
    CHECK(cudaGetFuncBySymbol(&made, reinterpret_cast<const void *>(kernel)));
    return reinterpret_cast<CUfunction>(made);
}

static CUstream stream(unsigned flags = CU_STREAM_NON_BLOCKING) {
    CUstream made;
    OK(d_cuStreamCreate(&made, flags));
    return made;
}

static CUevent event() {
    CUevent made;
    OK(d_cuEventCreate(&made, CU_EVENT_DISABLE_TIMING));
    return made;
}

static CUgraph empty() {
    CUgraph made;
    OK(d_cuGraphCreate(&made, 0));
    return made;
}

static CUgraphExec ready(CUgraph graph, unsigned long long flags = 0) {
    CUgraphExec made;
    OK(d_cuGraphInstantiate(&made, graph, flags));
    return made;
}

// A launch of a kernel over n threads; the parameters are addresses of values.
static CUDA_KERNEL_NODE_PARAMS launch(CUfunction what, int n, void **parameters) {
    CUDA_KERNEL_NODE_PARAMS made = {};
    made.func = what;
    made.gridDimX = (n + 63) / 64;
    made.gridDimY = made.gridDimZ = made.blockDimY = made.blockDimZ = 1;
    made.blockDimX = 64;
    made.kernelParams = parameters;
    return made;
}

static CUgraphNode kernel(CUgraph graph, std::vector<CUgraphNode> after, CUfunction what, int n, std::vector<void *> parameters) {
    CUDA_KERNEL_NODE_PARAMS params = launch(what, n, parameters.data());
    CUgraphNode made;
    OK(d_cuGraphAddKernelNode(&made, graph, after.data(), after.size(), &params));
    return made;
}

static CUDA_MEMSET_NODE_PARAMS filling(const void *to, unsigned value, size_t n) {
    CUDA_MEMSET_NODE_PARAMS made = {};
    made.dst = reinterpret_cast<CUdeviceptr>(to);
    made.value = value;
    made.elementSize = 4;
    made.width = n;
    made.height = 1;
    return made;
}

static CUgraphNode fill(CUgraph graph, std::vector<CUgraphNode> after, const void *to, unsigned value, size_t n) {
    CUDA_MEMSET_NODE_PARAMS params = filling(to, value, n);
    CUgraphNode made;
    OK(d_cuGraphAddMemsetNode(&made, graph, after.data(), after.size(), &params, context));
    return made;
}

static CUDA_MEMCPY3D copying(void *to, CUmemorytype to_type, const void *from, CUmemorytype from_type, size_t bytes) {
    CUDA_MEMCPY3D made = {};
    made.srcMemoryType = from_type;
    made.dstMemoryType = to_type;
    made.srcHost = from;
    made.dstHost = to;
    made.srcDevice = reinterpret_cast<CUdeviceptr>(from);
    made.dstDevice = reinterpret_cast<CUdeviceptr>(to);
    made.WidthInBytes = bytes;
    made.Height = made.Depth = 1;
    return made;
}

static CUgraphNode copy(CUgraph graph, std::vector<CUgraphNode> after, const CUDA_MEMCPY3D &params) {
    CUgraphNode made;
    OK(d_cuGraphAddMemcpyNode(&made, graph, after.data(), after.size(), &params, context));
    return made;
}

static CUgraphNode host(CUgraph graph, std::vector<CUgraphNode> after, CUhostFn what, void *data) {
    CUDA_HOST_NODE_PARAMS params = {what, data};
    CUgraphNode made;
    OK(d_cuGraphAddHostNode(&made, graph, after.data(), after.size(), &params));
    return made;
}

static void run(CUgraphExec exec, CUstream s) {
    OK(d_cuGraphLaunch(exec, s));
    OK(d_cuStreamSynchronize(s));
}

static CUresult connect(CUgraph graph, CUgraphNode from, CUgraphNode to) {
#if CUDA_VERSION >= 13000
    return d_cuGraphAddDependencies(graph, &from, &to, nullptr, 1);
#else
    return d_cuGraphAddDependencies(graph, &from, &to, 1);
#endif
}

static CUresult disconnect(CUgraph graph, CUgraphNode from, CUgraphNode to) {
#if CUDA_VERSION >= 13000
    return d_cuGraphRemoveDependencies(graph, &from, &to, nullptr, 1);
#else
    return d_cuGraphRemoveDependencies(graph, &from, &to, 1);
#endif
}

static size_t edges(CUgraph graph) {
    size_t count = 0;
#if CUDA_VERSION >= 13000
    OK(d_cuGraphGetEdges(graph, nullptr, nullptr, nullptr, &count));
#else
    OK(d_cuGraphGetEdges(graph, nullptr, nullptr, &count));
#endif
    return count;
}

static size_t nodes(CUgraph graph) {
    size_t count = 0;
    OK(d_cuGraphGetNodes(graph, nullptr, &count));
    return count;
}

static CUgraphNode node(CUgraph graph, CUgraphNodeType type) {
    std::vector<CUgraphNode> all(nodes(graph));
    size_t count = all.size();
    OK(d_cuGraphGetNodes(graph, all.data(), &count));
    for (CUgraphNode one : all) {
        CUgraphNodeType is;
        OK(d_cuGraphNodeGetType(one, &is));
        if (is == type) return one;
    }
    fail("no node of type %d", int(type));
}

// Two branches between a fill and a sum, a thousand times; parameters and branches change on the way.
static void diamond() {
    int n = 1000;
    Device<int> left(n), right(n), sum(n);
    CUstream s = stream();
    CUgraph graph = empty();
    int two = 2, three = 3;
    CUgraphNode first = fill(graph, {}, left.data, 1, n), second = fill(graph, {first}, right.data, 10, n);
    CUgraphNode a = kernel(graph, {second}, function(scale), n, {&left.data, &two, &n});
    CUgraphNode b = kernel(graph, {second}, function(scale), n, {&right.data, &three, &n});
    CUgraphNode end = kernel(graph, {a, b}, function(add), n, {&sum.data, &left.data, &right.data, &n});
    // Values are taken when the node is made.
    two = three = 0;
    EXPECT(nodes(graph) == 5 && edges(graph) == 5);
    size_t count = 8;
    CUgraphNode list[8];
    OK(d_cuGraphGetRootNodes(graph, list, &count));
    EXPECT(count == 1 && list[0] == first && list[1] == nullptr);
    CUgraphExec exec = ready(graph);
    OK(d_cuGraphUpload(exec, s));
    for (int round = 0; round < 1000; ++round) OK(d_cuGraphLaunch(exec, s));
    OK(d_cuStreamSynchronize(s));
    same("diamond", sum.host(), std::vector<int>(n, 32));
    int five = 5;
    void *parameters[] = {&left.data, &five, &n};
    CUDA_KERNEL_NODE_PARAMS params = launch(function(scale), n, parameters);
    OK(d_cuGraphExecKernelNodeSetParams(exec, a, &params));
    run(exec, s);
    same("changed parameters", sum.host(), std::vector<int>(n, 35));
    OK(d_cuGraphNodeSetEnabled(exec, b, 0));
    unsigned enabled = 7;
    OK(d_cuGraphNodeGetEnabled(exec, b, &enabled));
    EXPECT(enabled == 0);
    run(exec, s);
    same("disabled node", sum.host(), std::vector<int>(n, 15));
    OK(d_cuGraphNodeSetEnabled(exec, b, 1));
    CUDA_MEMSET_NODE_PARAMS filled = filling(right.data, 100, n);
    OK(d_cuGraphExecMemsetNodeSetParams(exec, second, &filled, context));
    run(exec, s);
    same("changed fill", sum.host(), std::vector<int>(n, 305));
    // The graph itself has not changed; setting its node changes only what is made of it later.
    CUDA_KERNEL_NODE_PARAMS was = {};
    OK(d_cuGraphKernelNodeGetParams(a, &was));
    EXPECT(was.func == function(scale) && was.gridDimX == params.gridDimX && *static_cast<int *>(was.kernelParams[1]) == 2);
    OK(d_cuGraphKernelNodeSetParams(a, &params));
    OK(d_cuGraphKernelNodeGetParams(a, &was));
    EXPECT(*static_cast<int *>(was.kernelParams[1]) == 5);
    // A whole graph as the pattern: same shape, other values; another shape is refused and changes nothing.
    CUgraphExecUpdateResultInfo info;
    OK(d_cuGraphExecUpdate(exec, graph, &info));
    EXPECT(info.result == CU_GRAPH_EXEC_UPDATE_SUCCESS);
    run(exec, s);
    same("updated", sum.host(), std::vector<int>(n, 35));
    OK(disconnect(graph, a, end));
    DRIVER_EXPECT(d_cuGraphExecUpdate(exec, graph, &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    EXPECT(info.result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED && info.errorNode == end);
    DRIVER_EXPECT(disconnect(graph, a, end), CUDA_ERROR_INVALID_VALUE);
    OK(connect(graph, a, end));
    DRIVER_EXPECT(connect(graph, a, end), CUDA_ERROR_INVALID_VALUE);
    // A circle is found when the graph is made ready.
    OK(connect(graph, end, first));
    CUgraphExec none;
    DRIVER_EXPECT(d_cuGraphInstantiate(&none, graph, 0), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuGraphDestroy(graph));
    DRIVER_EXPECT(d_cuGraphDestroy(graph), CUDA_ERROR_INVALID_VALUE);
    run(exec, s);
    same("graph is gone", sum.host(), std::vector<int>(n, 35));
    OK(d_cuGraphExecDestroy(exec));
    DRIVER_EXPECT(d_cuGraphLaunch(exec, s), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuStreamDestroy(s));
}

// Copies: pageable and pinned memory, rows, slices; memory is read when the graph runs.
static void copies() {
    const int width = 48, height = 20, depth = 3, n = width * height;
    CUstream s = stream();
    std::vector<int> from(n), to(n, -1);
    int *pinned;
    CHECK(cudaMallocHost(&pinned, n * sizeof(int)));
    Device<int> device(n), other(n);
    CUgraph graph = empty();
    CUgraphNode in = copy(graph, {}, copying(device.data, CU_MEMORYTYPE_DEVICE, from.data(), CU_MEMORYTYPE_HOST, n * 4));
    int total = n;
    CUgraphNode up = kernel(graph, {in}, function(bump), n, {&device.data, &total});
    CUgraphNode across = copy(graph, {up}, copying(other.data, CU_MEMORYTYPE_DEVICE, device.data, CU_MEMORYTYPE_DEVICE, n * 4));
    copy(graph, {across}, copying(pinned, CU_MEMORYTYPE_HOST, other.data, CU_MEMORYTYPE_DEVICE, n * 4));
    CUgraphNode out = copy(graph, {across}, copying(to.data(), CU_MEMORYTYPE_HOST, other.data, CU_MEMORYTYPE_DEVICE, n * 4));
    CUgraphExec exec = ready(graph);
    std::vector<int> want(n);
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < n; ++i) want[i] = (from[i] = i * 3 + round) + 1;
        run(exec, s);
        same("pageable", to, want);
        same("pinned", std::vector<int>(pinned, pinned + n), want);
    }
    // The same node, first elsewhere in pageable memory, then in pinned memory.
    std::vector<int> elsewhere(n, 0);
    CUDA_MEMCPY3D changed = copying(elsewhere.data(), CU_MEMORYTYPE_HOST, other.data, CU_MEMORYTYPE_DEVICE, n * 4);
    OK(d_cuGraphExecMemcpyNodeSetParams(exec, out, &changed, context));
    std::fill(to.begin(), to.end(), 0);
    run(exec, s);
    same("elsewhere", elsewhere, want);
    same("not there", to, std::vector<int>(n, 0));
    int *second;
    CHECK(cudaMallocHost(&second, n * sizeof(int)));
    changed = copying(second, CU_MEMORYTYPE_HOST, other.data, CU_MEMORYTYPE_DEVICE, n * 4);
    OK(d_cuGraphExecMemcpyNodeSetParams(exec, out, &changed, context));
    run(exec, s);
    same("pinned now", std::vector<int>(second, second + n), want);
    OK(d_cuGraphExecDestroy(exec));
    OK(d_cuGraphDestroy(graph));
    // A box of rows and slices out of the middle of pageable memory, and back.
    std::vector<int> box(n * depth), back(n * depth, 0);
    for (size_t i = 0; i < box.size(); ++i) box[i] = int(i);
    Device<int> inside(8 * 5 * 2);
    graph = empty();
    CUDA_MEMCPY3D cut = copying(inside.data, CU_MEMORYTYPE_DEVICE, box.data(), CU_MEMORYTYPE_HOST, 8 * 4);
    cut.Height = 5;
    cut.Depth = 2;
    cut.srcPitch = width * 4;
    cut.srcHeight = height;
    cut.srcXInBytes = 4 * 4;
    cut.srcY = 3;
    cut.srcZ = 1;
    cut.dstPitch = 8 * 4;
    cut.dstHeight = 5;
    CUDA_MEMCPY3D paste = copying(back.data(), CU_MEMORYTYPE_HOST, inside.data, CU_MEMORYTYPE_DEVICE, 8 * 4);
    paste.Height = 5;
    paste.Depth = 2;
    paste.srcPitch = 8 * 4;
    paste.srcHeight = 5;
    paste.dstPitch = width * 4;
    paste.dstHeight = height;
    copy(graph, {copy(graph, {}, cut)}, paste);
    exec = ready(graph);
    run(exec, s);
    for (int z = 0; z < depth; ++z)
        for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x) {
                bool in_box = x < 8 && y < 5 && z < 2;
                EXPECT(back[(z * height + y) * width + x] == (in_box ? ((z + 1) * height + y + 3) * width + x + 4 : 0));
            }
    // Rows of a fill.
    CUDA_MEMSET_NODE_PARAMS rows = filling(device.data, 7, 5);
    rows.height = 4;
    rows.pitch = width * 4;
    CUgraph fills = empty();
    CUgraphNode clear = fill(fills, {}, device.data, 0, n), made;
    OK(d_cuGraphAddMemsetNode(&made, fills, &clear, 1, &rows, context));
    CUgraphExec filler = ready(fills);
    run(filler, s);
    std::vector<int> filled = device.host();
    for (int i = 0; i < n; ++i) EXPECT(filled[i] == (i % width < 5 && i / width < 4 ? 7 : 0));
    for (CUgraphExec e : {exec, filler}) OK(d_cuGraphExecDestroy(e));
    for (CUgraph g : {graph, fills}) OK(d_cuGraphDestroy(g));
    CHECK(cudaFreeHost(pinned));
    CHECK(cudaFreeHost(second));
    OK(d_cuStreamDestroy(s));
}

struct Log {
    std::vector<int> entries;
    const int *watched;
};

static void note(void *data) {
    Log &log = *static_cast<Log *>(data);
    log.entries.push_back(*log.watched);
}

static void count(void *counter) { ++*static_cast<std::atomic<int> *>(counter); }

// Functions of the host between kernels, in a graph inside a graph, behind a stream's own.
static void hosts() {
    CUstream s = stream();
    int *word, n = 1;
    CHECK(cudaMallocHost(&word, 4));
    *word = 0;
    Log log{{}, word};
    std::atomic<int> counted{0};
    CUgraph inner = empty(), graph = empty();
    CUgraphNode up = kernel(inner, {}, function(bump), 1, {&word, &n});
    CUgraphNode noted = host(inner, {up}, note, &log);
    kernel(inner, {noted}, function(bump), 1, {&word, &n});
    CUgraphNode first, second;
    OK(d_cuGraphAddChildGraphNode(&first, graph, nullptr, 0, inner));
    OK(d_cuGraphAddChildGraphNode(&second, graph, &first, 1, inner));
    // Side by side with them: functions of one graph never overlap.
    CUgraphNode beside = host(graph, {}, count, &counted);
    host(graph, {beside, second}, note, &log);
    OK(d_cuGraphDestroy(inner));
    CUgraph owned;
    OK(d_cuGraphChildGraphNodeGetGraph(first, &owned));
    EXPECT(nodes(owned) == 3);
    DRIVER_EXPECT(d_cuGraphDestroy(owned), CUDA_ERROR_INVALID_VALUE);
    CUgraphExec exec = ready(graph);
    const int rounds = 300;
    for (int round = 0; round < rounds; ++round) {
        OK(d_cuGraphLaunch(exec, s));
        OK(d_cuLaunchHostFunc(s, count, &counted));
    }
    OK(d_cuStreamSynchronize(s));
    EXPECT(counted == 2 * rounds && log.entries.size() == 3 * rounds);
    for (int round = 0; round < rounds; ++round)
        EXPECT(log.entries[3 * round] == 4 * round + 1 && log.entries[3 * round + 1] == 4 * round + 3 && log.entries[3 * round + 2] == 4 * round + 4);
    // Another function, another child.
    std::atomic<int> instead{0};
    CUDA_HOST_NODE_PARAMS params = {count, &instead};
    OK(d_cuGraphExecHostNodeSetParams(exec, beside, &params));
    run(exec, s);
    EXPECT(instead == 1 && counted == 2 * rounds);
    CUgraph child = empty();
    int ten = 10;
    up = kernel(child, {}, function(scale), 1, {&word, &ten, &n});
    noted = host(child, {up}, note, &log);
    kernel(child, {noted}, function(bump), 1, {&word, &n});
    *word = 1;
    log.entries.clear();
    OK(d_cuGraphExecChildGraphNodeSetParams(exec, second, child));
    run(exec, s);
    EXPECT((log.entries == std::vector<int>{2, 30, 31}));
    OK(d_cuGraphExecDestroy(exec));
    OK(d_cuGraphDestroy(graph));
    OK(d_cuGraphDestroy(child));
    CHECK(cudaFreeHost(word));
    OK(d_cuStreamDestroy(s));
}

// Work of three streams, captured over events, with launches of the runtime API among it.
static void capture() {
    const int n = 5000;
    CUstream origin = stream(), side = stream(), blocking = stream(CU_STREAM_DEFAULT);
    CUevent fork = event(), joined = event(), third = event();
    Device<int> a(n), b(n), sum(n);
    std::vector<int> from(n), to(n);
    std::atomic<int> counted{0};
    OK(d_cuStreamBeginCapture(origin, CU_STREAM_CAPTURE_MODE_GLOBAL));
    CUstreamCaptureStatus status;
    OK(d_cuStreamIsCapturing(origin, &status));
    EXPECT(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    OK(d_cuStreamIsCapturing(side, &status));
    EXPECT(status == CU_STREAM_CAPTURE_STATUS_NONE);
    OK(d_cuMemcpyHtoDAsync(reinterpret_cast<CUdeviceptr>(a.data), from.data(), n * 4, origin));
    OK(d_cuEventRecord(fork, origin));
    OK(d_cuStreamWaitEvent(side, fork, 0));
    OK(d_cuStreamWaitEvent(blocking, fork, 0));
    OK(d_cuStreamIsCapturing(side, &status));
    EXPECT(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    bump<<<(n + 63) / 64, 64, 0, reinterpret_cast<cudaStream_t>(origin)>>>(a.data, n);
    CHECK(cudaMemsetAsync(b.data, 0, n * 4, reinterpret_cast<cudaStream_t>(side)));
    OK(d_cuMemsetD32Async(reinterpret_cast<CUdeviceptr>(b.data), 100, n, side));
    OK(d_cuLaunchHostFunc(blocking, count, &counted));
    OK(d_cuEventRecord(joined, side));
    OK(d_cuEventRecord(third, blocking));
    OK(d_cuStreamWaitEvent(origin, joined, 0));
    OK(d_cuStreamWaitEvent(origin, third, 0));
    add<<<(n + 63) / 64, 64, 0, reinterpret_cast<cudaStream_t>(origin)>>>(sum.data, a.data, b.data, n);
    CHECK(cudaGetLastError());
    OK(d_cuMemcpyDtoHAsync(to.data(), reinterpret_cast<CUdeviceptr>(sum.data), n * 4, origin));
    cuuint64_t id = 0;
    CUgraph captured = nullptr, graph = nullptr;
    const CUgraphNode *after = nullptr;
    size_t count_after = 0;
#if CUDA_VERSION >= 13000
    OK(d_cuStreamGetCaptureInfo(origin, &status, &id, &captured, &after, nullptr, &count_after));
#else
    OK(d_cuStreamGetCaptureInfo(origin, &status, &id, &captured, &after, &count_after));
#endif
    EXPECT(id != 0 && captured != nullptr && count_after == 1);
    CUgraphNodeType type;
    OK(d_cuGraphNodeGetType(after[0], &type));
    EXPECT(type == CU_GRAPH_NODE_TYPE_MEMCPY);
    OK(d_cuStreamEndCapture(origin, &graph));
    EXPECT(graph == captured && nodes(graph) == 7 && edges(graph) == 8 && counted == 0);
    OK(d_cuStreamIsCapturing(side, &status));
    EXPECT(status == CU_STREAM_CAPTURE_STATUS_NONE);
    CUgraphExec exec = ready(graph);
    OK(d_cuGraphDestroy(graph));
    for (int round = 0; round < 50; ++round) {
        std::vector<int> want(n);
        for (int i = 0; i < n; ++i) want[i] = (from[i] = i + round) + 101;
        run(exec, origin);
        same("captured", to, want);
    }
    EXPECT(counted == 50);
    // A launch that is captured is a graph inside the graph; the stream's memory, too, is taken and given back by nodes.
    OK(d_cuStreamBeginCapture(side, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    OK(d_cuGraphLaunch(exec, side));
    CUdeviceptr scratch;
    OK(d_cuMemAllocAsync(&scratch, n * 4, side));
    OK(d_cuMemsetD32Async(scratch, 5, n, side));
    int *plain = reinterpret_cast<int *>(scratch);
    add<<<(n + 63) / 64, 64, 0, reinterpret_cast<cudaStream_t>(side)>>>(sum.data, sum.data, plain, n);
    OK(d_cuMemFreeAsync(scratch, side));
    OK(d_cuStreamEndCapture(side, &graph));
    EXPECT(nodes(graph) == 5);
    CUgraphExec outer = ready(graph);
    for (int round = 0; round < 3; ++round) run(outer, blocking);
    std::vector<int> want(n);
    for (int i = 0; i < n; ++i) want[i] = from[i] + 106;
    same("launch in a capture", sum.host(), want);
    for (CUgraphExec e : {exec, outer}) OK(d_cuGraphExecDestroy(e));
    OK(d_cuGraphDestroy(graph));
    for (CUevent e : {fork, joined, third}) OK(d_cuEventDestroy(e));
    for (CUstream s : {origin, side, blocking}) OK(d_cuStreamDestroy(s));
}

// Every way to spoil a capture, and what is left of it.
static void illegal() {
    CUstream s = stream(), other = stream(), blocking = stream(CU_STREAM_DEFAULT);
    CUevent e = event(), fresh = event(), outside = event();
    Device<int> data(64);
    CUdeviceptr address = reinterpret_cast<CUdeviceptr>(data.data), made;
    CUgraph graph = nullptr;
    CUstreamCaptureStatus status;
    auto begin = [&](CUstream in, CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED) { OK(d_cuStreamBeginCapture(in, mode)); };
    auto spoiled = [&](CUstream in) {
        OK(d_cuStreamIsCapturing(in, &status));
        EXPECT(status == CU_STREAM_CAPTURE_STATUS_INVALIDATED);
        DRIVER_EXPECT(d_cuMemsetD32Async(address, 1, 1, in), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        graph = reinterpret_cast<CUgraph>(1);
        DRIVER_EXPECT(d_cuStreamEndCapture(in, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        EXPECT(graph == nullptr);
        OK(d_cuStreamIsCapturing(in, &status));
        EXPECT(status == CU_STREAM_CAPTURE_STATUS_NONE);
        OK(d_cuMemsetD32Async(address, 1, 1, in));
        OK(d_cuStreamSynchronize(in));
    };
    DRIVER_EXPECT(d_cuStreamBeginCapture(CU_STREAM_LEGACY, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    DRIVER_EXPECT(d_cuStreamEndCapture(s, &graph), CUDA_ERROR_ILLEGAL_STATE);
    begin(s);
    DRIVER_EXPECT(d_cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_ERROR_ILLEGAL_STATE);
    DRIVER_EXPECT(d_cuStreamSynchronize(s), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    spoiled(s);
    begin(s);
    DRIVER_EXPECT(d_cuStreamQuery(s), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    spoiled(s);
    begin(s);
    DRIVER_EXPECT(d_cuCtxSynchronize(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    spoiled(s);
    // What may wait is forbidden, unless captures and threads are relaxed.
    begin(s, CU_STREAM_CAPTURE_MODE_GLOBAL);
    DRIVER_EXPECT(d_cuMemAlloc(&made, 64), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    spoiled(s);
    begin(s);
    OK(d_cuMemAlloc(&made, 64));
    OK(d_cuMemFree(made));
    OK(d_cuStreamEndCapture(s, &graph));
    OK(d_cuGraphDestroy(graph));
    begin(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    std::thread([&] {
        CHECK(cudaSetDevice(0));
        CUdeviceptr there;
        OK(d_cuMemAlloc(&there, 64));
        OK(d_cuMemFree(there));
        CUgraph none;
        DRIVER_EXPECT(d_cuStreamEndCapture(s, &none), CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
    }).join();
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    OK(d_cuThreadExchangeStreamCaptureMode(&mode));
    EXPECT(mode == CU_STREAM_CAPTURE_MODE_GLOBAL);
    OK(d_cuMemAlloc(&made, 64));
    OK(d_cuMemFree(made));
    OK(d_cuThreadExchangeStreamCaptureMode(&mode));
    OK(d_cuStreamEndCapture(s, &graph));
    OK(d_cuGraphDestroy(graph));
    begin(s, CU_STREAM_CAPTURE_MODE_GLOBAL);
    std::thread([&] {
        CHECK(cudaSetDevice(0));
        CUdeviceptr there;
        DRIVER_EXPECT(d_cuMemAlloc(&there, 64), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }).join();
    spoiled(s);
    // Events: never recorded, recorded outside, of another capture, looked at.
    OK(d_cuEventRecord(outside, other));
    OK(d_cuStreamSynchronize(other));
    begin(s);
    OK(d_cuStreamWaitEvent(s, fresh, 0));
    DRIVER_EXPECT(d_cuStreamWaitEvent(s, outside, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    spoiled(s);
    begin(s);
    begin(other);
    OK(d_cuEventRecord(e, s));
    DRIVER_EXPECT(d_cuStreamWaitEvent(other, e, 0), CUDA_ERROR_STREAM_CAPTURE_MERGE);
    spoiled(s);
    spoiled(other);
    begin(s);
    OK(d_cuEventRecord(e, s));
    DRIVER_EXPECT(d_cuEventQuery(e), CUDA_ERROR_CAPTURED_EVENT);
    DRIVER_EXPECT(d_cuEventSynchronize(e), CUDA_ERROR_CAPTURED_EVENT);
    OK(d_cuStreamEndCapture(s, &graph));
    OK(d_cuGraphDestroy(graph));
    OK(d_cuEventRecord(e, s));
    OK(d_cuEventSynchronize(e));
    OK(d_cuEventQuery(e));
    // Work that nobody waits for; the end in another stream.
    begin(s);
    OK(d_cuMemsetD32Async(address, 1, 64, s));
    OK(d_cuEventRecord(e, s));
    OK(d_cuStreamWaitEvent(other, e, 0));
    OK(d_cuMemsetD32Async(address, 2, 64, other));
    DRIVER_EXPECT(d_cuStreamEndCapture(other, &graph), CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    DRIVER_EXPECT(d_cuStreamEndCapture(s, &graph), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
    EXPECT(graph == nullptr);
    OK(d_cuMemsetD32Async(address, 3, 64, other));
    OK(d_cuStreamSynchronize(other));
    same("nothing captured runs", data.host(), std::vector<int>(64, 3));
    // The legacy stream and blocking streams.
    begin(s);
    OK(d_cuMemsetD32Async(address, 4, 64, CU_STREAM_LEGACY));
    OK(d_cuStreamEndCapture(s, &graph));
    OK(d_cuGraphDestroy(graph));
    begin(blocking);
    DRIVER_EXPECT(d_cuStreamIsCapturing(CU_STREAM_LEGACY, &status), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    OK(d_cuStreamIsCapturing(blocking, &status));
    EXPECT(status == CU_STREAM_CAPTURE_STATUS_ACTIVE);
    DRIVER_EXPECT(d_cuMemsetD32Async(address, 5, 64, CU_STREAM_LEGACY), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    spoiled(blocking);
    // External events are nodes.
    begin(s);
    OK(d_cuEventRecordWithFlags(e, s, CU_EVENT_RECORD_EXTERNAL));
    OK(d_cuStreamWaitEvent(s, e, CU_EVENT_WAIT_EXTERNAL));
    OK(d_cuStreamEndCapture(s, &graph));
    node(graph, CU_GRAPH_NODE_TYPE_EVENT_RECORD);
    node(graph, CU_GRAPH_NODE_TYPE_WAIT_EVENT);
    OK(d_cuGraphDestroy(graph));
    // A stream that is destroyed ends its capture; one that only took part spoils it, unless its work was joined before.
    CUstream gone = stream();
    begin(gone);
    OK(d_cuMemsetD32Async(address, 6, 64, gone));
    OK(d_cuStreamDestroy(gone));
    gone = stream();
    begin(s);
    OK(d_cuEventRecord(e, s));
    OK(d_cuStreamWaitEvent(gone, e, 0));
    OK(d_cuMemsetD32Async(address, 6, 64, gone));
    OK(d_cuStreamDestroy(gone));
    spoiled(s);
    gone = stream();
    begin(s);
    OK(d_cuEventRecord(e, s));
    OK(d_cuStreamWaitEvent(gone, e, 0));
    OK(d_cuMemsetD32Async(address, 6, 64, gone));
    OK(d_cuEventRecord(e, gone));
    OK(d_cuStreamWaitEvent(s, e, 0));
    OK(d_cuStreamDestroy(gone));
    OK(d_cuMemsetD32Async(address, 7, 64, s));
    OK(d_cuStreamEndCapture(s, &graph));
    EXPECT(nodes(graph) == 2);
    OK(d_cuGraphDestroy(graph));
    OK(d_cuMemAlloc(&made, 64));
    OK(d_cuMemFree(made));
    // So does the end of a thread with its own stream, and of a context with all that it has.
    std::thread([&] {
        CHECK(cudaSetDevice(0));
        OK(d_cuStreamBeginCapture(CU_STREAM_PER_THREAD, CU_STREAM_CAPTURE_MODE_GLOBAL));
        OK(d_cuMemsetD32Async(address, 7, 64, CU_STREAM_PER_THREAD));
    }).join();
    OK(d_cuMemAlloc(&made, 64));
    OK(d_cuMemFree(made));
    CUcontext second;
#if CUDA_VERSION >= 13000
    OK(d_cuCtxCreate(&second, nullptr, 0, 0));
#else
    OK(d_cuCtxCreate(&second, 0, 0));
#endif
    begin(stream(), CU_STREAM_CAPTURE_MODE_GLOBAL);
    mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    OK(d_cuThreadExchangeStreamCaptureMode(&mode));
    OK(d_cuCtxDestroy(second));
    OK(d_cuThreadExchangeStreamCaptureMode(&mode));
    OK(d_cuMemAlloc(&made, 64));
    OK(d_cuMemFree(made));
    for (CUevent one : {e, fresh, outside}) OK(d_cuEventDestroy(one));
    for (CUstream one : {s, other, blocking}) OK(d_cuStreamDestroy(one));
}

// Events as nodes, between graphs and streams.
static void events() {
    CUstream s = stream(), waiting = stream();
    CUevent done = event();
    Device<int> data(1), seen(1);
    CUgraph writes = empty(), reads = empty();
    CUgraphNode set = fill(writes, {}, data.data, 1, 1), recorded, waited;
    int n = 1;
    for (int i = 0; i < 50; ++i) set = kernel(writes, {set}, function(bump), 1, {&data.data, &n});
    OK(d_cuGraphAddEventRecordNode(&recorded, writes, &set, 1, done));
    OK(d_cuGraphAddEventWaitNode(&waited, reads, nullptr, 0, done));
    copy(reads, {waited}, copying(seen.data, CU_MEMORYTYPE_DEVICE, data.data, CU_MEMORYTYPE_DEVICE, 4));
    CUgraphExec writer = ready(writes), reader = ready(reads);
    for (int round = 0; round < 100; ++round) {
        OK(d_cuGraphLaunch(writer, s));
        OK(d_cuGraphLaunch(reader, waiting));
        OK(d_cuStreamSynchronize(waiting));
        EXPECT(seen.host()[0] == 51);
        OK(d_cuEventSynchronize(done));
    }
    for (CUgraphExec e : {writer, reader}) OK(d_cuGraphExecDestroy(e));
    for (CUgraph g : {writes, reads}) OK(d_cuGraphDestroy(g));
    OK(d_cuEventDestroy(done));
    for (CUstream one : {s, waiting}) OK(d_cuStreamDestroy(one));
}

// Clones, text, user objects, memory of graphs.
static void objects() {
    CUstream s = stream();
    int n = 64;
    Device<int> data(n);
    CUgraph graph = empty(), cloned;
    CUgraphNode first = fill(graph, {}, data.data, 3, n), second = kernel(graph, {first}, function(bump), n, {&data.data, &n}), found;
    OK(d_cuGraphClone(&cloned, graph));
    OK(d_cuGraphNodeFindInClone(&found, second, cloned));
    EXPECT(found != second && nodes(cloned) == 2 && edges(cloned) == 1);
    OK(d_cuGraphDestroyNode(second));
    DRIVER_EXPECT(d_cuGraphDestroyNode(second), CUDA_ERROR_INVALID_VALUE);
    EXPECT(nodes(graph) == 1 && edges(graph) == 0 && nodes(cloned) == 2);
    char path[] = "/tmp/tessera-graph-XXXXXX";
    int file = mkstemp(path);
    OK(d_cuGraphDebugDotPrint(cloned, path, CU_GRAPH_DEBUG_DOT_FLAGS_VERBOSE));
    char text[4096] = {};
    FILE *opened = fdopen(file, "r");
    size_t bytes = std::fread(text, 1, sizeof text - 1, opened);
    std::fclose(opened);
    std::remove(path);
    EXPECT(bytes > 0 && std::strstr(text, "digraph") && std::strstr(text, "bump") && std::strstr(text, "MEMSET") && std::strstr(text, "->"));
    // A user object lives as long as the graph and what was made of it.
    static std::atomic<int> gone{0};
    CUuserObject object;
    OK(d_cuUserObjectCreate(&object, &gone, count, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    OK(d_cuGraphRetainUserObject(cloned, object, 1, CU_GRAPH_USER_OBJECT_MOVE));
    DRIVER_EXPECT(d_cuGraphReleaseUserObject(cloned, object, 2), CUDA_ERROR_INVALID_VALUE);
    CUgraphExec exec = ready(cloned);
    OK(d_cuGraphDestroy(cloned));
    OK(d_cuGraphDestroy(graph));
    run(exec, s);
    same("clone", data.host(), std::vector<int>(n, 4));
    EXPECT(gone == 0);
    OK(d_cuGraphExecDestroy(exec));
    while (gone == 0) std::this_thread::yield();
    EXPECT(gone == 1);
    DRIVER_EXPECT(d_cuUserObjectRelease(object, 1), CUDA_ERROR_INVALID_VALUE);
    // Memory that a graph allocates and the program frees: not freed, it cannot be allocated again.
    CUDA_MEM_ALLOC_NODE_PARAMS wanted = {};
    wanted.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    wanted.poolProps.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    wanted.bytesize = 4 * n;
    graph = empty();
    CUgraphNode allocated;
    OK(d_cuGraphAddMemAllocNode(&allocated, graph, nullptr, 0, &wanted));
    fill(graph, {allocated}, reinterpret_cast<void *>(wanted.dptr), 9, n);
    exec = ready(graph);
    run(exec, s);
    std::vector<int> to(n);
    OK(d_cuMemcpyDtoH(to.data(), wanted.dptr, 4 * n));
    same("memory of a graph", to, std::vector<int>(n, 9));
    DRIVER_EXPECT(d_cuGraphLaunch(exec, s), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuMemFree(wanted.dptr));
    DRIVER_EXPECT(d_cuMemFree(wanted.dptr), CUDA_ERROR_INVALID_VALUE);
    run(exec, s);
    OK(d_cuMemFreeAsync(wanted.dptr, s));
    // A graph with memory has one executable graph at a time.
    CUgraphExec freeing;
    DRIVER_EXPECT(d_cuGraphInstantiate(&freeing, graph, 0), CUDA_ERROR_NOT_SUPPORTED);
    OK(d_cuStreamSynchronize(s));
    OK(d_cuGraphExecDestroy(exec));
    freeing = ready(graph, CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);
    for (int round = 0; round < 3; ++round) run(freeing, s);
    OK(d_cuMemFree(wanted.dptr));
    OK(d_cuGraphExecDestroy(freeing));
    OK(d_cuGraphDestroy(graph));
    OK(d_cuStreamDestroy(s));
}

static CUgraphNodeParams choosing(CUgraphConditionalHandle handle, CUgraphConditionalNodeType type, unsigned bodies) {
    CUgraphNodeParams params = {};
    params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
    params.conditional.handle = handle;
    params.conditional.type = type;
    params.conditional.size = bodies;
    params.conditional.ctx = context;
    return params;
}

static CUgraphNode choice(CUgraph graph, CUgraphNode first, CUgraphNodeParams &params) {
    CUgraphNode made;
#if CUDA_VERSION >= 13000
    OK(d_cuGraphAddNode(&made, graph, &first, nullptr, 1, &params));
#else
    OK(d_cuGraphAddNode(&made, graph, &first, 1, &params));
#endif
    return made;
}

// A choice by a value that each launch sets anew.
static void conditions() {
    CUstream s = stream();
    Device<int> data(2);
    for (unsigned value : {0u, 1u, 2u}) {
        CUgraph graph = empty();
        CUgraphConditionalHandle handle;
        OK(d_cuGraphConditionalHandleCreate(&handle, graph, context, value, CU_GRAPH_COND_ASSIGN_DEFAULT));
        CUgraphNodeParams params = choosing(handle, CU_GRAPH_COND_TYPE_IF, 1);
        CUgraphNode chosen = choice(graph, fill(graph, {}, data.data, 0, 2), params);
        fill(params.conditional.phGraph_out[0], {}, data.data, 5, 1);
        int n = 2;
        kernel(graph, {chosen}, function(bump), 2, {&data.data, &n});
        CUgraphExec exec = ready(graph);
        for (int round = 0; round < 5; ++round) {
            run(exec, s);
            same("condition", data.host(), std::vector<int>{value ? 6 : 1, 1});
        }
        OK(d_cuGraphExecDestroy(exec));
        OK(d_cuGraphDestroy(graph));
    }
    OK(d_cuStreamDestroy(s));
}

// Takes one off a word and makes what is left the value of a conditional node.
static const char *counting = R"(.version 7.0
.target sm_50
.address_size 64
.extern .func cudaGraphSetConditional(.param .b64 handle, .param .b32 value);
.visible .entry count(.param .u64 handle, .param .u64 left) {
    .reg .b32 %v; .reg .b64 %h, %l;
    ld.param.u64 %h, [handle]; ld.param.u64 %l, [left];
    ld.global.u32 %v, [%l]; sub.u32 %v, %v, 1; st.global.u32 [%l], %v;
    { .param .b64 h; st.param.b64 [h], %h; .param .b32 v; st.param.b32 [v], %v; call.uni cudaGraphSetConditional, (h, v); }
    ret;
})";

// Loops that a kernel ends, and a choice among three.
static void loops() {
    CUstream s = stream();
    CUmodule module;
    CUfunction count;
    OK(d_cuModuleLoadData(&module, counting));
    OK(d_cuModuleGetFunction(&count, module, "count"));
    Device<int> data(1), left(1);
    int n = 1;
    CUgraph graph = empty();
    CUgraphConditionalHandle handle;
    OK(d_cuGraphConditionalHandleCreate(&handle, graph, context, 1, CU_GRAPH_COND_ASSIGN_DEFAULT));
    CUgraphNode first = fill(graph, {fill(graph, {}, data.data, 0, 1)}, left.data, 7, 1);
    CUgraphNodeParams params = choosing(handle, CU_GRAPH_COND_TYPE_WHILE, 1);
    choice(graph, first, params);
    CUgraph body = params.conditional.phGraph_out[0];
    kernel(body, {kernel(body, {}, function(bump), 1, {&data.data, &n})}, count, 1, {&handle, &left.data});
    CUgraphExec exec = ready(graph);
    for (int round = 0; round < 5; ++round) {
        run(exec, s);
        same("loop", data.host(), std::vector<int>{7});
    }
    OK(d_cuGraphExecDestroy(exec));
    OK(d_cuGraphDestroy(graph));
    // A choice inside a loop, by a value of the graph outside or of the loop's body; a launch of the whole sets either.
    for (bool outside : {true, false}) {
        graph = empty();
        CUgraphConditionalHandle inner;
        OK(d_cuGraphConditionalHandleCreate(&handle, graph, context, 1, CU_GRAPH_COND_ASSIGN_DEFAULT));
        first = fill(graph, {fill(graph, {}, data.data, 0, 1)}, left.data, 7, 1);
        params = choosing(handle, CU_GRAPH_COND_TYPE_WHILE, 1);
        choice(graph, first, params);
        body = params.conditional.phGraph_out[0];
        OK(d_cuGraphConditionalHandleCreate(&inner, outside ? graph : body, context, 1, CU_GRAPH_COND_ASSIGN_DEFAULT));
        CUgraphNodeParams inside = choosing(inner, CU_GRAPH_COND_TYPE_IF, 1);
        choice(body, kernel(body, {}, count, 1, {&handle, &left.data}), inside);
        kernel(inside.conditional.phGraph_out[0], {}, function(bump), 1, {&data.data, &n});
        exec = ready(graph);
        for (int round = 0; round < 3; ++round) {
            run(exec, s);
            same("choice in a loop", data.host(), std::vector<int>{7});
        }
        OK(d_cuGraphExecDestroy(exec));
        OK(d_cuGraphDestroy(graph));
    }
#if CUDA_VERSION >= 12080
    for (unsigned value : {0u, 1u, 2u, 3u}) {
        graph = empty();
        OK(d_cuGraphConditionalHandleCreate(&handle, graph, context, value, CU_GRAPH_COND_ASSIGN_DEFAULT));
        params = choosing(handle, CU_GRAPH_COND_TYPE_SWITCH, 3);
        choice(graph, fill(graph, {}, data.data, 0, 1), params);
        for (unsigned i = 0; i < 3; ++i) fill(params.conditional.phGraph_out[i], {}, data.data, 10 + i, 1);
        exec = ready(graph);
        run(exec, s);
        same("switch", data.host(), std::vector<int>{value < 3 ? 10 + int(value) : 0});
        OK(d_cuGraphExecDestroy(exec));
        OK(d_cuGraphDestroy(graph));
    }
#endif
    OK(d_cuModuleUnload(module));
    OK(d_cuStreamDestroy(s));
}

// Values that nodes wait for and write; two graphs hand a word to each other.
static void values() {
    CUstream s = stream(), other = stream();
    Device<int> words(2), seen(1);
    CHECK(cudaMemset(words.data, 0, 8));
    CUdeviceptr first = reinterpret_cast<CUdeviceptr>(words.data), second = first + 4;
    CUstreamBatchMemOpParams operations[2] = {};
    operations[0].waitValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
    operations[0].waitValue.address = first;
    operations[0].waitValue.value = 1;
    operations[0].waitValue.flags = CU_STREAM_WAIT_VALUE_EQ;
    operations[1].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
    operations[1].writeValue.address = second;
    operations[1].writeValue.value = 2;
    CUDA_BATCH_MEM_OP_NODE_PARAMS params = {context, 2, operations, 0};
    CUgraph answers = empty(), asks;
    CUgraphNode batch;
    OK(d_cuGraphAddBatchMemOpNode(&batch, answers, nullptr, 0, &params));
    int n = 1;
    int *to = seen.data;
    CUgraphNode zeroed = fill(answers, {batch}, to, 0, 1);
    kernel(answers, {zeroed}, function(add), 1, {&to, &words.data, &to, &n});
    OK(d_cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
    OK(d_cuStreamWriteValue32(s, first, 1, 0));
    OK(d_cuStreamWaitValue32(s, second, 2, CU_STREAM_WAIT_VALUE_EQ));
    OK(d_cuMemsetD32Async(second, 0, 1, s));
    OK(d_cuStreamEndCapture(s, &asks));
    node(asks, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP);
    CUgraphExec asking = ready(asks), answering = ready(answers);
    for (int round = 0; round < 20; ++round) {
        OK(d_cuGraphLaunch(answering, other));
        DRIVER_EXPECT(d_cuStreamQuery(other), CUDA_ERROR_NOT_READY);
        run(asking, s);
        OK(d_cuStreamSynchronize(other));
        EXPECT(seen.host()[0] == 1 && words.host()[1] == 0);
        CHECK(cudaMemset(words.data, 0, 8));
        CHECK(cudaDeviceSynchronize());
    }
    for (CUgraphExec e : {asking, answering}) OK(d_cuGraphExecDestroy(e));
    for (CUgraph g : {asks, answers}) OK(d_cuGraphDestroy(g));
    for (CUstream one : {s, other}) OK(d_cuStreamDestroy(one));
}

// Many nodes, in a chain and side by side; graphs captured again and again into one that is ready.
static void many() {
    const int count = 20000;
    CUstream s = stream();
    Device<int> data(1);
    CUgraph graph = empty();
    CUgraphNode last = fill(graph, {}, data.data, 0, 1);
    for (int i = 0; i < count; ++i) OK(d_cuGraphAddEmptyNode(&last, graph, &last, 1));
    std::vector<CUgraphNode> all(count);
    for (CUgraphNode &one : all) OK(d_cuGraphAddEmptyNode(&one, graph, &last, 1));
    int n = 1;
    kernel(graph, all, function(bump), 1, {&data.data, &n});
    CUgraphExec exec = ready(graph);
    for (int round = 0; round < 3; ++round) run(exec, s);
    EXPECT(data.host()[0] == 1);
    OK(d_cuGraphExecDestroy(exec));
    OK(d_cuGraphDestroy(graph));
    exec = nullptr;
    for (int round = 1; round <= 100; ++round) {
        OK(d_cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
        OK(d_cuMemsetD32Async(reinterpret_cast<CUdeviceptr>(data.data), round, 1, s));
        for (int i = 0; i < 10; ++i) bump<<<1, 64, 0, reinterpret_cast<cudaStream_t>(s)>>>(data.data, 1);
        OK(d_cuStreamEndCapture(s, &graph));
        CUgraphExecUpdateResultInfo info;
        if (exec == nullptr) exec = ready(graph);
        else OK(d_cuGraphExecUpdate(exec, graph, &info));
        OK(d_cuGraphDestroy(graph));
        run(exec, s);
        EXPECT(data.host()[0] == round + 10);
    }
    OK(d_cuGraphExecDestroy(exec));
    // Attributes of a node are kept when its parameters are set, and what they ask for is checked.
    graph = empty();
    CUgraphNode one = kernel(graph, {}, function(bump), 1, {&data.data, &n});
    CUkernelNodeAttrValue value = {};
    value.priority = -2;
    OK(d_cuGraphKernelNodeSetAttribute(one, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value));
    void *parameters[] = {&data.data, &n};
    CUDA_KERNEL_NODE_PARAMS params = launch(function(bump), 1, parameters);
    OK(d_cuGraphKernelNodeSetParams(one, &params));
    value.priority = 0;
    OK(d_cuGraphKernelNodeGetAttribute(one, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value));
    EXPECT(value.priority == -2);
    params.blockDimX = 5000;
    DRIVER_EXPECT(d_cuGraphKernelNodeSetParams(one, &params), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuGraphDestroy(graph));
    OK(d_cuStreamDestroy(s));
}

// Times, for those who ask.
static void measure() {
    using Clock = std::chrono::steady_clock;
    const int count = 1000, rounds = 50;
    CUstream s = stream();
    CUgraph chain = empty(), wide = empty();
    CUgraphNode last = nullptr;
    for (int i = 0; i < count; ++i) {
        last = kernel(chain, last ? std::vector<CUgraphNode>{last} : std::vector<CUgraphNode>{}, function(nothing), 1, {});
        kernel(wide, {}, function(nothing), 1, {});
    }
    auto time = [&](const char *what, auto work) {
        work();
        OK(d_cuStreamSynchronize(s));
        auto start = Clock::now();
        for (int round = 0; round < rounds; ++round) work();
        auto posted = Clock::now();
        OK(d_cuStreamSynchronize(s));
        std::chrono::duration<double, std::micro> posting = posted - start, all = Clock::now() - start;
        std::printf("%-28s %9.1f us posting, %9.1f us\n", what, posting.count() / rounds, all.count() / rounds);
    };
    auto start = Clock::now();
    CUgraphExec chained = ready(chain);
    std::chrono::duration<double, std::micro> took = Clock::now() - start;
    std::printf("%-28s %9.1f us\n", "instantiation", took.count());
    CUgraphExec spread = ready(wide);
    CUgraph places = empty();
    last = nullptr;
    for (int i = 0; i < count; ++i) OK(d_cuGraphAddEmptyNode(&last, places, &last, i > 0));
    CUgraphExec placed = ready(places);
    time("1000 launches", [&] { for (int i = 0; i < count; ++i) nothing<<<1, 64, 0, reinterpret_cast<cudaStream_t>(s)>>>(); });
    time("graph, 1000 in a chain", [&] { OK(d_cuGraphLaunch(chained, s)); });
    time("graph, 1000 empty nodes", [&] { OK(d_cuGraphLaunch(placed, s)); });
    time("graph, 1000 side by side", [&] { OK(d_cuGraphLaunch(spread, s)); });
}

int main(int argc, char **argv) {
    CHECK(cudaFree(nullptr));
    OK(d_cuCtxGetCurrent(&context));
    if (argc > 1 && std::strcmp(argv[1], "measure") == 0) {
        measure();
        return 0;
    }
    diamond();
    copies();
    hosts();
    capture();
    illegal();
    events();
    objects();
    conditions();
    loops();
    values();
    many();
    return passed("graphs");
}
