"""numeric: a derivative by finite differences, for a function that nothing is known of."""

import functools
import math
from collections.abc import Callable, Iterator
from numbers import Real
from typing import Any

import numpy as np

from ..convert import is_array
from ..errors import OperandError
from ..transform import name_of
from ..tree import flatten, leaves, leaves_like, tree_map
from .declaring import CustomRule

__all__ = ["numeric"]

Function = Callable[..., Any]

ONCE = (
    "its derivative is one of finite differences, and differences of differences have few digits, so they are not "
    "offered; write the function with NumPy's functions, or give it a vjp with ad.custom_rule"
)


def numeric(f: Function | None = None, *, eps: float | None = None) -> Any:
    """Let a black box `f` be differentiated, by central differences; a decorator.

    `f` takes real arrays, or nested containers of them, and anything else, and returns real arrays. The step for an
    element x is `eps * max(1, abs(x))`, `eps` being the cube root of the machine precision of its dtype unless it is
    given; the error is O(eps**2), about 1e-10 of the derivative's scale in double precision, 1e-4 in single. A gradient
    costs two calls of f for each element of the arguments, a directional derivative two calls, and as many again for
    elements that are larger by orders of magnitude.

    >>> from autodiff import grad
    >>> import math
    >>> area = numeric(lambda r: math.pi * r**2)
    >>> print(round(grad(area)(2.0) / (4 * math.pi), 8))
    1.0

    Raises GraphError for derivatives of higher order, OperandError for complex numbers, and where eps is so small that
    a step does not change an element.
    """
    if f is None:
        return functools.partial(numeric, eps=eps)
    given: Any = eps
    if given is not None and not (isinstance(given, Real) and 0 < float(given) < math.inf):
        raise OperandError(f"numeric: eps={eps!r}; it is a positive number, or None")
    if not callable(f):
        raise OperandError(f"numeric: the first argument is a {type(f).__name__}; pass a function")
    return _Numeric(f, eps)


class _Numeric(CustomRule):
    """A function with the rules of finite differences."""

    def __init__(self, f: Function, eps: float | None) -> None:
        super().__init__(f)
        self.eps = eps
        self.once = ONCE
        self._pulls = self._gradient, []  # no names: f may have any signature
        self._pushes = self._direction, []

    def __repr__(self) -> str:
        return f"numeric({name_of(self.f)})"

    def __reduce__(self) -> Any:
        place = super().__reduce__()
        return place if isinstance(place, str) else (_Numeric, (self.f, self.eps))

    def _called(self, arguments: dict[str, Any]) -> Any:
        bound: Any = self._signature.bind_partial()
        bound.arguments.update(arguments)
        return self.f(*bound.args, **bound.kwargs)

    def _results(self, arguments: dict[str, Any]) -> list[Any]:
        """The results of f as a list of arrays in double precision."""
        outputs = [np.asarray(y) for y in leaves(self._called(arguments), result=True)]
        if any(y.dtype.kind == "c" for y in outputs):
            raise OperandError(f"{self!r}: it returns complex numbers; return the real and the imaginary part")
        return [y.astype(np.result_type(y, float)) for y in outputs]

    def _eps(self, x: Any) -> float:
        if np.iscomplexobj(x):
            raise OperandError(f"{self!r}: an argument is complex; pass the real and the imaginary part")
        return math.cbrt(np.finfo(np.result_type(x)).eps) if self.eps is None else float(self.eps)

    def _moved(self, x: Any, h: Any, where: Any = True) -> Any:
        """`x + h`. Raises OperandError if that is `x` again somewhere."""
        new = x + h
        if np.any((new == x) & np.isfinite(x) & where):
            raise OperandError(
                f"{self!r}: eps={self.eps} is too small for {np.result_type(x)}: a step of that size does not change "
                "an argument; use a larger one, or leave eps out"
            )
        return new

    def _gradient(self, known: dict[str, Any]) -> dict[str, Any]:
        weights = [np.real(np.asarray(w)).astype(float) for w in leaves(known["g"], result=True)]
        arguments, found = known["arguments"], {}
        for name, part in arguments.items():
            arrays = [*leaves(part)]
            slopes = [self._slopes(x, k, name, arrays, arguments, weights) for k, x in enumerate(arrays)]
            if any(s is not None for s in slopes):
                found[name] = _filled(part, slopes)
        return found

    def _slopes(
        self, x: Any, k: int, name: str, arrays: list[Any], arguments: dict[str, Any], weights: list[Any]
    ) -> Any:
        """The cotangent of the k-th array of an argument, element by element; None if it has no derivative."""
        if not _can_move(x):
            return None
        slopes, plain = np.zeros(np.shape(x)), np.array(x)
        for index in np.ndindex(slopes.shape):
            h = self._eps(x) * max(1.0, abs(float(plain[index])))
            ends = []
            for sign in (1, -1):
                moved = plain.copy()
                moved[index] = self._moved(plain[index], plain.dtype.type(sign * h))
                others = [*arrays[:k], moved if moved.ndim else moved[()], *arrays[k + 1 :]]
                ends.append((moved[index], self._results({**arguments, name: _filled(arguments[name], others)})))
            (right, plus), (left, minus) = ends
            difference = sum(float(np.sum(w * (p - m))) for w, p, m in zip(weights, plus, minus, strict=True))
            slopes[index] = difference / float(right - left)
        return slopes.astype(plain.dtype)[()]

    def _direction(self, known: dict[str, Any]) -> Any:
        arguments, t = known["arguments"], known["t"]
        tangents = (t,) if len(self._signature.parameters) == 1 else t
        by_name = dict(zip(self._signature.parameters, tangents, strict=True))
        points, rebuild = flatten(arguments)
        slopes = [u for name, part in arguments.items() for u in _beside(part, by_name[name])]
        totals: list[Any] = []
        for h, parts in self._directions(points, slopes):
            ends = []
            for sign in (1, -1):
                moved = [x if u is None else self._moved(x, sign * h * u, where) for x, (u, where) in parts]
                ends.append(self._results(rebuild(moved)))
            found = [(p - m) / (2 * h) for p, m in zip(*ends, strict=True)]
            totals = [a + b for a, b in zip(totals, found, strict=True)] if totals else found
        answer = self._called(arguments)
        if not totals:
            return tree_map(lambda y: np.zeros_like(np.asarray(y, float))[()], answer, result=True)
        return _filled(answer, [d[()] for d in totals], result=True)

    def _directions(self, points: list[Any], slopes: list[Any]) -> Iterator[tuple[float, list[Any]]]:
        """The direction as a sum of some, each with its step: one that suits large elements is too long for small ones.

        A direction is, for each array, the array, its tangent, and which elements have to move if it is not too short.
        """
        steps, orders = [], []
        for x, u in zip(points, slopes, strict=True):
            eps = self._eps(x) if _can_move(x) else None
            size = np.maximum(1.0, np.abs(x)) if eps else np.ones(())
            size = np.where(np.isfinite(size), size, 1.0).astype(float)
            steps.append(eps and eps * size)
            base = max(16.0, eps**-0.5) if eps else 0.0  # within such a factor one step serves all
            orders.append(np.where(np.asarray(u) != 0, np.floor(np.log(size) / math.log(base)), -1.0) if eps else None)
        for order in sorted({float(o) for of_array in orders if of_array is not None for o in of_array.flat} - {-1.0}):
            chosen = [None if o is None else np.where(o == order, u, 0) for o, u in zip(orders, slopes, strict=True)]
            with np.errstate(divide="ignore"):
                h = min(float(np.min(s / np.abs(u), initial=np.inf)) for s, u in zip(steps, chosen) if u is not None)
            largest = max(float(np.max(np.abs(u), initial=0.0)) for u in chosen if u is not None)
            yield h, [(x, (u, u is None or np.abs(u) > 1e-3 * largest)) for x, u in zip(points, chosen, strict=True)]


def _beside(part: Any, tangent: Any) -> list[Any]:
    """The tangents of the leaves of an argument."""
    return [None for _ in leaves([part])] if tangent is None else [*leaves_like([part], [tangent], "numeric")]


def _filled(tree: Any, items: list[Any], result: bool = False) -> Any:
    """The container with other leaves."""
    it = iter(items)
    return tree_map(lambda _: next(it), tree, result=result)


def _can_move(x: Any) -> bool:
    """Whether `x` can be changed a little."""
    return isinstance(x, float) or (is_array(x) and x.dtype.kind in "fc")
