// The kernels of kernels.cu in OpenCL C, with the same work-groups. Where those shuffle between lanes, these go through local memory.
#define ARGS(A, O) __global const A *a, __global const float *b, __global O *out, int n
#define INDEX ((int)get_global_id(0))
#define T ((int)get_local_id(0))

__kernel void saxpy(ARGS(float, float)) {
    int i = INDEX;
    if (i < n) out[i] = 2.5f * a[i] + b[i];
}

__kernel void matmul_naive(ARGS(float, float)) {
    int x = get_global_id(0), y = get_global_id(1);
    float sum = 0;
    for (int k = 0; k < n; k++) sum += a[y * n + k] * b[k * n + x];
    out[y * n + x] = sum;
}

__kernel void matmul_tiled(ARGS(float, float)) {
    __local float left[16][16], right[16][16];
    int tx = get_local_id(0), ty = get_local_id(1), x = get_global_id(0), y = get_global_id(1);
    float sum = 0;
    for (int t = 0; t < n; t += 16) {
        left[ty][tx] = a[y * n + t + tx];
        right[ty][tx] = b[(t + ty) * n + x];
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int k = 0; k < 16; k++) sum += left[ty][k] * right[k][tx];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    out[y * n + x] = sum;
}

__kernel void mandel(ARGS(float, int)) {
    int px = get_global_id(0), py = get_global_id(1);
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

float tree(float v, __local float *s, int most) {
    s[T] = v;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int d = 128; d; d /= 2) {
        if (T < d) s[T] = most ? fmax(s[T], s[T + d]) : s[T] + s[T + d];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    v = s[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    return v;
}

__kernel void reduce_shfl(ARGS(float, float)) {
    __local float s[256];
    float v = 0;
    for (int i = INDEX; i < n; i += get_global_size(0)) v += a[i];
    v = tree(v, s, 0);
    if (T == 0) out[get_group_id(0)] = v;
}

__kernel void reduce_tree(ARGS(float, float)) {
    __local float s[256];
    int t = T, block = get_group_id(0);
    s[t] = a[block * 512 + t] + a[block * 512 + 256 + t];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int d = 128; d; d /= 2) {
        if (t < d) s[t] += s[t + d];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (t == 0) out[block] = s[0];
}

__kernel void histogram(ARGS(uint, uint)) {
    __local uint bins[256];
    bins[T] = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = INDEX; i < n; i += get_global_size(0)) atomic_inc(&bins[a[i] >> 8 & 255]);
    barrier(CLK_LOCAL_MEM_FENCE);
    atomic_add(&out[T], bins[T]);
}

__kernel void nbody(ARGS(float4, float4)) {
    int i = INDEX;
    float4 p = a[i];
    float fx = 0, fy = 0, fz = 0;
    for (int j = 0; j < n; j++) {
        float4 q = a[j];
        float dx = q.x - p.x, dy = q.y - p.y, dz = q.z - p.z;
        float r = native_rsqrt(dx * dx + dy * dy + dz * dz + 0.01f);
        float s = q.w * r * r * r;
        fx += dx * s;
        fy += dy * s;
        fz += dz * s;
    }
    out[i] = (float4)(fx, fy, fz, 0);
}

__constant uint K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define ROTR(x, n) (x >> n | x << (32 - n))

__kernel void sha256(ARGS(float, uint)) {
    uint i = INDEX, w[16], s[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
#pragma unroll
    for (int k = 0; k < 16; k++) w[k] = i * 0x9e3779b9u + k;
#pragma unroll
    for (int k = 0; k < 64; k++) {
        if (k >= 16) {
            uint x = w[(k - 15) & 15], y = w[(k - 2) & 15];
            w[k & 15] += (ROTR(x, 7) ^ ROTR(x, 18) ^ x >> 3) + w[(k - 7) & 15] + (ROTR(y, 17) ^ ROTR(y, 19) ^ y >> 10);
        }
        uint t1 = s[7] + (ROTR(s[4], 6) ^ ROTR(s[4], 11) ^ ROTR(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[k] + w[k & 15];
        uint t2 = (ROTR(s[0], 2) ^ ROTR(s[0], 13) ^ ROTR(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1, s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;
    }
    out[i] = s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] ^ s[5] ^ s[6] ^ s[7];
}

__kernel void hash(ARGS(float, uint)) {
    uint h = INDEX;
    for (int k = 0; k < 64; k++) {
        h ^= h >> 16;
        h *= 0x7feb352du;
        h ^= h >> 15;
        h *= 0x846ca68bu;
        h ^= h >> 16;
    }
    out[INDEX] = h;
}

__kernel void collatz(ARGS(float, uint)) {
    uint v = INDEX + 1, steps = 0;
    while (v != 1 && steps < 1000) {
        v = v & 1 ? 3 * v + 1 : v >> 1;
        steps++;
    }
    out[INDEX] = steps;
}

__kernel void scan(ARGS(uint, uint)) {
    __local uint s[256];
    int t = T;
    s[t] = a[INDEX];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int d = 1; d < 256; d *= 2) {
        uint add = t >= d ? s[t - d] : 0;
        barrier(CLK_LOCAL_MEM_FENCE);
        s[t] += add;
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    out[INDEX] = s[t];
}

__kernel void transpose(ARGS(float, float)) {
    __local float tile[16][17];
    int x = get_local_id(0), y = get_local_id(1), bx = get_group_id(0), by = get_group_id(1);
    tile[y][x] = a[(by * 16 + y) * n + bx * 16 + x];
    barrier(CLK_LOCAL_MEM_FENCE);
    out[(bx * 16 + y) * n + by * 16 + x] = tile[x][y];
}

__kernel void stencil(ARGS(float, float)) {
    int x = get_global_id(0), y = get_global_id(1), i = y * n + x;
    if (x == 0 || y == 0 || x == n - 1 || y == n - 1)
        out[i] = a[i];
    else
        out[i] = 0.5f * a[i] + 0.125f * (a[i - 1] + a[i + 1] + a[i - n] + a[i + n]);
}

__kernel void softmax(ARGS(float, float)) {
    __local float s[256];
    __global const float *row = a + (size_t)get_group_id(0) * n;
    __global float *to = out + (size_t)get_group_id(0) * n;
    float most = -INFINITY, sum = 0;
    for (int i = T; i < n; i += 256) most = fmax(most, row[i]);
    most = tree(most, s, 1);
    for (int i = T; i < n; i += 256) {
        float e = native_exp(row[i] - most);
        to[i] = e;
        sum += e;
    }
    sum = 1 / tree(sum, s, 0);
    for (int i = T; i < n; i += 256) to[i] *= sum;
}

__kernel void layer_norm(ARGS(float, float)) {
    __local float s[256];
    __global const float *row = a + (size_t)get_group_id(0) * n;
    __global float *to = out + (size_t)get_group_id(0) * n;
    float sum = 0, squares = 0;
    for (int i = T; i < n; i += 256) {
        sum += row[i];
        squares += row[i] * row[i];
    }
    float mean = tree(sum, s, 0) / n, scale = native_rsqrt(tree(squares, s, 0) / n - mean * mean + 1e-5f);
    for (int i = T; i < n; i += 256) to[i] = (row[i] - mean) * scale * b[i] + b[n + i];
}

// One element of the result per work-item: there is no matrix instruction.
__kernel void matmul_mma(__global const half *a, __global const half *b, __global float *out, int n) {
    int x = get_global_id(0) % n, y = get_global_id(0) / n;
    float sum = 0;
    for (int k = 0; k < n; k++) sum += vload_half(y * n + k, a) * vload_half(x * n + k, b);
    out[y * n + x] = sum;
}
