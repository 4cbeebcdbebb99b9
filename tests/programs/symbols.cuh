// The driver API as programs see it: functions looked up by the names that the header gives them.
#pragma once
#include "check.cuh"

#include <cuda.h>
#include <dlfcn.h>

// The driver's functions are looked up by the names that its header gives them, versions and default stream included.
#define TEXT_(name) #name
#define TEXT(name) TEXT_(name)
#define DRIVER(name) static const auto d_##name = reinterpret_cast<decltype(&name)>(symbol(TEXT(name)))
#define DRIVER_EXPECT(call, code)                                                    \
    do {                                                                             \
        CUresult got_ = (call);                                                      \
        if (got_ != (code)) fail("line %d: %s is %d", __LINE__, #call, int(got_));   \
    } while (0)
#define OK(call) DRIVER_EXPECT(call, CUDA_SUCCESS)

inline void *symbol(const char *name) {
    static void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (library == nullptr) fail("no libcuda.so.1");
    void *address = dlsym(library, name);
    if (address == nullptr) fail("no %s", name);
    return address;
}
