// Graphs through the runtime API: captured, built node by node with stubs as kernels, asked, changed, updated, with memory and a loop.
#include "check.cuh"
#include <cuda_runtime.h>
#include <string>

__device__ int variable[4];

__global__ void scale(int *data, int n, int factor) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) data[i] = data[i] * factor + 1;
}

__global__ void add(int *data, int n, int term) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) data[i] += term;
}

__global__ void empty() {}

static const int N = 1000;

// What both versions of the API call with other arguments.
static cudaError_t edges(cudaGraph_t graph, cudaGraphNode_t *from, cudaGraphNode_t *to, size_t *count) {
#if CUDART_VERSION >= 13000
    return cudaGraphGetEdges(graph, from, to, nullptr, count);
#else
    return cudaGraphGetEdges(graph, from, to, count);
#endif
}

static cudaError_t depend(cudaGraph_t graph, cudaGraphNode_t from, cudaGraphNode_t to) {
#if CUDART_VERSION >= 13000
    return cudaGraphAddDependencies(graph, &from, &to, nullptr, 1);
#else
    return cudaGraphAddDependencies(graph, &from, &to, 1);
#endif
}

static cudaError_t depended(cudaGraphNode_t node, cudaGraphNode_t *nodes, size_t *count) {
#if CUDART_VERSION >= 13000
    return cudaGraphNodeGetDependencies(node, nodes, nullptr, count);
#else
    return cudaGraphNodeGetDependencies(node, nodes, count);
#endif
}

static cudaError_t add_node(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *before, size_t count,
                            cudaGraphNodeParams *what) {
#if CUDART_VERSION >= 13000
    return cudaGraphAddNode(node, graph, before, nullptr, count, what);
#else
    return cudaGraphAddNode(node, graph, before, count, what);
#endif
}

static cudaError_t capture(cudaStream_t stream, cudaStreamCaptureStatus *status, unsigned long long *id, cudaGraph_t *graph,
                           size_t *count) {
#if CUDART_VERSION >= 13000
    return cudaStreamGetCaptureInfo(stream, status, id, graph, nullptr, nullptr, count);
#else
    return cudaStreamGetCaptureInfo_v2(stream, status, id, graph, nullptr, count);
#endif
}

static void run(cudaGraph_t graph) {
    cudaGraphExec_t exec;
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    CHECK(cudaGraphLaunch(exec, 0));
    LAUNCHED();
    CHECK(cudaGraphExecDestroy(exec));
}

static void all_are(const Device<int> &data, int value) {
    for (int one : data.host())
        if (one != value) fail("%d, not %d", one, value);
}

static void captured() {
    Device<int> data(N);
    cudaStream_t stream;
    CHECK(cudaStreamCreate(&stream));
    cudaStreamCaptureStatus status;
    unsigned long long id = 0;
    CHECK(capture(stream, &status, &id, nullptr, nullptr));
    EXPECT(status == cudaStreamCaptureStatusNone);
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    CHECK(cudaMemsetAsync(data.data, 0, N * sizeof(int), stream));
    scale<<<(N + 127) / 128, 128, 0, stream>>>(data.data, N, 3);
    add<<<(N + 127) / 128, 128, 0, stream>>>(data.data, N, 40);
    CHECK(cudaGetLastError());
    cudaGraph_t into = nullptr;
    size_t pending = 0;
    CHECK(capture(stream, &status, &id, &into, &pending));
    EXPECT(status == cudaStreamCaptureStatusActive && into != nullptr && pending == 1);
    // What waits for the device is forbidden meanwhile, and ends the capture.
    EXPECT(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported);
    EXPECT(cudaGetLastError() == cudaErrorStreamCaptureUnsupported);
    cudaGraph_t graph = nullptr;
    EXPECT(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
    EXPECT(graph == nullptr && cudaGetLastError() == cudaErrorStreamCaptureInvalidated);

    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    CHECK(cudaMemsetAsync(data.data, 0, N * sizeof(int), stream));
    scale<<<(N + 127) / 128, 128, 0, stream>>>(data.data, N, 3);
    add<<<(N + 127) / 128, 128, 0, stream>>>(data.data, N, 40);
    CHECK(cudaStreamEndCapture(stream, &graph));
    size_t count = 0, lines = 0;
    CHECK(cudaGraphGetNodes(graph, nullptr, &count));
    CHECK(edges(graph, nullptr, nullptr, &lines));
    EXPECT(count == 3 && lines == 2);
    cudaGraphNode_t nodes[3];
    CHECK(cudaGraphGetNodes(graph, nodes, &count));
    int kernels = 0;
    for (cudaGraphNode_t node : nodes) {
        cudaGraphNodeType type;
        CHECK(cudaGraphNodeGetType(node, &type));
        if (type != cudaGraphNodeTypeKernel) continue;
        // The program asks for kernels by the stubs it launched.
        cudaKernelNodeParams what;
        CHECK(cudaGraphKernelNodeGetParams(node, &what));
        EXPECT(what.func == (void *)scale || what.func == (void *)add);
        EXPECT(what.blockDim.x == 128 && *(int **)what.kernelParams[0] == data.data);
        if (what.func == (void *)add) {
            int term = 400;
            void *arguments[] = {&data.data, (void *)&N, &term};
            what.kernelParams = arguments;
            CHECK(cudaGraphKernelNodeSetParams(node, &what));
        }
        kernels++;
    }
    EXPECT(kernels == 2);
    run(graph);
    all_are(data, 401);
    CHECK(cudaGraphDestroy(graph));
    CHECK(cudaStreamDestroy(stream));
}

static void CUDART_CB call(void *data) { ++*(int *)data; }

static void built() {
    Device<int> data(N), copy(N);
    cudaGraph_t graph;
    CHECK(cudaGraphCreate(&graph, 0));
    cudaGraphNode_t fill, kernel, box, row, to, from, host, node;
    cudaMemsetParams set = {};
    set.dst = data.data, set.value = 5, set.elementSize = 4, set.width = N, set.height = 1;
    CHECK(cudaGraphAddMemsetNode(&fill, graph, nullptr, 0, &set));
    int factor = 2;
    void *arguments[] = {&data.data, (void *)&N, &factor};
    cudaKernelNodeParams what = {};
    what.func = (void *)scale, what.gridDim = dim3((N + 63) / 64), what.blockDim = dim3(64), what.kernelParams = arguments;
    CHECK(cudaGraphAddKernelNode(&kernel, graph, &fill, 1, &what));
    cudaKernelNodeParams none = what;
    none.func = nullptr;
    EXPECT(cudaGraphAddKernelNode(&node, graph, &fill, 1, &none) == cudaErrorInvalidDeviceFunction);
    EXPECT(cudaGetLastError() == cudaErrorInvalidDeviceFunction);
    cudaMemcpy3DParms three = {};
    three.srcPtr = make_cudaPitchedPtr(data.data, N * 4, N * 4, 1);
    three.dstPtr = make_cudaPitchedPtr(copy.data, N * 4, N * 4, 1);
    three.extent = make_cudaExtent(N * 4, 1, 1);
    three.kind = cudaMemcpyDeviceToDevice;
    CHECK(cudaGraphAddMemcpyNode(&box, graph, &kernel, 1, &three));
    cudaMemcpy3DParms found;
    CHECK(cudaGraphMemcpyNodeGetParams(box, &found));
    EXPECT(found.srcPtr.ptr == data.data && found.dstPtr.ptr == copy.data && found.extent.width == size_t(N) * 4);
    EXPECT(found.kind == cudaMemcpyDeviceToDevice);
    three.kind = (cudaMemcpyKind)9;
    EXPECT(cudaGraphAddMemcpyNode(&node, graph, &kernel, 1, &three) == cudaErrorInvalidMemcpyDirection);
    cudaGetLastError();
    std::vector<int> out(N, 0);
    CHECK(cudaGraphAddMemcpyNode1D(&row, graph, &box, 1, out.data(), copy.data, N * sizeof(int), cudaMemcpyDeviceToHost));
    int sent[2] = {7, 8}, got = 0, calls = 0;
    CHECK(cudaGraphAddMemcpyNodeToSymbol(&to, graph, nullptr, 0, variable, sent, 8, 4, cudaMemcpyHostToDevice));
    CHECK(cudaGraphAddMemcpyNodeFromSymbol(&from, graph, &to, 1, &got, variable, 4, 8, cudaMemcpyDeviceToHost));
    EXPECT(cudaGraphAddMemcpyNodeToSymbol(&node, graph, nullptr, 0, variable, sent, 8, 12, cudaMemcpyHostToDevice) ==
           cudaErrorInvalidValue);
    cudaGetLastError();
    cudaHostNodeParams function = {call, &calls};
    CHECK(cudaGraphAddHostNode(&host, graph, &from, 1, &function));
    CHECK(depend(graph, row, host));
    size_t before = 0;
    CHECK(depended(host, nullptr, &before));
    EXPECT(before == 2);

    cudaGraphExec_t exec;
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    CHECK(cudaGraphLaunch(exec, 0));
    CHECK(cudaDeviceSynchronize());
    EXPECT(calls == 1 && got == 8 && out[0] == 11 && out[N - 1] == 11);
    // The executable graph changes alone.
    factor = 4;
    CHECK(cudaGraphExecKernelNodeSetParams(exec, kernel, &what));
    sent[1] = 80;
    CHECK(cudaGraphExecMemcpyNodeSetParamsFromSymbol(exec, from, &got, variable, 4, 4, cudaMemcpyDeviceToHost));
    CHECK(cudaGraphNodeSetEnabled(exec, fill, 0));
    CHECK(cudaGraphLaunch(exec, 0));
    CHECK(cudaDeviceSynchronize());
    EXPECT(calls == 2 && got == 7 && out[0] == 45);
    // An update takes everything from the graph again.
    cudaGraphExecUpdateResultInfo result;
    CHECK(cudaGraphExecUpdate(exec, graph, &result));
    EXPECT(result.result == cudaGraphExecUpdateSuccess);
    cudaGraph_t clone;
    cudaGraphNode_t twin;
    CHECK(cudaGraphClone(&clone, graph));
    CHECK(cudaGraphNodeFindInClone(&twin, kernel, clone));
    cudaKernelNodeParams twins;
    CHECK(cudaGraphKernelNodeGetParams(twin, &twins));
    EXPECT(twins.func == (void *)scale);
    CHECK(cudaGraphDestroyNode(host));
    EXPECT(cudaGraphExecUpdate(exec, graph, &result) == cudaErrorGraphExecUpdateFailure);
    EXPECT(result.result != cudaGraphExecUpdateSuccess);
    cudaGetLastError();
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(clone));
    CHECK(cudaGraphDestroy(graph));
}

static void described() {
    cudaGraph_t graph;
    CHECK(cudaGraphCreate(&graph, 0));
    // Memory of the graph, filled, changed by a kernel, copied out and freed.
    cudaGraphNodeParams memory = {};
    memory.type = cudaGraphNodeTypeMemAlloc;
    memory.alloc.poolProps.allocType = cudaMemAllocationTypePinned;
    memory.alloc.poolProps.location.type = cudaMemLocationTypeDevice;
    memory.alloc.bytesize = N * sizeof(int);
    cudaGraphNode_t alloc, fill, kernel, copy, gone;
    CHECK(add_node(&alloc, graph, nullptr, 0, &memory));
    int *data = (int *)memory.alloc.dptr;
    EXPECT(data != nullptr);
    cudaGraphNodeParams set = {};
    set.type = cudaGraphNodeTypeMemset;
    set.memset.dst = data, set.memset.value = 1, set.memset.elementSize = 4, set.memset.width = N, set.memset.height = 1;
    CHECK(add_node(&fill, graph, &alloc, 1, &set));
    int n = N, term = 6;
    void *arguments[] = {&data, &n, &term};
    cudaGraphNodeParams what = {};
    what.type = cudaGraphNodeTypeKernel;
    what.kernel.func = (void *)add, what.kernel.gridDim = {8, 1, 1}, what.kernel.blockDim = {128, 1, 1};
    what.kernel.kernelParams = arguments;
    CHECK(add_node(&kernel, graph, &fill, 1, &what));
    std::vector<int> out(N, 0);
    cudaGraphNodeParams read = {};
    read.type = cudaGraphNodeTypeMemcpy;
    read.memcpy.copyParams.srcPtr = make_cudaPitchedPtr(data, N * 4, N * 4, 1);
    read.memcpy.copyParams.dstPtr = make_cudaPitchedPtr(out.data(), N * 4, N * 4, 1);
    read.memcpy.copyParams.extent = make_cudaExtent(N * 4, 1, 1);
    read.memcpy.copyParams.kind = cudaMemcpyDeviceToHost;
    CHECK(add_node(&copy, graph, &kernel, 1, &read));
    CHECK(cudaGraphAddMemFreeNode(&gone, graph, &copy, 1, data));
    run(graph);
    EXPECT(out[0] == 7 && out[N - 1] == 7);
    term = 60;
    CHECK(cudaGraphNodeSetParams(kernel, &what));
    run(graph);
    EXPECT(out[0] == 61);
    CHECK(cudaGraphDestroy(graph));
    CHECK(cudaDeviceGraphMemTrim(0));
}

static void attributes() {
    cudaGraph_t graph;
    CHECK(cudaGraphCreate(&graph, 0));
    cudaGraphNode_t one, two;
    cudaKernelNodeParams what = {};
    what.func = (void *)empty, what.gridDim = dim3(1), what.blockDim = dim3(1);
    CHECK(cudaGraphAddKernelNode(&one, graph, nullptr, 0, &what));
    CHECK(cudaGraphAddKernelNode(&two, graph, nullptr, 0, &what));
    cudaKernelNodeAttrValue value = {}, found = {};
    value.cooperative = 1;
    CHECK(cudaGraphKernelNodeSetAttribute(one, cudaKernelNodeAttributeCooperative, &value));
    CHECK(cudaGraphKernelNodeCopyAttributes(two, one));
    CHECK(cudaGraphKernelNodeGetAttribute(two, cudaKernelNodeAttributeCooperative, &found));
    EXPECT(found.cooperative == 1);
    cudaStream_t stream;
    CHECK(cudaStreamCreate(&stream));
    cudaStreamAttrValue policy = {}, asked = {};
    policy.syncPolicy = cudaSyncPolicyYield;
    CHECK(cudaStreamSetAttribute(stream, cudaStreamAttributeSynchronizationPolicy, &policy));
    CHECK(cudaStreamGetAttribute(stream, cudaStreamAttributeSynchronizationPolicy, &asked));
    EXPECT(asked.syncPolicy == cudaSyncPolicyYield);
    CHECK(cudaStreamDestroy(stream));
    CHECK(cudaGraphDebugDotPrint(graph, "/dev/null", cudaGraphDebugDotFlagsVerbose));
    CHECK(cudaGraphDestroy(graph));
}

static void owned() {
    int calls = 0;
    cudaUserObject_t object;
    cudaGraph_t graph;
    CHECK(cudaGraphCreate(&graph, 0));
    CHECK(cudaUserObjectCreate(&object, &calls, call, 1, cudaUserObjectNoDestructorSync));
    CHECK(cudaGraphRetainUserObject(graph, object, 1, cudaGraphUserObjectMove));
    EXPECT(calls == 0);
    CHECK(cudaGraphDestroy(graph));
    EXPECT(calls == 1);
}

static void peers() {
    Device<int> one(std::vector<int>(N, 3)), two(N);
    CHECK(cudaMemcpyPeer(two.data, 0, one.data, 0, N * sizeof(int)));
    all_are(two, 3);
    CHECK(cudaMemset(two.data, 0, N * sizeof(int)));
    cudaMemcpy3DPeerParms box = {};
    box.srcPtr = make_cudaPitchedPtr(one.data, N * 4, N * 4, 1);
    box.dstPtr = make_cudaPitchedPtr(two.data, N * 4, N * 4, 1);
    box.extent = make_cudaExtent(N * 4, 1, 1);
    CHECK(cudaMemcpy3DPeer(&box));
    all_are(two, 3);
    EXPECT(cudaMemcpyPeer(two.data, 0, one.data, 77, 4) == cudaErrorInvalidDevice);
    cudaGetLastError();
    cudaIpcMemHandle_t handle;
    CHECK(cudaIpcGetMemHandle(&handle, one.data));
    cudaExternalSemaphore_t semaphore;
    cudaExternalSemaphoreHandleDesc desc = {};
    EXPECT(cudaImportExternalSemaphore(&semaphore, &desc) == cudaErrorNotSupported);
    cudaGetLastError();
#if CUDART_VERSION >= 13000
    void *to[] = {two.data, two.data + 10};
    const void *from[] = {one.data + 10, one.data};
    size_t bytes[] = {40, 80}, first = 0;
    cudaMemcpyAttributes attributes = {};
    attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
    cudaStream_t stream;
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaMemset(two.data, 0, N * sizeof(int)));
    CHECK(cudaMemcpyBatchAsync(to, from, bytes, 2, &attributes, &first, 1, stream));
    CHECK(cudaStreamSynchronize(stream));
    std::vector<int> out = two.host();
    EXPECT(out[0] == 3 && out[29] == 3 && out[30] == 0);
    CHECK(cudaStreamDestroy(stream));
#endif
}

int main() {
    captured();
    built();
    described();
    attributes();
    owned();
    peers();
    EXPECT(cudaGetLastError() == cudaSuccess);
    return passed("runtime graphs");
}
