// Histograms with atomics in shared and in global memory, other atomics, and n bodies that attract each other.
#include "check.cuh"

__global__ void histogram(const unsigned char *in, unsigned *bins, int n) {
    __shared__ unsigned local[256];
    for (int i = threadIdx.x; i < 256; i += blockDim.x) local[i] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&local[in[i]], 1u);
    __syncthreads();
    for (int i = threadIdx.x; i < 256; i += blockDim.x)
        if (local[i] != 0) atomicAdd(&bins[i], local[i]);
}

struct Extremes {
    int low, high;
    unsigned all_or, all_and, all_xor;
    unsigned long long sum;
    float total;
    unsigned tickets;
};

__global__ void extremes(const int *in, Extremes *result, unsigned *last, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        atomicMin(&result->low, in[i]);
        atomicMax(&result->high, in[i]);
        atomicOr(&result->all_or, static_cast<unsigned>(in[i]));
        atomicAnd(&result->all_and, static_cast<unsigned>(in[i]));
        atomicXor(&result->all_xor, static_cast<unsigned>(in[i]));
        atomicAdd(&result->sum, static_cast<unsigned long long>(in[i]));
        atomicAdd(&result->total, 1.0f);
    }
    __threadfence();
    // The last block to arrive leaves its number.
    __shared__ bool is_last;
    if (threadIdx.x == 0) is_last = atomicInc(&result->tickets, gridDim.x - 1) == gridDim.x - 1;
    __syncthreads();
    if (is_last && threadIdx.x == 0) atomicExch(last, 1u);
}

// A lock taken with compare and swap: one thread of each block adds to numbers that are not atomic.
__global__ void locked(int *lock, volatile long long *counter) {
    if (threadIdx.x == 0) {
        while (atomicCAS(lock, 0, 1) != 0) {
        }
        __threadfence();
        *counter = *counter + blockIdx.x;
        __threadfence();
        atomicExch(lock, 0);
    }
}

__global__ void step(const float4 *in, float4 *out, float4 *velocity, int n, float dt) {
    __shared__ float4 tile[128];
    int i = blockIdx.x * 128 + threadIdx.x;
    float4 me = i < n ? in[i] : make_float4(0, 0, 0, 0);
    float3 a = make_float3(0, 0, 0);
    for (int start = 0; start < n; start += 128) {
        tile[threadIdx.x] = start + threadIdx.x < n ? in[start + threadIdx.x] : make_float4(0, 0, 0, 0);
        __syncthreads();
        for (int j = 0; j < 128; ++j) {
            float4 other = tile[j];
            float dx = other.x - me.x, dy = other.y - me.y, dz = other.z - me.z;
            float inverse = rsqrtf(dx * dx + dy * dy + dz * dz + 0.01f);
            float force = other.w * inverse * inverse * inverse;
            a.x += dx * force;
            a.y += dy * force;
            a.z += dz * force;
        }
        __syncthreads();
    }
    if (i >= n) return;
    float4 v = velocity[i];
    v.x += a.x * dt;
    v.y += a.y * dt;
    v.z += a.z * dt;
    velocity[i] = v;
    out[i] = make_float4(me.x + v.x * dt, me.y + v.y * dt, me.z + v.z * dt, me.w);
}

void bodies() {
    const int n = 500, steps = 3;
    const float dt = 0.01f;
    Random random(11);
    std::vector<float4> position(n), velocity(n, make_float4(0, 0, 0, 0));
    for (float4 &p : position)
        p = make_float4(static_cast<float>(random.between(-1, 1)), static_cast<float>(random.between(-1, 1)),
                        static_cast<float>(random.between(-1, 1)), static_cast<float>(random.between(0.1, 1)));
    Device<float4> a(position), b(n), v(velocity);
    std::vector<double> p(3 * n), w(3 * n, 0.0);
    for (int i = 0; i < n; ++i) p[3 * i] = position[i].x, p[3 * i + 1] = position[i].y, p[3 * i + 2] = position[i].z;
    float4 *from = a.data, *to = b.data;
    for (int s = 0; s < steps; ++s) {
        step<<<(n + 127) / 128, 128>>>(from, to, v.data, n, dt);
        std::swap(from, to);
        std::vector<double> next(p);
        for (int i = 0; i < n; ++i) {
            double sum[3] = {0, 0, 0};
            for (int j = 0; j < n; ++j) {
                double d[3], square = 0.01;
                for (int k = 0; k < 3; ++k) d[k] = p[3 * j + k] - p[3 * i + k], square += d[k] * d[k];
                double force = position[j].w / (square * std::sqrt(square));
                for (int k = 0; k < 3; ++k) sum[k] += d[k] * force;
            }
            for (int k = 0; k < 3; ++k) {
                w[3 * i + k] += sum[k] * dt;
                next[3 * i + k] = p[3 * i + k] + w[3 * i + k] * dt;
            }
        }
        p = next;
    }
    LAUNCHED();
    std::vector<float4> result(n);
    CHECK(cudaMemcpy(result.data(), from, n * sizeof(float4), cudaMemcpyDeviceToHost));
    std::vector<float> got, want;
    for (int i = 0; i < n; ++i)
        for (int k = 0; k < 3; ++k) {
            got.push_back(k == 0 ? result[i].x : k == 1 ? result[i].y : result[i].z);
            want.push_back(static_cast<float>(p[3 * i + k]));
        }
    near("positions of the bodies", got, want, 1e-4);
}

int main() {
    const int n = 400003;
    Random random(5);
    std::vector<unsigned char> bytes(n);
    std::vector<unsigned> want(256, 0);
    for (unsigned char &byte : bytes) {
        byte = static_cast<unsigned char>(random.next() >> 33);
        ++want[byte];
    }
    Device<unsigned char> dbytes(bytes);
    Device<unsigned> bins(std::vector<unsigned>(256, 0));
    histogram<<<24, 192>>>(dbytes.data, bins.data, n);
    LAUNCHED();
    same("histogram", bins.host(), want);

    const int m = 20000;
    std::vector<int> in(m);
    Extremes e{INT32_MAX, INT32_MIN, 0, ~0u, 0, 0, 0, 0};
    for (int &value : in) {
        value = static_cast<int>(random.next());
        e.low = std::min(e.low, value);
        e.high = std::max(e.high, value);
        e.all_or |= static_cast<unsigned>(value);
        e.all_and &= static_cast<unsigned>(value);
        e.all_xor ^= static_cast<unsigned>(value);
        e.sum += static_cast<unsigned long long>(value);
    }
    Device<int> din(in);
    Device<Extremes> de(std::vector<Extremes>{{INT32_MAX, INT32_MIN, 0, ~0u, 0, 0, 0, 0}});
    Device<unsigned> last(std::vector<unsigned>{0});
    extremes<<<(m + 127) / 128, 128>>>(din.data, de.data, last.data, m);
    LAUNCHED();
    Extremes got = de.host()[0];
    EXPECT(got.low == e.low && got.high == e.high);
    EXPECT(got.all_or == e.all_or && got.all_and == e.all_and && got.all_xor == e.all_xor);
    EXPECT(got.sum == e.sum);
    EXPECT(got.total == static_cast<float>(m));
    EXPECT(got.tickets == 0 && last.host()[0] == 1);

    Device<int> lock(std::vector<int>{0});
    Device<long long> counter(std::vector<long long>{0});
    locked<<<200, 64>>>(lock.data, counter.data);
    LAUNCHED();
    EXPECT(counter.host()[0] == 200 * 199 / 2);

    bodies();
    return passed("bodies: histogram, atomics, lock, n bodies");
}
