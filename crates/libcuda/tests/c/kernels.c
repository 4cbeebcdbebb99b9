/* Modules, functions, launches of all kinds, linking, libraries, faults. */
#include "cuda.h"

static const char ADD[] =
    ".version 7.0\n.target sm_50\n.address_size 64\n"
    ".visible .global .align 4 .u32 counter = 5;\n"
    ".visible .entry add(.param .u64 a, .param .u64 b, .param .u64 c, .param .u32 n)\n"
    "{\n"
    "  .reg .pred %p<2>;\n  .reg .b32 %r<8>;\n  .reg .b64 %d<12>;\n"
    "  ld.param.u64 %d1, [a];\n  ld.param.u64 %d2, [b];\n  ld.param.u64 %d3, [c];\n  ld.param.u32 %r1, [n];\n"
    "  mov.u32 %r2, %ctaid.x;\n  mov.u32 %r3, %ntid.x;\n  mov.u32 %r4, %tid.x;\n"
    "  mad.lo.s32 %r5, %r2, %r3, %r4;\n"
    "  setp.ge.u32 %p1, %r5, %r1;\n"
    "  @%p1 bra DONE;\n"
    "  mul.wide.u32 %d4, %r5, 4;\n"
    "  add.s64 %d5, %d1, %d4;\n  add.s64 %d6, %d2, %d4;\n  add.s64 %d7, %d3, %d4;\n"
    "  ld.global.u32 %r6, [%d5];\n  ld.global.u32 %r7, [%d6];\n"
    "  add.u32 %r6, %r6, %r7;\n"
    "  st.global.u32 [%d7], %r6;\n"
    "DONE:\n  ret;\n}\n"
    ".visible .entry store(.param .u64 p, .param .u32 v)\n"
    "{\n"
    "  .reg .b32 %r<2>;\n  .reg .b64 %d<2>;\n"
    "  ld.param.u64 %d1, [p];\n  ld.param.u32 %r1, [v];\n"
    "  st.global.u32 [%d1], %r1;\n"
    "  ret;\n}\n"
    ".visible .entry count()\n"
    "{\n"
    "  .reg .b32 %r<2>;\n"
    "  atom.global.add.u32 %r1, [counter], 1;\n"
    "  ret;\n}\n";

static const char CALLER[] =
    ".version 7.0\n.target sm_50\n.address_size 64\n"
    ".extern .func (.param .b32 r) twice (.param .b32 x);\n"
    ".visible .entry linked(.param .u64 p)\n"
    "{\n"
    "  .reg .b32 %r<3>;\n  .reg .b64 %d<2>;\n"
    "  ld.param.u64 %d1, [p];\n"
    "  mov.u32 %r1, 21;\n"
    "  {\n"
    "  .param .b32 x0;\n  st.param.b32 [x0], %r1;\n  .param .b32 r0;\n"
    "  call.uni (r0), twice, (x0);\n"
    "  ld.param.b32 %r2, [r0];\n"
    "  }\n"
    "  st.global.u32 [%d1], %r2;\n"
    "  ret;\n}\n";

static const char CALLEE[] =
    ".version 7.0\n.target sm_50\n.address_size 64\n"
    ".visible .func (.param .b32 r) twice (.param .b32 x)\n"
    "{\n"
    "  .reg .b32 %r<3>;\n"
    "  ld.param.b32 %r1, [x];\n"
    "  add.u32 %r2, %r1, %r1;\n"
    "  st.param.b32 [r], %r2;\n"
    "  ret;\n}\n";

enum { N = 100000 };

static int sums_are_right(CUdeviceptr c, unsigned scale) {
    unsigned *out = malloc(N * 4);
    OK(cuMemcpyDtoH_v2(out, c, N * 4));
    int good = 1;
    for (unsigned i = 0; i < N; i++) good &= out[i] == i * scale;
    free(out);
    OK(cuMemsetD32_v2(c, 0, N));
    return good;
}

static void launches(void) {
    CUmodule module;
    CUfunction add, again, store, count;
    CUdeviceptr a, b, c, global = 0;
    CUstream stream;
    unsigned n = N, word = 0, *in = malloc(N * 4);
    size_t bytes = 0, offset = 0, size = 0;
    int value = 0, grid = 0;
    OK(cuModuleLoadData(&module, ADD));
    OK(cuModuleGetFunction(&add, module, "add"));
    OK(cuModuleGetFunction(&again, module, "add"));
    TRUE(add == again);
    OK(cuModuleGetFunction(&store, module, "store"));
    OK(cuModuleGetFunction(&count, module, "count"));
    WANT(cuModuleGetFunction(&again, module, "nothing"), 500);
    for (unsigned i = 0; i < N; i++) in[i] = i;
    OK(cuMemAlloc_v2(&a, N * 4));
    OK(cuMemAlloc_v2(&b, N * 4));
    OK(cuMemAlloc_v2(&c, N * 4));
    OK(cuMemcpyHtoD_v2(a, in, N * 4));
    OK(cuMemcpyHtoD_v2(b, in, N * 4));
    void *parameters[] = {&a, &b, &c, &n};
    OK(cuLaunchKernel(add, (N + 255) / 256, 1, 1, 256, 1, 1, 0, NULL, parameters, NULL));
    TRUE(sums_are_right(c, 2));
    /* The same with a block that the program laid out. */
    struct {
        CUdeviceptr a, b, c;
        unsigned n;
    } block = {a, b, c, N};
    bytes = sizeof block;
    void *extra[] = {(void *)1, &block, (void *)2, &bytes, NULL};
    OK(cuStreamCreate(&stream, 0));
    OK(cuLaunchKernel(add, (N + 127) / 128, 1, 1, 128, 1, 1, 0, stream, NULL, extra));
    OK(cuStreamSynchronize(stream));
    TRUE(sums_are_right(c, 2));
    bytes = 8;
    WANT(cuLaunchKernel(add, 1, 1, 1, 128, 1, 1, 0, stream, NULL, extra), 1);
    WANT(cuLaunchKernel(add, 1, 1, 1, 128, 1, 1, 0, stream, parameters, extra), 1);
    /* What is wrong with a shape is said at once. */
    WANT(cuLaunchKernel(add, 0, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL), 1);
    WANT(cuLaunchKernel(add, 1, 1, 1, 1025, 1, 1, 0, NULL, parameters, NULL), 1);
    WANT(cuLaunchKernel(add, 1, 1, 1, 32, 64, 1, 0, NULL, parameters, NULL), 1);
    WANT(cuLaunchKernel(add, 1, 65536, 1, 32, 1, 1, 0, NULL, parameters, NULL), 1);
    WANT(cuLaunchKernel(add, 1, 1, 1, 32, 1, 1, 1 << 20, NULL, parameters, NULL), 1);
    WANT(cuLaunchKernel(add, 1, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL), 1);
    OK(cuFuncGetAttribute(&value, 0, add));
    TRUE(value > 0 && value <= 1024);
    OK(cuFuncGetAttribute(&value, 8, add));
    TRUE(value == 48 << 10);
    OK(cuFuncSetAttribute(add, 8, 100 << 10));
    WANT(cuFuncSetAttribute(add, 8, 1 << 20), 1);
    OK(cuFuncGetParamInfo(add, 3, &offset, &size));
    TRUE(offset == 24 && size == 4);
    WANT(cuFuncGetParamInfo(add, 4, &offset, &size), 1);
    OK(cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, add, 256, 0));
    TRUE(value >= 1 && value <= 32);
    OK(cuOccupancyMaxPotentialBlockSize(&grid, &value, add, NULL, 0, 0));
    TRUE(grid > 0 && value >= 32);
    /* A variable of the module. */
    OK(cuModuleGetGlobal_v2(&global, &bytes, module, "counter"));
    TRUE(bytes == 4);
    WANT(cuModuleGetGlobal_v2(&global, &bytes, module, "missing"), 500);
    OK(cuLaunchKernel(count, 10, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL));
    OK(cuMemcpyDtoH_v2(&word, global, 4));
    TRUE(word == 325);
    WANT(cuMemFree_v2(global), 1);
    /* Posted one after another they run one after another. */
    for (unsigned i = 0; i < 1000; i++) {
        void *two[] = {&a, &i};
        OK(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, stream, two, NULL));
    }
    OK(cuMemcpyDtoHAsync_v2(&word, a, 4, stream));
    TRUE(word == 999);
    OK(cuModuleUnload(module));
    WANT(cuModuleUnload(module), 400);
    WANT(cuLaunchKernel(add, 1, 1, 1, 32, 1, 1, 0, NULL, parameters, NULL), 400);
    WANT(cuMemcpyDtoH_v2(&word, global, 4), 1);
    OK(cuMemFree_v2(a));
    OK(cuMemFree_v2(b));
    OK(cuMemFree_v2(c));
    OK(cuStreamDestroy_v2(stream));
    free(in);
}

static void images(void) {
    CUmodule module;
    char log[2000] = "";
    int options[] = {5, 6};
    void *values[] = {log, (void *)sizeof log};
    WANT(cuModuleLoadData(&module, "this is no PTX"), 200);
    WANT(cuModuleLoadDataEx(&module, ".version 7.0\n.target sm_50\n.address_size 64\n.visible .entry f( {\n", 2,
                            options, values),
         218);
    TRUE(strstr(log, "4") != NULL && (size_t)values[1] == strlen(log));
    values[1] = (void *)sizeof log;
    WANT(cuModuleLoadDataEx(&module, ".version 99.0\n.target sm_50\n.address_size 64\n", 2, options, values), 222);
    WANT(cuModuleLoadData(&module, ".version 8.0\n.target sm_999\n.address_size 64\n"), 209);
    WANT(cuModuleLoadData(&module, "\177ELF\2\1\1"), 209);
    WANT(cuModuleLoadData(&module, "\1\2\3\4\5\6\7\10"), 200);
    WANT(cuModuleLoadData(&module, NULL), 1);
}

static void linking(void) {
    CUlinkState linker;
    CUlibrary library;
    CUkernel kernel;
    CUfunction function;
    CUdeviceptr p;
    void *image = NULL;
    size_t bytes = 0;
    unsigned word = 0;
    OK(cuMemAlloc_v2(&p, 4));
    OK(cuLinkCreate_v2(0, NULL, NULL, &linker));
    OK(cuLinkAddData_v2(linker, 1, (void *)CALLER, sizeof CALLER, "caller.ptx", 0, NULL, NULL));
    TRUE(cuLinkComplete(linker, &image, &bytes) != 0);
    OK(cuLinkDestroy(linker));
    OK(cuLinkCreate_v2(0, NULL, NULL, &linker));
    OK(cuLinkAddData_v2(linker, 1, (void *)CALLER, sizeof CALLER, "caller.ptx", 0, NULL, NULL));
    OK(cuLinkAddData_v2(linker, 1, (void *)CALLEE, sizeof CALLEE - 1, "callee.ptx", 0, NULL, NULL));
    OK(cuLinkComplete(linker, &image, &bytes));
    TRUE(bytes > sizeof CALLER);
    void *copy = malloc(bytes);
    memcpy(copy, image, bytes);
    OK(cuLinkDestroy(linker));
    /* What a linker made is a cubin for the next. */
    size_t again = 0;
    OK(cuLinkCreate_v2(0, NULL, NULL, &linker));
    WANT(cuLinkAddData_v2(linker, 0, "\177ELF\2\1\1", 8, "native.cubin", 0, NULL, NULL), 209);
    WANT(cuLinkAddData_v2(linker, 3, "no object", 10, "a.o", 0, NULL, NULL), 200);
    WANT(cuLinkAddData_v2(linker, 4, "no library", 11, "l.a", 0, NULL, NULL), 200);
    OK(cuLinkAddData_v2(linker, 0, copy, bytes, "linked.cubin", 0, NULL, NULL));
    OK(cuLinkComplete(linker, &image, &again));
    TRUE(again == bytes && memcmp(copy, image, bytes) == 0);
    OK(cuLinkDestroy(linker));
    OK(cuLibraryLoadData(&library, copy, NULL, NULL, 0, NULL, NULL, 0));
    free(copy);
    OK(cuLibraryGetKernel(&kernel, library, "linked"));
    WANT(cuLibraryGetKernel(&function, library, "unlinked"), 500);
    void *parameters[] = {&p};
    /* A kernel may be launched where a function is expected. */
    OK(cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    OK(cuMemcpyDtoH_v2(&word, p, 4));
    TRUE(word == 42);
    OK(cuMemsetD32_v2(p, 0, 1));
    OK(cuKernelGetFunction(&function, kernel));
    OK(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    OK(cuMemcpyDtoH_v2(&word, p, 4));
    TRUE(word == 42);
    OK(cuLibraryUnload(library));
    WANT(cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL), 400);
    OK(cuMemFree_v2(p));
}

/* A wild store poisons its own context for good and no other. */
static void faults(CUcontext good) {
    CUcontext bad;
    CUmodule module;
    CUfunction store;
    CUdeviceptr wild = 0x123456789000ull, p;
    unsigned value = 1;
    OK(cuCtxCreate_v2(&bad, 0, 0));
    OK(cuModuleLoadData(&module, ADD));
    OK(cuModuleGetFunction(&store, module, "store"));
    OK(cuMemAlloc_v2(&p, 64));
    void *parameters[] = {&wild, &value};
    OK(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
    WANT(cuCtxSynchronize(), 700);
    WANT(cuMemAlloc_v2(&p, 64), 700);
    WANT(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL), 700);
    WANT(cuStreamQuery(NULL), 700);
    WANT(cuMemcpyDtoH_v2(&value, p, 4), 700);
    OK(cuCtxSetCurrent(good));
    OK(cuCtxSynchronize());
    OK(cuMemAlloc_v2(&p, 64));
    OK(cuMemsetD32_v2(p, 3, 16));
    OK(cuMemcpyDtoH_v2(&value, p, 4));
    TRUE(value == 3);
    OK(cuMemFree_v2(p));
    OK(cuCtxDestroy_v2(bad));
    OK(cuCtxSynchronize());
}

int main(void) {
    CUcontext context;
    size_t before = 0, after = 0, total = 0;
    OK(cuInit(0));
    OK(cuCtxCreate_v2(&context, 0, 0));
    OK(cuMemGetInfo_v2(&before, &total));
    launches();
    images();
    linking();
    faults(context);
    OK(cuCtxSynchronize());
    OK(cuMemGetInfo_v2(&after, &total));
    TRUE(before == after);
    OK(cuCtxDestroy_v2(context));
    return failures != 0;
}
