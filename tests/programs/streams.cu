// Streams through the driver API: functions of the host among the work, while other threads post, at faults and at the end; values in
// memory that streams wait for and write.
#include "driver.cuh"

#include <chrono>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

DRIVER(cuCtxDestroy);
DRIVER(cuCtxGetCurrent);
DRIVER(cuDeviceGetAttribute);
DRIVER(cuEventCreate);
DRIVER(cuEventDestroy);
DRIVER(cuEventQuery);
DRIVER(cuEventRecord);
DRIVER(cuLaunchHostFunc);
DRIVER(cuLaunchKernel);
DRIVER(cuMemAlloc);
DRIVER(cuMemFree);
DRIVER(cuMemcpyDtoH);
DRIVER(cuMemsetD32Async);
DRIVER(cuModuleGetFunction);
DRIVER(cuModuleLoadData);
DRIVER(cuStreamAddCallback);
DRIVER(cuStreamBatchMemOp);
DRIVER(cuStreamDestroy);
DRIVER(cuStreamQuery);
DRIVER(cuStreamSynchronize);
DRIVER(cuStreamWaitEvent);
DRIVER(cuStreamWaitValue32);
DRIVER(cuStreamWaitValue64);
DRIVER(cuStreamWriteValue32);
DRIVER(cuStreamWriteValue64);

static void count(void *counter) { ++*static_cast<std::atomic<int> *>(counter); }

// Thousands of functions in several streams, each between two writes of the device.
static void order() {
    const int streams = 3, rounds = 1500;
    struct Lane {
        CUstream stream;
        Shared word{1};
        std::vector<unsigned> before, after;
    };
    struct Step {
        Lane *lane;
        unsigned round;
    };
    std::vector<Lane> lanes(streams);
    std::vector<Step> steps(streams * rounds);
    auto look = [](void *data) {
        Step &step = *static_cast<Step *>(data);
        step.lane->before.push_back(step.lane->word.read(0));
        std::this_thread::yield();
        step.lane->after.push_back(step.lane->word.read(0));
    };
    for (Lane &lane : lanes) lane.stream = stream();
    for (unsigned r = 0; r < rounds; ++r)
        for (int s = 0; s < streams; ++s) {
            Step &step = steps[s * rounds + r];
            step = {&lanes[s], r};
            OK(d_cuMemsetD32Async(lanes[s].word.device, r + 1, 1, lanes[s].stream));
            OK(d_cuLaunchHostFunc(lanes[s].stream, look, &step));
        }
    for (Lane &lane : lanes) {
        OK(d_cuStreamSynchronize(lane.stream));
        OK(d_cuStreamQuery(lane.stream));
        EXPECT(lane.before.size() == rounds && lane.after.size() == rounds);
        for (unsigned r = 0; r < rounds; ++r) EXPECT(lane.before[r] == r + 1 && lane.after[r] == r + 1);
        OK(d_cuStreamDestroy(lane.stream));
    }
}

// Nobody who posts waits for a function: work behind it, in its own stream and in others, is accepted while it runs.
static void posting() {
    Shared words(4);
    CUstream held = stream(), free = stream(), blocking;
    OK(d_cuStreamCreate(&blocking, CU_STREAM_DEFAULT));
    CUevent event;
    OK(d_cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    Barrier barrier;
    OK(d_cuLaunchHostFunc(held, Barrier::wait, &barrier));
    for (unsigned i = 0; i < 100; ++i) OK(d_cuMemsetD32Async(words.device, i + 1, 1, held));
    OK(d_cuEventRecord(event, held));
    OK(d_cuStreamWaitEvent(free, event, 0));
    OK(d_cuMemsetD32Async(words.device + 4, 2, 1, free));
    until([&] { return barrier.reached.load(); });
    OK(d_cuMemsetD32Async(words.device + 8, 3, 1, blocking));
    OK(d_cuStreamSynchronize(blocking));
    EXPECT(words.read(2) == 3 && words.read(0) == 0 && words.read(1) == 0);
    DRIVER_EXPECT(d_cuStreamQuery(held), CUDA_ERROR_NOT_READY);
    DRIVER_EXPECT(d_cuStreamQuery(free), CUDA_ERROR_NOT_READY);
    DRIVER_EXPECT(d_cuEventQuery(event), CUDA_ERROR_NOT_READY);
    barrier.open = true;
    OK(d_cuStreamSynchronize(free));
    EXPECT(barrier.passed && words.read(0) == 100 && words.read(1) == 2);
    // The legacy stream waits for blocking streams.
    Barrier second;
    OK(d_cuLaunchHostFunc(blocking, Barrier::wait, &second));
    OK(d_cuMemsetD32Async(words.device + 12, 4, 1, CU_STREAM_LEGACY));
    until([&] { return second.reached.load(); });
    DRIVER_EXPECT(d_cuStreamQuery(CU_STREAM_LEGACY), CUDA_ERROR_NOT_READY);
    EXPECT(words.read(3) == 0);
    second.open = true;
    OK(d_cuStreamSynchronize(CU_STREAM_LEGACY));
    EXPECT(second.passed && words.read(3) == 4);
    OK(d_cuEventDestroy(event));
    for (CUstream s : {held, free, blocking}) OK(d_cuStreamDestroy(s));
}

// More work behind a function than any queue holds, posted by two threads, functions of their own among it.
static void flood() {
    const int each = 60000;
    Shared words(2);
    CUcontext context;
    OK(d_cuCtxGetCurrent(&context));
    CUstream s = stream();
    Barrier barrier;
    std::atomic<int> called{0}, posted{0};
    OK(d_cuLaunchHostFunc(s, Barrier::wait, &barrier));
    auto post = [&](unsigned word) {
        OK(d_cuCtxSetCurrent(context));
        for (unsigned i = 0; i < each; ++i) {
            OK(d_cuMemsetD32Async(words.device + 4 * word, i + 1, 1, s));
            if (i % 100 == 0) OK(d_cuLaunchHostFunc(s, count, &called));
            ++posted;
        }
    };
    std::thread one(post, 0), two(post, 1);
    until([&] { return barrier.reached && posted > 500; });
    // Both threads come to a stop where all is full; nothing else can be seen of that here.
    for (int before = -1, now = posted; before != now; now = posted) {
        before = now;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    EXPECT(called == 0);
    barrier.open = true;
    one.join();
    two.join();
    OK(d_cuStreamSynchronize(s));
    EXPECT(called == 2 * (each / 100) && words.read(0) == each && words.read(1) == each);
    OK(d_cuStreamDestroy(s));
}

// What a function may call.
static void inside() {
    struct Seen {
        CUresult synchronize, allocate, launch, current;
        CUstream stream;
    } seen;
    auto look = [](void *data) {
        Seen &seen = *static_cast<Seen *>(data);
        CUdeviceptr memory;
        CUcontext context;
        seen.synchronize = d_cuStreamSynchronize(seen.stream);
        seen.allocate = d_cuMemAlloc(&memory, 4);
        seen.launch = d_cuLaunchHostFunc(seen.stream, count, nullptr);
        seen.current = d_cuCtxGetCurrent(&context);
    };
    seen.stream = stream();
    OK(d_cuLaunchHostFunc(seen.stream, look, &seen));
    OK(d_cuStreamSynchronize(seen.stream));
    EXPECT(seen.synchronize == CUDA_ERROR_NOT_PERMITTED && seen.allocate == CUDA_ERROR_NOT_PERMITTED);
    EXPECT(seen.launch == CUDA_ERROR_NOT_PERMITTED && seen.current == CUDA_SUCCESS);
    DRIVER_EXPECT(d_cuLaunchHostFunc(seen.stream, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamAddCallback(seen.stream, nullptr, nullptr, 0), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuStreamDestroy(seen.stream));
}

// Streams and contexts that are destroyed while functions are pending.
static void destruction() {
    CUstream s = stream();
    Barrier barrier;
    std::atomic<int> called{0};
    OK(d_cuLaunchHostFunc(s, Barrier::wait, &barrier));
    OK(d_cuLaunchHostFunc(s, count, &called));
    until([&] { return barrier.reached.load(); });
    OK(d_cuStreamDestroy(s));
    EXPECT(called == 0);
    barrier.open = true;
    until([&] { return called == 1; });
    CUcontext before, made;
    OK(d_cuCtxGetCurrent(&before));
    made = context();
    s = stream();
    for (int i = 0; i < 20; ++i) OK(d_cuLaunchHostFunc(s, count, &called));
    OK(d_cuCtxDestroy(made));
    EXPECT(called == 21);
    OK(d_cuCtxSetCurrent(before));
}

// After a fault callbacks run with its code, functions of cuLaunchHostFunc do not.
static void fault() {
    static const char wild[] = ".version 7.0\n.target sm_70\n.address_size 64\n"
                               ".visible .entry wild() { .reg .b64 %a; mov.u64 %a, 64; st.global.u32 [%a], 1; ret; }\n";
    struct Called {
        std::atomic<int> good{0}, bad{0}, plain{0};
        CUstream stream;
    } called;
    auto callback = [](CUstream stream, CUresult status, void *data) {
        Called &called = *static_cast<Called *>(data);
        if (stream != called.stream) fail("a callback got another stream");
        if (status == CUDA_SUCCESS) ++called.good;
        if (status == CUDA_ERROR_ILLEGAL_ADDRESS) ++called.bad;
    };
    CUcontext before, made;
    OK(d_cuCtxGetCurrent(&before));
    made = context();
    CUmodule module;
    CUfunction function;
    OK(d_cuModuleLoadData(&module, wild));
    OK(d_cuModuleGetFunction(&function, module, "wild"));
    called.stream = stream();
    Barrier barrier;
    OK(d_cuStreamAddCallback(called.stream, callback, &called, 0));
    OK(d_cuLaunchHostFunc(called.stream, Barrier::wait, &barrier));
    OK(d_cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, called.stream, nullptr, nullptr));
    OK(d_cuLaunchHostFunc(called.stream, count, &called.plain));
    for (int i = 0; i < 3; ++i) OK(d_cuStreamAddCallback(called.stream, callback, &called, 0));
    barrier.open = true;
    DRIVER_EXPECT(d_cuStreamSynchronize(called.stream), CUDA_ERROR_ILLEGAL_ADDRESS);
    until([&] { return called.bad == 3; });
    EXPECT(called.good == 1 && called.plain == 0);
    OK(d_cuCtxDestroy(made));
    OK(d_cuCtxSetCurrent(before));
}

// Streams that wait for values of the host and of each other.
static void values() {
    for (CUdevice_attribute attribute : {CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS,
                                         CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR,
                                         CU_DEVICE_ATTRIBUTE_CAN_FLUSH_REMOTE_WRITES}) {
        int can = 0;
        OK(d_cuDeviceGetAttribute(&can, attribute, 0));
        EXPECT(can == 1);
    }
    Shared words(8);
    CUstream a = stream(), b = stream();
    // From the host: every comparison is first refused, then fulfilled.
    struct {
        unsigned flags, given, no, yes;
    } cases[] = {
        {CU_STREAM_WAIT_VALUE_GEQ, 5, 4, 6},
        {CU_STREAM_WAIT_VALUE_GEQ | CU_STREAM_WAIT_VALUE_FLUSH, 0xfffffff0u, 0xffffffe0u, 3},
        {CU_STREAM_WAIT_VALUE_EQ, 7, 8, 7},
        {CU_STREAM_WAIT_VALUE_AND, 6, 9, 4},
        {CU_STREAM_WAIT_VALUE_NOR, 0xffff0000u, 0x0000ffffu, 0x0000fffeu},
    };
    unsigned round = 0;
    for (auto &c : cases)
        for (bool wide : {false, true}) {
            if (wide && c.flags >= CU_STREAM_WAIT_VALUE_NOR) continue;
            words.write(0, c.no);
            words.write(1, 0);
            if (wide)
                OK(d_cuStreamWaitValue64(a, words.device, c.given, c.flags));
            else
                OK(d_cuStreamWaitValue32(a, words.device, c.given, c.flags));
            OK(d_cuStreamWriteValue32(a, words.device + 8, ++round, 0));
            for (int i = 0; i < 20; ++i) {
                DRIVER_EXPECT(d_cuStreamQuery(a), CUDA_ERROR_NOT_READY);
                std::this_thread::yield();
            }
            EXPECT(words.read(2) == round - 1);
            words.write(0, c.yes);
            OK(d_cuStreamSynchronize(a));
            EXPECT(words.read(2) == round);
        }
    // Between two streams, each waiting for the other's number.
    CUdeviceptr cells;
    OK(d_cuMemAlloc(&cells, 64));
    OK(d_cuMemsetD32Async(cells, 0, 16, a));
    OK(d_cuStreamSynchronize(a));
    const unsigned rounds = 300;
    for (unsigned r = 1; r <= rounds; ++r) {
        OK(d_cuStreamWriteValue32(a, cells, r, 0));
        OK(d_cuStreamWaitValue64(a, cells + 8, r, CU_STREAM_WAIT_VALUE_EQ));
        OK(d_cuStreamWaitValue32(b, cells, r, CU_STREAM_WAIT_VALUE_EQ));
        OK(d_cuStreamWriteValue64(b, cells + 8, r, 0));
    }
    OK(d_cuStreamSynchronize(a));
    OK(d_cuStreamSynchronize(b));
    unsigned long long seen[2];
    OK(d_cuMemcpyDtoH(seen, cells, sizeof seen));
    EXPECT(seen[0] == rounds && seen[1] == rounds);
    // A batch goes in its order; all of it is looked at before any of it is taken.
    CUstreamBatchMemOpParams batch[5] = {};
    batch[0].waitValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
    batch[0].waitValue.address = words.device + 12;
    batch[0].waitValue.value = 1;
    batch[1].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_64;
    batch[1].writeValue.address = words.device + 16;
    batch[1].writeValue.value64 = 0x123456789abull;
    batch[2].memoryBarrier.operation = CU_STREAM_MEM_OP_BARRIER;
    batch[2].memoryBarrier.flags = CU_STREAM_MEMORY_BARRIER_TYPE_GPU;
    batch[3].flushRemoteWrites.operation = CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES;
    batch[4].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
    batch[4].writeValue.address = words.device + 24;
    batch[4].writeValue.value = 9;
    OK(d_cuStreamBatchMemOp(a, 5, batch, 0));
    DRIVER_EXPECT(d_cuStreamQuery(a), CUDA_ERROR_NOT_READY);
    EXPECT(words.read(4) == 0 && words.read(6) == 0);
    OK(d_cuMemsetD32Async(words.device + 12, 1, 1, b));
    OK(d_cuStreamSynchronize(a));
    EXPECT(words.read(4) == 0x456789abu && words.read(5) == 0x123 && words.read(6) == 9);
    batch[0].waitValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
    batch[4].writeValue.address += 2;
    DRIVER_EXPECT(d_cuStreamBatchMemOp(a, 5, batch, 0), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuStreamSynchronize(a));
    batch[4].writeValue.address -= 2;
    DRIVER_EXPECT(d_cuStreamBatchMemOp(a, 256, batch, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamBatchMemOp(a, 5, batch, 1), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamBatchMemOp(a, 5, nullptr, 0), CUDA_ERROR_INVALID_VALUE);
    // What is refused.
    unsigned here = 0;
    DRIVER_EXPECT(d_cuStreamWaitValue32(a, words.device + 2, 1, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamWaitValue64(a, words.device + 4, 1, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamWaitValue32(a, words.device, 1, 4), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamWriteValue32(a, words.device, 1, 2), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamWriteValue32(a, 0, 1, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamWriteValue32(a, reinterpret_cast<CUdeviceptr>(&here), 1, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamWriteValue32(reinterpret_cast<CUstream>(0x50), words.device, 1, 0), CUDA_ERROR_INVALID_HANDLE);
    // The first functions had a flag that the second do not.
    auto first = reinterpret_cast<decltype(d_cuStreamWriteValue32)>(symbol("cuStreamWriteValue32"));
    OK(first(a, words.device + 28, 11, CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER));
    DRIVER_EXPECT(d_cuStreamWriteValue32(a, words.device + 28, 12, CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER),
                  CUDA_ERROR_NOT_SUPPORTED);
    OK(d_cuStreamSynchronize(a));
    EXPECT(words.read(7) == 11);
    OK(d_cuMemFree(cells));
    OK(d_cuStreamDestroy(a));
    OK(d_cuStreamDestroy(b));
}

// A process that ends, or has a child, while a function is pending that never returns and all queues are full.
static void ends(const char *program) {
    std::string command = std::string(program) + " pending";
    int status = std::system(command.c_str());
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static int pending() {
    static Barrier barrier;
    CUstream s = stream();
    static std::atomic<int> posted{0};
    CUcontext context;
    OK(d_cuCtxGetCurrent(&context));
    OK(d_cuLaunchHostFunc(s, Barrier::wait, &barrier));
    until([&] { return barrier.reached.load(); });
    // Never given back: that would be one more thing to wait for.
    static Shared &word = *new Shared(1);
    std::thread([=] {
        OK(d_cuCtxSetCurrent(context));
        for (;; ++posted) d_cuMemsetD32Async(word.device, 1, 1, s);
    }).detach();
    for (int before = -1, now = posted; before != now || now == 0; now = posted) {
        before = now;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    pid_t child = fork();
    if (child == 0) _exit(d_cuStreamSynchronize(s) == CUDA_ERROR_NOT_INITIALIZED ? 5 : 1);
    int status = 0;
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 5);
    std::exit(7);
}

int main(int argc, char **argv) {
    begin();
    if (argc > 1) return pending();
    order();
    posting();
    flood();
    inside();
    destruction();
    fault();
    values();
    ends(argv[0]);
    return passed("streams");
}
