"""check_grads: compare a function's derivatives with finite differences."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import GradientMismatchError, OperandError
from .transforms import jvp, vjp
from .tree import flatten, leaves, tree_map
from .value import Value

__all__ = ["check_grads"]

MAX_ELEMENTS = 400
STEPS = (-2, -1, 1, 2)

Array = np.ndarray[Any, Any]
Function = Callable[..., Any]


def check_grads(
    f: Function,
    *args: Any,
    order: int = 2,
    modes: Sequence[str] = ("rev", "fwd"),
    rtol: float | None = None,
    atol: float | None = None,
    eps: float = 1e-4,
    seed: int = 0,
) -> None:
    """Check the derivatives of `f` at `args`, in reverse and forward mode, up to `order`.

    Finite differences (four points, step `eps * max(1, |x|)`, in double precision) are taken of `f` and
    of its derivatives; above 400 elements a random sample is checked. Inputs that are not floating
    point are held fixed. The tolerances are 1e-6 by default, 2e-3 if an input is single precision.

    >>> check_grads(np.sin, np.array([0.5, 1.0]))

    Raises GradientMismatchError with the worst element, the analytic and the numeric number.
    """
    if not modes or set(modes) - {"rev", "fwd"}:
        raise ValueError(f'check_grads: modes={modes!r}; they are "rev" and "fwd"')
    if order < 1:
        raise ValueError(f"check_grads: order={order!r}; it starts at 1")
    inputs = [i for i, a in enumerate(args) if any(_is_inexact(x) for x in leaves(a))]
    if not inputs:
        raise OperandError("check_grads: no argument is floating point; pass .astype(float)")

    def of_inputs(*given: Any) -> Any:
        full = list(args)
        for i, a in zip(inputs, given, strict=True):
            full[i] = a
        return f(*full)

    chosen = tree_map(_plain, [args[i] for i in inputs])
    single = any(np.finfo(x.dtype).bits < 64 for x in leaves(chosen))
    tolerance = 2e-3 if single else 1e-6
    check = _Check(tolerance if rtol is None else rtol, tolerance if atol is None else atol, eps, tuple(modes), seed)
    check.run(of_inputs, chosen, order, "")


class _Check:
    """The tolerances, the random directions, and the checks of one order."""

    def __init__(self, rtol: float, atol: float, eps: float, modes: tuple[str, ...], seed: int) -> None:
        self.rtol, self.atol, self.eps, self.modes = rtol, atol, eps, modes
        self.rng = np.random.default_rng(seed)

    def run(self, f: Function, args: list[Any], order: int, path: str) -> None:
        outputs = _evaluate(f, args)
        u = tree_map(self._random_like, outputs)
        v = tuple(tree_map(lambda x: self._random_like(x) * np.maximum(1, abs(x)).astype(x.dtype), args))
        if "rev" in self.modes:
            self._reverse(f, args, u, path + "rev")
            if order > 1:
                self.run(lambda *a: vjp(f, *a)[1](u), args, order - 1, path + "rev of ")
        if "fwd" in self.modes:
            self._forward(f, args, v, path + "fwd")
            if order > 1:
                self.run(lambda *a: jvp(f, a, v)[1], args, order - 1, path + "fwd of ")

    def _reverse(self, f: Function, args: list[Any], u: Any, path: str) -> None:
        """Each element of each input: the derivative of Re <u, f(x)> in its direction."""
        analytic = list(leaves(vjp(f, *args)[1](u)))
        weights = list(leaves(u))
        flat, rebuild = flatten(args)
        wide = [np.asarray(x, _wide(x.dtype)) for x in flat]

        def projected(k: int, moved: Array) -> float:
            ys = leaves(_evaluate(f, rebuild([*wide[:k], moved, *wide[k + 1 :]])))
            return float(sum(np.sum((np.conj(w) * y).real) for w, y in zip(weights, ys, strict=True)))

        for k, x in enumerate(wide):
            indices = self._elements(x.shape)
            numeric: Any = np.zeros(len(indices), x.dtype)
            for j, index in enumerate(indices):
                h = self.eps * max(1.0, abs(x[index]))
                units: tuple[complex, ...] = (1.0, 1j) if x.dtype.kind == "c" else (1.0,)
                for unit in units:
                    step = np.zeros_like(x)
                    step[index] = h * unit
                    numeric[j] += unit * _difference([projected(k, x + s * step) for s in STEPS], h)
            self._judge(path, f"input {k}", indices, _plain(analytic[k]), numeric)

    def _forward(self, f: Function, args: list[Any], v: Any, path: str) -> None:
        """Each element of each output: its derivative along v."""
        analytic = list(leaves(jvp(f, tuple(args), v)[1]))
        flat, rebuild = flatten(args)
        wide = [np.asarray(x, _wide(x.dtype)) for x in flat]
        directions = list(leaves(v))
        h = self.eps
        moved = [[x + s * h * d for x, d in zip(wide, directions, strict=True)] for s in STEPS]
        points = [list(leaves(_evaluate(f, rebuild(m)))) for m in moved]
        for k, t in enumerate(analytic):
            numeric = np.asarray(_difference([p[k] for p in points], h))
            indices = self._elements(numeric.shape)
            self._judge(path, f"output {k}", indices, _plain(t), np.array([numeric[i] for i in indices]))

    def _elements(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        size = int(np.prod(shape))
        chosen = range(size) if size <= MAX_ELEMENTS else self.rng.choice(size, MAX_ELEMENTS, replace=False)
        return [tuple(int(i) for i in np.unravel_index(n, shape)) for n in chosen]

    def _random_like(self, x: Array) -> Array:
        r: Any = self.rng.standard_normal(x.shape)
        if x.dtype.kind == "c":
            r = r + 1j * self.rng.standard_normal(x.shape)
        return np.asarray(r, x.dtype)

    def _judge(self, path: str, what: str, indices: list[Any], analytic: Array, numeric: Array) -> None:
        """Raise for the element that exceeds its tolerance most; nan agrees with nan only."""
        worst, excess = None, 1.0
        for index, n in zip(indices, numeric, strict=True):
            a = analytic[index]
            if np.isnan(a) and np.isnan(n):
                continue
            error = abs(a - n) / (self.atol + self.rtol * abs(n))
            if not error <= excess:
                worst, excess = (index, a, n), error if error == error else np.inf
        if worst is not None:
            index, a, n = worst
            raise GradientMismatchError(
                f"check_grads: {path}, {what}, element {index}: analytic {a!s}, numeric {n!s}, "
                f"difference {abs(a - n):.3g}, {excess:.3g} times the tolerance"
            )


def _difference(points: Sequence[Any], h: float) -> Any:
    """The derivative from values at -2h, -h, h, 2h; the error is O(h^4)."""
    far_left, left, right, far_right = points
    return (8 * (right - left) - (far_right - far_left)) / (12 * h)


def _evaluate(f: Function, args: Sequence[Any]) -> Any:
    result = f(*tree_map(lambda x: Value(x, requires_grad=False), list(args)))
    for y in leaves(result):
        if _plain(y).dtype.kind not in "biufc":
            raise OperandError(f"check_grads: f must return numbers, it returned {type(y).__name__}")
    return tree_map(_plain, result)


def _plain(x: Any) -> Array:
    return np.asarray(x._array if isinstance(x, Value) else x)


def _wide(dtype: Any) -> Any:
    return np.complex128 if dtype.kind == "c" else np.float64


def _is_inexact(x: Any) -> bool:
    return _plain(x).dtype.kind in "fc"
