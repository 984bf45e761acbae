"""Two half moons, told apart by a network of single numbers, as in micrograd: each weight is a Value of its own.

    python examples/moons.py [--epochs E] [--seed S] [--out moons.png] [--smoke]

Learnt here: what backpropagation is, without an array in sight; a loop over weights makes a neuron, a list of neurons a
layer. And what `ad.jit` is for: the training is run twice, the second time with the same function recorded once and
compiled. Both take the same steps. The picture is drawn with arrays in the place of the numbers: the code is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from style import BLUE, GREY, RED, figure, needs, options, write

with needs("examples"):
    import numpy as np
    from sklearn.datasets import make_moons
    from tqdm import tqdm

    import autodiff as ad
    from autodiff import Value, nn, optim

EPOCHS = 100
POINTS = 100
WIDTH = 16
RATE = 1.0  # at the start; it goes down to 0 in a straight line
DECAY = 1e-4


class Neuron(nn.Module):
    """A weighted sum of its inputs."""

    def __init__(self, inputs: int, rng: np.random.Generator) -> None:
        self.weights = [Value(w) for w in rng.normal(scale=np.sqrt(2 / inputs), size=inputs)]
        self.bias = Value(0.0)

    def forward(self, inputs: list[Any]) -> Any:
        total = self.bias
        for weight, x in zip(self.weights, inputs, strict=True):
            total = total + weight * x
        return total


class Network(nn.Module):
    """Two layers of neurons that are cut off below 0, and one neuron that gives the score."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.first = [Neuron(2, rng) for _ in range(WIDTH)]
        self.second = [Neuron(WIDTH, rng) for _ in range(WIDTH)]
        self.score = Neuron(WIDTH, rng)

    def forward(self, x1: Any, x2: Any) -> Any:
        a = [ad.relu(neuron([x1, x2])) for neuron in self.first]
        a = [ad.relu(neuron(a)) for neuron in self.second]
        return self.score(a)


def train(
    x: np.ndarray, labels: np.ndarray, epochs: int, seed: int, wrapper: Callable[[Any], Any], name: str
) -> tuple[Network, list[float], list[float]]:
    """A trained network, the mean loss of each epoch, and its seconds. Labels are -1 and 1."""
    network = Network(np.random.default_rng(seed))
    optimizer = optim.SGD(network.parameters(), lr=optim.linear(RATE, epochs), weight_decay=DECAY)

    @wrapper
    def learn(x1: float, x2: float, label: float) -> Any:
        """The loss of one point. Its gradient is added to those of the other points."""
        loss = ad.relu(1 - label * network(x1, x2)) / POINTS
        loss.backward()
        return loss

    losses, seconds = [], []
    bar = tqdm(range(epochs), desc=name, unit="epoch")
    for _ in bar:
        start = time.perf_counter()
        optimizer.zero_grad()
        losses.append(sum(float(learn(*point)) for point in np.column_stack([x, labels]).tolist()))
        optimizer.step()
        seconds.append(time.perf_counter() - start)
        bar.set_postfix_str(f"loss {losses[-1]:.4f}")
    return network, losses, seconds


def draw(network: Network, x: np.ndarray, labels: np.ndarray, losses: list[float], path: str) -> None:
    """Left the score in the plane, with the boundary between the moons; right the loss."""
    low, high = x.min(axis=0) - 0.5, x.max(axis=0) + 0.5
    x1, x2 = np.meshgrid(np.linspace(low[0], high[0], 300), np.linspace(low[1], high[1], 300))
    with ad.no_grad():
        scores = network(x1, x2).data  # arrays, where there were numbers
    picture = figure(10, 3.6)
    plane, curve = picture.subplots(1, 2, width_ratios=[5, 4])
    levels = np.linspace(-4, 4, 17)
    shades = plane.contourf(x1, x2, np.clip(scores, -4, 4), levels, cmap="RdBu", alpha=0.6)
    plane.contour(x1, x2, scores, [0], colors="black", linewidths=2)
    plane.contour(x1, x2, scores, [-1, 1], colors=GREY, linewidths=1, linestyles="dashed")
    for label, colour, marker in ((-1, RED, "o"), (1, BLUE, "s")):
        plane.scatter(*x[labels == label].T, c=colour, marker=marker, s=28, edgecolors="white", linewidths=0.7)
    plane.set(title="Score, its boundary, and margins of ±1", aspect="equal", xticks=[], yticks=[])
    picture.colorbar(shades, ax=plane, ticks=[-4, -2, 0, 2, 4], shrink=0.8)
    curve.plot(np.arange(1, len(losses) + 1), losses, color=BLUE)
    curve.set(title="Loss", xlabel="epoch", ylim=(0, None))
    curve.grid(axis="y")
    write(picture, path)


def main() -> None:
    """Train without and with the compiler, compare, draw."""
    chosen = options(__doc__, "moons", epochs=EPOCHS)
    epochs = 5 if chosen.smoke else chosen.epochs
    x, y = make_moons(POINTS, noise=0.1, random_state=chosen.seed)
    labels = 2.0 * y - 1
    network, losses, plain = train(x, labels, epochs, chosen.seed, lambda f: f, "plain")
    _, again, compiled = train(x, labels, epochs, chosen.seed, ad.jit, "jit")
    with ad.no_grad():
        right = float(np.mean((network(*x.T).data > 0) == (labels > 0)))
    print(f"{len(network.parameters())} weights; {right:.0%} of the points on their side, loss {losses[-1]:.4f}")
    print(
        f"an epoch takes {np.median(plain):.3f} s; compiled {np.median(compiled):.3f} s, the first {compiled[0]:.1f} s"
    )
    print(f"largest difference of the losses: {np.abs(np.subtract(losses, again)).max():.1e}")
    draw(network, x, labels, losses, chosen.out)
    if chosen.smoke and not losses[-1] < 0.7 * losses[0]:
        raise SystemExit("it has not learned: the loss should have fallen")


if __name__ == "__main__":
    main()
