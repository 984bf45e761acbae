"""A convolutional network reads handwritten digits: 1,797 real ones, 8x8 pixels each, that ship with scikit-learn.

    python examples/cnn.py [--epochs E] [--seeds N] [--seed S] [--folds K] [--out cnn.png] [--smoke]

Learnt here: layers and a training loop as in PyTorch. `ad.batches` shifts the digits by up to a pixel and adds noise,
so that none is seen twice the same; `ad.fit` compiles the training step and shows how it goes.

A quarter of the digits is held out, the same as in digits.py, and looked at to report, for nothing else. The settings
were chosen by cross-validation within the other three quarters, which `--folds 4` does instead of the training.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from style import BLUE, GREY, RED, figure, needs, options, write

with needs("examples"):
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold, train_test_split
    from threadpoolctl import threadpool_limits

    import autodiff as ad
    from autodiff import nn, optim
    from autodiff.training import History

EPOCHS = 40
BATCH = 32
RATE = 1e-2  # at the top of one cycle
NOISE = 0.05  # added to the pixels, which lie in 0..1
SMOOTHING = 0.05  # of each label goes to all digits alike, so that the model does not get too sure

Images = Any  # float32 of shape (N, 1, 8, 8)
Digits = tuple[Images, Any]  # and the digits that they show


def load() -> tuple[Digits, Digits]:
    """The digits for training, and a quarter of each class that is held out."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    return (x_train, y_train), (x_test, y_test)


def make_model(rng: np.random.Generator) -> nn.Sequential:
    """Three convolutions, and a layer that reads off the digit."""
    common: Any = {"dtype": np.float32, "rng": rng}

    def block(channels: int, out: int) -> list[nn.Module]:
        return [
            nn.Conv2d(channels, out, 3, padding="same", bias=False, **common),
            nn.BatchNorm(out, dtype=np.float32),
            nn.ReLU(),
        ]

    return nn.Sequential(
        *block(1, 16),
        *block(16, 32),
        nn.MaxPool2d(2),
        *block(32, 64),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.1, rng=rng),
        nn.Linear(256, 10, **common),
    )


def augment(rng: np.random.Generator, x: Images, y: Any) -> Digits:
    """A batch, each of its digits shifted by up to a pixel down or up, left or right, and with noise."""
    rows, columns = rng.integers(3, size=(2, len(x), 1, 1)) + np.arange(8)
    padded = np.pad(x[:, 0], ((0, 0), (1, 1), (1, 1)))
    shifted = padded[np.arange(len(x))[:, None, None], rows.transpose(0, 2, 1), columns]
    return shifted[:, None] + NOISE * rng.standard_normal(x.shape, dtype=np.float32), y


def accuracy(logits: Any, y: Any) -> Any:
    """The part of a batch that is read right."""
    return (logits.argmax(axis=-1) == y).mean()


def train(data: Digits, held_out: Digits, seed: int, epochs: int) -> tuple[nn.Module, History]:
    """A new model, trained, and what was measured. The seed decides all that is random."""
    rng = np.random.default_rng(seed)
    model = make_model(rng)
    batches = ad.batches(*data, size=BATCH, rng=rng, transform=augment)
    schedule = optim.one_cycle(RATE, epochs * len(batches))
    history = ad.fit(
        model,
        batches,
        partial(nn.cross_entropy, label_smoothing=SMOOTHING),
        optim.AdamW(model.parameters(), lr=schedule),
        epochs=epochs,
        validation=held_out,
        metrics={"accuracy": accuracy},
    )
    return model.eval(), history


def cross_validate(data: Digits, seed: int, epochs: int, folds: int) -> float:
    """The part of the data that is read right after trainings on the other parts."""
    x, y = data
    splits = StratifiedKFold(folds, shuffle=True, random_state=0).split(x, y)
    return sum(train((x[i], y[i]), (x[j], y[j]), seed, epochs)[1]["accuracy"][-1] * len(j) for i, j in splits) / len(y)


def draw(model: nn.Module, held_out: Digits, histories: list[History], path: str) -> None:
    """Left the accuracy of each seed; right the digits with the largest loss, and how sure the model is."""
    x, y = held_out
    with ad.no_grad():
        chances = ad.softmax(model(x)).data
    read = chances.argmax(axis=1)
    hardest = np.argsort(chances[np.arange(len(y)), y])[:12]
    picture = figure(10, 4.4)
    left, right = picture.subfigures(1, 2, width_ratios=[1, 1.1], wspace=0.04)
    curve = left.subplots()
    for history in histories:
        curve.plot(history["epoch"], 100 * np.array(history["accuracy"]), color=BLUE, alpha=0.6, linewidth=1.2)
    curve.set(title="Accuracy on held-out digits, %", xlabel="epoch", ylim=(90, 100.3))
    curve.grid(axis="y")
    title = f"The twelve hardest of {len(y)}, {(read != y).sum()} misread"
    right.suptitle(title, x=0.02, ha="left", fontsize=12)
    for ax, i in zip(right.subplots(3, 4).flat, hardest, strict=True):
        colour = RED if read[i] != y[i] else GREY
        ax.imshow(x[i, 0], cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.set_xlabel(f"{y[i]} read as {read[i]}, {chances[i].max():.0%}", color=colour, fontsize=9)
        ax.spines[:].set(visible=True, color=colour)
    write(picture, path)


def main() -> None:
    """Train with some seeds, report, draw the median one."""
    chosen = options(__doc__, "cnn", epochs=EPOCHS, seeds=1, folds=1)
    epochs = 3 if chosen.smoke else chosen.epochs
    data, held_out = load()
    seeds = range(chosen.seed, chosen.seed + chosen.seeds)
    with threadpool_limits(1):  # on matrices this small, a second thread costs more time than it saves
        if chosen.folds > 1:
            for seed in seeds:
                print(f"seed {seed}: {cross_validate(data, seed, epochs, chosen.folds):.2%} right in cross-validation")
            return
        runs = [train(data, held_out, seed, epochs) for seed in seeds]
    for seed, (_, history) in zip(seeds, runs, strict=True):
        seconds = sum(history["seconds"])
        print(f"seed {seed}: {history['accuracy'][-1]:.2%} of the held-out digits right, {seconds:.1f} s of training")
    model, history = sorted(runs, key=lambda run: run[1]["accuracy"][-1])[(len(runs) - 1) // 2]
    print(f"median: {history['accuracy'][-1]:.2%}")
    draw(model, held_out, [history for _, history in runs], chosen.out)
    if chosen.smoke and history["accuracy"][-1] < 0.8:
        raise SystemExit("it has not learned: three epochs should reach 80 % and more")


if __name__ == "__main__":
    main()
