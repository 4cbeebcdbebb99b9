// Stands in for cuBLAS, which ggml's CUDA back end is linked with and calls for products of plain matrices only: every call is refused.
// The back end ends its process where that happens, so that a test that needs cuBLAS cannot pass.

enum { NOT_SUPPORTED = 15 };

#define REFUSED(name) \
    int name(void) { return NOT_SUPPORTED; }

REFUSED(cublasCreate_v2)
REFUSED(cublasDestroy_v2)
REFUSED(cublasGemmBatchedEx)
REFUSED(cublasGemmEx)
REFUSED(cublasGemmStridedBatchedEx)
REFUSED(cublasSetMathMode)
REFUSED(cublasSetStream_v2)
REFUSED(cublasSetWorkspace_v2)
REFUSED(cublasSgemmBatched)
REFUSED(cublasSgemmStridedBatched)
REFUSED(cublasSgemm_v2)
REFUSED(cublasStrsmBatched)

const char *cublasGetStatusString(int status) {
    (void)status;
    return "there is no cuBLAS here";
}
