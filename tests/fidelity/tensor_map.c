/* Tensor maps: the bounds of each argument. The device has compute capability 9.0 or more. */
#include "fidelity.h"

static _Alignas(128) CUtensorMap maps[2];
static cuuint64_t dims[5], strides[4];
static cuuint32_t box[5], steps[5];
static CUtensorMapDataType type;
static CUtensorMapInterleave interleave;
static CUtensorMapSwizzle swizzle;
static CUtensorMapL2promotion promotion;
static CUtensorMapFloatOOBfill fill;
static cuuint32_t rank;
static uintptr_t address;
static int lower[3], upper[3];

static void plain(void) {
    for (int i = 0; i < 5; i++) dims[i] = 64, box[i] = i ? 4 : 8, steps[i] = 1;
    for (int i = 0; i < 4; i++) strides[i] = (cuuint64_t)256 << 6 * i;
    for (int i = 0; i < 3; i++) lower[i] = upper[i] = 0;
    type = CU_TENSOR_MAP_DATA_TYPE_FLOAT32, interleave = 0, swizzle = 0, promotion = 0, fill = 0, rank = 3, address = 0x10000;
}

static CUresult tiled(void) {
    CUresult code = cuTensorMapEncodeTiled(maps, type, rank, (void *)address, dims, strides, box, steps, interleave, swizzle, promotion, fill);
    plain();
    return code;
}

static CUresult im2col(cuuint32_t channels, cuuint32_t pixels) {
    CUresult code = cuTensorMapEncodeIm2col(maps, type, rank, (void *)address, dims, strides, lower, upper, channels, pixels, steps,
                                            interleave, swizzle, promotion, fill);
    plain();
    return code;
}

STATE(a_tensor_map) {
    with_context();
    plain();
    WORKS(DOC, tiled());
    FAILS(INVALID_VALUE, DOC, cuTensorMapEncodeTiled(NULL, type, 1, (void *)address, dims, strides, box, steps, 0, 0, 0, 0));
    WORKS(CP(TestTensorMapDescriptorCreation), cuTensorMapEncodeTiled((CUtensorMap *)((char *)maps + 32), type, 1, (void *)address, dims, strides, box, steps, 0, 0, 0, 0));
    WORKS(DOC, cuTensorMapEncodeTiled((CUtensorMap *)((char *)maps + 64), type, 1, (void *)address, dims, strides, box, steps, 0, 0, 0, 0));
    FAILS(INVALID_VALUE, DOC, cuTensorMapEncodeTiled(maps, type, 1, (void *)address, NULL, strides, box, steps, 0, 0, 0, 0));
    FAILS(INVALID_VALUE, DOC, (type = 16, tiled()));
    FAILS(INVALID_VALUE, DOC, (rank = 0, tiled()));
    FAILS(INVALID_VALUE, DOC, (rank = 6, tiled()));
    WORKS(DOC, (rank = 5, tiled()));
    FAILS(INVALID_VALUE, DOC, (rank = 2, interleave = CU_TENSOR_MAP_INTERLEAVE_16B, tiled()));
    FAILS(INVALID_VALUE, DOC, (address += 8, tiled()));
    WORKS(DOC, (address += 16, tiled()));
    FAILS(INVALID_VALUE, DOC, (address += 16, interleave = 2, swizzle = CU_TENSOR_MAP_SWIZZLE_32B, tiled()));
    WORKS(DOC, (interleave = 2, swizzle = CU_TENSOR_MAP_SWIZZLE_32B, tiled()));
    FAILS(INVALID_VALUE, DOC, (interleave = 2, tiled()));
    FAILS(INVALID_VALUE, DOC, (dims[1] = 0, tiled()));
    FAILS(INVALID_VALUE, DOC, (dims[1] = ((cuuint64_t)1 << 32) + 1, tiled()));
    FAILS(INVALID_VALUE, DOC, (strides[0] = 264, tiled()));
    FAILS(INVALID_VALUE, DOC, (strides[1] = (cuuint64_t)1 << 40, tiled()));
    FAILS(INVALID_VALUE, DOC, (box[1] = 0, tiled()));
    FAILS(INVALID_VALUE, DOC, (box[1] = 257, tiled()));
    FAILS(INVALID_VALUE, DOC, (box[0] = 3, tiled()));
    FAILS(INVALID_VALUE, DOC, (box[0] = 12, swizzle = CU_TENSOR_MAP_SWIZZLE_32B, tiled()));
    WORKS(DOC, (box[0] = 12, swizzle = CU_TENSOR_MAP_SWIZZLE_64B, tiled()));
    FAILS(INVALID_VALUE, DOC, (box[0] = 64, swizzle = CU_TENSOR_MAP_SWIZZLE_128B, tiled()));
    FAILS(INVALID_VALUE, DOC, (steps[1] = 0, tiled()));
    FAILS(INVALID_VALUE, DOC, (steps[1] = 9, tiled()));
    WORKS(DOC, (steps[0] = 9, tiled()));
    FAILS(INVALID_VALUE, DOC, (interleave = 3, tiled()));
    FAILS(INVALID_VALUE, DOC, (swizzle = 7, tiled()));
    FAILS(INVALID_VALUE, DOC, (promotion = 4, tiled()));
    FAILS(INVALID_VALUE, DOC, (fill = 2, tiled()));
    WORKS(DOC, (fill = 1, tiled()));
    FAILS(INVALID_VALUE, DOC, (fill = 1, type = CU_TENSOR_MAP_DATA_TYPE_INT32, tiled()));
    FAILS(INVALID_VALUE, DOC, cuTensorMapReplaceAddress(maps, (void *)(address + 8)));
    WORKS(DOC, cuTensorMapReplaceAddress(maps, (void *)(address + 16)));
    FAILS(INVALID_VALUE, DOC, cuTensorMapReplaceAddress(NULL, (void *)address));
    WORKS(DOC, im2col(64, 4));
    FAILS(INVALID_VALUE, DOC, (rank = 2, im2col(64, 4)));
    FAILS(INVALID_VALUE, DOC, im2col(257, 4));
    FAILS(INVALID_VALUE, DOC, im2col(64, 1025));
    FAILS(INVALID_VALUE, DOC, (lower[0] = 64, im2col(64, 4)));
    FAILS(INVALID_VALUE, DOC, (rank = 4, upper[1] = 128, im2col(64, 4)));
    FAILS(INVALID_VALUE, DOC, (rank = 5, lower[2] = -17, im2col(64, 4)));
}
