//! libcuda.so.1: the guest driver.
