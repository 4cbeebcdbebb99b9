// Mixed-precision training of BMTrain: Adam, cross entropy, the search for numbers that are none; in half and bfloat16.
#include "../check.cuh"
#include "../half.cuh"
#include <algorithm>
#include <cross_entropy.cu>
#include <adam_cuda.cu>
#include <has_inf_nan.cu>

template <typename T> static std::uintptr_t at(const Device<T> &d) { return reinterpret_cast<std::uintptr_t>(d.data); }

// Moments are scaled by the loss scale in half precision, and not in bfloat16.
template <typename T, typename M, typename F> static void adam(const char *kernel, F launch, bool scaled, double tolerance) {
    constexpr int COUNT = 5000;
    const double beta1 = 0.9, beta2 = 0.98, eps = 1e-6, lr = 0.01, scale = 64, decay = 0.1, correct1 = 0.19, correct2 = 0.04;
    std::vector<float> p = uniform(COUNT, 1, -1, 1), g = widened(narrowed<T>(uniform(COUNT, 2, -9, 9))), v = uniform(COUNT, 3, 0, 2), m(COUNT);
    std::vector<M> m0(COUNT);
    std::vector<float> start = uniform(COUNT, 4, -1, 1);
    for (int i = 0; i < COUNT; ++i) {
        m0[i] = M(start[i]);
        m[i] = float(m0[i]);
    }
    Device<float> dp(p), dv(v);
    Device<T> dg(narrowed<T>(g)), low(COUNT);
    Device<M> dm(m0);
    launch(COUNT, at(dp), at(low), at(dg), at(dm), at(dv), beta1, beta2, eps, lr, scale, decay, correct1, correct2, 0);
    LAUNCHED();
    std::vector<double> wp(COUNT), wm(COUNT), wv(COUNT);
    for (int i = 0; i < COUNT; ++i) {
        // In units of the true gradient, then back.
        double unit = scaled ? scale : 1, grad = g[i] / scale;
        wm[i] = (beta1 * m[i] / unit + (1 - beta1) * grad) * unit;
        double square = scaled ? v[i] / scale : v[i];
        square = beta2 * square + (1 - beta2) * grad * grad;
        wv[i] = scaled ? square * scale : square;
        wp[i] = p[i] - lr * wm[i] / unit / correct1 / (std::sqrt(square / correct2) + eps) - lr * decay * p[i];
    }
    std::vector<float> moments(COUNT);
    std::vector<M> got = dm.host();
    for (int i = 0; i < COUNT; ++i) moments[i] = float(got[i]);
    close(kernel, dp.host(), wp, tolerance);
    close(kernel, dv.host(), wv, 1e-6);
    close(kernel, moments, wm, sizeof(M) == 2 ? 1e-3 : 1e-6);
    exact(kernel, widened(low.host()), widened(narrowed<T>(dp.host())));
}

// `half_step` is half the distance between two numbers of the type near 1.
template <typename T, typename F, typename B, typename S, typename X>
static void entropy(const char *const (&kernels)[4], F forward, B backward, S sums, X softmax, double half_step) {
    constexpr int ROWS = 11, COLUMNS = 2500, IGNORED = -100;
    std::vector<float> in = widened(narrowed<T>(uniform(ROWS * COLUMNS, 5, -8, 8))), grad = uniform(ROWS, 6, -2, 2);
    std::vector<int32_t> target(ROWS);
    Random random(7);
    for (int32_t &t : target) t = static_cast<int32_t>(random.next() % COLUMNS);
    target[4] = IGNORED;
    std::vector<double> soft(in.size()), loss(ROWS), sum(ROWS), back(in.size());
    std::vector<float> most(ROWS);
    for (int r = 0; r < ROWS; ++r) {
        const float *x = &in[r * COLUMNS];
        most[r] = *std::max_element(x, x + COLUMNS);
        for (int c = 0; c < COLUMNS; ++c) sum[r] += std::exp(double(x[c]) - most[r]);
        for (int c = 0; c < COLUMNS; ++c) soft[r * COLUMNS + c] = std::exp(double(x[c]) - most[r]) / sum[r];
        loss[r] = target[r] == IGNORED ? 0 : most[r] + std::log(sum[r]) - x[target[r]];
    }
    Device<T> from(narrowed<T>(in)), to(in.size());
    Device<int32_t> wanted(target);
    Device<float> out(ROWS), slope(grad), largest(most), total(ROWS);
    forward(ROWS, COLUMNS, at(from), at(wanted), at(to), at(out), IGNORED, 0);
    LAUNCHED();
    std::vector<float> probabilities = widened(to.host());
    close(kernels[0], probabilities, soft, half_step * 1.01, 1e-4);
    close(kernels[0], out.host(), loss, 1e-5);
    for (int r = 0; r < ROWS; ++r)
        for (int c = 0; c < COLUMNS; ++c) back[r * COLUMNS + c] = (double(probabilities[r * COLUMNS + c]) - (c == target[r])) * grad[r];
    backward(ROWS, COLUMNS, at(slope), at(wanted), at(to), IGNORED, 0);
    LAUNCHED();
    close(kernels[1], widened(to.host()), back, half_step * 1.01, 1e-4);
    sums(ROWS, COLUMNS, at(from), at(largest), at(total), 0);
    LAUNCHED();
    close(kernels[2], total.host(), sum, 1e-5);
    softmax(ROWS, COLUMNS, at(from), at(largest), at(total), 0);
    LAUNCHED();
    close(kernels[3], widened(from.host()), soft, half_step * 1.01, 1e-4);
}

template <typename T, typename F> static void search(const char *kernel, F launch) {
    constexpr int COUNT = 70001;
    for (float planted : {0.0f, INFINITY, -INFINITY, NAN})
        for (int where : {0, COUNT / 2, COUNT - 1}) {
            std::vector<float> in = uniform(COUNT, 8, -1000, 1000);
            if (planted != 0) in[where] = planted;
            Device<T> from(narrowed<T>(in));
            // The second kernel reads a whole block of partial results.
            Device<uint8_t> partial(std::vector<uint8_t>(1024, 0)), out(std::vector<uint8_t>(1, 0));
            launch(COUNT, at(from), at(partial), at(out), 0);
            LAUNCHED();
            exact(kernel, out.host(), std::vector<uint8_t>(1, planted != 0));
            exact("bmt_has_nan_inf_reduce", out.host(), std::vector<uint8_t>(1, planted != 0));
        }
}

int main() {
    adam<half, half>("adam_fp32_accum", adam_fp16_launcher, true, 2e-6);
    adam<__nv_bfloat16, float>("adam_fp32_accum_bf16", adam_bf16_launcher, false, 2e-6);
    entropy<half>({"cross_entropy_forward_fp16", "cross_entropy_backward_inplace_fp16", "fused_sumexp_fp16", "fused_softmax_inplace_fp16"},
                  cross_entropy_forward_fp16_launcher, cross_entropy_backward_inplace_fp16_launcher, fused_sumexp_fp16_launcher,
                  fused_softmax_inplace_fp16_launcher, 0x1p-11);
    entropy<__nv_bfloat16>(
        {"cross_entropy_forward_bf16", "cross_entropy_backward_inplace_bf16", "fused_sumexp_bf16", "fused_softmax_inplace_bf16"},
        cross_entropy_forward_bf16_launcher, cross_entropy_backward_inplace_bf16_launcher, fused_sumexp_bf16_launcher,
        fused_softmax_inplace_bf16_launcher, 0x1p-8);
    search<half>("bmt_has_nan_inf_fp16", has_nan_inf_fp16_launcher);
    search<__nv_bfloat16>("bmt_has_nan_inf_bf16", has_nan_inf_bf16_launcher);
    return verdict();
}
