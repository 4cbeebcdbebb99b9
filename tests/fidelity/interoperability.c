/* Resources, memory and semaphores of other interfaces: where nothing was registered or imported, every handle is of nothing. */
#include "fidelity.h"

STATE(before_init_graphics) {
    CUgraphicsResource resource = WILD(CUgraphicsResource);
    CUdeviceptr p;
    CUarray array;
    size_t bytes;
    FAILS(NOT_INITIALIZED, DOC, cuGraphicsMapResources(1, &resource, NULL));
    FAILS(NOT_INITIALIZED, DOC, cuGraphicsUnmapResources(1, &resource, NULL));
    FAILS(NOT_INITIALIZED, DOC, cuGraphicsUnregisterResource(resource));
    FAILS(NOT_INITIALIZED, DOC, cuGraphicsSubResourceGetMappedArray(&array, resource, 0, 0));
    FAILS(NOT_INITIALIZED, DOC, cuGraphicsResourceGetMappedPointer(&p, &bytes, resource));
    FAILS(NOT_INITIALIZED, DOC, cuGraphicsResourceSetMapFlags(resource, 0));
    SET(cuInit(0));
    FAILS(INVALID_CONTEXT, DOC, cuGraphicsMapResources(1, &resource, NULL));
    FAILS(INVALID_CONTEXT, DOC, cuGraphicsUnmapResources(1, &resource, NULL));
    FAILS(INVALID_CONTEXT, DOC, cuGraphicsUnregisterResource(resource));
    FAILS(INVALID_CONTEXT, DOC, cuGraphicsSubResourceGetMappedArray(&array, resource, 0, 0));
    FAILS(INVALID_CONTEXT, DOC, cuGraphicsResourceGetMappedPointer(&p, &bytes, resource));
    FAILS(INVALID_CONTEXT, DOC, cuGraphicsResourceSetMapFlags(resource, 0));
}

STATE(graphics) {
    CUgraphicsResource resources[2] = {WILD(CUgraphicsResource), WILD(CUgraphicsResource)};
    CUgraphicsResource resource = resources[0];
    CUdeviceptr p;
    CUarray array;
    CUmipmappedArray levels;
    size_t bytes;
    with_context();
    FAILS(INVALID_VALUE, HIP(hipGraphicsMapResources), cuGraphicsMapResources(0, &resource, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphicsMapResources), cuGraphicsMapResources(1, NULL, NULL));
    FAILS(INVALID_HANDLE, DOC, cuGraphicsMapResources(1, &resource, NULL));
    FAILS(INVALID_HANDLE, DOC, cuGraphicsMapResources(1, &resource, WILD(CUstream)));
    /* "If resources includes any duplicate entries then CUDA_ERROR_INVALID_HANDLE is returned." */
    FAILS(INVALID_HANDLE, DOC, cuGraphicsMapResources(2, resources, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphicsUnmapResources), cuGraphicsUnmapResources(0, &resource, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphicsUnmapResources), cuGraphicsUnmapResources(1, NULL, NULL));
    FAILS(INVALID_HANDLE, DOC, cuGraphicsUnmapResources(1, &resource, NULL));
    FAILS(INVALID_HANDLE, HIP(hipGraphicsUnregisterResource), cuGraphicsUnregisterResource(resource));
    FAILS(INVALID_VALUE, DOC, cuGraphicsSubResourceGetMappedArray(NULL, resource, 0, 0));
    FAILS(INVALID_HANDLE, DOC, cuGraphicsSubResourceGetMappedArray(&array, resource, 0, 0));
    FAILS(INVALID_VALUE, DOC, cuGraphicsResourceGetMappedMipmappedArray(NULL, resource));
    FAILS(INVALID_HANDLE, DOC, cuGraphicsResourceGetMappedMipmappedArray(&levels, resource));
    FAILS(INVALID_VALUE, HIP(hipGraphicsResourceGetMappedPointer), cuGraphicsResourceGetMappedPointer(NULL, &bytes, resource));
    FAILS(INVALID_VALUE, HIP(hipGraphicsResourceGetMappedPointer), cuGraphicsResourceGetMappedPointer(&p, NULL, resource));
    FAILS(INVALID_HANDLE, HIP(hipGraphicsResourceGetMappedPointer), cuGraphicsResourceGetMappedPointer(&p, &bytes, resource));
    FAILS(INVALID_VALUE, DOC, cuGraphicsResourceSetMapFlags(resource, 3));
    FAILS(INVALID_HANDLE, DOC, cuGraphicsResourceSetMapFlags(resource, CU_GRAPHICS_MAP_RESOURCE_FLAGS_READ_ONLY));
}
