// What programs of applications share: every comparison names the kernel that made the values, so that the verdict can say how many
// kernels were checked, on how many values, with what error.
#pragma once
#include "../programs/check.cuh"
#include <set>
#include <string>

// What has been compared so far.
struct Checked {
    std::set<std::string> kernels;
    size_t values = 0;
    double error = 0;
};

inline Checked &checked() {
    static Checked all;
    return all;
}

// Results that must be equal bit by bit.
template <typename T> void exact(const char *kernel, const std::vector<T> &got, const std::vector<T> &want) {
    same(kernel, got, want);
    checked().kernels.insert(kernel);
    checked().values += got.size();
}

// Results that may differ by `tolerance`, relative to a magnitude of at least `floor`.
template <typename T, typename U>
void close(const char *kernel, const std::vector<T> &got, const std::vector<U> &want, double tolerance, double floor = 1.0) {
    if (got.size() != want.size()) fail("%s: %zu results instead of %zu", kernel, got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i) {
        double is = static_cast<double>(got[i]), should = static_cast<double>(want[i]);
        double error = is == should ? 0.0 : std::fabs(is - should) / std::fmax(std::fabs(should), floor);
        if (!(error <= tolerance)) fail("%s: result %zu is %.9g and should be %.9g", kernel, i, is, should);
        checked().error = std::fmax(checked().error, error);
    }
    checked().kernels.insert(kernel);
    checked().values += got.size();
}

// The verdict: the test adds up what it says.
inline int verdict() {
    CHECK(cudaDeviceSynchronize());
    const Checked &all = checked();
    std::printf("PASS %zu kernels, %zu values, largest error %.1e\n", all.kernels.size(), all.values, all.error);
    return 0;
}

inline std::vector<float> uniform(size_t count, uint64_t seed, double low, double high) {
    Random random(seed);
    std::vector<float> v(count);
    for (float &x : v) x = static_cast<float>(random.between(low, high));
    return v;
}
