/* Copies and memsets: sizes, ranges, pitches, alignment. */
#include "fidelity.h"

STATE(copies) {
    CUdeviceptr p, q;
    char host[4096];
    CUstream none = (CUstream)-1;
    with_context();
    SET(cuMemAlloc(&p, 4096));
    SET(cuMemAlloc(&q, 4096));
    FAILS(INVALID_VALUE, DOC, cuMemcpyHtoD(0, host, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyHtoD(p, NULL, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoH(NULL, p, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoH(host, 0, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoD(0, p, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoD(p, 0, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyHtoD(p + 4090, host, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoH(host, p + 4090, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoD(q + 4090, p, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoD(q, p + 4090, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyHtoDAsync(0, host, 16, NULL));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoHAsync(host, 0, 16, NULL));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoDAsync(p, 0, 16, NULL));
    FAILS(INVALID_VALUE, DOC, cuMemcpy(0, p, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpy(p, 0, 16));
    FAILS(INVALID_HANDLE, DOC, cuMemcpyHtoDAsync(p, host, 16, none));
    FAILS(INVALID_HANDLE, DOC, cuMemcpyDtoDAsync(p, q, 16, none));
    WORKS(HIP(hipMemcpyPeer), cuMemcpyDtoD(p, q, 0));
    WORKS(HIP(hipMemcpyPeer), cuMemcpyHtoD(p, host, 0));
    WORKS(HIP(hipMemcpyPeer), cuMemcpyDtoH(host, p, 0));
    WORKS(DOC, cuMemcpyDtoD(p, p, 4096));
    /* Without a direction either side may be the host's. */
    WORKS(DOC, cuMemcpy(p, (CUdeviceptr)(uintptr_t)host, 4096));
    WORKS(DOC, cuMemcpy((CUdeviceptr)(uintptr_t)host, p, 4096));
    SET(cuMemFree(q));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoD(p, q, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyDtoH(host, q, 16));
    FAILS(INVALID_VALUE, DOC, cuMemcpyHtoD(q, host, 16));
}

static CUresult every_memset(CUdeviceptr p, size_t count) {
    CUresult code[6] = {cuMemsetD8(p, 0, count),           cuMemsetD16(p, 0, count),           cuMemsetD32(p, 0, count),
                        cuMemsetD8Async(p, 0, count, NULL), cuMemsetD16Async(p, 0, count, NULL), cuMemsetD32Async(p, 0, count, NULL)};
    for (int i = 1; i < 6; i++)
        if (code[i] != code[0]) return CUDA_ERROR_UNKNOWN;
    return code[0];
}

STATE(memsets) {
    CUdeviceptr p;
    size_t pitch;
    static char host[4096];
    with_context();
    SET(cuMemAlloc(&p, 184));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), every_memset(0, 184));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), every_memset((CUdeviceptr)(uintptr_t)host, 184));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), every_memset(p, MIB));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), cuMemsetD8(p, 0, 185));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), cuMemsetD8Async(p, 0, 185, NULL));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), cuMemsetD16(p, 0, 185));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), cuMemsetD32(p, 0, 185));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), cuMemsetD8(p + 185, 0, 184));
    WORKS(HIP(hipMemsetD16), every_memset(p, 0));
    /* "dstDevice pointer must be two-byte aligned" */
    FAILS(INVALID_VALUE, DOC, cuMemsetD16(p + 1, 0, 1));
    FAILS(INVALID_VALUE, DOC, cuMemsetD32(p + 2, 0, 1));
    FAILS(INVALID_VALUE, DOC, cuMemsetD32Async(p + 1, 0, 1, NULL));
    FAILS(INVALID_HANDLE, DOC, cuMemsetD8Async(p, 0, 1, (CUstream)-1));
    SET(cuMemFree(p));
    SET(cuMemAllocPitch(&p, &pitch, 184, 57, 4));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), cuMemsetD2D8(0, pitch, 0, 184, 57));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), cuMemsetD2D8(p, 1, 0, 184, 57));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), cuMemsetD2D8(p, pitch, 0, pitch + 1, 57));
    FAILS(INVALID_VALUE, HIP(hipMemsetNegative), cuMemsetD2D8(p, pitch, 0, 184, 5700));
    FAILS(INVALID_VALUE, DOC, cuMemsetD2D16(p, pitch + 1, 0, 8, 8));
    FAILS(INVALID_VALUE, DOC, cuMemsetD2D16(p + 1, pitch, 0, 8, 8));
    FAILS(INVALID_VALUE, DOC, cuMemsetD2D32(p, pitch + 2, 0, 8, 8));
    FAILS(INVALID_VALUE, DOC, cuMemsetD2D32(p + 2, pitch, 0, 8, 8));
    WORKS(DOC, cuMemsetD2D8(p, pitch, 0, 184, 57));
}

static CUDA_MEMCPY2D good2;
#define WITH2(field, number) (__extension__({ CUDA_MEMCPY2D c = good2; c.field = number; cuMemcpy2D(&c); }))
#define ASYNC2(field, number) (__extension__({ CUDA_MEMCPY2D c = good2; c.field = number; cuMemcpy2DAsync(&c, NULL); }))

STATE(copies_2d) {
    CUdeviceptr p;
    size_t pitch;
    static char host[64 * 64];
    with_context();
    SET(cuMemAllocPitch(&p, &pitch, 64, 64, 4));
    good2 = (CUDA_MEMCPY2D){.srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = host, .srcPitch = 64, .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                            .dstDevice = p, .dstPitch = pitch, .WidthInBytes = 64, .Height = 64};
    WORKS(DOC, cuMemcpy2D(&good2));
    FAILS(INVALID_VALUE, DOC, cuMemcpy2D(NULL));
    FAILS(INVALID_VALUE, DOC, cuMemcpy2DUnaligned(NULL));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), WITH2(dstDevice, 0));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), WITH2(srcHost, NULL));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), WITH2(dstPitch, 63));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), WITH2(srcPitch, 63));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), WITH2(dstPitch, (size_t)1 << 31));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), WITH2(srcPitch, (size_t)1 << 31));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), WITH2(srcXInBytes, 1));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), WITH2(dstXInBytes, pitch));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), WITH2(dstY, 1000));
    FAILS(INVALID_VALUE, DOC, WITH2(srcMemoryType, (CUmemorytype)0));
    FAILS(INVALID_VALUE, DOC, WITH2(srcMemoryType, (CUmemorytype)9));
    FAILS(INVALID_VALUE, DOC, WITH2(dstMemoryType, (CUmemorytype)0));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), ASYNC2(dstDevice, 0));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), ASYNC2(srcPitch, 63));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), ASYNC2(dstPitch, 63));
    FAILS(INVALID_VALUE, HIP(hipMemcpyParam2D), ASYNC2(dstY, 1000));
    FAILS(INVALID_HANDLE, DOC, cuMemcpy2DAsync(&good2, (CUstream)-1));
    WORKS(DOC, WITH2(Height, 0));
    WORKS(DOC, WITH2(WidthInBytes, 0));
    /* Rows that follow one another need no pitch. */
    WORKS(DOC, WITH2(srcPitch, 0));
}

static CUDA_MEMCPY3D good3;
#define WITH3(field, number) (__extension__({ CUDA_MEMCPY3D c = good3; c.field = number; cuMemcpy3D(&c); }))
#define ASYNC3(field, number) (__extension__({ CUDA_MEMCPY3D c = good3; c.field = number; cuMemcpy3DAsync(&c, NULL); }))

STATE(copies_3d) {
    CUdeviceptr p;
    static char host[32 * 8 * 4];
    with_context();
    SET(cuMemAlloc(&p, sizeof host));
    good3 = (CUDA_MEMCPY3D){.srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = host, .srcPitch = 32, .srcHeight = 8,
                            .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = p, .dstPitch = 32, .dstHeight = 8,
                            .WidthInBytes = 32, .Height = 8, .Depth = 4};
    WORKS(DOC, cuMemcpy3D(&good3));
    FAILS(INVALID_VALUE, DOC, cuMemcpy3D(NULL));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(dstDevice, 0));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(srcHost, NULL));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(dstPitch, 31));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(srcPitch, 31));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(dstPitch, (size_t)1 << 31));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(srcPitch, (size_t)1 << 31));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(dstXInBytes, 1));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(srcXInBytes, 1));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(dstY, 1));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(srcY, 1));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), WITH3(dstZ, 1));
    FAILS(INVALID_VALUE, DOC, WITH3(dstHeight, 7));
    FAILS(INVALID_VALUE, DOC, WITH3(srcHeight, 7));
    FAILS(INVALID_VALUE, DOC, WITH3(srcLOD, 1));
    FAILS(INVALID_VALUE, DOC, WITH3(dstMemoryType, (CUmemorytype)9));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), ASYNC3(dstDevice, 0));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), ASYNC3(srcPitch, 31));
    FAILS(INVALID_VALUE, HIP(hipDrvMemcpy3D), ASYNC3(dstZ, 1));
    WORKS(DOC, WITH3(Depth, 0));
    WORKS(DOC, WITH3(Height, 0));
    WORKS(DOC, WITH3(WidthInBytes, 0));
}

/* The runtime in cuda-python knows of no primary context where the program made its own: both contexts are NULL then. */
STATE(peer_copy_without_contexts) {
    CUcontext context;
    CUdeviceptr p, q;
    SET(cuInit(0));
    SET(cuCtxCreate(&context, NULL, 0, 0));
    SET(cuMemAlloc(&p, 64));
    SET(cuMemAlloc(&q, 64));
    CUDA_MEMCPY3D_PEER copy = {0};
    copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = p, copy.dstDevice = q;
    copy.srcPitch = copy.dstPitch = copy.WidthInBytes = 64;
    copy.srcHeight = copy.dstHeight = copy.Height = copy.Depth = 1;
    WORKS(CP(test_cudart_cudaMemcpy3DPeer), cuMemcpy3DPeer(&copy));
    WORKS(CP(test_cudart_cudaMemcpy3DPeerAsync), cuMemcpy3DPeerAsync(&copy, NULL));
    SET(cuCtxDestroy(context));
}
