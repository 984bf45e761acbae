"""What the generated tests share: finite differences, inner products, and running a check over many cases."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

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


def real(x: Any) -> Any:
    """The real part of `x`, which may be real."""
    return x.real if x.dtype.kind == "c" else x


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


# -- other array libraries: the same numbers, computed there


class Device(NamedTuple):
    """Where to run a case again: how arrays get there and back, what they are there, and how exact they are."""

    put: Callable[[Any], Any]
    get: Callable[[Any], Any]
    array: type
    rtol: float

    def assert_same(self, actual: Any, expected: Any, scale: float, what: str) -> None:
        """`actual`, or what a Value holds, is an array on the device with the numbers of `expected`."""
        actual, expected = raw(actual), np.asarray(expected)
        assert isinstance(actual, self.array), f"{what}: a {type(actual).__name__}"
        assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}"
        actual, finite = self.get(actual), np.isfinite(expected)
        assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
        np.testing.assert_array_equal(actual[~finite], expected[~finite], what)
        if expected.dtype.kind in "fc":
            assert_close(actual[finite], expected[finite], self.rtol, scale, what)
        else:
            np.testing.assert_array_equal(actual, expected, what)

    def accepts(self, case: Case) -> bool:
        """Whether the other library knows the function and its parameters; ours have to work everywhere."""
        if not case.row.name.startswith("numpy."):
            return True
        try:
            case(*map(self.put, case.operands(seeded(case))))
        except TypeError:
            return False
        return True

    def check_value(self, case: Case, dtype: Any = np.float64) -> None:
        """The case with Values on the device: its results are Values there, with NumPy's numbers."""
        operands = case.operands(seeded(case), dtype)
        expected = case(*map(np.asarray, operands))
        result = case(*(Value(self.put(x), requires_grad=x.dtype.kind in "fc") for x in operands))
        outer = expected if isinstance(expected, (tuple, list)) else [expected]
        for r, e in zip(result if isinstance(expected, (tuple, list)) else [result], outer, strict=True):
            if not isinstance(e, (np.ndarray, np.generic)):  # a shape, a dtype, a text, a truth value
                assert (self.get(raw(r)) if isinstance(raw(r), self.array) else r) == e
            elif case.row.values:
                self.assert_same(r, e, 0.0, "value")
            else:
                assert isinstance(raw(r), self.array) and r.shape == e.shape and r.dtype == e.dtype

    def check_first_order(self, case: Case, dtype: Any = np.float64) -> None:
        """vjp and jvp on the device are those of NumPy's arrays."""
        rng = seeded(case)
        operands = case.operands(rng, dtype)
        there = list(map(self.put, operands))
        for tracked in subsets(case.differentiable):
            f, xs = partial(case, operands, tracked), [operands[i] for i in tracked]
            out = np.asarray(f(*xs))
            u, vs = random_like(rng, out), [random_like(rng, x) for x in xs]
            expected = [out, *pull_back(f, xs, u), push_forward(f, xs, vs)]
            f, xs = partial(case, there, tracked), [there[i] for i in tracked]
            y, pull = ad.vjp(f, *xs)
            results = [y, *pull(self.put(u)), push_forward(f, xs, list(map(self.put, vs)))]
            names = ["value", *(f"cotangent {i}" for i in tracked), "tangent"]
            for name, r, e in zip(names, results, expected, strict=True):
                self.assert_same(r, e, 1e-3, name)

    def check_second_order(self, case: Case) -> None:
        """The Hessian of sum(u f^2) times a vector, three ways, against the one on NumPy's arrays."""
        rng = seeded(case)
        operands = case.operands(rng)
        tracked = case.differentiable
        f, xs = partial(case, operands, tracked), [operands[i] for i in tracked]
        u, vs = random_like(rng, np.asarray(f(*xs))), [random_like(rng, x) for x in xs]
        expected = self.second_order(f, xs, u, vs)
        scale = max(1e-3, *(float(np.max(np.abs(e), initial=0)) for e in expected["forward over reverse"]))
        f = partial(case, list(map(self.put, operands)), tracked)
        results = self.second_order(f, list(map(self.put, xs)), self.put(u), list(map(self.put, vs)))
        for name in expected:
            for r, e in zip(results[name], expected[name], strict=True):
                self.assert_same(r, e, scale, name)

    def second_order(self, f: Callable[..., Any], xs: list[Any], u: Any, vs: list[Any]) -> dict[str, Any]:
        where = tuple(range(len(xs)))

        def phi(*xs: Any) -> Any:
            y = f(*xs)
            return real((u * y * y).sum())

        values = [Value(x) for x in xs]
        phi(*values).backward(create_graph=True)
        gradients = [v.grad for v in values]
        for v in values:
            v.zero_grad()
        slope = sum((g * d).sum() for g, d in zip(gradients, vs, strict=True))
        if slope.requires_grad:  # else a step function: its gradient is a constant
            slope.backward()
        return {
            "forward over reverse": ad.jvp(ad.grad(phi, where), tuple(xs), tuple(vs))[1],
            "reverse over forward": ad.grad(lambda *xs: ad.jvp(phi, xs, tuple(vs))[1], where)(*xs),
            "create_graph": [np.zeros_like(v.data) if v.grad is None else v.grad for v in values],
        }
