/* Core dumps of the GPU: what is set is kept, who registers is known. */
#include "fidelity.h"

#include <stdbool.h>

static void told(void *data, int pid, CUdevice device) { (void)data, (void)pid, (void)device; }

STATE(coredump_global) {
    bool on = true;
    char text[1024];
    unsigned flags = 1;
    size_t size = sizeof on;
    FAILS(NOT_INITIALIZED, DOC, cuCoredumpGetAttribute(CU_COREDUMP_LIGHTWEIGHT, &on, &size));
    SET(cuInit(0));
    /* "The default value is": no dumps on exceptions nor by the user, the host dumps too, everything is in them. */
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_ENABLE_ON_EXCEPTION, &on, &size));
    HOLDS(DOC, !on);
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_TRIGGER_HOST, &on, &size));
    HOLDS(DOC, on);
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_LIGHTWEIGHT, &on, &size));
    HOLDS(DOC, !on);
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_ENABLE_USER_TRIGGER, &on, &size));
    HOLDS(DOC, !on);
    size = sizeof flags;
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_GENERATION_FLAGS, &flags, &size));
    HOLDS(DOC, flags == CU_COREDUMP_DEFAULT_FLAGS);
    char host[256], expected[600];
    gethostname(host, sizeof host);
    size = sizeof text;
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_FILE, text, &size));
    snprintf(expected, sizeof expected, "core.cuda.%s.%d", host, (int)getpid());
    HOLDS(DOC, strcmp(text, expected) == 0);
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_PIPE, text, &size));
    snprintf(expected, sizeof expected, "corepipe.cuda.%s.%d", host, (int)getpid());
    HOLDS(DOC, strcmp(text, expected) == 0);
    /* "equal to NULL, the size of the memory region (in bytes) expected for attrib will be placed in size" */
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_TRIGGER_HOST, NULL, &size));
    HOLDS(DOC, size == sizeof on);
    WORKS(DOC, cuCoredumpSetAttributeGlobal(CU_COREDUMP_GENERATION_FLAGS, NULL, &size));
    HOLDS(DOC, size == sizeof flags);
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_FILE, NULL, &size));
    HOLDS(DOC, size > strlen(text));
    FAILS(INVALID_VALUE, DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_FILE, NULL, NULL));
    FAILS(INVALID_VALUE, DOC, cuCoredumpSetAttributeGlobal(CU_COREDUMP_FILE, text, NULL));
    FAILS(INVALID_VALUE, DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_MAX, &on, &size));
    FAILS(INVALID_VALUE, DOC, cuCoredumpSetAttributeGlobal(0, &on, &size));
    /* "This value may not be changed after CU_COREDUMP_ENABLE_USER_TRIGGER is set to true." */
    size = 8;
    WORKS(CP(test_cuda_coredump_attr), cuCoredumpSetAttributeGlobal(CU_COREDUMP_PIPE, "corepipe", &size));
    on = true, size = sizeof on;
    WORKS(DOC, cuCoredumpSetAttributeGlobal(CU_COREDUMP_ENABLE_USER_TRIGGER, &on, &size));
    size = 5;
    HOLDS(DOC, cuCoredumpSetAttributeGlobal(CU_COREDUMP_PIPE, "other", &size) != CUDA_SUCCESS);
    size = sizeof text;
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_PIPE, text, &size));
    HOLDS(CP(test_cuda_coredump_attr), strcmp(text, "corepipe") == 0);
    /* "String of up to 1023 characters" */
    char longest[1025];
    memset(longest, 'x', sizeof longest);
    size = 1024;
    FAILS(INVALID_VALUE, DOC, cuCoredumpSetAttributeGlobal(CU_COREDUMP_FILE, longest, &size));
    size = 1023;
    WORKS(DOC, cuCoredumpSetAttributeGlobal(CU_COREDUMP_FILE, longest, &size));
    size = sizeof text;
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_FILE, text, &size));
    HOLDS(DOC, strlen(text) == 1023);
}

STATE(coredump_context) {
    bool on = true;
    char text[1024];
    unsigned flags;
    size_t size = sizeof on;
    CUcontext context;
    SET(cuInit(0));
    FAILS(INVALID_CONTEXT, DOC, cuCoredumpGetAttribute(CU_COREDUMP_LIGHTWEIGHT, &on, &size));
    FAILS(INVALID_CONTEXT, DOC, cuCoredumpSetAttribute(CU_COREDUMP_LIGHTWEIGHT, &on, &size));
    SET(cuCoredumpSetAttributeGlobal(CU_COREDUMP_LIGHTWEIGHT, &on, &size));
    size = 8;
    SET(cuCoredumpSetAttributeGlobal(CU_COREDUMP_FILE, "corefile", &size));
    /* "The initial settings will be taken from the global settings at the time of context creation." */
    SET(cuCtxCreate(&context, NULL, CU_CTX_COREDUMP_ENABLE, 0));
    on = false, size = sizeof on;
    WORKS(DOC, cuCoredumpGetAttribute(CU_COREDUMP_ENABLE_ON_EXCEPTION, &on, &size));
    HOLDS(DOC, on);
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_ENABLE_ON_EXCEPTION, &on, &size));
    HOLDS(DOC, !on);
    WORKS(DOC, cuCoredumpGetAttribute(CU_COREDUMP_LIGHTWEIGHT, &on, &size));
    HOLDS(DOC, on);
    /* "Equivalent to setting the CU_COREDUMP_LIGHTWEIGHT attribute to true" */
    size = sizeof flags;
    WORKS(DOC, cuCoredumpGetAttribute(CU_COREDUMP_GENERATION_FLAGS, &flags, &size));
    HOLDS(DOC, (flags & CU_COREDUMP_LIGHTWEIGHT_FLAGS) == CU_COREDUMP_LIGHTWEIGHT_FLAGS);
    /* "replaces all previously set coredump flags" */
    flags = CU_COREDUMP_SKIP_ABORT | CU_COREDUMP_SKIP_LOCAL_MEMORY;
    WORKS(DOC, cuCoredumpSetAttribute(CU_COREDUMP_GENERATION_FLAGS, &flags, &size));
    WORKS(DOC, cuCoredumpGetAttribute(CU_COREDUMP_GENERATION_FLAGS, &flags, &size));
    HOLDS(DOC, flags == (CU_COREDUMP_SKIP_ABORT | CU_COREDUMP_SKIP_LOCAL_MEMORY));
    size = sizeof text;
    WORKS(DOC, cuCoredumpGetAttribute(CU_COREDUMP_FILE, text, &size));
    HOLDS(DOC, strcmp(text, "corefile") == 0);
    size = 4;
    WORKS(DOC, cuCoredumpSetAttribute(CU_COREDUMP_FILE, "mine", &size));
    size = sizeof text;
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_FILE, text, &size));
    HOLDS(DOC, strcmp(text, "corefile") == 0);
    /* "CU_COREDUMP_ENABLE_USER_TRIGGER and CU_COREDUMP_PIPE cannot be set on a per-context basis." */
    size = 4;
    HOLDS(DOC, cuCoredumpSetAttribute(CU_COREDUMP_PIPE, "mine", &size) != CUDA_SUCCESS);
    size = sizeof on;
    HOLDS(DOC, cuCoredumpSetAttribute(CU_COREDUMP_ENABLE_USER_TRIGGER, &on, &size) != CUDA_SUCCESS);
    SET(cuCtxDestroy(context));
    /* "Setting this flag implies that CU_CTX_COREDUMP_ENABLE is set." */
    SET(cuCtxCreate(&context, NULL, CU_CTX_USER_COREDUMP_ENABLE, 0));
    WORKS(DOC, cuCoredumpGetAttribute(CU_COREDUMP_ENABLE_ON_EXCEPTION, &on, &size));
    HOLDS(DOC, on);
    WORKS(DOC, cuCoredumpGetAttribute(CU_COREDUMP_ENABLE_USER_TRIGGER, &on, &size));
    HOLDS(DOC, on);
    SET(cuCtxDestroy(context));
}

/* "any coredump environment variable values set before CUDA initializes will take permanent precedence" */
STATE(coredump_environment) {
    bool on = false;
    char text[1024];
    size_t size = sizeof on;
    setenv("CUDA_ENABLE_COREDUMP_ON_EXCEPTION", "1", 1);
    setenv("CUDA_COREDUMP_FILE", "/tmp/core.%p", 1);
    with_context();
    (void)cuCoredumpSetAttributeGlobal(CU_COREDUMP_ENABLE_ON_EXCEPTION, &on, &size);
    (void)cuCoredumpSetAttribute(CU_COREDUMP_ENABLE_ON_EXCEPTION, &on, &size);
    WORKS(DOC, cuCoredumpGetAttributeGlobal(CU_COREDUMP_ENABLE_ON_EXCEPTION, &on, &size));
    HOLDS(DOC, on);
    on = false;
    WORKS(DOC, cuCoredumpGetAttribute(CU_COREDUMP_ENABLE_ON_EXCEPTION, &on, &size));
    HOLDS(DOC, on);
    size = sizeof text;
    WORKS(DOC, cuCoredumpGetAttribute(CU_COREDUMP_FILE, text, &size));
    HOLDS(DOC, strcmp(text, "/tmp/core.%p") == 0);
}

STATE(coredump_callbacks) {
    CUcoredumpCallbackHandle first, second, end;
    SET(cuInit(0));
    FAILS(INVALID_VALUE, DOC, cuCoredumpRegisterStartCallback(NULL, NULL, &first));
    WORKS(DOC, cuCoredumpRegisterStartCallback(told, NULL, &first));
    WORKS(DOC, cuCoredumpRegisterStartCallback(told, &second, &second));
    HOLDS(DOC, first != second);
    WORKS(DOC, cuCoredumpRegisterStartCallback(told, NULL, NULL));
    WORKS(DOC, cuCoredumpRegisterCompleteCallback(told, NULL, &end));
    /* "handles returned by other registration APIs and handles that were already deregistered are invalid" */
    FAILS(INVALID_VALUE, DOC, cuCoredumpDeregisterCompleteCallback(first));
    FAILS(INVALID_VALUE, DOC, cuCoredumpDeregisterStartCallback(end));
    WORKS(DOC, cuCoredumpDeregisterStartCallback(first));
    FAILS(INVALID_VALUE, DOC, cuCoredumpDeregisterStartCallback(first));
    FAILS(INVALID_VALUE, DOC, cuCoredumpDeregisterStartCallback(NULL));
    WORKS(DOC, cuCoredumpDeregisterCompleteCallback(end));
}
