// The row-wise kernels of candle: softmax, norms, reductions.
#include "../check.cuh"
#include "../device_only.cuh"
#include <reduce.cu>

constexpr int ROWS = 13, COLUMNS = 300;

int main() {
    std::vector<float> in = uniform(ROWS * COLUMNS, 1, -5, 5), alpha = uniform(COLUMNS, 2, 0.5, 2), beta = uniform(COLUMNS, 3, -1, 1);
    Device<float> from(in), to(in.size()), scale(alpha), shift(beta), few(ROWS);
    std::vector<float> soft(in.size()), rms(in.size()), layer(in.size()), sum(ROWS), least(ROWS), most(ROWS);
    std::vector<uint32_t> first(ROWS);
    for (int r = 0; r < ROWS; ++r) {
        const float *x = &in[r * COLUMNS];
        double total = 0, squares = 0, all = 0;
        int at = 0;
        float low = x[0];
        for (int c = 0; c < COLUMNS; ++c) {
            total += x[c];
            squares += double(x[c]) * x[c];
            if (x[c] > x[at]) at = c;
            low = std::fmin(low, x[c]);
        }
        for (int c = 0; c < COLUMNS; ++c) all += std::exp(double(x[c]) - x[at]);
        double mean = total / COLUMNS, variance = squares / COLUMNS - mean * mean;
        for (int c = 0; c < COLUMNS; ++c) {
            size_t i = r * COLUMNS + c;
            soft[i] = static_cast<float>(std::exp(double(x[c]) - x[at]) / all);
            rms[i] = static_cast<float>(x[c] / std::sqrt(squares / COLUMNS + 1e-5) * alpha[c]);
            layer[i] = static_cast<float>((x[c] - mean) / std::sqrt(variance + 1e-5) * alpha[c] + beta[c]);
        }
        sum[r] = static_cast<float>(total);
        least[r] = low;
        most[r] = x[at];
        first[r] = at;
    }
    softmax_f32<<<ROWS, dim3(1, 32)>>>(from.data, to.data, COLUMNS);
    LAUNCHED();
    close("softmax_f32", to.host(), soft, 1e-6);
    rmsnorm_f32<<<ROWS, 32>>>(from.data, to.data, scale.data, COLUMNS, 32, 1e-5f);
    LAUNCHED();
    close("rmsnorm_f32", to.host(), rms, 1e-5);
    rmsnorm_f32<<<ROWS, 1024>>>(from.data, to.data, scale.data, COLUMNS, 1024, 1e-5f);
    LAUNCHED();
    close("rmsnorm_f32", to.host(), rms, 1e-5);
    layernorm_f32<<<ROWS, 1024>>>(from.data, to.data, scale.data, shift.data, COLUMNS, 1024, 1e-5f);
    LAUNCHED();
    close("layernorm_f32", to.host(), layer, 1e-4);
    Device<size_t> info(std::vector<size_t>{ROWS, COLUMNS, COLUMNS, 1});
    fast_sum_f32<<<ROWS, 512>>>(in.size(), COLUMNS, 2, info.data, from.data, few.data);
    LAUNCHED();
    close("fast_sum_f32", few.host(), sum, 1e-5);
    fast_min_f32<<<ROWS, 512>>>(in.size(), COLUMNS, 2, info.data, from.data, few.data);
    LAUNCHED();
    exact("fast_min_f32", few.host(), least);
    fast_max_f32<<<ROWS, 512>>>(in.size(), COLUMNS, 2, info.data, from.data, few.data);
    LAUNCHED();
    exact("fast_max_f32", few.host(), most);
    Device<uint32_t> where(ROWS);
    fast_argmax_f32<<<ROWS, 512>>>(in.size(), COLUMNS, 2, info.data, from.data, where.data);
    LAUNCHED();
    exact("fast_argmax_f32", where.host(), first);
    return verdict();
}
