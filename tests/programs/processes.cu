// Events that two processes have: each waits for what the other recorded, on the host and in its streams. Pools that they share.
#include "driver.cuh"

#include <fcntl.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

DRIVER(cuEventCreate);
DRIVER(cuEventDestroy);
DRIVER(cuEventQuery);
DRIVER(cuEventRecord);
DRIVER(cuEventSynchronize);
DRIVER(cuIpcCloseMemHandle);
DRIVER(cuIpcGetEventHandle);
DRIVER(cuIpcGetMemHandle);
DRIVER(cuIpcOpenEventHandle);
DRIVER(cuIpcOpenMemHandle);
DRIVER(cuLaunchHostFunc);
DRIVER(cuMemAlloc);
DRIVER(cuMemAllocFromPoolAsync);
DRIVER(cuMemcpyDtoH);
DRIVER(cuMemFree);
DRIVER(cuMemFreeAsync);
DRIVER(cuMemPoolCreate);
DRIVER(cuMemPoolDestroy);
DRIVER(cuMemPoolExportPointer);
DRIVER(cuMemPoolExportToShareableHandle);
DRIVER(cuMemPoolImportFromShareableHandle);
DRIVER(cuMemPoolImportPointer);
DRIVER(cuMemsetD32);
DRIVER(cuPointerGetAttribute);
DRIVER(cuStreamQuery);
DRIVER(cuStreamSynchronize);
DRIVER(cuStreamWaitEvent);

const unsigned WORDS = 50000, ROUNDS = 20;

static __global__ void add(unsigned *data, unsigned count, unsigned what) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) data[i] += what;
}

static void launch(CUdeviceptr data, unsigned what, CUstream stream) {
    add<<<16, 256, 0, stream>>>(reinterpret_cast<unsigned *>(data), WORDS, what);
    CHECK(cudaGetLastError());
}

static void expect(CUdeviceptr data, unsigned value) {
    std::vector<unsigned> got(WORDS);
    OK(d_cuMemcpyDtoH(got.data(), data, WORDS * 4));
    same("memory", got, std::vector<unsigned>(WORDS, value));
}

// What one process tells the other.
struct Line {
    int from, to;
    void tell() const {
        char byte = 1;
        if (write(to, &byte, 1) != 1) fail("nobody listens");
    }
    void hear() const {
        char byte;
        if (read(from, &byte, 1) != 1) fail("nobody speaks");
    }
    template <typename T> void send(const T &what) const { EXPECT(write(to, &what, sizeof what) == ssize_t(sizeof what)); }
    template <typename T> T receive() const {
        T what;
        EXPECT(read(from, &what, sizeof what) == ssize_t(sizeof what));
        return what;
    }
};

const auto BY_DESCRIPTOR = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

// A pool's allocations, used by a process that cannot allocate from it.
static void imports_pool(const Line &line, CUstream work) {
    auto process = line.receive<pid_t>();
    std::string name = "/proc/" + std::to_string(process) + "/fd/" + std::to_string(line.receive<int>());
    int descriptor = open(name.c_str(), O_RDONLY);
    EXPECT(descriptor >= 0);
    CUmemoryPool pool, of;
    CUdeviceptr one, two, none;
    void *handle = reinterpret_cast<void *>(intptr_t(descriptor));
    DRIVER_EXPECT(d_cuMemPoolImportFromShareableHandle(&pool, handle, BY_DESCRIPTOR, 1), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuMemPoolImportFromShareableHandle(&pool, handle, BY_DESCRIPTOR, 0));
    close(descriptor);
    auto first = line.receive<CUmemPoolPtrExportData>();
    auto second = line.receive<CUmemPoolPtrExportData>();
    OK(d_cuMemPoolImportPointer(&one, pool, &first));
    OK(d_cuMemPoolImportPointer(&two, pool, &second));
    EXPECT(one != two);
    second.reserved[40] ^= 1;
    DRIVER_EXPECT(d_cuMemPoolImportPointer(&none, pool, &second), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemAllocFromPoolAsync(&none, 64, pool, work), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuPointerGetAttribute(&of, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, one + 100));
    EXPECT(of == pool);
    launch(one, 100, work);
    launch(two, 200, work);
    OK(d_cuStreamSynchronize(work));
    line.tell();
    line.hear();
    expect(one, 111);
    OK(d_cuMemFreeAsync(one, work));
    OK(d_cuMemFree(two));
    DRIVER_EXPECT(d_cuMemFree(two), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuMemPoolDestroy(pool));
    line.tell();
}

static void exports_pool(const Line &line, CUstream work) {
    CUmemPoolProps wish = {};
    CUmemoryPool pool, plain;
    CUmemPoolPtrExportData data;
    CUdeviceptr one, two, other;
    int descriptor;
    wish.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    wish.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    OK(d_cuMemPoolCreate(&plain, &wish));
    DRIVER_EXPECT(d_cuMemPoolExportToShareableHandle(&descriptor, plain, BY_DESCRIPTOR, 0), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuMemAllocFromPoolAsync(&other, WORDS * 4, plain, work));
    DRIVER_EXPECT(d_cuMemPoolExportPointer(&data, other), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuMemFreeAsync(other, work));
    wish.handleTypes = BY_DESCRIPTOR;
    OK(d_cuMemPoolCreate(&pool, &wish));
    OK(d_cuMemPoolExportToShareableHandle(&descriptor, pool, BY_DESCRIPTOR, 0));
    line.send(getpid());
    line.send(descriptor);
    for (CUdeviceptr *made : {&one, &two}) {
        OK(d_cuMemAllocFromPoolAsync(made, WORDS * 4, pool, work));
        OK(d_cuStreamSynchronize(work));
        OK(d_cuMemsetD32(*made, 1, WORDS));
        // A fill need not be over when the call returns, and no order reaches into another process.
        CHECK(cudaDeviceSynchronize());
        OK(d_cuMemPoolExportPointer(&data, *made));
        line.send(data);
    }
    line.hear();
    expect(one, 101);
    expect(two, 201);
    launch(one, 10, work);
    OK(d_cuStreamSynchronize(work));
    line.tell();
    line.hear();
    OK(d_cuMemFreeAsync(one, work));
    OK(d_cuMemFreeAsync(two, work));
    OK(d_cuStreamSynchronize(work));
    OK(d_cuMemPoolDestroy(pool));
    OK(d_cuMemPoolDestroy(plain));
    close(descriptor);
}

static int second(const Line &line) {
    begin();
    CUevent ping, pong;
    CUdeviceptr data;
    OK(d_cuIpcOpenEventHandle(&ping, line.receive<CUipcEventHandle>()));
    OK(d_cuIpcOpenEventHandle(&pong, line.receive<CUipcEventHandle>()));
    OK(d_cuIpcOpenMemHandle(&data, line.receive<CUipcMemHandle>(), CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    CUstream work = stream();
    // Never recorded: there is nothing to wait for.
    OK(d_cuEventQuery(ping));
    OK(d_cuEventSynchronize(ping));
    line.tell();
    // Recorded behind something that does not end until this side says so.
    line.hear();
    for (int i = 0; i < 3; ++i) DRIVER_EXPECT(d_cuEventQuery(ping), CUDA_ERROR_NOT_READY);
    OK(d_cuStreamWaitEvent(work, ping, 0));
    launch(data, 10, work);
    DRIVER_EXPECT(d_cuStreamQuery(work), CUDA_ERROR_NOT_READY);
    line.tell();
    OK(d_cuStreamSynchronize(work));
    OK(d_cuEventQuery(ping));
    expect(data, 11);
    line.tell();
    // To and fro: each adds to what the other has done.
    for (unsigned round = 0; round < ROUNDS; ++round) {
        line.hear();
        OK(d_cuStreamWaitEvent(work, ping, 0));
        launch(data, 1, work);
        OK(d_cuEventRecord(pong, work));
        line.tell();
    }
    OK(d_cuEventSynchronize(pong));
    imports_pool(line, work);
    // The other process ends with its event recorded behind what never comes to an end by itself.
    line.hear();
    DRIVER_EXPECT(d_cuEventQuery(ping), CUDA_ERROR_NOT_READY);
    line.tell();
    OK(d_cuEventSynchronize(ping));
    OK(d_cuEventQuery(ping));
    OK(d_cuEventDestroy(ping));
    OK(d_cuEventDestroy(pong));
    OK(d_cuIpcCloseMemHandle(data));
    return 0;
}

// Owns the events and the memory, and ends before the other.
static int first(const Line &line) {
    begin();
    CUevent ping, pong, own, timed;
    CUdeviceptr data;
    CUipcEventHandle handle;
    CUipcMemHandle memory;
    const unsigned shared = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING;
    DRIVER_EXPECT(d_cuEventCreate(&own, CU_EVENT_INTERPROCESS), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuEventCreate(&own, CU_EVENT_DISABLE_TIMING));
    DRIVER_EXPECT(d_cuIpcGetEventHandle(&handle, own), CUDA_ERROR_INVALID_HANDLE);
    OK(d_cuEventCreate(&ping, shared));
    OK(d_cuEventCreate(&pong, shared));
    OK(d_cuIpcGetEventHandle(&handle, ping));
    DRIVER_EXPECT(d_cuIpcOpenEventHandle(&timed, handle), CUDA_ERROR_INVALID_CONTEXT);
    line.send(handle);
    OK(d_cuIpcGetEventHandle(&handle, pong));
    line.send(handle);
    OK(d_cuMemAlloc(&data, WORDS * 4));
    OK(d_cuMemsetD32(data, 0, WORDS));
    CHECK(cudaDeviceSynchronize());
    OK(d_cuIpcGetMemHandle(&memory, data));
    line.send(memory);
    CUstream work = stream();
    line.hear();
    static Barrier barrier, last;
    OK(d_cuLaunchHostFunc(work, Barrier::wait, &barrier));
    launch(data, 1, work);
    OK(d_cuEventRecord(ping, work));
    DRIVER_EXPECT(d_cuEventQuery(ping), CUDA_ERROR_NOT_READY);
    line.tell();
    line.hear();
    barrier.open = true;
    OK(d_cuEventSynchronize(ping));
    OK(d_cuEventQuery(ping));
    line.hear();
    for (unsigned round = 0; round < ROUNDS; ++round) {
        launch(data, 1, work);
        OK(d_cuEventRecord(ping, work));
        line.tell();
        line.hear();
        OK(d_cuStreamWaitEvent(work, pong, 0));
    }
    OK(d_cuStreamSynchronize(work));
    expect(data, 11 + 2 * ROUNDS);
    exports_pool(line, work);
    OK(d_cuLaunchHostFunc(work, Barrier::wait, &last));
    OK(d_cuEventRecord(ping, work));
    line.tell();
    line.hear();
    _exit(0);
}

int main(int count, char **arguments) {
    if (count == 4) {
        Line line{std::atoi(arguments[2]), std::atoi(arguments[3])};
        return std::string(arguments[1]) == "first" ? first(line) : second(line);
    }
    int down[2], up[2];
    EXPECT(pipe(down) == 0 && pipe(up) == 0);
    auto start = [&](const char *which, int from, int to) {
        std::string ends[] = {std::to_string(from), std::to_string(to)};
        pid_t child = fork();
        if (child == 0) {
            for (int end : {down[0], down[1], up[0], up[1]})
                if (end != from && end != to) close(end);
            execl("/proc/self/exe", arguments[0], which, ends[0].c_str(), ends[1].c_str(), nullptr);
            _exit(1);
        }
        return child;
    };
    pid_t children[] = {start("first", up[0], down[1]), start("second", down[0], up[1])};
    for (int end : {down[0], down[1], up[0], up[1]}) close(end);
    for (pid_t child : children) {
        int status = -1;
        EXPECT(waitpid(child, &status, 0) == child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("a process ended with %d", status);
    }
    std::printf("PASS events and pools of two processes\n");
}
