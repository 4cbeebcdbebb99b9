/* Parameters of nodes, edges, executable graphs, user objects, conditional nodes. */
#include "fidelity.h"

static CUcontext context;
static CUgraph graph;
static CUgraphNode node;
static CUdeviceptr p;
static unsigned value = 1;
static void *parameters[] = {&p, &value};

static void nop(void *data) { (void)data; }

static void prepare(void) {
    context = with_context();
    SET(cuMemAlloc(&p, 4096));
    SET(cuGraphCreate(&graph, 0));
}

STATE(kernel_nodes) {
    CUgraphNode other;
    CUgraphExec exec;
    CUkernelNodeAttrValue attribute = {0};
    prepare();
    CUDA_KERNEL_NODE_PARAMS good = {.func = kernel_of("store"), .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1, .kernelParams = parameters}, bad, got;
    bad = good, bad.func = NULL;
    FAILS(INVALID_VALUE, HIP(hipGraphAddKernelNode), cuGraphAddKernelNode(&node, graph, NULL, 0, &bad));
    bad = good, bad.kernelParams = NULL;
    FAILS(INVALID_VALUE, HIP(hipGraphAddKernelNode), cuGraphAddKernelNode(&node, graph, NULL, 0, &bad));
    bad = good, bad.gridDimX = 0;
    FAILS(INVALID_VALUE, DOC, cuGraphAddKernelNode(&node, graph, NULL, 0, &bad));
    bad = good, bad.blockDimX = 1025;
    FAILS(INVALID_VALUE, DOC, cuGraphAddKernelNode(&node, graph, NULL, 0, &bad));
    FAILS(INVALID_VALUE, DOC, cuGraphAddKernelNode(&node, graph, &node, 1000, &good));
    WORKS(DOC, cuGraphAddKernelNode(&node, graph, NULL, 0, &good));
    WORKS(DOC, cuGraphAddKernelNode(&other, graph, &node, 1, &good));
    CUgraphNode twice[] = {node, node};
    FAILS(INVALID_VALUE, DOC, cuGraphAddKernelNode(&other, graph, twice, 2, &good));
    FAILS(INVALID_VALUE, HIP(hipGraphKernelNodeGetParams), cuGraphKernelNodeGetParams(node, NULL));
    WORKS(DOC, cuGraphKernelNodeGetParams(node, &got));
    HOLDS(DOC, got.func == good.func && got.gridDimX == 1 && *(unsigned *)got.kernelParams[1] == 1);
    FAILS(INVALID_VALUE, HIP(hipGraphKernelNodeSetParams), cuGraphKernelNodeSetParams(node, NULL));
    bad = good, bad.blockDimZ = 65;
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeSetParams(node, &bad));
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeGetAttribute(node, CU_KERNEL_NODE_ATTRIBUTE_PRIORITY, NULL));
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeSetAttribute(node, CU_KERNEL_NODE_ATTRIBUTE_PRIORITY, NULL));
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeGetAttribute(node, (CUkernelNodeAttrID)1000, &attribute));
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeSetAttribute(node, (CUkernelNodeAttrID)1000, &attribute));
    WORKS(DOC, cuGraphKernelNodeGetAttribute(node, CU_KERNEL_NODE_ATTRIBUTE_PRIORITY, &attribute));
    WORKS(DOC, cuGraphKernelNodeSetAttribute(node, CU_KERNEL_NODE_ATTRIBUTE_PRIORITY, &attribute));
    WORKS(DOC, cuGraphKernelNodeCopyAttributes(other, node));
    WORKS(DOC, cuGraphInstantiate(&exec, graph, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphExecKernelNodeSetParams), cuGraphExecKernelNodeSetParams(exec, node, NULL));
    bad = good, bad.gridDimY = 0;
    FAILS(INVALID_VALUE, DOC, cuGraphExecKernelNodeSetParams(exec, node, &bad));
    WORKS(DOC, cuGraphExecKernelNodeSetParams(exec, node, &good));
    WORKS(DOC, cuGraphNodeSetEnabled(exec, node, 0));
    WORKS(DOC, cuGraphNodeGetEnabled(exec, node, &value));
    HOLDS(DOC, value == 0);
    FAILS(INVALID_VALUE, DOC, cuGraphNodeGetEnabled(exec, node, NULL));
    WORKS(DOC, cuGraphLaunch(exec, NULL));
    WORKS(DOC, cuCtxSynchronize());
}

STATE(copy_nodes) {
    CUgraphExec exec;
    prepare();
    CUDA_MEMCPY3D good = {.srcMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = p, .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = p + 512, .WidthInBytes = 64, .Height = 1, .Depth = 1}, bad, got;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemcpyNode), cuGraphAddMemcpyNode(NULL, graph, NULL, 0, &good, context));
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemcpyNode), cuGraphAddMemcpyNode(&node, graph, NULL, 0, NULL, context));
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemcpyNode), cuGraphAddMemcpyNode(&node, graph, NULL, 1, &good, context));
    bad = good, bad.srcMemoryType = (CUmemorytype)77;
    FAILS(INVALID_VALUE, DOC, cuGraphAddMemcpyNode(&node, graph, NULL, 0, &bad, context));
    bad = good, bad.dstDevice = 0;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemcpyNode), cuGraphAddMemcpyNode(&node, graph, NULL, 0, &bad, context));
    bad = good, bad.Height = 2, bad.Depth = 1, bad.srcPitch = 32;
    FAILS(INVALID_VALUE, DOC, cuGraphAddMemcpyNode(&node, graph, NULL, 0, &bad, context));
    WORKS(DOC, cuGraphAddMemcpyNode(&node, graph, NULL, 0, &good, context));
    FAILS(INVALID_VALUE, HIP(hipGraphMemcpyNodeGetParams), cuGraphMemcpyNodeGetParams(node, NULL));
    WORKS(DOC, cuGraphMemcpyNodeGetParams(node, &got));
    HOLDS(DOC, got.srcDevice == p && got.WidthInBytes == 64);
    FAILS(INVALID_VALUE, HIP(hipGraphMemcpyNodeSetParams), cuGraphMemcpyNodeSetParams(node, NULL));
    FAILS(INVALID_VALUE, DOC, cuGraphMemcpyNodeSetParams(node, &bad));
    WORKS(DOC, cuGraphMemcpyNodeSetParams(node, &good));
    WORKS(DOC, cuGraphInstantiate(&exec, graph, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphExecMemcpyNodeSetParams), cuGraphExecMemcpyNodeSetParams(exec, node, NULL, context));
    FAILS(INVALID_VALUE, DOC, cuGraphExecMemcpyNodeSetParams(exec, node, &bad, context));
    WORKS(DOC, cuGraphExecMemcpyNodeSetParams(exec, node, &good, context));
}

STATE(fill_nodes) {
    CUgraphExec exec;
    prepare();
    CUDA_MEMSET_NODE_PARAMS good = {.dst = p, .elementSize = 4, .width = 16, .height = 1}, bad, got;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemsetNode), cuGraphAddMemsetNode(NULL, graph, NULL, 0, &good, context));
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemsetNode), cuGraphAddMemsetNode(&node, graph, NULL, 0, NULL, context));
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemsetNode), cuGraphAddMemsetNode(&node, graph, NULL, 1, &good, context));
    bad = good, bad.dst = 0;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemsetNode), cuGraphAddMemsetNode(&node, graph, NULL, 0, &bad, context));
    bad = good, bad.elementSize = 3;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemsetNode), cuGraphAddMemsetNode(&node, graph, NULL, 0, &bad, context));
    bad = good, bad.elementSize = 5;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemsetNode), cuGraphAddMemsetNode(&node, graph, NULL, 0, &bad, context));
    bad = good, bad.width = 0;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemsetNode), cuGraphAddMemsetNode(&node, graph, NULL, 0, &bad, context));
    bad = good, bad.height = 0;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemsetNode), cuGraphAddMemsetNode(&node, graph, NULL, 0, &bad, context));
    bad = good, bad.width = 4 * MIB;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemsetNode), cuGraphAddMemsetNode(&node, graph, NULL, 0, &bad, context));
    WORKS(DOC, cuGraphAddMemsetNode(&node, graph, NULL, 0, &good, context));
    FAILS(INVALID_VALUE, HIP(hipGraphMemsetNodeGetParams), cuGraphMemsetNodeGetParams(node, NULL));
    WORKS(DOC, cuGraphMemsetNodeGetParams(node, &got));
    HOLDS(DOC, got.dst == p && got.width == 16);
    FAILS(INVALID_VALUE, HIP(hipGraphMemsetNodeSetParams), cuGraphMemsetNodeSetParams(node, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphMemsetNodeSetParams), cuGraphMemsetNodeSetParams(node, &bad));
    WORKS(DOC, cuGraphInstantiate(&exec, graph, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphExecMemsetNodeSetParams), cuGraphExecMemsetNodeSetParams(exec, node, NULL, context));
    FAILS(INVALID_VALUE, HIP(hipGraphExecMemsetNodeSetParams), cuGraphExecMemsetNodeSetParams(exec, node, &bad, context));
    WORKS(DOC, cuGraphExecMemsetNodeSetParams(exec, node, &good, context));
}

STATE(other_nodes) {
    CUgraph child, inner;
    CUgraphExec exec;
    CUgraphNode kind[5];
    CUevent event, out;
    CUDA_HOST_NODE_PARAMS host = {.fn = nop}, none = {0}, got;
    prepare();
    SET(cuGraphCreate(&child, 0));
    SET(cuEventCreate(&event, 0));
    WORKS(DOC, cuGraphAddHostNode(&kind[0], graph, NULL, 0, &host));
    FAILS(INVALID_VALUE, HIP(hipGraphHostNodeGetParams), cuGraphHostNodeGetParams(kind[0], NULL));
    WORKS(DOC, cuGraphHostNodeGetParams(kind[0], &got));
    HOLDS(DOC, got.fn == nop);
    FAILS(INVALID_VALUE, HIP(hipGraphHostNodeSetParams), cuGraphHostNodeSetParams(kind[0], NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphHostNodeSetParams), cuGraphHostNodeSetParams(kind[0], &none));
    FAILS(INVALID_VALUE, HIP(hipGraphAddChildGraphNode), cuGraphAddChildGraphNode(NULL, graph, NULL, 0, child));
    FAILS(INVALID_VALUE, HIP(hipGraphAddChildGraphNode), cuGraphAddChildGraphNode(&kind[1], graph, NULL, 1, child));
    FAILS(INVALID_VALUE, HIP(hipGraphAddChildGraphNode), cuGraphAddChildGraphNode(&kind[1], graph, NULL, 0, graph));
    WORKS(DOC, cuGraphAddChildGraphNode(&kind[1], graph, NULL, 0, child));
    FAILS(INVALID_VALUE, HIP(hipGraphChildGraphNodeGetGraph), cuGraphChildGraphNodeGetGraph(kind[1], NULL));
    WORKS(DOC, cuGraphChildGraphNodeGetGraph(kind[1], &inner));
    HOLDS(DOC, inner != child);
    FAILS(INVALID_VALUE, DOC, cuGraphDestroy(inner));
    FAILS(INVALID_VALUE, HIP(hipGraphAddEventRecordNode), cuGraphAddEventRecordNode(NULL, graph, NULL, 0, event));
    FAILS(INVALID_VALUE, HIP(hipGraphAddEventRecordNode), cuGraphAddEventRecordNode(&kind[2], graph, NULL, 1, event));
    FAILS(INVALID_VALUE, HIP(hipGraphAddEventRecordNode), cuGraphAddEventRecordNode(&kind[2], graph, NULL, 0, NULL));
    WORKS(DOC, cuGraphAddEventRecordNode(&kind[2], graph, NULL, 0, event));
    FAILS(INVALID_VALUE, HIP(hipGraphEventRecordNodeGetEvent), cuGraphEventRecordNodeGetEvent(kind[2], NULL));
    WORKS(DOC, cuGraphEventRecordNodeGetEvent(kind[2], &out));
    HOLDS(DOC, out == event);
    FAILS(INVALID_VALUE, HIP(hipGraphEventRecordNodeSetEvent), cuGraphEventRecordNodeSetEvent(kind[2], NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphAddEventWaitNode), cuGraphAddEventWaitNode(NULL, graph, NULL, 0, event));
    FAILS(INVALID_VALUE, HIP(hipGraphAddEventWaitNode), cuGraphAddEventWaitNode(&kind[3], graph, NULL, 1, event));
    FAILS(INVALID_VALUE, HIP(hipGraphAddEventWaitNode), cuGraphAddEventWaitNode(&kind[3], graph, NULL, 0, NULL));
    WORKS(DOC, cuGraphAddEventWaitNode(&kind[3], graph, &kind[2], 1, event));
    FAILS(INVALID_VALUE, HIP(hipGraphEventWaitNodeGetEvent), cuGraphEventWaitNodeGetEvent(kind[3], NULL));
    WORKS(DOC, cuGraphEventWaitNodeGetEvent(kind[3], &out));
    FAILS(INVALID_VALUE, HIP(hipGraphEventWaitNodeSetEvent), cuGraphEventWaitNodeSetEvent(kind[3], NULL));
    WORKS(DOC, cuGraphInstantiate(&exec, graph, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphExecHostNodeSetParams), cuGraphExecHostNodeSetParams(exec, kind[0], NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphExecHostNodeSetParams), cuGraphExecHostNodeSetParams(exec, kind[0], &none));
    FAILS(INVALID_VALUE, HIP(hipGraphExecChildGraphNodeSetParams), cuGraphExecChildGraphNodeSetParams(exec, kind[1], NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphExecChildGraphNodeSetParams), cuGraphExecChildGraphNodeSetParams(exec, kind[1], graph));
    FAILS(INVALID_VALUE, HIP(hipGraphExecEventRecordNodeSetEvent), cuGraphExecEventRecordNodeSetEvent(exec, kind[2], NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphExecEventWaitNodeSetEvent), cuGraphExecEventWaitNodeSetEvent(exec, kind[3], NULL));
    WORKS(DOC, cuGraphLaunch(exec, NULL));
    WORKS(DOC, cuCtxSynchronize());
}

STATE(memory_nodes) {
    CUgraphNode takes, gives, again;
    CUgraph clone;
    CUgraphExec exec, second;
    CUdeviceptr out;
    CUDA_MEM_ALLOC_NODE_PARAMS got;
    cuuint64_t bytes = 0;
    prepare();
    CUDA_MEM_ALLOC_NODE_PARAMS good = {.poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}}, .bytesize = 4096}, bad;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemAllocNode), cuGraphAddMemAllocNode(NULL, graph, NULL, 0, &good));
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemAllocNode), cuGraphAddMemAllocNode(&takes, graph, NULL, 0, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemAllocNode), cuGraphAddMemAllocNode(&takes, graph, NULL, 1, &good));
    bad = good, bad.bytesize = 0;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemAllocNode), cuGraphAddMemAllocNode(&takes, graph, NULL, 0, &bad));
    bad = good, bad.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_INVALID;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemAllocNode), cuGraphAddMemAllocNode(&takes, graph, NULL, 0, &bad));
    bad = good, bad.poolProps.location.type = CU_MEM_LOCATION_TYPE_INVALID;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemAllocNode), cuGraphAddMemAllocNode(&takes, graph, NULL, 0, &bad));
    bad = good, bad.poolProps.location.id = 1000;
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemAllocNode), cuGraphAddMemAllocNode(&takes, graph, NULL, 0, &bad));
    WORKS(DOC, cuGraphAddMemAllocNode(&takes, graph, NULL, 0, &good));
    HOLDS(DOC, good.dptr != 0);
    FAILS(INVALID_VALUE, HIP(hipGraphMemAllocNodeGetParams), cuGraphMemAllocNodeGetParams(takes, NULL));
    WORKS(DOC, cuGraphMemAllocNodeGetParams(takes, &got));
    HOLDS(DOC, got.dptr == good.dptr && got.bytesize == 4096);
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemFreeNode), cuGraphAddMemFreeNode(NULL, graph, &takes, 1, good.dptr));
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemFreeNode), cuGraphAddMemFreeNode(&gives, graph, NULL, 1, good.dptr));
    FAILS(INVALID_VALUE, HIP(hipGraphAddMemFreeNode), cuGraphAddMemFreeNode(&gives, graph, &takes, 1, 0));
    WORKS(DOC, cuGraphAddMemFreeNode(&gives, graph, &takes, 1, good.dptr));
    FAILS(INVALID_VALUE, DOC, cuGraphAddMemFreeNode(&again, graph, &gives, 1, good.dptr));
    FAILS(INVALID_VALUE, HIP(hipGraphMemFreeNodeGetParams), cuGraphMemFreeNodeGetParams(gives, NULL));
    WORKS(DOC, cuGraphMemFreeNodeGetParams(gives, &out));
    HOLDS(DOC, out == good.dptr);
    /* "Graphs containing allocation or free nodes ... cannot be cloned", nor their nodes or edges be deleted, nor be instantiated twice. */
    HOLDS(DOC, cuGraphClone(&clone, graph) != CUDA_SUCCESS);
    HOLDS(DOC, cuGraphRemoveDependencies(graph, &takes, &gives, NULL, 1) != CUDA_SUCCESS);
    HOLDS(DOC, cuGraphDestroyNode(takes) != CUDA_SUCCESS);
    WORKS(DOC, cuGraphInstantiate(&exec, graph, 0));
    HOLDS(DOC, cuGraphInstantiate(&second, graph, 0) != CUDA_SUCCESS);
    WORKS(DOC, cuGraphLaunch(exec, NULL));
    WORKS(DOC, cuCtxSynchronize());
    WORKS(DOC, cuGraphExecDestroy(exec));
    WORKS(DOC, cuGraphInstantiate(&second, graph, 0));
    FAILS(INVALID_VALUE, HIP(hipFree), cuMemFree(good.dptr));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGraphMemTrim(1000));
    FAILS(INVALID_DEVICE, DOC, cuDeviceGetGraphMemAttribute(1000, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &bytes));
    FAILS(INVALID_DEVICE, DOC, cuDeviceSetGraphMemAttribute(1000, CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, &bytes));
    FAILS(INVALID_VALUE, HIP(hipDeviceGetGraphMemAttribute), cuDeviceGetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, NULL));
    FAILS(INVALID_VALUE, HIP(hipDeviceGetGraphMemAttribute), cuDeviceGetGraphMemAttribute(0, (CUgraphMem_attribute)1000, &bytes));
    FAILS(INVALID_VALUE, HIP(hipDeviceSetGraphMemAttribute), cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, NULL));
    /* "the high watermark can be reset to zero", the others are to be read. */
    FAILS(INVALID_VALUE, HIP(hipDeviceSetGraphMemAttribute), cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &bytes));
    WORKS(HIP(hipDeviceSetGraphMemAttribute), cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, &bytes));
    WORKS(DOC, cuDeviceGetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &bytes));
    WORKS(DOC, cuDeviceGraphMemTrim(0));
}

STATE(edges) {
    CUgraph other;
    CUgraphNode a, b, c, foreign, list[4], from[4], to[4];
    size_t count;
    prepare();
    SET(cuGraphCreate(&other, 0));
    SET(cuGraphAddEmptyNode(&a, graph, NULL, 0));
    SET(cuGraphAddEmptyNode(&b, graph, &a, 1));
    SET(cuGraphAddEmptyNode(&c, graph, NULL, 0));
    SET(cuGraphAddEmptyNode(&foreign, other, NULL, 0));
    FAILS(INVALID_VALUE, DOC, cuGraphAddDependencies(graph, &a, &foreign, NULL, 1));
    FAILS(INVALID_VALUE, DOC, cuGraphAddDependencies(graph, &foreign, &a, NULL, 1));
    FAILS(INVALID_VALUE, DOC, cuGraphAddEmptyNode(&node, graph, &foreign, 1));
    /* "Specifying an existing dependency will return an error"; so does one that is not there. */
    FAILS(INVALID_VALUE, DOC, cuGraphAddDependencies(graph, &a, &b, NULL, 1));
    FAILS(INVALID_VALUE, DOC, cuGraphRemoveDependencies(graph, &a, &c, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphRemoveDependencies), cuGraphRemoveDependencies(graph, NULL, &b, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphRemoveDependencies), cuGraphRemoveDependencies(graph, &a, NULL, NULL, 1));
    WORKS(HIP(hipGraphRemoveDependencies), cuGraphRemoveDependencies(graph, NULL, NULL, NULL, 0));
    WORKS(DOC, cuGraphAddDependencies(graph, &b, &c, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphGetEdges), cuGraphGetEdges(graph, from, NULL, NULL, &count));
    FAILS(INVALID_VALUE, HIP(hipGraphGetEdges), cuGraphGetEdges(graph, NULL, to, NULL, &count));
    FAILS(INVALID_VALUE, HIP(hipGraphGetEdges), cuGraphGetEdges(graph, from, to, NULL, NULL));
    WORKS(DOC, cuGraphGetEdges(graph, NULL, NULL, NULL, &count));
    HOLDS(DOC, count == 2);
    /* "if numEdges is higher than the actual number of edges, the remaining entries will be set to NULL, and the number of edges returned" */
    count = 4;
    WORKS(DOC, cuGraphGetEdges(graph, from, to, NULL, &count));
    HOLDS(DOC, count == 2 && from[2] == NULL && to[3] == NULL);
    FAILS(INVALID_VALUE, HIP(hipGraphNodeGetDependencies), cuGraphNodeGetDependencies(b, list, NULL, NULL));
    count = 4;
    WORKS(DOC, cuGraphNodeGetDependencies(b, list, NULL, &count));
    HOLDS(DOC, count == 1 && list[0] == a && list[1] == NULL);
    FAILS(INVALID_VALUE, HIP(hipGraphNodeGetDependentNodes), cuGraphNodeGetDependentNodes(b, list, NULL, NULL));
    WORKS(DOC, cuGraphNodeGetDependentNodes(b, NULL, NULL, &count));
    HOLDS(DOC, count == 1);
    count = 4;
    WORKS(DOC, cuGraphGetNodes(graph, list, &count));
    HOLDS(DOC, count == 3 && list[3] == NULL);
    count = 4;
    WORKS(DOC, cuGraphGetRootNodes(graph, list, &count));
    HOLDS(DOC, count == 1 && list[0] == a && list[1] == NULL);
    WORKS(DOC, cuGraphRemoveDependencies(graph, &b, &c, NULL, 1));
    WORKS(DOC, cuGraphDestroyNode(b));
    WORKS(DOC, cuGraphGetNodes(graph, NULL, &count));
    HOLDS(DOC, count == 2);
}

STATE(clones_and_updates) {
    CUgraph clone, other;
    CUgraphNode a, found;
    CUgraphExec exec;
    CUgraphExecUpdateResultInfo info;
    CUDA_GRAPH_INSTANTIATE_PARAMS how = {0};
    cuuint64_t flags = 1;
    prepare();
    SET(cuGraphAddEmptyNode(&a, graph, NULL, 0));
    WORKS(DOC, cuGraphClone(&clone, graph));
    FAILS(INVALID_VALUE, HIP(hipGraphNodeFindInClone), cuGraphNodeFindInClone(NULL, a, clone));
    FAILS(INVALID_VALUE, HIP(hipGraphNodeFindInClone), cuGraphNodeFindInClone(&found, a, graph));
    WORKS(DOC, cuGraphNodeFindInClone(&found, a, clone));
    FAILS(INVALID_VALUE, HIP(hipGraphNodeFindInClone), cuGraphNodeFindInClone(&found, found, graph));
    FAILS(INVALID_VALUE, DOC, cuGraphInstantiate(&exec, graph, 0x1000));
    FAILS(INVALID_VALUE, HIP(hipGraphInstantiateWithParams), cuGraphInstantiateWithParams(NULL, graph, &how));
    FAILS(INVALID_VALUE, HIP(hipGraphInstantiateWithParams), cuGraphInstantiateWithParams(&exec, graph, NULL));
    how.flags = 0x1000;
    FAILS(INVALID_VALUE, HIP(hipGraphInstantiateWithParams), cuGraphInstantiateWithParams(&exec, graph, &how));
    how.flags = CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH;
    FAILS(INVALID_VALUE, DOC, cuGraphInstantiateWithParams(&exec, graph, &how));
    HOLDS(DOC, how.result_out == CUDA_GRAPH_INSTANTIATE_NODE_OPERATION_NOT_SUPPORTED && how.hErrNode_out == a);
    FAILS(INVALID_VALUE, DOC, cuGraphInstantiate(&exec, graph, CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH | 1));
    how.flags = 0;
    WORKS(DOC, cuGraphInstantiateWithParams(&exec, graph, &how));
    HOLDS(DOC, how.result_out == CUDA_GRAPH_INSTANTIATE_SUCCESS);
    FAILS(INVALID_VALUE, HIP(hipGraphExecGetFlags), cuGraphExecGetFlags(exec, NULL));
    WORKS(HIP(hipGraphExecGetFlags), cuGraphExecGetFlags(exec, &flags));
    HOLDS(HIP(hipGraphExecGetFlags), flags == 0);
    WORKS(DOC, cuGraphExecUpdate(exec, clone, &info));
    HOLDS(DOC, info.result == CU_GRAPH_EXEC_UPDATE_SUCCESS);
    SET(cuGraphCreate(&other, 0));
    FAILS(GRAPH_EXEC_UPDATE_FAILURE, DOC, cuGraphExecUpdate(exec, other, &info));
    HOLDS(DOC, info.result == CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    FAILS(INVALID_HANDLE, DOC, cuGraphLaunch(exec, WILD(CUstream)));
    FAILS(INVALID_HANDLE, DOC, cuGraphUpload(exec, WILD(CUstream)));
    WORKS(DOC, cuGraphUpload(exec, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphDebugDotPrint), cuGraphDebugDotPrint(graph, NULL, 0));
    FAILS(OPERATING_SYSTEM, DOC, cuGraphDebugDotPrint(graph, "/nonexistent/file", 0));
    WORKS(DOC, cuGraphDebugDotPrint(graph, "/dev/null", 0));
}

STATE(user_objects) {
    CUuserObject object, gone;
    prepare();
    FAILS(INVALID_VALUE, HIP(hipUserObjectCreate), cuUserObjectCreate(NULL, NULL, nop, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    FAILS(INVALID_VALUE, HIP(hipUserObjectCreate), cuUserObjectCreate(&object, NULL, NULL, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    FAILS(INVALID_VALUE, HIP(hipUserObjectCreate), cuUserObjectCreate(&object, NULL, nop, 0, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    FAILS(INVALID_VALUE, HIP(hipUserObjectCreate), cuUserObjectCreate(&object, NULL, nop, (unsigned)INT32_MAX + 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    FAILS(INVALID_VALUE, HIP(hipUserObjectCreate), cuUserObjectCreate(&object, NULL, nop, 1, 0));
    WORKS(DOC, cuUserObjectCreate(&object, NULL, nop, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    WORKS(DOC, cuUserObjectCreate(&gone, NULL, nop, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    WORKS(DOC, cuUserObjectRelease(gone, 1));
    FAILS(INVALID_VALUE, HIP(hipUserObjectRetain), cuUserObjectRetain(NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipUserObjectRetain), cuUserObjectRetain(object, 0));
    FAILS(INVALID_VALUE, HIP(hipUserObjectRetain), cuUserObjectRetain(object, (unsigned)INT32_MAX + 1));
    FAILS(INVALID_VALUE, DOC, cuUserObjectRetain(gone, 1));
    FAILS(INVALID_VALUE, HIP(hipUserObjectRelease), cuUserObjectRelease(NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipUserObjectRelease), cuUserObjectRelease(object, 0));
    FAILS(INVALID_VALUE, HIP(hipUserObjectRelease), cuUserObjectRelease(object, (unsigned)INT32_MAX + 1));
    FAILS(INVALID_VALUE, DOC, cuUserObjectRelease(gone, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphRetainUserObject), cuGraphRetainUserObject(NULL, object, 1, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphRetainUserObject), cuGraphRetainUserObject(graph, NULL, 1, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphRetainUserObject), cuGraphRetainUserObject(graph, object, 0, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphRetainUserObject), cuGraphRetainUserObject(graph, object, 1, 12));
    FAILS(INVALID_VALUE, DOC, cuGraphRetainUserObject(graph, gone, 1, 0));
    WORKS(DOC, cuGraphRetainUserObject(graph, object, 1, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphReleaseUserObject), cuGraphReleaseUserObject(NULL, object, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphReleaseUserObject), cuGraphReleaseUserObject(graph, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphReleaseUserObject), cuGraphReleaseUserObject(graph, object, 0));
    WORKS(DOC, cuGraphReleaseUserObject(graph, object, 1));
}

STATE(conditional_nodes) {
    CUgraphConditionalHandle handle, wrong = 0xdead0;
    CUgraph other;
    CUgraphExec exec;
    CUcontext gone;
    prepare();
    SET(cuGraphCreate(&other, 0));
    FAILS(INVALID_VALUE, DOC, cuGraphConditionalHandleCreate(NULL, graph, context, 0, 0));
    FAILS(INVALID_VALUE, DOC, cuGraphConditionalHandleCreate(&handle, graph, context, 0, 0x100));
    WORKS(DOC, cuGraphConditionalHandleCreate(&handle, graph, context, 1, CU_GRAPH_COND_ASSIGN_DEFAULT));
    CUgraphNodeParams good = {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL, .conditional = {.handle = handle, .type = CU_GRAPH_COND_TYPE_IF, .size = 1, .ctx = context}}, bad;
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(NULL, graph, NULL, NULL, 0, &good));
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, graph, NULL, NULL, 0, NULL));
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, graph, NULL, NULL, 1, &good));
    bad = good, bad.conditional.handle = wrong;
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, graph, NULL, NULL, 0, &bad));
    bad = good, bad.conditional.type = (CUgraphConditionalNodeType)77;
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, graph, NULL, NULL, 0, &bad));
    bad = good, bad.conditional.size = 0;
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, graph, NULL, NULL, 0, &bad));
    /* "conditional handles must be associated with the same graph", "1 or 2 for IF" and "1 for WHILE". */
    bad = good;
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, other, NULL, NULL, 0, &bad));
    bad = good, bad.conditional.size = 3;
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, graph, NULL, NULL, 0, &bad));
    bad = good, bad.conditional.type = CU_GRAPH_COND_TYPE_WHILE, bad.conditional.size = 2;
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, graph, NULL, NULL, 0, &bad));
    bad = good, bad.type = (CUgraphNodeType)1000;
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, graph, NULL, NULL, 0, &bad));
    bad = good, bad.reserved0[0] = 1;
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, graph, NULL, NULL, 0, &bad));
    WORKS(DOC, cuGraphAddNode(&node, graph, NULL, NULL, 0, &good));
    HOLDS(DOC, good.conditional.phGraph_out != NULL && good.conditional.phGraph_out[0] != NULL);
    WORKS(DOC, cuGraphInstantiate(&exec, graph, 0));
    WORKS(DOC, cuGraphLaunch(exec, NULL));
    WORKS(DOC, cuCtxSynchronize());
    SET(cuCtxCreate(&gone, NULL, 0, 0));
    SET(cuCtxDestroy(gone));
    HOLDS(DOC, cuGraphConditionalHandleCreate(&handle, graph, gone, 0, 0) != CUDA_SUCCESS);
}
