// Ten kernels of one signature, so that one harness runs them all: a and b are inputs of n words, out holds n words.
// Each thread handles element blockIdx.x * blockDim.x + threadIdx.x; blocks have 256 threads, n is a multiple of 256.
#include <cstdint>

#define KERNEL extern "C" __global__ void
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)

KERNEL saxpy(const float *a, const float *b, float *out, int n) {
    unsigned i = INDEX;
    if (i < n) out[i] = 2.5f * a[i] + b[i];
}

// Square matrices of side 256 in the first 65,536 words, tiles of 16 x 16; every block of 256 threads makes one tile.
KERNEL matmul(const float *a, const float *b, float *out, int n) {
    __shared__ float left[16][16], right[16][16];
    const int side = 256, x = threadIdx.x % 16, y = threadIdx.x / 16;
    const int column = (blockIdx.x % 16) * 16 + x, row = (blockIdx.x / 16 % 16) * 16 + y;
    float sum = 0;
    for (int tile = 0; tile < side / 16; tile++) {
        left[y][x] = a[row * side + tile * 16 + x];
        right[y][x] = b[(tile * 16 + y) * side + column];
        __syncthreads();
        for (int k = 0; k < 16; k++) sum += left[y][k] * right[k][x];
        __syncthreads();
    }
    out[row * side + column] = sum;
}

KERNEL transpose(const float *a, const float *b, float *out, int n) {
    __shared__ float tile[16][17];
    const int side = 256, x = threadIdx.x % 16, y = threadIdx.x / 16;
    const int bx = blockIdx.x % 16, by = blockIdx.x / 16 % 16;
    tile[y][x] = a[(by * 16 + y) * side + bx * 16 + x];
    __syncthreads();
    out[(bx * 16 + y) * side + by * 16 + x] = tile[x][y];
}

KERNEL reduce(const float *a, const float *b, float *out, int n) {
    __shared__ float part[8];
    float v = a[INDEX];
    for (int d = 16; d; d /= 2) v += __shfl_down_sync(~0u, v, d);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 8) {
        v = part[threadIdx.x];
        for (int d = 4; d; d /= 2) v += __shfl_down_sync(0xff, v, d);
        if (threadIdx.x == 0) out[blockIdx.x] = v;
    }
}

KERNEL scan(const float *a, const float *b, float *out, int n) {
    __shared__ float s[256];
    s[threadIdx.x] = a[INDEX];
    __syncthreads();
    for (int d = 1; d < 256; d *= 2) {
        float add = threadIdx.x >= d ? s[threadIdx.x - d] : 0;
        __syncthreads();
        s[threadIdx.x] += add;
        __syncthreads();
    }
    out[INDEX] = s[threadIdx.x];
}

KERNEL histogram(const float *a, const float *b, float *out, int n) {
    __shared__ unsigned bins[256];
    bins[threadIdx.x] = 0;
    __syncthreads();
    atomicAdd(&bins[__float_as_uint(a[INDEX]) >> 3 & 255], 1u);
    __syncthreads();
    atomicAdd((unsigned *)out + threadIdx.x, bins[threadIdx.x]);
}

KERNEL nbody(const float *a, const float *b, float *out, int n) {
    const float x = a[INDEX], y = b[INDEX];
    float fx = 0, fy = 0;
    for (int j = 0; j < 256; j++) {
        float dx = a[j] - x, dy = b[j] - y, r = rsqrtf(dx * dx + dy * dy + 0.01f);
        fx += dx * r * r * r;
        fy += dy * r * r * r;
    }
    out[INDEX] = fx + fy;
}

KERNEL mandelbrot(const float *a, const float *b, float *out, int n) {
    const float cx = -2.0f + 3.0f * (INDEX % 256) / 256, cy = -1.5f + 3.0f * (INDEX / 256 % 256) / 256;
    float x = 0, y = 0;
    int k = 0;
    while (k < 128 && x * x + y * y < 4.0f) {
        float t = x * x - y * y + cx;
        y = 2 * x * y + cy;
        x = t;
        k++;
    }
    out[INDEX] = k;
}

KERNEL hash(const float *a, const float *b, float *out, int n) {
    uint32_t h = INDEX * 2654435761u + 1;
    for (int k = 0; k < 256; k++) {
        h ^= h >> 16;
        h *= 0x7feb352du;
        h ^= h >> 15;
        h *= 0x846ca68bu;
        h ^= h >> 16;
    }
    out[INDEX] = h & 0xffff;
}

KERNEL collatz(const float *a, const float *b, float *out, int n) {
    uint32_t v = INDEX % 4096 + 1;
    int steps = 0;
    while (v != 1) {
        v = v & 1 ? 3 * v + 1 : v >> 1;
        steps++;
    }
    out[INDEX] = steps;
}
