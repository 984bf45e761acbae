"""An LSTM learns to write, letter by letter, from the four gospels and Acts in the King James Version.

    python examples/lstm.py [--epochs E] [--seed S] [--out lstm.png] [--smoke]

Learnt here: a recurrent layer is a loop in Python, which `ad.jit` makes one program of; and the state of a layer,
which is passed on from letter to letter when the model writes.
"""

from __future__ import annotations

from typing import Any

from style import needs, options
from texts import Text, bits, draw, report, spell

with needs("examples"):
    import numpy as np

    import autodiff as ad
    from autodiff import nn, optim

EPOCHS = 12
BATCH = 32
LENGTH = 100  # characters in a window
EMBEDDING, HIDDEN = 64, 384
DROPOUT = 0.1
RATE = 3e-3


class Writer(nn.Module):
    """Numbers of letters (N, length) to logits of the next letters (N, length, letters)."""

    def __init__(self, letters: int, hidden: int, rng: np.random.Generator) -> None:
        common: Any = {"dtype": np.float32, "rng": rng}
        self.letter = nn.Embedding(letters, EMBEDDING, **common)
        self.lstm = nn.LSTM(EMBEDDING, hidden, **common)
        self.dropout = nn.Dropout(DROPOUT, rng=rng)
        self.head = nn.Linear(hidden, letters, **common)

    def forward(self, numbers: Any) -> Any:
        """The logits."""
        return self.next(numbers)[0]

    def next(self, numbers: Any, state: Any = None) -> tuple[Any, Any]:
        """The logits, and the state in which the layer is then."""
        y, state = self.lstm(self.letter(numbers), state)
        return self.head(self.dropout(y)), state


def sample(model: Writer, text: Text, start: str, count: int, rng: np.random.Generator) -> str:
    """A text that begins with `start`."""
    model.eval()

    @ad.jit
    def forward(number: Any, h: Any, c: Any) -> Any:
        with ad.no_grad():
            logits, (h, c) = model.next(number, (h, c))
            return logits[0, 0].data, h.data, c.data

    h = c = np.zeros((1, 1, model.lstm.hidden_size), np.float32)

    def step(number: int) -> Any:
        nonlocal h, c
        logits, h, c = forward(np.array([[number]]), h, c)
        return logits

    return spell(text, step, start, count, rng)


def main() -> None:
    """Train, compare with gzip, write, draw."""
    chosen = options(__doc__, "lstm", epochs=EPOCHS)
    text = Text(20_000 if chosen.smoke else None)
    epochs, hidden = (3, 64) if chosen.smoke else (chosen.epochs, HIDDEN)
    rng = np.random.default_rng(chosen.seed)
    model = Writer(len(text.letters), hidden, rng)
    windows = text.windows(LENGTH, BATCH, rng)
    rate = optim.cosine(RATE, epochs * len(windows))
    history = ad.fit(
        model,
        windows,
        nn.cross_entropy,
        optim.Adam(model.parameters(), rate),
        epochs=epochs,
        clip=1.0,
        validation=text.held_out(LENGTH, BATCH),
        metrics={"bits": bits},
    )
    report(text, history, f"LSTM of {sum(p.size for p in model.parameters()):,} parameters")
    written = sample(model, text, "And Jesus said unto ", 60 if chosen.smoke else 1000, rng)
    print(f"\n{written}\n")
    draw(text, history, written, chosen.out, f"LSTM, {hidden} wide")
    if history["loss"][-1] >= history["loss"][0]:
        raise SystemExit("it has not learned: the loss should fall")


if __name__ == "__main__":
    main()
