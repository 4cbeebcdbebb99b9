// Streams through the driver API: functions of the host among the work, while other threads post, at faults and at the end; values
// in memory that streams wait for and write; copies between contexts and many copies in one call.
#include "check.cuh"

#include <atomic>
#include <chrono>
#include <cuda.h>
#include <dlfcn.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

// The driver's functions are looked up by the names that its header gives them, versions and default stream included.
#define TEXT_(name) #name
#define TEXT(name) TEXT_(name)
#define DRIVER(name) static const auto d_##name = reinterpret_cast<decltype(&name)>(symbol(TEXT(name)))
#define DRIVER_EXPECT(call, code)                                                    \
    do {                                                                             \
        CUresult got_ = (call);                                                      \
        if (got_ != (code)) fail("line %d: %s is %d", __LINE__, #call, int(got_));   \
    } while (0)
#define OK(call) DRIVER_EXPECT(call, CUDA_SUCCESS)

static void *symbol(const char *name) {
    static void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (library == nullptr) fail("no libcuda.so.1");
    void *address = dlsym(library, name);
    if (address == nullptr) fail("no %s", name);
    return address;
}

DRIVER(cuInit);
DRIVER(cuCtxCreate);
DRIVER(cuCtxDestroy);
DRIVER(cuCtxGetCurrent);
DRIVER(cuCtxSetCurrent);
DRIVER(cuCtxSynchronize);
DRIVER(cuDeviceGetAttribute);
DRIVER(cuDevicePrimaryCtxRetain);
DRIVER(cuEventCreate);
DRIVER(cuEventDestroy);
DRIVER(cuEventQuery);
DRIVER(cuEventRecord);
DRIVER(cuEventSynchronize);
DRIVER(cuLaunchHostFunc);
DRIVER(cuLaunchKernel);
DRIVER(cuMemAlloc);
DRIVER(cuMemFree);
DRIVER(cuMemFreeHost);
DRIVER(cuMemHostAlloc);
DRIVER(cuMemcpy);
DRIVER(cuMemcpy3DPeer);
DRIVER(cuMemcpy3DPeerAsync);
DRIVER(cuMemcpyDtoH);
DRIVER(cuMemcpyHtoD);
DRIVER(cuMemcpyPeer);
DRIVER(cuMemcpyPeerAsync);
#if CUDA_VERSION >= 13000
DRIVER(cuMemcpy3DBatchAsync);
DRIVER(cuMemcpyBatchAsync);
#endif
#if CUDA_VERSION >= 13020
DRIVER(cuMemcpy3DWithAttributesAsync);
DRIVER(cuMemcpyWithAttributesAsync);
#endif
DRIVER(cuArray3DCreate);
DRIVER(cuArrayDestroy);
#if CUDA_VERSION >= 12050
DRIVER(cuCtxRecordEvent);
DRIVER(cuCtxWaitEvent);
#endif
#if CUDA_VERSION >= 13000
DRIVER(cuDeviceGetDefaultMemPool);
DRIVER(cuDeviceGetHostAtomicCapabilities);
DRIVER(cuMemGetDefaultMemPool);
DRIVER(cuMemGetMemPool);
DRIVER(cuMemPoolCreate);
DRIVER(cuMemPoolDestroy);
DRIVER(cuMemSetMemPool);
#endif
DRIVER(cuStreamCopyAttributes);
DRIVER(cuStreamCreateWithPriority);
DRIVER(cuStreamGetAttribute);
DRIVER(cuStreamSetAttribute);
DRIVER(cuMemsetD32Async);
DRIVER(cuModuleGetFunction);
DRIVER(cuModuleLoadData);
DRIVER(cuStreamAddCallback);
DRIVER(cuStreamBatchMemOp);
DRIVER(cuStreamCreate);
DRIVER(cuStreamDestroy);
DRIVER(cuStreamQuery);
DRIVER(cuStreamSynchronize);
DRIVER(cuStreamWaitEvent);
DRIVER(cuStreamWaitValue32);
DRIVER(cuStreamWaitValue64);
DRIVER(cuStreamWriteValue32);
DRIVER(cuStreamWriteValue64);

static CUcontext context() {
    CUcontext made;
#if CUDA_VERSION >= 13000
    OK(d_cuCtxCreate(&made, nullptr, 0, 0));
#else
    OK(d_cuCtxCreate(&made, 0, 0));
#endif
    return made;
}

static CUstream stream() {
    CUstream made;
    OK(d_cuStreamCreate(&made, CU_STREAM_NON_BLOCKING));
    return made;
}

// Words that host and device share.
struct Shared {
    unsigned *host;
    CUdeviceptr device;
    explicit Shared(size_t words) {
        void *made;
        OK(d_cuMemHostAlloc(&made, words * 4, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP));
        host = static_cast<unsigned *>(made);
        std::memset(host, 0, words * 4);
        device = reinterpret_cast<CUdeviceptr>(made);
    }
    ~Shared() { OK(d_cuMemFreeHost(host)); }
    unsigned read(size_t i) const { return __atomic_load_n(&host[i], __ATOMIC_SEQ_CST); }
    void write(size_t i, unsigned value) { __atomic_store_n(&host[i], value, __ATOMIC_SEQ_CST); }
};

template <typename Condition> void until(Condition condition) {
    while (!condition()) std::this_thread::yield();
}

// Holds a stream up until it is opened.
struct Barrier {
    std::atomic<bool> reached{false}, open{false}, passed{false};
    static void wait(void *self) {
        Barrier &barrier = *static_cast<Barrier *>(self);
        barrier.reached = true;
        until([&] { return barrier.open.load(); });
        barrier.passed = true;
    }
};

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

// Numbers, and where they are wanted.
static std::vector<unsigned> numbers(size_t count, unsigned first) {
    std::vector<unsigned> list(count);
    for (size_t i = 0; i < count; ++i) list[i] = first + unsigned(i) * 2654435761u;
    return list;
}

static void expect(const char *what, CUdeviceptr memory, const std::vector<unsigned> &want) {
    std::vector<unsigned> got(want.size());
    OK(d_cuMemcpyDtoH(got.data(), memory, got.size() * 4));
    same(what, got, want);
}

// Copies between the memories of several contexts, in the order of the stream that they are asked of.
static void peers() {
    const size_t count = 700001, bytes = count * 4;
    CUcontext home, one, other;
    OK(d_cuCtxGetCurrent(&home));
    CUdeviceptr here, first, second;
    OK(d_cuMemAlloc(&here, bytes));
    one = context();
    OK(d_cuMemAlloc(&first, bytes));
    other = context();
    OK(d_cuMemAlloc(&second, bytes));
    OK(d_cuCtxSetCurrent(home));
    CUstream s = stream();
    auto list = numbers(count, 1);
    OK(d_cuMemcpyHtoD(first, list.data(), bytes));
    OK(d_cuMemcpyPeer(second, other, first, one, bytes));
    expect("between two others", second, list);
    OK(d_cuMemcpyPeer(here, home, second, other, bytes));
    expect("to here", here, list);
    // Nothing overtakes a function of the host, in no context, and what is behind a copy waits for it.
    Barrier barrier;
    OK(d_cuLaunchHostFunc(s, Barrier::wait, &barrier));
    OK(d_cuMemsetD32Async(here, 77, count, s));
    OK(d_cuMemcpyPeerAsync(first, one, here, home, bytes, s));
    OK(d_cuMemcpyPeerAsync(second, other, first, one, 4000, s));
    OK(d_cuMemcpyPeerAsync(second + 4000, other, first, one, 4000, s));
    OK(d_cuMemsetD32Async(here, 78, count, s));
    until([&] { return barrier.reached.load(); });
    DRIVER_EXPECT(d_cuStreamQuery(s), CUDA_ERROR_NOT_READY);
    barrier.open = true;
    OK(d_cuStreamSynchronize(s));
    expect("here", here, std::vector<unsigned>(count, 78));
    expect("first", first, std::vector<unsigned>(count, 77));
    std::fill(list.begin(), list.begin() + 2000, 77);
    expect("second", second, list);
    // One address space: the addresses say whose memory it is.
    OK(d_cuMemcpy(here, second, bytes));
    expect("by address", here, list);
    Shared pinned(1000);
    OK(d_cuMemcpy(pinned.device, second, 4000));
    EXPECT(pinned.read(0) == 77 && pinned.read(999) == 77);
    pinned.write(5, 55);
    OK(d_cuMemcpyPeer(second, other, pinned.device, home, 40));
    unsigned word = 0;
    OK(d_cuMemcpyDtoH(&word, second + 20, 4));
    EXPECT(word == 55);
    // Boxes.
    CUDA_MEMCPY3D_PEER box = {};
    box.srcMemoryType = box.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    box.srcDevice = first, box.srcContext = one, box.srcPitch = 64, box.srcHeight = 10;
    box.dstDevice = second, box.dstContext = other, box.dstPitch = 40, box.dstHeight = 5;
    box.srcXInBytes = 8, box.srcY = 1, box.srcZ = 2;
    box.WidthInBytes = 32, box.Height = 4, box.Depth = 3;
    auto grid = numbers(16 * 10 * 6, 9);
    OK(d_cuMemcpyHtoD(first, grid.data(), grid.size() * 4));
    std::vector<unsigned> want(10 * 5 * 3, 5);
    for (bool async : {false, true}) {
        OK(d_cuMemsetD32Async(here, 5, want.size(), s));
        OK(d_cuMemcpyPeerAsync(second, other, here, home, want.size() * 4, s));
        OK(d_cuStreamSynchronize(s));
        OK(async ? d_cuMemcpy3DPeerAsync(&box, s) : d_cuMemcpy3DPeer(&box));
        OK(d_cuStreamSynchronize(s));
        for (int z = 0; z < 3; ++z)
            for (int y = 0; y < 4; ++y)
                for (int x = 0; x < 8; ++x) want[z * 50 + y * 10 + x] = grid[(z + 2) * 160 + (y + 1) * 16 + x + 2];
        expect("box", second, want);
    }
    box.srcContext = other;
    DRIVER_EXPECT(d_cuMemcpy3DPeer(&box), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyPeer(second, one, first, one, 4), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyPeer(second, other, first, nullptr, 4), CUDA_ERROR_INVALID_CONTEXT);
    DRIVER_EXPECT(d_cuMemcpyPeer(second, other, 0, one, 4), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyPeerAsync(second, other, first, one, bytes + 4, s), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuCtxDestroy(one));
    DRIVER_EXPECT(d_cuMemcpyPeer(second, other, first, one, 4), CUDA_ERROR_INVALID_CONTEXT);
    OK(d_cuCtxDestroy(other));
    OK(d_cuMemFree(here));
    OK(d_cuStreamDestroy(s));
}

#if CUDA_VERSION >= 13000
// Many copies in one call.
static void batches() {
    const size_t count = 3000;
    CUstream s = stream();
    CUdeviceptr memory;
    OK(d_cuMemAlloc(&memory, 4 * count * 4));
    Shared pinned(count);
    auto list = numbers(count, 3), back = std::vector<unsigned>(count);
    for (size_t i = 0; i < count; ++i) pinned.write(i, list[i] ^ 1);
    auto part = [&](size_t i) { return memory + i * count * 4; };
    auto host = [](void *p) { return reinterpret_cast<CUdeviceptr>(p); };
    CUdeviceptr dsts[3] = {part(0), part(1), host(back.data())}, srcs[3] = {host(list.data()), pinned.device, part(3)};
    size_t sizes[3] = {count * 4, count * 4, count * 4}, firsts[2] = {0, 2};
    CUmemcpyAttributes attributes[2] = {};
    attributes[0].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL;
    attributes[1].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
    attributes[1].flags = CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE;
    OK(d_cuMemsetD32Async(part(3), 4, count, s));
    Barrier barrier;
    OK(d_cuLaunchHostFunc(s, Barrier::wait, &barrier));
    OK(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 2, attributes, firsts, 1, s));
    // The sources are done with, though the stream has not begun.
    std::vector<unsigned> flipped = list;
    for (size_t i = 0; i < count; ++i) flipped[i] ^= 1, pinned.write(i, 0);
    std::vector<unsigned> kept = list;
    std::fill(list.begin(), list.end(), 0);
    EXPECT(!barrier.passed);
    barrier.open = true;
    OK(d_cuStreamSynchronize(s));
    expect("pageable", part(0), kept);
    expect("pinned", part(1), flipped);
    OK(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 2, s));
    OK(d_cuStreamSynchronize(s));
    same("back", back, std::vector<unsigned>(count, 4));
    expect("pinned again", part(1), std::vector<unsigned>(count, 0));
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 4, s), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 0, s), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 2, CU_STREAM_LEGACY), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, nullptr, sizes, 3, attributes, firsts, 2, s), CUDA_ERROR_INVALID_VALUE);
    firsts[0] = 1;
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 2, s), CUDA_ERROR_INVALID_VALUE);
    firsts[0] = 0, firsts[1] = 3;
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 2, s), CUDA_ERROR_INVALID_VALUE);
    attributes[0].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_INVALID;
    DRIVER_EXPECT(d_cuMemcpyBatchAsync(dsts, srcs, sizes, 3, attributes, firsts, 1, s), CUDA_ERROR_INVALID_VALUE);
    // The first function of this name says which copy it was.
    using First = CUresult (*)(CUdeviceptr *, CUdeviceptr *, size_t *, size_t, CUmemcpyAttributes *, size_t *, size_t, size_t *, CUstream);
    auto first = reinterpret_cast<First>(symbol("cuMemcpyBatchAsync"));
    attributes[0].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_ANY;
    size_t which = 0;
    sizes[2] = 0, srcs[1] = memory + 4 * count * 4 - 4;
    DRIVER_EXPECT(first(dsts, srcs, sizes, 3, attributes, firsts, 1, &which, s), CUDA_ERROR_INVALID_VALUE);
    EXPECT(which == 1);
    DRIVER_EXPECT(first(dsts, srcs, sizes, 3, attributes, firsts, 9, &which, s), CUDA_ERROR_INVALID_VALUE);
    EXPECT(which == SIZE_MAX);
    // Boxes, in and out of an array of pairs.
    CUDA_ARRAY3D_DESCRIPTOR shape = {};
    shape.Width = 20, shape.Height = 10, shape.Depth = 4, shape.Format = CU_AD_FORMAT_UNSIGNED_INT32, shape.NumChannels = 2;
    CUarray array;
    OK(d_cuArray3DCreate(&array, &shape));
    auto cube = numbers(2 * 20 * 10 * 4, 8);
    std::vector<unsigned> out(2 * 8 * 6 * 2, 0);
    CUDA_MEMCPY3D_BATCH_OP op[2] = {};
    op[0].src.type = CU_MEMCPY_OPERAND_TYPE_POINTER;
    op[0].src.op.ptr.ptr = host(cube.data());
    op[0].dst.type = CU_MEMCPY_OPERAND_TYPE_ARRAY;
    op[0].dst.op.array.array = array;
    op[0].extent = {20, 10, 4};
    op[0].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
    OK(d_cuMemcpy3DBatchAsync(1, op, 0, s));
    op[1].src.type = CU_MEMCPY_OPERAND_TYPE_ARRAY;
    op[1].src.op.array.array = array;
    op[1].src.op.array.offset = {3, 2, 1};
    op[1].dst.type = CU_MEMCPY_OPERAND_TYPE_POINTER;
    op[1].dst.op.ptr.ptr = host(out.data());
    op[1].dst.op.ptr.rowLength = 8;
    op[1].dst.op.ptr.layerHeight = 6;
    op[1].extent = {5, 4, 2};
    op[1].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_ANY;
    OK(d_cuMemcpy3DBatchAsync(1, op + 1, 0, s));
    OK(d_cuStreamSynchronize(s));
    auto inside = [&] {
        for (int z = 0; z < 2; ++z)
            for (int y = 0; y < 6; ++y)
                for (int x = 0; x < 16; ++x) {
                    bool copied = x < 10 && y < 4;
                    unsigned want = copied ? cube[((z + 1) * 10 + y + 2) * 40 + x + 6] : 0;
                    EXPECT(out[(z * 6 + y) * 16 + x] == want);
                }
    };
    inside();
    op[1].extent.width = 18;
    DRIVER_EXPECT(d_cuMemcpy3DBatchAsync(2, op, 0, s), CUDA_ERROR_INVALID_VALUE);
    op[1].extent.width = 0;
    DRIVER_EXPECT(d_cuMemcpy3DBatchAsync(2, op, 0, s), CUDA_ERROR_INVALID_VALUE);
    op[1].extent.width = 5;
    DRIVER_EXPECT(d_cuMemcpy3DBatchAsync(2, op, 1, s), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuMemcpy3DBatchAsync(0, op, 0, s), CUDA_ERROR_INVALID_VALUE);
#if CUDA_VERSION >= 13020
    std::fill(out.begin(), out.end(), 0);
    OK(d_cuMemcpy3DWithAttributesAsync(op + 1, 0, s));
    OK(d_cuStreamSynchronize(s));
    inside();
    OK(d_cuMemcpyWithAttributesAsync(part(2), host(kept.data()), count * 4, attributes, s));
    OK(d_cuStreamSynchronize(s));
    expect("alone", part(2), kept);
    DRIVER_EXPECT(d_cuMemcpyWithAttributesAsync(part(2), part(1), count * 4, nullptr, s), CUDA_ERROR_INVALID_VALUE);
    attributes[0].flags = 2;
    DRIVER_EXPECT(d_cuMemcpyWithAttributesAsync(part(2), part(1), count * 4, attributes, s), CUDA_ERROR_INVALID_VALUE);
#endif
    OK(d_cuArrayDestroy(array));
    OK(d_cuMemFree(memory));
    OK(d_cuStreamDestroy(s));
}
#endif

#if CUDA_VERSION >= 12050
// Events of all streams of a context, and all streams of a context that wait for an event.
static void joined() {
    Shared words(4);
    CUcontext home, made;
    OK(d_cuCtxGetCurrent(&home));
    made = context();
    CUevent event;
    OK(d_cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    CUstream one = stream(), other = stream();
    Barrier barrier;
    OK(d_cuLaunchHostFunc(one, Barrier::wait, &barrier));
    OK(d_cuMemsetD32Async(words.device, 1, 1, one));
    OK(d_cuMemsetD32Async(words.device + 4, 1, 1, other));
    OK(d_cuCtxRecordEvent(made, event));
    OK(d_cuStreamSynchronize(other));
    until([&] { return barrier.reached.load(); });
    DRIVER_EXPECT(d_cuEventQuery(event), CUDA_ERROR_NOT_READY);
    // Work that comes after the record does not count.
    Barrier later;
    OK(d_cuLaunchHostFunc(other, Barrier::wait, &later));
    OK(d_cuCtxSetCurrent(home));
    CUstream old = stream();
    OK(d_cuCtxWaitEvent(home, event));
    CUstream young = stream();
    OK(d_cuMemsetD32Async(words.device + 8, words.read(0) + 1, 1, old));
    OK(d_cuMemsetD32Async(words.device + 12, words.read(0) + 1, 1, young));
    for (CUstream s : {old, young}) DRIVER_EXPECT(d_cuStreamQuery(s), CUDA_ERROR_NOT_READY);
    EXPECT(words.read(2) == 0 && words.read(3) == 0);
    barrier.open = true;
    OK(d_cuStreamSynchronize(old));
    OK(d_cuStreamSynchronize(young));
    OK(d_cuEventSynchronize(event));
    EXPECT(words.read(0) == 1 && words.read(1) == 1 && words.read(2) == 1 && words.read(3) == 1 && !later.passed);
    later.open = true;
    DRIVER_EXPECT(d_cuCtxRecordEvent(home, event), CUDA_ERROR_INVALID_HANDLE);
    DRIVER_EXPECT(d_cuCtxRecordEvent(nullptr, event), CUDA_ERROR_INVALID_CONTEXT);
    DRIVER_EXPECT(d_cuCtxWaitEvent(home, nullptr), CUDA_ERROR_INVALID_HANDLE);
    OK(d_cuStreamDestroy(old));
    OK(d_cuStreamDestroy(young));
    OK(d_cuCtxDestroy(made));
}
#endif

static void attributes() {
    CUstream a = stream(), b;
    OK(d_cuStreamCreateWithPriority(&b, CU_STREAM_NON_BLOCKING, -2));
    CUstreamAttrValue value = {};
    OK(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_PRIORITY, &value));
    EXPECT(value.priority == -2);
    OK(d_cuStreamGetAttribute(a, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    EXPECT(value.syncPolicy == CU_SYNC_POLICY_AUTO);
    value.syncPolicy = CU_SYNC_POLICY_YIELD;
    OK(d_cuStreamSetAttribute(a, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    value.memSyncDomain = CU_LAUNCH_MEM_SYNC_DOMAIN_REMOTE;
    OK(d_cuStreamSetAttribute(a, CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN, &value));
    OK(d_cuStreamCopyAttributes(b, a));
    OK(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value));
    EXPECT(value.syncPolicy == CU_SYNC_POLICY_YIELD);
    OK(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_MEM_SYNC_DOMAIN, &value));
    EXPECT(value.memSyncDomain == CU_LAUNCH_MEM_SYNC_DOMAIN_REMOTE);
    OK(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_ACCESS_POLICY_WINDOW, &value));
    EXPECT(value.accessPolicyWindow.num_bytes == 0);
    value.accessPolicyWindow.num_bytes = size_t(1) << 40;
    DRIVER_EXPECT(d_cuStreamSetAttribute(b, CU_STREAM_ATTRIBUTE_ACCESS_POLICY_WINDOW, &value), CUDA_ERROR_INVALID_VALUE);
    value.syncPolicy = CUsynchronizationPolicy(5);
    DRIVER_EXPECT(d_cuStreamSetAttribute(b, CU_STREAM_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamGetAttribute(b, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuStreamGetAttribute(b, CU_STREAM_ATTRIBUTE_PRIORITY, nullptr), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuStreamDestroy(a));
    OK(d_cuStreamDestroy(b));
    DRIVER_EXPECT(d_cuStreamGetAttribute(a, CU_STREAM_ATTRIBUTE_PRIORITY, &value), CUDA_ERROR_INVALID_HANDLE);
#if CUDA_VERSION >= 13000
    CUatomicOperation operations[2] = {CU_ATOMIC_OPERATION_INTEGER_ADD, CU_ATOMIC_OPERATION_CAS};
    unsigned capabilities[2] = {7, 7};
    OK(d_cuDeviceGetHostAtomicCapabilities(capabilities, operations, 2, 0));
    EXPECT(capabilities[0] == 0 && capabilities[1] == 0);
    DRIVER_EXPECT(d_cuDeviceGetHostAtomicCapabilities(capabilities, operations, 0, 0), CUDA_ERROR_INVALID_VALUE);
    DRIVER_EXPECT(d_cuDeviceGetHostAtomicCapabilities(capabilities, operations, 2, 1), CUDA_ERROR_INVALID_DEVICE);
    CUmemoryPool of_device, of_location, own;
    CUmemLocation location = {};
    location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    OK(d_cuDeviceGetDefaultMemPool(&of_device, 0));
    OK(d_cuMemGetDefaultMemPool(&of_location, &location, CU_MEM_ALLOCATION_TYPE_PINNED));
    EXPECT(of_device == of_location);
    CUmemPoolProps props = {};
    props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location = location;
    OK(d_cuMemPoolCreate(&own, &props));
    OK(d_cuMemSetMemPool(&location, CU_MEM_ALLOCATION_TYPE_PINNED, own));
    OK(d_cuMemGetMemPool(&of_location, &location, CU_MEM_ALLOCATION_TYPE_PINNED));
    EXPECT(of_location == own);
    OK(d_cuMemPoolDestroy(own));
    DRIVER_EXPECT(d_cuMemGetMemPool(&of_location, &location, CU_MEM_ALLOCATION_TYPE_INVALID), CUDA_ERROR_INVALID_VALUE);
    location.id = 1;
    DRIVER_EXPECT(d_cuMemGetMemPool(&of_location, &location, CU_MEM_ALLOCATION_TYPE_PINNED), CUDA_ERROR_INVALID_DEVICE);
#endif
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
    OK(d_cuInit(0));
    CUcontext primary;
    OK(d_cuDevicePrimaryCtxRetain(&primary, 0));
    OK(d_cuCtxSetCurrent(primary));
    if (argc > 1) return pending();
    order();
    posting();
    flood();
    inside();
    destruction();
    fault();
    values();
    peers();
#if CUDA_VERSION >= 13000
    batches();
#endif
#if CUDA_VERSION >= 12050
    joined();
#endif
    attributes();
    ends(argv[0]);
    return passed("streams");
}
