"""Initial values of weights, each from the paper that it is named after.

Each function takes the shape of the weights and gives an array. How many numbers go into one unit, the fan, is read off
the shape: (in, out) of a Linear layer, (out, in / groups, *kernel) of a convolution.

>>> he_normal((100, 50), rng=0).shape
(100, 50)
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "Initialiser",
    "Seed",
    "fans",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "normal",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "zeros",
]

Array = np.ndarray[Any, Any]
Seed = np.random.Generator | int | None
Initialiser = Callable[..., Array]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """How many inputs a unit has, and how many outputs an input has.

    >>> fans((100, 50)), fans((16, 3, 5, 5))
    ((100, 50), (75, 400))

    Raises ValueError for fewer than two axes.
    """
    if len(shape) < 2:
        raise ValueError(f"init: shape {tuple(shape)} has no fan; weights have at least two axes")
    if len(shape) == 2:
        return shape[0], shape[1]
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def _scaled_normal(shape: Sequence[int], variance: float, rng: Seed, dtype: Any) -> Array:
    return (np.random.default_rng(rng).normal(size=shape) * math.sqrt(variance)).astype(dtype)


def _scaled_uniform(shape: Sequence[int], variance: float, rng: Seed, dtype: Any) -> Array:
    bound = math.sqrt(3 * variance)
    return np.random.default_rng(rng).uniform(-bound, bound, shape).astype(dtype)


def he_normal(shape: Sequence[int], rng: Seed = None, dtype: Any = np.float64) -> Array:
    """Normal with variance 2 / fan_in, which keeps that of activations under ReLU (He et al., arXiv:1502.01852).

    >>> bool(abs(he_normal((1000, 100), rng=0).var() - 0.002) < 1e-4)
    True
    """
    return _scaled_normal(shape, 2 / max(fans(shape)[0], 1), rng, dtype)


def he_uniform(shape: Sequence[int], rng: Seed = None, dtype: Any = np.float64) -> Array:
    """Uniform with variance 2 / fan_in (He et al., arXiv:1502.01852): within ±sqrt(6 / fan_in).

    >>> bool(abs(he_uniform((6, 100), rng=0)).max() <= 1)
    True
    """
    return _scaled_uniform(shape, 2 / max(fans(shape)[0], 1), rng, dtype)


def glorot_normal(shape: Sequence[int], rng: Seed = None, dtype: Any = np.float64) -> Array:
    """Normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio, AISTATS 2010), also known as Xavier.

    >>> glorot_normal((4, 3), rng=0, dtype=np.float32).dtype
    dtype('float32')
    """
    return _scaled_normal(shape, 2 / max(sum(fans(shape)), 1), rng, dtype)


def glorot_uniform(shape: Sequence[int], rng: Seed = None, dtype: Any = np.float64) -> Array:
    """Uniform with variance 2 / (fan_in + fan_out) (Glorot and Bengio, AISTATS 2010), also known as Xavier.

    >>> bool(abs(glorot_uniform((3, 3), rng=0)).max() <= 1)
    True
    """
    return _scaled_uniform(shape, 2 / max(sum(fans(shape)), 1), rng, dtype)


def lecun_normal(shape: Sequence[int], rng: Seed = None, dtype: Any = np.float64) -> Array:
    """Normal with variance 1 / fan_in (LeCun et al., Efficient BackProp, 1998).

    >>> lecun_normal((4, 3), rng=0).shape
    (4, 3)
    """
    return _scaled_normal(shape, 1 / max(fans(shape)[0], 1), rng, dtype)


def normal(shape: Sequence[int], rng: Seed = None, dtype: Any = np.float64, *, std: float = 1.0) -> Array:
    """Normal with this standard deviation.

    >>> normal((2,), rng=0, std=0.02).shape
    (2,)
    """
    return _scaled_normal(shape, std * std, rng, dtype)


def truncated_normal(shape: Sequence[int], rng: Seed = None, dtype: Any = np.float64, *, std: float = 1.0) -> Array:
    """Normal with this standard deviation, drawn again where it is more than two of them from 0.

    >>> bool(abs(truncated_normal((1000,), rng=0)).max() <= 2)
    True
    """
    rng = np.random.default_rng(rng)
    x = rng.normal(size=shape)
    while (outside := abs(x) > 2).any():
        x[outside] = rng.normal(size=int(outside.sum()))
    return (x * std).astype(dtype)


def uniform(shape: Sequence[int], rng: Seed = None, dtype: Any = np.float64, *, bound: float = 1.0) -> Array:
    """Uniform within ±bound.

    >>> uniform((2,), rng=0, bound=0.0)
    array([0., 0.])
    """
    return np.random.default_rng(rng).uniform(-bound, bound, shape).astype(dtype)


def orthogonal(shape: Sequence[int], rng: Seed = None, dtype: Any = np.float64, *, gain: float = 1.0) -> Array:
    """A matrix with orthonormal rows or columns, whichever are fewer (Saxe et al., arXiv:1312.6120).

    Axes after the first are taken for one.

    >>> w = orthogonal((3, 2), rng=0)
    >>> np.allclose(w.T @ w, np.eye(2))
    True
    """
    fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    square = np.random.default_rng(rng).normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(square)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # without which the distribution is not uniform (Mezzadri, 2007)
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


def zeros(shape: Sequence[int], rng: Seed = None, dtype: Any = np.float64) -> Array:
    """Zeros.

    >>> zeros((2,))
    array([0., 0.])
    """
    return np.zeros(shape, dtype)
