"""Plain NumPy programs: what people call. They know nothing of differentiation."""

from functools import partial

import numpy as np
from programs import at

# -- sorting and statistics

statistics = partial(at, "statistics")


@statistics(1.3, -0.4, 0.2, 0.9, 2.1, -1.0)
def robust_location(x):
    m = np.median(x)
    return m * np.median(np.abs(x - m)) + np.quantile(x, 0.3) * np.percentile(x, np.array([25, 75])).sum()


@statistics(shape=(3, 5))
def covariances(x):
    C = np.cov(x)
    return np.linalg.det(C) + np.corrcoef(x)[0, 1] + C[0, 2] * np.cov(x[0], x[1], ddof=0)[0, 1]


@statistics(1.3, -0.4, 0.2, 0.9, 2.1, -1.0)
def order_statistics(x):
    s = np.sort(x)
    top = np.partition(x**2, 3)[4:]
    return s @ np.arange(6.0) ** 2 + np.prod(top[:1]) * top.sum() + x[np.argsort(-x)][:2] @ np.array([1.0, 3.0])


@statistics(1.3, -0.4, 0.2, 0.9, 2.1, -1.0)
def weighted_counts(x):
    t = np.array([0.1, 0.5, 0.6, 1.2, 1.9, 0.2])
    h, _ = np.histogram(t, bins=3, range=(0, 2), weights=x)
    return h @ h + np.prod(np.bincount(np.array([0, 2, 1, 0, 1, 2]), weights=x))


@statistics(shape=(4, 3))
def moments(x):
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    return np.mean(z**3) + np.average(x[:, 0], weights=np.exp(x[:, 1])) + x.var() + np.ptp(x)


@statistics(1.3, -0.4, 0.2, 0.9, 2.1, -1.0)
def empirical_distribution(x):
    bins = np.digitize(x, np.array([-0.5, 0.5, 1.5]))
    return sum((x[bins == b] ** 2).sum() * (b + 1) for b in np.unique(bins)) + x[np.searchsorted(np.arange(3), x[2])]


# -- data with gaps

gaps = partial(at, "gaps")


@gaps(1.3, -0.4, 0.2, 0.9)
def nan_reductions(x):
    y = np.where(x < 0, np.nan, x)
    return np.nanmean(y) * np.nanvar(y) + np.nanmax(y) - np.nanmedian(y) + np.nansum(y**2) * np.nanprod(y)


@gaps(1.3, -0.4, 0.2, 0.9)
def filled_gaps(x):
    y = np.array([x[0], np.nan, x[2], x[3]])
    y[np.isnan(y)] = np.nanmean(y)
    return np.nan_to_num(y / np.array([1.0, 2.0, 0.5, 1.0]), nan=0.0) @ y


@gaps(1.3, -0.4, 0.2, 0.9)
def nan_quantiles(x):
    y = x.copy()
    y[1] = np.nan
    return np.nanpercentile(y, 30) * np.nanstd(y) + np.nanmin(y) + np.nancumsum(y)[-1]


# -- sampled functions

sampled = partial(at, "sampled functions")


@sampled(0.3, 1.0, 2.0, -0.4)
def interpolation(x):
    t = np.linspace(0, 1, 3)
    return np.interp(x[0], t, t**2) + np.interp(np.array([0.2, 0.7]), t, x[1:]) @ x[:2]


@sampled(0.3, 1.0, 2.0, -0.4, 0.8)
def convolutions(x):
    k = x[:3]
    return np.convolve(x, k, mode="same").sum() * np.correlate(x, k)[1] + np.convolve(x, np.array([1.0, -2.0, 1.0]))[2]


@sampled(0.3, 1.0, 2.0, -0.4, 0.8)
def derivatives(x):
    return np.gradient(x**2, 0.5) @ x + np.sum(np.diff(x, 2) ** 2) + np.ediff1d(x)[-1]


@sampled(0.3, 1.0, 2.0, -0.4, 0.8)
def integrals(x):
    t = np.cumsum(np.exp(x))
    return np.trapezoid(np.sin(t), t) + np.trapezoid(x, dx=0.1) * np.cumprod(1 + x**2)[3]


@sampled(0.3, 3.0, 5.0, -0.4, 0.8)
def phase(x):
    return np.sum(np.unwrap(x * 2.0) ** 2) + np.angle(np.exp(1j * x)).sum()


# -- polynomials

polynomials = partial(at, "polynomials")


@polynomials(1.0, -3.5, 1.5, 0.7)
def evaluate_polynomial(x):
    return np.polyval(x, 1.7) * np.polyval(np.polyder(x), x[3]) + np.polyint(x)[0] + np.polymul(x, np.array([1, 2]))[2]


@polynomials(1.0, -3.5, 1.5, 0.7)
def roots_of_polynomial(x):
    return np.max(np.roots(x).real) + np.poly(x[:3])[1]


@polynomials(0.3, 1.0, 2.0, -0.4, 0.8)
def fitted_line(x):
    slope, intercept = np.polyfit(np.arange(5.0), x, 1)
    return slope * intercept + np.vander(x[:3], 3)[1] @ np.array([1.0, 2.0, 3.0])


# -- layout

layout = partial(at, "layout")


@layout(shape=(2, 3))
def padded_and_rolled(x):
    p = np.pad(x, ((1, 1), (0, 2)), mode="edge") + np.pad(x**2, ((0, 2), (1, 1)))
    return np.sum(p * np.roll(p, 1, axis=1)) + np.pad(x[0], 2, mode="reflect") @ np.arange(7.0)


@layout(shape=(2, 3))
def tiled_and_repeated(x):
    return np.sum(np.tile(x, (2, 2)) * np.repeat(np.repeat(x, 2, axis=0), 2, axis=1) ** 2)


@layout(shape=(2, 3))
def taken(x):
    order = np.argsort(x, axis=1)
    return (
        np.take_along_axis(x, order, 1)[:, 1] @ np.array([1.0, 2.0])
        + np.take(x, np.array([0, 5, 5])).prod()
        + x.take(order[0], axis=1).sum()
    )


@layout(shape=(2, 3))
def rearranged(x):
    a = np.stack([x, np.flip(x, 1)], axis=-1)
    b = np.concatenate([np.rot90(x), np.swapaxes(x, 0, 1)])
    halves = np.vstack(np.split(b, 2)[::-1])
    return (
        np.moveaxis(a, 0, -1)[0, 1] @ np.array([1.0, 2.0]) + np.sum(halves * b) + np.squeeze(b[:1]) @ np.hstack(x)[:2]
    )


@layout(shape=5)
def edited(x):
    y = np.insert(np.delete(x, 1), 2, x[0] * x[1])
    return np.append(y, x[:2]) @ np.arange(7.0) + np.broadcast_to(x, (3, 5))[:, 1:].sum() + np.atleast_2d(x).T[2, 0]


@layout(shape=(3, 3))
def cumulated(x):
    above, below = x[np.triu_indices(3, 1)], x[np.tril_indices(3, -1)]
    return np.cumsum(x, axis=1)[:, 1].prod() + np.cumprod(x + 2)[5] + above @ below


# -- kinks and selections

kinks = partial(at, "kinks")


@kinks(0.3, 1.4, -0.8)
def piecewise_pieces(x):
    y = np.piecewise(x, [x < 0, x >= 1], [lambda v: v**2, lambda v: np.log(v), 0.5])
    return y @ np.select([x > 1, x > 0], [x**3, np.sqrt(np.abs(x))], default=x)


@kinks(0.3, 1.4, -0.8)
def chosen(x):
    c = np.array([0, 1, 0])
    return np.choose(c, [x, x**2]).sum() + np.compress(c == 0, x).prod() + np.extract(x > 0, x).sum()


@kinks(-0.8, 1.4, 0.8)
def guarded_root(x):
    return np.where(x > 0, np.sqrt(x) * np.log(x), x**2).sum()


@kinks(0.0, 1.4, -0.8)
def series_near_zero(x):
    return np.prod(np.where(np.abs(x) > 0.01, np.sin(x) / x, 1 - x**2 / 6 + x**4 / 120))


@kinks(0.3, 1.4, -0.8)
def clipped(x):
    return np.clip(x, -0.5, 1.0) @ np.maximum(x, x[::-1]) + np.abs(x).sum() * np.fmin(x, 0.5).sum() + np.sign(x[2])


@kinks(0.3, 1.4, -0.8)
def remainders(x):
    return np.sum(np.mod(x, 0.5) ** 2) + np.modf(x * 3)[0].prod() + np.sum(np.floor(x) * x) + np.fmod(x[1], x[0])


@kinks(0.3, 1.4, -0.8)
def extrema(x):
    return x.max() * x[np.argmin(x)] + np.amin(x**2) + np.minimum.reduce(x) + np.hypot(x[0], np.heaviside(x[1], 0.5))


# -- methods of ufuncs

methods = partial(at, "ufunc methods")


@methods(0.3, 1.4, -0.8)
def reductions(x):
    return np.add.reduce(x**2) * np.multiply.reduce(x) + np.logaddexp.reduce(x) + np.maximum.reduce(x)


@methods(0.3, 1.4, -0.8)
def accumulations(x):
    return np.multiply.accumulate(x) @ np.add.accumulate(x) + np.maximum.accumulate(x).sum()


@methods(0.3, 1.4, -0.8)
def outer_tables(x):
    d = np.subtract.outer(x, x)
    return np.exp(-(d**2)).sum() + np.multiply.outer(x, x)[0, 1] + np.maximum.outer(x, np.arange(2.0)).sum()


@methods(0.3, 1.4, -0.8, 0.6)
def segments(x):
    y = np.ones(2)
    np.multiply.at(y, [0, 1], x[:2])
    return np.add.reduceat(x**2, [0, 2]) @ y


@methods(0.3, 1.4, -0.8, 0.6)
def with_initial_values(x):
    return np.sum(x, initial=2.0) * np.add.reduce(x**2, initial=1.0) + np.prod(x, where=x > 0, initial=3.0)


# -- looking at arrays

looking = partial(at, "looking at arrays")


def mean_square(v):
    if np.isscalar(v):
        return v**2
    if not isinstance(v, np.ndarray):
        v = np.array(v)
    return np.mean(v**2) if v.ndim else v**3


@looking(0.3, 1.4, -0.8, 0.6)
def type_checks(x):
    return mean_square(x) * mean_square([x[0], 1.0]) + mean_square(x[1]) + mean_square(2.0) * x[3]


@looking(0.3, 1.4, -0.8, 0.6)
def elements_in_turn(x):
    total = 0.0
    for (i, j), v in np.ndenumerate(x.reshape(2, 2)):
        total += (i + 2 * j) * v**2
    return total


@looking(0.3, 1.4, -0.8, 0.6)
def sizes_and_signs(x):
    n = np.size(x) + np.ndim(x) + x.nbytes // x.itemsize + np.count_nonzero(x > 0) + len(x.shape)
    ok = np.all(np.isfinite(x)) and not np.allclose(x, 0) and np.isrealobj(x) and x.dtype.kind == "f"
    return n * np.sum(x**2) if ok else 0.0
