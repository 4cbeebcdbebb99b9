// The rest of the runtime API: a choice in a graph, runs between arrays, execution contexts, access to pools, valid devices, old names.
#include "check.cuh"
#include <cuda_runtime.h>

static const int N = 256;

// A graph fills memory only where its condition's value is not 0.
static void chosen(unsigned value) {
    Device<unsigned char> data(std::vector<unsigned char>(N, 1));
    cudaGraph_t graph;
    CHECK(cudaGraphCreate(&graph, 0));
    cudaGraphConditionalHandle handle;
    CHECK(cudaGraphConditionalHandleCreate(&handle, graph, value, cudaGraphCondAssignDefault));
    cudaGraphNodeParams what = {};
    what.type = cudaGraphNodeTypeConditional;
    what.conditional.handle = handle;
    what.conditional.type = cudaGraphCondTypeIf;
    what.conditional.size = 1;
    cudaGraphNode_t node, fill;
#if CUDART_VERSION >= 13000
    CHECK(cudaGraphAddNode(&node, graph, nullptr, nullptr, 0, &what));
#else
    CHECK(cudaGraphAddNode(&node, graph, nullptr, 0, &what));
#endif
    EXPECT(what.conditional.phGraph_out != nullptr);
    cudaMemsetParams set = {};
    set.dst = data.data, set.value = 9, set.elementSize = 1, set.width = N, set.height = 1;
    CHECK(cudaGraphAddMemsetNode(&fill, what.conditional.phGraph_out[0], nullptr, 0, &set));
    cudaGraphExec_t exec;
    CHECK(cudaGraphInstantiate(&exec, graph, 0));
    CHECK(cudaGraphLaunch(exec, 0));
    CHECK(cudaDeviceSynchronize());
    EXPECT(data.host()[N - 1] == (value ? 9 : 1));
    CHECK(cudaGraphExecDestroy(exec));
    CHECK(cudaGraphDestroy(graph));
}

// 30 texels, from the middle of a row of 16 to the middle of a row of 20.
static void arrays() {
    cudaChannelFormatDesc format = cudaCreateChannelDesc<int>();
    cudaArray_t from, to;
    CHECK(cudaMallocArray(&from, &format, 16, 4));
    CHECK(cudaMallocArray(&to, &format, 20, 4));
    std::vector<int> in(64), out(80, -1);
    for (int i = 0; i < 64; i++) in[i] = i;
    CHECK(cudaMemcpy2DToArray(from, 0, 0, in.data(), 64, 64, 4, cudaMemcpyHostToDevice));
    CHECK(cudaMemcpy2DToArray(to, 0, 0, out.data(), 80, 80, 4, cudaMemcpyHostToDevice));
    CHECK(cudaMemcpyArrayToArray(to, 10 * 4, 1, from, 5 * 4, 0, 30 * 4, cudaMemcpyDeviceToDevice));
    EXPECT(cudaMemcpyArrayToArray(to, 0, 0, from, 0, 0, 4, cudaMemcpyHostToDevice) == cudaErrorInvalidMemcpyDirection);
    cudaGetLastError();
    CHECK(cudaMemcpy2DFromArray(out.data(), 80, to, 0, 0, 80, 4, cudaMemcpyDeviceToHost));
    for (int i = 0; i < 80; i++) EXPECT(out[i] == (i >= 30 && i < 60 ? i - 30 + 5 : -1));
    CHECK(cudaFreeArray(from));
    CHECK(cudaFreeArray(to));
}

static void pools() {
    cudaMemPool_t pool;
    CHECK(cudaDeviceGetDefaultMemPool(&pool, 0));
    cudaMemLocation here = {};
    here.type = cudaMemLocationTypeDevice;
    cudaMemAccessFlags access;
    CHECK(cudaMemPoolGetAccess(&access, pool, &here));
    EXPECT(access == cudaMemAccessFlagsProtReadWrite);
    EXPECT(cudaMemPoolGetAccess(nullptr, pool, &here) == cudaErrorInvalidValue);
    cudaGetLastError();
}

static void devices() {
    int list[] = {0}, wrong[] = {0, 99};
    CHECK(cudaSetValidDevices(list, 1));
    EXPECT(cudaSetValidDevices(wrong, 2) == cudaErrorInvalidDevice);
    cudaGetLastError();
    cudaDeviceProp properties;
    CHECK(cudaGetDeviceProperties(&properties, 0));
    int device = -1;
    CHECK(cudaChooseDevice(&device, &properties));
    EXPECT(device == 0);
    const void *table = nullptr;
    cudaUUID_t id = {};
    EXPECT(cudaGetExportTable(&table, &id) != cudaSuccess);
    cudaGetLastError();
}

#if CUDART_VERSION >= 13010
static void contexts() {
    cudaExecutionContext_t all;
    CHECK(cudaDeviceGetExecutionCtx(&all, 0));
    int device = -1;
    CHECK(cudaExecutionCtxGetDevice(&device, all));
    EXPECT(device == 0);
    cudaStream_t stream;
    CHECK(cudaExecutionCtxStreamCreate(&stream, all, cudaStreamNonBlocking, 0));
    Device<unsigned char> data(N);
    CHECK(cudaMemsetAsync(data.data, 4, N, stream));
    CHECK(cudaExecutionCtxSynchronize(all));
    EXPECT(data.host()[7] == 4);
    CHECK(cudaStreamDestroy(stream));
    EXPECT(cudaExecutionCtxDestroy(all) == cudaErrorInvalidValue);
    EXPECT(cudaExecutionCtxGetDevice(&device, nullptr) == cudaErrorInvalidValue);
    cudaGetLastError();

    cudaDevResource whole;
    CHECK(cudaDeviceGetDevResource(0, &whole, cudaDevResourceTypeSm));
    EXPECT(whole.sm.smCount > 0);
    cudaDevResourceDesc_t description;
    CHECK(cudaDevResourceGenerateDesc(&description, &whole, 1));
    cudaExecutionContext_t part;
    CHECK(cudaGreenCtxCreate(&part, description, 0, 0));
    CHECK(cudaExecutionCtxStreamCreate(&stream, part, cudaStreamNonBlocking, 0));
    CHECK(cudaMemsetAsync(data.data, 5, N, stream));
    CHECK(cudaStreamSynchronize(stream));
    EXPECT(data.host()[7] == 5);
    CHECK(cudaStreamDestroy(stream));
    CHECK(cudaExecutionCtxDestroy(part));
}
#else
static void contexts() {}
#endif

int main() {
    devices();
    chosen(0);
    chosen(1);
    arrays();
    pools();
    contexts();
    EXPECT(cudaGetLastError() == cudaSuccess);
    return passed("the rest of the runtime");
}
