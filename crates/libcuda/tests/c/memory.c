/* Allocations, copies of all kinds and sizes, fills, pinned memory, pools, pointer attributes. */
#include "cuda.h"

static unsigned char pattern(size_t index, unsigned seed) { return (unsigned char)(index * 131 + (index >> 8) * 7 + seed); }

static void copies(void) {
    const size_t sizes[] = {1, 3, 4096, 16384, 16385, 100000, 1 << 20, (5 << 20) + 13, 96 << 20};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        unsigned char *in = malloc(n), *out = calloc(n, 1);
        CUdeviceptr a = 0, b = 0;
        for (size_t i = 0; i < n; i++) in[i] = pattern(i, (unsigned)s);
        OK(cuMemAlloc_v2(&a, n));
        OK(cuMemAlloc_v2(&b, n));
        OK(cuMemcpyHtoD_v2(a, in, n));
        OK(cuMemcpyDtoD_v2(b, a, n));
        OK(cuMemcpyDtoH_v2(out, b, n));
        TRUE(memcmp(in, out, n) == 0);
        memset(out, 0, n);
        OK(cuMemcpy((CUdeviceptr)(size_t)out, a, n));
        TRUE(memcmp(in, out, n) == 0);
        WANT(cuMemcpyHtoD_v2(a + 1, in, n), 1);
        WANT(cuMemcpyDtoH_v2(out, a, n + 1), 1);
        OK(cuMemFree_v2(a));
        WANT(cuMemcpyHtoD_v2(a, in, n), 1);
        WANT(cuMemFree_v2(a), 1);
        OK(cuMemFree_v2(b));
        free(in);
        free(out);
    }
    WANT(cuMemcpyHtoD_v2(0, &failures, 4), 1);
    WANT(cuMemcpyHtoD_v2(0xdeadbeef0000ull, &failures, 4), 1);
    OK(cuMemcpyHtoD_v2(0, &failures, 0));
    OK(cuMemFree_v2(0));
    CUdeviceptr p;
    WANT(cuMemAlloc_v2(&p, 0), 1);
    WANT(cuMemAlloc_v2(NULL, 16), 1);
    WANT(cuMemAlloc_v2(&p, (size_t)1 << 62), 2);
}

static void rows(void) {
    enum { WIDTH = 1000, HEIGHT = 777 };
    CUdeviceptr area = 0;
    size_t pitch = 0;
    OK(cuMemAllocPitch_v2(&area, &pitch, WIDTH, HEIGHT, 4));
    TRUE(pitch >= WIDTH && pitch % 256 == 0);
    unsigned char *in = malloc(WIDTH * HEIGHT), *out = calloc(WIDTH * HEIGHT, 1);
    for (size_t i = 0; i < WIDTH * HEIGHT; i++) in[i] = pattern(i, 9);
    CUDA_MEMCPY2D copy = {.srcMemoryType = 1, .srcHost = in, .srcPitch = WIDTH, .dstMemoryType = 2, .dstDevice = area,
                          .dstPitch = pitch, .WidthInBytes = WIDTH, .Height = HEIGHT};
    OK(cuMemcpy2D_v2(&copy));
    CUDA_MEMCPY2D back = {.srcMemoryType = 2, .srcDevice = area, .srcPitch = pitch, .dstMemoryType = 1, .dstHost = out,
                          .dstPitch = WIDTH, .WidthInBytes = WIDTH, .Height = HEIGHT};
    OK(cuMemcpy2D_v2(&back));
    TRUE(memcmp(in, out, WIDTH * HEIGHT) == 0);
    /* A piece out of the middle. */
    memset(out, 0, WIDTH * HEIGHT);
    back.srcXInBytes = 10;
    back.srcY = 5;
    back.WidthInBytes = 100;
    back.Height = 3;
    OK(cuMemcpy2D_v2(&back));
    TRUE(memcmp(out + WIDTH, in + 6 * WIDTH + 10, 100) == 0);
    back.WidthInBytes = pitch + 1;
    WANT(cuMemcpy2D_v2(&back), 1);
    OK(cuMemsetD2D8_v2(area, pitch, 0x5a, 10, HEIGHT));
    unsigned char edge[12];
    OK(cuMemcpyDtoH_v2(edge, area + 3 * pitch, 12));
    TRUE(edge[0] == 0x5a && edge[9] == 0x5a && edge[10] == in[3 * WIDTH + 10]);
    OK(cuMemFree_v2(area));
    free(in);
    free(out);
}

static void fills(void) {
    enum { N = 100003 };
    CUdeviceptr p = 0;
    unsigned *words = malloc(N * 4);
    OK(cuMemAlloc_v2(&p, N * 4));
    OK(cuMemcpyDtoH_v2(words, p, N * 4));
    for (size_t i = 0; i < N; i++)
        if (words[i] != 0) {
            TRUE(!"new memory is zero");
            break;
        }
    OK(cuMemsetD32_v2(p, 0x12345678, N));
    OK(cuMemsetD16_v2(p + 4, 0xabcd, 3));
    OK(cuMemsetD8_v2(p + 1, 0xee, 1));
    OK(cuMemcpyDtoH_v2(words, p, N * 4));
    TRUE(words[0] == 0x1234ee78 && words[1] == 0xabcdabcd && words[2] == 0x1234abcd && words[N - 1] == 0x12345678);
    WANT(cuMemsetD32_v2(p + 2, 1, 1), 1);
    WANT(cuMemsetD32_v2(p, 1, N + 1), 1);
    OK(cuMemFree_v2(p));
    free(words);
}

static void pinned(void) {
    enum { N = 3 << 20 };
    unsigned char *host = NULL;
    CUdeviceptr device = 0, same = 0;
    CUstream stream;
    OK(cuMemHostAlloc((void **)&host, N, 0));
    OK(cuMemHostGetDevicePointer_v2(&same, host, 0));
    TRUE(same == (CUdeviceptr)(size_t)host);
    OK(cuMemAlloc_v2(&device, N));
    OK(cuStreamCreate(&stream, 1));
    for (size_t i = 0; i < N; i++) host[i] = pattern(i, 3);
    OK(cuMemcpyHtoDAsync_v2(device, host, N, stream));
    OK(cuStreamSynchronize(stream));
    memset(host, 0, N);
    OK(cuMemcpyDtoHAsync_v2(host, device, N, stream));
    OK(cuStreamSynchronize(stream));
    int good = 1;
    for (size_t i = 0; i < N; i++) good &= host[i] == pattern(i, 3);
    TRUE(good);
    unsigned type = 0;
    OK(cuPointerGetAttribute(&type, 2, (CUdeviceptr)(size_t)host));
    TRUE(type == 1);
    OK(cuPointerGetAttribute(&type, 2, device + 5));
    TRUE(type == 2);
    WANT(cuPointerGetAttribute(&type, 2, (CUdeviceptr)(size_t)&type), 1);
    CUdeviceptr base = 0;
    size_t bytes = 0;
    OK(cuMemGetAddressRange_v2(&base, &bytes, device + 100));
    TRUE(base == device && bytes == N);
    /* Several attributes of a pointer that nobody knows: success and nothing known. */
    CUcontext context = &context;
    unsigned kind = 9, ordinal = 0;
    void *device_pointer = &kind, *host_pointer = &kind;
    char managed = 1;
    int which[] = {1, 2, 3, 4, 8, 9};
    void *values[] = {&context, &kind, &device_pointer, &host_pointer, &managed, &ordinal};
    OK(cuPointerGetAttributes(6, which, values, (CUdeviceptr)(size_t)&kind));
    TRUE(context == NULL && kind == 0 && device_pointer == NULL && host_pointer == NULL && managed == 0);
    WANT(cuMemHostRegister_v2(&kind, 4096, 0), 801);
    WANT(cuMemFreeHost(&kind), 1);
    OK(cuMemFreeHost(host));
    WANT(cuMemFreeHost(host), 1);
    OK(cuMemFree_v2(device));
    OK(cuStreamDestroy_v2(stream));
}

static void pools(void) {
    CUmemoryPool pool = NULL;
    CUstream stream;
    CUdeviceptr p = 0, q = 0;
    unsigned long long threshold = ~0ull, used = 0;
    OK(cuStreamCreate(&stream, 0));
    OK(cuDeviceGetDefaultMemPool(&pool, 0));
    OK(cuMemPoolSetAttribute(pool, 4, &threshold));
    OK(cuMemAllocFromPoolAsync(&p, 1000, pool, stream));
    OK(cuMemAllocAsync(&q, 5000, stream));
    OK(cuMemPoolGetAttribute(pool, 7, &used));
    TRUE(used == 6000);
    OK(cuMemsetD32Async(p, 7, 250, stream));
    OK(cuMemFreeAsync(p, stream));
    OK(cuMemFreeAsync(q, stream));
    WANT(cuMemFreeAsync(q, stream), 1);
    OK(cuStreamSynchronize(stream));
    OK(cuMemPoolGetAttribute(pool, 7, &used));
    TRUE(used == 0);
    WANT(cuMemPoolGetAttribute((CUmemoryPool)0x1234, 7, &used), 1);
    OK(cuStreamDestroy_v2(stream));
}

static void books_balance(size_t free_before) {
    size_t now = 0, total = 0;
    OK(cuCtxSynchronize());
    OK(cuMemGetInfo_v2(&now, &total));
    TRUE(now == free_before);
    CUdeviceptr all[64];
    int count = 0;
    /* Past the frame buffer there is nothing; what was refused costs nothing. */
    while (count < 64 && cuMemAlloc_v2(&all[count], total / 16) == 0) count++;
    TRUE(count >= 14 && count <= 16);
    while (count > 0) OK(cuMemFree_v2(all[--count]));
    OK(cuCtxSynchronize());
    OK(cuMemGetInfo_v2(&now, &total));
    TRUE(now == free_before);
}

int main(void) {
    CUcontext context;
    size_t free_before = 0, total = 0;
    OK(cuInit(0));
    OK(cuCtxCreate_v2(&context, 0, 0));
    OK(cuMemGetInfo_v2(&free_before, &total));
    copies();
    rows();
    fills();
    pinned();
    pools();
    books_balance(free_before);
    OK(cuCtxDestroy_v2(context));
    return failures != 0;
}
