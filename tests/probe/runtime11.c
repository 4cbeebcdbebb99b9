// The runtime API as programs of CUDA 11 call it: what has other arguments or another layout than in later versions. There is no
// compiler of that version at hand, so that the declarations are here.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *Handle;

int cudaMalloc(void **memory, size_t bytes);
int cudaFree(void *memory);
int cudaMemcpy(void *to, const void *from, size_t bytes, int kind);
int cudaDeviceSynchronize(void);
int cudaRuntimeGetVersion(int *version);
int cudaGetDeviceProperties(void *properties, int device);
int cudaGetDriverEntryPoint(const char *symbol, void **function, unsigned long long flags);
int cudaGraphCreate(Handle *graph, unsigned flags);
int cudaGraphAddMemsetNode(Handle *node, Handle graph, const Handle *before, size_t count, const void *what);
int cudaGraphInstantiate(Handle *exec, Handle graph, Handle *error, char *log, size_t bytes);
int cudaGraphExecUpdate(Handle exec, Handle graph, Handle *error, int *result);
int cudaGraphLaunch(Handle exec, Handle stream);
int cudaGraphExecDestroy(Handle exec);
int cudaGraphDestroy(Handle graph);
int cudaStreamCreate(Handle *stream);
int cudaStreamDestroy(Handle stream);
int cudaStreamGetCaptureInfo(Handle stream, int *status, unsigned long long *id);
int cudaStreamGetAttribute(Handle stream, int attribute, void *value);
int cudaBindTexture(size_t *offset, const void *texture, const void *memory, const void *desc, size_t bytes);

#define EXPECT(condition)                                           \
    do {                                                            \
        if (!(condition)) {                                         \
            printf("FAIL line %d: %s\n", __LINE__, #condition);     \
            exit(1);                                                \
        }                                                           \
    } while (0)

struct Fill {
    void *memory;
    size_t pitch;
    unsigned value, element;
    size_t width, height;
};

static void properties(void) {
    // 728 bytes in version 11; what lies behind them is the program's.
    unsigned char bytes[728 + 64];
    memset(bytes, 0xAB, sizeof bytes);
    EXPECT(cudaGetDeviceProperties(bytes, 0) == 0);
    for (size_t i = 728; i < sizeof bytes; i++) EXPECT(bytes[i] == 0xAB);
    int warp, major;
    memcpy(&warp, bytes + 308, sizeof warp);
    memcpy(&major, bytes + 360, sizeof major);
    EXPECT(warp == 32 && major >= 8);
}

static void graphs(void) {
    unsigned *memory, out[16];
    Handle graph, node, exec, error = (Handle)1;
    char log[64] = "x";
    EXPECT(cudaMalloc((void **)&memory, sizeof out) == 0);
    EXPECT(cudaGraphCreate(&graph, 0) == 0);
    struct Fill fill = {memory, 0, 7, 4, 16, 1};
    EXPECT(cudaGraphAddMemsetNode(&node, graph, NULL, 0, &fill) == 0);
    EXPECT(cudaGraphInstantiate(&exec, graph, &error, log, sizeof log) == 0);
    int result = -1;
    EXPECT(cudaGraphExecUpdate(exec, graph, &error, &result) == 0 && result == 0);
    EXPECT(cudaGraphLaunch(exec, NULL) == 0 && cudaDeviceSynchronize() == 0);
    EXPECT(cudaMemcpy(out, memory, sizeof out, 2) == 0);
    EXPECT(out[0] == 7 && out[15] == 7);
    EXPECT(cudaGraphExecDestroy(exec) == 0 && cudaGraphDestroy(graph) == 0 && cudaFree(memory) == 0);
}

static void streams(void) {
    Handle stream;
    int status = -1;
    unsigned long long id;
    EXPECT(cudaStreamCreate(&stream) == 0);
    EXPECT(cudaStreamGetCaptureInfo(stream, &status, &id) == 0 && status == 0);
    // 32 bytes in version 11.
    unsigned char value[64];
    memset(value, 0xAB, sizeof value);
    EXPECT(cudaStreamGetAttribute(stream, 3, value) == 0);
    EXPECT(value[0] == 1 && value[31] == 0 && value[32] == 0xAB);
    EXPECT(cudaStreamDestroy(stream) == 0);
}

int main(void) {
    int version = 0;
    EXPECT(cudaRuntimeGetVersion(&version) == 0 && version == 11080);
    properties();
    void *function = NULL;
    EXPECT(cudaGetDriverEntryPoint("cuMemAlloc", &function, 0) == 0 && function != NULL);
    graphs();
    streams();
    EXPECT(cudaBindTexture(NULL, NULL, NULL, NULL, 0) == 801);
    printf("PASS runtime 11\n");
    return 0;
}
