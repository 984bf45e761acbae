"""A small GPT learns to write, letter by letter, from the four gospels and Acts in the King James Version.

    python examples/gpt.py [--epochs E] [--seed S] [--out gpt.png] [--smoke]

Learnt here: a transformer is a few lines over `nn.TransformerBlock`; `ad.fit` compiles its training step, clips its
gradients, and keeps a checkpoint if asked. After seven minutes on two cores the held-out tenth takes fewer bits than
with gzip.
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
BATCH = 16
LENGTH = 128  # characters that it looks back on
WIDTH, HEADS, BLOCKS = 192, 6, 4
DROPOUT = 0.1
RATE = 1e-3


class GPT(nn.Module):
    """Numbers of letters (N, length) to logits of the next letters (N, length, letters)."""

    def __init__(self, letters: int, blocks: int, rng: np.random.Generator) -> None:
        common: Any = {"dtype": np.float32, "rng": rng}
        self.letter = nn.Embedding(letters, WIDTH, **common)
        self.place = nn.Embedding(LENGTH, WIDTH, **common)
        self.dropout = nn.Dropout(DROPOUT, rng=rng)
        self.blocks = nn.Sequential(
            *[nn.TransformerBlock(WIDTH, HEADS, dropout=DROPOUT, causal=True, **common) for _ in range(blocks)]
        )
        self.norm = nn.LayerNorm(WIDTH, dtype=np.float32)
        self.head = nn.Linear(WIDTH, letters, **common)

    def forward(self, numbers: Any) -> Any:
        """The logits."""
        x = self.letter(numbers) + self.place.weight[: numbers.shape[1]]
        return self.head(self.norm(self.blocks(self.dropout(x))))


def sample(model: GPT, text: Text, start: str, count: int, rng: np.random.Generator) -> str:
    """A text that begins with `start`."""
    model.eval()
    read: list[int] = []

    @ad.jit
    def logits_at(numbers: Any, place: Any) -> Any:
        with ad.no_grad():
            return model(numbers)[0, place].data

    def step(number: int) -> Any:
        read.append(number)
        seen = read[-LENGTH:]
        window = np.zeros((1, LENGTH), int)  # always of one length, so that one program does; later places are not seen
        window[0, : len(seen)] = seen
        return logits_at(window, np.array(len(seen) - 1))

    return spell(text, step, start, count, rng)


def main() -> None:
    """Train, compare with gzip, write, draw."""
    chosen = options(__doc__, "gpt", epochs=EPOCHS)
    text = Text(20_000 if chosen.smoke else None)
    epochs, blocks = (2, 1) if chosen.smoke else (chosen.epochs, BLOCKS)
    rng = np.random.default_rng(chosen.seed)
    model = GPT(len(text.letters), blocks, rng)
    windows = text.windows(LENGTH, BATCH, rng)
    steps = epochs * len(windows)
    rate = optim.cosine(RATE, steps, warmup=min(100, steps // 10))
    history = ad.fit(
        model,
        windows,
        nn.cross_entropy,
        optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99), weight_decay=0.1),
        epochs=epochs,
        clip=1.0,
        validation=text.held_out(LENGTH, BATCH),
        metrics={"bits": bits},
    )
    report(text, history, f"GPT of {sum(p.size for p in model.parameters()):,} parameters")
    written = sample(model, text, "And Jesus said unto ", 60 if chosen.smoke else 1000, rng)
    print(f"\n{written}\n")
    draw(text, history, written, chosen.out, f"GPT, {blocks} blocks")
    if history["loss"][-1] >= history["loss"][0]:
        raise SystemExit("it has not learned: the loss should fall")


if __name__ == "__main__":
    main()
