// Block reductions, with shared memory and with shuffles, and an exclusive scan over many blocks.
#include "check.cuh"

__global__ void reduce_shared(const int *in, long long *out, int n) {
    extern __shared__ long long part[];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    part[threadIdx.x] = i < n ? in[i] : 0;
    __syncthreads();
    for (unsigned width = blockDim.x / 2; width > 0; width /= 2) {
        if (threadIdx.x < width) part[threadIdx.x] += part[threadIdx.x + width];
        __syncthreads();
    }
    if (threadIdx.x == 0) out[blockIdx.x] = part[0];
}

__device__ int warp_sum(int value) {
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xFFFFFFFFu, value, offset);
    return value;
}

__global__ void reduce_shuffle(const int *in, int *total, int n) {
    __shared__ int warps[32];
    int sum = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) sum += in[i];
    sum = warp_sum(sum);
    unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    if (lane == 0) warps[warp] = sum;
    __syncthreads();
    if (warp == 0) {
        sum = warp_sum(lane < blockDim.x / 32 ? warps[lane] : 0);
        if (lane == 0) atomicAdd(total, sum);
    }
}

// Votes and matches of a warp: how many lanes are odd, which lanes agree, the smallest value.
__global__ void votes(const int *in, unsigned *odd, unsigned *all_small, int *smallest) {
    int value = in[blockIdx.x * blockDim.x + threadIdx.x];
    unsigned ballot = __ballot_sync(0xFFFFFFFFu, value & 1);
    int all = __all_sync(0xFFFFFFFFu, value < 1000);
    int least = value;
    for (int mask = 16; mask > 0; mask /= 2) least = min(least, __shfl_xor_sync(0xFFFFFFFFu, least, mask));
    if (threadIdx.x % 32 == 0) {
        unsigned warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
        odd[warp] = __popc(ballot);
        all_small[warp] = all;
        smallest[warp] = least;
    }
}

// Scan inside a block; the sum of the block goes to `sums`.
__global__ void scan_block(const unsigned *in, unsigned *out, unsigned *sums, int n) {
    __shared__ unsigned shared[2][256];
    int i = blockIdx.x * 256 + threadIdx.x, t = threadIdx.x;
    unsigned value = i < n ? in[i] : 0;
    int from = 0;
    shared[from][t] = value;
    __syncthreads();
    for (int distance = 1; distance < 256; distance *= 2) {
        shared[1 - from][t] = shared[from][t] + (t >= distance ? shared[from][t - distance] : 0);
        from = 1 - from;
        __syncthreads();
    }
    if (i < n) out[i] = shared[from][t] - value;
    if (t == 255) sums[blockIdx.x] = shared[from][255];
}

__global__ void add_offsets(unsigned *out, const unsigned *offsets, int n) {
    int i = blockIdx.x * 256 + threadIdx.x;
    if (i < n) out[i] += offsets[blockIdx.x];
}

void scan(const unsigned *in, unsigned *out, int n) {
    int blocks = (n + 255) / 256;
    Device<unsigned> sums(blocks), offsets(blocks);
    scan_block<<<blocks, 256>>>(in, out, sums.data, n);
    if (blocks > 1) {
        scan(sums.data, offsets.data, blocks);
        add_offsets<<<blocks, 256>>>(out, offsets.data, n);
    }
    LAUNCHED();
}

int main() {
    const int n = 300001;
    Random random(7);
    std::vector<int> in(n);
    long long total = 0;
    for (int &value : in) {
        value = static_cast<int>(random.next() % 2001) - 1000;
        total += value;
    }
    Device<int> din(in);
    const int blocks = (n + 511) / 512;
    Device<long long> parts(blocks);
    reduce_shared<<<blocks, 512, 512 * sizeof(long long)>>>(din.data, parts.data, n);
    LAUNCHED();
    long long sum = 0;
    for (long long part : parts.host()) sum += part;
    EXPECT(sum == total);

    Device<int> shuffled(std::vector<int>{0});
    reduce_shuffle<<<40, 256>>>(din.data, shuffled.data, n);
    LAUNCHED();
    EXPECT(shuffled.host()[0] == total);

    const int warps = 64;
    Device<unsigned> odd(warps), small(warps);
    Device<int> smallest(warps);
    votes<<<warps / 4, 128>>>(din.data, odd.data, small.data, smallest.data);
    LAUNCHED();
    std::vector<unsigned> want_odd(warps), want_small(warps);
    std::vector<int> want_least(warps);
    for (int w = 0; w < warps; ++w) {
        want_small[w] = 1;
        want_least[w] = in[w * 32];
        for (int i = w * 32; i < w * 32 + 32; ++i) {
            want_odd[w] += in[i] & 1;
            want_small[w] &= in[i] < 1000;
            want_least[w] = std::min(want_least[w], in[i]);
        }
    }
    same("ballot", odd.host(), want_odd);
    same("all", small.host(), want_small);
    same("smallest of a warp", smallest.host(), want_least);

    std::vector<unsigned> values(n), want(n);
    unsigned running = 0;
    for (int i = 0; i < n; ++i) {
        values[i] = static_cast<unsigned>(random.next() % 1000);
        want[i] = running;
        running += values[i];
    }
    Device<unsigned> dvalues(values), dout(n);
    scan(dvalues.data, dout.data, n);
    same("scan", dout.host(), want);
    return passed("reduce: reductions, votes, scan");
}
