/* During a capture of a stream, and graphs with wrong arguments. */
#include "fidelity.h"

static CUstream stream, other;
static CUevent event;
static CUdeviceptr p;
static CUgraph graph;

#define CAPTURE HIP(hipStreamBeginCapture)

static void prepare(void) {
    with_context();
    SET(cuStreamCreate(&stream, 0));
    SET(cuStreamCreate(&other, 0));
    SET(cuEventCreate(&event, 0));
    SET(cuMemAlloc(&p, 64));
}

/* Begins a capture of `stream` in which something has been recorded. */
static void begin(CUstreamCaptureMode mode) {
    SET(cuStreamBeginCapture(stream, mode));
    SET(cuMemsetD8Async(p, 0, 64, stream));
}

static void end(void) { cuStreamEndCapture(stream, &graph); }

STATE(capture_arguments) {
    CUstreamCaptureStatus status;
    CUstream gone;
    prepare();
    SET(cuStreamCreate(&gone, 0));
    SET(cuStreamDestroy(gone));
    FAILS(STREAM_CAPTURE_UNSUPPORTED, CAPTURE, cuStreamBeginCapture(NULL, CU_STREAM_CAPTURE_MODE_GLOBAL));
    FAILS(STREAM_CAPTURE_UNSUPPORTED, DOC, cuStreamBeginCapture(CU_STREAM_LEGACY, CU_STREAM_CAPTURE_MODE_RELAXED));
    FAILS(INVALID_VALUE, CAPTURE, cuStreamBeginCapture(stream, (CUstreamCaptureMode)-1));
    FAILS(CONTEXT_IS_DESTROYED, CAPTURE, cuStreamBeginCapture(gone, CU_STREAM_CAPTURE_MODE_GLOBAL));
    FAILS(ILLEGAL_STATE, HIP(hipStreamEndCapture), cuStreamEndCapture(NULL, &graph));
    FAILS(INVALID_VALUE, HIP(hipStreamEndCapture), cuStreamEndCapture(stream, NULL));
    FAILS(ILLEGAL_STATE, HIP(hipStreamEndCapture), cuStreamEndCapture(stream, &graph));
    FAILS(INVALID_VALUE, HIP(hipStreamIsCapturing), cuStreamIsCapturing(stream, NULL));
    FAILS(CONTEXT_IS_DESTROYED, HIP(hipStreamIsCapturing), cuStreamIsCapturing(gone, &status));
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    FAILS(ILLEGAL_STATE, CAPTURE, cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    end();
    SET(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL));
    FAILS(STREAM_CAPTURE_IMPLICIT, HIP(hipStreamIsCapturing), cuStreamIsCapturing(NULL, &status));
    WORKS(HIP(hipStreamIsCapturing), cuStreamEndCapture(stream, &graph));
    WORKS(HIP(hipStreamIsCapturing), cuGraphDestroy(graph));
}

static void in_every_mode(CUstreamCaptureMode mode) {
    begin(mode);
    FAILS(STREAM_CAPTURE_UNSUPPORTED, CAPTURE, cuStreamSynchronize(stream));
    end();
    begin(mode);
    FAILS(STREAM_CAPTURE_UNSUPPORTED, CAPTURE, cuStreamQuery(stream));
    end();
    begin(mode);
    FAILS(STREAM_CAPTURE_UNSUPPORTED, CAPTURE, cuCtxSynchronize());
    end();
}

static CUresult of_captured_event(CUstreamCaptureMode mode, CUresult ask(CUevent)) {
    begin(mode);
    SET(cuEventRecord(event, stream));
    CUresult code = ask(event);
    end();
    return code;
}

STATE(capture_and_waiting) {
    prepare();
    in_every_mode(CU_STREAM_CAPTURE_MODE_GLOBAL);
    in_every_mode(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    in_every_mode(CU_STREAM_CAPTURE_MODE_RELAXED);
    /* The mode is looked at before the event. */
    FAILS(CAPTURED_EVENT, CAPTURE, of_captured_event(CU_STREAM_CAPTURE_MODE_GLOBAL, cuEventSynchronize));
    FAILS(CAPTURED_EVENT, CAPTURE, of_captured_event(CU_STREAM_CAPTURE_MODE_GLOBAL, cuEventQuery));
    FAILS(CAPTURED_EVENT, CAPTURE, of_captured_event(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, cuEventSynchronize));
    FAILS(CAPTURED_EVENT, CAPTURE, of_captured_event(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, cuEventQuery));
    FAILS(CAPTURED_EVENT, CAPTURE, of_captured_event(CU_STREAM_CAPTURE_MODE_RELAXED, cuEventSynchronize));
    FAILS(CAPTURED_EVENT, CAPTURE, of_captured_event(CU_STREAM_CAPTURE_MODE_RELAXED, cuEventQuery));
}

STATE(capture_and_unsafe_calls) {
    static const CUstreamCaptureMode modes[] = {CU_STREAM_CAPTURE_MODE_GLOBAL, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL};
    CUdeviceptr q;
    int host = 0;
    prepare();
    for (int i = 0; i < 2; i++) {
        begin(modes[i]);
        FAILS(STREAM_CAPTURE_UNSUPPORTED, CAPTURE, cuMemAlloc(&q, 4));
        end();
        begin(modes[i]);
        FAILS(STREAM_CAPTURE_IMPLICIT, CAPTURE, cuMemcpyHtoD(p, &host, 4));
        end();
        begin(modes[i]);
        FAILS(STREAM_CAPTURE_IMPLICIT, CAPTURE, cuMemsetD8(p, 0, 4));
        end();
    }
    /* "no API calls are prohibited" */
    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    WORKS(DOC, cuMemAlloc(&q, 4));
    WORKS(DOC, cuStreamEndCapture(stream, &graph));
}

/* "further use of any capturing streams ... is invalid and will return an error, until stream capture is ended. This call ... will also return
 * an error value and a NULL graph." */
STATE(invalidated_capture) {
    CUstreamCaptureStatus status;
    prepare();
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    FAILS(STREAM_CAPTURE_UNSUPPORTED, CAPTURE, cuStreamSynchronize(stream));
    WORKS(GUIDE, cuStreamIsCapturing(stream, &status));
    HOLDS(GUIDE, status == CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    FAILS(STREAM_CAPTURE_INVALIDATED, GUIDE, cuMemsetD8Async(p, 0, 4, stream));
    graph = (CUgraph)&status;
    FAILS(STREAM_CAPTURE_INVALIDATED, GUIDE, cuStreamEndCapture(stream, &graph));
    HOLDS(GUIDE, graph == NULL);
    WORKS(GUIDE, cuStreamIsCapturing(stream, &status));
    HOLDS(GUIDE, status == CU_STREAM_CAPTURE_STATUS_NONE);
    WORKS(GUIDE, cuMemsetD8Async(p, 0, 4, stream));
    WORKS(GUIDE, cuStreamSynchronize(stream));
}

static void *ends(void *data) { return (void *)(uintptr_t)cuStreamEndCapture(data, &graph); }

STATE(captures_that_end_wrong) {
    pthread_t thread;
    void *code;
    prepare();
    /* A stream that joined the capture by an event. */
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    SET(cuEventRecord(event, stream));
    SET(cuStreamWaitEvent(other, event, 0));
    FAILS(ILLEGAL_STATE, CAPTURE, cuStreamBeginCapture(other, CU_STREAM_CAPTURE_MODE_GLOBAL));
    SET(cuMemsetD8Async(p, 0, 64, other));
    FAILS(STREAM_CAPTURE_UNJOINED, DOC, cuStreamEndCapture(stream, &graph));
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    SET(cuEventRecord(event, stream));
    SET(cuStreamWaitEvent(other, event, 0));
    FAILS(STREAM_CAPTURE_UNMATCHED, DOC, cuStreamEndCapture(other, &graph));
    end();
    /* "If the mode argument to cuStreamBeginCapture was not RELAXED, this call must be from the same thread" */
    begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    SET(pthread_create(&thread, NULL, ends, stream));
    SET(pthread_join(thread, &code));
    FAILS(STREAM_CAPTURE_WRONG_THREAD, HIP(hipStreamEndCapture), (uintptr_t)code);
    end();
    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    SET(pthread_create(&thread, NULL, ends, stream));
    SET(pthread_join(thread, &code));
    WORKS(DOC, (uintptr_t)code);
    /* The legacy stream would wait for the capture. */
    begin(CU_STREAM_CAPTURE_MODE_RELAXED);
    FAILS(STREAM_CAPTURE_IMPLICIT, DOC, cuMemsetD8Async(p, 0, 64, NULL));
    end();
}

STATE(graphs) {
    CUgraph none = NULL, clone;
    CUgraphNode node, second, list[2];
    CUgraphNodeType type;
    CUgraphExec exec;
    CUDA_HOST_NODE_PARAMS host = {0};
    CUDA_KERNEL_NODE_PARAMS kernel = {.gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1};
    size_t count;
    prepare();
    FAILS(INVALID_VALUE, HIP(hipGraphCreate), cuGraphCreate(NULL, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphCreate), cuGraphCreate(&graph, 1));
    WORKS(HIP(hipGraphCreate), cuGraphCreate(&graph, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphDestroy), cuGraphDestroy(NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphAddEmptyNode), cuGraphAddEmptyNode(NULL, graph, NULL, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphAddEmptyNode), cuGraphAddEmptyNode(&node, NULL, NULL, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphAddEmptyNode), cuGraphAddEmptyNode(&node, graph, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphAddHostNode), cuGraphAddHostNode(NULL, graph, NULL, 0, &host));
    FAILS(INVALID_VALUE, HIP(hipGraphAddHostNode), cuGraphAddHostNode(&node, NULL, NULL, 0, &host));
    FAILS(INVALID_VALUE, HIP(hipGraphAddHostNode), cuGraphAddHostNode(&node, graph, NULL, 0, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphAddHostNode), cuGraphAddHostNode(&node, graph, NULL, 0, &host));
    FAILS(INVALID_VALUE, HIP(hipGraphAddKernelNode), cuGraphAddKernelNode(&node, graph, NULL, 0, NULL));
    kernel.func = kernel_of("store");
    FAILS(INVALID_VALUE, HIP(hipGraphAddKernelNode), cuGraphAddKernelNode(NULL, graph, NULL, 0, &kernel));
    FAILS(INVALID_VALUE, HIP(hipGraphAddKernelNode), cuGraphAddKernelNode(&node, NULL, NULL, 0, &kernel));
    FAILS(INVALID_VALUE, HIP(hipGraphAddKernelNode), cuGraphAddKernelNode(&node, graph, NULL, 11, &kernel));
    FAILS(INVALID_VALUE, HIP(hipGraphAddKernelNode), cuGraphAddKernelNode(&node, graph, NULL, 0, &kernel));
    FAILS(INVALID_VALUE, HIP(hipGraphAddEventRecordNode), cuGraphAddEventRecordNode(&node, graph, NULL, 0, NULL));
    WORKS(DOC, cuGraphAddEmptyNode(&node, graph, NULL, 0));
    WORKS(DOC, cuGraphAddEmptyNode(&second, graph, &node, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphAddDependencies), cuGraphAddDependencies(NULL, &node, &second, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphAddDependencies), cuGraphAddDependencies(graph, &node, NULL, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphAddDependencies), cuGraphAddDependencies(graph, NULL, &node, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphAddDependencies), cuGraphAddDependencies(graph, &node, &second, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphAddDependencies), cuGraphAddDependencies(graph, &node, &node, NULL, 1));
    WORKS(HIP(hipGraphAddDependencies), cuGraphAddDependencies(graph, NULL, NULL, NULL, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphGetNodes), cuGraphGetNodes(NULL, list, &count));
    FAILS(INVALID_VALUE, HIP(hipGraphGetNodes), cuGraphGetNodes(none, NULL, &count));
    FAILS(INVALID_VALUE, HIP(hipGraphGetNodes), cuGraphGetNodes(graph, list, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphGetRootNodes), cuGraphGetRootNodes(NULL, list, &count));
    FAILS(INVALID_VALUE, HIP(hipGraphGetRootNodes), cuGraphGetRootNodes(graph, list, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphNodeGetType), cuGraphNodeGetType(NULL, &type));
    FAILS(INVALID_VALUE, HIP(hipGraphNodeGetType), cuGraphNodeGetType(node, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphDestroyNode), cuGraphDestroyNode(NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphClone), cuGraphClone(NULL, graph));
    FAILS(INVALID_VALUE, HIP(hipGraphClone), cuGraphClone(&clone, NULL));
    FAILS(INVALID_VALUE, HIP(hipGraphInstantiate), cuGraphInstantiate(NULL, graph, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphInstantiate), cuGraphInstantiate(&exec, NULL, 0));
    FAILS(INVALID_VALUE, HIP(hipGraphLaunch), cuGraphLaunch(NULL, stream));
    FAILS(INVALID_VALUE, HIP(hipGraphLaunch), cuGraphLaunch(NULL, CU_STREAM_PER_THREAD));
    FAILS(INVALID_VALUE, HIP(hipGraphExecDestroy), cuGraphExecDestroy(NULL));
    WORKS(DOC, cuGraphInstantiate(&exec, graph, 0));
    WORKS(DOC, cuGraphLaunch(exec, stream));
    WORKS(DOC, cuGraphExecDestroy(exec));
    FAILS(INVALID_VALUE, HIP(hipGraphLaunch), cuGraphLaunch(exec, CU_STREAM_PER_THREAD));
    WORKS(DOC, cuGraphDestroy(graph));
}

STATE(cyclic_graph) {
    CUgraphNode a, b;
    CUgraphExec exec;
    CUgraph clone;
    prepare();
    SET(cuGraphCreate(&graph, 0));
    SET(cuGraphAddEmptyNode(&a, graph, NULL, 0));
    SET(cuGraphAddEmptyNode(&b, graph, &a, 1));
    SET(cuGraphAddDependencies(graph, &b, &a, NULL, 1));
    FAILS(INVALID_VALUE, HIP(hipGraphInstantiate), cuGraphInstantiate(&exec, graph, 0));
    WORKS(HIP(hipGraphInstantiate), cuGraphClone(&clone, graph));
    FAILS(INVALID_VALUE, HIP(hipGraphInstantiate), cuGraphInstantiate(&exec, clone, 0));
}
