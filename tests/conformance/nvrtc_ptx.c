/* An NVRTC that gives PTX where machine code is asked for, as the ptxas of `tessera env` does for Triton.
 *
 * cuda.core and its tests have nearly all kernels compiled to machine code, which the software GPU does not take. What stands between them
 * and the vendor's NVRTC is this library, under the same name: it asks for the virtual architecture instead of the real one, and the code
 * it hands over is the PTX. Everything else is the vendor's.
 *
 *   cuda.core ── nvrtcCompileProgram(sm_90) ──▶ here ── nvrtcCompileProgram(compute_90) ──▶ NVRTC (TESSERA_NVRTC)
 *             ◀─ nvrtcGetCUBIN ─────────────────────◀── nvrtcGetPTX ─────────────────────
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *Program;

static void *vendor(const char *name) {
    static void *library;
    if (library == NULL) {
        const char *path = getenv("TESSERA_NVRTC");
        library = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (library == NULL) {
            fprintf(stderr, "no NVRTC: %s\n", path == NULL ? "TESSERA_NVRTC is not set" : dlerror());
            abort();
        }
    }
    void *found = dlsym(library, name);
    if (found == NULL) {
        fprintf(stderr, "the NVRTC has no %s\n", name);
        abort();
    }
    return found;
}

/* A function that is the vendor's own. */
#define SAME(name, parameters, arguments)                                    \
    int name parameters {                                                    \
        static int(*real) parameters;                                        \
        if (real == NULL) real = (int(*) parameters)vendor(#name);           \
        return real arguments;                                               \
    }

SAME(nvrtcVersion, (int *major, int *minor), (major, minor))
SAME(nvrtcGetNumSupportedArchs, (int *count), (count))
SAME(nvrtcGetSupportedArchs, (int *archs), (archs))
SAME(nvrtcCreateProgram, (Program * made, const char *text, const char *name, int headers, const char *const *sources, const char *const *names),
     (made, text, name, headers, sources, names))
SAME(nvrtcDestroyProgram, (Program * program), (program))
SAME(nvrtcGetPTXSize, (Program program, size_t *bytes), (program, bytes))
SAME(nvrtcGetPTX, (Program program, char *code), (program, code))
SAME(nvrtcGetLTOIRSize, (Program program, size_t *bytes), (program, bytes))
SAME(nvrtcGetLTOIR, (Program program, char *code), (program, code))
SAME(nvrtcGetOptiXIRSize, (Program program, size_t *bytes), (program, bytes))
SAME(nvrtcGetOptiXIR, (Program program, char *code), (program, code))
SAME(nvrtcGetProgramLogSize, (Program program, size_t *bytes), (program, bytes))
SAME(nvrtcGetProgramLog, (Program program, char *log), (program, log))
SAME(nvrtcAddNameExpression, (Program program, const char *name), (program, name))
SAME(nvrtcGetLoweredName, (Program program, const char *name, const char **lowered), (program, name, lowered))
SAME(nvrtcGetPCHHeapSize, (size_t *bytes), (bytes))
SAME(nvrtcSetPCHHeapSize, (size_t bytes), (bytes))
SAME(nvrtcGetPCHCreateStatus, (Program program), (program))
SAME(nvrtcGetPCHHeapSizeRequired, (Program program, size_t *bytes), (program, bytes))
SAME(nvrtcSetFlowCallback, (Program program, int (*callback)(void *, void *), void *payload), (program, callback, payload))

const char *nvrtcGetErrorString(int code) {
    return ((const char *(*)(int))vendor("nvrtcGetErrorString"))(code);
}

int nvrtcGetCUBINSize(Program program, size_t *bytes) { return nvrtcGetPTXSize(program, bytes); }

int nvrtcGetCUBIN(Program program, char *code) { return nvrtcGetPTX(program, code); }

/* `--gpu-architecture=sm_90` and its short forms, with the virtual architecture; others as they are. */
static char *virtual(const char *option) {
    char *made = NULL;
    const char *at = strstr(option, "=sm_");
    int is_arch = strncmp(option, "--gpu-architecture=", 19) == 0 || strncmp(option, "-arch=", 6) == 0 || strncmp(option, "--arch=", 7) == 0;
    if (!is_arch || at == NULL) return strdup(option);
    return asprintf(&made, "%.*s=compute_%s", (int)(at - option), option, at + 4) < 0 ? NULL : made;
}

int nvrtcCompileProgram(Program program, int count, const char *const *options) {
    int (*real)(Program, int, const char *const *) = (int (*)(Program, int, const char *const *))vendor("nvrtcCompileProgram");
    char **changed = calloc(count > 0 ? count : 1, sizeof *changed);
    if (changed == NULL) abort();
    for (int i = 0; i < count; ++i)
        if ((changed[i] = virtual(options[i])) == NULL) abort();
    int code = real(program, count, (const char *const *)changed);
    for (int i = 0; i < count; ++i) free(changed[i]);
    free(changed);
    return code;
}
