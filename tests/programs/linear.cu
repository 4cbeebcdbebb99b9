// Vector sum and saxpy, with sizes that do not fill the last block.
#include "check.cuh"

__global__ void add(const float *a, const float *b, float *c, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) c[i] = a[i] + b[i];
}

// Each thread takes every so many elements.
__global__ void saxpy(float a, const float *x, float *y, size_t n) {
    for (size_t i = blockIdx.x * static_cast<size_t>(blockDim.x) + threadIdx.x; i < n; i += static_cast<size_t>(gridDim.x) * blockDim.x)
        y[i] = fmaf(a, x[i], y[i]);
}

__global__ void add4(const float4 *a, const float4 *b, float4 *c, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float4 u = a[i], v = b[i];
    c[i] = make_float4(u.x + v.x, u.y + v.y, u.z + v.z, u.w + v.w);
}

int main() {
    for (int n : {1, 31, 1000, 1 << 20}) {
        Random random(n);
        std::vector<float> a(n), b(n), sum(n), axpy(n);
        for (int i = 0; i < n; ++i) {
            a[i] = static_cast<float>(random.between(-100, 100));
            b[i] = static_cast<float>(random.between(-1, 1));
            sum[i] = a[i] + b[i];
            axpy[i] = std::fma(2.5f, a[i], b[i]);
        }
        Device<float> da(a), db(b), dc(n);
        add<<<(n + 255) / 256, 256>>>(da.data, db.data, dc.data, n);
        LAUNCHED();
        same("vector sum", dc.host(), sum);
        if (n % 4 == 0) {
            CHECK(cudaMemset(dc.data, 0xFF, n * sizeof(float)));
            add4<<<(n / 4 + 63) / 64, 64>>>(reinterpret_cast<float4 *>(da.data), reinterpret_cast<float4 *>(db.data),
                                            reinterpret_cast<float4 *>(dc.data), n / 4);
            LAUNCHED();
            same("vector sum in fours", dc.host(), sum);
        }
        saxpy<<<8, 128>>>(2.5f, da.data, db.data, static_cast<size_t>(n));
        LAUNCHED();
        same("saxpy", db.host(), axpy);
    }
    return passed("linear: vector sum, saxpy");
}
