"""numeric: a derivative by finite differences, for a function that nothing is known of."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..convert import is_array
from ..errors import OperandError
from ..transform import name_of
from ..tree import leaves, tree_map
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
    costs two calls of f for each element of the arguments, a directional derivative two calls.

    >>> from autodiff import grad
    >>> import math
    >>> area = numeric(lambda r: math.pi * r**2)
    >>> print(round(grad(area)(2.0) / (4 * math.pi), 8))
    1.0

    Raises GraphError for derivatives of higher order, OperandError for complex numbers.
    """
    if f is None:
        return functools.partial(numeric, eps=eps)
    if eps is not None and not eps > 0:
        raise OperandError(f"numeric: eps={eps!r}; it is a positive number")
    if not callable(f):
        raise OperandError(f"numeric: the first argument is a {type(f).__name__}; pass a function")
    return _Numeric(f, eps)


class _Numeric(CustomRule):
    """A function with the rules of finite differences."""

    def __init__(self, f: Function, eps: float | None) -> None:
        super().__init__(f)
        self.eps = eps
        self.once = ONCE
        self._pulls = self._gradient, ["g", *self._signature.parameters]
        self._pushes = self._direction, ["t", *self._signature.parameters]

    def __repr__(self) -> str:
        return f"numeric({name_of(self.f)})"

    def __reduce__(self) -> Any:
        place = super().__reduce__()
        return place if isinstance(place, str) else (_Numeric, (self.f, self.eps))

    def _called(self, arguments: dict[str, Any]) -> list[Any]:
        """The results of f as a list of arrays in double precision."""
        bound: Any = self._signature.bind_partial()
        bound.arguments.update(arguments)
        outputs = [np.asarray(y) for y in leaves(self.f(*bound.args, **bound.kwargs), result=True)]
        if any(y.dtype.kind == "c" for y in outputs):
            raise OperandError(f"{self!r}: it returns complex numbers; return the real and the imaginary part")
        return [y.astype(np.result_type(y, float)) for y in outputs]

    def _step(self, x: Any) -> float:
        if np.iscomplexobj(x):
            raise OperandError(f"{self!r}: an argument is complex; pass the real and the imaginary part")
        eps = math.cbrt(np.finfo(np.result_type(x)).eps) if self.eps is None else self.eps
        return float(eps)

    def _gradient(self, g: Any, **arguments: Any) -> dict[str, Any]:
        weights = [np.real(np.asarray(w)).astype(float) for w in leaves(g, result=True)]

        found = {}
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
            h = self._step(x) * max(1.0, abs(float(plain[index])))
            ends = []
            for sign in (1, -1):
                moved = plain.copy()
                moved[index] += sign * h
                others = [*arrays[:k], moved if moved.ndim else moved[()], *arrays[k + 1 :]]
                ends.append((moved[index], self._called({**arguments, name: _filled(arguments[name], others)})))
            (right, plus), (left, minus) = ends
            difference = sum(float(np.sum(w * (p - m))) for w, p, m in zip(weights, plus, minus, strict=True))
            slopes[index] = difference / float(right - left)
        return slopes.astype(plain.dtype)[()]

    def _direction(self, t: Any, **arguments: Any) -> Any:
        tangents = (t,) if len(self._signature.parameters) == 1 else t
        points = [x for part in arguments.values() for x in leaves(part)]
        slopes = [u for part, tangent in zip(arguments.values(), tangents, strict=True) for u in _beside(part, tangent)]
        pairs = [(x, u) for x, u in zip(points, slopes, strict=True) if _can_move(x)]
        length = max((float(np.max(np.abs(u), initial=0)) for _, u in pairs), default=0.0)
        answer = self.f(**arguments)
        if not length:
            return tree_map(lambda y: np.zeros_like(np.asarray(y, float))[()], answer, result=True)
        scale = max(1.0, *(float(np.max(np.abs(x), initial=0)) for x, _ in pairs))
        h = max(self._step(x) for x, _ in pairs) * scale / length

        def at(sign: int) -> list[Any]:
            moved = [x + sign * h * np.asarray(u) if _can_move(x) else x for x, u in zip(points, slopes, strict=True)]
            it = iter(moved)
            return self._called({name: tree_map(lambda _: next(it), part) for name, part in arguments.items()})

        differences = [((p - m) / (2 * h))[()] for p, m in zip(at(1), at(-1), strict=True)]
        return _filled(answer, differences, result=True)


def _beside(part: Any, tangent: Any) -> list[Any]:
    """The tangents of the leaves of an argument."""
    return [None for _ in leaves(part)] if tangent is None else [*leaves(tangent)]


def _filled(tree: Any, items: list[Any], result: bool = False) -> Any:
    """The container with other leaves."""
    it = iter(items)
    return tree_map(lambda _: next(it), tree, result=result)


def _can_move(x: Any) -> bool:
    """Whether `x` can be changed a little."""
    return isinstance(x, float) or (is_array(x) and x.dtype.kind in "fc")
