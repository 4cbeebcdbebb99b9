// Arithmetic of all widths, and the mathematics library in single and double precision against the CPU's, with the largest errors that
// the vendor documents (in units of the last place, one more for the reference's own rounding to the format).
#include "check.cuh"
#include <cfloat>
#include <cuda_fp16.h>

#define FLOATS(X)                                                                                                                     \
    X(sinf, std::sin, -30, 30, 2) X(cosf, std::cos, -30, 30, 2) X(tanf, std::tan, -1.5, 1.5, 4) X(asinf, std::asin, -1, 1, 4)           \
    X(acosf, std::acos, -1, 1, 3) X(atanf, std::atan, -20, 20, 2) X(sinhf, std::sinh, -9, 9, 3) X(coshf, std::cosh, -9, 9, 2)           \
    X(tanhf, std::tanh, -9, 9, 2) X(expf, std::exp, -80, 80, 2) X(exp2f, std::exp2, -120, 120, 2) X(expm1f, std::expm1, -5, 5, 2)       \
    X(logf, std::log, 1e-6, 1e6, 2) X(log2f, std::log2, 1e-6, 1e6, 2) X(log10f, std::log10, 1e-6, 1e6, 3)                               \
    X(log1pf, std::log1p, -0.9, 100, 2) X(sqrtf, std::sqrt, 0, 1e6, 0) X(rsqrtf, 1 / std::sqrt, 1e-6, 1e6, 2)                           \
    X(cbrtf, std::cbrt, -1e3, 1e3, 1) X(erff, std::erf, -4, 4, 2) X(erfcf, std::erfc, -4, 9, 6) X(tgammaf, std::tgamma, 0.1, 30, 11)    \
    X(lgammaf, std::lgamma, 3, 1000, 6) X(floorf, std::floor, -1e4, 1e4, 0) X(rintf, std::rint, -1e4, 1e4, 0)                           \
    X(truncf, std::trunc, -1e4, 1e4, 0) X(roundf, std::round, -1e4, 1e4, 0) X(fabsf, std::fabs, -1e4, 1e4, 0)

#define DOUBLES(X)                                                                                                                    \
    X(sin, std::sin, -30, 30, 2) X(cos, std::cos, -30, 30, 2) X(tan, std::tan, -1.5, 1.5, 2) X(asin, std::asin, -1, 1, 2)               \
    X(acos, std::acos, -1, 1, 2) X(atan, std::atan, -20, 20, 2) X(sinh, std::sinh, -20, 20, 2) X(cosh, std::cosh, -20, 20, 1)           \
    X(tanh, std::tanh, -20, 20, 1) X(exp, std::exp, -700, 700, 1) X(exp2, std::exp2, -1000, 1000, 1) X(expm1, std::expm1, -5, 5, 1)     \
    X(log, std::log, 1e-9, 1e9, 1) X(log2, std::log2, 1e-9, 1e9, 1) X(log10, std::log10, 1e-9, 1e9, 1)                                  \
    X(log1p, std::log1p, -0.9, 100, 1) X(sqrt, std::sqrt, 0, 1e9, 0) X(rsqrt, 1 / std::sqrt, 1e-9, 1e9, 1)                              \
    X(cbrt, std::cbrt, -1e3, 1e3, 1) X(erf, std::erf, -5, 5, 2) X(erfc, std::erfc, -5, 20, 5) X(tgamma, std::tgamma, 0.1, 100, 10)      \
    X(lgamma, std::lgamma, 3, 1000, 4) X(floor, std::floor, -1e4, 1e4, 0) X(rint, std::rint, -1e4, 1e4, 0)                              \
    X(trunc, std::trunc, -1e4, 1e4, 0) X(round, std::round, -1e4, 1e4, 0)

enum Function {
#define NAME(name, reference, low, high, ulps) F_##name,
    FLOATS(NAME)
#undef NAME
#define NAME(name, reference, low, high, ulps) D_##name,
    DOUBLES(NAME)
#undef NAME
};

template <typename T> __global__ void apply(int function, const T *in, T *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    T x = in[i], y = 0;
    switch (function) {
#define CASE(name, reference, low, high, ulps) \
    case F_##name:                             \
        y = name(static_cast<float>(x));       \
        break;
        FLOATS(CASE)
#undef CASE
    }
    out[i] = y;
}

template <> __global__ void apply<double>(int function, const double *in, double *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    double x = in[i], y = 0;
    switch (function) {
#define CASE(name, reference, low, high, ulps) \
    case D_##name:                             \
        y = name(x);                           \
        break;
        DOUBLES(CASE)
#undef CASE
    }
    out[i] = y;
}

// Distance in units of the last place of the reference.
template <typename T> double distance(T got, long double want) {
    T rounded = static_cast<T>(want);
    if (got == rounded || (std::isnan(got) && std::isnan(rounded))) return 0;
    if (!std::isfinite(got) || !std::isfinite(rounded)) return INFINITY;
    T magnitude = std::fabs(rounded);
    T smallest = sizeof(T) == 4 ? static_cast<T>(FLT_MIN) : static_cast<T>(DBL_MIN);
    if (magnitude < smallest) magnitude = smallest;
    T unit = std::nextafter(magnitude, static_cast<T>(INFINITY)) - magnitude;
    return static_cast<double>(std::fabs(static_cast<long double>(got) - want) / unit);
}

template <typename T, typename Reference>
void sweep(const char *name, int function, Reference reference, double low, double high, double bound) {
    const int n = 2000;
    Random random(function + 1);
    std::vector<T> in(n);
    for (T &value : in) value = static_cast<T>(random.between(low, high));
    in[0] = static_cast<T>(low);
    in[1] = static_cast<T>(high);
    in[2] = static_cast<T>((low + high) / 2);
    Device<T> din(in), dout(n);
    apply<T><<<(n + 127) / 128, 128>>>(function, din.data, dout.data, n);
    LAUNCHED();
    std::vector<T> out = dout.host();
    for (int i = 0; i < n; ++i) {
        long double want = reference(static_cast<long double>(in[i]));
        double ulps = distance(out[i], want);
        if (!(ulps <= bound + 1)) fail("%s(%.17g) is %.17g, %.1f units of the last place off", name, static_cast<double>(in[i]), static_cast<double>(out[i]), ulps);
    }
}

__global__ void pairs(const double *a, const double *b, double *out, float *single, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    double *row = out + 8 * i;
    row[0] = a[i] / b[i], row[1] = fma(a[i], b[i], 1.0), row[2] = fmod(a[i], b[i]), row[3] = pow(fabs(a[i]), b[i]);
    row[4] = atan2(a[i], b[i]), row[5] = hypot(a[i], b[i]), row[6] = fmin(a[i], b[i]), row[7] = __drcp_rn(b[i]);
    float x = static_cast<float>(a[i]), y = static_cast<float>(b[i]), *line = single + 8 * i;
    line[0] = x / y, line[1] = fmaf(x, y, 1.0f), line[2] = fmodf(x, y), line[3] = powf(fabsf(x), y);
    line[4] = atan2f(x, y), line[5] = hypotf(x, y), line[6] = fmaxf(x, y), line[7] = __frcp_rn(y);
}

void two_arguments() {
    const int n = 1000;
    Random random(99);
    std::vector<double> a(n), b(n);
    for (int i = 0; i < n; ++i) {
        a[i] = random.between(-50, 50);
        b[i] = random.between(-8, 8);
    }
    Device<double> da(a), db(b), dout(8 * n);
    Device<float> dsingle(8 * n);
    pairs<<<(n + 63) / 64, 64>>>(da.data, db.data, dout.data, dsingle.data, n);
    LAUNCHED();
    std::vector<double> out = dout.host();
    std::vector<float> single = dsingle.host();
    const double bounds[8] = {0, 0, 0, 2, 2, 2, 0, 0}, float_bounds[8] = {0, 0, 0, 8, 3, 3, 0, 0};
    for (int i = 0; i < n; ++i) {
        long double x = a[i], y = b[i];
        long double want[8] = {x / y, std::fma(a[i], b[i], 1.0), std::fmod(a[i], b[i]), std::pow(std::fabs(x), y), std::atan2(x, y),
                               std::hypot(x, y), std::fmin(x, y), 1 / y};
        float u = static_cast<float>(a[i]), v = static_cast<float>(b[i]);
        long double xf = u, yf = v;
        long double want_single[8] = {u / v, std::fma(u, v, 1.0f), std::fmod(u, v), std::pow(std::fabs(xf), yf), std::atan2(xf, yf),
                                      std::hypot(xf, yf), std::fmax(u, v), 1.0f / v};
        for (int k = 0; k < 8; ++k) {
            if (!(distance(out[8 * i + k], want[k]) <= bounds[k] + (bounds[k] > 0)))
                fail("double function %d of (%.17g, %.17g) is %.17g", k, a[i], b[i], out[8 * i + k]);
            if (!(distance(single[8 * i + k], want_single[k]) <= float_bounds[k] + (float_bounds[k] > 0)))
                fail("float function %d of (%.9g, %.9g) is %.9g", k, u, v, single[8 * i + k]);
        }
    }
}

__global__ void halves(const float *a, const float *b, float *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    __half x = __float2half(a[i]), y = __float2half(b[i]);
    float *row = out + 8 * i;
    row[0] = __half2float(__hadd(x, y));
    row[1] = __half2float(__hmul(x, y));
    row[2] = __half2float(__hfma(x, y, x));
    row[3] = __half2float(__hsub(x, y));
    __half2 pair = __hfma2(__halves2half2(x, y), __halves2half2(y, x), __halves2half2(y, y));
    row[4] = __low2float(pair);
    row[5] = __high2float(pair);
    row[6] = __hlt(x, y) ? 1.0f : 0.0f;
    row[7] = __half2float(x);
}

void half_precision() {
    const int n = 2000;
    Random random(17);
    std::vector<float> a(n), b(n), want(8 * n);
    for (int i = 0; i < n; ++i) {
        a[i] = static_cast<float>(random.between(-30, 30));
        b[i] = static_cast<float>(random.between(-30, 30));
        // Products of two halves and sums with a third are exact in double, so that one rounding gives the right half.
        double x = __half2float(__float2half(a[i])), y = __half2float(__float2half(b[i]));
        auto rounded = [](double value) { return __half2float(__double2half(value)); };
        float *row = &want[8 * i];
        row[0] = rounded(x + y), row[1] = rounded(x * y), row[2] = rounded(x * y + x), row[3] = rounded(x - y);
        row[4] = row[5] = rounded(x * y + y);
        row[6] = x < y, row[7] = static_cast<float>(x);
    }
    Device<float> da(a), db(b), dout(8 * n);
    halves<<<(n + 63) / 64, 64>>>(da.data, db.data, dout.data, n);
    LAUNCHED();
    same("half precision", dout.host(), want);
}

__global__ void integers(const long long *a, const long long *b, long long *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    long long x = a[i], y = b[i], *row = out + 16 * i;
    unsigned u = static_cast<unsigned>(x), v = static_cast<unsigned>(y);
    int s = static_cast<int>(x), t = static_cast<int>(y);
    row[0] = x / y, row[1] = x % y, row[2] = x * y, row[3] = static_cast<long long>(static_cast<unsigned long long>(x) / static_cast<unsigned long long>(y));
    row[4] = __mul64hi(x, y), row[5] = static_cast<long long>(__umul64hi(x, y)), row[6] = __popcll(x), row[7] = __clzll(x);
    row[8] = __brev(u), row[9] = __ffs(s), row[10] = __mulhi(s, t), row[11] = __umulhi(u, v);
    row[12] = __byte_perm(u, v, 0x5172), row[13] = __funnelshift_l(u, v, v & 31), row[14] = v != 0 ? u % v : 0, row[15] = __float2int_rn(static_cast<float>(s) * 0.5f);
}

void whole_numbers() {
    const int n = 1500;
    Random random(23);
    std::vector<long long> a(n), b(n), want(16 * n);
    for (int i = 0; i < n; ++i) {
        a[i] = static_cast<long long>(random.next() >> (random.next() % 60));
        b[i] = static_cast<long long>(random.next() >> (random.next() % 60));
        if (i % 3 == 0) a[i] = -a[i];
        if (b[i] == 0) b[i] = 3;
        long long x = a[i], y = b[i], *row = &want[16 * i];
        unsigned long long ux = static_cast<unsigned long long>(x), uy = static_cast<unsigned long long>(y);
        unsigned u = static_cast<unsigned>(x), v = static_cast<unsigned>(y);
        int s = static_cast<int>(x), t = static_cast<int>(y);
        row[0] = x / y, row[1] = x % y, row[2] = static_cast<long long>(ux * uy), row[3] = static_cast<long long>(ux / uy);
        row[4] = static_cast<long long>((static_cast<__int128>(x) * y) >> 64);
        row[5] = static_cast<long long>((static_cast<unsigned __int128>(ux) * uy) >> 64);
        row[6] = __builtin_popcountll(ux), row[7] = ux ? __builtin_clzll(ux) : 64;
        unsigned reversed = 0;
        for (int k = 0; k < 32; ++k) reversed |= (u >> k & 1) << (31 - k);
        row[8] = reversed, row[9] = __builtin_ffs(s);
        row[10] = static_cast<int>((static_cast<long long>(s) * t) >> 32);
        row[11] = static_cast<unsigned>((static_cast<unsigned long long>(u) * v) >> 32);
        unsigned char bytes[8];
        std::memcpy(bytes, &u, 4);
        std::memcpy(bytes + 4, &v, 4);
        row[12] = static_cast<unsigned>(bytes[2] | bytes[7] << 8 | bytes[1] << 16 | static_cast<unsigned>(bytes[5]) << 24);
        int shift = v & 31;
        row[13] = static_cast<unsigned>(shift ? v << shift | u >> (32 - shift) : v);
        row[14] = v != 0 ? u % v : 0;
        row[15] = static_cast<int>(std::nearbyint(static_cast<float>(s) * 0.5f));
    }
    Device<long long> da(a), db(b), dout(16 * n);
    integers<<<(n + 63) / 64, 64>>>(da.data, db.data, dout.data, n);
    LAUNCHED();
    same("whole numbers", dout.host(), want);
}

int main() {
    whole_numbers();
    half_precision();
    two_arguments();
#define SWEEP(name, reference, low, high, ulps) \
    sweep<float>(#name, F_##name, [](long double x) -> long double { return reference(x); }, low, high, ulps);
    FLOATS(SWEEP)
#undef SWEEP
#define SWEEP(name, reference, low, high, ulps) \
    sweep<double>(#name, D_##name, [](long double x) -> long double { return reference(x); }, low, high, ulps);
    DOUBLES(SWEEP)
    return passed("maths: whole numbers, half, single, double, library");
}
