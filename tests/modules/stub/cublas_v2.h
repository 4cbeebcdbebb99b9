// What the sources ask of cuBLAS when only device code is wanted of them.
#pragma once
typedef struct cublasContext *cublasHandle_t;
typedef int cublasStatus_t;
enum { CUBLAS_STATUS_SUCCESS, CUBLAS_TF32_TENSOR_OP_MATH };
cublasStatus_t cublasCreate(cublasHandle_t *);
cublasStatus_t cublasSetMathMode(cublasHandle_t, int);
const char *cublasGetStatusString(cublasStatus_t);
cublasStatus_t cublasSetStream(cublasHandle_t, struct CUstream_st *);
cublasStatus_t cublasDestroy(cublasHandle_t);
