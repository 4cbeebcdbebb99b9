// Memory that is more than an allocation, through the driver API: memory and addresses apart, memory of two processes, managed memory.
#include "driver.cuh"

#include <string>
#include <sys/wait.h>
#include <unistd.h>

DRIVER(cuCtxSynchronize);
DRIVER(cuDeviceGetAttribute);
DRIVER(cuIpcCloseMemHandle);
DRIVER(cuIpcGetMemHandle);
DRIVER(cuIpcOpenMemHandle);
DRIVER(cuMemAddressFree);
DRIVER(cuMemAddressReserve);
DRIVER(cuMemAlloc);
DRIVER(cuMemAllocManaged);
DRIVER(cuMemCreate);
DRIVER(cuMemExportToShareableHandle);
DRIVER(cuMemFree);
DRIVER(cuMemGetAllocationGranularity);
DRIVER(cuMemGetInfo);
DRIVER(cuMemImportFromShareableHandle);
DRIVER(cuMemMap);
DRIVER(cuMemRelease);
DRIVER(cuMemSetAccess);
DRIVER(cuMemUnmap);
DRIVER(cuMemcpyDtoH);
DRIVER(cuMemcpyHtoD);

static __global__ void add(unsigned *data, unsigned count, unsigned what) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) data[i] += i * what;
}

static void launch(CUdeviceptr data, unsigned count, unsigned what) {
    add<<<64, 256>>>(reinterpret_cast<unsigned *>(data), count, what);
    LAUNCHED();
}

static void expect(const char *name, CUdeviceptr data, unsigned count, unsigned what) {
    std::vector<unsigned> got(count), want(count);
    OK(d_cuMemcpyDtoH(got.data(), data, count * 4));
    for (unsigned i = 0; i < count; ++i) want[i] = i * what;
    same(name, got, want);
}

static CUmemAllocationProp properties(CUmemAllocationHandleType types) {
    CUmemAllocationProp made = {};
    made.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    made.requestedHandleTypes = types;
    made.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    return made;
}

static void allow(CUdeviceptr address, size_t bytes, CUmemAccess_flags flags) {
    CUmemAccessDesc access = {};
    access.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    access.flags = flags;
    OK(d_cuMemSetAccess(address, bytes, &access, 1));
}

// A vector that grows in place, as allocators with segments that expand do: kernels see one array, whatever the pieces.
static void growing() {
    CUmemAllocationProp wish = properties(CU_MEM_HANDLE_TYPE_NONE);
    size_t piece, before, now, total;
    OK(d_cuMemGetAllocationGranularity(&piece, &wish, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
    OK(d_cuMemGetInfo(&before, &total));
    const unsigned pieces = 6, words = unsigned(piece / 4);
    CUdeviceptr base;
    OK(d_cuMemAddressReserve(&base, total / piece * piece + piece, 0, 0, 0));
    for (unsigned have = 1; have <= pieces; ++have) {
        CUmemGenericAllocationHandle memory;
        CUdeviceptr end = base + (have - 1) * piece;
        OK(d_cuMemCreate(&memory, piece, &wish, 0));
        OK(d_cuMemMap(end, piece, 0, memory, 0));
        OK(d_cuMemRelease(memory));
        allow(end, piece, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
        launch(base, have * words, 1);
    }
    std::vector<unsigned> got(pieces * words), want(pieces * words);
    OK(d_cuMemcpyDtoH(got.data(), base, pieces * piece));
    for (unsigned i = 0; i < pieces * words; ++i) want[i] = i * (pieces - i / words);
    same("a vector that grows", got, want);
    OK(d_cuMemGetInfo(&now, &total));
    EXPECT(before - now == pieces * piece);
    // From the middle, then the rest.
    OK(d_cuMemUnmap(base + 2 * piece, 2 * piece));
    DRIVER_EXPECT(d_cuMemcpyDtoH(got.data(), base, pieces * piece), CUDA_ERROR_INVALID_VALUE);
    OK(d_cuMemUnmap(base, 2 * piece));
    OK(d_cuMemUnmap(base + 4 * piece, 2 * piece));
    OK(d_cuMemAddressFree(base, total / piece * piece + piece));
    OK(d_cuMemGetInfo(&now, &total));
    EXPECT(now == before);
}

// A ring: one memory twice, side by side.
static void ring() {
    CUmemAllocationProp wish = properties(CU_MEM_HANDLE_TYPE_NONE);
    const size_t bytes = 2 << 20;
    const unsigned words = bytes / 4;
    CUmemGenericAllocationHandle memory;
    CUdeviceptr base;
    OK(d_cuMemCreate(&memory, bytes, &wish, 0));
    OK(d_cuMemAddressReserve(&base, 2 * bytes, 0, 0, 0));
    OK(d_cuMemMap(base, bytes, 0, memory, 0));
    OK(d_cuMemMap(base + bytes, bytes, 0, memory, 0));
    allow(base, 2 * bytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    launch(base + bytes / 2, words, 5);
    std::vector<unsigned> got(words), want(words);
    OK(d_cuMemcpyDtoH(got.data(), base, bytes));
    for (unsigned i = 0; i < words; ++i) want[(i + words / 2) % words] = i * 5;
    same("a ring", got, want);
    OK(d_cuMemUnmap(base, 2 * bytes));
    OK(d_cuMemRelease(memory));
    OK(d_cuMemAddressFree(base, 2 * bytes));
}

// One pointer for both sides, where the vGPU has unified memory, and an error where it has not.
static void managed() {
    const unsigned words = 100000;
    int supported = -1;
    CUdeviceptr memory;
    OK(d_cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY, 0));
    if (supported == 0) {
        DRIVER_EXPECT(d_cuMemAllocManaged(&memory, words * 4, CU_MEM_ATTACH_GLOBAL), CUDA_ERROR_NOT_SUPPORTED);
        return;
    }
    OK(d_cuMemAllocManaged(&memory, words * 4, CU_MEM_ATTACH_GLOBAL));
    unsigned *data = reinterpret_cast<unsigned *>(memory);
    for (unsigned i = 0; i < words; ++i) data[i] = i * 2;
    launch(memory, words, 7);
    for (unsigned i = 0; i < words; ++i)
        if (data[i] != i * 9) fail("managed word %u is %u", i, data[i]);
    OK(d_cuMemFree(memory));
}

const unsigned WORDS = 100000;

// The other process: kernels work on the first one's memory.
static int second(int descriptor, int from, int to) {
    CUipcMemHandle handle;
    CUmemGenericAllocationHandle memory;
    CUdeviceptr base, opened;
    char byte = 0;
    begin();
    OK(d_cuMemImportFromShareableHandle(&memory, reinterpret_cast<void *>(intptr_t(descriptor)), CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    OK(d_cuMemAddressReserve(&base, 2 << 20, 0, 0, 0));
    OK(d_cuMemMap(base, 2 << 20, 0, memory, 0));
    allow(base, 2 << 20, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    EXPECT(read(from, &handle, sizeof handle) == ssize_t(sizeof handle));
    OK(d_cuIpcOpenMemHandle(&opened, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    launch(base, WORDS, 10);
    launch(opened, WORDS, 20);
    EXPECT(write(to, &byte, 1) == 1);
    // The end of the pipe: the first process has given it all up.
    EXPECT(read(from, &byte, 1) == 0);
    expect("memory by descriptor", base, WORDS, 11);
    expect("memory by handle", opened, WORDS, 22);
    OK(d_cuIpcCloseMemHandle(opened));
    return 0;
}

static void two_processes(const char *self) {
    CUmemAllocationProp wish = properties(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    CUmemGenericAllocationHandle memory;
    CUdeviceptr base, allocation;
    CUipcMemHandle handle;
    int descriptor, down[2], up[2], status = -1;
    char byte;
    OK(d_cuMemCreate(&memory, 2 << 20, &wish, 0));
    OK(d_cuMemAddressReserve(&base, 2 << 20, 0, 0, 0));
    OK(d_cuMemMap(base, 2 << 20, 0, memory, 0));
    allow(base, 2 << 20, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    OK(d_cuMemExportToShareableHandle(&descriptor, memory, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    OK(d_cuMemAlloc(&allocation, WORDS * 4));
    OK(d_cuIpcGetMemHandle(&handle, allocation));
    launch(base, WORDS, 1);
    std::vector<unsigned> twos(WORDS);
    for (unsigned i = 0; i < WORDS; ++i) twos[i] = i * 2;
    OK(d_cuMemcpyHtoD(allocation, twos.data(), WORDS * 4));
    EXPECT(pipe(down) == 0 && pipe(up) == 0);
    std::string numbers[] = {std::to_string(dup(descriptor)), std::to_string(down[0]), std::to_string(up[1])};
    pid_t child = fork();
    if (child == 0) {
        close(down[1]);
        execl("/proc/self/exe", self, numbers[0].c_str(), numbers[1].c_str(), numbers[2].c_str(), nullptr);
        _exit(1);
    }
    close(up[1]);
    EXPECT(write(down[1], &handle, sizeof handle) == ssize_t(sizeof handle));
    EXPECT(read(up[0], &byte, 1) == 1);
    expect("memory that another process wrote", base, WORDS, 11);
    expect("an allocation that another process wrote", allocation, WORDS, 22);
    OK(d_cuMemFree(allocation));
    OK(d_cuMemUnmap(base, 2 << 20));
    OK(d_cuMemRelease(memory));
    OK(d_cuMemAddressFree(base, 2 << 20));
    close(down[1]);
    EXPECT(waitpid(child, &status, 0) == child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("the other process ended with %d", status);
}

// Kernels may do what was allowed. The last one: the context is lost.
static void forbidden() {
    CUmemAllocationProp wish = properties(CU_MEM_HANDLE_TYPE_NONE);
    CUmemGenericAllocationHandle memory;
    CUdeviceptr base;
    OK(d_cuMemCreate(&memory, 2 << 20, &wish, 0));
    OK(d_cuMemAddressReserve(&base, 2 << 20, 0, 0, 0));
    OK(d_cuMemMap(base, 2 << 20, 0, memory, 0));
    allow(base, 2 << 20, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    launch(base, 1000, 3);
    allow(base, 2 << 20, CU_MEM_ACCESS_FLAGS_PROT_READ);
    expect("read-only memory", base, 1000, 3);
    allow(base, 2 << 20, CU_MEM_ACCESS_FLAGS_PROT_NONE);
    add<<<1, 32>>>(reinterpret_cast<unsigned *>(base), 32, 1);
    CHECK(cudaGetLastError());
    DRIVER_EXPECT(d_cuCtxSynchronize(), CUDA_ERROR_ILLEGAL_ADDRESS);
}

int main(int count, char **arguments) {
    if (count == 4) return second(std::atoi(arguments[1]), std::atoi(arguments[2]), std::atoi(arguments[3]));
    begin();
    int supported = 0;
    OK(d_cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0));
    EXPECT(supported == 1);
    growing();
    ring();
    managed();
    two_processes(arguments[0]);
    forbidden();
    std::printf("PASS memory\n");
    return 0;
}
