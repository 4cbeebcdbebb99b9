// __managed__ variables: one address for host and device, in every context, initial values included.
#include "driver.cuh"

DRIVER(cuCtxDestroy);
DRIVER(cuCtxGetCurrent);

struct Record {
    int number;
    double value;
    char text[16];
};

__managed__ int counter = 41;
__managed__ unsigned table[1000] = {1, 2, 3};
__managed__ Record record = {7, 2.5, "seven"};
__managed__ int *pointer;
__device__ unsigned plain[4] = {9, 8, 7, 6};

static __global__ void change(unsigned count) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) table[i] += i;
    if (i == 0) {
        ++counter;
        record.number += 1;
        record.value *= 2;
        record.text[0] = 'S';
        pointer = &counter;
        table[500] += 1000;
        plain[0] += counter;
    }
}

static __global__ void wait_for(unsigned *flag, unsigned *answer) {
    while (atomicAdd(flag, 0) == 0) {}
    atomicExch(answer, 5u);
    __threadfence_system();
}

__managed__ unsigned flag, answer;

int main() {
    // The host uses it before anything else was asked of the device.
    EXPECT(counter == 41 && table[2] == 3 && table[999] == 0);
    EXPECT(record.number == 7 && record.value == 2.5 && std::strcmp(record.text, "seven") == 0);
    EXPECT(pointer == nullptr);
    counter = 1;
    table[3] = 100;
    change<<<4, 256>>>(1000);
    LAUNCHED();
    EXPECT(counter == 2 && table[0] == 1 && table[3] == 103 && table[999] == 999 && table[500] == 1500);
    EXPECT(record.number == 8 && record.value == 5 && std::strcmp(record.text, "Seven") == 0);
    EXPECT(pointer == &counter);

    void *address;
    size_t bytes;
    CHECK(cudaGetSymbolAddress(&address, table));
    CHECK(cudaGetSymbolSize(&bytes, table));
    EXPECT(address == table && bytes == sizeof table);
    unsigned word = 77;
    CHECK(cudaMemcpyToSymbol(table, &word, 4, 16));
    EXPECT(table[4] == 77);
    CHECK(cudaMemcpyFromSymbol(&word, plain, 4));
    EXPECT(word == 11);
    std::vector<unsigned> copy(1000);
    CHECK(cudaMemcpy(copy.data(), table, sizeof table, cudaMemcpyDefault));
    EXPECT(copy[4] == 77 && copy[999] == 999);
    cudaPointerAttributes attributes;
    CHECK(cudaPointerGetAttributes(&attributes, &record.value));
    EXPECT(attributes.type == cudaMemoryTypeManaged && attributes.devicePointer == &record.value);
    EXPECT(cudaFree(table) == cudaErrorInvalidValue);
    cudaGetLastError();

    // Both sides at once.
    wait_for<<<1, 1>>>(&flag, &answer);
    CHECK(cudaGetLastError());
    __atomic_store_n(&flag, 1, __ATOMIC_SEQ_CST);
    until([&] { return __atomic_load_n(&answer, __ATOMIC_SEQ_CST) == 5; });
    CHECK(cudaDeviceSynchronize());

    // Another context has the same ones, and they are still there when it is gone.
    CUcontext first;
    OK(d_cuCtxGetCurrent(&first));
    CUcontext second = context();
    change<<<4, 256>>>(1000);
    LAUNCHED();
    EXPECT(counter == 3 && table[999] == 2 * 999 && record.value == 10);
    EXPECT(table[500] == 3000);
    OK(d_cuCtxDestroy(second));
    OK(d_cuCtxSetCurrent(first));
    counter = 10;
    change<<<4, 256>>>(1000);
    LAUNCHED();
    EXPECT(counter == 11 && table[999] == 3 * 999);
    std::printf("PASS six variables\n");
}
