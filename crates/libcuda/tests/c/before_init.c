/* Checks what functions answer before cuInit and after a cuInit that found no device. */
#include <stdio.h>

typedef int CUresult;
CUresult cuInit(unsigned flags);
CUresult cuDriverGetVersion(int *version);
CUresult cuDeviceGetCount(int *count);
CUresult cuCtxGetCurrent(void **context);
CUresult cuMemAlloc_v2(unsigned long long *pointer, size_t bytes);
CUresult cuStreamCreate(void **stream, unsigned flags);
CUresult cuGetErrorName(CUresult code, const char **name);
CUresult cuGetErrorString(CUresult code, const char **text);
CUresult cuThreadExchangeStreamCaptureMode(int *mode);
CUresult cuGraphCreate(void **graph, unsigned flags);
CUresult cuGetExportTable(const void **table, const void *id);
CUresult cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
                        void *stream, void **parameters, void **extra);

static int failures;

static void expect(const char *what, CUresult got, CUresult wanted) {
    if (got == wanted) return;
    printf("%s: %d instead of %d\n", what, got, wanted);
    failures++;
}

static void uninitialised(void) {
    int number = 0;
    void *object = NULL;
    unsigned long long pointer = 0;
    expect("cuDeviceGetCount", cuDeviceGetCount(&number), 3);
    expect("cuCtxGetCurrent", cuCtxGetCurrent(&object), 3);
    expect("cuMemAlloc", cuMemAlloc_v2(&pointer, 16), 3);
    expect("cuMemAlloc with null", cuMemAlloc_v2(NULL, 16), 3);
    expect("cuStreamCreate", cuStreamCreate(&object, 0), 3);
    expect("cuStreamCreate with wrong flags", cuStreamCreate(&object, 77), 1);
    expect("cuGraphCreate", cuGraphCreate(&object, 0), 3);
    expect("cuLaunchKernel", cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), 3);
}

int main(void) {
    int number = 0;
    const char *text = NULL;
    expect("cuDriverGetVersion", cuDriverGetVersion(&number), 0);
    expect("the version is 13.x", number / 1000, 13);
    expect("cuDriverGetVersion with null", cuDriverGetVersion(NULL), 1);
    uninitialised();
    expect("cuInit(1)", cuInit(1), 1);
    expect("cuInit(0)", cuInit(0), 100);
    expect("cuInit(0) again", cuInit(0), 100);
    uninitialised();
    number = 0;
    expect("cuThreadExchangeStreamCaptureMode", cuThreadExchangeStreamCaptureMode(&number), 0);
    expect("cuGetErrorName", cuGetErrorName(100, &text), 0);
    if (text == NULL || text[0] != 'C') expect("the name", 0, 1);
    expect("cuGetErrorString", cuGetErrorString(2, &text), 0);
    expect("cuGetErrorName of no code", cuGetErrorName(12345, &text), 1);
    if (text != NULL) expect("a null name", 0, 1);
    return failures != 0;
}
