// What programs of the driver API share: its functions, memory that host and device share, functions that hold a stream up.
#pragma once
#include "symbols.cuh"

#include <atomic>
#include <thread>

DRIVER(cuCtxCreate);
DRIVER(cuCtxSetCurrent);
DRIVER(cuDevicePrimaryCtxRetain);
DRIVER(cuInit);
DRIVER(cuMemFreeHost);
DRIVER(cuMemHostAlloc);
DRIVER(cuStreamCreate);

inline CUcontext context() {
    CUcontext made;
#if CUDA_VERSION >= 13000
    OK(d_cuCtxCreate(&made, nullptr, 0, 0));
#else
    OK(d_cuCtxCreate(&made, 0, 0));
#endif
    return made;
}

inline CUstream stream() {
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

// The primary context of the device, current.
inline void begin() {
    OK(d_cuInit(0));
    CUcontext primary;
    OK(d_cuDevicePrimaryCtxRetain(&primary, 0));
    OK(d_cuCtxSetCurrent(primary));
}
