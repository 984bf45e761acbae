"""What the generated tests share: finite differences, inner products, and running a check over many cases."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from domains import Case

import autodiff as ad
from autodiff import Value

Array = np.ndarray[Any, Any]

STEP = 1e-3


def seeded(case: Any) -> np.random.Generator:
    """A generator that gives each case its own numbers, the same on every run."""
    return np.random.default_rng(zlib.crc32(str(case).encode()))


def over(cases: Iterable[Any], check: Callable[[Any], None]) -> None:
    """Run `check` on every case and fail with the list of those that failed, not with the first alone."""
    failures: list[tuple[Any, Exception]] = []
    cases = list(cases)
    assert cases, "no cases"
    for case in cases:
        try:
            check(case)
        except Exception as error:
            failures.append((case, error))
    if failures:
        lines = [f"{case}: {type(e).__name__}: {' '.join(str(e).split())[:300]}" for case, e in failures]
        report = "\n  ".join([f"{len(failures)} of {len(cases)} cases fail", *lines])
        raise AssertionError(report) from failures[0][1]


def raw(x: Any) -> Any:
    """The array in a Value, or `x` itself."""
    return x.data if isinstance(x, Value) else x


def random_like(rng: np.random.Generator, x: Any) -> Array:
    """A direction: uniform in (-1, 1), in both parts if `x` is complex."""
    r = rng.uniform(-1, 1, np.shape(x))
    if x.dtype.kind == "c":
        r = r + 1j * rng.uniform(-1, 1, np.shape(x))
    return np.asarray(r, x.dtype)


def inner(u: Any, v: Any) -> float:
    """Re <u, v>, summed in double precision."""
    return float(np.sum((np.conj(np.asarray(u)) * np.asarray(v)).real, dtype=np.float64))


def directional(f: Callable[..., Any], xs: Sequence[Array], vs: Sequence[Array], h: float = STEP) -> Any:
    """The derivative of `f` along `vs`, from four points: the error is h^4/30 f''''' + 1.5 ulp(f)/h.

    `f` may return a tuple of arrays.
    """
    points = [f(*(x + s * h * v for x, v in zip(xs, vs, strict=True))) for s in (-2, -1, 1, 2)]
    if isinstance(points[0], tuple):
        return tuple(_four_points([np.asarray(p[k]) for p in points], h) for k in range(len(points[0])))
    return _four_points([np.asarray(p) for p in points], h)


def _four_points(points: Sequence[Array], h: float) -> Array:
    far_left, left, right, far_right = points
    return np.asarray((8 * (right - left) - (far_right - far_left)) / (12 * h))


def assert_close(actual: Any, expected: Any, rtol: float, scale: float = 0.0, what: str = "") -> None:
    """Equal shapes, and equal elements within `rtol` times the largest of them (or `scale`)."""
    actual, expected = np.asarray(raw(actual)), np.asarray(raw(expected))
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    if expected.size:
        scale = max(scale, float(np.max(np.abs(expected))))
        error = float(np.max(np.abs(actual - expected)))
        assert error <= rtol * scale, f"{what}: error {error:.3g} of {scale:.3g}:\n{actual}\nexpected\n{expected}"


def subsets(indices: Sequence[int]) -> list[tuple[int, ...]]:
    """All ways to track some of the operands: (0,), (1,), (0, 1)."""
    return [s for n in range(1, len(indices) + 1) for s in itertools.combinations(indices, n)]


def partial(case: Case, operands: Sequence[Any], tracked: Sequence[int]) -> Callable[..., Any]:
    """The case as a function of the operands `tracked` alone; the others are constants."""

    def function(*given: Any) -> Any:
        full = list(operands)
        for i, x in zip(tracked, given, strict=True):
            full[i] = x
        return case(*full)

    return function


def pull_back(f: Callable[..., Any], xs: Sequence[Any], u: Any) -> tuple[Any, ...]:
    """The cotangents of `xs`, given `u` for the result."""
    pulled: tuple[Any, ...] = ad.vjp(f, *xs)[1](u)
    return pulled


def push_forward(f: Callable[..., Any], xs: Sequence[Any], vs: Sequence[Any]) -> Any:
    """The tangent of the result."""
    return ad.jvp(f, tuple(xs), tuple(vs))[1]
