/*
 * probe: drives a vGPU through the driver API, for the tests of limits and faults. Built with the C compiler alone.
 *
 *   probe alloc BYTES          allocates once; prints the error name
 *   probe hold BYTES           allocates, fills and holds until killed; prints "holding" when ready
 *   probe fill BYTES           allocates up to BYTES in pieces of 256 MiB until refused; prints how much it got
 *   probe wild                 a store through a wild pointer, then the state of its own context and of a fresh one
 *   probe endless              an endless kernel; prints "running" and waits for it
 *   probe work SECONDS         adds vectors and checks them until the time is over; prints the rounds done
 *   probe patience             an endless kernel, then reports the error that ends the wait and how long it took to notice
 *
 * Exit status: 0 when what the mode is there to show was seen, 1 otherwise, 2 for wrong usage.
 */
#include "cuda_min.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char PTX[] =
    ".version 7.0\n"
    ".target sm_50\n"
    ".address_size 64\n"
    ".visible .entry add(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)\n"
    "{\n"
    "  .reg .pred %p<2>;\n"
    "  .reg .b32 %r<8>;\n"
    "  .reg .b64 %d<12>;\n"
    "  ld.param.u64 %d1, [a];\n"
    "  ld.param.u64 %d2, [b];\n"
    "  ld.param.u64 %d3, [c];\n"
    "  ld.param.u32 %r1, [n];\n"
    "  mov.u32 %r2, %ctaid.x;\n"
    "  mov.u32 %r3, %ntid.x;\n"
    "  mov.u32 %r4, %tid.x;\n"
    "  mad.lo.s32 %r5, %r2, %r3, %r4;\n"
    "  setp.ge.u32 %p1, %r5, %r1;\n"
    "  @%p1 bra DONE;\n"
    "  mul.wide.u32 %d4, %r5, 4;\n"
    "  add.s64 %d5, %d1, %d4;\n"
    "  add.s64 %d6, %d2, %d4;\n"
    "  add.s64 %d7, %d3, %d4;\n"
    "  ld.global.u32 %r6, [%d5];\n"
    "  ld.global.u32 %r7, [%d6];\n"
    "  add.u32 %r6, %r6, %r7;\n"
    "  st.global.u32 [%d7], %r6;\n"
    "DONE:\n"
    "  ret;\n"
    "}\n"
    ".visible .entry store(.param .u64 p)\n"
    "{\n"
    "  .reg .b32 %r<2>;\n"
    "  .reg .b64 %d<2>;\n"
    "  ld.param.u64 %d1, [p];\n"
    "  mov.u32 %r1, 7;\n"
    "  st.global.u32 [%d1], %r1;\n"
    "  ret;\n"
    "}\n"
    ".visible .entry spin(.param .u64 p)\n"
    "{\n"
    "  .reg .pred %p<2>;\n"
    "  .reg .b32 %r<2>;\n"
    "  .reg .b64 %d<2>;\n"
    "  ld.param.u64 %d1, [p];\n"
    "AGAIN:\n"
    "  ld.volatile.global.u32 %r1, [%d1];\n"
    "  setp.eq.u32 %p1, %r1, 0;\n"
    "  @%p1 bra AGAIN;\n"
    "  ret;\n"
    "}\n";

static const char *name_of(CUresult code) {
    const char *text = NULL;
    if (cuGetErrorName(code, &text) != CUDA_SUCCESS || text == NULL) return "an unknown code";
    return text;
}

/* Ends the program where a call that must work did not. */
static void must(CUresult code, const char *what) {
    if (code == CUDA_SUCCESS) return;
    printf("FAIL %s: %s (%d)\n", what, name_of(code), code);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static CUcontext context_on_device(void) {
    CUdevice device;
    CUcontext context;
    must(cuInit(0), "cuInit");
    must(cuDeviceGet(&device, 0), "cuDeviceGet");
    must(cuCtxCreate_v2(&context, 0, device), "cuCtxCreate");
    return context;
}

static CUfunction function(const char *name) {
    CUmodule module;
    CUfunction found;
    must(cuModuleLoadData(&module, PTX), "cuModuleLoadData");
    must(cuModuleGetFunction(&found, module, name), "cuModuleGetFunction");
    return found;
}

static int alloc_once(size_t bytes) {
    CUdeviceptr pointer = 0;
    context_on_device();
    CUresult code = cuMemAlloc_v2(&pointer, bytes);
    printf("%s\n", name_of(code));
    return code == CUDA_SUCCESS ? 0 : 1;
}

static _Noreturn int hold(size_t bytes) {
    CUdeviceptr pointer = 0;
    context_on_device();
    must(cuMemAlloc_v2(&pointer, bytes), "cuMemAlloc");
    must(cuMemsetD32_v2(pointer, 0x5eed5eed, (bytes < (16u << 20) ? bytes : (16u << 20)) / 4), "cuMemsetD32");
    must(cuCtxSynchronize(), "cuCtxSynchronize");
    printf("holding\n");
    fflush(stdout);
    for (;;) {
        struct timespec pause = {3600, 0};
        nanosleep(&pause, NULL);
    }
}

static int fill(size_t bytes) {
    const size_t piece = (size_t)256 << 20;
    size_t got = 0, free_bytes = 0, total = 0;
    CUresult code = CUDA_SUCCESS;
    context_on_device();
    while (got < bytes) {
        CUdeviceptr pointer = 0;
        code = cuMemAlloc_v2(&pointer, piece);
        if (code != CUDA_SUCCESS) break;
        got += piece;
    }
    must(cuMemGetInfo_v2(&free_bytes, &total), "cuMemGetInfo");
    printf("%zu MiB of %zu MiB, then %s\n", got >> 20, total >> 20, name_of(code));
    return code == CUDA_ERROR_OUT_OF_MEMORY && got <= total ? 0 : 1;
}

static int wild(void) {
    CUcontext context = context_on_device();
    CUdeviceptr bad = 0x123456789000ULL;
    void *parameters[] = {&bad};
    CUfunction store = function("store");
    must(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL), "cuLaunchKernel");
    CUresult first = cuCtxSynchronize();
    CUdeviceptr pointer;
    CUresult after = cuMemAlloc_v2(&pointer, 4096);
    CUresult again = cuCtxSynchronize();
    printf("synchronize: %s, then alloc: %s, then synchronize: %s\n", name_of(first), name_of(after), name_of(again));
    cuCtxDestroy_v2(context);
    CUdevice device;
    CUcontext fresh;
    must(cuDeviceGet(&device, 0), "cuDeviceGet");
    must(cuCtxCreate_v2(&fresh, 0, device), "cuCtxCreate after a fault");
    must(cuMemAlloc_v2(&pointer, 4096), "cuMemAlloc in a fresh context");
    must(cuMemsetD32_v2(pointer, 1, 1024), "cuMemsetD32 in a fresh context");
    must(cuCtxSynchronize(), "cuCtxSynchronize in a fresh context");
    printf("a fresh context works\n");
    return first == CUDA_ERROR_ILLEGAL_ADDRESS && after == CUDA_ERROR_ILLEGAL_ADDRESS &&
                   again == CUDA_ERROR_ILLEGAL_ADDRESS
               ? 0
               : 1;
}

static void start_endless(void) {
    CUdeviceptr flag = 0;
    context_on_device();
    must(cuMemAlloc_v2(&flag, 4096), "cuMemAlloc");
    must(cuMemsetD32_v2(flag, 0, 1024), "cuMemsetD32");
    void *parameters[] = {&flag};
    CUfunction spin = function("spin");
    must(cuLaunchKernel(spin, 64, 1, 1, 256, 1, 1, 0, NULL, parameters, NULL), "cuLaunchKernel");
    if (cuStreamQuery(NULL) != CUDA_ERROR_NOT_READY) must(1, "the endless kernel is not running");
    printf("running\n");
    fflush(stdout);
}

static int endless(void) {
    start_endless();
    CUresult code = cuCtxSynchronize();
    printf("ended: %s\n", name_of(code));
    return 1;
}

static int patience(void) {
    start_endless();
    CUresult code = cuCtxSynchronize();
    printf("ended: %s (%d)\n", name_of(code), code);
    double start = now();
    CUdeviceptr pointer = 0;
    CUresult later = cuMemAlloc_v2(&pointer, 4096);
    printf("later: %s (%d) after %.3f s\n", name_of(later), later, now() - start);
    return code != CUDA_SUCCESS && later != CUDA_SUCCESS ? 0 : 1;
}

static int work(double seconds) {
    enum { N = 1 << 16 };
    static unsigned a[N], b[N], c[N];
    context_on_device();
    CUfunction add = function("add");
    CUdeviceptr da, db, dc;
    must(cuMemAlloc_v2(&da, sizeof a), "cuMemAlloc");
    must(cuMemAlloc_v2(&db, sizeof b), "cuMemAlloc");
    must(cuMemAlloc_v2(&dc, sizeof c), "cuMemAlloc");
    double end = now() + seconds;
    unsigned rounds = 0;
    unsigned n = N;
    do {
        for (unsigned i = 0; i < N; i++) {
            a[i] = i * 2654435761u + rounds;
            b[i] = i ^ rounds;
        }
        memset(c, 0, sizeof c);
        must(cuMemcpyHtoD_v2(da, a, sizeof a), "cuMemcpyHtoD");
        must(cuMemcpyHtoD_v2(db, b, sizeof b), "cuMemcpyHtoD");
        void *parameters[] = {&da, &db, &dc, &n};
        must(cuLaunchKernel(add, N / 256, 1, 1, 256, 1, 1, 0, NULL, parameters, NULL), "cuLaunchKernel");
        must(cuMemcpyDtoH_v2(c, dc, sizeof c), "cuMemcpyDtoH");
        for (unsigned i = 0; i < N; i++)
            if (c[i] != a[i] + b[i]) {
                printf("FAIL round %u: element %u is %u, not %u\n", rounds, i, c[i], a[i] + b[i]);
                return 1;
            }
        rounds++;
    } while (now() < end);
    printf("%u rounds, all correct\n", rounds);
    return 0;
}

int main(int count, char **values) {
    const char *mode = count > 1 ? values[1] : "";
    double number = count > 2 ? strtod(values[2], NULL) : 0;
    if (!strcmp(mode, "alloc") && count == 3) return alloc_once((size_t)number);
    if (!strcmp(mode, "hold") && count == 3) return hold((size_t)number);
    if (!strcmp(mode, "fill") && count == 3) return fill((size_t)number);
    if (!strcmp(mode, "work") && count == 3) return work(number);
    if (!strcmp(mode, "wild") && count == 2) return wild();
    if (!strcmp(mode, "endless") && count == 2) return endless();
    if (!strcmp(mode, "patience") && count == 2) return patience();
    fprintf(stderr, "usage: probe alloc|hold|fill BYTES | work SECONDS | wild | endless | patience\n");
    return 2;
}
