// Numbers of 16 bits on the CPU: to and from `float`, one at a time and in vectors.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector>

inline float wide(float x) { return x; }
inline float wide(double x) { return static_cast<float>(x); }
inline float wide(__half x) { return __half2float(x); }
inline float wide(__nv_bfloat16 x) { return __bfloat162float(x); }
inline void narrow(float from, float &to) { to = from; }
inline void narrow(float from, __half &to) { to = __float2half(from); }
inline void narrow(float from, __nv_bfloat16 &to) { to = __float2bfloat16(from); }

template <typename T> std::vector<T> narrowed(const std::vector<float> &from) {
    std::vector<T> to(from.size());
    for (size_t i = 0; i < from.size(); ++i) narrow(from[i], to[i]);
    return to;
}

template <typename T> std::vector<float> widened(const std::vector<T> &from) {
    std::vector<float> to(from.size());
    for (size_t i = 0; i < from.size(); ++i) to[i] = wide(from[i]);
    return to;
}
