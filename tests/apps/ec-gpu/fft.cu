// Number theory for proofs: a Fourier transform over the scalars of BLS12-381, and the arithmetic under it.
#include "../check.cuh"
#include "field.cuh"

// Numbers below the modulus as the CPU computes with them: no Montgomery form, products by doubling and adding.
struct Number {
    uint64_t limb[4];
};
static const Number P{{0xffffffff00000001, 0x53bda402fffe5bfe, 0x3339d80809a1d805, 0x73eda753299d7d48}};

static bool less(const Number &a, const Number &b) {
    for (int i = 3; i >= 0; --i)
        if (a.limb[i] != b.limb[i]) return a.limb[i] < b.limb[i];
    return false;
}
static Number minus(const Number &a, const Number &b) {
    Number to{};
    uint64_t borrow = 0;
    for (int i = 0; i < 4; ++i) {
        unsigned __int128 d = (unsigned __int128)a.limb[i] - b.limb[i] - borrow;
        to.limb[i] = uint64_t(d);
        borrow = uint64_t(d >> 64) & 1;
    }
    return to;
}
static Number add(const Number &a, const Number &b) {
    Number to{};
    unsigned __int128 carry = 0;
    for (int i = 0; i < 4; ++i) {
        carry += (unsigned __int128)a.limb[i] + b.limb[i];
        to.limb[i] = uint64_t(carry);
        carry >>= 64;
    }
    // The modulus has 255 bits: sums do not overflow.
    return less(to, P) ? to : minus(to, P);
}
static Number sub(const Number &a, const Number &b) { return less(a, b) ? minus(add(a, minus(P, b)), Number{}) : minus(a, b); }
static Number mul(const Number &a, const Number &b) {
    Number to{};
    for (int i = 255; i >= 0; --i) {
        to = add(to, to);
        if (b.limb[i / 64] >> i % 64 & 1) to = add(to, a);
    }
    return to;
}
static Number power(Number base, Number exponent) {
    Number to{{1}};
    for (int i = 0; i < 256; ++i) {
        if (exponent.limb[i / 64] >> i % 64 & 1) to = mul(to, base);
        base = mul(base, base);
    }
    return to;
}

static FIELD field(const Number &n) {
    FIELD to;
    std::memcpy(&to, &n, sizeof to);
    return to;
}
// Montgomery form: times 2^256.
static FIELD mont(const Number &n) {
    Number to = n;
    for (int i = 0; i < 256; ++i) to = add(to, to);
    return field(to);
}
static std::vector<uint32_t> words(const std::vector<FIELD> &from) {
    std::vector<uint32_t> to(from.size() * FIELD_LIMBS);
    std::memcpy(to.data(), from.data(), to.size() * sizeof(uint32_t));
    return to;
}
static Number any(Random &random) {
    Number to{{random.next(), random.next(), random.next(), random.next() >> 1}};
    return less(to, P) ? to : minus(to, P);
}

// The transform of `1 << log` numbers, in steps of at most `most` levels, against its definition.
static void transform(int log, int most) {
    uint32_t n = 1u << log;
    Random random(log);
    std::vector<Number> in(n);
    std::vector<FIELD> raw(n), factors(1u << most >> 1), squares(32);
    for (uint32_t i = 0; i < n; ++i) raw[i] = field(in[i] = any(random));
    // 7 generates the multiplicative group.
    Number exponent = minus(P, Number{{1}});
    for (int i = 0; i < log; ++i)
        for (int j = 0; j < 4; ++j) exponent.limb[j] = exponent.limb[j] >> 1 | (j < 3 ? exponent.limb[j + 1] << 63 : 0);
    Number root = power(Number{{7}}, exponent), step = root, factor{{1}};
    for (FIELD &square : squares) {
        square = mont(step);
        step = mul(step, step);
    }
    for (FIELD &f : factors) {
        f = mont(factor);
        factor = mul(factor, power(root, Number{{n >> most}}));
    }
    Device<FIELD> a(raw), b(n), pq(factors), omegas(squares);
    FIELD *from = a.data, *to = b.data;
    for (int done = 0; done < log;) {
        int degree = std::min(most, log - done);
        FIELD_radix_fft<<<n >> degree, 1 << std::min(degree - 1, 7), sizeof(FIELD) << degree>>>(from, to, pq.data, omegas.data, nullptr, n,
                                                                                              done, degree, most);
        LAUNCHED();
        done += degree;
        std::swap(from, to);
    }
    std::vector<FIELD> got(n), want(n);
    CHECK(cudaMemcpy(got.data(), from, n * sizeof(FIELD), cudaMemcpyDeviceToHost));
    std::vector<Number> powers(n);
    powers[0] = Number{{1}};
    for (uint32_t i = 1; i < n; ++i) powers[i] = mul(powers[i - 1], root);
    for (uint32_t i = 0; i < n; ++i) {
        Number sum{};
        for (uint32_t j = 0; j < n; ++j) sum = add(sum, mul(in[j], powers[size_t(i) * j % n]));
        want[i] = field(sum);
    }
    exact("FIELD_radix_fft", words(got), words(want));
}

int main() {
    transform(7, 7);
    transform(8, 3);
    Random random(1);
    constexpr uint32_t COUNT = 256;
    std::vector<Number> in(COUNT);
    std::vector<FIELD> raw(COUNT), want(COUNT);
    Number by = any(random);
    for (uint32_t i = 0; i < COUNT; ++i) {
        raw[i] = field(in[i] = i == 0 ? minus(P, Number{{1}}) : any(random));
        want[i] = field(mul(in[i], by));
    }
    Device<FIELD> elements(raw), one(1);
    FIELD_mul_by_field<<<2, COUNT / 2>>>(elements.data, COUNT, mont(by));
    LAUNCHED();
    exact("FIELD_mul_by_field", words(elements.host()), words(want));
    for (uint32_t i = 0; i + 1 < 24; ++i) {
        Number x = in[i], y = in[i + 1];
        auto result = [&](const char *kernel, FIELD should) {
            LAUNCHED();
            exact(kernel, words(one.host()), words({should}));
        };
        test_add<<<1, 1>>>(field(x), field(y), one.data);
        result("test_add", field(add(x, y)));
        test_sub<<<1, 1>>>(field(x), field(y), one.data);
        result("test_sub", field(sub(x, y)));
        test_mul<<<1, 1>>>(mont(x), mont(y), one.data);
        result("test_mul", mont(mul(x, y)));
        test_sqr<<<1, 1>>>(mont(x), one.data);
        result("test_sqr", mont(mul(x, x)));
        test_double<<<1, 1>>>(field(x), one.data);
        result("test_double", field(add(x, x)));
        test_pow<<<1, 1>>>(mont(x), 12345 + i, one.data);
        result("test_pow", mont(power(x, Number{{12345 + i}})));
        test_mont<<<1, 1>>>(field(x), one.data);
        result("test_mont", mont(x));
        test_unmont<<<1, 1>>>(mont(x), one.data);
        result("test_unmont", field(x));
    }
    return verdict();
}
