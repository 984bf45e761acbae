"""One training step of an MLP 784-512-512-10, written for each library as its users would write it.

Batch 128, float32, ReLU, cross entropy, plain SGD. Every class starts from the same weights and offers
`step()` (what is timed), `gradients()` (for comparison) and `rest()` (drop what a step leaves behind).
Each runs in a process of its own, so the libraries are imported inside the classes.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

WIDTHS = (784, 512, 512, 10)
BATCH = 128
RATE = 0.01

Arrays = Sequence[Any]


class Step(Protocol):
    """What a worker can do."""

    def step(self) -> None:
        """Forward, backward, update."""

    def gradients(self) -> Arrays:
        """The loss's gradients at the current weights: (fan_in, fan_out) matrices and biases, in turn."""

    def rest(self) -> None:
        """Drop the gradients of the last step."""


class Problem:
    """The data and the initial weights."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        self.x = draw.random((BATCH, WIDTHS[0]), dtype=np.float32)
        self.labels = draw.integers(0, WIDTHS[-1], BATCH)
        self.parameters: list[NDArray[np.float32]] = []
        for fan_in, fan_out in pairwise(WIDTHS):
            bound = np.float32((6 / fan_in) ** 0.5)
            self.parameters.append(draw.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32))
            self.parameters.append(np.zeros(fan_out, np.float32))


class NumpyStep(Problem):
    """Plain NumPy by hand: temporaries reused in place, nothing computed that is not needed."""

    def gradients(self) -> Arrays:
        """Forward and backward."""
        w1, b1, w2, b2, w3, b3 = self.parameters
        h1 = self.x @ w1
        h1 += b1
        np.maximum(h1, 0, out=h1)
        h2 = h1 @ w2
        h2 += b2
        np.maximum(h2, 0, out=h2)
        z = h2 @ w3
        z += b3
        z -= z.max(axis=1, keepdims=True)
        rows = np.arange(BATCH)
        picked = z[rows, self.labels]
        np.exp(z, out=z)
        total = z.sum(axis=1, keepdims=True)
        self.loss = np.mean(np.log(total[:, 0]) - picked)
        z /= total
        z[rows, self.labels] -= 1
        z /= BATCH  # z is now the loss's derivative by the logits
        g2 = z @ w3.T
        g2 *= h2 > 0
        g1 = g2 @ w2.T
        g1 *= h1 > 0
        return [self.x.T @ g1, g1.sum(axis=0), h1.T @ g2, g2.sum(axis=0), h2.T @ z, z.sum(axis=0)]

    def step(self) -> None:
        """Forward, backward, update in place."""
        for p, g in zip(self.parameters, self.gradients(), strict=True):
            g *= RATE
            p -= g

    def rest(self) -> None:
        """Nothing is kept."""


class NumpyPlainStep(NumpyStep):
    """Plain NumPy as one writes it first: a formula a line, a new array for each result."""

    def gradients(self) -> Arrays:
        """Forward and backward."""
        w1, b1, w2, b2, w3, b3 = self.parameters
        z1 = self.x @ w1 + b1
        h1 = np.maximum(z1, 0)
        z2 = h1 @ w2 + b2
        h2 = np.maximum(z2, 0)
        z = h2 @ w3 + b3
        z = z - z.max(axis=1, keepdims=True)
        e = np.exp(z)
        total = e.sum(axis=1, keepdims=True)
        rows = np.arange(BATCH)
        self.loss = np.mean(np.log(total[:, 0]) - z[rows, self.labels])
        g3 = e / total
        g3[rows, self.labels] -= 1
        g3 = g3 / BATCH
        g2 = (g3 @ w3.T) * (z2 > 0)
        g1 = (g2 @ w2.T) * (z1 > 0)
        return [self.x.T @ g1, g1.sum(axis=0), h1.T @ g2, g2.sum(axis=0), h2.T @ g3, g3.sum(axis=0)]

    def step(self) -> None:
        """Forward, backward, update in place."""
        for p, g in zip(self.parameters, self.gradients(), strict=True):
            p -= RATE * g


class NumpyBuffersStep(NumpyStep):
    """The same with every array of a fixed shape allocated once: what allocation costs the others."""

    def __init__(self) -> None:
        super().__init__()
        self.h1, self.h2, self.g1, self.g2 = (np.empty((BATCH, 512), np.float32) for _ in range(4))
        self.live = np.empty((BATCH, 512), bool)
        self.z = np.empty((BATCH, WIDTHS[-1]), np.float32)
        self.grads = [np.empty_like(p) for p in self.parameters]

    def gradients(self) -> Arrays:
        """Forward and backward."""
        w1, b1, w2, b2, w3, b3 = self.parameters
        h1, h2, z, g1, g2, live = self.h1, self.h2, self.z, self.g1, self.g2, self.live
        np.maximum(np.add(np.matmul(self.x, w1, out=h1), b1, out=h1), 0, out=h1)
        np.maximum(np.add(np.matmul(h1, w2, out=h2), b2, out=h2), 0, out=h2)
        np.add(np.matmul(h2, w3, out=z), b3, out=z)
        z -= z.max(axis=1, keepdims=True)
        rows = np.arange(BATCH)
        picked = z[rows, self.labels]
        np.exp(z, out=z)
        total = z.sum(axis=1, keepdims=True)
        self.loss = np.mean(np.log(total[:, 0]) - picked)
        z /= total
        z[rows, self.labels] -= 1
        z /= BATCH
        np.multiply(np.matmul(z, w3.T, out=g2), np.greater(h2, 0, out=live), out=g2)
        np.multiply(np.matmul(g2, w2.T, out=g1), np.greater(h1, 0, out=live), out=g1)
        for number, (left, g) in enumerate(((self.x, g1), (h1, g2), (h2, z))):
            np.matmul(left.T, g, out=self.grads[2 * number])
            np.sum(g, axis=0, out=self.grads[2 * number + 1])
        return self.grads


class OursStep(Problem):
    """autodiff, with its layers and its optimizer."""

    def __init__(self) -> None:
        super().__init__()
        from autodiff import nn, optim

        self.cross_entropy = nn.cross_entropy
        self.model = nn.Sequential(
            nn.Linear(784, 512, dtype=np.float32),
            nn.ReLU(),
            nn.Linear(512, 512, dtype=np.float32),
            nn.ReLU(),
            nn.Linear(512, 10, dtype=np.float32),
        )
        for p, initial in zip(self.model.parameters(), self.parameters, strict=True):
            p.data = initial.copy()
        self.optimizer = optim.SGD(self.model.parameters(), lr=RATE)

    def backward(self) -> None:
        """Forward and backward."""
        self.optimizer.zero_grad()
        self.cross_entropy(self.model(self.x), self.labels).backward()

    def gradients(self) -> Arrays:
        """Forward and backward."""
        self.backward()
        return [p.grad for p in self.model.parameters()]

    def step(self) -> None:
        """Forward, backward, update."""
        self.backward()
        self.optimizer.step()

    def rest(self) -> None:
        """Drop the gradients."""
        self.optimizer.zero_grad()


class TorchStep(Problem):
    """PyTorch, eager, with its layers and its optimizer."""

    def __init__(self) -> None:
        super().__init__()
        torch = importlib.import_module("torch")
        nn = torch.nn
        self.cross_entropy = nn.functional.cross_entropy
        self.x_tensor, self.label_tensor = torch.tensor(self.x), torch.tensor(self.labels)
        self.model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
        for p, initial in zip(self.model.parameters(), self.parameters, strict=True):
            p.data.copy_(torch.tensor(initial.T))  # torch keeps (fan_out, fan_in)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE)

    def backward(self) -> None:
        """Forward and backward."""
        self.optimizer.zero_grad()
        self.cross_entropy(self.model(self.x_tensor), self.label_tensor).backward()

    def gradients(self) -> Arrays:
        """Forward and backward."""
        self.backward()
        return [p.grad.numpy().T for p in self.model.parameters()]

    def step(self) -> None:
        """Forward, backward, update."""
        self.backward()
        self.optimizer.step()

    def rest(self) -> None:
        """Drop the gradients."""
        self.optimizer.zero_grad()


class AutogradStep(Problem):
    """HIPS autograd, which has functions only."""

    def __init__(self) -> None:
        super().__init__()
        autograd = importlib.import_module("autograd")
        anp = importlib.import_module("autograd.numpy")
        rows = np.arange(BATCH)

        def loss(parameters: Arrays) -> Any:
            w1, b1, w2, b2, w3, b3 = parameters
            h1 = anp.maximum(anp.dot(self.x, w1) + b1, 0)
            h2 = anp.maximum(anp.dot(h1, w2) + b2, 0)
            z = anp.dot(h2, w3) + b3
            z = z - anp.max(z, axis=1, keepdims=True)
            return anp.mean(anp.log(anp.sum(anp.exp(z), axis=1)) - z[rows, self.labels])

        self.value_and_grad = autograd.value_and_grad(loss)

    def gradients(self) -> Arrays:
        """Forward and backward."""
        result: Arrays = self.value_and_grad(self.parameters)[1]
        return result

    def step(self) -> None:
        """Forward, backward, update."""
        for p, g in zip(self.parameters, self.gradients(), strict=True):
            p -= RATE * g

    def rest(self) -> None:
        """Nothing is kept."""


class MygradStep(Problem):
    """MyGrad, with its fused cross entropy and its default memory guards."""

    def __init__(self) -> None:
        super().__init__()
        mygrad = importlib.import_module("mygrad")
        self.relu = importlib.import_module("mygrad.nnet.activations").relu
        self.cross_entropy = importlib.import_module("mygrad.nnet.losses").softmax_crossentropy
        self.matmul = mygrad.matmul
        self.tensors = [mygrad.tensor(p) for p in self.parameters]

    def backward(self) -> None:
        """Forward and backward."""
        w1, b1, w2, b2, w3, b3 = self.tensors
        h1 = self.relu(self.matmul(self.x, w1) + b1)
        h2 = self.relu(self.matmul(h1, w2) + b2)
        self.cross_entropy(self.matmul(h2, w3) + b3, self.labels).backward()

    def gradients(self) -> Arrays:
        """Forward and backward."""
        self.backward()
        return [t.grad for t in self.tensors]

    def step(self) -> None:
        """Forward, backward, update."""
        self.backward()
        for t in self.tensors:
            t.data -= RATE * t.grad
        self.rest()

    def rest(self) -> None:
        """Drop the gradients."""
        for t in self.tensors:
            t.null_grad()


class JaxStep(Problem):
    """JAX without jit."""

    def __init__(self) -> None:
        super().__init__()
        self.jax = jax = importlib.import_module("jax")
        jnp = jax.numpy
        self.weights = [jnp.asarray(p) for p in self.parameters]
        self.data = jnp.asarray(self.x), jnp.asarray(self.labels)

        def loss(parameters: Arrays, x: Any, labels: Any) -> Any:
            w1, b1, w2, b2, w3, b3 = parameters
            h1 = jax.nn.relu(x @ w1 + b1)
            h2 = jax.nn.relu(h1 @ w2 + b2)
            z = jax.nn.log_softmax(h2 @ w3 + b3)
            return -jnp.mean(z[jnp.arange(BATCH), labels])

        self.grad = jax.grad(loss)

    def advance(self, weights: Arrays, *data: Any) -> Arrays:
        """The weights after a step."""
        return [p - RATE * g for p, g in zip(weights, self.grad(weights, *data), strict=True)]

    def gradients(self) -> Arrays:
        """Forward and backward."""
        result: Arrays = self.grad(self.weights, *self.data)
        return result

    def step(self) -> None:
        """Forward, backward, update."""
        self.weights = self.jax.block_until_ready(self.advance(self.weights, *self.data))

    def rest(self) -> None:
        """Nothing is kept."""


class JaxJitStep(JaxStep):
    """JAX, the whole step compiled, the old weights given up to it."""

    def __init__(self) -> None:
        super().__init__()
        self.advance = self.jax.jit(self.advance, donate_argnums=0)  # type: ignore[method-assign]


STEPS: dict[str, type[Step]] = {
    "ours": OursStep,
    "numpy": NumpyStep,
    "numpy plain": NumpyPlainStep,
    "numpy buffers": NumpyBuffersStep,
    "torch": TorchStep,
    "autograd": AutogradStep,
    "mygrad": MygradStep,
    "jax": JaxStep,
    "jax jit": JaxJitStep,
}
