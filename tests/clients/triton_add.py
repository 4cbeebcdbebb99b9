"""Triton's vector addition, on memory from the driver API, since a tensor library would be a client of its own."""

import ctypes

import numpy as np
import triton
import triton.language as tl

CUDA = ctypes.CDLL("libcuda.so.1")


def call(name, *arguments):
    status = getattr(CUDA, name)(*arguments)
    assert status == 0, f"{name}: {status}"


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


@triton.jit
def add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(axis=0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    x = tl.load(x_ptr + offsets, mask=mask)
    y = tl.load(y_ptr + offsets, mask=mask)
    tl.store(out_ptr + offsets, x + y, mask=mask)


@triton.jit
def softmax_kernel(in_ptr, out_ptr, columns, BLOCK: tl.constexpr):
    row = tl.program_id(axis=0)
    offsets = tl.arange(0, BLOCK)
    mask = offsets < columns
    values = tl.load(in_ptr + row * columns + offsets, mask=mask, other=-float("inf"))
    values = tl.exp(values - tl.max(values, axis=0))
    tl.store(out_ptr + row * columns + offsets, values / tl.sum(values, axis=0), mask=mask)


def main():
    driver = triton.runtime.driver.active
    driver.set_current_device(0)
    print("target:", driver.get_current_target())
    random = np.random.default_rng(5)
    for n in (1000, 98_432):
        x, y = random.random(n, dtype=np.float32), random.random(n, dtype=np.float32)
        dx, dy, out = Array(x), Array(y), Array(np.zeros_like(x))
        add_kernel[(triton.cdiv(n, 1024),)](dx, dy, out, n, BLOCK=1024)
        call("cuCtxSynchronize")
        np.testing.assert_array_equal(out.host(), x + y)
    rows, columns = 20, 300
    x = random.standard_normal((rows, columns)).astype(np.float32)
    dx, out = Array(x), Array(np.zeros_like(x))
    softmax_kernel[(rows,)](dx, out, columns, BLOCK=512)
    call("cuCtxSynchronize")
    e = np.exp(x - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(out.host(), e / e.sum(axis=1, keepdims=True), rtol=1e-5)
    print("PASS Triton: vector addition, softmax")


if __name__ == "__main__":
    main()
