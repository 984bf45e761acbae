"""Train a small network on handwritten digits: 1,797 real ones, 8x8 pixels each, that ship with scikit-learn.

    python examples/digits.py [--epochs E] [--seeds N] [--out demo.png] [--smoke]

A quarter of the digits is held out. It is looked at to report how the training goes, and for nothing else:
every setting below was chosen by cross-validation within the other three quarters.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

from style import BLUE, GREY, RED, needs

with needs("demo"):
    import matplotlib
    import numpy as np

    matplotlib.use("Agg")  # draw into files: no screen is needed
    from matplotlib import pyplot as plt
    from matplotlib.figure import SubFigure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from threadpoolctl import threadpool_limits
    from tqdm import tqdm

    import autodiff as ad
    from autodiff import nn, optim

EPOCHS = 40
BATCH = 32
RATE = 3e-3  # at the start; it goes down to 0 along a cosine
NOISE = 0.2  # added to the pixels in training, which lie in 0..1: no digit is seen twice the same


@dataclass
class Data:
    """Images as rows of 64 pixels, and the digits that they show."""

    x_train: np.ndarray
    x_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray


@dataclass
class Run:
    """One training: the model, and what the progress bar showed."""

    model: nn.Module
    losses: list[float]
    accuracies: list[float]
    seconds: float
    images: int


def load() -> Data:
    """The digits, with a quarter of each class held out."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    return Data(*train_test_split(x, y, test_size=0.25, stratify=y, random_state=0))


def make_model(rng: np.random.Generator) -> nn.Sequential:
    """A multilayer perceptron."""
    return nn.Sequential(
        nn.Linear(64, 256, dtype=np.float32, rng=rng),
        nn.ReLU(),
        nn.Linear(256, 128, dtype=np.float32, rng=rng),
        nn.ReLU(),
        nn.Linear(128, 10, dtype=np.float32, rng=rng),
    )


def predict(model: nn.Module, x: np.ndarray) -> np.ndarray:
    """The logits, without recording a graph."""
    with ad.no_grad():
        return model(x).data


def train(data: Data, seed: int, epochs: int) -> Run:
    """Train a new model. The seed decides its first weights, the order of the digits, and the noise."""
    rng = np.random.default_rng(seed)
    model = make_model(rng)
    optimizer = optim.AdamW(model.parameters(), lr=RATE)
    run = Run(model, [], [], 0.0, 0)
    start = time.perf_counter()

    bar = tqdm(range(epochs), desc=f"seed {seed}", unit="epoch")
    for _ in bar:
        losses = []
        order = rng.permutation(len(data.x_train))
        for batch in np.split(order, range(BATCH, len(order), BATCH)):
            x = data.x_train[batch]
            x = x + NOISE * rng.standard_normal(x.shape, dtype=np.float32)

            loss = nn.cross_entropy(model(x), data.y_train[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

            losses.append(loss.item())
            run.images += len(batch)
            optimizer.lr = RATE * (1 + np.cos(np.pi * run.images / (epochs * len(order)))) / 2

        run.losses.append(float(np.mean(losses)))
        run.accuracies.append(float(np.mean(predict(model, data.x_test).argmax(axis=1) == data.y_test)))
        bar.set_postfix_str(f"loss {run.losses[-1]:.4f}, held-out accuracy {run.accuracies[-1]:.1%}")

    run.seconds = time.perf_counter() - start
    return run


# -- the picture

STYLE = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def draw(run: Run, data: Data, path: str) -> None:
    """Left the learning curve; right twelve held-out digits as they come, and the four with the largest loss."""
    logits = predict(run.model, data.x_test)
    pairs = zip(np.split(logits, len(logits)), np.split(data.y_test, len(logits)), strict=True)
    hardest_first = np.argsort([-nn.cross_entropy(*pair) for pair in pairs])
    hardest, others = hardest_first[:4], np.sort(hardest_first[4:])[:12]

    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(10, 5), layout="constrained")
        curves, digits = figure.subfigures(1, 2, width_ratios=[1, 1], wspace=0.06)
        upper, lower = digits.subfigures(2, 1, height_ratios=[3, 1.11], hspace=0.02)
        draw_curves(curves, run)
        draw_digits(upper, others, 3, data, logits, "Held-out digits, and what they are taken for")
        draw_digits(lower, hardest, 1, data, logits, f"The four hardest of {len(logits)}")
        figure.savefig(path, dpi=150)
        plt.close(figure)


def draw_curves(figure: SubFigure, run: Run) -> None:
    """Training loss above, held-out accuracy below."""
    above, below = figure.subplots(2, 1, sharex=True)
    epochs = np.arange(1, len(run.losses) + 1)
    percent = 100 * np.array(run.accuracies)
    above.plot(epochs, run.losses, color=BLUE, linewidth=2)
    above.set_yscale("log")
    above.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    above.yaxis.set_major_formatter("{x:g}")
    above.yaxis.set_minor_locator(NullLocator())
    above.set_title("Training loss")
    below.plot(epochs, percent, color=BLUE, linewidth=2)
    below.plot(epochs[-1:], percent[-1:], "o", color=BLUE, clip_on=False)
    below.annotate(f"{percent[-1]:.1f} %", (epochs[-1], percent[-1]), (0, -20), textcoords="offset points", ha="right")
    below.set_title("Accuracy on held-out digits, %")
    below.set_xlabel("epoch", color=GREY)
    below.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    for axes in (above, below):
        axes.grid(axis="y", color="#e6e6e6")
        axes.margins(x=0.02)


def draw_digits(figure: SubFigure, which: np.ndarray, rows: int, data: Data, logits: np.ndarray, title: str) -> None:
    """Some digits with the model's predictions, the mistakes framed and in words."""
    all_axes = figure.subplots(rows, 4).flat
    for axes, i in zip(all_axes, which, strict=True):
        predicted, truth = logits[i].argmax(), data.y_test[i]
        wrong = predicted != truth
        axes.imshow(data.x_test[i].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        if wrong:
            axes.set_xlabel(f"✗ {truth} read as {predicted}", color=RED, fontsize=10.5)
        else:
            axes.set_xlabel(predicted)
        for spine in axes.spines.values():
            spine.set(visible=True, color=RED if wrong else "#cccccc", linewidth=2.5 if wrong else 1)
    figure.suptitle(title, x=0.02, ha="left", fontsize=STYLE["axes.titlesize"])


def main() -> None:
    """Train, print a summary, write the picture."""
    parser = argparse.ArgumentParser(description="Train a small network on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"passes over the digits (default {EPOCHS})")
    parser.add_argument("--seeds", type=int, default=1, help="how many trainings (default 1)")
    parser.add_argument("--out", default="demo.png", help="the picture's file (default demo.png)")
    parser.add_argument("--smoke", action="store_true", help="two epochs; fails if nothing is learned")
    options = parser.parse_args()

    epochs = 2 if options.smoke else options.epochs
    if epochs < 1 or options.seeds < 1:
        parser.error("--epochs and --seeds have to be at least 1")

    data = load()
    with threadpool_limits(1):  # on matrices this small, a second thread costs more time than it saves
        runs = [train(data, seed, epochs) for seed in range(options.seeds)]
    for seed, run in enumerate(runs):
        print(f"seed {seed}: {summary(run)}")
    runs.sort(key=lambda run: run.accuracies[-1])
    median = runs[(len(runs) - 1) // 2]
    if len(runs) > 1:
        print(f"median: {summary(median)}")
    draw(median, data, options.out)
    print(f"the picture is in {options.out}")
    if options.smoke and median.accuracies[-1] < 0.8:
        raise SystemExit("it has not learned: two epochs should reach 80 % and more")


def summary(run: Run) -> str:
    """One line for the terminal."""
    speed = run.images / run.seconds
    return (
        f"{run.accuracies[-1]:.1%} of the held-out digits right, {run.seconds:.1f} s of training, {speed:,.0f} images/s"
    )


if __name__ == "__main__":
    main()
