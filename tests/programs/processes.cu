// Events that two processes have: each waits for what the other recorded, on the host and in its streams.
#include "driver.cuh"

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
DRIVER(cuMemcpyDtoH);
DRIVER(cuMemFree);
DRIVER(cuMemsetD32);
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
    std::printf("PASS events of two processes\n");
}
