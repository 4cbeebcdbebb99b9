// The bitonic sort of candle, which came from llama.cpp: order of the elements of each row.
#include "../check.cuh"
#include "../device_only.cuh"
#include <sort.cu>
#include <algorithm>
#include <numeric>

constexpr int ROWS = 9, COLUMNS = 700, PADDED = 1024;

template <typename T> static void check(const char *type, void (*up)(const T *, uint32_t *, int, int),
                                        void (*down)(const T *, uint32_t *, int, int)) {
    // Every value once in a row: the order is the only one.
    Random random(7);
    std::vector<T> in(ROWS * COLUMNS);
    std::vector<uint32_t> rising(in.size()), falling(in.size());
    for (int r = 0; r < ROWS; ++r) {
        std::vector<uint32_t> order(COLUMNS);
        std::iota(order.begin(), order.end(), 0u);
        for (int i = COLUMNS - 1; i > 0; --i) std::swap(order[i], order[random.next() % (i + 1)]);
        for (int c = 0; c < COLUMNS; ++c) {
            in[r * COLUMNS + order[c]] = static_cast<T>(c * 3);
            rising[r * COLUMNS + c] = order[c];
            falling[r * COLUMNS + COLUMNS - 1 - c] = order[c];
        }
    }
    Device<T> from(in);
    Device<uint32_t> to(in.size());
    up<<<ROWS, PADDED, PADDED * sizeof(int)>>>(from.data, to.data, COLUMNS, PADDED);
    LAUNCHED();
    exact((std::string("asort_asc_") + type), to.host(), rising);
    down<<<ROWS, 256, PADDED * sizeof(int)>>>(from.data, to.data, COLUMNS, PADDED);
    LAUNCHED();
    exact((std::string("asort_desc_") + type), to.host(), falling);
}

int main() {
    check<float>("f32", asort_asc_f32, asort_desc_f32);
    check<double>("f64", asort_asc_f64, asort_desc_f64);
    check<uint32_t>("u32", asort_asc_u32, asort_desc_u32);
    check<int64_t>("i64", asort_asc_i64, asort_desc_i64);
    return verdict();
}
