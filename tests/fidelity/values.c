/* Values in memory that streams wait for and write, and what ends a context that waits. */
#include "fidelity.h"

STATE(values_in_memory) {
    CUdeviceptr p;
    CUstream stream;
    void *pinned;
    CUstreamBatchMemOpParams ops[2], bad;
    with_context();
    SET(cuMemAlloc(&p, 64));
    SET(cuMemsetD8(p, 0, 64));
    SET(cuMemHostAlloc(&pinned, 64, 0));
    SET(cuStreamCreate(&stream, 0));
    FAILS(INVALID_VALUE, HIP(hipStreamValue), cuStreamWaitValue32(stream, 0, 0, CU_STREAM_WAIT_VALUE_GEQ));
    FAILS(INVALID_VALUE, HIP(hipStreamValue), cuStreamWaitValue64(stream, 0, 0, CU_STREAM_WAIT_VALUE_GEQ));
    FAILS(INVALID_VALUE, HIP(hipStreamValue), cuStreamWriteValue32(stream, 0, 0, CU_STREAM_WRITE_VALUE_DEFAULT));
    FAILS(INVALID_VALUE, HIP(hipStreamValue), cuStreamWriteValue64(stream, 0, 0, CU_STREAM_WRITE_VALUE_DEFAULT));
    FAILS(INVALID_VALUE, DOC, cuStreamWaitValue32(stream, p + 2, 0, CU_STREAM_WAIT_VALUE_GEQ));
    FAILS(INVALID_VALUE, DOC, cuStreamWaitValue64(stream, p + 4, 0, CU_STREAM_WAIT_VALUE_GEQ));
    FAILS(INVALID_VALUE, DOC, cuStreamWriteValue32(stream, p + 2, 0, CU_STREAM_WRITE_VALUE_DEFAULT));
    FAILS(INVALID_VALUE, DOC, cuStreamWriteValue64(stream, p + 4, 0, CU_STREAM_WRITE_VALUE_DEFAULT));
    FAILS(INVALID_VALUE, DOC, cuStreamWaitValue32(stream, 0x123456789000ull, 0, CU_STREAM_WAIT_VALUE_GEQ));
    FAILS(INVALID_VALUE, HIP(hipStreamValue), cuStreamWaitValue32(stream, p, 0, 0x77));
    FAILS(INVALID_VALUE, HIP(hipStreamValue), cuStreamWaitValue64(stream, p, 0, 0x77));
    FAILS(INVALID_VALUE, DOC, cuStreamWriteValue32(stream, p, 0, 0x77));
    FAILS(INVALID_VALUE, DOC, cuStreamWriteValue64(stream, p, 0, 0x77));
    FAILS(INVALID_HANDLE, DOC, cuStreamWaitValue32(WILD(CUstream), p, 0, CU_STREAM_WAIT_VALUE_GEQ));
    FAILS(INVALID_HANDLE, DOC, cuStreamWriteValue64(WILD(CUstream), p, 0, CU_STREAM_WRITE_VALUE_DEFAULT));
    WORKS(DOC, cuStreamWriteValue32(stream, p, 5, CU_STREAM_WRITE_VALUE_DEFAULT));
    WORKS(DOC, cuStreamWaitValue32(stream, p, 5, CU_STREAM_WAIT_VALUE_GEQ));
    WORKS(DOC, cuStreamWaitValue32(stream, p, 5, CU_STREAM_WAIT_VALUE_EQ));
    WORKS(DOC, cuStreamWaitValue32(stream, p, 4, CU_STREAM_WAIT_VALUE_AND));
    WORKS(DOC, cuStreamWriteValue64(stream, (CUdeviceptr)pinned, 9, CU_STREAM_WRITE_VALUE_DEFAULT));
    WORKS(DOC, cuStreamWaitValue64(stream, (CUdeviceptr)pinned, 9, CU_STREAM_WAIT_VALUE_EQ));
    memset(ops, 0, sizeof ops);
    ops[0].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
    ops[0].writeValue.address = p + 8;
    ops[0].writeValue.value = 3;
    ops[1].waitValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
    ops[1].waitValue.address = p + 8;
    ops[1].waitValue.value = 3;
    FAILS(INVALID_VALUE, HIP(hipStreamBatchMemOp), cuStreamBatchMemOp(stream, 2, NULL, 0));
    FAILS(INVALID_VALUE, HIP(hipStreamBatchMemOp), cuStreamBatchMemOp(stream, 2, ops, 1));
    FAILS(INVALID_VALUE, DOC, cuStreamBatchMemOp(stream, 256, ops, 0));
    bad = ops[0], bad.operation = (CUstreamBatchMemOpType)77;
    FAILS(INVALID_VALUE, DOC, cuStreamBatchMemOp(stream, 1, &bad, 0));
    bad = ops[0], bad.writeValue.address = 0;
    FAILS(INVALID_VALUE, DOC, cuStreamBatchMemOp(stream, 1, &bad, 0));
    WORKS(DOC, cuStreamBatchMemOp(stream, 2, ops, 0));
    WORKS(DOC, cuStreamSynchronize(stream));
}

STATE(nodes_of_values) {
    CUdeviceptr p;
    CUgraph graph;
    CUgraphNode node;
    CUgraphExec exec;
    CUcontext context = with_context();
    CUstreamBatchMemOpParams op;
    CUDA_BATCH_MEM_OP_NODE_PARAMS good = {.ctx = context, .count = 1, .paramArray = &op}, bad, got;
    SET(cuMemAlloc(&p, 64));
    SET(cuGraphCreate(&graph, 0));
    memset(&op, 0, sizeof op);
    op.writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
    op.writeValue.address = p;
    FAILS(INVALID_VALUE, DOC, cuGraphAddBatchMemOpNode(NULL, graph, NULL, 0, &good));
    FAILS(INVALID_VALUE, DOC, cuGraphAddBatchMemOpNode(&node, NULL, NULL, 0, &good));
    FAILS(INVALID_VALUE, DOC, cuGraphAddBatchMemOpNode(&node, graph, NULL, 1, &good));
    FAILS(INVALID_VALUE, DOC, cuGraphAddBatchMemOpNode(&node, graph, NULL, 0, NULL));
    bad = good, bad.count = 256;
    FAILS(INVALID_VALUE, DOC, cuGraphAddBatchMemOpNode(&node, graph, NULL, 0, &bad));
    bad = good, bad.paramArray = NULL;
    FAILS(INVALID_VALUE, DOC, cuGraphAddBatchMemOpNode(&node, graph, NULL, 0, &bad));
    WORKS(DOC, cuGraphAddBatchMemOpNode(&node, graph, NULL, 0, &good));
    FAILS(INVALID_VALUE, DOC, cuGraphBatchMemOpNodeGetParams(node, NULL));
    WORKS(DOC, cuGraphBatchMemOpNodeGetParams(node, &got));
    HOLDS(DOC, got.count == 1 && got.paramArray[0].writeValue.address == p);
    FAILS(INVALID_VALUE, DOC, cuGraphBatchMemOpNodeSetParams(node, NULL));
    WORKS(DOC, cuGraphBatchMemOpNodeSetParams(node, &good));
    WORKS(DOC, cuGraphInstantiate(&exec, graph, 0));
    FAILS(INVALID_VALUE, DOC, cuGraphExecBatchMemOpNodeSetParams(NULL, node, &good));
    FAILS(INVALID_VALUE, DOC, cuGraphExecBatchMemOpNodeSetParams(exec, NULL, &good));
    FAILS(INVALID_VALUE, DOC, cuGraphExecBatchMemOpNodeSetParams(exec, node, NULL));
    WORKS(DOC, cuGraphExecBatchMemOpNodeSetParams(exec, node, &good));
    WORKS(DOC, cuGraphLaunch(exec, NULL));
    WORKS(DOC, cuCtxSynchronize());
}

/* "Destroys and cleans up all resources associated with the context. It is the caller's responsibility to ensure that the context or its
 * resources are not accessed": nobody may write what this stream waits for, so nothing is left that could end. */
STATE(a_context_that_waits_for_ever) {
    CUcontext context;
    CUdeviceptr p;
    CUstream stream, behind;
    CUevent event;
    void *pinned;
    SET(cuInit(0));
    SET(cuCtxCreate(&context, NULL, 0, 0));
    SET(cuMemAlloc(&p, 64));
    SET(cuMemHostAlloc(&pinned, 64, 0));
    SET(cuMemsetD8(p, 0, 64));
    *(volatile unsigned *)pinned = 0;
    SET(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    SET(cuStreamCreate(&behind, CU_STREAM_NON_BLOCKING));
    SET(cuEventCreate(&event, 0));
    WORKS(DOC, cuStreamWaitValue32(stream, p, 1, CU_STREAM_WAIT_VALUE_EQ));
    WORKS(DOC, cuEventRecord(event, stream));
    WORKS(DOC, cuStreamWaitEvent(behind, event, 0));
    WORKS(DOC, cuMemsetD8Async(p + 16, 1, 16, behind));
    WORKS(DOC, cuLaunchKernel(kernel_of("nothing"), 1, 1, 1, 1, 1, 1, 0, CU_STREAM_PER_THREAD, NULL, NULL));
    WORKS(DOC, cuStreamWaitValue32(CU_STREAM_PER_THREAD, (CUdeviceptr)pinned, 1, CU_STREAM_WAIT_VALUE_EQ));
    FAILS(NOT_READY, DOC, cuStreamQuery(stream));
    WORKS(DOC, cuCtxDestroy(context));
    WORKS(DOC, cuCtxCreate(&context, NULL, 0, 0));
    WORKS(DOC, cuMemAlloc(&p, 64));
    WORKS(DOC, cuMemsetD8(p, 0, 64));
    WORKS(DOC, cuStreamWaitValue32(NULL, p, 1, CU_STREAM_WAIT_VALUE_EQ));
    WORKS(DOC, cuCtxDestroy(context));
    SET(cuDevicePrimaryCtxRetain(&context, 0));
    SET(cuCtxSetCurrent(context));
    SET(cuMemAlloc(&p, 64));
    SET(cuMemsetD8(p, 0, 64));
    WORKS(DOC, cuStreamWaitValue32(NULL, p, 1, CU_STREAM_WAIT_VALUE_EQ));
    WORKS(DOC, cuDevicePrimaryCtxReset(0));
}

static volatile unsigned *flag;

static void *write_later(void *data) {
    usleep(200000);
    *flag = 1;
    return data;
}

/* What lives longer than the context is written by whoever has it: the work behind is done. */
STATE(a_context_that_waits_for_another) {
    CUcontext first, second;
    CUstream stream;
    pthread_t thread;
    void *memory;
    SET(cuInit(0));
    SET(cuCtxCreate(&first, NULL, 0, 0));
    SET(cuMemHostAlloc(&memory, 64, CU_MEMHOSTALLOC_PORTABLE));
    flag = memory;
    flag[0] = 0, flag[4] = 0;
    SET(cuCtxCreate(&second, NULL, 0, 0));
    SET(cuStreamCreate(&stream, 0));
    WORKS(DOC, cuStreamWaitValue32(stream, (CUdeviceptr)memory, 1, CU_STREAM_WAIT_VALUE_EQ));
    WORKS(DOC, cuStreamWriteValue32(stream, (CUdeviceptr)memory + 16, 7, CU_STREAM_WRITE_VALUE_DEFAULT));
    SET(pthread_create(&thread, NULL, write_later, NULL));
    WORKS(DOC, cuCtxDestroy(second));
    HOLDS(GUIDE, flag[4] == 7);
    SET(pthread_join(thread, NULL));
    SET(cuCtxDestroy(first));
}
