"""Device memory for Triton's kernels, from the driver API, since a tensor library would be a client of its own."""

import ctypes

import numpy as np
import triton

CUDA = ctypes.CDLL("libcuda.so.1")


def call(name, *arguments):
    status = getattr(CUDA, name)(*arguments)
    assert status == 0, f"{name}: {status}"


def start():
    """Makes Triton's context current, which memory needs before the first kernel does."""
    driver = triton.runtime.driver.active
    driver.set_current_device(0)
    print("target:", driver.get_current_target())


def synchronise():
    call("cuCtxSynchronize")


class Array:
    """Device memory as Triton wants an argument: an address and a type."""

    def __init__(self, host):
        self.dtype, self.shape, self.size = str(host.dtype), host.shape, host.size
        self.bytes = host.nbytes
        self.address = ctypes.c_uint64()
        call("cuMemAlloc_v2", ctypes.byref(self.address), ctypes.c_size_t(self.bytes))
        call("cuMemcpyHtoD_v2", self.address, ctypes.c_void_p(host.ctypes.data), ctypes.c_size_t(self.bytes))

    def data_ptr(self):
        return self.address.value

    def host(self):
        out = np.empty(self.shape, dtype=self.dtype)
        call("cuMemcpyDtoH_v2", ctypes.c_void_p(out.ctypes.data), self.address, ctypes.c_size_t(self.bytes))
        return out
