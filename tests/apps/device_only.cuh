// For sources that are written to be compiled for the device alone and ask which one: the pass for the host gives the same
// answer, once the vendor's headers have been read.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#ifndef __CUDA_ARCH__
#define __CUDA_ARCH__ 800
#endif
