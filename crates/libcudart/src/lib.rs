//! libcudart: the CUDA runtime API on top of the driver API.
