/* Nodes of graphs and executable graphs: every function with null, wild and destroyed handles, with nodes of another kind, with
 * parameters that mean nothing. The functions of graphs are documented with CUDA_ERROR_INVALID_VALUE alone, whatever is wrong. */
#include "fidelity.h"

static CUcontext context;
static CUgraph graph, gone_graph;
static CUgraphExec exec, gone_exec;
static CUgraphNode empty, kernel_node, copy_node, set_node, host_node, child_node, record_node, wait_node, gone_node;
static CUevent event;
static CUdeviceptr p;
static CUfunction store, nothing;
static unsigned value = 1;
static void *parameters[] = {&p, &value};

static void nop(void *data) { (void)data; }

static CUDA_KERNEL_NODE_PARAMS launch(void) {
    return (CUDA_KERNEL_NODE_PARAMS){
        .func = store, .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1, .kernelParams = parameters};
}

static CUDA_MEMCPY3D copy(void) {
    return (CUDA_MEMCPY3D){.srcMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = p, .dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = p + 512, .WidthInBytes = 64, .Height = 1, .Depth = 1};
}

static CUDA_MEMSET_NODE_PARAMS fill(void) {
    return (CUDA_MEMSET_NODE_PARAMS){.dst = p, .elementSize = 1, .width = 64, .height = 1};
}

static CUDA_MEM_ALLOC_NODE_PARAMS alloc(size_t bytes) {
    return (CUDA_MEM_ALLOC_NODE_PARAMS){
        .poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}}, .bytesize = bytes};
}

/* One node of every kind in a graph that can be launched. */
static void prepare(void) {
    CUgraph child;
    CUDA_HOST_NODE_PARAMS host = {.fn = nop};
    context = with_context();
    nothing = kernel_of("nothing"), store = kernel_of("store");
    SET(cuMemAlloc(&p, 4096));
    SET(cuEventCreate(&event, 0));
    SET(cuGraphCreate(&graph, 0));
    SET(cuGraphCreate(&child, 0));
    SET(cuGraphAddEmptyNode(&empty, child, NULL, 0));
    CUDA_KERNEL_NODE_PARAMS kernel = launch();
    CUDA_MEMCPY3D copies = copy();
    CUDA_MEMSET_NODE_PARAMS sets = fill();
    SET(cuGraphAddEmptyNode(&empty, graph, NULL, 0));
    SET(cuGraphAddKernelNode(&kernel_node, graph, &empty, 1, &kernel));
    SET(cuGraphAddMemcpyNode(&copy_node, graph, &kernel_node, 1, &copies, context));
    SET(cuGraphAddMemsetNode(&set_node, graph, &copy_node, 1, &sets, context));
    SET(cuGraphAddHostNode(&host_node, graph, &set_node, 1, &host));
    SET(cuGraphAddChildGraphNode(&child_node, graph, &host_node, 1, child));
    SET(cuGraphAddEventRecordNode(&record_node, graph, &child_node, 1, event));
    SET(cuGraphAddEventWaitNode(&wait_node, graph, &record_node, 1, event));
    SET(cuGraphAddEmptyNode(&gone_node, graph, NULL, 0));
    SET(cuGraphDestroyNode(gone_node));
    SET(cuGraphInstantiate(&exec, graph, 0));
    SET(cuGraphCreate(&gone_graph, 0));
    SET(cuGraphInstantiate(&gone_exec, gone_graph, 0));
    SET(cuGraphExecDestroy(gone_exec));
    SET(cuGraphDestroy(gone_graph));
}

/* A graph that is none. */
static void wrong_graph(CUgraph g) {
    CUgraphNode node;
    CUgraph clone;
    CUgraphExec made;
    CUDA_KERNEL_NODE_PARAMS kernel = launch();
    CUDA_MEMCPY3D copies = copy();
    CUDA_MEMSET_NODE_PARAMS sets = fill();
    CUDA_HOST_NODE_PARAMS host = {.fn = nop};
    CUDA_MEM_ALLOC_NODE_PARAMS takes = alloc(64);
    CUgraphNodeParams any = {.type = CU_GRAPH_NODE_TYPE_EMPTY};
    CUDA_GRAPH_INSTANTIATE_PARAMS how = {0};
    CUgraphExecUpdateResultInfo info;
    CUgraphConditionalHandle handle;
    CUgraphNode list[4];
    size_t count = 4;
    unsigned id;
    FAILS(INVALID_VALUE, DOC, cuGraphAddEmptyNode(&node, g, NULL, 0));
    FAILS(INVALID_VALUE, DOC, cuGraphAddKernelNode(&node, g, NULL, 0, &kernel));
    FAILS(INVALID_VALUE, DOC, cuGraphAddMemcpyNode(&node, g, NULL, 0, &copies, context));
    FAILS(INVALID_VALUE, DOC, cuGraphAddMemsetNode(&node, g, NULL, 0, &sets, context));
    FAILS(INVALID_VALUE, DOC, cuGraphAddHostNode(&node, g, NULL, 0, &host));
    FAILS(INVALID_VALUE, DOC, cuGraphAddChildGraphNode(&node, g, NULL, 0, graph));
    FAILS(INVALID_VALUE, DOC, cuGraphAddChildGraphNode(&node, graph, NULL, 0, g));
    FAILS(INVALID_VALUE, DOC, cuGraphAddEventRecordNode(&node, g, NULL, 0, event));
    FAILS(INVALID_VALUE, DOC, cuGraphAddEventWaitNode(&node, g, NULL, 0, event));
    FAILS(INVALID_VALUE, DOC, cuGraphAddMemAllocNode(&node, g, NULL, 0, &takes));
    FAILS(INVALID_VALUE, DOC, cuGraphAddMemFreeNode(&node, g, NULL, 0, p));
    FAILS(INVALID_VALUE, DOC, cuGraphAddNode(&node, g, NULL, NULL, 0, &any));
    FAILS(INVALID_VALUE, DOC, cuGraphConditionalHandleCreate(&handle, g, context, 0, 0));
    FAILS(INVALID_VALUE, DOC, cuGraphClone(&clone, g));
    FAILS(INVALID_VALUE, DOC, cuGraphNodeFindInClone(&node, empty, g));
    FAILS(INVALID_VALUE, DOC, cuGraphGetNodes(g, list, &count));
    FAILS(INVALID_VALUE, DOC, cuGraphGetRootNodes(g, list, &count));
    FAILS(INVALID_VALUE, DOC, cuGraphGetEdges(g, NULL, NULL, NULL, &count));
    FAILS(INVALID_VALUE, DOC, cuGraphAddDependencies(g, &empty, &wait_node, NULL, 1));
    FAILS(INVALID_VALUE, DOC, cuGraphRemoveDependencies(g, &empty, &kernel_node, NULL, 1));
    FAILS(INVALID_VALUE, DOC, cuGraphInstantiate(&made, g, 0));
    FAILS(INVALID_VALUE, DOC, cuGraphInstantiateWithParams(&made, g, &how));
    FAILS(INVALID_VALUE, DOC, cuGraphExecChildGraphNodeSetParams(exec, child_node, g));
    /* cuGraphExecUpdate lists the failure of an update alone; the general meaning of the code is the other one's. */
    HOLDS(DOC, cuGraphExecUpdate(exec, g, &info) != CUDA_SUCCESS);
    FAILS(INVALID_VALUE, DOC, cuGraphDebugDotPrint(g, "/dev/null", 0));
    FAILS(INVALID_VALUE, DOC, cuGraphGetId(g, &id));
    FAILS(INVALID_VALUE, DOC, cuGraphDestroy(g));
}

/* A node that is none, or one of another kind than each function takes where `plain` is false. */
static void wrong_node(CUgraphNode n, int plain) {
    CUDA_KERNEL_NODE_PARAMS kernel = launch(), kernel_out;
    CUDA_MEMCPY3D copies = copy(), copy_out;
    CUDA_MEMSET_NODE_PARAMS sets = fill(), set_out;
    CUDA_HOST_NODE_PARAMS host = {.fn = nop}, host_out;
    CUDA_MEM_ALLOC_NODE_PARAMS alloc_out;
    CUDA_BATCH_MEM_OP_NODE_PARAMS batch_out;
    CUkernelNodeAttrValue attribute = {0};
    CUevent event_out;
    CUgraph graph_out;
    CUdeviceptr address;
    unsigned is;
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeGetParams(n, &kernel_out));
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeSetParams(n, &kernel));
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeGetAttribute(n, CU_KERNEL_NODE_ATTRIBUTE_PRIORITY, &attribute));
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeSetAttribute(n, CU_KERNEL_NODE_ATTRIBUTE_PRIORITY, &attribute));
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeCopyAttributes(n, kernel_node));
    FAILS(INVALID_VALUE, DOC, cuGraphKernelNodeCopyAttributes(kernel_node, n));
    FAILS(INVALID_VALUE, DOC, cuGraphMemcpyNodeGetParams(n, &copy_out));
    FAILS(INVALID_VALUE, DOC, cuGraphMemcpyNodeSetParams(n, &copies));
    FAILS(INVALID_VALUE, DOC, cuGraphMemsetNodeGetParams(n, &set_out));
    FAILS(INVALID_VALUE, DOC, cuGraphMemsetNodeSetParams(n, &sets));
    FAILS(INVALID_VALUE, DOC, cuGraphHostNodeGetParams(n, &host_out));
    FAILS(INVALID_VALUE, DOC, cuGraphHostNodeSetParams(n, &host));
    FAILS(INVALID_VALUE, DOC, cuGraphChildGraphNodeGetGraph(n, &graph_out));
    FAILS(INVALID_VALUE, DOC, cuGraphEventRecordNodeGetEvent(n, &event_out));
    FAILS(INVALID_VALUE, DOC, cuGraphEventRecordNodeSetEvent(n, event));
    FAILS(INVALID_VALUE, DOC, cuGraphEventWaitNodeGetEvent(n, &event_out));
    FAILS(INVALID_VALUE, DOC, cuGraphEventWaitNodeSetEvent(n, event));
    FAILS(INVALID_VALUE, DOC, cuGraphMemAllocNodeGetParams(n, &alloc_out));
    FAILS(INVALID_VALUE, DOC, cuGraphMemFreeNodeGetParams(n, &address));
    FAILS(INVALID_VALUE, DOC, cuGraphBatchMemOpNodeGetParams(n, &batch_out));
    FAILS(INVALID_VALUE, DOC, cuGraphExecKernelNodeSetParams(exec, n, &kernel));
    FAILS(INVALID_VALUE, DOC, cuGraphExecMemcpyNodeSetParams(exec, n, &copies, context));
    FAILS(INVALID_VALUE, DOC, cuGraphExecMemsetNodeSetParams(exec, n, &sets, context));
    FAILS(INVALID_VALUE, DOC, cuGraphExecHostNodeSetParams(exec, n, &host));
    FAILS(INVALID_VALUE, DOC, cuGraphExecEventRecordNodeSetEvent(exec, n, event));
    FAILS(INVALID_VALUE, DOC, cuGraphExecEventWaitNodeSetEvent(exec, n, event));
    /* "Only kernel, memset and memcpy nodes are currently supported": an empty node is not. */
    FAILS(INVALID_VALUE, DOC, cuGraphNodeSetEnabled(exec, n, 0));
    FAILS(INVALID_VALUE, DOC, cuGraphNodeGetEnabled(exec, n, &is));
    if (!plain) return;
    CUgraphNodeType type;
    CUgraphNode node, list[4];
    size_t count = 4;
    unsigned id;
    unsigned long long tools;
    FAILS(INVALID_VALUE, DOC, cuGraphNodeGetType(n, &type));
    FAILS(INVALID_VALUE, DOC, cuGraphNodeGetDependencies(n, list, NULL, &count));
    FAILS(INVALID_VALUE, DOC, cuGraphNodeGetDependentNodes(n, list, NULL, &count));
    FAILS(INVALID_VALUE, DOC, cuGraphNodeGetContainingGraph(n, &graph_out));
    FAILS(INVALID_VALUE, DOC, cuGraphNodeGetLocalId(n, &id));
    FAILS(INVALID_VALUE, DOC, cuGraphNodeGetToolsId(n, &tools));
    FAILS(INVALID_VALUE, DOC, cuGraphNodeFindInClone(&node, n, graph));
    FAILS(INVALID_VALUE, DOC, cuGraphAddEmptyNode(&node, graph, &n, 1));
    FAILS(INVALID_VALUE, DOC, cuGraphAddDependencies(graph, &n, &empty, NULL, 1));
    FAILS(INVALID_VALUE, DOC, cuGraphAddDependencies(graph, &empty, &n, NULL, 1));
    FAILS(INVALID_VALUE, DOC, cuGraphDestroyNode(n));
}

/* An executable graph that is none. */
static void wrong_exec(CUgraphExec e) {
    CUDA_KERNEL_NODE_PARAMS kernel = launch();
    CUDA_MEMCPY3D copies = copy();
    CUDA_MEMSET_NODE_PARAMS sets = fill();
    CUDA_HOST_NODE_PARAMS host = {.fn = nop};
    CUgraphExecUpdateResultInfo info;
    cuuint64_t flags;
    unsigned is;
    FAILS(INVALID_VALUE, DOC, cuGraphLaunch(e, NULL));
    FAILS(INVALID_VALUE, DOC, cuGraphUpload(e, NULL));
    FAILS(INVALID_VALUE, DOC, cuGraphExecGetFlags(e, &flags));
    FAILS(INVALID_VALUE, DOC, cuGraphExecGetId(e, &is));
    FAILS(INVALID_VALUE, DOC, cuGraphExecKernelNodeSetParams(e, kernel_node, &kernel));
    FAILS(INVALID_VALUE, DOC, cuGraphExecMemcpyNodeSetParams(e, copy_node, &copies, context));
    FAILS(INVALID_VALUE, DOC, cuGraphExecMemsetNodeSetParams(e, set_node, &sets, context));
    FAILS(INVALID_VALUE, DOC, cuGraphExecHostNodeSetParams(e, host_node, &host));
    FAILS(INVALID_VALUE, DOC, cuGraphExecChildGraphNodeSetParams(e, child_node, graph));
    FAILS(INVALID_VALUE, DOC, cuGraphExecEventRecordNodeSetEvent(e, record_node, event));
    FAILS(INVALID_VALUE, DOC, cuGraphExecEventWaitNodeSetEvent(e, wait_node, event));
    FAILS(INVALID_VALUE, DOC, cuGraphNodeSetEnabled(e, kernel_node, 1));
    FAILS(INVALID_VALUE, DOC, cuGraphNodeGetEnabled(e, kernel_node, &is));
    HOLDS(DOC, cuGraphExecUpdate(e, graph, &info) != CUDA_SUCCESS);
    FAILS(INVALID_VALUE, DOC, cuGraphExecDestroy(e));
}

STATE(graphs_that_are_none) {
    prepare();
    wrong_graph(NULL);
    wrong_graph(WILD(CUgraph));
    wrong_graph(gone_graph);
    wrong_graph((CUgraph)exec);
}

STATE(nodes_that_are_none) {
    prepare();
    wrong_node(NULL, 1);
    wrong_node(WILD(CUgraphNode), 1);
    wrong_node(gone_node, 1);
    wrong_node((CUgraphNode)graph, 1);
}

/* What the documentation allows in a graph that kernels may launch too; the host launches it as any other. */
STATE(graphs_for_the_device) {
    CUgraph g;
    CUgraphNode node;
    CUgraphExec made;
    cuuint64_t flags = 0, device = CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH;
    prepare();
    FAILS(INVALID_VALUE, DOC, cuGraphInstantiate(&made, graph, device));
    SET(cuGraphCreate(&g, 0));
    FAILS(INVALID_VALUE, DOC, cuGraphInstantiate(&made, g, device));
    CUDA_KERNEL_NODE_PARAMS kernel = launch();
    CUDA_MEMSET_NODE_PARAMS sets = fill();
    SET(cuGraphAddKernelNode(&node, g, NULL, 0, &kernel));
    SET(cuGraphAddMemsetNode(&node, g, &node, 1, &sets, context));
    FAILS(INVALID_VALUE, DOC, cuGraphInstantiate(&made, g, device | CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH));
    WORKS(DOC, cuGraphInstantiate(&made, g, device));
    WORKS(DOC, cuGraphExecGetFlags(made, &flags));
    HOLDS(DOC, flags == device);
    WORKS(DOC, cuGraphUpload(made, NULL));
    WORKS(DOC, cuGraphLaunch(made, NULL));
    WORKS(DOC, cuCtxSynchronize());
}

STATE(nodes_of_another_kind) {
    prepare();
    wrong_node(empty, 0);
}

STATE(executable_graphs_that_are_none) {
    prepare();
    wrong_exec(NULL);
    wrong_exec(WILD(CUgraphExec));
    wrong_exec(gone_exec);
    wrong_exec((CUgraphExec)graph);
}
