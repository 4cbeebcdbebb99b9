// Functions and variables that another translation unit uses.
#include "shared.cuh"

__device__ int calls = 0;
__constant__ int scale[4] = {1, 10, 100, 1000};

__device__ int scaled(int value, int which) {
    atomicAdd(&calls, 1);
    return value * scale[which & 3];
}

__device__ __noinline__ Rectangle grown(const Rectangle &from, int by) { return {from.width + by, from.height * by}; }

__global__ void from_other_unit(int *out) { out[threadIdx.x] = scaled(static_cast<int>(threadIdx.x), 2); }

void launch_other_unit(int *out, int n) { from_other_unit<<<1, n>>>(out); }
