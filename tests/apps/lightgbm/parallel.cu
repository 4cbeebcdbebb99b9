// The parallel algorithms under LightGBM's trees: sorts, prefix sums, reductions, percentiles.
#define USE_CUDA
#include <cuda/cuda_algorithms.cu>
#include <cuda/cuda_utils.cpp>
#include <numeric>
// Its own, of which only the templates above make use.
#undef CHECK
#include "../check.cuh"

using namespace LightGBM;

constexpr int COUNT = 5000, BLOCKS = (COUNT + 1023) / 1024;

template <typename T> static std::vector<T> numbers(uint64_t seed, double low, double high) {
    Random random(seed);
    std::vector<T> v(COUNT);
    for (T &x : v) x = static_cast<T>(random.between(low, high));
    return v;
}

template <typename T> static void prefix(const char *suffix) {
    // Whole blocks are read and written.
    std::vector<T> in = numbers<T>(1, 0, 10), want(COUNT);
    std::partial_sum(in.begin(), in.end(), want.begin());
    in.resize(BLOCKS * 1024, 0);
    Device<T> values(in), room(BLOCKS + 1);
    ShufflePrefixSumGlobal<T>(values.data, COUNT, room.data);
    LAUNCHED();
    std::vector<T> got = values.host();
    got.resize(COUNT);
    for (const char *kernel : {"ShufflePrefixSumGlobalKernel ", "ShufflePrefixSumGlobalReduceBlockKernel ", "ShufflePrefixSumGlobalAddBase "})
        exact((std::string(kernel) + suffix), got, want);
}

// Equal values may stand in any order: what the indices name must be sorted, and each index must be there once.
template <typename T, bool ASCENDING> static void sort(const char *suffix, int count) {
    std::vector<T> in = numbers<T>(2, -3000, 3000);
    in.resize(count);
    std::vector<int> first(count), want(count);
    std::iota(first.begin(), first.end(), 0);
    want = first;
    Device<T> values(in);
    Device<int> indices(first);
    BitonicArgSortGlobal<T, int, ASCENDING>(values.data, indices.data, count);
    LAUNCHED();
    std::vector<int> got = indices.host();
    std::vector<T> sorted(count), should(in);
    for (int i = 0; i < count; ++i) sorted[i] = in[got[i]];
    std::sort(should.begin(), should.end());
    if (!ASCENDING) std::reverse(should.begin(), should.end());
    std::sort(got.begin(), got.end());
    for (const char *kernel : {"BitonicArgSortGlobalKernel ", "BitonicArgCompareKernel ", "BitonicArgSortMergeKernel "}) {
        exact((std::string(kernel) + suffix), sorted, should);
        exact((std::string(kernel) + suffix), got, want);
    }
}

static void queries() {
    // Queries of different lengths, each sorted by falling score.
    std::vector<double> scores = numbers<double>(3, -1, 1);
    std::vector<int> bounds{0, 1, 3, 70, 71, 700, 1500, 2500, 2500, 3000, 3100, 3900, COUNT}, want(COUNT);
    for (size_t q = 0; q + 1 < bounds.size(); ++q) {
        std::iota(&want[bounds[q]], &want[bounds[q]] + bounds[q + 1] - bounds[q], 0);
        std::sort(&want[bounds[q]], &want[bounds[q]] + bounds[q + 1] - bounds[q],
                  [&](int a, int b) { return scores[bounds[q] + a] > scores[bounds[q] + b]; });
    }
    Device<double> from(scores);
    Device<int> edges(bounds), to(COUNT);
    BitonicArgSortItemsGlobal(from.data, static_cast<int>(bounds.size()) - 1, edges.data, to.data);
    LAUNCHED();
    exact("BitonicArgSortItemsGlobalKernel", to.host(), want);
}

static void reductions() {
    std::vector<float> a = numbers<float>(4, 0, 1), b = numbers<float>(5, -1, 1);
    double sum = 0, product = 0, least = b[0];
    for (int i = 0; i < COUNT; ++i) {
        sum += a[i];
        product += double(a[i]) * b[i];
        least = std::min<double>(least, b[i]);
    }
    Device<float> x(a), y(b);
    Device<double> room(BLOCKS);
    auto first = [&] { return std::vector<double>{room.host()[0]}; };
    ShuffleReduceSumGlobal<float, double>(x.data, COUNT, room.data);
    LAUNCHED();
    close("ShuffleReduceSumGlobalKernel", first(), std::vector<double>{sum}, 1e-12);
    ShuffleReduceDotProdGlobal<float, double>(x.data, y.data, COUNT, room.data);
    LAUNCHED();
    close("ShuffleReduceDotProdGlobalKernel", first(), std::vector<double>{product}, 1e-12);
    close("BlockReduceSum", first(), std::vector<double>{product}, 1e-12);
    ShuffleReduceMinGlobal<float, double>(y.data, COUNT, room.data);
    LAUNCHED();
    exact("ShuffleReduceMinGlobalKernel", first(), {least});
    exact("ShuffleBlockReduceMin", first(), {least});
}

// The value above which a share of all weight lies; halfway between two values as their weights say. One block only: over several,
// this version of LightGBM drops the sum of the blocks before (`ShufflePrefixSumExclusive` answers it and nobody takes it).
static void percentile() {
    constexpr int FEW = 1000;
    const double alpha = 0.3;
    std::vector<double> in = numbers<double>(6, -9, 9), prefix(FEW);
    std::vector<float> weights = numbers<float>(7, 0.5, 2);
    in.resize(FEW);
    std::vector<int> order(FEW);
    std::iota(order.begin(), order.end(), 0);
    Device<double> values(in), sums(FEW), room(std::vector<double>(2, 0)), out(1);
    Device<float> w(weights);
    Device<int> indices(order);
    std::sort(order.begin(), order.end(), [&](int a, int b) { return in[a] > in[b]; });
    double total = 0;
    for (int i = 0; i < FEW; ++i) prefix[i] = total += weights[order[i]];
    double threshold = total * (1.0f - alpha);
    int at = 0;
    while (prefix[at] <= threshold) ++at;
    double upper = in[order[at - 1]], lower = in[order[at]];
    double want = upper - (upper - lower) * (threshold - prefix[at - 1]) / (prefix[at] - prefix[at - 1]);
    PercentileGlobal<double, int, float, double, false, true>(values.data, w.data, indices.data, sums.data, room.data, alpha, FEW, out.data);
    LAUNCHED();
    close("GlobalInclusiveArgPrefixSumKernel", sums.host(), prefix, 1e-12);
    close("PercentileGlobalKernel weighted", out.host(), std::vector<double>{want}, 1e-9);
    double position = (1.0f - alpha) * FEW;
    at = static_cast<int>(position);
    upper = in[order[at - 1]], lower = in[order[at]];
    PercentileGlobal<double, int, float, double, false, false>(values.data, nullptr, indices.data, nullptr, nullptr, alpha, FEW, out.data);
    LAUNCHED();
    close("PercentileGlobalKernel", out.host(), std::vector<double>{upper - (upper - lower) * (position - at)}, 1e-9);
}

int main() {
    prefix<uint16_t>("uint16");
    prefix<uint32_t>("uint32");
    prefix<uint64_t>("uint64");
    sort<double, true>("double up", COUNT);
    sort<double, false>("double down", 4096);
    sort<float, false>("float down", COUNT);
    sort<int, true>("int up", 3000);
    queries();
    reductions();
    percentile();
    return verdict();
}
