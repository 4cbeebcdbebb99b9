"""Ten numba-cuda kernels, each checked against numpy."""

import math
import sys

import numpy as np
from numba import cuda, float32, int32, int64, uint32, uint64

RANDOM = np.random.default_rng(2026)
KERNELS = []


def check(run):
    KERNELS.append(run)
    return run


@cuda.jit
def add_kernel(a, b, out):
    i = cuda.grid(1)
    if i < out.size:
        out[i] = a[i] + b[i]


@check
def vector_sum():
    n = 100_003
    a, b = RANDOM.random(n, dtype=np.float32), RANDOM.random(n, dtype=np.float32)
    out = cuda.device_array(n, dtype=np.float32)
    add_kernel[(n + 255) // 256, 256](cuda.to_device(a), cuda.to_device(b), out)
    np.testing.assert_array_equal(out.copy_to_host(), a + b)


@cuda.jit
def axpy_kernel(a, x, y):
    start, stride = cuda.grid(1), cuda.gridsize(1)
    for i in range(start, x.size, stride):
        y[i] = a * x[i] + y[i]


@check
def axpy_in_double():
    n = 50_000
    x, y = RANDOM.standard_normal(n), RANDOM.standard_normal(n)
    got = y.copy()
    axpy_kernel[16, 128](2.5, x, got)
    np.testing.assert_allclose(got, 2.5 * x + y, rtol=1e-14, atol=1e-14)


@cuda.jit
def reduce_kernel(values, out):
    part = cuda.shared.array(256, float32)
    t = cuda.threadIdx.x
    i = cuda.grid(1)
    part[t] = values[i] if i < values.size else 0.0
    cuda.syncthreads()
    width = cuda.blockDim.x // 2
    while width > 0:
        if t < width:
            part[t] += part[t + width]
        cuda.syncthreads()
        width //= 2
    if t == 0:
        out[cuda.blockIdx.x] = part[0]


@check
def block_sums():
    n = 20_000
    values = RANDOM.integers(0, 100, n).astype(np.float32)
    blocks = (n + 255) // 256
    out = np.zeros(blocks, dtype=np.float32)
    reduce_kernel[blocks, 256](values, out)
    padded = np.zeros(blocks * 256, dtype=np.float32)
    padded[:n] = values
    np.testing.assert_array_equal(out, padded.reshape(blocks, 256).sum(axis=1))


TILE = 16


@cuda.jit
def product_kernel(a, b, c):
    ta = cuda.shared.array((TILE, TILE), float32)
    tb = cuda.shared.array((TILE, TILE), float32)
    column, row = cuda.grid(2)
    x, y = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0.0)
    for tile in range((a.shape[1] + TILE - 1) // TILE):
        ka, kb = tile * TILE + x, tile * TILE + y
        ta[y, x] = a[row, ka] if row < a.shape[0] and ka < a.shape[1] else float32(0.0)
        tb[y, x] = b[kb, column] if kb < b.shape[0] and column < b.shape[1] else float32(0.0)
        cuda.syncthreads()
        for k in range(TILE):
            total += ta[y, k] * tb[k, x]
        cuda.syncthreads()
    if row < c.shape[0] and column < c.shape[1]:
        c[row, column] = total


@check
def matrix_product():
    a = RANDOM.random((70, 45), dtype=np.float32)
    b = RANDOM.random((45, 90), dtype=np.float32)
    c = np.zeros((70, 90), dtype=np.float32)
    product_kernel[(6, 5), (TILE, TILE)](a, b, c)
    np.testing.assert_allclose(c, a @ b, rtol=1e-5)


@cuda.jit
def histogram_kernel(values, bins):
    local = cuda.shared.array(64, int32)
    t = cuda.threadIdx.x
    if t < 64:
        local[t] = 0
    cuda.syncthreads()
    for i in range(cuda.grid(1), values.size, cuda.gridsize(1)):
        cuda.atomic.add(local, values[i], 1)
    cuda.syncthreads()
    if t < 64:
        cuda.atomic.add(bins, t, local[t])


@check
def histogram():
    values = RANDOM.integers(0, 64, 100_000).astype(np.int32)
    bins = np.zeros(64, dtype=np.int32)
    histogram_kernel[12, 128](values, bins)
    np.testing.assert_array_equal(bins, np.bincount(values, minlength=64))


@cuda.jit
def mandelbrot_kernel(out, limit):
    x, y = cuda.grid(2)
    if y < out.shape[0] and x < out.shape[1]:
        c = complex(-2.0 + 3.0 * x / out.shape[1], -1.5 + 3.0 * y / out.shape[0])
        z = complex(0.0, 0.0)
        n = 0
        while n < limit and z.real * z.real + z.imag * z.imag <= 4.0:
            z = z * z + c
            n += 1
        out[y, x] = n


@check
def mandelbrot():
    height, width, limit = 60, 90, 60
    out = np.zeros((height, width), dtype=np.int32)
    mandelbrot_kernel[(12, 8), (8, 8)](out, limit)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    c = (-2.0 + 3.0 * x / width) + 1j * (-1.5 + 3.0 * y / height)
    z, want = np.zeros_like(c), np.zeros(c.shape, dtype=np.int32)
    for _ in range(limit):
        live = np.abs(z) <= 2.0
        z[live] = z[live] ** 2 + c[live]
        want += live
    # A point that lies on the border of the set may fall to either side.
    assert np.count_nonzero(out != want) <= 0.01 * out.size


@cuda.jit
def shuffle_kernel(values, sums):
    i = cuda.grid(1)
    value = values[i]
    offset = 16
    while offset > 0:
        value += cuda.shfl_down_sync(0xFFFFFFFF, value, offset)
        offset //= 2
    if cuda.laneid == 0:
        sums[i // 32] = value


@check
def warp_sums():
    values = RANDOM.integers(-1000, 1000, 1024).astype(np.int32)
    sums = np.zeros(32, dtype=np.int32)
    shuffle_kernel[8, 128](values, sums)
    np.testing.assert_array_equal(sums, values.reshape(32, 32).sum(axis=1))


@cuda.jit
def maths_kernel(x, out):
    i = cuda.grid(1)
    if i < x.size:
        v = x[i]
        out[0, i] = math.sin(v)
        out[1, i] = math.exp(v)
        out[2, i] = math.log(v)
        out[3, i] = math.sqrt(v)
        out[4, i] = math.pow(v, 1.5)
        out[5, i] = math.erf(v)
        out[6, i] = math.atan2(v, 2.0)
        out[7, i] = math.tanh(v)


@check
def mathematics():
    for kind, tolerance in ((np.float32, 3e-6), (np.float64, 1e-14)):
        x = RANDOM.uniform(0.1, 8.0, 1000).astype(kind)
        out = np.zeros((8, x.size), dtype=kind)
        maths_kernel[8, 128](x, out)
        v = x.astype(np.float64)
        want = [np.sin(v), np.exp(v), np.log(v), np.sqrt(v), v**1.5, [math.erf(e) for e in v], np.arctan2(v, 2.0), np.tanh(v)]
        np.testing.assert_allclose(out, np.array(want), rtol=tolerance, atol=tolerance)


@cuda.jit(device=True)
def mix(state):
    state ^= (state << uint64(13)) & uint64(0xFFFFFFFFFFFFFFFF)
    state ^= state >> uint64(7)
    state ^= (state << uint64(17)) & uint64(0xFFFFFFFFFFFFFFFF)
    return state


@cuda.jit
def whole_kernel(seeds, out, quotients):
    i = cuda.grid(1)
    if i < seeds.size:
        state = seeds[i]
        for _ in range(10):
            state = mix(state)
        out[i] = state
        quotients[i, 0] = int64(state >> uint64(1)) // int64(i + 3)
        quotients[i, 1] = int64(state >> uint64(1)) % int64(i + 3)
        quotients[i, 2] = cuda.popc(uint32(state & uint64(0xFFFFFFFF)))
        quotients[i, 3] = cuda.clz(uint32(state >> uint64(32)))


@check
def whole_numbers():
    n = 500
    seeds = RANDOM.integers(1, 2**63, n).astype(np.uint64)
    out, quotients = np.zeros(n, dtype=np.uint64), np.zeros((n, 4), dtype=np.int64)
    whole_kernel[4, 128](seeds, out, quotients)
    for i, state in enumerate(int(s) for s in seeds):
        for _ in range(10):
            state ^= state << 13 & 0xFFFFFFFFFFFFFFFF
            state ^= state >> 7
            state ^= state << 17 & 0xFFFFFFFFFFFFFFFF
        assert int(out[i]) == state
        half = state >> 1
        high = state >> 32
        want = [half // (i + 3), half % (i + 3), bin(state & 0xFFFFFFFF).count("1"), 32 - high.bit_length()]
        assert quotients[i].tolist() == want, (i, quotients[i], want)


@cuda.jit
def rank_kernel(values, ranks):
    i = cuda.grid(1)
    if i < values.size:
        rank = 0
        for j in range(values.size):
            if values[j] < values[i] or (values[j] == values[i] and j < i):
                rank += 1
        ranks[rank] = values[i]


@check
def sort_by_rank_on_streams():
    streams = [cuda.stream() for _ in range(3)]
    inputs = [RANDOM.integers(0, 50, 300).astype(np.float32) for _ in streams]
    outputs = []
    for stream, values in zip(streams, inputs):
        there = cuda.to_device(values, stream=stream)
        ranks = cuda.device_array(values.size, dtype=np.float32, stream=stream)
        rank_kernel[5, 64, stream](there, ranks)
        outputs.append(ranks)
    for stream, values, ranks in zip(streams, inputs, outputs):
        got = ranks.copy_to_host(stream=stream)
        stream.synchronize()
        np.testing.assert_array_equal(got, np.sort(values))


def main():
    print("device:", cuda.get_current_device().name.decode() if isinstance(cuda.get_current_device().name, bytes) else cuda.get_current_device().name)
    for run in KERNELS:
        run()
        print("ok  ", run.__name__)
    assert len(KERNELS) == 10
    print("PASS numba-cuda: ten kernels")


if __name__ == "__main__":
    sys.exit(main())
