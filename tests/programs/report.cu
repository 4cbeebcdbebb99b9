// What kernels tell: printf, a failed assertion, a trap, a store through a wild pointer. All but the first end their context, so each runs
// in a process of its own, whose output comes back through a pipe.
#undef NDEBUG
#include "check.cuh"
#include <cassert>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

__global__ void speak(int block_base) {
    if (threadIdx.x == 0)
        printf("block %d of %d: %5.2f|%-6s|%x|%lld|%c|%%|%p\n", blockIdx.x + block_base, gridDim.x, blockIdx.x * 0.25, "text", 0xBEEF + blockIdx.x,
               -1234567890123ll * (blockIdx.x + 1), 'a' + blockIdx.x, reinterpret_cast<void *>(0x1000));
}

__global__ void assert_small(const int *values, int n) {
    int i = threadIdx.x;
    if (i < n) assert(values[i] < 10);
}

__global__ void stop(int at) {
    if (threadIdx.x == at) __trap();
}

__global__ void store(int *where) { *where = 1; }

void say() {
    speak<<<3, 32>>>(10);
    LAUNCHED();
}

void wrong_assertion() {
    Device<int> values(std::vector<int>{1, 2, 3, 40});
    assert_small<<<1, 32>>>(values.data, 3);
    LAUNCHED();
    assert_small<<<1, 32>>>(values.data, 4);
    cudaError_t error = cudaDeviceSynchronize();
    if (error != cudaErrorAssert) fail("a failed assertion gave %s", cudaGetErrorName(error));
    // The context is lost, and says so again.
    EXPECT(cudaDeviceSynchronize() == cudaErrorAssert);
}

void trap() {
    stop<<<1, 32>>>(40);
    LAUNCHED();
    stop<<<1, 32>>>(4);
    cudaError_t error = cudaDeviceSynchronize();
    if (error != cudaErrorLaunchFailure) fail("a trap gave %s", cudaGetErrorName(error));
    int *memory = nullptr;
    EXPECT(cudaMalloc(&memory, 16) == cudaErrorLaunchFailure);
}

void wild() {
    store<<<1, 1>>>(reinterpret_cast<int *>(0x1234560));
    cudaError_t error = cudaDeviceSynchronize();
    if (error != cudaErrorIllegalAddress) fail("a wild store gave %s", cudaGetErrorName(error));
    EXPECT(cudaPeekAtLastError() == cudaErrorIllegalAddress);
}

// With a core dump asked for, which is not written: the fault is the same, and the process goes on.
void dumped() {
    setenv("CUDA_ENABLE_COREDUMP_ON_EXCEPTION", "1", 1);
    unsetenv("TESSERA_LOG");
    wild();
    EXPECT(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
}

size_t times(const std::string &text, const char *part) {
    size_t found = 0;
    for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++found;
    return found;
}

// Runs a part in a child and answers what it printed; a child that fails ends the program.
std::string in_a_child(const char *name, void (*part)()) {
    int ends[2];
    if (pipe(ends) != 0) fail("no pipe");
    std::fflush(stdout);
    pid_t child = fork();
    if (child < 0) fail("no process");
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        part();
        std::fflush(stdout);
        std::_Exit(0);
    }
    close(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(n));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("%s: status %d\n%s", name, status, text.c_str());
    return text;
}

void contains(const std::string &text, const char *part) {
    if (text.find(part) == std::string::npos) fail("the output lacks \"%s\":\n%s", part, text.c_str());
}

int main() {
    std::string said = in_a_child("printf", say);
    for (int b = 0; b < 3; ++b) {
        char want[200];
        std::snprintf(want, sizeof want, "block %d of %d: %5.2f|%-6s|%x|%lld|%c|%%|%p\n", b + 10, 3, b * 0.25, "text", 0xBEEF + b,
                      -1234567890123ll * (b + 1), 'a' + b, reinterpret_cast<void *>(0x1000));
        contains(said, want);
    }
    std::string assertion = in_a_child("assert", wrong_assertion);
    contains(assertion, "values[i] < 10");
    contains(assertion, "assert_small");
    contains(assertion, "thread: [3,0,0]");
    in_a_child("trap", trap);
    const char *line = "core dump of the GPU was asked for";
    EXPECT(times(in_a_child("wild store", wild), line) == 0);
    EXPECT(times(in_a_child("core dump", dumped), line) == 1);
    return passed("report: printf, assertion, trap, wild store, core dump");
}
