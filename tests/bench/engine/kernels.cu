// Kernels by which the execution engine is measured. All have one signature, so that one harness runs them on the device, as native
// code (native.c) and through OpenCL (kernels.cl); what each computes is the same in all three.
#include <cstdint>
#include <cuda_fp16.h>

#define KERNEL extern "C" __global__ void
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)

KERNEL saxpy(const float *a, const float *b, float *out, int n) {
    int i = INDEX;
    if (i < n) out[i] = 2.5f * a[i] + b[i];
}

KERNEL matmul_naive(const float *a, const float *b, float *out, int n) {
    int x = blockIdx.x * 16 + threadIdx.x, y = blockIdx.y * 16 + threadIdx.y;
    float sum = 0;
    for (int k = 0; k < n; k++) sum += a[y * n + k] * b[k * n + x];
    out[y * n + x] = sum;
}

KERNEL matmul_tiled(const float *a, const float *b, float *out, int n) {
    __shared__ float left[16][16], right[16][16];
    int tx = threadIdx.x, ty = threadIdx.y, x = blockIdx.x * 16 + tx, y = blockIdx.y * 16 + ty;
    float sum = 0;
    for (int t = 0; t < n; t += 16) {
        left[ty][tx] = a[y * n + t + tx];
        right[ty][tx] = b[(t + ty) * n + x];
        __syncthreads();
        for (int k = 0; k < 16; k++) sum += left[ty][k] * right[k][tx];
        __syncthreads();
    }
    out[y * n + x] = sum;
}

// Side n; 256 iterations at most.
KERNEL mandel(const float *a, const float *b, int *out, int n) {
    int px = blockIdx.x * 16 + threadIdx.x, py = blockIdx.y * 16 + threadIdx.y;
    float cx = -2.0f + px * (3.0f / n), cy = -1.5f + py * (3.0f / n), x = 0, y = 0;
    int k = 0;
    while (k < 256) {
        float xx = x * x, yy = y * y;
        if (xx + yy > 4.0f) break;
        y = 2 * x * y + cy;
        x = xx - yy + cx;
        k++;
    }
    out[py * n + px] = k;
}

KERNEL reduce_shfl(const float *a, const float *b, float *out, int n) {
    float v = 0;
    for (int i = INDEX; i < n; i += gridDim.x * blockDim.x) v += a[i];
    for (int d = 16; d; d /= 2) v += __shfl_down_sync(~0u, v, d);
    if (threadIdx.x % 32 == 0) out[INDEX / 32] = v;
}

// One sum per block of 256 threads, which covers 512 elements.
KERNEL reduce_tree(const float *a, const float *b, float *out, int n) {
    __shared__ float s[256];
    int t = threadIdx.x;
    s[t] = a[blockIdx.x * 512 + t] + a[blockIdx.x * 512 + 256 + t];
    __syncthreads();
    for (int d = 128; d; d /= 2) {
        if (t < d) s[t] += s[t + d];
        __syncthreads();
    }
    if (t == 0) out[blockIdx.x] = s[0];
}

// The blocks add up in 256 words; b is not used. The words count on from launch to launch.
KERNEL histogram(const uint32_t *a, const float *b, uint32_t *out, int n) {
    __shared__ uint32_t bins[256];
    bins[threadIdx.x] = 0;
    __syncthreads();
    for (int i = INDEX; i < n; i += gridDim.x * blockDim.x) atomicAdd(&bins[a[i] >> 8 & 255], 1u);
    __syncthreads();
    atomicAdd(&out[threadIdx.x], bins[threadIdx.x]);
}

// Positions and masses in a (four words each), forces to out (four words each).
KERNEL nbody(const float4 *a, const float *b, float4 *out, int n) {
    int i = INDEX;
    float4 p = a[i];
    float fx = 0, fy = 0, fz = 0;
    for (int j = 0; j < n; j++) {
        float4 q = a[j];
        float dx = q.x - p.x, dy = q.y - p.y, dz = q.z - p.z;
        float r = rsqrtf(dx * dx + dy * dy + dz * dz + 0.01f);
        float s = q.w * r * r * r;
        fx += dx * s;
        fy += dy * s;
        fz += dz * s;
    }
    out[i] = make_float4(fx, fy, fz, 0);
}

__constant__ uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define ROTR(x, n) (x >> n | x << (32 - n))

// The compression function on a block made from the thread's number.
KERNEL sha256(const float *a, const float *b, uint32_t *out, int n) {
    uint32_t i = INDEX, w[16], s[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
#pragma unroll
    for (int k = 0; k < 16; k++) w[k] = i * 0x9e3779b9u + k;
#pragma unroll
    for (int k = 0; k < 64; k++) {
        if (k >= 16) {
            uint32_t x = w[(k - 15) & 15], y = w[(k - 2) & 15];
            w[k & 15] += (ROTR(x, 7) ^ ROTR(x, 18) ^ x >> 3) + w[(k - 7) & 15] + (ROTR(y, 17) ^ ROTR(y, 19) ^ y >> 10);
        }
        uint32_t t1 = s[7] + (ROTR(s[4], 6) ^ ROTR(s[4], 11) ^ ROTR(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[k] + w[k & 15];
        uint32_t t2 = (ROTR(s[0], 2) ^ ROTR(s[0], 13) ^ ROTR(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1, s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;
    }
    out[i] = s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] ^ s[5] ^ s[6] ^ s[7];
}

KERNEL hash(const float *a, const float *b, uint32_t *out, int n) {
    uint32_t h = INDEX;
#pragma unroll 1
    for (int k = 0; k < 64; k++) {
        h ^= h >> 16;
        h *= 0x7feb352du;
        h ^= h >> 15;
        h *= 0x846ca68bu;
        h ^= h >> 16;
    }
    out[INDEX] = h;
}

KERNEL collatz(const float *a, const float *b, uint32_t *out, int n) {
    uint32_t v = INDEX + 1, steps = 0;
    while (v != 1 && steps < 1000) {
        v = v & 1 ? 3 * v + 1 : v >> 1;
        steps++;
    }
    out[INDEX] = steps;
}

// Inclusive sums over each 256 elements.
KERNEL scan(const uint32_t *a, const float *b, uint32_t *out, int n) {
    __shared__ uint32_t s[256];
    int t = threadIdx.x;
    s[t] = a[INDEX];
    __syncthreads();
    for (int d = 1; d < 256; d *= 2) {
        uint32_t add = t >= d ? s[t - d] : 0;
        __syncthreads();
        s[t] += add;
        __syncthreads();
    }
    out[INDEX] = s[t];
}

KERNEL transpose(const float *a, const float *b, float *out, int n) {
    __shared__ float tile[16][17];
    int x = threadIdx.x, y = threadIdx.y;
    tile[y][x] = a[(blockIdx.y * 16 + y) * n + blockIdx.x * 16 + x];
    __syncthreads();
    out[(blockIdx.x * 16 + y) * n + blockIdx.y * 16 + x] = tile[x][y];
}

// Five points; the border is copied.
KERNEL stencil(const float *a, const float *b, float *out, int n) {
    int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 8 + threadIdx.y, i = y * n + x;
    if (x == 0 || y == 0 || x == n - 1 || y == n - 1)
        out[i] = a[i];
    else
        out[i] = 0.5f * a[i] + 0.125f * (a[i - 1] + a[i + 1] + a[i - n] + a[i + n]);
}

__device__ float block_max(float v) {
    __shared__ float part[8];
    for (int d = 16; d; d /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, d));
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = part[threadIdx.x % 8];
    for (int d = 4; d; d /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, d));
    __syncthreads();
    return v;
}

__device__ float block_sum(float v) {
    __shared__ float part[8];
    for (int d = 16; d; d /= 2) v += __shfl_xor_sync(~0u, v, d);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = v;
    __syncthreads();
    v = part[threadIdx.x % 8];
    for (int d = 4; d; d /= 2) v += __shfl_xor_sync(~0u, v, d);
    __syncthreads();
    return v;
}

// A row of n elements per block of 256 threads.
KERNEL softmax(const float *a, const float *b, float *out, int n) {
    const float *row = a + (size_t)blockIdx.x * n;
    float *to = out + (size_t)blockIdx.x * n, most = -INFINITY, sum = 0;
    for (int i = threadIdx.x; i < n; i += 256) most = fmaxf(most, row[i]);
    most = block_max(most);
    for (int i = threadIdx.x; i < n; i += 256) {
        float e = __expf(row[i] - most);
        to[i] = e;
        sum += e;
    }
    sum = 1 / block_sum(sum);
    for (int i = threadIdx.x; i < n; i += 256) to[i] *= sum;
}

KERNEL layer_norm(const float *a, const float *b, float *out, int n) {
    const float *row = a + (size_t)blockIdx.x * n;
    float *to = out + (size_t)blockIdx.x * n, sum = 0, squares = 0;
    for (int i = threadIdx.x; i < n; i += 256) {
        sum += row[i];
        squares += row[i] * row[i];
    }
    float mean = block_sum(sum) / n, scale = rsqrtf(block_sum(squares) / n - mean * mean + 1e-5f);
    for (int i = threadIdx.x; i < n; i += 256) to[i] = (row[i] - mean) * scale * b[i] + b[n + i];
}

// Side n; halves in, floats out. A warp makes 16 x 8 of the result; b is stored by columns.
KERNEL matmul_mma(const __half *a, const __half *b, float *out, int n) {
    int warp = INDEX / 32, lane = threadIdx.x % 32, group = lane / 4, in = lane % 4 * 2;
    int row = warp / (n / 8) * 16, column = warp % (n / 8) * 8;
    float c[4] = {0, 0, 0, 0};
    for (int k = 0; k < n; k += 16) {
        const uint32_t *top = (const uint32_t *)(a + (row + group) * n + k + in), *low = (const uint32_t *)(a + (row + group + 8) * n + k + in);
        const uint32_t *right = (const uint32_t *)(b + (column + group) * n + k + in);
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(top[0]), "r"(low[0]), "r"(top[4]), "r"(low[4]), "r"(right[0]), "r"(right[4]));
    }
    float *to = out + (row + group) * n + column + in;
    to[0] = c[0], to[1] = c[1], to[8 * n] = c[2], to[8 * n + 1] = c[3];
}
