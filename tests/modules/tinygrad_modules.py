"""PTX that tinygrad makes: a training step of a small network, one of a transformer block, and operations over types, by both of its
ways to PTX (CUDA C++ through NVRTC, and its own). Nothing runs: tinygrad's NULL device takes the programs, which are written down.

    PARALLEL=0 DEV=NULL:CUDA:sm_80 python3 tinygrad_modules.py DIRECTORY
"""

import os
import pathlib
import sys

from tinygrad import Context, Tensor, dtypes, nn
from tinygrad.runtime import ops_null
from tinygrad.runtime.support import compiler_cuda

DIRECTORY = pathlib.Path(sys.argv[1])



class ToPtx(compiler_cuda.NVRTCCompiler):
    def __init__(self, arch, ptx=True, **more):
        super().__init__(arch, ptx=True, **more)


# For a device that is not CUDA both ways would go on to machine code.
compiler_cuda.NVRTCCompiler = ToPtx
compiler_cuda.NVPTXCompiler = compiler_cuda.PTXCompiler


class Recorded(ops_null.NullProgram):
    def __init__(self, dev, obj, **more):
        super().__init__(dev, obj, **more)
        text = bytes(obj.lib).rstrip(b"\0")
        (DIRECTORY / f"{obj.name[:80]}_{len(list(DIRECTORY.iterdir()))}.ptx").write_bytes(text)


ops_null.NullProgram = Recorded


class Net:
    def __init__(self):
        self.convolutions = [nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3, stride=2)]
        self.norm = nn.BatchNorm(16)
        self.last = nn.Linear(32 * 6 * 6, 10)

    def __call__(self, x):
        x = self.norm(self.convolutions[0](x)).relu()
        return self.last(self.convolutions[1](x).gelu().flatten(1).dropout(0.2))


class Block:
    def __init__(self, width=64, heads=4):
        self.heads = heads
        self.ins, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.norms = [nn.LayerNorm(width), nn.RMSNorm(width)]
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def __call__(self, x):
        batch, length, width = x.shape
        parts = self.ins(self.norms[0](x)).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = (parts[:, :, i].transpose(1, 2) for i in range(3))
        mixed = q.scaled_dot_product_attention(k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
        x = x + self.out(mixed)
        return x + self.narrow(self.wide(self.norms[1](x)).silu())


def step(model, x, optimiser=nn.optim.AdamW):
    optimiser = optimiser(nn.state.get_parameters(model), lr=1e-3)
    with Context(TRAINING=1):
        optimiser.zero_grad()
        model(x).square().mean().backward()
        optimiser.step()


UNARY = ["exp", "log", "sin", "sqrt", "rsqrt", "tanh", "sigmoid", "erf", "abs", "floor", "round", "softplus"]
# Its own PTX has no bfloat16, and approximations of doubles that PTX does not have.
FLOATS = [dtypes.float16, dtypes.float32]
if "CUDA" in os.environ["DEV"]:
    FLOATS += [dtypes.bfloat16, dtypes.float64]
INTEGERS = [dtypes.int8, dtypes.uint16, dtypes.int32, dtypes.uint64]


def operations():
    for dtype in FLOATS:
        x, y = Tensor.empty(37, 65, dtype=dtype), Tensor.empty(37, 65, dtype=dtype)
        for name in UNARY:
            getattr(x, name)().realize()
        (x / y).realize(), x.softmax().realize(), x.logsumexp().realize(), (x @ y.transpose()).realize()
        Tensor.empty(64, 64, dtype=dtype).matmul(Tensor.empty(64, 64, dtype=dtype)).realize()
    for dtype in INTEGERS:
        x, y = Tensor.empty(129, dtype=dtype), Tensor.empty(129, dtype=dtype)
        for result in [x + y, x * y, x // y, x % y, x & y, x ^ y, x.maximum(y), x < y, x.sum(), x.max()]:
            result.realize()
    for source in FLOATS + INTEGERS + [dtypes.bool]:
        for target in FLOATS + INTEGERS + [dtypes.bool]:
            Tensor.empty(33, dtype=source).cast(target).realize()
    x = Tensor.empty(64, 100)
    x.argmax(1).realize(), x.cumsum(1).realize(), x.sort(1)[0].realize(), x.topk(5)[0].realize()
    x[:, Tensor.empty(7, dtype=dtypes.int32)].realize(), x.pad(((1, 2), (3, 4))).flip(0).realize()
    Tensor.rand(50, 50).realize(), Tensor.randn(50).realize()


def main():
    step(Net(), Tensor.empty(8, 3, 16, 16))
    step(Block(), Tensor.empty(2, 32, 64))
    step(Block(), Tensor.empty(2, 32, 64), nn.optim.SGD)
    operations()
    print("PASS tinygrad:", len(list(DIRECTORY.iterdir())), "modules")


if __name__ == "__main__":
    main()
