// The vendor's parallel algorithms: a scan whose blocks look back at each other.
#include "../../programs/check.cuh"
#include <cub/device/device_scan.cuh>
#include <numeric>

constexpr int COUNT = 100000;

int main() {
    Random random(17);
    std::vector<uint32_t> in(COUNT), want(COUNT);
    for (uint32_t &x : in) x = static_cast<uint32_t>(random.next() % 50000);
    std::partial_sum(in.begin(), in.end(), want.begin());
    Device<uint32_t> from(in), to(COUNT);
    size_t bytes = 0;
    CHECK(cub::DeviceScan::InclusiveSum(nullptr, bytes, from.data, to.data, COUNT));
    Device<char> room(bytes);
    CHECK(cub::DeviceScan::InclusiveSum(room.data, bytes, from.data, to.data, COUNT));
    LAUNCHED();
    same("scan", to.host(), want);
    return passed("2 kernels");
}
