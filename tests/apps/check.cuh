// What programs of applications share. Every comparison names the kernel that made the values; the verdict says how many kernels ran
// and were compared, on how many values, with what error. Which kernels ran is not taken from the program's word: what the compiler
// makes of a launch calls the runtime library, and passes through here.
#pragma once
#include "../programs/check.cuh"
#include <cctype>
#include <dlfcn.h>
#include <map>
#include <set>
#include <string>

// The kernels of the program by the address of their stub, and the names of those that were launched.
struct Launches {
    std::map<const void *, std::string> known;
    std::set<std::string> seen;
};

inline Launches &launches() {
    static Launches all;
    return all;
}

inline void launched(const void *stub) {
    auto found = launches().known.find(stub);
    if (found != launches().known.end()) launches().seen.insert(found->second);
}

// The function of the runtime library that one of ours stands before.
template <typename F> F next(F, const char *name) { return reinterpret_cast<F>(dlsym(RTLD_NEXT, name)); }

extern "C" {
__attribute__((used)) void own_register(void **image, const char *stub, char *device, const char *name, int threads, void *tid, void *bid, void *block,
                                        void *grid, int *warp) __asm__("__cudaRegisterFunction");
__attribute__((used)) cudaError_t own_get(void **kernel, const void *stub) __asm__("__cudaGetKernel");
__attribute__((used)) cudaError_t own_launch(const cudaLaunchConfig_t *config, const void *stub, void **arguments) __asm__("cudaLaunchKernelExC");
__attribute__((used)) cudaError_t own_together(const void *stub, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream)
    __asm__("cudaLaunchCooperativeKernel");

void own_register(void **image, const char *stub, char *device, const char *name, int threads, void *tid, void *bid, void *block, void *grid, int *warp) {
    launches().known[stub] = name;
    next(own_register, "__cudaRegisterFunction")(image, stub, device, name, threads, tid, bid, block, grid, warp);
}

// A stub asks for its kernel before the first launch.
cudaError_t own_get(void **kernel, const void *stub) {
    launched(stub);
    return next(own_get, "__cudaGetKernel")(kernel, stub);
}

cudaError_t own_launch(const cudaLaunchConfig_t *config, const void *stub, void **arguments) {
    launched(stub);
    return next(own_launch, "cudaLaunchKernelExC")(config, stub, arguments);
}

cudaError_t own_together(const void *stub, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) {
    launched(stub);
    return next(own_together, "cudaLaunchCooperativeKernel")(stub, grid, block, arguments, shared, stream);
}
}

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

// Notes a comparison; what follows a kernel's name after a space only tells instances apart for the reader of a failure.
inline void note(const std::string &kernel, size_t values, double error) {
    checked().kernels.insert(kernel.substr(0, kernel.find(' ')));
    checked().values += values;
    checked().error = std::fmax(checked().error, error);
}

// Results that must be equal bit by bit.
template <typename T> void exact(const std::string &kernel, const std::vector<T> &got, const std::vector<T> &want) {
    same(kernel.c_str(), got, want);
    note(kernel, got.size(), 0);
}

// Results that may differ by `tolerance`, relative to a magnitude of at least `floor`.
template <typename T, typename U>
void close(const std::string &kernel, const std::vector<T> &got, const std::vector<U> &want, double tolerance, double floor = 1.0) {
    if (got.size() != want.size()) fail("%s: %zu results instead of %zu", kernel.c_str(), got.size(), want.size());
    double most = 0;
    for (size_t i = 0; i < got.size(); ++i) {
        double is = static_cast<double>(got[i]), should = static_cast<double>(want[i]);
        double error = is == should ? 0.0 : std::fabs(is - should) / std::fmax(std::fabs(should), floor);
        if (!(error <= tolerance)) fail("%s: result %zu is %.9g and should be %.9g", kernel.c_str(), i, is, should);
        most = std::fmax(most, error);
    }
    note(kernel, got.size(), most);
}

// Whether a symbol is that of a kernel: its name as it is, or as part of a C++ name, which carries its length in front.
inline bool is_of(const std::string &symbol, const std::string &kernel) {
    if (symbol == kernel) return true;
    std::string part = std::to_string(kernel.size()) + kernel;
    for (size_t at = symbol.find(part); at != std::string::npos; at = symbol.find(part, at + 1))
        if (at > 0 && !std::isdigit(static_cast<unsigned char>(symbol[at - 1]))) return true;
    return false;
}

// The verdict: the test adds up what it says. Each instance of a template is a kernel.
inline int verdict() {
    CHECK(cudaDeviceSynchronize());
    const Checked &all = checked();
    std::set<std::string> ran;
    for (const std::string &kernel : all.kernels) {
        bool found = false;
        for (const std::string &name : launches().seen)
            if (is_of(name, kernel)) {
                ran.insert(name);
                found = true;
            }
        if (!found) fail("%s was compared and never launched", kernel.c_str());
    }
    std::printf("PASS %zu kernels, %zu values, largest error %.1e\n", ran.size(), all.values, all.error);
    return 0;
}

inline std::vector<float> uniform(size_t count, uint64_t seed, double low, double high) {
    Random random(seed);
    std::vector<float> v(count);
    for (float &x : v) x = static_cast<float>(random.between(low, high));
    return v;
}
