// Thread block clusters: distributed shared memory, the barrier of the cluster, sizes given by the kernel and by the launch.
// nvcc: compute_90
#include "check.cuh"
#include <cooperative_groups.h>

namespace cg = cooperative_groups;

// A histogram whose bins lie spread over the shared memory of the blocks of a cluster.
__global__ void histogram(const int *in, int n, int *bins, int bins_per_block) {
    extern __shared__ int mine[];
    auto cluster = cg::this_cluster();
    for (int b = threadIdx.x; b < bins_per_block; b += blockDim.x) mine[b] = 0;
    cluster.sync();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        int bin = in[i];
        int *there = cluster.map_shared_rank(mine, bin / bins_per_block);
        atomicAdd(there + bin % bins_per_block, 1);
    }
    cluster.sync();
    int *out = bins + cluster.block_rank() * bins_per_block;
    for (int b = threadIdx.x; b < bins_per_block; b += blockDim.x) atomicAdd(&out[b], mine[b]);
}

// The sum of a row that the blocks of a cluster of two by two share, read from all of them.
__global__ void __cluster_dims__(2, 2, 1) square(int *out) {
    __shared__ int own;
    auto cluster = cg::this_cluster();
    if (threadIdx.x == 0) own = 1 << (4 * cluster.block_rank());
    cluster.sync();
    int sum = 0;
    for (unsigned r = 0; r < cluster.num_blocks(); ++r) sum += *cluster.map_shared_rank(&own, r);
    cluster.sync();
    int block = blockIdx.y * gridDim.x + blockIdx.x;
    if (threadIdx.x == 0) out[block] = sum * 100 + static_cast<int>(cluster.block_rank());
}

// Arrive and wait apart: blocks hand a value round.
__global__ void round_trip(int *out) {
    __shared__ int inbox;
    auto cluster = cg::this_cluster();
    unsigned rank = cluster.block_rank(), blocks = cluster.num_blocks();
    if (threadIdx.x == 0) inbox = static_cast<int>(rank);
    cluster.barrier_arrive();
    cluster.barrier_wait();
    for (unsigned step = 0; step < blocks; ++step) {
        int value = inbox;
        cluster.sync();
        if (threadIdx.x == 0) *cluster.map_shared_rank(&inbox, (rank + 1) % blocks) = value * 2 + 1;
        cluster.sync();
    }
    if (threadIdx.x == 0) out[blockIdx.x] = inbox;
}

template <typename... Arguments, typename... Given>
cudaError_t launch(dim3 grid, dim3 block, size_t shared, dim3 cluster, void (*kernel)(Arguments...), Given... given) {
    cudaLaunchAttribute attribute[1];
    attribute[0].id = cudaLaunchAttributeClusterDimension;
    attribute[0].val.clusterDim.x = cluster.x;
    attribute[0].val.clusterDim.y = cluster.y;
    attribute[0].val.clusterDim.z = cluster.z;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.attrs = attribute;
    config.numAttrs = 1;
    return cudaLaunchKernelEx(&config, kernel, static_cast<Arguments>(given)...);
}

void check_histogram() {
    Random random(11);
    const int n = 20000, bins = 512;
    std::vector<int> in(n), wanted(bins);
    for (auto &x : in) ++wanted[x = static_cast<int>(random.next() % bins)];
    Device<int> data(in);
    for (unsigned cluster : {1u, 2u, 4u, 8u}) {
        Device<int> out(bins);
        CHECK(cudaMemset(out.data, 0, bins * sizeof(int)));
        int per_block = bins / static_cast<int>(cluster);
        CHECK(launch(16, 128, per_block * sizeof(int), cluster, histogram, data.data, n, out.data, per_block));
        LAUNCHED();
        same("histogram", out.host(), wanted);
    }
}

void check_square() {
    Device<int> out(24);
    square<<<dim3(6, 4), 33>>>(out.data);
    LAUNCHED();
    std::vector<int> wanted;
    for (int i = 0; i < 24; ++i) wanted.push_back(0x1111 * 100 + i / 6 % 2 * 2 + i % 2);
    same("square", out.host(), wanted);
}

void check_round_trip() {
    const int blocks = 24, size = 8;
    Device<int> out(blocks);
    CHECK(launch(blocks, 96, 0, size, round_trip, out.data));
    LAUNCHED();
    std::vector<int> wanted;
    for (int i = 0; i < blocks; ++i) wanted.push_back((i % size << size) + (1 << size) - 1);
    same("round trip", out.host(), wanted);
}

void check_errors() {
    Device<int> out(64);
    // Nine blocks are too many, three do not divide eight.
    EXPECT(launch(18, 32, 0, 9, round_trip, out.data) == cudaErrorInvalidClusterSize);
    EXPECT(launch(8, 32, 0, 3, round_trip, out.data) == cudaErrorInvalidClusterSize);
    cudaGetLastError();
    cudaLaunchAttribute attribute[1];
    attribute[0].id = cudaLaunchAttributeClusterDimension;
    attribute[0].val.clusterDim.x = 4;
    attribute[0].val.clusterDim.y = attribute[0].val.clusterDim.z = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = 16;
    config.blockDim = 128;
    config.attrs = attribute;
    config.numAttrs = 1;
    int most = 0, clusters = 0;
    CHECK(cudaOccupancyMaxPotentialClusterSize(&most, round_trip, &config));
    EXPECT(most == 8);
    CHECK(cudaOccupancyMaxActiveClusters(&clusters, round_trip, &config));
    EXPECT(clusters > 0);
}

int main() {
    check_histogram();
    check_square();
    check_round_trip();
    check_errors();
    return passed("clusters");
}
