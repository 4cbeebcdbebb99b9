/* Streams and events. */
#include "fidelity.h"

static void none(void *data) { (void)data; }
static void none_called(CUstream stream, CUresult status, void *data) { (void)stream, (void)status, (void)data; }

STATE(streams) {
    CUstream stream, other;
    CUevent event;
    CUcontext context, of = NULL;
    int priority;
    unsigned flags;
    unsigned long long id, again;
    CUstreamCaptureStatus capture;
    CUstreamCaptureMode mode;
    context = with_context();
    SET(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    SET(cuEventCreate(&event, 0));
    FAILS(INVALID_VALUE, HIP(hipStreamCreateWithFlags), cuStreamCreate(NULL, 0));
    FAILS(INVALID_VALUE, HIP(hipStreamCreateWithFlags), cuStreamCreate(&other, 0xff));
    FAILS(INVALID_VALUE, DOC, cuStreamCreate(&other, 2));
    FAILS(INVALID_VALUE, HIP(hipStreamCreateWithPriority), cuStreamCreateWithPriority(NULL, 0, 0));
    FAILS(INVALID_VALUE, HIP(hipStreamCreateWithPriority), cuStreamCreateWithPriority(&other, 0xff, 0));
    /* "If the specified priority is outside the numerical range ..., it will automatically be clamped" */
    WORKS(DOC, cuStreamCreateWithPriority(&other, 0, -1000));
    WORKS(DOC, cuStreamDestroy(other));
    WORKS(DOC, cuStreamCreateWithPriority(&other, 0, 1000));
    WORKS(DOC, cuStreamGetPriority(other, &priority));
    HOLDS(DOC, priority == 0);
    WORKS(DOC, cuStreamDestroy(other));
    FAILS(INVALID_HANDLE, HIP(hipStreamDestroy), cuStreamDestroy(NULL));
    FAILS(INVALID_VALUE, HIP(hipStreamGetPriority), cuStreamGetPriority(stream, NULL));
    FAILS(INVALID_VALUE, HIP(hipStreamGetPriority), cuStreamGetPriority(NULL, NULL));
    WORKS(HIP(hipStreamGetPriority), cuStreamGetPriority(NULL, &priority));
    FAILS(INVALID_VALUE, HIP(hipStreamGetFlags), cuStreamGetFlags(stream, NULL));
    WORKS(HIP(hipStreamGetFlags), cuStreamGetFlags(NULL, &flags));
    WORKS(DOC, cuStreamGetFlags(stream, &flags));
    HOLDS(DOC, flags == CU_STREAM_NON_BLOCKING);
    WORKS(DOC, cuStreamGetId(stream, &id));
    WORKS(DOC, cuStreamGetId(CU_STREAM_LEGACY, &id));
    WORKS(DOC, cuStreamGetId(NULL, &again));
    HOLDS(DOC, id == again);
    FAILS(INVALID_VALUE, DOC, cuStreamGetId(stream, NULL));
    WORKS(DOC, cuStreamGetCtx(stream, &of));
    HOLDS(DOC, of == context);
    FAILS(INVALID_VALUE, DOC, cuStreamGetCtx(stream, NULL));
    WORKS(HIP(hipStreamQuery), cuStreamQuery(NULL));
    WORKS(HIP(hipStreamQuery), cuStreamQuery(stream));
    WORKS(DOC, cuStreamQuery(CU_STREAM_LEGACY));
    WORKS(DOC, cuStreamQuery(CU_STREAM_PER_THREAD));
    WORKS(DOC, cuStreamSynchronize(CU_STREAM_PER_THREAD));
    FAILS(INVALID_HANDLE, HIP(hipStreamWaitEvent), cuStreamWaitEvent(stream, NULL, 0));
    FAILS(INVALID_VALUE, HIP(hipStreamWaitEvent), cuStreamWaitEvent(stream, event, 0xff));
    WORKS(DOC, cuStreamWaitEvent(stream, event, 0));
    FAILS(INVALID_VALUE, HIP(hipLaunchHostFunc), cuLaunchHostFunc(stream, NULL, NULL));
    FAILS(INVALID_VALUE, DOC, cuStreamAddCallback(stream, NULL, NULL, 0));
    FAILS(INVALID_VALUE, DOC, cuStreamAddCallback(NULL, NULL, NULL, 0));
    FAILS(INVALID_VALUE, DOC, cuStreamAddCallback(stream, none_called, NULL, 10));
    FAILS(INVALID_VALUE, DOC, cuStreamAddCallback(NULL, none_called, NULL, 10));
    WORKS(DOC, cuStreamIsCapturing(stream, &capture));
    HOLDS(DOC, capture == CU_STREAM_CAPTURE_STATUS_NONE);
    FAILS(INVALID_VALUE, DOC, cuStreamIsCapturing(stream, NULL));
    FAILS(INVALID_VALUE, DOC, cuThreadExchangeStreamCaptureMode(NULL));
    mode = (CUstreamCaptureMode)9;
    FAILS(INVALID_VALUE, DOC, cuThreadExchangeStreamCaptureMode(&mode));
    WORKS(DOC, cuStreamDestroy(stream));
}

/* A stream that was destroyed is found out by what is left of it. */
STATE(destroyed_stream) {
    CUstream stream;
    CUfunction nothing;
    with_context();
    nothing = kernel_of("nothing");
    SET(cuStreamCreate(&stream, 0));
    SET(cuStreamDestroy(stream));
    FAILS(CONTEXT_IS_DESTROYED, HIP(hipStreamDestroy), cuStreamDestroy(stream));
    FAILS(CONTEXT_IS_DESTROYED, HIP(hip_module_launch_kernel_common), cuLaunchKernel(nothing, 1, 1, 1, 1, 1, 1, 0, stream, NULL, NULL));
}

STATE(busy_stream) {
    CUstream stream;
    CUevent event, before;
    CUdeviceptr p;
    float ms;
    with_context();
    SET(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    SET(cuEventCreate(&before, 0));
    SET(cuEventCreate(&event, 0));
    SET(cuMemAlloc(&p, 4096));
    SET(cuEventRecord(before, stream));
    SET(cuEventSynchronize(before));
    hold(stream);
    FAILS(NOT_READY, DOC, cuStreamQuery(stream));
    WORKS(DOC, cuStreamQuery(NULL));
    WORKS(DOC, cuEventQuery(event));
    WORKS(DOC, cuEventRecord(event, stream));
    FAILS(NOT_READY, DOC, cuEventQuery(event));
    FAILS(NOT_READY, DOC, cuEventElapsedTime(&ms, before, event));
    WORKS(DOC, cuEventQuery(before));
    WORKS(DOC, cuMemsetD32Async(p, 1, 16, stream));
    WORKS(DOC, cuStreamWaitEvent(NULL, event, 0));
    FAILS(NOT_READY, DOC, cuStreamQuery(NULL));
    /* "Returns without waiting": the work goes on. */
    WORKS(DOC, cuStreamDestroy(stream));
    FAILS(NOT_READY, DOC, cuEventQuery(event));
    let_go();
    WORKS(DOC, cuEventSynchronize(event));
    WORKS(DOC, cuEventQuery(event));
    WORKS(DOC, cuEventElapsedTime(&ms, before, event));
    WORKS(DOC, cuCtxSynchronize());
}

static CUresult inside[8];
static CUdeviceptr spare;

static void calls(void *data) {
    CUdeviceptr p;
    (void)data;
    inside[0] = cuMemAlloc(&p, 16);
    inside[1] = cuStreamSynchronize(NULL);
    inside[2] = cuMemFree(spare);
    inside[3] = cuCtxSynchronize();
}

/* "The host function must not make any CUDA API calls. Attempting to use a CUDA API may result in CUDA_ERROR_NOT_PERMITTED" */
STATE(inside_a_host_function) {
    with_context();
    SET(cuMemAlloc(&spare, 64));
    WORKS(DOC, cuLaunchHostFunc(NULL, none, NULL));
    WORKS(DOC, cuLaunchHostFunc(NULL, calls, NULL));
    WORKS(DOC, cuStreamSynchronize(NULL));
    for (int i = 0; i < 4; i++) FAILS(NOT_PERMITTED, DOC, inside[i]);
    WORKS(DOC, cuMemFree(spare));
}

STATE(events) {
    CUevent a, b, plain, event;
    CUcontext other;
    CUstream foreign;
    float ms;
    with_context();
    SET(cuEventCreate(&a, CU_EVENT_DEFAULT));
    SET(cuEventCreate(&b, CU_EVENT_BLOCKING_SYNC));
    SET(cuEventCreate(&plain, CU_EVENT_DISABLE_TIMING));
    FAILS(INVALID_VALUE, DOC, cuEventCreate(NULL, 0));
    FAILS(INVALID_VALUE, HIP(Unit_hipEvent_Negative), cuEventCreate(&event, 0x10));
    FAILS(INVALID_VALUE, HIP(Unit_hipEvent_Negative), cuEventCreate(&event, 0x80000000));
    /* "CU_EVENT_INTERPROCESS must be specified along with CU_EVENT_DISABLE_TIMING" */
    FAILS(INVALID_VALUE, HIP(Unit_hipEvent_Negative), cuEventCreate(&event, CU_EVENT_INTERPROCESS));
    WORKS(DOC, cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING));
    WORKS(DOC, cuEventDestroy(event));
    /* "If cuEventRecord() has not been called on hEvent then CUDA_SUCCESS is returned" */
    WORKS(DOC, cuEventQuery(a));
    WORKS(DOC, cuEventSynchronize(a));
    WORKS(DOC, cuStreamWaitEvent(NULL, a, 0));
    FAILS(INVALID_VALUE, HIP(Unit_hipEventElapsedTime), cuEventElapsedTime(NULL, a, b));
    FAILS(INVALID_HANDLE, DOC, cuEventElapsedTime(&ms, a, b));
    FAILS(INVALID_HANDLE, HIP(Unit_hipEventRecord), cuEventRecord(NULL, NULL));
    FAILS(INVALID_HANDLE, DOC, cuEventQuery(NULL));
    FAILS(INVALID_HANDLE, DOC, cuEventSynchronize(NULL));
    FAILS(INVALID_HANDLE, DOC, cuEventDestroy(NULL));
    FAILS(INVALID_HANDLE, DOC, cuEventElapsedTime(&ms, NULL, b));
    FAILS(INVALID_HANDLE, DOC, cuEventElapsedTime(&ms, a, NULL));
    WORKS(DOC, cuEventRecord(a, NULL));
    FAILS(INVALID_HANDLE, DOC, cuEventElapsedTime(&ms, a, b));
    WORKS(DOC, cuEventRecord(b, CU_STREAM_PER_THREAD));
    WORKS(DOC, cuEventSynchronize(b));
    WORKS(DOC, cuEventSynchronize(a));
    WORKS(DOC, cuEventElapsedTime(&ms, a, b));
    WORKS(DOC, cuEventElapsedTime(&ms, a, a));
    HOLDS(DOC, ms == 0);
    /* "if either was created with CU_EVENT_DISABLE_TIMING ... CUDA_ERROR_INVALID_HANDLE" */
    WORKS(DOC, cuEventRecord(plain, NULL));
    WORKS(DOC, cuEventSynchronize(plain));
    FAILS(INVALID_HANDLE, HIP(Unit_hipEventElapsedTime), cuEventElapsedTime(&ms, a, plain));
    FAILS(INVALID_HANDLE, HIP(Unit_hipEventElapsedTime), cuEventElapsedTime(&ms, plain, a));
    FAILS(INVALID_VALUE, DOC, cuEventRecordWithFlags(a, NULL, 0xff));
    WORKS(DOC, cuEventRecordWithFlags(a, NULL, CU_EVENT_RECORD_DEFAULT));
    /* "hEvent and hStream must be from the same context" */
    SET(cuCtxCreate(&other, NULL, 0, 0));
    SET(cuStreamCreate(&foreign, 0));
    FAILS(INVALID_HANDLE, HIP(Unit_hipEventRecord), cuEventRecord(a, foreign));
    WORKS(DOC, cuStreamWaitEvent(foreign, a, 0));
    WORKS(DOC, cuEventDestroy(b));
    WORKS(DOC, cuCtxDestroy(other));
}
