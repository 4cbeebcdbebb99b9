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

STATE(before_init_external) {
    CUexternalMemory memory = WILD(CUexternalMemory);
    CUexternalSemaphore semaphore = WILD(CUexternalSemaphore);
    CUDA_EXTERNAL_MEMORY_BUFFER_DESC buffer = {.size = 64};
    CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS signal = {0};
    CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS wait = {0};
    CUdeviceptr p;
    FAILS(NOT_INITIALIZED, DOC, cuDestroyExternalMemory(memory));
    FAILS(NOT_INITIALIZED, DOC, cuDestroyExternalSemaphore(semaphore));
    FAILS(NOT_INITIALIZED, DOC, cuExternalMemoryGetMappedBuffer(&p, memory, &buffer));
    FAILS(NOT_INITIALIZED, DOC, cuSignalExternalSemaphoresAsync(&semaphore, &signal, 1, NULL));
    FAILS(NOT_INITIALIZED, DOC, cuWaitExternalSemaphoresAsync(&semaphore, &wait, 1, NULL));
}

STATE(external) {
    CUexternalMemory memory = WILD(CUexternalMemory);
    CUexternalSemaphore semaphore = WILD(CUexternalSemaphore);
    CUDA_EXTERNAL_MEMORY_BUFFER_DESC buffer = {.size = 64};
    CUDA_EXTERNAL_MEMORY_MIPMAPPED_ARRAY_DESC array = {.numLevels = 1};
    CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS signal = {0};
    CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS wait = {0};
    CUmipmappedArray levels;
    CUdeviceptr p;
    with_context();
    FAILS(INVALID_VALUE, HIP(hipDestroyExternalMemory), cuDestroyExternalMemory(NULL));
    FAILS(INVALID_HANDLE, DOC, cuDestroyExternalMemory(memory));
    FAILS(INVALID_VALUE, HIP(hipDestroyExternalSemaphore), cuDestroyExternalSemaphore(NULL));
    FAILS(INVALID_HANDLE, DOC, cuDestroyExternalSemaphore(semaphore));
    FAILS(INVALID_VALUE, HIP(hipExternalMemoryGetMappedBuffer), cuExternalMemoryGetMappedBuffer(NULL, memory, &buffer));
    FAILS(INVALID_VALUE, HIP(hipExternalMemoryGetMappedBuffer), cuExternalMemoryGetMappedBuffer(&p, memory, NULL));
    FAILS(INVALID_HANDLE, DOC, cuExternalMemoryGetMappedBuffer(&p, memory, &buffer));
    FAILS(INVALID_VALUE, DOC, cuExternalMemoryGetMappedMipmappedArray(NULL, memory, &array));
    FAILS(INVALID_VALUE, DOC, cuExternalMemoryGetMappedMipmappedArray(&levels, memory, NULL));
    FAILS(INVALID_HANDLE, DOC, cuExternalMemoryGetMappedMipmappedArray(&levels, memory, &array));
    FAILS(INVALID_VALUE, HIP(hipSignalExternalSemaphoresAsync), cuSignalExternalSemaphoresAsync(NULL, &signal, 1, NULL));
    FAILS(INVALID_VALUE, HIP(hipSignalExternalSemaphoresAsync), cuSignalExternalSemaphoresAsync(&semaphore, NULL, 1, NULL));
    FAILS(INVALID_HANDLE, DOC, cuSignalExternalSemaphoresAsync(&semaphore, &signal, 1, NULL));
    FAILS(INVALID_VALUE, HIP(hipWaitExternalSemaphoresAsync), cuWaitExternalSemaphoresAsync(NULL, &wait, 1, NULL));
    FAILS(INVALID_VALUE, HIP(hipWaitExternalSemaphoresAsync), cuWaitExternalSemaphoresAsync(&semaphore, NULL, 1, NULL));
    FAILS(INVALID_HANDLE, DOC, cuWaitExternalSemaphoresAsync(&semaphore, &wait, 1, NULL));
}

/* The functions of graphs are documented with CUDA_ERROR_INVALID_VALUE alone, whatever is wrong. */
STATE(nodes_of_external_semaphores) {
    CUexternalSemaphore semaphore = WILD(CUexternalSemaphore);
    CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS signal = {0};
    CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS wait = {0};
    CUDA_EXT_SEM_SIGNAL_NODE_PARAMS signals = {&semaphore, &signal, 1}, signals_out;
    CUDA_EXT_SEM_WAIT_NODE_PARAMS waits = {&semaphore, &wait, 1}, waits_out;
    CUgraph graph;
    CUgraphNode node, empty;
    CUgraphExec exec;
    size_t count = 0;
    with_context();
    SET(cuGraphCreate(&graph, 0));
    SET(cuGraphAddEmptyNode(&empty, graph, NULL, 0));
    SET(cuGraphInstantiate(&exec, graph, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphAddExternalSemaphoresSignalNode), cuGraphAddExternalSemaphoresSignalNode(NULL, graph, NULL, 0, &signals));
    FAILS(INVALID_VALUE, HIP(hipGraphAddExternalSemaphoresSignalNode), cuGraphAddExternalSemaphoresSignalNode(&node, NULL, NULL, 0, &signals));
    FAILS(INVALID_VALUE, HIP(hipGraphAddExternalSemaphoresSignalNode), cuGraphAddExternalSemaphoresSignalNode(&node, graph, NULL, 1, &signals));
    FAILS(INVALID_VALUE, DOC, cuGraphAddExternalSemaphoresSignalNode(&node, graph, &empty, 1, NULL));
    FAILS(INVALID_VALUE, DOC, cuGraphAddExternalSemaphoresSignalNode(&node, graph, &empty, 1, &signals));
    FAILS(INVALID_VALUE, HIP(hipGraphAddExternalSemaphoresWaitNode), cuGraphAddExternalSemaphoresWaitNode(NULL, graph, NULL, 0, &waits));
    FAILS(INVALID_VALUE, HIP(hipGraphAddExternalSemaphoresWaitNode), cuGraphAddExternalSemaphoresWaitNode(&node, NULL, NULL, 0, &waits));
    FAILS(INVALID_VALUE, HIP(hipGraphAddExternalSemaphoresWaitNode), cuGraphAddExternalSemaphoresWaitNode(&node, graph, NULL, 1, &waits));
    FAILS(INVALID_VALUE, DOC, cuGraphAddExternalSemaphoresWaitNode(&node, graph, &empty, 1, NULL));
    FAILS(INVALID_VALUE, DOC, cuGraphAddExternalSemaphoresWaitNode(&node, graph, &empty, 1, &waits));
    WORKS(DOC, cuGraphGetNodes(graph, NULL, &count));
    HOLDS(DOC, count == 1);
    FAILS(INVALID_VALUE, DOC, cuGraphExternalSemaphoresSignalNodeGetParams(NULL, &signals_out));
    FAILS(INVALID_VALUE, DOC, cuGraphExternalSemaphoresSignalNodeGetParams(empty, NULL));
    FAILS(INVALID_VALUE, DOC, cuGraphExternalSemaphoresSignalNodeGetParams(empty, &signals_out));
    FAILS(INVALID_VALUE, DOC, cuGraphExternalSemaphoresSignalNodeSetParams(NULL, &signals));
    FAILS(INVALID_VALUE, DOC, cuGraphExternalSemaphoresSignalNodeSetParams(empty, &signals));
    FAILS(INVALID_VALUE, DOC, cuGraphExternalSemaphoresWaitNodeGetParams(NULL, &waits_out));
    FAILS(INVALID_VALUE, DOC, cuGraphExternalSemaphoresWaitNodeGetParams(empty, NULL));
    FAILS(INVALID_VALUE, DOC, cuGraphExternalSemaphoresWaitNodeGetParams(empty, &waits_out));
    FAILS(INVALID_VALUE, DOC, cuGraphExternalSemaphoresWaitNodeSetParams(NULL, &waits));
    FAILS(INVALID_VALUE, DOC, cuGraphExternalSemaphoresWaitNodeSetParams(empty, &waits));
    FAILS(INVALID_VALUE, DOC, cuGraphExecExternalSemaphoresSignalNodeSetParams(NULL, empty, &signals));
    FAILS(INVALID_VALUE, DOC, cuGraphExecExternalSemaphoresSignalNodeSetParams(exec, NULL, &signals));
    FAILS(INVALID_VALUE, DOC, cuGraphExecExternalSemaphoresSignalNodeSetParams(exec, empty, &signals));
    FAILS(INVALID_VALUE, DOC, cuGraphExecExternalSemaphoresWaitNodeSetParams(NULL, empty, &waits));
    FAILS(INVALID_VALUE, DOC, cuGraphExecExternalSemaphoresWaitNodeSetParams(exec, NULL, &waits));
    FAILS(INVALID_VALUE, DOC, cuGraphExecExternalSemaphoresWaitNodeSetParams(exec, empty, &waits));
    WORKS(DOC, cuGraphLaunch(exec, NULL));
    WORKS(DOC, cuCtxSynchronize());
}
