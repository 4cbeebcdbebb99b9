/* What several states need: a context, kernels, a stream that is busy, a context with a sticky error. */
#include "fidelity.h"

const char PTX[] =
    ".version 7.0\n.target sm_50\n.address_size 64\n"
    ".visible .global .align 4 .u32 number = 5;\n"
    ".visible .const .align 4 .u32 fixed = 7;\n"
    ".visible .func (.param .b32 r) device_only (.param .b32 x)\n"
    "{\n  .reg .b32 %r<2>;\n  ld.param.b32 %r1, [x];\n  st.param.b32 [r], %r1;\n  ret;\n}\n"
    ".visible .entry nothing()\n{\n  ret;\n}\n"
    ".visible .entry store(.param .u64 p, .param .u32 v)\n"
    "{\n"
    "  .reg .b32 %r<2>;\n  .reg .b64 %d<2>;\n"
    "  ld.param.u64 %d1, [p];\n  ld.param.u32 %r1, [v];\n"
    "  st.global.u32 [%d1], %r1;\n"
    "  ret;\n}\n"
    ".visible .entry fixed_shape() .reqntid 32, 1, 1\n{\n  ret;\n}\n"
    ".visible .entry narrow() .maxntid 64, 1, 1\n{\n  ret;\n}\n"
    ".visible .entry stop()\n{\n  trap;\n}\n";

CUcontext with_context(void) {
    CUcontext context;
    SET(cuInit(0));
    SET(cuDevicePrimaryCtxRetain(&context, 0));
    SET(cuCtxSetCurrent(context));
    return context;
}

CUfunction kernel_of(const char *name) {
    CUmodule module;
    CUfunction function;
    SET(cuModuleLoadData(&module, PTX));
    SET(cuModuleGetFunction(&function, module, name));
    return function;
}

CUresult make_sticky(void) {
    CUdeviceptr wild = 0x123456789000ull;
    unsigned value = 1;
    void *parameters[] = {&wild, &value};
    SET(cuLaunchKernel(kernel_of("store"), 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    return cuCtxSynchronize();
}

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_at_gate(void *data) {
    (void)data;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

void hold(CUstream stream) {
    pthread_mutex_lock(&gate);
    SET(cuLaunchHostFunc(stream, wait_at_gate, NULL));
}

void let_go(void) { pthread_mutex_unlock(&gate); }
