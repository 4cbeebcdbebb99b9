// Layers of inference in DeepSpeed: biases, residuals and gates, fused, in single and half precision; weights of 4 and 8 bits unpacked.
#include "../check.cuh"
#include "../half.cuh"
#include <gelu.cu>
#include <quantize_intX.cu>

constexpr int ROWS = 7, WIDTH = 1032, COUNT = ROWS * WIDTH;

static std::string named(const char *kernel, float) { return std::string(kernel) + " float"; }
static std::string named(const char *kernel, __half) { return std::string(kernel) + " half"; }

// Rounded as a number of the type is stored.
template <typename T> static double stored(double x) {
    T to;
    narrow(static_cast<float>(x), to);
    return wide(to);
}

template <typename T> static void layers(double tolerance) {
    auto values = [](int count, uint64_t seed) { return widened(narrowed<T>(uniform(count, seed, -3, 3))); };
    std::vector<float> x = values(COUNT, 1), hidden = values(COUNT, 2), attention = values(COUNT, 3), bias = values(WIDTH, 4), other = values(WIDTH, 5);
    Device<T> b(narrowed<T>(bias)), o(narrowed<T>(other)), h(narrowed<T>(hidden)), a(narrowed<T>(attention));
    auto compare = [&](const char *kernel, const Device<T> &got, const std::vector<double> &want) {
        LAUNCHED();
        close(named(kernel, T()), widened(got.host()), want, tolerance);
    };
    std::vector<double> want(COUNT);
    auto each = [&](auto f) {
        for (int i = 0; i < COUNT; ++i) want[i] = f(i, i % WIDTH);
    };

    Device<T> gelued(narrowed<T>(x)), added(narrowed<T>(x)), pre(narrowed<T>(x)), post(narrowed<T>(x)), joined(narrowed<T>(x));
    launch_bias_gelu<T>(gelued.data, b.data, WIDTH, ROWS, nullptr);
    each([&](int i, int c) {
        double v = double(x[i]) + bias[c];
        return v * 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    });
    compare("fused_bias_gelu", gelued, want);
    launch_bias_add<T>(added.data, b.data, WIDTH, ROWS, nullptr);
    each([&](int i, int c) { return double(x[i]) + bias[c]; });
    compare("fused_bias_add", added, want);
    launch_bias_residual<T>(pre.data, h.data, a.data, b.data, o.data, ROWS, WIDTH, 2, true, nullptr);
    each([&](int i, int c) { return (double(x[i]) + attention[i] + bias[c] + other[c]) * 0.5 + hidden[i]; });
    compare("fused_bias_residual", pre, want);
    launch_bias_residual<T>(post.data, h.data, a.data, b.data, o.data, ROWS, WIDTH, 2, false, nullptr);
    each([&](int i, int c) { return double(x[i]) + hidden[i] + bias[c]; });
    compare("fused_bias_residual", post, want);
    launch_gptj_residual_add<T>(joined.data, h.data, a.data, b.data, o.data, WIDTH, ROWS, 4, nullptr);
    each([&](int i, int c) { return hidden[i] + double(attention[i]) + (double(x[i]) + other[c] + bias[c]) * 0.25; });
    compare("gptj_residual_add", joined, want);

    // Two experts mixed by two rows of coefficients.
    std::vector<float> mix = values(2 * WIDTH, 6);
    Device<T> coefficients(narrowed<T>(mix)), mixed(narrowed<T>(attention)), left(narrowed<T>(x));
    launch_moe_res_matmul<T>(left.data, coefficients.data, mixed.data, ROWS, WIDTH, nullptr);
    each([&](int i, int c) { return double(attention[i]) * mix[WIDTH + c] + double(x[i]) * mix[c]; });
    compare("moe_res_matmul", mixed, want);

    std::vector<float> pairs = values(2 * COUNT, 7), shifts = values(2 * WIDTH, 8);
    Device<T> both(narrowed<T>(pairs)), shift(narrowed<T>(shifts));
    for (bool gelu : {true, false}) {
        Device<T> gated(COUNT);
        launch_gated_activation<T>(gated.data, both.data, shift.data, ROWS, WIDTH, 2 * WIDTH, gelu, nullptr);
        each([&](int i, int c) {
            const float *row = &pairs[i / WIDTH * 2 * WIDTH];
            double v = stored<T>(double(row[c]) + shifts[c]), gate = stored<T>(double(row[WIDTH + c]) + shifts[WIDTH + c]);
            return v * stored<T>(gelu ? gate * 0.5 * (1 + std::erf(gate * std::sqrt(0.5))) : gate / (1 + std::exp(-gate)));
        });
        compare(gelu ? "fused_gate_activation gelu" : "fused_gate_activation silu", gated, want);
    }
}

static void unpack() {
    constexpr int GROUPS = 64, SIZE = 256;
    Random random(9);
    std::vector<uint8_t> packed(GROUPS * SIZE);
    for (uint8_t &byte : packed) byte = static_cast<uint8_t>(random.next() >> 20);
    std::vector<float> scale = widened(narrowed<half>(uniform(GROUPS, 10, 1, 20))), least = widened(narrowed<half>(uniform(GROUPS, 11, -4, 4)));
    Device<uint8_t> in(packed);
    Device<half> out(GROUPS * SIZE), scales(narrowed<half>(scale)), leasts(narrowed<half>(least));
    std::vector<double> four(GROUPS * SIZE), eight(GROUPS * SIZE);
    for (int i = 0; i < GROUPS * SIZE; ++i) {
        int nibble = i % 2 ? packed[i / 2] & 15 : packed[i / 2] >> 4;
        four[i] = stored<half>(nibble / double(scale[i / SIZE])) + least[i / SIZE];
        eight[i] = stored<half>(packed[i] / double(scale[i / SIZE])) + least[i / SIZE];
    }
    launch_dequantize_int4_to_half_experimental(in.data, out.data, scales.data, leasts.data, GROUPS, SIZE, nullptr);
    LAUNCHED();
    close("dequantize_int4_to_half", widened(out.host()), four, 0x1p-10);
    launch_dequantize_int8_to_half_experimental(in.data, out.data, scales.data, leasts.data, GROUPS, SIZE, nullptr);
    LAUNCHED();
    close("dequantize_int8_to_half", widened(out.host()), eight, 0x1p-10);
}

int main() {
    layers<float>(2e-6);
    layers<__half>(0x1p-8);
    unpack();
    return verdict();
}
