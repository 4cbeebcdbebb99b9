/* The fidelity table: calls in a state, and the code that the real driver answers.
 *
 * A state is a function that brings its process there and holds the rows of the table; each runs in a process of its own, since
 * "before cuInit" and sticky errors cannot be left. A row is one line:
 *
 *   FAILS(INVALID_VALUE, DOC, cuMemAlloc(&p, 0));      the code without CUDA_ERROR_, who says so, the call
 *   WORKS(DOC, cuInit(0));
 *   DIFFERS(NOT_FOUND, SUCCESS, DOC, call);            a defect that is known: the true code, then what is answered today. When that
 *                                                      changes the row fails and has to become one of the others.
 *   HOLDS(DOC, context == second);                     what a call wrote
 *   SET(call);                                         no row: part of the way into the state, has to succeed
 *
 * Sources. DOC: the reference of the driver API, which the comments of the vendor's cuda.h are (the codes that it lists for a function
 * with their general meaning, or a sentence about the case). HIP(file): a test of ROCm's hip-tests, which also runs on the vendor's
 * driver; the functions named there are thin names of those here. GUIDE: the programming guide. CP(test): cuda-python. NUMBA(test): numba-cuda.
 * CUDARC(test): cudarc. ISSUE(thread): what users of the vendor's driver report there. ORACLE: observed
 * on the vendor's library, which answers these without a device. No row has our own answer as its source. */
#ifndef FIDELITY_H
#define FIDELITY_H
#include <cuda.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Their header is not in the vendor's packages. */
CUresult cuProfilerStart(void);
CUresult cuProfilerStop(void);

#define DOC "documentation"
#define GUIDE "programming guide"
#define ORACLE "vendor's library without a device"
#define HIP(file) "hip-tests " #file
#define CP(test) "cuda-python " #test
#define NUMBA(test) "numba-cuda " #test
#define CUDARC(test) "cudarc " #test
#define ISSUE(thread) "reports in " #thread

void row(const char *file, int line, const char *call, const char *source, CUresult want, CUresult known, CUresult got);
void holds(const char *file, int line, const char *condition, const char *source, int is);
void set(const char *file, int line, const char *call, CUresult got);
void add_state(const char *name, void (*run)(void));

#define CUDA_ERROR_SUCCESS CUDA_SUCCESS
#define ROW(want, known, source, ...) row(__FILE__, __LINE__, #__VA_ARGS__, source, want, known, (CUresult)(__VA_ARGS__))
#define FAILS(code, source, ...) ROW(CUDA_ERROR_##code, CUDA_ERROR_##code, source, __VA_ARGS__)
#define WORKS(source, ...) ROW(CUDA_SUCCESS, CUDA_SUCCESS, source, __VA_ARGS__)
#define DIFFERS(code, today, source, ...) ROW(CUDA_ERROR_##code, CUDA_ERROR_##today, source, __VA_ARGS__)
#define HOLDS(source, ...) holds(__FILE__, __LINE__, #__VA_ARGS__, source, (__VA_ARGS__))
#define SET(...) set(__FILE__, __LINE__, #__VA_ARGS__, (CUresult)(__VA_ARGS__))

#define STATE(name)                                                                    \
    static void name(void);                                                            \
    __attribute__((constructor)) static void add_##name(void) { add_state(#name, name); } \
    static void name(void)

/* Parts of states. */
CUcontext with_context(void);
CUfunction kernel_of(const char *name);
CUresult make_sticky(void);
/* Work that does not end before let_go: a host function that waits in the stream. */
void hold(CUstream stream);
void let_go(void);
extern const char PTX[];
/* Handles that are none. */
#define WILD(type) ((type)(uintptr_t)0xdead0)
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define TIB ((size_t)1 << 40)
#endif
