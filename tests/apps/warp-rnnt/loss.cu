// The transducer loss of speech recognition: blocks that wait for each other's rows and columns of the lattice, and the gradients.
#include "../check.cuh"
#include <core.cu>

constexpr int N = 3, T = 70, U = 12, V = 9, BLANK = 0;
constexpr float EMIT = 0.25f;

static size_t cell(int n, int t, int u) { return (size_t(n) * T + t) * U + u; }
static double both(double a, double b) { return std::fmax(a, b) + std::log1p(std::exp(-std::fabs(a - b))); }

int main() {
    // Lengths in time and of the labels; the last sample fills the tensors.
    std::vector<int> times{33, 64, T}, lengths{7, 1, U - 1}, labels(N * (U - 1));
    Random random(21);
    for (int &l : labels) l = 1 + static_cast<int>(random.next() % (V - 1));
    std::vector<float> probabilities = uniform(size_t(N) * T * U * V, 22, -3, 3);
    for (size_t at = 0; at < probabilities.size(); at += V) {
        double sum = 0;
        for (int v = 0; v < V; ++v) sum += std::exp(double(probabilities[at + v]));
        for (int v = 0; v < V; ++v) probabilities[at + v] -= static_cast<float>(std::log(sum));
    }
    Device<float> p(probabilities), alphas(std::vector<float>(N * T * U, 0.0f)), betas(std::vector<float>(N * T * U, 0.0f));
    Device<float> grads(std::vector<float>(probabilities.size(), 0.0f)), costs(N);
    Device<int> l(labels), xn(times), yn(lengths);
    Device<unsigned> counts(std::vector<unsigned>(N * U * 2, 0u));
    EXPECT(run_warp_rnnt(nullptr, counts.data, alphas.data, betas.data, l.data, p.data, grads.data, costs.data, xn.data, yn.data, N, T, U, V,
                         BLANK, EMIT) == RNNT_STATUS_SUCCESS);
    LAUNCHED();

    std::vector<double> a(N * T * U, 0), b(N * T * U, 0), blank(probabilities.size(), 0), label(probabilities.size(), 0), cost(N);
    for (int n = 0; n < N; ++n) {
        int last = times[n] - 1, end = lengths[n];
        auto stay = [&](int t, int u) { return double(probabilities[cell(n, t, u) * V + BLANK]); };
        auto emit = [&](int t, int u) { return double(probabilities[cell(n, t, u) * V + labels[n * (U - 1) + u]]); };
        for (int t = 0; t <= last; ++t)
            for (int u = 0; u <= end; ++u) {
                double below = t ? a[cell(n, t - 1, u)] + stay(t - 1, u) : 0, beside = u ? a[cell(n, t, u - 1)] + emit(t, u - 1) : 0;
                a[cell(n, t, u)] = t && u ? both(below, beside) : t ? below : beside;
            }
        for (int t = last; t >= 0; --t)
            for (int u = end; u >= 0; --u) {
                double above = stay(t, u) + (t < last ? b[cell(n, t + 1, u)] : 0), beside = u < end ? b[cell(n, t, u + 1)] + emit(t, u) : 0;
                b[cell(n, t, u)] = t < last && u < end ? both(above, beside) : t < last || u == end ? above : beside;
            }
        double all = b[cell(n, 0, 0)];
        cost[n] = -all;
        for (int t = 0; t <= last; ++t)
            for (int u = 0; u <= end; ++u) {
                double here = a[cell(n, t, u)] - all;
                if (t < last) blank[cell(n, t, u) * V + BLANK] = -std::exp(here + stay(t, u) + b[cell(n, t + 1, u)]);
                else if (u == end) blank[cell(n, t, u) * V + BLANK] = -std::exp(here + stay(t, u));
                if (u < end) label[cell(n, t, u) * V + labels[n * (U - 1) + u]] = -(1 + EMIT) * std::exp(here + emit(t, u) + b[cell(n, t, u + 1)]);
            }
    }
    close("kernel_warp", alphas.host(), a, 2e-6);
    close("kernel_warp", betas.host(), b, 2e-6);
    std::vector<float> got = grads.host(), blanks(got.size(), 0), others(got.size(), 0);
    for (size_t i = 0; i < got.size(); ++i) (i % V == BLANK ? blanks : others)[i] = got[i];
    close("kernel_grads_blank", blanks, blank, 1e-4);
    close("kernel_grads_label", others, label, 1e-4);
    close("kernel_fill_costs", costs.host(), cost, 2e-6);
    return verdict();
}
