// Where one of two tensors is chosen by a third, through strides of their own.
#include "../check.cuh"
#include "../device_only.cuh"
#include <ternary.cu>

constexpr size_t ROWS = 31, COLUMNS = 17, COUNT = ROWS * COLUMNS;

template <typename I, typename T>
static void check(const char *name, void (*kernel)(size_t, size_t, const size_t *, const I *, const T *, const T *, T *)) {
    Random random(11);
    std::vector<I> ids(COUNT);
    std::vector<T> yes(COUNT), no(COUNT), straight(COUNT), turned(COUNT);
    for (size_t i = 0; i < COUNT; ++i) {
        ids[i] = static_cast<I>(random.next() % 3);
        yes[i] = static_cast<T>(random.next() % 100);
        no[i] = static_cast<T>(random.next() % 100);
    }
    for (size_t i = 0; i < COUNT; ++i) {
        straight[i] = ids[i] ? yes[i] : no[i];
        turned[i] = ids[i] ? yes[i / COLUMNS + i % COLUMNS * ROWS] : no[i % COLUMNS];
    }
    Device<I> choice(ids);
    Device<T> a(yes), b(no), to(COUNT);
    Device<size_t> plain(std::vector<size_t>{ROWS, COLUMNS, COLUMNS, 1, COLUMNS, 1, COLUMNS, 1});
    kernel<<<2, 128>>>(COUNT, 2, plain.data, choice.data, a.data, b.data, to.data);
    LAUNCHED();
    exact(name, to.host(), straight);
    // The second tensor has its columns side by side, the third one row that is used for all.
    Device<size_t> strides(std::vector<size_t>{ROWS, COLUMNS, COLUMNS, 1, 1, ROWS, 0, 1});
    kernel<<<2, 128>>>(COUNT, 2, strides.data, choice.data, a.data, b.data, to.data);
    LAUNCHED();
    exact(name, to.host(), turned);
}

int main() {
    check<int64_t, float>("where_i64_f32", where_i64_f32);
    check<int64_t, double>("where_i64_f64", where_i64_f64);
    check<int64_t, uint8_t>("where_i64_u8", where_i64_u8);
    check<int64_t, uint32_t>("where_i64_u32", where_i64_u32);
    check<int64_t, int64_t>("where_i64_i64", where_i64_i64);
    check<uint32_t, float>("where_u32_f32", where_u32_f32);
    check<uint8_t, float>("where_u8_f32", where_u8_f32);
    return verdict();
}
