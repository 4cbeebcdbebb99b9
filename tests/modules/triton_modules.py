"""PTX that Triton makes: kernels over types and tile shapes, compiled for three compute capabilities; nothing runs.

    python3 triton_modules.py DIRECTORY
"""

import pathlib
import sys

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

DIRECTORY = pathlib.Path(sys.argv[1])


@triton.jit
def product(a, b, c, m, n, k, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    depth = tl.arange(0, DEPTH)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(0, k, DEPTH):
        inside = start + depth < k
        left = tl.load(a + rows[:, None] * k + (start + depth)[None, :], mask=inside[None, :], other=0.0)
        right = tl.load(b + (start + depth)[:, None] * n + columns[None, :], mask=inside[:, None], other=0.0)
        total += tl.dot(left, right)
    inside = (rows[:, None] < m) & (columns[None, :] < n)
    tl.store(c + rows[:, None] * n + columns[None, :], total, mask=inside)


@triton.jit
def attention(q, k, v, out, length, scale, ROWS: tl.constexpr, COLUMNS: tl.constexpr, WIDTH: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    width = tl.arange(0, WIDTH)
    query = tl.load(q + rows[:, None] * WIDTH + width[None, :])
    highest = tl.full((ROWS,), -float("inf"), dtype=tl.float32)
    weight = tl.zeros((ROWS,), dtype=tl.float32)
    total = tl.zeros((ROWS, WIDTH), dtype=tl.float32)
    for start in range(0, length, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        key = tl.load(k + columns[None, :] * WIDTH + width[:, None])
        scores = tl.dot(query, key) * scale
        scores = tl.where(rows[:, None] >= columns[None, :], scores, -float("inf"))
        higher = tl.maximum(highest, tl.max(scores, 1))
        share, shrink = tl.exp2(scores - higher[:, None]), tl.exp2(highest - higher)
        value = tl.load(v + columns[:, None] * WIDTH + width[None, :])
        total = total * shrink[:, None] + tl.dot(share.to(value.dtype), value)
        weight, highest = weight * shrink + tl.sum(share, 1), higher
    tl.store(out + rows[:, None] * WIDTH + width[None, :], total / weight[:, None])


@triton.jit
def norm(x, gain, out, columns, eps, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    row = tl.program_id(0) * columns
    values = tl.load(x + row + at, mask=at < columns, other=0.0).to(tl.float32)
    mean = tl.sum(values, 0) / columns
    centred = tl.where(at < columns, values - mean, 0.0)
    scaled = centred * tl.rsqrt(tl.sum(centred * centred, 0) / columns + eps)
    tl.store(out + row + at, scaled * tl.load(gain + at, mask=at < columns), mask=at < columns)


@triton.jit
def sums(x, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + at, mask=at < n, other=0)
    tl.store(x + at, tl.cumsum(values, 0), mask=at < n)
    tl.atomic_add(out, tl.sum(values, 0))
    tl.atomic_max(out + 1, tl.max(values, 0))


@triton.jit
def order(x, out, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out + at, tl.sort(tl.load(x + at)))
    tl.store(out + BLOCK + at, tl.flip(tl.load(x + at)))
    tl.store(out + 2 * BLOCK + at, tl.histogram(tl.load(x + at).to(tl.int32), BLOCK))


@triton.jit
def noise(x, seed, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x + at, tl.randn(seed, at) + tl.sin(tl.rand(seed, at)) * tl.math.erf(tl.rand(seed + 1, at)))


def variants():
    def one(kernel, pointers, scalars, **constants):
        names = kernel.arg_names
        signature = dict(zip(names, pointers + scalars))
        signature |= {name: "constexpr" for name in constants}
        return kernel, signature, {(names.index(name),): value for name, value in constants.items()}

    for kind in ["fp16", "bf16", "fp32", "fp8e5"]:
        result = "fp16" if kind == "fp8e5" else kind
        for rows, columns, depth in [(64, 64, 32), (128, 64, 32)]:
            pointers = [f"*{kind}", f"*{kind}", f"*{result}"]
            yield one(product, pointers, ["i32"] * 3, ROWS=rows, COLUMNS=columns, DEPTH=depth)
    yield one(product, ["*i8", "*i8", "*fp32"], ["i32"] * 3, ROWS=32, COLUMNS=32, DEPTH=32)
    for kind in ["fp16", "bf16"]:
        yield one(attention, [f"*{kind}"] * 4, ["i32", "fp32"], ROWS=64, COLUMNS=32, WIDTH=64)
    for kind in ["fp16", "bf16", "fp32", "fp64"]:
        yield one(norm, [f"*{kind}"] * 3, ["i32", "fp32"], BLOCK=1024)
    for kind in ["fp32", "fp64", "i32", "u32", "i64", "u64"]:
        yield one(sums, [f"*{kind}"] * 2, ["i32"], BLOCK=512)
    for kind in ["fp16", "fp32", "i16", "i32", "i64"]:
        yield one(order, [f"*{kind}"] * 2, [], BLOCK=256)
    yield one(noise, ["*fp32"], ["i32"], BLOCK=512)


def main():
    count = 0
    for capability in [80, 90, 120]:
        for kernel, signature, constants in variants():
            source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
            made = triton.compile(source, target=GPUTarget("cuda", capability, 32))
            (DIRECTORY / f"{count:03}_{kernel.__name__}_{capability}.ptx").write_text(made.asm["ptx"])
            count += 1
    print("PASS Triton:", count, "modules")


if __name__ == "__main__":
    main()
