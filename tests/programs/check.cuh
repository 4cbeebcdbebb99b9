// What all programs share: calls that must succeed, comparisons with the CPU, one line of verdict.
#pragma once
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

// Prints the verdict of a program that failed, and ends it.
[[noreturn]] inline void fail(const char *format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    std::printf("FAIL ");
    std::vprintf(format, arguments);
    std::printf("\n");
    va_end(arguments);
    std::fflush(stdout);
    std::_Exit(1);
}

#define CHECK(call)                                                                                        \
    do {                                                                                                   \
        cudaError_t error_ = (call);                                                                       \
        if (error_ != cudaSuccess) fail("%s: %s (%s)", #call, cudaGetErrorName(error_), cudaGetErrorString(error_)); \
    } while (0)

#define EXPECT(condition)                                            \
    do {                                                             \
        if (!(condition)) fail("line %d: %s", __LINE__, #condition); \
    } while (0)

// A launch that must be accepted and end well.
#define LAUNCHED()                      \
    do {                                \
        CHECK(cudaGetLastError());      \
        CHECK(cudaDeviceSynchronize()); \
    } while (0)

// Device memory that is filled from a vector, or empty, and given back at the end.
template <typename T> struct Device {
    T *data = nullptr;
    size_t count;
    explicit Device(size_t n) : count(n) { CHECK(cudaMalloc(&data, n * sizeof(T))); }
    explicit Device(const std::vector<T> &from) : Device(from.size()) {
        CHECK(cudaMemcpy(data, from.data(), count * sizeof(T), cudaMemcpyHostToDevice));
    }
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;
    ~Device() { cudaFree(data); }
    std::vector<T> host() const {
        std::vector<T> to(count);
        CHECK(cudaMemcpy(to.data(), data, count * sizeof(T), cudaMemcpyDeviceToHost));
        return to;
    }
};

// A small generator, the same everywhere (xorshift).
struct Random {
    uint64_t state;
    explicit Random(uint64_t seed) : state(seed * 0x9E3779B97F4A7C15ull + 1) {}
    uint64_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
    // Uniform in [0, 1).
    double unit() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }
    double between(double low, double high) { return low + (high - low) * unit(); }
};

template <typename T> void same(const char *what, const std::vector<T> &got, const std::vector<T> &want) {
    if (got.size() != want.size()) fail("%s: %zu results instead of %zu", what, got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i)
        if (std::memcmp(&got[i], &want[i], sizeof(T)) != 0)
            fail("%s: result %zu is %.17g and should be %.17g", what, i, static_cast<double>(got[i]), static_cast<double>(want[i]));
}

inline void near(const char *what, const std::vector<float> &got, const std::vector<float> &want, double tolerance) {
    if (got.size() != want.size()) fail("%s: %zu results instead of %zu", what, got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
        double difference = std::fabs(static_cast<double>(got[i]) - want[i]);
        if (!(difference <= tolerance * (1.0 + std::fabs(want[i]))))
            fail("%s: result %zu is %.9g and should be %.9g", what, i, got[i], want[i]);
    }
}

inline int passed(const char *name) {
    CHECK(cudaDeviceSynchronize());
    std::printf("PASS %s\n", name);
    return 0;
}
