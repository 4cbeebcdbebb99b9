"""Triton's tutorials on vector addition and softmax."""

import numpy as np
import triton
import triton.language as tl

from triton_memory import Array, start, synchronise


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
    start()
    random = np.random.default_rng(5)
    for n in (1000, 98_432):
        x, y = random.random(n, dtype=np.float32), random.random(n, dtype=np.float32)
        dx, dy, out = Array(x), Array(y), Array(np.zeros_like(x))
        add_kernel[(triton.cdiv(n, 1024),)](dx, dy, out, n, BLOCK=1024)
        synchronise()
        np.testing.assert_array_equal(out.host(), x + y)
    rows, columns = 20, 300
    x = random.standard_normal((rows, columns)).astype(np.float32)
    dx, out = Array(x), Array(np.zeros_like(x))
    softmax_kernel[(rows,)](dx, out, columns, BLOCK=512)
    synchronise()
    e = np.exp(x - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(out.host(), e / e.sum(axis=1, keepdims=True), rtol=1e-5)
    print("PASS Triton: vector addition, softmax")


if __name__ == "__main__":
    main()
