"""Gaussian process regression of a landscape: the heights of a few hundred places become a map, with its uncertainty.

    python examples/gaussian_process.py [--places N] [--seed S] [--out gaussian_process.png] [--smoke]

Learnt here: the marginal likelihood is written down as in the book, with `np.linalg.cholesky`, and SciPy finds the
scales of the landscape, with gradients from `ad.value_and_grad`. The heights are real ones, of a fault at Jacksboro in
Tennessee, which ship with matplotlib. The places are drawn at random; all other ones are held out, to see how good the
map is and whether its uncertainty is honest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from style import figure, needs, options, write

with needs("examples"):
    import numpy as np
    from matplotlib import cbook, colormaps
    from scipy.optimize import minimize
    from tqdm import tqdm

    import autodiff as ad

PLACES = 600
STRIDE = 4  # every fourth row and column of the map, 0.4 and 0.3 km
START = np.log([1.0, 3.0, 3.0, 0.3])  # heights, scales in km from west to east and from south to north, noise


class Map(NamedTuple):
    """Heights in metres, and where they are: kilometres to the east and to the north."""

    heights: np.ndarray
    east: np.ndarray
    north: np.ndarray


def load() -> Map:
    """The landscape, rows from north to south."""
    with np.load(cbook.get_sample_data("jacksboro_fault_dem.npz", asfileobj=False)) as data:
        heights = data["elevation"][::STRIDE, ::STRIDE].astype(float)
        step, latitude = float(data["dy"]) * STRIDE, float(data["ymin"])
    km = 111.2 * step  # of a step to the north
    east = np.arange(heights.shape[1]) * km * np.cos(np.radians(latitude))
    return Map(heights, east, np.arange(heights.shape[0])[::-1] * km)


def kernel(logs: Any, a: np.ndarray, b: np.ndarray) -> Any:
    """The covariance of heights at two sets of places: Matérn 3/2, with a scale for each direction."""
    size, scales = np.exp(logs[0]), np.exp(logs[1:3])
    squares = (((a[:, None] - b) / scales) ** 2).sum(axis=-1)
    distance = np.sqrt(3 * squares + 1e-12)  # the root of 0 has no derivative
    return size**2 * (1 + distance) * np.exp(-distance)


def covariance(logs: Any, x: np.ndarray) -> Any:
    """The covariance of measured heights: noise is added to the diagonal."""
    return kernel(logs, x, x) + (np.exp(logs[3]) ** 2 + 1e-8) * np.eye(len(x))


def loss(logs: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """Minus the log of the marginal likelihood, for each place."""
    factor = np.linalg.cholesky(covariance(logs, x))
    white = np.linalg.solve(factor, y)
    return (white @ white / 2 + np.log(np.diag(factor)).sum()) / len(y) + np.log(2 * np.pi) / 2


def fit(x: np.ndarray, y: np.ndarray, steps: int) -> np.ndarray:
    """The logs of the parameters that make the heights most likely."""
    gradient = ad.value_and_grad(loss)
    with tqdm(total=steps, desc="marginal likelihood", unit="step") as bar:

        def show(intermediate_result: Any) -> None:
            bar.set_postfix_str(f"loss {intermediate_result.fun:.4f}", refresh=False)
            bar.update()

        found = minimize(
            gradient, START, args=(x, y), jac=True, method="BFGS", callback=show, options={"maxiter": steps}
        )
    return found.x


def predict(logs: np.ndarray, x: np.ndarray, y: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the standard deviation of heights as they would be measured at other places."""
    between = kernel(logs, at, x)
    solved = np.linalg.solve(covariance(logs, x), np.column_stack([y, between.T]))
    variance = np.exp(logs[0]) ** 2 - (between * solved[:, 1:].T).sum(axis=1)
    return between @ solved[:, 0], np.sqrt(np.maximum(variance, 0) + np.exp(logs[3]) ** 2)


def draw(true: Map, places: np.ndarray, mean: np.ndarray, deviation: np.ndarray, path: str) -> None:
    """The places, the map made of them, the true one, and the uncertainty."""
    extent = (0, true.east.max(), 0, true.north.max())
    colours = {"cmap": colormaps["viridis"].resampled(20), "vmin": 200, "vmax": 1200}  # each of 50 m
    grid: Any = {"extent": extent, "interpolation": "nearest"}
    picture = figure(8.4, 6.9)
    axes = picture.subplots(2, 2, sharex=True, sharey=True)
    east, north, heights = places.T
    measured = axes[0, 0].scatter(east, north, c=heights, s=14, linewidths=0, **colours)
    axes[0, 0].set(title=f"{len(places)} measured heights, m", aspect="equal", xlim=extent[:2], ylim=extent[2:])
    predicted = axes[0, 1].imshow(mean, **grid, **colours)
    axes[0, 1].set_title("Predicted, m")
    truth = axes[1, 0].imshow(true.heights, **grid, **colours)
    axes[1, 0].set_title("True, m")
    uncertain = axes[1, 1].imshow(deviation, **grid, cmap=colormaps["Purples"].resampled(15), vmin=0, vmax=150)
    axes[1, 1].set_title("Standard deviation, m")
    for ax, image in zip(axes.flat, (measured, predicted, truth, uncertain), strict=True):
        picture.colorbar(image, ax=ax, shrink=0.8)
    for ax in axes[1]:
        ax.set_xlabel("km to the east")
    for ax in axes[:, 0]:
        ax.set_ylabel("km to the north")
    write(picture, path, dpi=100)


def main() -> None:
    """Measure some places, fit, predict all the other ones, draw."""
    chosen = options(__doc__, "gaussian_process", places=PLACES)
    true = load()
    east, north = np.meshgrid(true.east, true.north)
    at, heights = np.column_stack([east.ravel(), north.ravel()]), true.heights.ravel()
    measured = np.random.default_rng(chosen.seed).permutation(len(at))[: 100 if chosen.smoke else chosen.places]
    x, y = at[measured], heights[measured]

    centre, scale = y.mean(), y.std()
    logs = fit(x, (y - centre) / scale, steps=5 if chosen.smoke else 50)
    mean, deviation = predict(logs, x, (y - centre) / scale, at)
    mean, deviation = centre + scale * mean, scale * deviation

    held_out = np.delete(np.arange(len(at)), measured)
    wrong = (heights - mean)[held_out]
    rms, spread = float(np.sqrt(np.mean(wrong**2))), float(heights[held_out].std())
    covered = float(np.mean(np.abs(wrong) < 1.96 * deviation[held_out]))
    size, length_east, length_north, noise = np.exp(logs) * [scale, 1, 1, scale]
    print(f"scales: {length_east:.2f} km to the east, {length_north:.2f} km to the north, {size:.0f} m high")
    print(f"noise, or what is smaller than that: {noise:.0f} m; loss {float(loss(logs, x, (y - centre) / scale)):.4f}")
    print(f"{len(held_out)} held-out heights, which vary by {spread:.0f} m: predicted to {rms:.0f} m")
    print(f"{covered:.1%} of them lie within the 95 % interval")
    shape = true.heights.shape
    draw(true, np.column_stack([x, y]), mean.reshape(shape), deviation.reshape(shape), chosen.out)
    if chosen.smoke and rms > 0.8 * spread:
        raise SystemExit("it has not learned: the map should be better than its mean")


if __name__ == "__main__":
    main()
