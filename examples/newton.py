"""Logistic regression by Newton's method: 569 tumours, 30 measurements of each, that ship with scikit-learn.

    python examples/newton.py [--seed S] [--out newton.png] [--smoke]

Learnt here: `ad.hessian` of a loss as it is written in NumPy gives a method that converges in a few steps, and its
inverse says how well each coefficient is known. Gradient descent on the same loss is shown beside it, and scikit-learn
has to find the same coefficients. A quarter of the tumours is held out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from style import BLUE, GREY, ORANGE, RED, figure, needs, options, write

with needs("examples"):
    import numpy as np
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler
    from tqdm import tqdm

    import autodiff as ad

RIDGE = 1.0  # a prior: coefficients of about 1
DESCENT = 300  # steps of gradient descent, for comparison

Loss = Callable[[np.ndarray], Any]


def make_loss(x: np.ndarray, y: np.ndarray) -> Loss:
    """Minus the log of the posterior of the coefficients, of which the first one is the intercept. y is 0 or 1."""

    def loss(w: np.ndarray) -> Any:
        score = w[0] + x @ w[1:]
        return (np.logaddexp(0, score) - y * score).sum() + RIDGE / 2 * (w[1:] ** 2).sum()

    return loss


def newton(loss: Loss, w: np.ndarray, tolerance: float = 1e-9) -> tuple[np.ndarray, list[float]]:
    """The minimum, and the norm of the gradient at each step on the way there."""
    gradient, hessian = ad.jit(ad.grad(loss)), ad.jit(ad.hessian(loss))
    norms: list[float] = []
    with tqdm(desc="Newton", unit="step") as bar:
        while True:
            g = gradient(w)
            norms.append(float(np.linalg.norm(g)))
            bar.set_postfix_str(f"gradient {norms[-1]:.1e}")
            if norms[-1] < tolerance:
                return w, norms
            step = np.linalg.solve(hessian(w), g)
            length = 1.0
            while length > 1e-4 and loss(w - length * step) > loss(w):  # far from the minimum a step may be too long
                length /= 2
            w = w - length * step
            bar.update()


def descend(loss: Loss, w: np.ndarray, steps: int) -> list[float]:
    """The norms of the gradient along gradient descent, with the longest step that is safe at the start."""
    gradient = ad.jit(ad.grad(loss))
    rate = 1 / np.linalg.eigvalsh(ad.hessian(loss)(w))[-1]  # the curvature is largest where all scores are 0
    norms = []
    for _ in tqdm(range(steps), desc="gradient descent", unit="step"):
        g = gradient(w)
        norms.append(float(np.linalg.norm(g)))
        w = w - rate * g
    return norms


def draw(
    names: list[str], w: np.ndarray, errors: np.ndarray, theirs: np.ndarray, norms: dict[str, list[float]], path: str
) -> None:
    """Left the gradient's way to 0; right the twelve largest coefficients with their standard errors."""
    picture = figure(10.5, 4.4)
    left, right = picture.subplots(1, 2, width_ratios=[2, 3])
    for (name, values), colour in zip(norms.items(), (BLUE, RED), strict=True):
        left.loglog(np.arange(1, len(values) + 1), values, color=colour, label=name, marker="o", markersize=3)
    left.set(title="Norm of the gradient", xlabel="evaluation of the gradient")
    left.legend(loc="lower right")
    left.grid(axis="y")
    largest = np.argsort(np.abs(w))[-12:]
    rows = np.arange(len(largest))
    label = "Newton, ± standard error"
    right.errorbar(w[largest], rows, xerr=errors[largest], fmt="o", color=BLUE, elinewidth=1.5, label=label)
    right.plot(theirs[largest], rows, "x", color=ORANGE, markersize=9, markeredgewidth=2, label="scikit-learn")
    right.axvline(0, color=GREY, linewidth=1)
    right.set_yticks(rows, [names[i] for i in largest])
    right.set(title="Coefficients of standardised measurements", xlabel="← malignant      benign →")
    right.legend(loc="upper right")
    write(picture, path)


def main() -> None:
    """Fit, compare, draw."""
    chosen = options(__doc__, "newton")
    data = load_breast_cancer()
    x_train, x_test, y_train, y_test = train_test_split(
        data.data, data.target, test_size=0.25, stratify=data.target, random_state=chosen.seed
    )
    scaler = StandardScaler().fit(x_train)
    x_train, x_test = scaler.transform(x_train), scaler.transform(x_test)

    loss = make_loss(x_train, y_train)
    start = np.zeros(1 + x_train.shape[1])
    w, norms = newton(loss, start)
    slow = descend(loss, start, 20 if chosen.smoke else DESCENT)
    errors = np.sqrt(np.diag(np.linalg.inv(ad.hessian(loss)(w))))  # of a normal distribution around the minimum

    theirs = LogisticRegression(C=1 / RIDGE, tol=1e-10, max_iter=10_000).fit(x_train, y_train)
    difference = float(np.abs(w[1:] - theirs.coef_[0]).max())
    right = float(np.mean((w[0] + x_test @ w[1:] > 0) == y_test))
    print(f"Newton: {len(norms) - 1} steps to a gradient of {norms[-1]:.1e}; descent: {slow[-1]:.1e} after {len(slow)}")
    print(f"largest difference to scikit-learn's coefficients: {difference:.1e}")
    print(f"{right:.1%} of {len(y_test)} held-out tumours right")
    names = [str(name) for name in data.feature_names]
    draw(names, w[1:], errors[1:], theirs.coef_[0], {"Newton": norms, "gradient descent": slow}, chosen.out)
    if difference > 1e-4:
        raise SystemExit("Newton and scikit-learn should find the same coefficients")


if __name__ == "__main__":
    main()
