"""A convolutional network reads handwritten digits: 1,797 real ones, 8x8 pixels each, that ship with scikit-learn.

    python examples/cnn.py [--epochs E] [--seeds N] [--seed S] [--folds K] [--out cnn.png] [--smoke]

Learnt here: layers and a training loop as in PyTorch. `ad.batches` augments the digits, shifted by up to a pixel and
with noise on them, so that none is seen twice the same; `ad.fit` trains, compiled, on averaged weights.

A quarter of the digits is held out, the same as in digits.py, and looked at to report, for nothing else. The settings
were chosen by cross-validation within the other three quarters, which `--folds 4` does instead of the training.
"""

from __future__ import annotations

from typing import Any

from style import BLUE, GREY, RED, figure, needs, options, write

with needs("examples"):
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold, train_test_split
    from threadpoolctl import threadpool_limits

    import autodiff as ad
    from autodiff import nn, optim

EPOCHS = 40
BATCH = 32
RATE = 3e-3  # at the top of one cycle
NOISE = 0.1  # added to the pixels, which lie in 0..1

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
    options: Any = {"dtype": np.float32, "rng": rng}

    def block(channels: int, out: int) -> list[nn.Module]:
        return [
            nn.Conv2d(channels, out, 3, padding="same", bias=False, **options),
            nn.BatchNorm(out, dtype=np.float32),
            nn.ReLU(),
        ]

    return nn.Sequential(
        *block(1, 16),
        *block(16, 32),
        nn.MaxPool(2),
        *block(32, 64),
        nn.MaxPool(2),
        nn.Flatten(),
        nn.Dropout(0.3, rng=rng),
        nn.Linear(256, 10, **options),
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


def train(data: Digits, held_out: Digits, seed: int, epochs: int) -> tuple[nn.Module, ad.training.History]:
    """A new model, trained, with the averages of its weights. The seed decides all that is random."""
    rng = np.random.default_rng(seed)
    model = make_model(rng)
    batches = ad.batches(*data, size=BATCH, rng=rng, transform=augment)
    schedule = optim.one_cycle(RATE, epochs * len(batches))
    history = ad.fit(
        model,
        batches,
        nn.cross_entropy,
        optim.AdamW(model.parameters(), lr=schedule),
        epochs=epochs,
        validation=held_out,
        metrics={"accuracy": accuracy},
    )
    return model.eval(), history


def cross_validate(data: Digits, seed: int, epochs: int, folds: int) -> list[float]:
    """The accuracy on each part of the data after a training on the other ones."""
    x, y = data
    splits = StratifiedKFold(folds, shuffle=True, random_state=0).split(x, y)
    return [train((x[i], y[i]), (x[j], y[j]), seed, epochs)[1]["accuracy"][-1] for i, j in splits]
