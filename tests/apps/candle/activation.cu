// The element-wise kernels of candle: contiguous, and through the strides of a transposed matrix.
#include "../check.cuh"
#include "../device_only.cuh"
#include <unary.cu>

using Kernel = void (*)(size_t, size_t, const size_t *, const float *, float *);
constexpr size_t ROWS = 37, COLUMNS = 53, COUNT = ROWS * COLUMNS;

static void check(const char *name, Kernel kernel, double (*want)(double), double low, double high, double tolerance) {
    Random random(42);
    std::vector<float> in(COUNT), straight(COUNT), turned(COUNT);
    for (float &x : in) x = static_cast<float>(random.between(low, high));
    // Element i of the result is that of a matrix whose columns lie one after the other.
    for (size_t i = 0; i < COUNT; ++i) {
        straight[i] = static_cast<float>(want(in[i]));
        turned[i] = static_cast<float>(want(in[i / COLUMNS + i % COLUMNS * ROWS]));
    }
    Device<float> from(in), to(COUNT);
    kernel<<<7, 128>>>(COUNT, 0, nullptr, from.data, to.data);
    LAUNCHED();
    close(name, to.host(), straight, tolerance);
    Device<size_t> info(std::vector<size_t>{ROWS, COLUMNS, 1, ROWS});
    kernel<<<3, 96>>>(COUNT, 2, info.data, from.data, to.data);
    LAUNCHED();
    close(name, to.host(), turned, tolerance);
}

int main() {
    check("uneg_f32", uneg_f32, [](double x) { return -x; }, -9, 9, 0);
    check("urecip_f32", urecip_f32, [](double x) { return 1 / x; }, 0.1, 9, 1e-6);
    check("uexp_f32", uexp_f32, [](double x) { return std::exp(x); }, -20, 20, 1e-6);
    check("ulog_f32", ulog_f32, [](double x) { return std::log(x); }, 1e-3, 1e3, 1e-6);
    check("usin_f32", usin_f32, [](double x) { return std::sin(x); }, -50, 50, 1e-6);
    check("ucos_f32", ucos_f32, [](double x) { return std::cos(x); }, -50, 50, 1e-6);
    check("utanh_f32", utanh_f32, [](double x) { return std::tanh(x); }, -5, 5, 1e-6);
    check("uerf_f32", uerf_f32, [](double x) { return std::erf(x); }, -4, 4, 1e-6);
    check("usqrt_f32", usqrt_f32, [](double x) { return std::sqrt(x); }, 0, 100, 1e-6);
    check("ugelu_f32", ugelu_f32, [](double x) {
        return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    }, -6, 6, 1e-5);
    check("ugelu_erf_f32", ugelu_erf_f32, [](double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }, -6, 6, 1e-5);
    check("urelu_f32", urelu_f32, [](double x) { return x > 0 ? x : 0; }, -6, 6, 0);
    check("usilu_f32", usilu_f32, [](double x) { return x / (1 + std::exp(-x)); }, -20, 20, 1e-6);
    check("usigmoid_f32", usigmoid_f32, [](double x) { return 1 / (1 + std::exp(-x)); }, -20, 20, 1e-6);
    return verdict();
}
