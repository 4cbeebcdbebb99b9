// Mistakes on purpose, one kernel each. A line with a mistake says what the checking mode has to find there, and in which thread:
// `// finds: KIND, block X, thread X`. Nothing else may be found.
#include "../programs/check.cuh"
#include <string>

// Past the end of an allocation.
__global__ void past_the_end(int *out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i <= n)
        out[i] = i; // finds: out of bounds, block 1, thread 36
}

// Before the start of an array in shared memory.
__global__ void before_the_start(int *out, int shift) {
    __shared__ int ahead[4];
    __shared__ int tile[64];
    int i = threadIdx.x;
    if (i < 4) ahead[i] = i;
    tile[i] = i;
    __syncthreads();
    if (i < 4) tile[i + 1] += ahead[i];
    __syncthreads();
    out[i] = tile[i - shift]; // finds: out of bounds, block 0, thread 0
}

// A local array with an index that is too large.
__global__ void local_index(int *out, int at) {
    int values[8];
    for (int i = 0; i < 8; i++)
        values[i] = i * at;
    int i = threadIdx.x;
    values[(i * 3 + at) & 7] = i;
    out[i] = values[i + at]; // finds: out of bounds, block 0, thread 7
}

// A sum over an array of which one element was not written.
__global__ void not_written(int *out) {
    __shared__ int tile[64];
    int i = threadIdx.x;
    if (i != 63) tile[i] = i;
    __syncthreads();
    out[i] = tile[63 - i]; // finds: uninitialised, block 0, thread 0
}

// Memory of cudaMalloc that nobody filled.
__global__ void not_filled(const float *in, float *out) {
    int i = threadIdx.x;
    out[i] = in[i] * 2.0f; // finds: uninitialised, block 0, thread 32
}

// A tree without its barrier.
__global__ void missing_barrier(int *out) {
    __shared__ int tile[128];
    int i = threadIdx.x;
    tile[i] = i;
    out[i] = tile[127 - i]; // finds: race, block 0
}

// One counter, added to without an atomic.
__global__ void plain_counter(int *out) {
    __shared__ int count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        count += 1; // finds: race, block 0
    __syncthreads();
    if (threadIdx.x == 0) *out = count;
}

// A barrier that half a warp does not come to.
__global__ void half_a_warp(int *out) {
    __shared__ int tile[64];
    int i = threadIdx.x;
    tile[i] = i;
    if (i % 32 < 16)
        __syncthreads(); // finds: divergent barrier, block 0
    out[i] = tile[i];
}

// A mask that names lanes that are gone.
__global__ void gone_lanes(int *out) {
    int i = threadIdx.x;
    if (i >= 8) return;
    out[i] = i;
    asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); // finds: member mask, block 0
}

// A word that does not begin at a multiple of four.
__global__ void crooked(char *memory) {
    int *word = reinterpret_cast<int *>(memory + 2 + 4 * threadIdx.x);
    *word = 1; // finds: misaligned, block 0, thread 0
}

// Free what was freed.
__global__ void twice(int **place) {
    int *memory = static_cast<int *>(malloc(64));
    *memory = 1;
    *place = memory;
    free(memory);
    free(*place); // finds: double free, block 0, thread 0
}

int *ints(int count, bool filled = true) {
    int *memory = nullptr;
    CHECK(cudaMalloc(&memory, count * sizeof(int)));
    if (filled) CHECK(cudaMemset(memory, 0, count * sizeof(int)));
    return memory;
}

int main(int count, char **arguments) {
    std::string name = count > 1 ? arguments[1] : "";
    int *out = ints(256);
    if (name == "past_the_end") past_the_end<<<2, 64>>>(ints(100), 100);
    if (name == "before_the_start") before_the_start<<<1, 64>>>(out, 1);
    if (name == "local_index") local_index<<<1, 32>>>(out, 1);
    if (name == "not_written") not_written<<<1, 64>>>(out);
    if (name == "not_filled") {
        int *in = ints(64, false);
        CHECK(cudaMemset(in, 0, 32 * sizeof(int)));
        not_filled<<<1, 64>>>(reinterpret_cast<float *>(in), reinterpret_cast<float *>(out));
    }
    if (name == "missing_barrier") missing_barrier<<<1, 128>>>(out);
    if (name == "plain_counter") plain_counter<<<1, 128>>>(out);
    if (name == "half_a_warp") half_a_warp<<<1, 64>>>(out);
    if (name == "gone_lanes") gone_lanes<<<1, 32>>>(out);
    if (name == "crooked") crooked<<<1, 4>>>(reinterpret_cast<char *>(out));
    if (name == "twice") twice<<<1, 1>>>(reinterpret_cast<int **>(out));
    // Some mistakes are faults on a GPU, too.
    (void)cudaDeviceSynchronize();
    return 0;
}
