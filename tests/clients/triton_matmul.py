"""Triton's tutorial on matrix products: tiles in an order that keeps rows of them in the cache, `tl.dot`, an activation at the end.

The reference is numpy's product of the same values in double precision. Ragged sizes let every mask cut something off.
"""

import numpy as np
import triton
import triton.language as tl

from triton_memory import Array, start, synchronise


@triton.jit
def leaky_relu(x):
    return tl.where(x >= 0, x, 0.01 * x)


@triton.jit
def matmul_kernel(
    a_ptr, b_ptr, c_ptr, M, N, K,
    stride_am, stride_ak, stride_bk, stride_bn, stride_cm, stride_cn,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
    PRECISION: tl.constexpr, ACTIVATION: tl.constexpr,
):  # fmt: skip
    # Programs in columns of GROUP tiles, so that tiles of A and B that are close in time are shared.
    pid = tl.program_id(axis=0)
    tiles_m, tiles_n = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    in_group = GROUP * tiles_n
    first = (pid // in_group) * GROUP
    height = min(tiles_m - first, GROUP)
    tile_m = first + (pid % in_group) % height
    tile_n = (pid % in_group) // height

    rows = (tile_m * BLOCK_M + tl.arange(0, BLOCK_M)) % M
    columns = (tile_n * BLOCK_N + tl.arange(0, BLOCK_N)) % N
    steps = tl.arange(0, BLOCK_K)
    a_ptrs = a_ptr + rows[:, None] * stride_am + steps[None, :] * stride_ak
    b_ptrs = b_ptr + steps[:, None] * stride_bk + columns[None, :] * stride_bn
    sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for k in range(0, tl.cdiv(K, BLOCK_K)):
        left = K - k * BLOCK_K
        a = tl.load(a_ptrs, mask=steps[None, :] < left, other=0.0)
        b = tl.load(b_ptrs, mask=steps[:, None] < left, other=0.0)
        sums = tl.dot(a, b, sums, input_precision=PRECISION)
        a_ptrs += BLOCK_K * stride_ak
        b_ptrs += BLOCK_K * stride_bk
    if ACTIVATION == "leaky_relu":
        sums = leaky_relu(sums)

    rows = tile_m * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tile_n * BLOCK_N + tl.arange(0, BLOCK_N)
    c_ptrs = c_ptr + rows[:, None] * stride_cm + columns[None, :] * stride_cn
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(c_ptrs, sums.to(c_ptr.dtype.element_ty), mask=inside)


def product(a, b, out_type, precision, activation, block, warps, stages):
    """The product on the device."""
    (m, k), (_, n) = a.shape, b.shape
    da, db, dc = Array(a), Array(b), Array(np.zeros((m, n), dtype=out_type))
    grid = (triton.cdiv(m, block[0]) * triton.cdiv(n, block[1]),)
    kernel = matmul_kernel[grid](
        da, db, dc, m, n, k, k, 1, n, 1, n, 1,
        BLOCK_M=block[0], BLOCK_N=block[1], BLOCK_K=block[2], GROUP=4,
        PRECISION=precision, ACTIVATION=activation, num_warps=warps, num_stages=stages,
    )  # fmt: skip
    synchronise()
    return dc.host(), kernel.asm["ptx"]


def check(
    case, sizes, dtype, out_type, precision, tolerance, instruction, activation="",
    block=(64, 64, 32), warps=4, stages=3,
):  # fmt: skip
    random = np.random.default_rng(11)
    m, n, k = sizes
    a = random.standard_normal((m, k)).astype(dtype)
    b = random.standard_normal((k, n)).astype(dtype)
    found, ptx = product(a, b, out_type, precision, activation, block, warps, stages)
    # Otherwise the case is not the one that its name says.
    assert instruction in ptx, f"{case}: the kernel has no {instruction}"
    expected = a.astype(np.float64) @ b.astype(np.float64)
    if activation:
        expected = np.where(expected >= 0, expected, 0.01 * expected)
    # An error of the sum is one of its addends, which are larger than it where they cancel.
    size = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    error = np.max(np.abs(found - expected) / size)
    print(f"{case}: largest error {error:.1e} of the sum of magnitudes")
    assert error < tolerance, f"{case}: {error} is not below {tolerance}"


def main():
    start()
    half, ragged = np.float16, (200, 136, 160)
    check("half, one tile", (64, 64, 32), half, half, "ieee", 1e-3, "mma.sync")
    check("half, ragged", ragged, half, half, "ieee", 1e-3, "mma.sync")
    check("half, two warps", ragged, half, half, "ieee", 1e-3, "mma.sync", warps=2)
    # Tiles for which a kernel has to ask for more shared memory than 48 KiB, filled ahead of their use.
    large = {"block": (128, 128, 64), "warps": 8, "stages": 4}
    check("half, leaky ReLU", (256, 192, 256), half, half, "ieee", 1e-3, "cp.async", "leaky_relu", **large)
    check("TF32", ragged, np.float32, np.float32, "tf32", 1e-3, "tf32.tf32")
    check("TF32 in three steps", ragged, np.float32, np.float32, "tf32x3", 1e-6, "tf32.tf32")
    check("float", ragged, np.float32, np.float32, "ieee", 1e-6, "fma.rn.f32")
    print("PASS Triton: matrix products")


if __name__ == "__main__":
    main()
