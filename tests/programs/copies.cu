// Copies that the calling thread may make itself: they come after all that CUDA puts before them, and before all that it puts behind.
#include "check.cuh"

#include <atomic>
#include <thread>

// Takes its time, then counts every word up.
__global__ void late(unsigned *words, int n, long long cycles) {
    long long start = clock64();
    while (clock64() - start < cycles) {
    }
    for (int i = threadIdx.x; i < n; i += blockDim.x) words[i] += 1;
}

static const long long SLOW = 20000000;

static bool all(const std::vector<unsigned> &words, unsigned value) {
    for (unsigned word : words)
        if (word != value) return false;
    return true;
}

// Sizes on both sides of what travels in a message.
static const int SIZES[] = {1, 1000, 4096, 5000, 300000};

#ifdef CUDA_API_PER_THREAD_DEFAULT_STREAM
// The thread's own stream waits for the legacy stream alone.
static void legacy(unsigned *, int) {}
#else
// A copy of the legacy stream waits for blocking streams, and they for it.
static void legacy(unsigned *device, int n) {
    cudaStream_t blocking;
    CHECK(cudaStreamCreate(&blocking));
    std::vector<unsigned> host(n, 10), seen(n);
    CHECK(cudaMemcpy(device, host.data(), n * 4, cudaMemcpyHostToDevice));
    late<<<1, 64, 0, blocking>>>(device, n, SLOW);
    CHECK(cudaMemcpy(seen.data(), device, n * 4, cudaMemcpyDeviceToHost));
    EXPECT(all(seen, 11));
    late<<<1, 64, 0, blocking>>>(device, n, SLOW);
    CHECK(cudaMemcpy(device, host.data(), n * 4, cudaMemcpyHostToDevice));
    late<<<1, 64, 0, blocking>>>(device, n, 0);
    CHECK(cudaMemcpyAsync(seen.data(), device, n * 4, cudaMemcpyDeviceToHost, blocking));
    CHECK(cudaStreamSynchronize(blocking));
    EXPECT(all(seen, 11));
    // The other way round: a blocking stream's copy waits for the legacy stream's kernel.
    late<<<1, 64>>>(device, n, SLOW);
    CHECK(cudaMemcpyAsync(seen.data(), device, n * 4, cudaMemcpyDeviceToHost, blocking));
    CHECK(cudaStreamSynchronize(blocking));
    EXPECT(all(seen, 12));
    late<<<1, 64>>>(device, n, SLOW);
    CHECK(cudaMemcpyAsync(device, host.data(), n * 4, cudaMemcpyHostToDevice, blocking));
    CHECK(cudaMemcpy(seen.data(), device, n * 4, cudaMemcpyDeviceToHost));
    EXPECT(all(seen, 10));
    CHECK(cudaStreamDestroy(blocking));
}
#endif

// In one stream, and in one that waits for another by an event.
static void chained(unsigned *device, int n) {
    cudaStream_t first, second;
    cudaEvent_t event;
    CHECK(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking));
    CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
    CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    std::vector<unsigned> host(n, 20), seen(n);
    CHECK(cudaMemcpyAsync(device, host.data(), n * 4, cudaMemcpyHostToDevice, first));
    std::fill(host.begin(), host.end(), 99);
    late<<<1, 64, 0, first>>>(device, n, SLOW);
    CHECK(cudaEventRecord(event, first));
    CHECK(cudaStreamWaitEvent(second, event));
    CHECK(cudaMemcpyAsync(seen.data(), device, n * 4, cudaMemcpyDeviceToHost, second));
    CHECK(cudaStreamSynchronize(second));
    EXPECT(all(seen, 21));
    late<<<1, 64, 0, first>>>(device, n, SLOW);
    CHECK(cudaMemcpyAsync(device, host.data(), n * 4, cudaMemcpyHostToDevice, first));
    std::fill(host.begin(), host.end(), 0);
    late<<<1, 64, 0, first>>>(device, n, 0);
    CHECK(cudaMemcpyAsync(seen.data(), device, n * 4, cudaMemcpyDeviceToHost, first));
    CHECK(cudaStreamSynchronize(first));
    EXPECT(all(seen, 100));
    CHECK(cudaEventDestroy(event));
    CHECK(cudaStreamDestroy(first));
    CHECK(cudaStreamDestroy(second));
}

// A stream that waits for nobody does not hold a copy up, and the copy does not wait for it.
static void apart(unsigned *device, int n) {
    cudaStream_t busy;
    std::atomic<bool> open{false};
    CHECK(cudaStreamCreateWithFlags(&busy, cudaStreamNonBlocking));
    std::vector<unsigned> host(n, 30), seen(n);
    CHECK(cudaDeviceSynchronize());
    auto hold = [](void *open) {
        while (!static_cast<std::atomic<bool> *>(open)->load()) std::this_thread::yield();
    };
    CHECK(cudaLaunchHostFunc(busy, hold, &open));
    CHECK(cudaMemcpy(device, host.data(), n * 4, cudaMemcpyHostToDevice));
    CHECK(cudaMemcpy(seen.data(), device, n * 4, cudaMemcpyDeviceToHost));
    EXPECT(all(seen, 30));
    open = true;
    CHECK(cudaStreamSynchronize(busy));
    CHECK(cudaStreamDestroy(busy));
}

// Pinned memory: a copy that need not be waited for is not made at once.
static void pinned(unsigned *device, int n) {
    unsigned *words;
    CHECK(cudaMallocHost(&words, n * 4));
    std::vector<unsigned> seen(n);
    for (int i = 0; i < n; ++i) words[i] = 40;
    late<<<1, 64>>>(device, n, SLOW);
    CHECK(cudaMemcpyAsync(device, words, n * 4, cudaMemcpyHostToDevice, 0));
    late<<<1, 64>>>(device, n, SLOW);
    CHECK(cudaMemcpyAsync(words, device, n * 4, cudaMemcpyDeviceToHost, 0));
    CHECK(cudaStreamSynchronize(0));
    EXPECT(words[0] == 41 && words[n - 1] == 41);
    for (int i = 0; i < n; ++i) words[i] = 50;
    CHECK(cudaMemcpy(device, words, n * 4, cudaMemcpyHostToDevice));
    for (int i = 0; i < n; ++i) words[i] = 0;
    late<<<1, 64>>>(device, n, SLOW);
    CHECK(cudaMemcpy(words, device, n * 4, cudaMemcpyDeviceToHost));
    EXPECT(words[0] == 51 && words[n - 1] == 51);
    CHECK(cudaFreeHost(words));
}

// Rows with a pitch on either side, and a fill with zeros after a copy that no worker has seen.
static void rows() {
    const size_t width = 1000, height = 70, host_pitch = 1100;
    char *device;
    size_t pitch;
    CHECK(cudaMallocPitch(&device, &pitch, width, height));
    CHECK(cudaMemset2D(device, pitch, 3, pitch, height));
    std::vector<char> host(host_pitch * height), back(host_pitch * height, 9), line(pitch * height);
    for (size_t i = 0; i < host.size(); ++i) host[i] = char(i * 7);
    CHECK(cudaMemcpy2D(device, pitch, host.data(), host_pitch, width, height, cudaMemcpyHostToDevice));
    CHECK(cudaMemcpy2D(back.data(), host_pitch, device, pitch, width, height, cudaMemcpyDeviceToHost));
    CHECK(cudaMemcpy(line.data(), device, pitch * height, cudaMemcpyDeviceToHost));
    for (size_t y = 0; y < height; ++y) {
        EXPECT(!std::memcmp(&back[y * host_pitch], &host[y * host_pitch], width));
        for (size_t x = width; x < host_pitch; ++x) EXPECT(back[y * host_pitch + x] == 9);
        for (size_t x = width; x < pitch; ++x) EXPECT(line[y * pitch + x] == 3);
    }
    CHECK(cudaFree(device));
    CHECK(cudaMalloc(&device, 1 << 20));
    std::vector<char> ones(1 << 20, 1);
    CHECK(cudaMemcpy(device, ones.data(), 1 << 20, cudaMemcpyHostToDevice));
    CHECK(cudaMemset(device, 0, 1 << 20));
    CHECK(cudaMemcpy(ones.data(), device, 1 << 20, cudaMemcpyDeviceToHost));
    for (char byte : ones) EXPECT(byte == 0);
    CHECK(cudaFree(device));
}

// Threads with streams of their own, each with its own memory.
static void threads() {
    std::vector<std::thread> team;
    for (unsigned t = 0; t < 4; ++t)
        team.emplace_back([t] {
            const int n = 20000;
            unsigned *device;
            cudaStream_t stream;
            CHECK(cudaStreamCreate(&stream));
            CHECK(cudaMalloc(&device, n * 4));
            std::vector<unsigned> host(n), seen(n);
            for (unsigned round = 0; round < 200; ++round) {
                std::fill(host.begin(), host.end(), t * 1000 + round);
                CHECK(cudaMemcpyAsync(device, host.data(), n * 4, cudaMemcpyHostToDevice, stream));
                std::fill(host.begin(), host.end(), 0);
                late<<<1, 128, 0, stream>>>(device, n, 0);
                CHECK(cudaMemcpyAsync(seen.data(), device, n * 4, cudaMemcpyDeviceToHost, stream));
                CHECK(cudaStreamSynchronize(stream));
                EXPECT(all(seen, t * 1000 + round + 1));
            }
            CHECK(cudaFree(device));
            CHECK(cudaStreamDestroy(stream));
        });
    for (std::thread &thread : team) thread.join();
}

int main() {
    for (int n : SIZES) {
        unsigned *device;
        CHECK(cudaMalloc(&device, n * 4));
        legacy(device, n);
        chained(device, n);
        apart(device, n);
        pinned(device, n);
        CHECK(cudaFree(device));
    }
    rows();
    threads();
    return passed("copies: order, pitch, pinned memory, threads");
}
