/* Devices, the stack of contexts, primary contexts, streams, events, host functions, wrong handles, fork. */
#include "cuda.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void devices(void) {
    CUdevice device = -1;
    int count = 0, value = 0;
    char text[100];
    size_t bytes = 0;
    OK(cuDeviceGetCount(&count));
    TRUE(count == 1);
    OK(cuDeviceGet(&device, 0));
    WANT(cuDeviceGet(&device, 1), 101);
    WANT(cuDeviceGet(&device, -1), 101);
    OK(cuDeviceGetName(text, sizeof text, 0));
    TRUE(strstr(text, "NVIDIA") == text);
    OK(cuDeviceGetName(text, 5, 0));
    TRUE(strcmp(text, "NVID") == 0);
    OK(cuDeviceTotalMem_v2(&bytes, 0));
    TRUE(bytes == (size_t)1 << 30);
    OK(cuDeviceGetAttribute(&value, 10, 0));
    TRUE(value == 32);
    OK(cuDeviceGetAttribute(&value, 75, 0));
    TRUE(value >= 8);
    WANT(cuDeviceGetAttribute(&value, 10, 3), 101);
    WANT(cuDeviceGetAttribute(&value, 0, 0), 1);
    WANT(cuDeviceGetAttribute(&value, 100000, 0), 1);
    OK(cuDeviceGetPCIBusId(text, sizeof text, 0));
    OK(cuDeviceGetByPCIBusId(&device, text));
    WANT(cuDeviceGetByPCIBusId(&device, "0000:ff:1f.0"), 101);
}

static void stack(void) {
    CUcontext a, b, now;
    CUdevice device;
    OK(cuCtxGetCurrent(&now));
    TRUE(now == NULL);
    WANT(cuCtxGetDevice(&device), 201);
    WANT(cuCtxSynchronize(), 201);
    WANT(cuCtxPopCurrent_v2(&now), 201);
    OK(cuCtxCreate_v2(&a, 0, 0));
    OK(cuCtxCreate_v2(&b, 0, 0));
    TRUE(a != b);
    OK(cuCtxGetCurrent(&now));
    TRUE(now == b);
    OK(cuCtxPopCurrent_v2(&now));
    TRUE(now == b);
    OK(cuCtxGetCurrent(&now));
    TRUE(now == a);
    OK(cuCtxPushCurrent_v2(b));
    OK(cuCtxSetCurrent(a));
    OK(cuCtxGetDevice(&device));
    OK(cuCtxDestroy_v2(b));
    WANT(cuCtxDestroy_v2(b), 201);
    WANT(cuCtxSetCurrent(b), 201);
    OK(cuCtxDestroy_v2(a));
    /* a was pushed twice; the copy below is of a destroyed context. */
    WANT(cuCtxSynchronize(), 709);
    OK(cuCtxSetCurrent(NULL));
    OK(cuCtxGetCurrent(&now));
    TRUE(now == NULL);
    WANT(cuCtxCreate_v2(&a, 3, 0), 1);
    WANT(cuCtxCreate_v2(&a, 0, 1), 101);
    WANT(cuCtxCreate_v2(NULL, 0, 0), 1);
}

static void primary(void) {
    CUcontext first, second;
    unsigned flags = 9;
    int active = 9;
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    TRUE(active == 0);
    OK(cuDevicePrimaryCtxRetain(&first, 0));
    OK(cuDevicePrimaryCtxRetain(&second, 0));
    TRUE(first == second);
    OK(cuCtxSetCurrent(first));
    WANT(cuCtxDestroy_v2(first), 201);
    OK(cuDevicePrimaryCtxRelease_v2(0));
    OK(cuCtxSynchronize());
    OK(cuDevicePrimaryCtxRelease_v2(0));
    WANT(cuCtxSynchronize(), 709);
    WANT(cuDevicePrimaryCtxRelease_v2(0), 201);
    OK(cuDevicePrimaryCtxRetain(&second, 0));
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    TRUE(active == 1);
    OK(cuDevicePrimaryCtxReset_v2(0));
    OK(cuDevicePrimaryCtxGetState(0, &flags, &active));
    TRUE(active == 0);
    OK(cuCtxSetCurrent(NULL));
}

static volatile int seen;
static void note(void *data) { seen = *(int *)data; }
static void reenter(void *data) { *(CUresult *)data = cuStreamSynchronize(NULL); }

static void streams(void) {
    CUstream s, urgent;
    CUevent start, stop, plain;
    CUdeviceptr p;
    float ms = -1;
    int value = 7, priority = 1, capturing = 9;
    CUresult inside = 0;
    OK(cuStreamCreate(&s, 1));
    OK(cuStreamCreateWithPriority(&urgent, 1, -100));
    OK(cuStreamGetPriority(urgent, &priority));
    TRUE(priority == -5);
    OK(cuEventCreate(&start, 0));
    OK(cuEventCreate(&stop, 0));
    OK(cuEventCreate(&plain, 2));
    OK(cuEventQuery(start));
    OK(cuEventSynchronize(start));
    WANT(cuEventElapsedTime(&ms, start, stop), 400);
    OK(cuMemAlloc_v2(&p, 64 << 20));
    OK(cuEventRecord(start, s));
    for (int i = 0; i < 20; i++) OK(cuMemsetD32Async(p, i, 16 << 20, s));
    OK(cuEventRecord(stop, s));
    OK(cuStreamWaitEvent(urgent, stop, 0));
    OK(cuMemsetD32Async(p, 99, 1, urgent));
    OK(cuStreamSynchronize(urgent));
    OK(cuEventQuery(stop));
    OK(cuEventElapsedTime(&ms, start, stop));
    TRUE(ms > 0 && ms < 60000);
    OK(cuEventRecord(plain, 0));
    OK(cuEventSynchronize(plain));
    WANT(cuEventElapsedTime(&ms, start, plain), 400);
    /* A host function runs after what is before it and before what is behind it. */
    unsigned word = 0;
    OK(cuMemsetD32Async(p, 5, 16 << 20, s));
    OK(cuLaunchHostFunc(s, note, &value));
    OK(cuStreamSynchronize(s));
    TRUE(seen == 7);
    OK(cuLaunchHostFunc(s, reenter, &inside));
    OK(cuMemcpyDtoHAsync_v2(&word, p, 4, s));
    OK(cuStreamSynchronize(s));
    TRUE(word == 5);
    OK(cuStreamQuery(s));
    OK(cuStreamQuery(0));
    OK(cuStreamQuery((CUstream)1));
    OK(cuStreamQuery((CUstream)2));
    OK(cuStreamIsCapturing(s, &capturing));
    TRUE(capturing == 0);
    OK(cuStreamBeginCapture_v2(s, 0));
    OK(cuStreamIsCapturing(s, &capturing));
    TRUE(capturing == 1);
    WANT(cuMemFree_v2(p), 900);
    OK(cuStreamIsCapturing(s, &capturing));
    TRUE(capturing == 2);
    void *graph = &graph;
    WANT(cuStreamEndCapture(s, &graph), 901);
    TRUE(graph == NULL);
    OK(cuMemFree_v2(p));
    OK(cuEventDestroy_v2(start));
    OK(cuEventDestroy_v2(stop));
    OK(cuEventDestroy_v2(plain));
    OK(cuStreamDestroy_v2(s));
    OK(cuStreamDestroy_v2(urgent));
    WANT(cuStreamDestroy_v2(s), 709);
    WANT(cuStreamQuery(s), 709);
    WANT(cuEventRecord(start, 0), 400);
    WANT(cuStreamDestroy_v2(NULL), 400);
}

/* Every function that takes a handle, with handles of other kinds and out of thin air. */
static void abuse(CUcontext context) {
    void *wrong[] = {NULL, (void *)3, (void *)0x10, (void *)0xdeadbeef, (void *)~0ull, context, &failures};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        void *h = wrong[i], *out = NULL;
        int number = 0;
        size_t size = 0;
        CUdeviceptr p = 0;
        if (h != NULL) {
            WANT(cuStreamSynchronize(h), 400);
            WANT(cuMemsetD32Async(0x1000, 0, 1, h), 400);
        }
        WANT(cuEventQuery(h), 400);
        WANT(cuEventDestroy_v2(h), 400);
        WANT(cuModuleUnload(h), 400);
        WANT(cuModuleGetFunction(&out, h, "x"), 400);
        WANT(cuModuleGetGlobal_v2(&p, &size, h, "x"), 400);
        WANT(cuFuncGetAttribute(&number, 0, h), 400);
        WANT(cuLaunchKernel(h, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), 400);
        WANT(cuLibraryUnload(h), 400);
        WANT(cuLibraryGetKernel(&out, h, "x"), 400);
        WANT(cuKernelGetFunction(&out, h), 400);
        WANT(cuLinkDestroy(h), 400);
        if (h != context) WANT(cuCtxDestroy_v2(h), 201);
        if (h != context) WANT(cuCtxPushCurrent_v2(h), 201);
    }
    const void *table = &failures;
    unsigned char id[16] = {0};
    TRUE(cuGetExportTable(&table, id) != 0);
    TRUE(table == NULL);
    void *graph;
    WANT(cuGraphCreate(NULL, 0), 1);
    WANT(cuGraphCreate(&graph, 1), 1);
    OK(cuGraphCreate(&graph, 0));
    OK(cuGraphDestroy(graph));
    WANT(cuGraphDestroy(graph), 1);
    WANT(cuGraphDestroy(NULL), 1);
    WANT(cuMulticastCreate(graph, id), 801);
    WANT(cuMulticastCreate(graph, id), 801);
}

static void *worker(void *context) {
    long bad = 0;
    bad += cuCtxSetCurrent(context) != 0;
    for (int i = 0; i < 200; i++) {
        CUdeviceptr p = 0;
        CUevent event;
        unsigned word = 0;
        bad += cuMemAlloc_v2(&p, 4096) != 0;
        bad += cuEventCreate(&event, 2) != 0;
        bad += cuMemsetD32Async(p, (unsigned)i, 1024, (CUstream)2) != 0;
        bad += cuEventRecord(event, (CUstream)2) != 0;
        bad += cuEventSynchronize(event) != 0;
        bad += cuMemcpyDtoH_v2(&word, p, 4) != 0;
        bad += word != (unsigned)i;
        bad += cuEventDestroy_v2(event) != 0;
        bad += cuMemFree_v2(p) != 0;
    }
    return (void *)bad;
}

static void threads(CUcontext context) {
    pthread_t list[4];
    for (int i = 0; i < 4; i++) pthread_create(&list[i], NULL, worker, context);
    for (int i = 0; i < 4; i++) {
        void *bad = NULL;
        pthread_join(list[i], &bad);
        TRUE(bad == NULL);
    }
}

static void fork_is_the_end(void) {
    pid_t child = fork();
    if (child == 0) {
        int number = 0;
        CUcontext now;
        if (cuDeviceGetCount(&number) != 3) _exit(1);
        if (cuCtxGetCurrent(&now) != 3) _exit(2);
        if (cuInit(0) != 3) _exit(3);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(cuCtxSynchronize());
}

int main(void) {
    CUcontext context;
    OK(cuInit(0));
    OK(cuInit(0));
    devices();
    stack();
    primary();
    OK(cuCtxCreate_v2(&context, 0, 0));
    streams();
    abuse(context);
    threads(context);
    fork_is_the_end();
    OK(cuCtxDestroy_v2(context));
    return failures != 0;
}
