"""Triton's tutorial on layer normalisation: forward, and backward with locks.

Programs of the backward pass share sums for the weights' gradients, a few buffers for all rows, and take turns at them by a lock of
`atomic_cas` and `atomic_xchg`; a second kernel adds the buffers up. The reference is numpy in double precision.
"""

import numpy as np
import triton
import triton.language as tl

from triton_memory import Array, start, synchronise

EPSILON = 1e-5


@triton.jit
def forward(x_ptr, y_ptr, w_ptr, b_ptr, mean_ptr, rstd_ptr, stride, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    x_ptr += row * stride
    y_ptr += row * stride
    sums = tl.zeros([BLOCK], dtype=tl.float32)
    for begin in range(0, N, BLOCK):
        columns = begin + tl.arange(0, BLOCK)
        sums += tl.load(x_ptr + columns, mask=columns < N, other=0.0).to(tl.float32)
    mean = tl.sum(sums, axis=0) / N
    squares = tl.zeros([BLOCK], dtype=tl.float32)
    for begin in range(0, N, BLOCK):
        columns = begin + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + columns, mask=columns < N, other=0.0).to(tl.float32)
        distance = tl.where(columns < N, x - mean, 0.0)
        squares += distance * distance
    rstd = 1 / tl.sqrt(tl.sum(squares, axis=0) / N + eps)
    tl.store(mean_ptr + row, mean)
    tl.store(rstd_ptr + row, rstd)
    for begin in range(0, N, BLOCK):
        columns = begin + tl.arange(0, BLOCK)
        mask = columns < N
        w = tl.load(w_ptr + columns, mask=mask)
        b = tl.load(b_ptr + columns, mask=mask)
        x = tl.load(x_ptr + columns, mask=mask, other=0.0).to(tl.float32)
        tl.store(y_ptr + columns, (x - mean) * rstd * w + b, mask=mask)


@triton.jit
def backward_rows(
    dx_ptr, dy_ptr, dw_ptr, db_ptr, x_ptr, w_ptr, mean_ptr, rstd_ptr, lock_ptr, stride, N,
    BUFFERS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of a row, and its share of those of weight and bias, added to one of the buffers."""
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    mask = columns < N
    x = tl.load(x_ptr + row * stride + columns, mask=mask, other=0.0).to(tl.float32)
    dy = tl.load(dy_ptr + row * stride + columns, mask=mask, other=0.0).to(tl.float32)
    w = tl.load(w_ptr + columns, mask=mask).to(tl.float32)
    mean = tl.load(mean_ptr + row)
    rstd = tl.load(rstd_ptr + row)
    normal = tl.where(mask, (x - mean) * rstd, 0.0)
    wdy = tl.where(mask, w * dy, 0.0)
    along = tl.sum(normal * wdy, axis=0) / N
    level = tl.sum(wdy, axis=0) / N
    tl.store(dx_ptr + row * stride + columns, (wdy - (normal * along + level)) * rstd, mask=mask)

    buffer = row % BUFFERS
    lock_ptr += buffer
    count_ptr = lock_ptr + BUFFERS
    dw_ptrs = dw_ptr + buffer * N + columns
    db_ptrs = db_ptr + buffer * N + columns
    dw, db = dy * normal, dy
    while tl.atomic_cas(lock_ptr, 0, 1) == 1:
        pass
    # Who is first at a buffer does not read it: it holds what somebody left there.
    if tl.load(count_ptr) == 0:
        tl.atomic_xchg(count_ptr, 1)
    else:
        dw += tl.load(dw_ptrs, mask=mask)
        db += tl.load(db_ptrs, mask=mask)
    tl.store(dw_ptrs, dw, mask=mask)
    tl.store(db_ptrs, db, mask=mask)
    # All threads have stored before the lock is given away.
    tl.debug_barrier()
    tl.atomic_xchg(lock_ptr, 0)


@triton.jit
def backward_sums(part_w_ptr, part_b_ptr, dw_ptr, db_ptr, M, N, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """The sum of the buffers."""
    columns = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    dw = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    db = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for begin in range(0, M, BLOCK_M):
        rows = begin + tl.arange(0, BLOCK_M)
        mask = (rows[:, None] < M) & (columns[None, :] < N)
        places = rows[:, None] * N + columns[None, :]
        dw += tl.load(part_w_ptr + places, mask=mask, other=0.0)
        db += tl.load(part_b_ptr + places, mask=mask, other=0.0)
    tl.store(dw_ptr + columns, tl.sum(dw, axis=0), mask=columns < N)
    tl.store(db_ptr + columns, tl.sum(db, axis=0), mask=columns < N)


def reference(x, w, b, dy):
    """The same in double precision, with whole matrices."""
    x, w, b, dy = (values.astype(np.float64) for values in (x, w, b, dy))
    mean = x.mean(axis=1, keepdims=True)
    rstd = 1 / np.sqrt(x.var(axis=1, keepdims=True) + EPSILON)
    normal = (x - mean) * rstd
    wdy = w * dy
    along = (normal * wdy).mean(axis=1, keepdims=True)
    dx = (wdy - normal * along - wdy.mean(axis=1, keepdims=True)) * rstd
    return normal * w + b, dx, (dy * normal).sum(axis=0), dy.sum(axis=0)


def check(case, rows, columns, dtype, buffers, tolerance):
    random = np.random.default_rng(7)
    x = (-2.3 + 0.5 * random.standard_normal((rows, columns))).astype(dtype)
    dy = (0.1 * random.standard_normal((rows, columns))).astype(dtype)
    w, b = random.random(columns).astype(dtype), random.random(columns).astype(dtype)
    dx_, dy_, dw_, db_ = Array(x), Array(dy), Array(w), Array(b)
    y, grad = Array(np.zeros_like(x)), Array(np.zeros_like(x))
    mean, rstd = (Array(np.zeros(rows, dtype=np.float32)) for _ in range(2))
    block = triton.next_power_of_2(columns)
    forward[(rows,)](dx_, y, dw_, db_, mean, rstd, columns, columns, EPSILON, BLOCK=min(block, 1024), num_warps=4)
    # Not a number, so that a sum that reads a buffer before somebody has written to it shows.
    parts = [Array(np.full((buffers, columns), np.nan, dtype=np.float32)) for _ in range(2)]
    locks = Array(np.zeros(2 * buffers, dtype=np.int32))
    grads = [Array(np.zeros(columns, dtype=np.float32)) for _ in range(2)]
    backward_rows[(rows,)](
        grad, dy_, *parts, dx_, dw_, mean, rstd, locks, columns, columns, BUFFERS=buffers, BLOCK=block, num_warps=4
    )
    backward_sums[(triton.cdiv(columns, 128),)](*parts, *grads, min(buffers, rows), columns, BLOCK_M=32, BLOCK_N=128)
    synchronise()
    assert not locks.host()[:buffers].any(), f"{case}: a lock is still taken"
    for name, found, expected in zip(("y", "dx", "dw", "db"), (y, grad, *grads), reference(x, w, b, dy)):
        error = np.max(np.abs(found.host() - expected)) / np.max(np.abs(expected))
        print(f"{case}: {name} within {error:.1e} of its largest value")
        assert error < tolerance, f"{case}: {name}: {error} is not below {tolerance}"


def main():
    start()
    check("float", 151, 1000, np.float32, 8, 1e-5)
    check("float, one lock", 64, 300, np.float32, 1, 1e-5)
    check("half", 128, 2048, np.float16, 16, 2e-3)
    print("PASS Triton: layer normalisation, forward and backward")


if __name__ == "__main__":
    main()
