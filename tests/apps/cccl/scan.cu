// The vendor's parallel algorithms: a scan whose blocks look back at each other, and a radix sort.
#include "../check.cuh"
#include <algorithm>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#include <numeric>

constexpr int COUNT = 100000;

// Runs an algorithm of the library: first asked for the room it needs, then run.
template <typename F> static void run(F algorithm) {
    size_t bytes = 0;
    CHECK(algorithm(nullptr, bytes));
    Device<char> room(bytes);
    CHECK(algorithm(room.data, bytes));
    LAUNCHED();
}

static std::vector<uint32_t> numbers(uint64_t seed, uint64_t bound) {
    Random random(seed);
    std::vector<uint32_t> v(COUNT);
    for (uint32_t &x : v) x = static_cast<uint32_t>(random.next() % bound);
    return v;
}

int main() {
    std::vector<uint32_t> in = numbers(17, 50000), want(COUNT);
    std::partial_sum(in.begin(), in.end(), want.begin());
    Device<uint32_t> from(in), to(COUNT);
    run([&](void *room, size_t &bytes) { return cub::DeviceScan::InclusiveSum(room, bytes, from.data, to.data, COUNT); });
    exact("DeviceScanInitKernel", to.host(), want);
    exact("DeviceScanKernel", to.host(), want);

    std::vector<uint32_t> keys = numbers(18, 1u << 30), order(COUNT), sorted_keys(COUNT);
    std::iota(order.begin(), order.end(), 0u);
    Device<uint32_t> in_keys(keys), in_values(order), out_keys(COUNT), out_values(COUNT);
    std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return keys[a] < keys[b]; });
    for (int i = 0; i < COUNT; ++i) sorted_keys[i] = keys[order[i]];
    run([&](void *room, size_t &bytes) {
        return cub::DeviceRadixSort::SortPairs(room, bytes, in_keys.data, out_keys.data, in_values.data, out_values.data, COUNT);
    });
    for (const char *kernel : {"DeviceRadixSortHistogramKernel", "DeviceRadixSortExclusiveSumKernel", "DeviceRadixSortOnesweepKernel"}) {
        exact(kernel, out_keys.host(), sorted_keys);
        exact(kernel, out_values.host(), order);
    }
    return verdict();
}
