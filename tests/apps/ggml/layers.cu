// Layers of language models in ggml, as llama.cpp and whisper.cpp run them: norms, rotary positions, activations in 8 bits.
#include "../check.cuh"
#include "../half.cuh"
#include <norm.cu>
#include <quantize.cu>
#include <rope.cu>

using Numbers = std::vector<float>;

// What the library does where it finds something impossible.
extern "C" void ggml_abort(const char *file, int line, const char *format, ...) { fail("%s:%d: %s", file, line, format); }

// Rows are apart from each other in memory.
static void norms(int columns, int threads) {
    constexpr int ROWS = 5, CHANNELS = 3;
    const float eps = 1e-5f;
    int stride = columns + 24;
    auto named = [&](const char *kernel) { return std::string(kernel) + " of " + std::to_string(threads); };
    Numbers in = uniform(ROWS * CHANNELS * stride, 1, -2, 3), packed, grad = uniform(ROWS * CHANNELS * columns, 2, -1, 1);
    Numbers scale = uniform(columns, 3, 0.5, 2), shift = uniform(ROWS * columns, 4, -1, 1);
    std::vector<double> layer, rms, fused, l2, back, group;
    for (int r = 0; r < ROWS * CHANNELS; ++r) {
        const float *x = &in[r * stride], *g = &grad[r * columns];
        packed.insert(packed.end(), x, x + columns);
        double sum = 0, squares = 0, product = 0;
        for (int c = 0; c < columns; ++c) sum += x[c], squares += double(x[c]) * x[c], product += double(x[c]) * g[c];
        double mean = sum / columns, deviation = std::sqrt(squares / columns - mean * mean + eps), root = std::sqrt(squares / columns + eps);
        for (int c = 0; c < columns; ++c) {
            layer.push_back((x[c] - mean) / deviation);
            rms.push_back(x[c] / root);
            fused.push_back(x[c] / root * scale[c] + shift[r % ROWS * columns + c]);
            l2.push_back(x[c] / std::sqrt(squares));
            back.push_back((g[c] - x[c] * product / (squares + columns * double(eps))) / root);
        }
    }
    Device<float> from(in), whole(packed), slope(grad), factor(scale), offset(shift), to(packed.size());
    int channel = ROWS * stride;
    norm_f32_cuda(from.data, to.data, columns, ROWS, CHANNELS, 1, stride, channel, 0, eps, nullptr);
    LAUNCHED();
    close(named("norm_f32"), to.host(), layer, 1e-5);
    rms_norm_f32_cuda(from.data, to.data, columns, ROWS, CHANNELS, 1, stride, channel, 0, eps, nullptr);
    LAUNCHED();
    close(named("rms_norm_f32"), to.host(), rms, 1e-5);
    // Factors are the same for all rows, summands for all channels.
    rms_norm_mul_f32_cuda(from.data, factor.data, offset.data, to.data, columns, ROWS, CHANNELS, 1, stride, channel, 0, 0, 0, 0, columns, 1, 1, 1,
                          columns, 0, 0, columns, ROWS, 1, 1, eps, nullptr);
    LAUNCHED();
    close(named("rms_norm_f32 mul add"), to.host(), fused, 1e-5);
    l2_norm_f32_cuda(from.data, to.data, columns, ROWS, CHANNELS, 1, stride, channel, 0, eps, nullptr);
    LAUNCHED();
    close(named("l2_norm_f32"), to.host(), l2, 1e-5);
    rms_norm_back_f32_cuda(slope.data, whole.data, to.data, columns, ROWS * CHANNELS, eps, nullptr);
    LAUNCHED();
    close(named("rms_norm_back_f32"), to.host(), back, 1e-5);
    // The last group is cut off.
    int size = columns * 2 - 1, groups = (static_cast<int>(packed.size()) + size - 1) / size;
    for (int g = 0; g < groups; ++g) {
        size_t begin = size_t(g) * size, end = std::min(begin + size, packed.size());
        double mean = 0, variance = 0;
        for (size_t i = begin; i < end; ++i) mean += packed[i] / double(size);
        for (size_t i = begin; i < end; ++i) variance += (packed[i] - mean) * (packed[i] - mean) / size;
        for (size_t i = begin; i < end; ++i) group.push_back((packed[i] - mean) / std::sqrt(variance + eps));
    }
    group_norm_f32_cuda(whole.data, to.data, groups, eps, size, static_cast<int>(packed.size()), nullptr);
    LAUNCHED();
    close(named("group_norm_f32"), to.host(), group, 1e-5);
}

template <typename T> static void rope(const char *type, double tolerance) {
    constexpr int WIDTH = 80, HEADS = 6, TOKENS = 9, TURNED = 64;
    const float scale = 0.7f, base = 10000, strength = 1.1f;
    Numbers in = widened(narrowed<T>(uniform(WIDTH * HEADS * TOKENS, 5, -2, 2))), factors = uniform(TURNED / 2, 6, 0.5, 3);
    std::vector<int32_t> places(TOKENS);
    for (int t = 0; t < TOKENS; ++t) places[t] = t * 7 + 1;
    Device<T> from(narrowed<T>(in)), to(in.size());
    Device<int32_t> pos(places);
    Device<float> slow(factors);
    rope_corr_dims none{{0, 0}};
    for (bool pairs : {true, false})
        for (bool with_factors : {true, false}) {
            std::vector<double> want(in.begin(), in.end());
            for (int row = 0; row < HEADS * TOKENS; ++row)
                for (int i = 0; i < TURNED / 2; ++i) {
                    double angle = places[row / HEADS] * std::pow(double(base), -2.0 * i / TURNED) * scale / (with_factors ? factors[i] : 1);
                    // Neighbours are turned together, or the two halves.
                    int a = row * WIDTH + (pairs ? 2 * i : i), b = row * WIDTH + (pairs ? 2 * i + 1 : i + TURNED / 2);
                    want[a] = (in[a] * std::cos(angle) - in[b] * std::sin(angle)) * strength;
                    want[b] = (in[a] * std::sin(angle) + in[b] * std::cos(angle)) * strength;
                }
            auto launch = pairs ? rope_norm_cuda<true, T, T> : rope_neox_cuda<true, T, T>;
            launch(from.data, to.data, WIDTH, HEADS, WIDTH, WIDTH * HEADS, TURNED, HEADS * TOKENS, pos.data, scale, base, 0, strength, none,
                   with_factors ? slow.data : nullptr, nullptr, 0, nullptr);
            LAUNCHED();
            std::string name = std::string(pairs ? "rope_norm " : "rope_neox ") + type + (with_factors ? " with factors" : "");
            close(name.c_str(), widened(to.host()), want, tolerance);
        }
}

static void quantize() {
    constexpr int COLUMNS = 200, PADDED = 256, ROWS = 11, BLOCKS = PADDED / QK8_1 * ROWS;
    Numbers in = uniform(COLUMNS * ROWS, 7, -5, 5);
    std::fill(&in[3 * COLUMNS], &in[3 * COLUMNS] + QK8_1, 0.0f);
    Device<float> from(in);
    Device<block_q8_1> to(BLOCKS);
    quantize_row_q8_1_cuda(from.data, nullptr, to.data, GGML_TYPE_Q8_0, COLUMNS, COLUMNS, COLUMNS * ROWS, COLUMNS * ROWS, PADDED, ROWS, 1, 1, nullptr);
    LAUNCHED();
    std::vector<block_q8_1> got = to.host();
    std::vector<int> numbers, should;
    Numbers heads;
    std::vector<double> should_heads;
    for (int b = 0; b < BLOCKS; ++b) {
        int row = b / (PADDED / QK8_1), first = b % (PADDED / QK8_1) * QK8_1;
        float most = 0, x[QK8_1];
        double sum = 0;
        for (int i = 0; i < QK8_1; ++i) {
            x[i] = first + i < COLUMNS ? in[row * COLUMNS + first + i] : 0;
            most = std::max(most, std::fabs(x[i]));
            sum += x[i];
        }
        heads.push_back(__low2float(got[b].ds));
        heads.push_back(__high2float(got[b].ds));
        should_heads.push_back(most / 127);
        should_heads.push_back(sum);
        for (int i = 0; i < QK8_1; ++i) {
            numbers.push_back(got[b].qs[i]);
            should.push_back(most == 0 ? 0 : static_cast<int>(std::roundf(x[i] / (most / 127.0f))));
        }
    }
    exact("quantize_q8_1", numbers, should);
    close("quantize_q8_1", heads, should_heads, 0x1p-10);
}

int main() {
    norms(320, 32);
    norms(1500, 1024);
    rope<float>("float", 2e-5);
    rope<half>("half", 0x1p-10);
    quantize();
    return verdict();
}
