"""A variational autoencoder learns to draw digits, from the 1,797 handwritten ones that ship with scikit-learn.

    python examples/vae.py [--epochs E] [--seed S] [--out vae.png] [--smoke]

Learnt here: a module of one's own, with two networks and a random generator, and a loss of one's own, in NumPy's
functions; `ad.fit` takes both as they are, and draws new noise in each compiled step.

Each pixel of these digits counts how many of 16 finer pixels were black. So the decoder gives the probability of
black, and the likelihood is binomial. What is reported is a bound, in bits for each pixel, of held-out digits; the
settings were chosen on a part of the digits for training.
"""

from __future__ import annotations

import math
from typing import Any

from style import BLUE, RED, digit_grid, figure, needs, options, write

with needs("examples"):
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from threadpoolctl import threadpool_limits

    import autodiff as ad
    from autodiff import nn, optim
    from autodiff.training import History

EPOCHS = 150
BATCH = 64
RATE = 5e-3
LATENT = 16  # numbers that are left of the 64
HIDDEN = 256


class VAE(nn.Module):
    """Images of 64 pixels to the mean and the log variance of a code, and a code drawn from it back to images."""

    def __init__(self, rng: np.random.Generator) -> None:
        common: Any = {"dtype": np.float32, "rng": rng}
        self.encoder = nn.Sequential(
            nn.Linear(64, HIDDEN, **common), nn.SiLU(), nn.Linear(HIDDEN, 2 * LATENT, **common)
        )
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN, **common), nn.SiLU(), nn.Linear(HIDDEN, 64, **common))
        self.rng = rng
        self.ways = np.log([math.comb(16, k) for k in range(17)], dtype=np.float32)  # for k of 16 pixels to be black

    def encode(self, x: Any) -> tuple[Any, Any]:
        """Mean and log variance of the codes of images."""
        code = self.encoder(x)
        return code[:, :LATENT], code[:, LATENT:]

    def forward(self, x: Any) -> tuple[Any, Any, Any]:
        """Logits of the pixels, and what the codes were drawn from."""
        mean, log_variance = self.encode(x)
        noise = self.rng.standard_normal(mean.shape, dtype=np.float32)
        return self.decoder(mean + np.exp(log_variance / 2) * noise), mean, log_variance

    def bound(self, outputs: tuple[Any, Any, Any], blacks: np.ndarray) -> Any:
        """Minus the evidence lower bound of the counts of black pixels, in bits for each pixel."""
        logits, mean, log_variance = outputs
        pixels = 16 * np.logaddexp(0, logits) - blacks * logits - self.ways[blacks]
        divergence = (mean**2 + np.exp(log_variance) - log_variance - 1) / 2
        return (pixels.sum() + divergence.sum()) / (blacks.size * np.log(2))

    def draw(self, codes: Any) -> np.ndarray:
        """The images that belong to codes."""
        with ad.no_grad():
            return np.asarray(ad.sigmoid(self.decoder(codes)).data)


def draw(model: VAE, x: np.ndarray, history: History, rng: np.random.Generator, path: str) -> None:
    """Digits that the model has drawn; held-out ones and what is left of them; walks between them; the bound."""
    with ad.no_grad():
        codes = model.encode(x)[0].data
    picture = figure(10, 6.6)
    axes = picture.subplots(2, 2, height_ratios=[3, 2])
    digit_grid(axes[0, 0], model.draw(rng.standard_normal((96, LATENT), dtype=np.float32)), 12)
    axes[0, 0].set_title("Drawn from noise")
    part = np.linspace(0, 1, 12, dtype=np.float32)[:, None]
    walks = [model.draw((1 - part) * codes[i] + part * codes[i + 1]) for i in range(0, 16, 2)]
    digit_grid(axes[0, 1], np.stack(walks), 12)
    axes[0, 1].set_title("From one held-out digit to another")
    rows = [x[:12], model.draw(codes[:12]), x[12:24], model.draw(codes[12:24])]
    digit_grid(axes[1, 0], np.stack(rows), 12)
    axes[1, 0].set_title(f"Held-out digits, and below them what {LATENT} numbers keep")
    curve = axes[1, 1]
    for name, label, colour in (("loss", "training", BLUE), ("validation loss", "held out", RED)):
        curve.plot(history["epoch"], history[name], color=colour, label=label)
    curve.set(title="Bound, bits a pixel", xlabel="epoch", ylim=(1.8, 4))
    curve.legend()
    curve.grid(axis="y")
    write(picture, path)


def main() -> None:
    """Train, say how well, draw."""
    chosen = options(__doc__, "vae", epochs=EPOCHS)
    epochs = 20 if chosen.smoke else chosen.epochs
    images, digits = load_digits(return_X_y=True)
    x, blacks = (images / 16).astype(np.float32), images.astype(int)
    parts = train_test_split(x, blacks, test_size=0.25, stratify=digits, random_state=0)
    x_train, x_test, blacks_train, blacks_test = parts

    rng = np.random.default_rng(chosen.seed)
    model = VAE(rng)
    batches = ad.batches(x_train, blacks_train, size=BATCH, rng=rng)
    with threadpool_limits(1):  # on matrices this small, a second thread costs more time than it saves
        history = ad.fit(
            model,
            batches,
            model.bound,
            optim.AdamW(model.parameters(), lr=optim.cosine(RATE, epochs * len(batches))),
            epochs=epochs,
            validation=(x_test, blacks_test),
        )
    frequencies = np.log2(np.bincount(blacks_train.ravel(), minlength=17) / blacks_train.size)
    pixels_alone = -float(frequencies[blacks_test].mean())
    last = history["validation loss"][-1]
    print(f"held-out digits take {last:.3f} bits a pixel or less; {pixels_alone:.3f} if each pixel is coded on its own")
    draw(model, x_test, history, rng, chosen.out)
    if chosen.smoke and last > pixels_alone:
        raise SystemExit("it has not learned: pixels should tell something of each other")


if __name__ == "__main__":
    main()
