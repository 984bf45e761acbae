"""Lynxes and hares: a simulation in plain NumPy, fitted to the pelts that Hudson's Bay Company bought in 1900-1920.

    python examples/predator_prey.py [--refits N] [--seed S] [--out predator_prey.png] [--smoke]

Learnt here: a loop that steps through time and writes into an array needs no change to be differentiated. SciPy's
`least_squares` fits its rates and its start with the Jacobian that `ad.jacobian` gives it. `ad.jit` takes seconds to
compile the whole simulation, forward and backward, and pays where it is run thousands of times: here the model is
fitted again to many series with the noise that the first fit has left, which says how well anything is known.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from style import BLUE, GREY, RED, figure, needs, options, write

with needs("examples"):
    import numpy as np
    from scipy.optimize import least_squares
    from tqdm import tqdm

    import autodiff as ad

# Thousands of pelts a year from 1900 on, after C. G. Hewitt, The Conservation of the Wild Life of Canada (1921), as in
# P. Howard's "Modeling Basics" (2009).
HARES = [30.0, 47.2, 70.2, 77.4, 36.3, 20.6, 18.1, 21.4, 22.0, 25.4, 27.1]
HARES += [40.3, 57.0, 76.6, 52.3, 19.5, 11.2, 7.6, 14.6, 16.2, 24.7]
LYNXES = [4.0, 6.1, 9.8, 35.2, 59.4, 41.7, 19.0, 13.0, 8.3, 9.1, 7.4]
LYNXES += [8.0, 12.3, 19.5, 45.7, 51.1, 29.7, 15.8, 9.7, 10.1, 8.6]

REFITS = 500
STEPS = 4  # of the simulation in a year; with 10 the rates change by less than 1e-5
NAMES = ["birth of hares", "catch by 1,000 lynxes", "death of lynxes", "growth on 1,000 hares"]
GUESS = np.log([0.5, 0.02, 1.0, 0.02, 30.0, 4.0])  # rates for each year, and the animals of the first year


def rates(animals: Any, birth: Any, catch: Any, death: Any, growth: Any) -> Any:
    """Lotka and Volterra: how fast the numbers of hares and lynxes change."""
    hares, lynxes = animals
    out = np.empty(2)
    out[0] = birth * hares - catch * hares * lynxes
    out[1] = growth * hares * lynxes - death * lynxes
    return out


def simulate(logs: Any, years: int) -> Any:
    """Hares and lynxes from the first year to the last one, by the method of Runge and Kutta."""
    constants = np.exp(logs[:4])
    h = 1 / STEPS
    path = np.empty(((years - 1) * STEPS + 1, 2))
    path[0] = np.exp(logs[4:])
    for i in range(1, len(path)):
        y = path[i - 1]
        a = rates(y, *constants)
        b = rates(y + h / 2 * a, *constants)
        c = rates(y + h / 2 * b, *constants)
        d = rates(y + h * c, *constants)
        path[i] = y + h / 6 * (a + 2 * b + 2 * c + d)
    return path


def residuals(logs: Any, data: np.ndarray) -> Any:
    """How the logs of the animals differ from those of the pelts: an error is a part of the number."""
    return np.log(simulate(logs, len(data))[::STEPS] / data).ravel()


def fit(data: np.ndarray, start: np.ndarray, f: Callable[..., Any], jacobian: Callable[..., Any]) -> Any:
    """SciPy's result; x is the logs of rates and start."""
    return least_squares(f, start, jac=jacobian, args=(data,))


def refit(
    best: np.ndarray, data: np.ndarray, noise: float, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[float]]:
    """Fits to series that the model and the noise might as well have given, and their seconds."""
    f, jacobian = ad.jit(residuals), ad.jit(ad.jacobian(residuals))
    expected = simulate(best, len(data))[::STEPS]
    found, seconds = [], []
    for _ in tqdm(range(count), desc="refits", unit="fit"):
        start = time.perf_counter()
        again = fit(expected * np.exp(noise * rng.standard_normal(data.shape)), best, f, jacobian)
        seconds.append(time.perf_counter() - start)
        if again.success:
            found.append(again.x)
    return np.array(found), seconds


def draw(data: np.ndarray, best: np.ndarray, found: np.ndarray, path: str) -> None:
    """The pelts, the simulation before and after, and where 95 % of the simulations of the other fits lie."""
    years = 1900 + np.arange(len(data))
    times = 1900 + np.arange((len(data) - 1) * STEPS + 1) / STEPS
    before, after = simulate(GUESS, len(data)), simulate(best, len(data))
    low, high = np.quantile([simulate(logs, len(data)) for logs in found], [0.025, 0.975], axis=0)
    picture = figure(9, 5.5)
    axes = picture.subplots(2, 1, sharex=True)
    for ax, i, name, colour in zip(axes, (0, 1), ("Hares", "Lynxes"), (BLUE, RED), strict=True):
        ax.fill_between(times, low[:, i], high[:, i], color=colour, alpha=0.2, linewidth=0, label="95 % of the refits")
        ax.plot(times, before[:, i], color=GREY, linestyle="dashed", linewidth=1.5, label="before the fit")
        ax.plot(times, after[:, i], color=colour, label="after")
        ax.plot(years, data[:, i], "o", color=colour, markeredgecolor="white", label="pelts")
        ax.set(title=f"{name}, thousands", ylim=(0, None), xticks=years[::2])
        ax.grid(axis="y")
        ax.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 0.98))
    write(picture, path)


def main() -> None:
    """Fit, fit again, draw."""
    chosen = options(__doc__, "predator_prey", refits=REFITS)
    data = np.column_stack([HARES, LYNXES])
    if chosen.smoke:
        data, chosen.refits = data[:8], 20

    start = time.perf_counter()
    first = fit(data, GUESS, residuals, ad.jacobian(residuals))
    plain = time.perf_counter() - start
    noise = float(np.sqrt(2 * first.cost / (data.size - len(first.x))))
    found, seconds = refit(first.x, data, noise, chosen.refits, np.random.default_rng(chosen.seed))

    print(f"fitted in {first.nfev} steps; the pelts differ from the simulation by {noise:.0%}")
    for name, rate, spread in zip(NAMES, np.exp(first.x), np.quantile(np.exp(found), [0.025, 0.975], axis=0).T):
        print(f"{name:21} {rate:.3f} a year, 95 % within {spread[0]:.3f} to {spread[1]:.3f}")
    compiled = 1000 * float(np.median(seconds))
    print(f"a fit takes {plain:.1f} s; compiled {compiled:.1f} ms, the first {seconds[0]:.1f} s")
    draw(data, first.x, found, chosen.out)
    if not first.success or first.cost > 0.5 * float((residuals(GUESS, data) ** 2).sum() / 2):
        raise SystemExit("it has not learned: the fit should be better than the guess")


if __name__ == "__main__":
    main()
