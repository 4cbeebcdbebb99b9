// Number-theoretic transforms of sppark over the Goldilocks field, both ways, plain and over cosets, through its own host code.
#define FEATURE_GOLDILOCKS
#include <ff/goldilocks.hpp>
#include <ntt/ntt.cuh>
#include <util/all_gpus.cpp>
// Left behind by the field's header.
#undef inline
#undef asm
#include "../check.cuh"

static const uint64_t P = 0xffffffff00000001;

static uint64_t mul(uint64_t a, uint64_t b) { return uint64_t((unsigned __int128)a * b % P); }
static uint64_t add(uint64_t a, uint64_t b) { return uint64_t(((unsigned __int128)a + b) % P); }
static uint64_t power(uint64_t a, uint64_t exponent) {
    uint64_t to = 1;
    for (; exponent; exponent >>= 1, a = mul(a, a))
        if (exponent & 1) to = mul(to, a);
    return to;
}

static uint32_t reversed(uint32_t i, int bits) {
    uint32_t to = 0;
    for (int b = 0; b < bits; ++b) to |= (i >> b & 1) << (bits - 1 - b);
    return to;
}

using Order = NTT::InputOutputOrder;

// The transform of `1 << log` numbers by its definition; 7 generates the group of units.
static std::vector<uint64_t> transform(const std::vector<uint64_t> &in, int log, bool inverse, bool coset) {
    size_t n = in.size();
    uint64_t root = power(7, (P - 1) >> log), shift = coset ? 7 : 1, scale = 1;
    if (inverse) root = power(root, P - 2), shift = power(shift, P - 2), scale = power(n, P - 2);
    std::vector<uint64_t> powers(n, 1), shifts(n, 1), to(n);
    for (size_t i = 1; i < n; ++i) powers[i] = mul(powers[i - 1], root), shifts[i] = mul(shifts[i - 1], shift);
    for (size_t i = 0; i < n; ++i) {
        uint64_t sum = 0;
        // A coset shifts the numbers before the transform and back after the inverse.
        for (size_t j = 0; j < n; ++j) sum = add(sum, mul(inverse ? in[j] : mul(in[j], shifts[j]), powers[i * j % n]));
        to[i] = mul(mul(sum, scale), inverse ? shifts[i] : 1);
    }
    return to;
}

static std::vector<uint64_t> ordered(const std::vector<uint64_t> &in, int log, bool turn) {
    std::vector<uint64_t> to(in.size());
    for (size_t i = 0; i < in.size(); ++i) to[turn ? reversed(uint32_t(i), log) : i] = in[i];
    return to;
}

static void check(int log, Order order, bool inverse, bool coset) {
    bool turned_in = order == Order::RN, turned_out = order == Order::NR;
    Random random(log);
    std::vector<uint64_t> in(size_t(1) << log);
    for (uint64_t &x : in) x = random.next() % P;
    std::vector<uint64_t> data = ordered(in, log, turned_in), want = ordered(transform(in, log, inverse, coset), log, turned_out);
    RustError error = NTT::Base(select_gpu(), reinterpret_cast<fr_t *>(data.data()), log, order, inverse ? NTT::Direction::inverse : NTT::Direction::forward,
                                coset ? NTT::Type::coset : NTT::Type::standard);
    if (error.code != 0) fail("transform: error %d", int(error.code));
    std::string size = log <= 10 ? " in one step" : " in two steps";
    if (order == Order::NN) exact(log > 10 ? "bit_rev_permutation_z" : "bit_rev_permutation", data, want);
    exact(((turned_out ? "_GS_NTT" : "_CT_NTT") + size), data, want);
    if (coset) exact("LDE_distribute_powers", data, want);
    // Its tables of roots are made on the device, and wrong roots would be wrong results.
    exact("generate_partial_twiddles", data, want);
}

int main() {
    for (Order order : {Order::NN, Order::NR, Order::RN})
        for (bool inverse : {false, true})
            for (bool coset : {false, true}) check(9, order, inverse, coset);
    check(11, Order::NN, false, false);
    check(11, Order::NR, true, false);
    return verdict();
}
