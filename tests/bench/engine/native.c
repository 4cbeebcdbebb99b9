// The kernels of kernels.cu as native code: plain loops as one would write them, and by hand in vectors (simd_*) where that matters.
// Each function does part `part` of `parts` of the work, so that threads can share it.
#include <math.h>
#include <stdint.h>
#include <string.h>

#define ARGS const void *a_, const void *b_, void *out_, int n, int part, int parts
#define FLOATS const float *a = a_, *b = b_; float *out = out_; (void)a, (void)b, (void)out
#define SHARE(total) const long begin = (long)(total) * part / parts, end = (long)(total) * (part + 1) / parts

void saxpy(ARGS) {
    FLOATS;
    SHARE(n);
    for (long i = begin; i < end; i++) out[i] = 2.5f * a[i] + b[i];
}

void matmul_naive(ARGS) {
    FLOATS;
    SHARE(n);
    memset(out + begin * n, 0, (end - begin) * n * sizeof *out);
    for (long y = begin; y < end; y++)
        for (long k = 0; k < n; k++) {
            float s = a[y * n + k];
            for (long x = 0; x < n; x++) out[y * n + x] += s * b[k * n + x];
        }
}

// Tiles of 16 x 16 in registers.
void matmul_tiled(ARGS) {
    FLOATS;
    SHARE(n / 16);
    typedef float v16 __attribute__((vector_size(64), aligned(4)));
    for (long ty = begin; ty < end; ty++)
        for (long tx = 0; tx < n / 16; tx++) {
            v16 tile[16] = {0};
            for (long k = 0; k < n; k++) {
                v16 right = *(const v16 *)(b + k * n + tx * 16);
                for (int y = 0; y < 16; y++) tile[y] += a[(ty * 16 + y) * n + k] * right;
            }
            for (int y = 0; y < 16; y++) *(v16 *)(out + (ty * 16 + y) * n + tx * 16) = tile[y];
        }
}

void mandel(ARGS) {
    int *out = out_;
    SHARE(n);
    for (long py = begin; py < end; py++)
        for (int px = 0; px < n; px++) {
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
}

typedef float f16v __attribute__((vector_size(64)));
typedef int i16v __attribute__((vector_size(64)));
typedef uint32_t u16v __attribute__((vector_size(64)));
static const i16v IOTA = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static int any(i16v v) {
    int r = 0;
    for (int i = 0; i < 16; i++) r |= v[i];
    return r;
}

void simd_mandel(ARGS) {
    int *out = out_;
    SHARE(n);
    for (long py = begin; py < end; py++)
        for (int px = 0; px < n; px += 16) {
            f16v cx = -2.0f + __builtin_convertvector(IOTA + px, f16v) * (3.0f / n), x = {0}, y = {0};
            float cy = -1.5f + py * (3.0f / n);
            i16v k = {0};
            for (int step = 0; step < 256; step++) {
                f16v xx = x * x, yy = y * y;
                i16v in = xx + yy <= 4.0f;
                if (!any(in)) break;
                k -= in;
                y = 2 * x * y + cy;
                x = xx - yy + cx;
            }
            memcpy(out + py * n + px, &k, 64);
        }
}

void reduce_shfl(ARGS) {
    FLOATS;
    SHARE(n);
    typedef float v16 __attribute__((vector_size(64), aligned(4)));
    v16 s[4] = {0};
    for (long i = begin; i + 64 <= end; i += 64)
        for (int j = 0; j < 4; j++) s[j] += *(const v16 *)(a + i + j * 16);
    s[0] += s[1] + s[2] + s[3];
    float sum = 0;
    for (int i = 0; i < 16; i++) sum += s[0][i];
    out[part] = sum;
}

void reduce_tree(ARGS) {
    FLOATS;
    SHARE(n / 512);
    typedef float v16 __attribute__((vector_size(64), aligned(4)));
    for (long block = begin; block < end; block++) {
        v16 s[4] = {0};
        for (int i = 0; i < 512; i += 64)
            for (int j = 0; j < 4; j++) s[j] += *(const v16 *)(a + block * 512 + i + j * 16);
        s[0] += s[1] + s[2] + s[3];
        float sum = 0;
        for (int i = 0; i < 16; i++) sum += s[0][i];
        out[block] = sum;
    }
}

void histogram(ARGS) {
    const uint32_t *a = a_;
    uint32_t *out = out_, bins[256] = {0};
    SHARE(n);
    for (long i = begin; i < end; i++) bins[a[i] >> 8 & 255]++;
    for (int i = 0; i < 256; i++) __atomic_fetch_add(&out[i], bins[i], __ATOMIC_RELAXED);
}

void nbody(ARGS) {
    FLOATS;
    SHARE(n);
    for (long i = begin; i < end; i++) {
        float px = a[i * 4], py = a[i * 4 + 1], pz = a[i * 4 + 2], fx = 0, fy = 0, fz = 0;
        for (int j = 0; j < n; j++) {
            float dx = a[j * 4] - px, dy = a[j * 4 + 1] - py, dz = a[j * 4 + 2] - pz;
            float r = 1 / sqrtf(dx * dx + dy * dy + dz * dz + 0.01f), s = a[j * 4 + 3] * r * r * r;
            fx += dx * s;
            fy += dy * s;
            fz += dz * s;
        }
        out[i * 4] = fx, out[i * 4 + 1] = fy, out[i * 4 + 2] = fz, out[i * 4 + 3] = 0;
    }
}

// Sixteen bodies at a time.
void simd_nbody(ARGS) {
    FLOATS;
    SHARE(n / 16);
    for (long i = begin * 16; i < end * 16; i += 16) {
        f16v px, py, pz, fx = {0}, fy = {0}, fz = {0};
        for (int l = 0; l < 16; l++) px[l] = a[(i + l) * 4], py[l] = a[(i + l) * 4 + 1], pz[l] = a[(i + l) * 4 + 2];
        for (int j = 0; j < n; j++) {
            f16v dx = a[j * 4] - px, dy = a[j * 4 + 1] - py, dz = a[j * 4 + 2] - pz, d = dx * dx + dy * dy + dz * dz + 0.01f, r;
            for (int l = 0; l < 16; l++) r[l] = 1 / sqrtf(d[l]);
            f16v s = a[j * 4 + 3] * r * r * r;
            fx += dx * s;
            fy += dy * s;
            fz += dz * s;
        }
        for (int l = 0; l < 16; l++) out[(i + l) * 4] = fx[l], out[(i + l) * 4 + 1] = fy[l], out[(i + l) * 4 + 2] = fz[l], out[(i + l) * 4 + 3] = 0;
    }
}

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#define ROTR(x, n) ((x) >> n | (x) << (32 - n))
#define SHA256(T, first, result)                                                                                                            \
    T w[16], s[8], zero = (first) & 0;                                                                                                      \
    static const uint32_t H[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};          \
    for (int k = 0; k < 8; k++) s[k] = zero + H[k];                                                                                         \
    for (int k = 0; k < 16; k++) w[k] = (first) * 0x9e3779b9u + k;                                                                          \
    _Pragma("clang loop unroll(full)") for (int k = 0; k < 64; k++) {                                                                       \
        if (k >= 16) {                                                                                                                      \
            T x = w[(k - 15) & 15], y = w[(k - 2) & 15];                                                                                    \
            w[k & 15] += (ROTR(x, 7) ^ ROTR(x, 18) ^ x >> 3) + w[(k - 7) & 15] + (ROTR(y, 17) ^ ROTR(y, 19) ^ y >> 10);                     \
        }                                                                                                                                   \
        T t1 = s[7] + (ROTR(s[4], 6) ^ ROTR(s[4], 11) ^ ROTR(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[k] + w[k & 15];              \
        T t2 = (ROTR(s[0], 2) ^ ROTR(s[0], 13) ^ ROTR(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));                         \
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + t1, s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = t1 + t2;                     \
    }                                                                                                                                       \
    result = s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] ^ s[5] ^ s[6] ^ s[7]

static uint32_t sha256_one(uint32_t i) {
    uint32_t r;
    SHA256(uint32_t, i, r);
    return r;
}

static u16v sha256_sixteen(u16v i) {
    u16v r;
    SHA256(u16v, i, r);
    return r;
}

void sha256(ARGS) {
    uint32_t *out = out_;
    SHARE(n);
    for (long i = begin; i < end; i++) {
        uint32_t first = i;
        // One at a time: the loop over messages is not to be turned into vectors here.
        __asm__("" : "+r"(first));
        out[i] = sha256_one(first);
    }
}

void simd_sha256(ARGS) {
    uint32_t *out = out_;
    SHARE(n / 16);
    for (long i = begin * 16; i < end * 16; i += 16) {
        u16v r = sha256_sixteen((u16v)IOTA + (uint32_t)i);
        memcpy(out + i, &r, 64);
    }
}

void hash(ARGS) {
    uint32_t *out = out_;
    SHARE(n);
    for (long i = begin; i < end; i++) {
        uint32_t h = i;
        for (int k = 0; k < 64; k++) {
            h ^= h >> 16;
            h *= 0x7feb352du;
            h ^= h >> 15;
            h *= 0x846ca68bu;
            h ^= h >> 16;
        }
        out[i] = h;
    }
}

// Two vectors at a time: one alone waits for its own products.
void simd_hash(ARGS) {
    uint32_t *out = out_;
    SHARE(n / 32);
    for (long i = begin * 32; i < end * 32; i += 32) {
        u16v h = (u16v)IOTA + (uint32_t)i, g = h + 16;
        for (int k = 0; k < 64; k++) {
            h ^= h >> 16, g ^= g >> 16;
            h *= 0x7feb352du, g *= 0x7feb352du;
            h ^= h >> 15, g ^= g >> 15;
            h *= 0x846ca68bu, g *= 0x846ca68bu;
            h ^= h >> 16, g ^= g >> 16;
        }
        memcpy(out + i, &h, 64);
        memcpy(out + i + 16, &g, 64);
    }
}

void collatz(ARGS) {
    uint32_t *out = out_;
    SHARE(n);
    for (long i = begin; i < end; i++) {
        uint32_t v = i + 1, steps = 0;
        while (v != 1 && steps < 1000) {
            v = v & 1 ? 3 * v + 1 : v >> 1;
            steps++;
        }
        out[i] = steps;
    }
}

void scan(ARGS) {
    const uint32_t *a = a_;
    uint32_t *out = out_;
    SHARE(n / 256);
    for (long block = begin; block < end; block++) {
        uint32_t sum = 0;
        for (int i = 0; i < 256; i++) out[block * 256 + i] = sum += a[block * 256 + i];
    }
}

void transpose(ARGS) {
    FLOATS;
    SHARE(n / 16);
    for (long by = begin; by < end; by++)
        for (long bx = 0; bx < n / 16; bx++)
            for (long y = 0; y < 16; y++)
                for (long x = 0; x < 16; x++) out[(bx * 16 + y) * n + by * 16 + x] = a[(by * 16 + x) * n + bx * 16 + y];
}

void stencil(ARGS) {
    FLOATS;
    SHARE(n);
    for (long y = begin; y < end; y++) {
        const float *row = a + y * n;
        float *to = out + y * n;
        if (y == 0 || y == n - 1) {
            memcpy(to, row, n * sizeof *to);
            continue;
        }
        to[0] = row[0], to[n - 1] = row[n - 1];
        for (long x = 1; x < n - 1; x++) to[x] = 0.5f * row[x] + 0.125f * (row[x - 1] + row[x + 1] + row[x - n] + row[x + n]);
    }
}

// Rows of n; as many as make 2^22 elements.
void softmax(ARGS) {
    FLOATS;
    SHARE((1 << 22) / n);
    for (long y = begin; y < end; y++) {
        const float *row = a + y * n;
        float *to = out + y * n, most = -INFINITY, sum = 0;
        for (int i = 0; i < n; i++) most = row[i] > most ? row[i] : most;
        for (int i = 0; i < n; i++) sum += to[i] = expf(row[i] - most);
        sum = 1 / sum;
        for (int i = 0; i < n; i++) to[i] *= sum;
    }
}

void layer_norm(ARGS) {
    FLOATS;
    SHARE((1 << 22) / n);
    for (long y = begin; y < end; y++) {
        const float *row = a + y * n;
        float *to = out + y * n, sum = 0, squares = 0;
        for (int i = 0; i < n; i++) sum += row[i], squares += row[i] * row[i];
        float mean = sum / n, scale = 1 / sqrtf(squares / n - mean * mean + 1e-5f);
        for (int i = 0; i < n; i++) to[i] = (row[i] - mean) * scale * b[i] + b[n + i];
    }
}

// Halves in, b by columns: each row and column becomes floats once, then tiles of 16 x 16.
void matmul_mma(ARGS) {
    const _Float16 *a = a_, *b = b_;
    float *out = out_;
    SHARE(n / 16);
    typedef float v16 __attribute__((vector_size(64), aligned(4)));
    float right[n][16], left[16][n];
    for (long tx = 0; tx < n / 16; tx++) {
        for (int x = 0; x < 16; x++)
            for (long k = 0; k < n; k++) right[k][x] = b[(tx * 16 + x) * n + k];
        for (long ty = begin; ty < end; ty++) {
            for (int y = 0; y < 16; y++)
                for (long k = 0; k < n; k++) left[y][k] = a[(ty * 16 + y) * n + k];
            v16 tile[16] = {0};
            for (long k = 0; k < n; k++)
                for (int y = 0; y < 16; y++) tile[y] += left[y][k] * *(const v16 *)right[k];
            for (int y = 0; y < 16; y++) *(v16 *)(out + (ty * 16 + y) * n + tx * 16) = tile[y];
        }
    }
}
