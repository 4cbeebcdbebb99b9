// Cooperative groups: tiles inside and across warps, coalesced and labelled groups, barriers of blocks and of the grid.
#include "check.cuh"
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <memory>

namespace cg = cooperative_groups;

// Sums over tiles of 4, 8, 16 and 32 threads, a scan in a tile, and what a tile knows of itself.
__global__ void tiles(const int *in, int *out) {
    int n = blockDim.x, i = threadIdx.x;
    auto block = cg::this_thread_block();
    auto four = cg::tiled_partition<4>(block);
    auto eight = cg::tiled_partition<8>(block);
    auto warp = cg::tiled_partition<32>(block);
    out[i] = cg::reduce(four, in[i], cg::plus<int>());
    out[n + i] = cg::reduce(eight, in[i], cg::greater<int>());
    out[2 * n + i] = cg::inclusive_scan(warp, in[i], cg::plus<int>());
    out[3 * n + i] = static_cast<int>(four.meta_group_rank() * 100 + four.thread_rank() * 10 + eight.any(in[i] < 0));
    out[4 * n + i] = warp.shfl_xor(in[i], 5) + static_cast<int>(cg::tiled_partition<16>(warp).ballot(in[i] & 1));
}

// Tiles of two and four warps meet at barriers of their own.
__global__ void wide_tiles(const int *in, int *out) {
    __shared__ cg::block_tile_memory<256> memory;
    auto block = cg::this_thread_block(memory);
    auto tile = cg::tiled_partition<64>(block);
    auto large = cg::tiled_partition<128>(block);
    int i = block.thread_rank();
    out[i] = cg::reduce(tile, in[i], cg::plus<int>());
    large.sync();
    out[256 + i] = cg::reduce(large, in[i], cg::less<int>()) + static_cast<int>(tile.meta_group_rank());
}

// Threads that are together by chance or by a label.
__global__ void chosen(const int *in, int *out, int *counter) {
    int i = threadIdx.x, n = blockDim.x;
    out[i] = out[n + i] = 0;
    if (in[i] % 3 == 0) {
        auto active = cg::coalesced_threads();
        int first = 0;
        if (active.thread_rank() == 0) first = atomicAdd(counter, static_cast<int>(active.size()));
        first = active.shfl(first, 0);
        out[i] = cg::reduce(active, 1, cg::plus<int>()) * 1000 + static_cast<int>(active.thread_rank()) + 0 * first;
    }
    auto warp = cg::tiled_partition<32>(cg::this_thread_block());
    auto same = cg::labeled_partition(warp, in[i] & 3);
    out[n + i] = cg::reduce(same, in[i], cg::plus<int>()) + static_cast<int>(same.size()) * 10000;
    auto parity = cg::binary_partition(warp, (in[i] & 1) != 0);
    if (parity.thread_rank() == 0) atomicAdd(counter, 1000 * static_cast<int>(parity.size()));
}

// All blocks of the grid, several times: each round reads what another block wrote in the round before.
__global__ void rounds(int *data, int count) {
    auto grid = cg::this_grid();
    unsigned size = static_cast<unsigned>(grid.size()), i = static_cast<unsigned>(grid.thread_rank());
    for (int round = 0; round < count; ++round) {
        int *from = data + (round % 2) * size, *to = data + (1 - round % 2) * size;
        to[i] = from[(i + blockDim.x) % size] + 1;
        grid.sync();
    }
}

// Half the threads arrive and go on, the other half waits; by the block's barrier in two steps.
__global__ void split(int *out) {
    __shared__ int value;
    auto block = cg::this_thread_block();
    if (threadIdx.x == 0) value = 41;
    auto token = block.barrier_arrive();
    int own = static_cast<int>(threadIdx.x) * 2;
    block.barrier_wait(std::move(token));
    out[threadIdx.x] = value + own;
}

std::vector<int> numbers(int n) {
    std::vector<int> all;
    for (int i = 0; i < n; ++i) all.push_back((i * 37 + i / 7) % 101 - 20);
    return all;
}

void check_tiles() {
    const int n = 96;
    auto in = numbers(n);
    Device<int> data(in), out(5 * n);
    tiles<<<1, n>>>(data.data, out.data);
    LAUNCHED();
    std::vector<int> wanted(5 * n);
    for (int i = 0; i < n; ++i) {
        int sum = 0, largest = -1000, scan = 0, bits = 0;
        bool negative = false;
        for (int k = i / 4 * 4; k < i / 4 * 4 + 4; ++k) sum += in[k];
        for (int k = i / 8 * 8; k < i / 8 * 8 + 8; ++k) largest = std::max(largest, in[k]), negative |= in[k] < 0;
        for (int k = i / 32 * 32; k <= i; ++k) scan += in[k];
        for (int k = 0; k < 16; ++k) bits |= (in[i / 16 * 16 + k] & 1) << k;
        wanted[i] = sum;
        wanted[n + i] = largest;
        wanted[2 * n + i] = scan;
        wanted[3 * n + i] = i / 4 * 100 + i % 4 * 10 + (negative ? 1 : 0);
        wanted[4 * n + i] = in[i ^ 5] + bits;
    }
    same("tiles", out.host(), wanted);
}

void check_wide_tiles() {
    const int n = 256;
    auto in = numbers(n);
    Device<int> data(in), out(2 * n);
    wide_tiles<<<1, n>>>(data.data, out.data);
    LAUNCHED();
    std::vector<int> wanted(2 * n);
    for (int i = 0; i < n; ++i) {
        int sum = 0, least = 1000;
        for (int k = i / 64 * 64; k < i / 64 * 64 + 64; ++k) sum += in[k];
        for (int k = i / 128 * 128; k < i / 128 * 128 + 128; ++k) least = std::min(least, in[k]);
        wanted[i] = sum;
        wanted[n + i] = least + i / 64;
    }
    same("wide tiles", out.host(), wanted);
}

void check_chosen() {
    const int n = 96;
    auto in = numbers(n);
    Device<int> data(in), out(2 * n), counter(1);
    CHECK(cudaMemset(counter.data, 0, sizeof(int)));
    chosen<<<1, n>>>(data.data, out.data, counter.data);
    LAUNCHED();
    std::vector<int> wanted(2 * n);
    int counted = 0;
    for (int i = 0; i < n; ++i) {
        int first = i / 32 * 32, active = 0, rank = 0, sum = 0, size = 0;
        for (int k = first; k < first + 32; ++k) {
            if (in[k] % 3 == 0) ++active, rank += k < i;
            if ((in[k] & 3) == (in[i] & 3)) sum += in[k], ++size;
        }
        wanted[i] = in[i] % 3 == 0 ? active * 1000 + rank : 0;
        wanted[n + i] = sum + size * 10000;
        counted += in[i] % 3 == 0;
    }
    same("chosen", out.host(), wanted);
    same("counter", counter.host(), {counted + 1000 * n});
}

void check_grid() {
    const int blocks = 6, threads = 64, count = 7, all = blocks * threads;
    std::vector<int> start(2 * all);
    for (int i = 0; i < all; ++i) start[i] = i * 3;
    std::vector<int> wanted;
    for (int i = 0; i < all; ++i) wanted.push_back((i + count * threads) % all * 3 + count);
    // The barrier lies in memory of the driver, each time somewhere else.
    std::vector<std::unique_ptr<Device<int>>> others;
    for (int time = 0; time < 3; ++time) {
        for (int other = 0; other < 10; ++other) others.push_back(std::make_unique<Device<int>>(1024));
        Device<int> data(start);
        int *pointer = data.data, rounds_count = count;
        void *arguments[] = {&pointer, &rounds_count};
        CHECK(cudaLaunchCooperativeKernel(reinterpret_cast<void *>(rounds), blocks, threads, arguments));
        LAUNCHED();
        auto got = data.host();
        std::vector<int> result(got.begin() + (count % 2) * all, got.begin() + (count % 2 + 1) * all);
        same("rounds", result, wanted);
    }
}

// The same through the launch on several devices, which CUDA 12 deprecates and CUDA 13 has no more; there is one device.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
void check_devices() {
#if CUDART_VERSION < 13000
    const int blocks = 6, threads = 64, count = 7, all = blocks * threads;
    auto refused = [](const char *what, cudaError_t got) { same<int>(what, {got}, {cudaErrorInvalidValue}); };
    std::vector<int> start(2 * all), wanted;
    for (int i = 0; i < all; ++i) start[i] = i * 3;
    for (int i = 0; i < all; ++i) wanted.push_back((i + count * threads) % all * 3 + count);
    Device<int> data(start);
    int *pointer = data.data, rounds_count = count, offered = 0;
    void *arguments[] = {&pointer, &rounds_count};
    cudaStream_t stream;
    CHECK(cudaDeviceGetAttribute(&offered, cudaDevAttrCooperativeMultiDeviceLaunch, 0));
    same<int>("launches on several devices are offered", {offered}, {1});
    CHECK(cudaStreamCreate(&stream));
    cudaLaunchParams launch = {reinterpret_cast<void *>(rounds), dim3(blocks), dim3(threads), arguments, 0, stream};
    refused("no device", cudaLaunchCooperativeKernelMultiDevice(&launch, 0));
    refused("more devices than there are", cudaLaunchCooperativeKernelMultiDevice(&launch, 2));
    refused("no list", cudaLaunchCooperativeKernelMultiDevice(nullptr, 1));
    refused("unknown flags", cudaLaunchCooperativeKernelMultiDevice(&launch, 1, 999));
    cudaGetLastError();
    CHECK(cudaLaunchCooperativeKernelMultiDevice(&launch, 1, cudaCooperativeLaunchMultiDeviceNoPreSync));
    CHECK(cudaStreamSynchronize(stream));
    auto got = data.host();
    std::vector<int> result(got.begin() + (count % 2) * all, got.begin() + (count % 2 + 1) * all);
    same("rounds on the devices of a list", result, wanted);
    CHECK(cudaStreamDestroy(stream));
#endif
}

void check_split() {
    const int n = 160;
    Device<int> out(n);
    split<<<1, n>>>(out.data);
    LAUNCHED();
    std::vector<int> wanted;
    for (int i = 0; i < n; ++i) wanted.push_back(41 + 2 * i);
    same("split", out.host(), wanted);
}

int main() {
    check_tiles();
    check_wide_tiles();
    check_chosen();
    check_grid();
    check_devices();
    check_split();
    return passed("groups");
}
