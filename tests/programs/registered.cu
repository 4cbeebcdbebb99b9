// Memory that the program has already, registered: kernels and copies use it in place, whatever lies next to it and whoever writes there.
#include "driver.cuh"

#include <memory>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

DRIVER(cuCtxDestroy);
DRIVER(cuCtxGetCurrent);
DRIVER(cuCtxSynchronize);
DRIVER(cuMemHostGetDevicePointer);
DRIVER(cuMemHostRegister);
DRIVER(cuMemHostUnregister);
DRIVER(cuMemcpy);
DRIVER(cuPointerGetAttribute);
DRIVER(cuStreamSynchronize);

static __global__ void add(unsigned *data, unsigned count, unsigned what) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) data[i] += i * what;
}

static __global__ void sum(const unsigned *data, unsigned count, unsigned long long *result) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
        atomicAdd(result, (unsigned long long)data[i]);
}

static CUdeviceptr device(void *host) {
    CUdeviceptr address;
    OK(d_cuMemHostGetDevicePointer(&address, host, 0));
    return address;
}

static void launch(void *host, unsigned count, unsigned what) {
    add<<<64, 256>>>(reinterpret_cast<unsigned *>(device(host)), count, what);
    LAUNCHED();
}

// Words in the middle of a block of the heap, that do not begin or end with a page.
struct Words {
    std::vector<unsigned> block;
    unsigned *data;
    unsigned count;
    explicit Words(unsigned n) : block(n + 200, 7), data(block.data() + 100), count(n) {
        for (unsigned i = 0; i < n; ++i) data[i] = i;
    }
    void take(unsigned flags = 0) { OK(d_cuMemHostRegister(data, count * 4, flags)); }
    void leave() { OK(d_cuMemHostUnregister(data)); }
    void expect(const char *name, unsigned what) const {
        std::vector<unsigned> got(block), want(block.size(), 7);
        for (unsigned i = 0; i < count; ++i) want[100 + i] = i * what;
        same(name, got, want);
    }
};

static void kernels() {
    for (unsigned count : {1u, 600u, 3000u, 1u << 20}) {
        Words words(count);
        words.take();
        launch(words.data, count, 2);
        words.expect("a kernel's writes", 3);
        for (unsigned i = 0; i < count; ++i) words.data[i] = i * 5;
        launch(words.data, count, 1);
        words.expect("the host's writes", 6);
        words.leave();
        words.expect("after it is left", 6);
        DRIVER_EXPECT(d_cuMemHostUnregister(words.data), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
        words.take();
        launch(words.data, count, 1);
        words.leave();
        words.expect("again", 7);
    }
}

static void copies() {
    const unsigned count = 300000;
    Words from(count), to(count);
    Device<unsigned> memory(count);
    from.take();
    to.take(CU_MEMHOSTREGISTER_PORTABLE | CU_MEMHOSTREGISTER_DEVICEMAP);
    cudaStream_t stream;
    CHECK(cudaStreamCreate(&stream));
    CHECK(cudaMemcpyAsync(memory.data, from.data, count * 4, cudaMemcpyHostToDevice, stream));
    add<<<64, 256, 0, stream>>>(memory.data, count, 1);
    CHECK(cudaMemcpyAsync(to.data, memory.data, count * 4, cudaMemcpyDeviceToHost, stream));
    CHECK(cudaStreamSynchronize(stream));
    to.expect("copies in a stream", 2);
    // Rows of a picture whose ends are in different pages.
    CHECK(cudaMemset(memory.data, 0, count * 4));
    CHECK(cudaMemcpy2D(memory.data, 400, from.data, 4000, 400, 300, cudaMemcpyHostToDevice));
    std::vector<unsigned> rows = memory.host();
    for (unsigned i = 0; i < 30000; ++i) EXPECT(rows[i] == i / 100 * 1000 + i % 100);
    CHECK(cudaMemcpy(to.data, from.data, count * 4, cudaMemcpyDefault));
    to.expect("from one to the other", 1);
    cudaArray_t array;
    cudaChannelFormatDesc format = cudaCreateChannelDesc<unsigned>();
    CHECK(cudaMallocArray(&array, &format, 500, 600));
    CHECK(cudaMemcpy2DToArray(array, 0, 0, from.data, 2000, 2000, 600, cudaMemcpyHostToDevice));
    CHECK(cudaMemset(to.data, 0, count * 4));
    CHECK(cudaMemcpy2DFromArray(to.data, 2000, array, 0, 0, 2000, 600, cudaMemcpyDeviceToHost));
    to.expect("through an array", 1);
    CHECK(cudaFreeArray(array));
    unsigned type;
    OK(d_cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CUdeviceptr(from.data + 5)));
    EXPECT(type == CU_MEMORYTYPE_HOST);
    from.leave();
    to.leave();
    DRIVER_EXPECT(d_cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CUdeviceptr(from.data + 5)), CUDA_ERROR_INVALID_VALUE);
    CHECK(cudaStreamDestroy(stream));
}

// Registrations that have a page in common; each can go first.
static void neighbours() {
    std::vector<unsigned> block(8192);
    unsigned *page = reinterpret_cast<unsigned *>((uintptr_t(block.data()) + 4095) / 4096 * 4096);
    unsigned *one = page + 100, *two = page + 1024 + 512, *three = two + 8;
    const unsigned length[] = {1024 + 400, 8, 2000};
    for (int first = 0; first < 3; ++first) {
        unsigned *all[] = {one, two, three};
        for (int i = 0; i < 3; ++i) {
            for (unsigned k = 0; k < length[i]; ++k) all[i][k] = k;
            OK(d_cuMemHostRegister(all[i], length[i] * 4, 0));
            DRIVER_EXPECT(d_cuMemHostRegister(all[i] + 1, 4, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
        }
        for (int i = 0; i < 3; ++i) {
            int here = (first + i) % 3;
            for (int other = i; other < 3; ++other) launch(all[(first + other) % 3], length[(first + other) % 3], 1);
            OK(d_cuMemHostUnregister(all[here]));
            for (unsigned k = 0; k < length[here]; ++k) EXPECT(all[here][k] == k * (i + 2));
        }
    }
}

// Small blocks of the heap share pages with what is registered; nobody who writes there notices.
static void others() {
    std::atomic<bool> over{false};
    std::vector<std::unique_ptr<std::vector<unsigned>>> blocks;
    std::vector<std::thread> threads;
    std::atomic<unsigned long> rounds{0};
    for (int i = 0; i < 64; ++i) blocks.push_back(std::make_unique<std::vector<unsigned>>(300));
    for (int thread = 0; thread < 2; ++thread)
        threads.emplace_back([&, thread] {
            for (unsigned round = 1; !over; ++round, ++rounds)
                for (int i = thread; i < 64; i += 4)
                    for (unsigned &word : *blocks[i]) {
                        if (word != round - 1) fail("block %d lost a write: %u in round %u", i, word, round);
                        word = round;
                    }
        });
    for (int round = 0; round < 100; ++round)
        for (int i = 2; i < 64; i += 20) {
            OK(d_cuMemHostRegister(blocks[i]->data(), 1200, 0));
            launch(blocks[i]->data(), 300, 1);
            OK(d_cuMemHostUnregister(blocks[i]->data()));
            for (unsigned k = 0; k < 300; ++k) EXPECT((*blocks[i])[k] == k * (round + 1));
        }
    until([&] { return rounds > 10; });
    over = true;
    for (std::thread &thread : threads) thread.join();
}

static void children() {
    Words words(3000);
    words.take();
    launch(words.data, words.count, 1);
    pid_t child = fork();
    EXPECT(child >= 0);
    if (child == 0) {
        bool right = true;
        for (unsigned i = 0; i < words.count; ++i) right &= words.data[i] == i * 2, words.data[i] = 0;
        _exit(right ? 0 : 1);
    }
    int status;
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    words.expect("after a child wrote to its own", 2);
    launch(words.data, words.count, 1);
    words.leave();
    words.expect("and a kernel to the parent's", 3);
}

// Every context has it; it goes with the one that registered it.
static void contexts() {
    CUcontext primary;
    OK(d_cuCtxGetCurrent(&primary));
    Words words(5000);
    CUcontext other = context();
    OK(d_cuCtxSetCurrent(other));
    words.take();
    launch(words.data, words.count, 1);
    OK(d_cuCtxSetCurrent(primary));
    launch(words.data, words.count, 1);
    words.expect("two contexts", 3);
    OK(d_cuCtxDestroy(other));
    words.expect("after the context", 3);
    DRIVER_EXPECT(d_cuMemHostUnregister(words.data), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    words.take();
    CUcontext third = context();
    OK(d_cuCtxSetCurrent(third));
    launch(words.data, words.count, 1);
    OK(d_cuCtxDestroy(third));
    OK(d_cuCtxSetCurrent(primary));
    words.leave();
    words.expect("a context that came later", 4);
}

static void unusual() {
    const size_t bytes = 4 * 4096;
    auto map = [&](int protection, int flags) {
        void *made = mmap(nullptr, bytes, protection, flags | MAP_ANONYMOUS, -1, 0);
        EXPECT(made != MAP_FAILED);
        return static_cast<unsigned *>(made);
    };
    // What the device only reads may be read-only for the program as well.
    unsigned *constant = map(PROT_READ | PROT_WRITE, MAP_PRIVATE);
    for (unsigned i = 0; i < 4096; ++i) constant[i] = i;
    EXPECT(mprotect(constant, bytes, PROT_READ) == 0);
    DRIVER_EXPECT(d_cuMemHostRegister(constant, bytes, 0), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuMemHostRegister(constant, bytes, CU_MEMHOSTREGISTER_READ_ONLY));
    Device<unsigned long long> result(std::vector<unsigned long long>(1));
    sum<<<16, 256>>>(reinterpret_cast<unsigned *>(device(constant)), 4096, result.data);
    LAUNCHED();
    EXPECT(result.host()[0] == 4095ull * 4096 / 2);
    OK(d_cuMemHostUnregister(constant));
    EXPECT(constant[4095] == 4095);
    DRIVER_EXPECT(d_cuMemHostRegister(constant, bytes, CU_MEMHOSTREGISTER_IOMEMORY), CUDA_ERROR_NOT_SUPPORTED);
    // Replacing a shared mapping would part it from whoever shares it.
    unsigned *shared = map(PROT_READ | PROT_WRITE, MAP_SHARED);
    DRIVER_EXPECT(d_cuMemHostRegister(shared, bytes, 0), CUDA_ERROR_NOT_SUPPORTED);
    EXPECT(munmap(shared, bytes) == 0);
    DRIVER_EXPECT(d_cuMemHostRegister(shared, bytes, 0), CUDA_ERROR_INVALID_VALUE);
    // Memory that was given up while it was registered leaves nothing behind.
    unsigned *gone = map(PROT_READ | PROT_WRITE, MAP_PRIVATE);
    OK(d_cuMemHostRegister(gone, bytes, 0));
    EXPECT(munmap(gone, bytes) == 0);
    OK(d_cuMemHostUnregister(gone));
    // The runtime's names for the same.
    Words words(2000);
    CHECK(cudaHostRegister(words.data, 8000, cudaHostRegisterMapped));
    void *address;
    CHECK(cudaHostGetDevicePointer(&address, words.data, 0));
    add<<<8, 256>>>(static_cast<unsigned *>(address), 2000, 1);
    LAUNCHED();
    EXPECT(cudaHostRegister(words.data, 8000, 0) == cudaErrorHostMemoryAlreadyRegistered);
    CHECK(cudaHostUnregister(words.data));
    words.expect("the runtime", 2);
    EXPECT(cudaHostUnregister(words.data) == cudaErrorHostMemoryNotRegistered);
    cudaGetLastError();
}

int main() {
    begin();
    kernels();
    copies();
    neighbours();
    others();
    children();
    contexts();
    unusual();
    std::printf("PASS registered memory in seven situations\n");
}
