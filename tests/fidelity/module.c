/* Modules, libraries, linking, JIT options, attributes of functions, occupancy. */
#include "fidelity.h"

#define HEAD ".version 7.0\n.target sm_50\n.address_size 64\n"

STATE(images) {
    CUmodule module;
    char log[256] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)sizeof log};
    with_context();
    FAILS(INVALID_VALUE, HIP(hipModuleLoad), cuModuleLoad(NULL, "/dev/null"));
    FAILS(INVALID_VALUE, HIP(hipModuleLoad), cuModuleLoad(&module, NULL));
    FAILS(INVALID_VALUE, HIP(hipModuleLoad), cuModuleLoad(&module, ""));
    FAILS(FILE_NOT_FOUND, HIP(hipModuleLoad), cuModuleLoad(&module, "/nonexistent/file"));
    FAILS(INVALID_VALUE, HIP(hipModuleLoadData), cuModuleLoadData(NULL, PTX));
    FAILS(INVALID_VALUE, HIP(hipModuleLoadData), cuModuleLoadData(&module, NULL));
    FAILS(INVALID_IMAGE, HIP(hipModuleLoadData), cuModuleLoadData(&module, ""));
    FAILS(INVALID_IMAGE, HIP(hipModuleLoad), cuModuleLoadData(&module, "This is not a module"));
    FAILS(INVALID_PTX, DOC, cuModuleLoadData(&module, HEAD ".visible .entry f( {\n"));
    FAILS(INVALID_PTX, DOC, cuModuleLoadData(&module, HEAD ".visible .entry f() { nonsense; }\n"));
    FAILS(UNSUPPORTED_PTX_VERSION, DOC, cuModuleLoadData(&module, ".version 99.0\n.target sm_50\n.address_size 64\n"));
    FAILS(NO_BINARY_FOR_GPU, DOC, cuModuleLoadData(&module, "\177ELF\2\1\1"));
    FAILS(INVALID_VALUE, HIP(hipModuleLoadData), cuModuleLoadDataEx(NULL, PTX, 0, NULL, NULL));
    FAILS(INVALID_VALUE, CP(test_cuda_cuModuleLoadDataEx), cuModuleLoadDataEx(&module, NULL, 0, NULL, NULL));
    FAILS(INVALID_VALUE, DOC, cuModuleLoadDataEx(&module, PTX, 2, NULL, values));
    WORKS(DOC, cuModuleLoadDataEx(&module, PTX, 2, options, values));
    WORKS(DOC, cuModuleUnload(module));
    options[0] = (CUjit_option)1000;
    FAILS(INVALID_VALUE, DOC, cuModuleLoadDataEx(&module, PTX, 2, options, values));
    FAILS(INVALID_VALUE, DOC, cuModuleLoadFatBinary(NULL, PTX));
    FAILS(INVALID_VALUE, DOC, cuModuleLoadFatBinary(&module, NULL));
}

STATE(modules) {
    CUmodule module, of;
    CUfunction function, found;
    CUdeviceptr p = 0;
    CUmoduleLoadingMode mode;
    size_t bytes;
    unsigned count;
    const char *name;
    with_context();
    SET(cuModuleLoadData(&module, PTX));
    FAILS(INVALID_VALUE, HIP(hipModuleGetFunction), cuModuleGetFunction(NULL, module, "nothing"));
    FAILS(INVALID_HANDLE, HIP(hipModuleGetFunction), cuModuleGetFunction(&function, NULL, "nothing"));
    FAILS(INVALID_VALUE, HIP(hipModuleGetFunction), cuModuleGetFunction(&function, module, NULL));
    FAILS(INVALID_VALUE, HIP(hipModuleGetFunction), cuModuleGetFunction(&function, module, ""));
    FAILS(NOT_FOUND, HIP(hipModuleGetFunction), cuModuleGetFunction(&function, module, "non_existent_kernel"));
    FAILS(NOT_FOUND, HIP(hipModuleGetFunction), cuModuleGetFunction(&function, module, "device_only"));
    WORKS(DOC, cuModuleGetFunction(&function, module, "nothing"));
    WORKS(DOC, cuModuleGetFunction(&found, module, "nothing"));
    HOLDS(DOC, function == found);
    WORKS(HIP(hipModuleGetGlobal), cuModuleGetGlobal(NULL, &bytes, module, "number"));
    WORKS(HIP(hipModuleGetGlobal), cuModuleGetGlobal(&p, NULL, module, "number"));
    FAILS(INVALID_VALUE, HIP(hipModuleGetGlobal), cuModuleGetGlobal(NULL, NULL, module, "number"));
    FAILS(INVALID_VALUE, HIP(hipModuleGetGlobal), cuModuleGetGlobal(&p, &bytes, module, NULL));
    FAILS(INVALID_VALUE, HIP(hipModuleGetGlobal), cuModuleGetGlobal(&p, &bytes, module, ""));
    FAILS(NOT_FOUND, HIP(hipModuleGetGlobal), cuModuleGetGlobal(&p, &bytes, module, "dummy"));
    FAILS(NOT_FOUND, DOC, cuModuleGetGlobal(&p, &bytes, module, "nothing"));
    FAILS(INVALID_HANDLE, HIP(hipModuleGetGlobal), cuModuleGetGlobal(&p, &bytes, NULL, "number"));
    WORKS(DOC, cuModuleGetGlobal(&p, &bytes, module, "fixed"));
    HOLDS(DOC, bytes == 4);
    WORKS(DOC, cuModuleGetFunctionCount(&count, module));
    HOLDS(DOC, count == 5);
    FAILS(INVALID_VALUE, DOC, cuModuleGetFunctionCount(NULL, module));
    FAILS(INVALID_HANDLE, DOC, cuModuleGetFunctionCount(&count, NULL));
    FAILS(INVALID_VALUE, DOC, cuModuleGetLoadingMode(NULL));
    WORKS(DOC, cuModuleGetLoadingMode(&mode));
    WORKS(DOC, cuFuncGetModule(&of, function));
    HOLDS(DOC, of == module);
    FAILS(INVALID_VALUE, DOC, cuFuncGetModule(NULL, function));
    WORKS(DOC, cuFuncGetName(&name, function));
    FAILS(INVALID_VALUE, DOC, cuFuncGetName(NULL, function));
    FAILS(INVALID_HANDLE, HIP(hipModuleUnload), cuModuleUnload(NULL));
    FAILS(INVALID_HANDLE, DOC, cuModuleUnload(WILD(CUmodule)));
    WORKS(DOC, cuModuleUnload(module));
}

STATE(function_attributes) {
    CUfunction store, nothing;
    int number;
    size_t offset, size;
    with_context();
    store = kernel_of("store"), nothing = kernel_of("nothing");
    FAILS(INVALID_VALUE, HIP(hipFuncGetAttribute), cuFuncGetAttribute(NULL, CU_FUNC_ATTRIBUTE_BINARY_VERSION, store));
    FAILS(INVALID_VALUE, HIP(hipFuncGetAttribute), cuFuncGetAttribute(&number, (CUfunction_attribute)-1, store));
    FAILS(INVALID_VALUE, DOC, cuFuncGetAttribute(&number, (CUfunction_attribute)1000, store));
    FAILS(INVALID_HANDLE, HIP(hipFuncGetAttribute), cuFuncGetAttribute(&number, CU_FUNC_ATTRIBUTE_BINARY_VERSION, NULL));
    for (int attribute = 0; attribute <= 7; attribute++)
        WORKS(HIP(hipFuncGetAttribute), cuFuncGetAttribute(&number, (CUfunction_attribute)attribute, store));
    static const int carveout[] = {-1, 0, 50, 100};
    for (int i = 0; i < 4; i++)
        WORKS(NUMBA(test_cuda_set_shared_memory_carveout),
              cuFuncSetAttribute(store, CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, carveout[i]));
    FAILS(INVALID_VALUE, DOC, cuFuncSetAttribute(store, (CUfunction_attribute)1000, 1));
    /* Attributes that are read only. */
    FAILS(INVALID_VALUE, DOC, cuFuncSetAttribute(store, CU_FUNC_ATTRIBUTE_NUM_REGS, 1));
    FAILS(INVALID_VALUE, DOC, cuFuncSetAttribute(store, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, 1));
    FAILS(INVALID_HANDLE, DOC, cuFuncSetAttribute(NULL, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1024));
    WORKS(DOC, cuFuncSetAttribute(store, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 64 << 10));
    /* "The sum of this value and the function attribute SHARED_SIZE_BYTES cannot exceed ... MAX_SHARED_MEMORY_PER_BLOCK_OPTIN" */
    FAILS(INVALID_VALUE, DOC, cuFuncSetAttribute(store, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1 << 20));
    WORKS(DOC, cuFuncSetCacheConfig(store, CU_FUNC_CACHE_PREFER_L1));
    FAILS(INVALID_VALUE, DOC, cuFuncSetCacheConfig(store, (CUfunc_cache)9));
    WORKS(DOC, cuFuncGetParamInfo(store, 1, &offset, &size));
    HOLDS(DOC, offset == 8 && size == 4);
    WORKS(DOC, cuFuncGetParamInfo(store, 1, &offset, NULL));
    FAILS(INVALID_VALUE, DOC, cuFuncGetParamInfo(store, 2, &offset, &size));
    FAILS(INVALID_VALUE, DOC, cuFuncGetParamInfo(store, 1, NULL, &size));
    FAILS(INVALID_VALUE, DOC, cuFuncGetParamInfo(nothing, 0, &offset, &size));
}

STATE(occupancy) {
    CUfunction nothing;
    int number, other;
    size_t bytes;
    with_context();
    nothing = kernel_of("nothing");
    FAILS(INVALID_VALUE, HIP(occupancy_common), cuOccupancyMaxActiveBlocksPerMultiprocessor(NULL, nothing, 64, 0));
    FAILS(INVALID_VALUE, HIP(occupancy_common), cuOccupancyMaxActiveBlocksPerMultiprocessor(&number, nothing, 0, 0));
    FAILS(INVALID_VALUE, DOC, cuOccupancyMaxActiveBlocksPerMultiprocessor(&number, nothing, -1, 0));
    FAILS(INVALID_VALUE, DOC, cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&number, nothing, 64, 0, 0xff));
    WORKS(DOC, cuOccupancyMaxActiveBlocksPerMultiprocessor(&number, nothing, 64, 0));
    HOLDS(DOC, number > 0);
    WORKS(DOC, cuOccupancyMaxPotentialBlockSize(&number, &other, nothing, NULL, 0, 0));
    WORKS(DOC, cuOccupancyMaxPotentialBlockSize(&number, &other, nothing, NULL, 0, 64));
    HOLDS(DOC, other <= 64);
    WORKS(DOC, cuOccupancyAvailableDynamicSMemPerBlock(&bytes, nothing, 1, 64));
    FAILS(INVALID_VALUE, DOC, cuOccupancyAvailableDynamicSMemPerBlock(NULL, nothing, 1, 64));
}

STATE(libraries) {
    CUlibrary library;
    CUkernel kernel;
    CUfunction function;
    CUmodule module;
    CUdeviceptr p;
    size_t bytes, offset;
    unsigned count;
    int number;
    with_context();
    FAILS(INVALID_VALUE, DOC, cuLibraryLoadData(NULL, PTX, NULL, NULL, 0, NULL, NULL, 0));
    FAILS(INVALID_VALUE, DOC, cuLibraryLoadData(&library, NULL, NULL, NULL, 0, NULL, NULL, 0));
    FAILS(FILE_NOT_FOUND, DOC, cuLibraryLoadFromFile(&library, "/nonexistent/file", NULL, NULL, 0, NULL, NULL, 0));
    FAILS(INVALID_VALUE, DOC, cuLibraryLoadFromFile(&library, NULL, NULL, NULL, 0, NULL, NULL, 0));
    WORKS(DOC, cuLibraryLoadData(&library, PTX, NULL, NULL, 0, NULL, NULL, 0));
    FAILS(INVALID_VALUE, DOC, cuLibraryGetKernel(NULL, library, "store"));
    FAILS(INVALID_VALUE, DOC, cuLibraryGetKernel(&kernel, library, NULL));
    FAILS(INVALID_HANDLE, DOC, cuLibraryGetKernel(&kernel, NULL, "store"));
    FAILS(NOT_FOUND, DOC, cuLibraryGetKernel(&kernel, library, "dummy"));
    WORKS(DOC, cuLibraryGetKernel(&kernel, library, "store"));
    FAILS(NOT_FOUND, DOC, cuLibraryGetGlobal(&p, &bytes, library, "dummy"));
    WORKS(DOC, cuLibraryGetGlobal(&p, &bytes, library, "number"));
    WORKS(DOC, cuLibraryGetGlobal(NULL, &bytes, library, "number"));
    WORKS(DOC, cuLibraryGetGlobal(&p, NULL, library, "number"));
    FAILS(NOT_FOUND, DOC, cuLibraryGetManaged(&p, &bytes, library, "number"));
    FAILS(INVALID_HANDLE, DOC, cuLibraryGetGlobal(&p, &bytes, NULL, "number"));
    WORKS(DOC, cuLibraryGetKernelCount(&count, library));
    FAILS(INVALID_VALUE, DOC, cuLibraryGetKernelCount(NULL, library));
    WORKS(DOC, cuLibraryGetModule(&module, library));
    FAILS(INVALID_VALUE, DOC, cuLibraryGetModule(NULL, library));
    WORKS(DOC, cuKernelGetFunction(&function, kernel));
    FAILS(INVALID_VALUE, DOC, cuKernelGetFunction(NULL, kernel));
    FAILS(INVALID_HANDLE, DOC, cuKernelGetFunction(&function, NULL));
    WORKS(DOC, cuKernelGetAttribute(&number, CU_FUNC_ATTRIBUTE_NUM_REGS, kernel, 0));
    FAILS(INVALID_DEVICE, DOC, cuKernelGetAttribute(&number, CU_FUNC_ATTRIBUTE_NUM_REGS, kernel, 1000));
    FAILS(INVALID_VALUE, DOC, cuKernelGetAttribute(&number, (CUfunction_attribute)1000, kernel, 0));
    WORKS(DOC, cuKernelGetParamInfo(kernel, 1, &offset, &bytes));
    FAILS(INVALID_VALUE, DOC, cuKernelGetParamInfo(kernel, 2, &offset, &bytes));
    /* A module of a library is unloaded with the library only. */
    FAILS(NOT_PERMITTED, DOC, cuModuleUnload(module));
    WORKS(DOC, cuLibraryUnload(library));
    FAILS(INVALID_HANDLE, DOC, cuLibraryUnload(NULL));
}

STATE(linking) {
    CUlinkState linker;
    CUjit_option unknown[] = {(CUjit_option)1000};
    static char broken[] = HEAD ".visible .entry f( {\n";
    void *values[] = {NULL}, *image;
    size_t bytes;
    with_context();
    FAILS(INVALID_VALUE, DOC, cuLinkCreate(0, NULL, NULL, NULL));
    FAILS(INVALID_VALUE, DOC, cuLinkCreate(1, unknown, values, &linker));
    WORKS(DOC, cuLinkCreate(0, NULL, NULL, &linker));
    FAILS(INVALID_VALUE, DOC, cuLinkAddData(linker, CU_JIT_INPUT_PTX, NULL, 10, "x", 0, NULL, NULL));
    FAILS(INVALID_VALUE, DOC, cuLinkAddData(linker, (CUjitInputType)77, (void *)PTX, strlen(PTX) + 1, "x", 0, NULL, NULL));
    FAILS(INVALID_PTX, DOC, cuLinkAddData(linker, CU_JIT_INPUT_PTX, broken, sizeof broken, "x", 0, NULL, NULL));
    FAILS(INVALID_PTX, DOC, cuLinkAddData(linker, CU_JIT_INPUT_PTX, (void *)HEAD ".visible .entry f() { nonsense; }\n", 80, "x", 0, NULL, NULL));
    FAILS(UNSUPPORTED_PTX_VERSION, DOC, cuLinkAddData(linker, CU_JIT_INPUT_PTX, ".version 99.0\n.target sm_50\n.address_size 64\n", 48, "x", 0, NULL, NULL));
    FAILS(NO_BINARY_FOR_GPU, DOC, cuLinkAddData(linker, CU_JIT_INPUT_PTX, ".version 9.0\n.target sm_999\n.address_size 64\n", 47, "x", 0, NULL, NULL));
    FAILS(INVALID_VALUE, DOC, cuLinkAddData(linker, CU_JIT_INPUT_PTX, broken, 0, "x", 0, NULL, NULL));
    FAILS(FILE_NOT_FOUND, DOC, cuLinkAddFile(linker, CU_JIT_INPUT_PTX, "/nonexistent/file", 0, NULL, NULL));
    WORKS(DOC, cuLinkDestroy(linker));
    WORKS(DOC, cuLinkCreate(0, NULL, NULL, &linker));
    WORKS(DOC, cuLinkAddData(linker, CU_JIT_INPUT_PTX, (void *)PTX, strlen(PTX) + 1, NULL, 0, NULL, NULL));
    FAILS(INVALID_VALUE, DOC, cuLinkComplete(linker, NULL, &bytes));
    WORKS(DOC, cuLinkDestroy(linker));
    WORKS(DOC, cuLinkCreate(0, NULL, NULL, &linker));
    WORKS(DOC, cuLinkAddData(linker, CU_JIT_INPUT_PTX, (void *)PTX, strlen(PTX) + 1, "a name", 0, NULL, NULL));
    WORKS(DOC, cuLinkComplete(linker, &image, &bytes));
    WORKS(DOC, cuLinkDestroy(linker));
    FAILS(INVALID_HANDLE, DOC, cuLinkComplete(WILD(CUlinkState), &image, &bytes));
    FAILS(INVALID_HANDLE, DOC, cuLinkDestroy(WILD(CUlinkState)));
}
