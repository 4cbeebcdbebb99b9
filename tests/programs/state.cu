// State on the device and time on it: global and constant variables, streams, events, pinned memory, rows, properties of the device.
#include "check.cuh"

__device__ int counter = 41;
__device__ float table[64];
__constant__ float weights[16];
__constant__ int defaults[3] = {7, 8, 9};
__device__ int *chained;

__global__ void bump(int *seen) {
    seen[0] = atomicAdd(&counter, 1);
    seen[1] = defaults[0] * 100 + defaults[1] * 10 + defaults[2];
}

__global__ void weigh(float *out) {
    int i = threadIdx.x;
    out[i] = table[i] * weights[i % 16];
}

__global__ void follow(int value) { *chained = value; }

__global__ void fill(int *data, int value, int n) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) data[i] += value;
}

void variables() {
    Device<int> seen(2);
    bump<<<1, 1>>>(seen.data);
    LAUNCHED();
    EXPECT(seen.host()[0] == 41 && seen.host()[1] == 789);
    int now = 0;
    CHECK(cudaMemcpyFromSymbol(&now, counter, sizeof now));
    EXPECT(now == 42);
    std::vector<float> t(64), w(16), want(64);
    for (int i = 0; i < 64; ++i) t[i] = static_cast<float>(i) * 0.5f;
    for (int i = 0; i < 16; ++i) w[i] = static_cast<float>(i + 1);
    for (int i = 0; i < 64; ++i) want[i] = t[i] * w[i % 16];
    CHECK(cudaMemcpyToSymbol(table, t.data(), 32 * sizeof(float)));
    CHECK(cudaMemcpyToSymbol(table, t.data() + 32, 32 * sizeof(float), 32 * sizeof(float)));
    CHECK(cudaMemcpyToSymbol(weights, w.data(), sizeof(float) * 16));
    Device<float> out(64);
    weigh<<<1, 64>>>(out.data);
    LAUNCHED();
    same("variables", out.host(), want);
    void *address = nullptr;
    size_t size = 0;
    CHECK(cudaGetSymbolAddress(&address, table));
    CHECK(cudaGetSymbolSize(&size, table));
    EXPECT(address != nullptr && size == 64 * sizeof(float));
    EXPECT(cudaMemcpyToSymbol(table, t.data(), 65 * sizeof(float)) == cudaErrorInvalidValue);
    EXPECT(cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess);
    Device<int> target(std::vector<int>{0});
    CHECK(cudaMemcpyToSymbol(chained, &target.data, sizeof target.data));
    follow<<<1, 1>>>(77);
    LAUNCHED();
    EXPECT(target.host()[0] == 77);
}

void streams() {
    const int n = 50000, count = 4, rounds = 5;
    cudaStream_t stream[count];
    int *pinned[count];
    std::vector<Device<int> *> device;
    for (int s = 0; s < count; ++s) {
        CHECK(cudaStreamCreateWithFlags(&stream[s], s % 2 ? cudaStreamNonBlocking : cudaStreamDefault));
        CHECK(cudaMallocHost(&pinned[s], n * sizeof(int)));
        for (int i = 0; i < n; ++i) pinned[s][i] = i;
        device.push_back(new Device<int>(n));
    }
    cudaEvent_t start, stop;
    CHECK(cudaEventCreate(&start));
    CHECK(cudaEventCreate(&stop));
    CHECK(cudaEventRecord(start, stream[0]));
    for (int s = 0; s < count; ++s) CHECK(cudaMemcpyAsync(device[s]->data, pinned[s], n * sizeof(int), cudaMemcpyHostToDevice, stream[s]));
    for (int r = 0; r < rounds; ++r)
        for (int s = 0; s < count; ++s) fill<<<16, 64, 0, stream[s]>>>(device[s]->data, s + 1, n);
    for (int s = 0; s < count; ++s) CHECK(cudaMemcpyAsync(pinned[s], device[s]->data, n * sizeof(int), cudaMemcpyDeviceToHost, stream[s]));
    CHECK(cudaEventRecord(stop, stream[0]));
    CHECK(cudaEventSynchronize(stop));
    CHECK(cudaEventQuery(stop));
    float milliseconds = -1;
    CHECK(cudaEventElapsedTime(&milliseconds, start, stop));
    EXPECT(milliseconds >= 0);
    for (int s = 0; s < count; ++s) {
        CHECK(cudaStreamSynchronize(stream[s]));
        CHECK(cudaStreamQuery(stream[s]));
        for (int i = 0; i < n; ++i)
            if (pinned[s][i] != i + rounds * (s + 1)) fail("stream %d: result %d is %d", s, i, pinned[s][i]);
    }
    // One stream waits for the work of another: the second kernel sees what the first left.
    cudaEvent_t ready;
    CHECK(cudaEventCreateWithFlags(&ready, cudaEventDisableTiming));
    CHECK(cudaMemsetAsync(device[1]->data, 0, n * sizeof(int), stream[1]));
    fill<<<4, 64, 0, stream[1]>>>(device[1]->data, 5, n);
    CHECK(cudaEventRecord(ready, stream[1]));
    CHECK(cudaStreamWaitEvent(stream[3], ready, 0));
    CHECK(cudaMemcpyAsync(device[3]->data, device[1]->data, n * sizeof(int), cudaMemcpyDeviceToDevice, stream[3]));
    CHECK(cudaStreamSynchronize(stream[3]));
    same("event between streams", device[3]->host(), std::vector<int>(n, 5));
    for (int s = 0; s < count; ++s) {
        CHECK(cudaStreamDestroy(stream[s]));
        CHECK(cudaFreeHost(pinned[s]));
        delete device[s];
    }
    for (cudaEvent_t event : {start, stop, ready}) CHECK(cudaEventDestroy(event));
}

void rows() {
    const size_t width = 100, height = 37;
    void *memory = nullptr;
    size_t pitch = 0;
    CHECK(cudaMallocPitch(&memory, &pitch, width, height));
    EXPECT(pitch >= width && pitch % 16 == 0);
    std::vector<unsigned char> in(width * height), out(width * height, 0);
    for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<unsigned char>(i * 7);
    CHECK(cudaMemset2D(memory, pitch, 0xEE, width, height));
    CHECK(cudaMemcpy2D(memory, pitch, in.data(), width, width, height - 1, cudaMemcpyHostToDevice));
    CHECK(cudaMemcpy2D(out.data(), width, memory, pitch, width, height, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < width; ++i) in[(height - 1) * width + i] = 0xEE;
    same("rows", out, in);
    CHECK(cudaFree(memory));
}

void device() {
    int count = 0, current = -1, major = 0, driver = 0, runtime = 0;
    CHECK(cudaGetDeviceCount(&count));
    CHECK(cudaGetDevice(&current));
    CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    cudaDeviceProp properties;
    CHECK(cudaGetDeviceProperties(&properties, 0));
    EXPECT(count == 1 && current == 0 && properties.major == major);
    EXPECT(properties.warpSize == 32 && properties.maxThreadsPerBlock == 1024 && properties.multiProcessorCount > 0);
    EXPECT(properties.maxThreadsDim[2] == 64 && properties.sharedMemPerBlock == 48 * 1024 && properties.maxGridSize[0] == 0x7FFFFFFF);
    size_t free_bytes = 0, total = 0;
    CHECK(cudaMemGetInfo(&free_bytes, &total));
    EXPECT(free_bytes <= total && total == properties.totalGlobalMem && std::strlen(properties.name) > 0);
    CHECK(cudaDriverGetVersion(&driver));
    CHECK(cudaRuntimeGetVersion(&runtime));
    EXPECT(driver / 1000 >= runtime / 1000 && runtime / 1000 == CUDART_VERSION / 1000);
    EXPECT(cudaSetDevice(99) == cudaErrorInvalidDevice && cudaGetLastError() == cudaErrorInvalidDevice);
    void *memory = nullptr;
    EXPECT(cudaMalloc(&memory, total + (1u << 20)) == cudaErrorMemoryAllocation && cudaGetLastError() == cudaErrorMemoryAllocation);
    cudaFuncAttributes attributes;
    CHECK(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void *>(weigh)));
    EXPECT(attributes.maxThreadsPerBlock > 0 && attributes.numRegs > 0);
    EXPECT(attributes.ptxVersion == 80 && attributes.binaryVersion == 10 * properties.major + properties.minor);
    int blocks = 0;
    CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, fill, 256, 0));
    EXPECT(blocks >= 1);
    // No more than a launch may ask for, which is more once the program says so.
    size_t dynamic = 0, opted = 0;
    CHECK(cudaOccupancyAvailableDynamicSMemPerBlock(&dynamic, fill, 1, 256));
    EXPECT(dynamic == properties.sharedMemPerBlock);
    CHECK(cudaFuncSetAttribute(reinterpret_cast<const void *>(fill), cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024));
    CHECK(cudaOccupancyAvailableDynamicSMemPerBlock(&opted, fill, 1, 256));
    EXPECT(opted == 64 * 1024);
    Device<int> ints(16);
    int on_host = 0;
    cudaPointerAttributes where;
    CHECK(cudaPointerGetAttributes(&where, ints.data));
    EXPECT(where.type == cudaMemoryTypeDevice && where.device == 0 && where.devicePointer == ints.data);
    CHECK(cudaPointerGetAttributes(&where, &on_host));
    EXPECT(where.type == cudaMemoryTypeUnregistered);
    fill<<<1, 2048>>>(ints.data, 1, 16);
    EXPECT(cudaGetLastError() == cudaErrorInvalidConfiguration);
    fill<<<0, 32>>>(ints.data, 1, 16);
    EXPECT(cudaGetLastError() == cudaErrorInvalidConfiguration);
    int *async = nullptr;
    CHECK(cudaMallocAsync(&async, 4096, nullptr));
    CHECK(cudaMemsetAsync(async, 1, 4096, nullptr));
    CHECK(cudaFreeAsync(async, nullptr));
    CHECK(cudaMallocAsync(&async, 0, nullptr));
    EXPECT(async == nullptr);
    CHECK(cudaStreamSynchronize(nullptr));
}

int main() {
    device();
    variables();
    streams();
    rows();
    return passed("state: variables, streams, events, rows, properties");
}
