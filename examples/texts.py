"""What the two language models share: the text, windows of it, gzip to compare with, the picture."""

from __future__ import annotations

import gzip
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from style import BLUE, GREY, RED, figure, needs, write

with needs("examples"):
    import numpy as np

    import autodiff as ad
    from autodiff import nn

__all__ = ["Text", "bits", "draw", "gzip_bits", "report", "spell"]

FILE = Path(__file__).parent / "data" / "gospels.txt"
HELD_OUT = 0.1  # of the text, its end


class Text:
    """The text as numbers of characters, with a tenth held out."""

    def __init__(self, characters: int | None = None) -> None:
        self.text = FILE.read_text()[:characters]
        self.letters = sorted({*self.text})
        self.numbers = {letter: i for i, letter in enumerate(self.letters)}
        numbers = np.array([self.numbers[letter] for letter in self.text])
        end = round(len(numbers) * (1 - HELD_OUT))
        self.train, self.test = numbers[:end], numbers[end:]

    def windows(self, length: int, size: int, rng: np.random.Generator) -> Any:
        """Batches of windows and of the characters that follow each of theirs; other windows in each epoch."""

        def cut(rng: Any, starts: Any) -> Any:
            at = starts[:, None] + rng.integers(length) + np.arange(length + 1)
            window = self.train[at]
            return window[:, :-1], window[:, 1:]

        starts = np.arange(0, len(self.train) - 2 * length, length)
        return ad.batches(starts, size=size, rng=rng, drop_last=True, transform=cut)

    def held_out(self, length: int, size: int) -> Any:
        """The held-out text, window after window: each is read without what comes before it."""
        count = (len(self.test) - 1) // length
        x, y = [self.test[i : i + count * length].reshape(count, length) for i in (0, 1)]
        return ad.batches(x, y, size=size, shuffle=False)


def bits(logits: Any, targets: Any) -> Any:
    """Bits that a character takes, if it is coded by these probabilities."""
    return nn.cross_entropy(logits, targets) / np.log(2)


def gzip_bits(text: str) -> float:
    """Bits that gzip takes for a character, at its best."""
    data = text.encode()
    return 8 * len(gzip.compress(data, 9)) / len(text)


def report(text: Text, history: Any, name: str) -> None:
    """How well it has learned, beside gzip."""
    held_out = text.text[-len(text.test) :]
    best = min(history["bits"])
    print(
        f"{name}: {history['bits'][-1]:.3f} bits a character on the held-out tenth (best epoch {best:.3f}); gzip takes "
        f"{gzip_bits(held_out):.3f} for it, {gzip_bits(text.text):.3f} for the whole text"
    )


def draw(text: Text, history: Any, sample: str, path: str, title: str) -> None:
    """Left the learning curves beside gzip; right a text that the model has written."""
    picture = figure(10, 4.6)
    left, right = picture.subplots(1, 2, width_ratios=[1, 1.15])
    epochs = history["epoch"]
    left.plot(epochs, np.array(history["loss"]) / np.log(2), color=BLUE, label="training")
    left.plot(epochs, history["bits"], color=RED, label="held out")
    level = gzip_bits(text.text)
    left.axhline(level, color=GREY, lw=1.2, ls="--")
    left.annotate(f"gzip, whole text: {level:.2f}", (epochs[-1], level), (0, 4), textcoords="offset points", ha="right")
    left.set(title=title, xlabel="epoch", ylabel="bits a character", ylim=(1, 4))
    left.legend()
    left.grid(axis="y")
    lines = [line for verse in sample.split("\n") for line in textwrap.wrap(verse, 58) or [""]][:22]
    right.text(0, 1, "\n".join(lines), va="top", family="monospace", fontsize=7.5, transform=right.transAxes)
    right.set_title("A text that it has written")
    right.axis("off")
    write(picture, path)


def spell(text: Text, model_step: Callable[[int], Any], start: str, count: int, rng: np.random.Generator) -> str:
    """Go on from `start`, letter by letter; `model_step` takes a letter's number and gives the logits of the next."""
    logits = None
    for letter in start:
        logits = model_step(text.numbers[letter])
    written = start
    for _ in range(count):
        gumbel = rng.gumbel(size=len(text.letters))
        choice = int(np.argmax(logits / 0.8 + gumbel))  # of probability softmax(logits / 0.8)
        written += text.letters[choice]
        logits = model_step(choice)
    return written
