// A program of two translation units whose device code is linked (-rdc=true).
#include "../check.cuh"
#include "shared.cuh"

void launch_other_unit(int *out, int n);

__global__ void use(int *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = scaled(i, i);
}

__global__ void areas(int *out) {
    int i = threadIdx.x;
    Rectangle rectangle = grown(Rectangle{i, 3}, i % 5);
    out[i] = rectangle.width * rectangle.height;
}

int main() {
    const int n = 500, factors[4] = {1, 10, 100, 1000};
    std::vector<int> want(n), other(64), want_areas(64);
    for (int i = 0; i < n; ++i) want[i] = i * factors[i & 3];
    for (int i = 0; i < 64; ++i) {
        other[i] = i * 100;
        want_areas[i] = (i + i % 5) * (3 * (i % 5));
    }
    Device<int> out(n), from(64), shapes(64);
    use<<<(n + 127) / 128, 128>>>(out.data, n);
    LAUNCHED();
    same("function of another unit", out.host(), want);
    launch_other_unit(from.data, 64);
    LAUNCHED();
    same("kernel of another unit", from.host(), other);
    int counted = 0;
    CHECK(cudaMemcpyFromSymbol(&counted, calls, sizeof counted));
    EXPECT(counted == n + 64);
    areas<<<1, 64>>>(shapes.data);
    LAUNCHED();
    same("structures by reference and by value", shapes.host(), want_areas);
    return passed("parts: device code of two units, linked");
}
