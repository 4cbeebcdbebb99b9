/* Arrays, textures, surfaces. */
#include "fidelity.h"

static CUDA_ARRAY3D_DESCRIPTOR good;
#define MAKE(...) (__extension__({ CUDA_ARRAY3D_DESCRIPTOR d = good; __VA_ARGS__; cuArray3DCreate(&array, &d); }))

STATE(arrays) {
    CUarray array;
    CUDA_ARRAY_DESCRIPTOR flat = {0};
    CUDA_ARRAY3D_DESCRIPTOR shape;
    with_context();
    FAILS(INVALID_VALUE, CP(test_cuda_array), cuArrayCreate(&array, &flat));
    flat = (CUDA_ARRAY_DESCRIPTOR){.Width = 1, .Format = CU_AD_FORMAT_SIGNED_INT8, .NumChannels = 1};
    WORKS(CP(test_cuda_array), cuArrayCreate(&array, &flat));
    FAILS(INVALID_VALUE, DOC, cuArrayGetDescriptor(NULL, array));
    WORKS(DOC, cuArrayGetDescriptor(&flat, array));
    WORKS(CP(test_cuda_array), cuArrayDestroy(array));
    FAILS(INVALID_VALUE, HIP(hipArrayCreate), cuArrayCreate(NULL, &flat));
    FAILS(INVALID_VALUE, HIP(hipArrayCreate), cuArrayCreate(&array, NULL));
    flat.Width = 1 << 20;
    FAILS(INVALID_VALUE, HIP(hipArrayCreate), cuArrayCreate(&array, &flat));
    FAILS(INVALID_HANDLE, HIP(hipFree), cuArrayDestroy(NULL));
    FAILS(INVALID_HANDLE, DOC, cuArrayDestroy(WILD(CUarray)));
    FAILS(INVALID_HANDLE, DOC, cuArrayGetDescriptor(&flat, NULL));
    FAILS(INVALID_HANDLE, HIP(hipArray3DGetDescriptor), cuArray3DGetDescriptor(&shape, NULL));
    good = (CUDA_ARRAY3D_DESCRIPTOR){.Width = 6, .Height = 6, .Depth = 6, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 4};
    WORKS(HIP(hipArray3DCreate), MAKE());
    FAILS(INVALID_VALUE, HIP(hipArray3DGetDescriptor), cuArray3DGetDescriptor(NULL, array));
    WORKS(DOC, cuArrayDestroy(array));
    FAILS(INVALID_HANDLE, HIP(hipArray3DGetDescriptor), cuArray3DGetDescriptor(&shape, array));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), cuArray3DCreate(NULL, &good));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), cuArray3DCreate(&array, NULL));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), MAKE(d.Width = 0));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), MAKE(d.Height = 0));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), MAKE(d.Format = (CUarray_format)0xdeadbeef));
    FAILS(INVALID_VALUE, HIP(hipArrayCreate), MAKE(d.NumChannels = 0));
    FAILS(INVALID_VALUE, HIP(hipArrayCreate), MAKE(d.NumChannels = 3));
    FAILS(INVALID_VALUE, HIP(hipArrayCreate), MAKE(d.NumChannels = 5));
    FAILS(INVALID_VALUE, HIP(hipArrayCreate), MAKE(d.NumChannels = 8));
    FAILS(INVALID_VALUE, HIP(hipArrayCreate), MAKE(d.NumChannels = -1u));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), MAKE(d.Flags = 0xdeadbeef));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), MAKE(d.Flags = CUDA_ARRAY3D_TEXTURE_GATHER | CUDA_ARRAY3D_SURFACE_LDST));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), MAKE(d.Flags = CUDA_ARRAY3D_TEXTURE_GATHER | CUDA_ARRAY3D_CUBEMAP));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), MAKE(d.Width = 1 << 20));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), MAKE(d.Height = 1 << 20));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), MAKE(d.Width = 1 << 20, d.Height = 0, d.Depth = 0));
    FAILS(INVALID_VALUE, HIP(hipArray3DCreate), MAKE(d.Width = 1 << 20, d.Depth = 0));
    /* "Width must be equal to Height, and Depth must be six"; layered, "a multiple of six" */
    FAILS(INVALID_VALUE, DOC, MAKE(d.Flags = CUDA_ARRAY3D_CUBEMAP, d.Depth = 5));
    FAILS(INVALID_VALUE, DOC, MAKE(d.Flags = CUDA_ARRAY3D_CUBEMAP, d.Width = 7));
    FAILS(INVALID_VALUE, DOC, MAKE(d.Flags = CUDA_ARRAY3D_CUBEMAP | CUDA_ARRAY3D_LAYERED, d.Depth = 13));
    /* "TEXTURE_GATHER ... can only be performed on 2D CUDA arrays" */
    FAILS(INVALID_VALUE, DOC, MAKE(d.Flags = CUDA_ARRAY3D_TEXTURE_GATHER));
    FAILS(INVALID_VALUE, DOC, MAKE(d.Flags = CUDA_ARRAY3D_TEXTURE_GATHER, d.Height = 0, d.Depth = 0));
}

#define MIP(...) (__extension__({ CUDA_ARRAY3D_DESCRIPTOR d = good; __VA_ARGS__; cuMipmappedArrayCreate(&array, &d, 3); }))

STATE(mipmapped_arrays) {
    CUmipmappedArray array;
    CUarray level;
    with_context();
    good = (CUDA_ARRAY3D_DESCRIPTOR){.Width = 4, .Height = 4, .Depth = 6, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    FAILS(INVALID_VALUE, HIP(hipMipmappedArrayCreate), cuMipmappedArrayCreate(NULL, &good, 3));
    FAILS(INVALID_VALUE, HIP(hipMipmappedArrayCreate), cuMipmappedArrayCreate(&array, NULL, 3));
    FAILS(INVALID_VALUE, HIP(hipMipmappedArrayCreate), MIP(d.Width = d.Height = d.Depth = 0));
    FAILS(INVALID_VALUE, HIP(hipMipmappedArrayCreate), MIP(d.Flags = -1u));
    FAILS(INVALID_VALUE, HIP(hipMipmappedArrayCreate), MIP(d.Flags = CUDA_ARRAY3D_CUBEMAP, d.Depth = 5));
    FAILS(INVALID_VALUE, HIP(hipMipmappedArrayCreate), MIP(d.Flags = CUDA_ARRAY3D_CUBEMAP | CUDA_ARRAY3D_LAYERED, d.Depth = 13));
    FAILS(INVALID_VALUE, HIP(hipMipmappedArrayCreate), MIP(d.Flags = CUDA_ARRAY3D_TEXTURE_GATHER, d.Height = 0, d.Depth = 0));
    FAILS(INVALID_VALUE, HIP(hipMipmappedArrayCreate), MIP(d.Flags = CUDA_ARRAY3D_TEXTURE_GATHER));
    FAILS(INVALID_VALUE, HIP(hipMipmappedArrayCreate), MIP(d.Flags = CUDA_ARRAY3D_SPARSE, d.Height = 0, d.Depth = 0));
    FAILS(INVALID_VALUE, HIP(hipMipmappedArrayCreate), MIP(d.Flags = CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_CUBEMAP));
    WORKS(DOC, MIP(d.Depth = 0));
    FAILS(INVALID_VALUE, DOC, cuMipmappedArrayGetLevel(NULL, array, 0));
    FAILS(INVALID_VALUE, DOC, cuMipmappedArrayGetLevel(&level, array, 3));
    FAILS(INVALID_HANDLE, DOC, cuMipmappedArrayGetLevel(&level, NULL, 0));
    WORKS(DOC, cuMipmappedArrayGetLevel(&level, array, 2));
    FAILS(INVALID_HANDLE, DOC, cuMipmappedArrayDestroy(NULL));
    WORKS(DOC, cuMipmappedArrayDestroy(array));
}

STATE(textures) {
    CUdeviceptr p;
    CUtexObject texture;
    CUsurfObject surface;
    CUDA_RESOURCE_DESC back;
    CUDA_TEXTURE_DESC how = {0}, bad;
    with_context();
    SET(cuMemAlloc(&p, 4096));
    CUDA_RESOURCE_DESC linear = {.resType = CU_RESOURCE_TYPE_LINEAR,
                                 .res.linear = {.devPtr = p, .format = CU_AD_FORMAT_FLOAT, .numChannels = 1, .sizeInBytes = 4096}};
    CUDA_RESOURCE_DESC wrong = linear, none = {.resType = CU_RESOURCE_TYPE_ARRAY};
    WORKS(DOC, cuTexObjectCreate(&texture, &linear, &how, NULL));
    FAILS(INVALID_VALUE, HIP(hipTextureObjectTests), cuTexObjectGetResourceDesc(NULL, texture));
    FAILS(INVALID_VALUE, HIP(hipTextureObjectTests), cuTexObjectGetResourceDesc(&back, 0));
    FAILS(INVALID_VALUE, HIP(hipTextureObjectTests), cuTexObjectGetTextureDesc(NULL, texture));
    FAILS(INVALID_VALUE, HIP(hipTextureObjectTests), cuTexObjectGetTextureDesc(&bad, 0));
    WORKS(DOC, cuTexObjectGetResourceDesc(&back, texture));
    WORKS(DOC, cuTexObjectDestroy(texture));
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(NULL, &linear, &how, NULL));
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(&texture, NULL, &how, NULL));
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(&texture, &linear, NULL, NULL));
    wrong.resType = (CUresourcetype)77;
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(&texture, &wrong, &how, NULL));
    wrong = linear, wrong.res.linear.numChannels = 3;
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(&texture, &wrong, &how, NULL));
    wrong = linear, wrong.res.linear.format = (CUarray_format)0x7777;
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(&texture, &wrong, &how, NULL));
    wrong = linear, wrong.res.linear.devPtr = 0;
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(&texture, &wrong, &how, NULL));
    /* "devPtr must be aligned to CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT" */
    wrong = linear, wrong.res.linear.devPtr = p + 4, wrong.res.linear.sizeInBytes = 1024;
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(&texture, &wrong, &how, NULL));
    /* "The total number of elements ... cannot exceed CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LINEAR_WIDTH" */
    wrong = linear, wrong.res.linear.sizeInBytes = 8 * GIB;
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(&texture, &wrong, &how, NULL));
    bad = how, bad.filterMode = (CUfilter_mode)9;
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(&texture, &linear, &bad, NULL));
    bad = how, bad.flags = 0x8000;
    FAILS(INVALID_VALUE, DOC, cuTexObjectCreate(&texture, &linear, &bad, NULL));
    FAILS(INVALID_VALUE, DOC, cuSurfObjectCreate(NULL, &none));
    FAILS(INVALID_VALUE, DOC, cuSurfObjectCreate(&surface, NULL));
    /* "resType must be CU_RESOURCE_TYPE_ARRAY and hArray must be set to a valid CUDA array handle" */
    FAILS(INVALID_VALUE, DOC, cuSurfObjectCreate(&surface, &linear));
}

static CUDA_RESOURCE_DESC plane;
#define PLANE(field, number) (__extension__({ CUDA_RESOURCE_DESC r = plane; r.res.pitch2D.field = number; cuTexObjectCreate(&texture, &r, &how, NULL); }))

STATE(textures_of_planes) {
    CUdeviceptr p;
    CUtexObject texture;
    CUDA_TEXTURE_DESC how = {0};
    size_t pitch;
    how.addressMode[0] = how.addressMode[1] = how.addressMode[2] = CU_TR_ADDRESS_MODE_CLAMP;
    with_context();
    SET(cuMemAllocPitch(&p, &pitch, 256, 64, 4));
    plane = (CUDA_RESOURCE_DESC){.resType = CU_RESOURCE_TYPE_PITCH2D,
                                 .res.pitch2D = {.devPtr = p, .format = CU_AD_FORMAT_FLOAT, .numChannels = 1, .width = 64, .height = 64,
                                                 .pitchInBytes = pitch}};
    WORKS(DOC, cuTexObjectCreate(&texture, &plane, &how, NULL));
    /* "aligned to CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT", "pitch ... has to be aligned to TEXTURE_PITCH_ALIGNMENT" */
    FAILS(INVALID_VALUE, DOC, PLANE(devPtr, p + 4));
    FAILS(INVALID_VALUE, DOC, PLANE(devPtr, 0));
    FAILS(INVALID_VALUE, DOC, PLANE(pitchInBytes, pitch + 4));
    FAILS(INVALID_VALUE, DOC, PLANE(pitchInBytes, 32));
    FAILS(INVALID_VALUE, DOC, PLANE(pitchInBytes, (size_t)1 << 40));
    FAILS(INVALID_VALUE, DOC, PLANE(height, 0));
    FAILS(INVALID_VALUE, DOC, PLANE(width, 0));
    FAILS(INVALID_VALUE, DOC, PLANE(width, 1 << 24));
    FAILS(INVALID_VALUE, DOC, PLANE(height, 1 << 24));
    FAILS(INVALID_VALUE, DOC, PLANE(numChannels, 3));
    FAILS(INVALID_VALUE, DOC, PLANE(format, (CUarray_format)0x7777));
}
