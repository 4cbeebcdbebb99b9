"""A tinygrad training step on the CUDA device, compared with the same step on the CPU."""

import numpy as np
from tinygrad import Tensor, nn
from tinygrad.nn.optim import SGD


class Net:
    def __init__(self, device, weights):
        self.layers = [Tensor(w, device=device, requires_grad=True) for w in weights]

    def __call__(self, x):
        w1, b1, w2, b2 = self.layers
        return (x @ w1 + b1).relu() @ w2 + b2


def train(device, weights, x, y, steps):
    net = Net(device, weights)
    optimiser = SGD(net.layers, lr=0.1)
    images, labels = Tensor(x, device=device), Tensor(y, device=device)
    losses = []
    with Tensor.train():
        for _ in range(steps):
            optimiser.zero_grad()
            loss = net(images).sparse_categorical_crossentropy(labels)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    return losses, [layer.numpy() for layer in net.layers]


def main():
    random = np.random.default_rng(7)
    x = random.standard_normal((64, 48)).astype(np.float32)
    y = random.integers(0, 10, 64).astype(np.int32)
    weights = [
        (random.standard_normal((48, 32)) * 0.2).astype(np.float32),
        np.zeros(32, dtype=np.float32),
        (random.standard_normal((32, 10)) * 0.2).astype(np.float32),
        np.zeros(10, dtype=np.float32),
    ]
    on_cpu, cpu_layers = train("CPU", weights, x, y, 3)
    on_cuda, cuda_layers = train("CUDA", weights, x, y, 3)
    print("losses on the CPU: ", on_cpu)
    print("losses on the vGPU:", on_cuda)
    np.testing.assert_allclose(on_cuda, on_cpu, rtol=1e-5)
    for got, want in zip(cuda_layers, cpu_layers):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    assert on_cuda[2] < on_cuda[0]
    print("PASS tinygrad: three training steps")


if __name__ == "__main__":
    main()
