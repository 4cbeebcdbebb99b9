// Names of the vendor's matrix library that headers of ggml mention. The programs here call none of it.
#pragma once
typedef void *cublasHandle_t;
typedef int cublasStatus_t;
typedef int cublasMath_t;
enum { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_TF32_TENSOR_OP_MATH = 3 };
extern "C" cublasStatus_t cublasCreate(cublasHandle_t *);
extern "C" cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t);
extern "C" const char *cublasGetStatusString(cublasStatus_t);
