"""A tinygrad training step on the CUDA device, compared with the same step worked out by numpy on the CPU."""

import numpy as np
from tinygrad import Context, Tensor
from tinygrad.nn.optim import SGD

RATE = 0.1
STEPS = 3


def train_on_cuda(weights, x, y):
    w1, b1, w2, b2 = layers = [Tensor(w, device="CUDA") for w in weights]
    optimiser = SGD(layers, lr=RATE)
    images, labels = Tensor(x, device="CUDA"), Tensor(y, device="CUDA")
    losses = []
    with Context(TRAINING=1):
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss = ((images @ w1 + b1).relu() @ w2 + b2).sparse_categorical_crossentropy(labels)
            # Before the step: a lazy loss would be worked out with the weights that the step leaves.
            losses.append(loss.item())
            loss.backward()
            optimiser.step()
    return losses, [layer.numpy() for layer in layers]


def train_with_numpy(weights, x, y):
    w1, b1, w2, b2 = (w.astype(np.float64) for w in weights)
    rows = np.arange(len(y))
    losses = []
    for _ in range(STEPS):
        hidden = x @ w1 + b1
        active = np.maximum(hidden, 0)
        scores = active @ w2 + b2
        scores -= scores.max(axis=1, keepdims=True)
        chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        losses.append(-np.log(chances[rows, y]).mean())
        d_scores = chances.copy()
        d_scores[rows, y] -= 1
        d_scores /= len(y)
        d_hidden = d_scores @ w2.T * (hidden > 0)
        w2, b2 = w2 - RATE * active.T @ d_scores, b2 - RATE * d_scores.sum(axis=0)
        w1, b1 = w1 - RATE * x.T @ d_hidden, b1 - RATE * d_hidden.sum(axis=0)
    return losses, [w1, b1, w2, b2]


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
    on_cpu, cpu_layers = train_with_numpy(weights, x, y)
    on_cuda, cuda_layers = train_on_cuda(weights, x, y)
    print("losses on the CPU: ", [float(loss) for loss in on_cpu])
    print("losses on the vGPU:", on_cuda)
    np.testing.assert_allclose(on_cuda, on_cpu, rtol=1e-5)
    for got, want in zip(cuda_layers, cpu_layers):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    assert on_cuda[-1] < on_cuda[0]
    print("PASS tinygrad: three training steps")


if __name__ == "__main__":
    main()
