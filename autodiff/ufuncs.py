"""ufuncs and their methods, as `__array_ufunc__` receives them: __call__, reduce, accumulate, outer, reduceat, at.

`np.add.reduce` is `np.sum`. The methods of a ufunc that no function stands for are made of its own steps: those of
`np.logaddexp2`, whose operands may be grouped at will, as many as the length can be halved; of any other one, as many
as there are elements.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .arguments import boxes, data_of
from .arrays import cast
from .convert import as_operand, full_name
from .dispatch import apply
from .errors import MissingRuleError
from .inplace import at
from .outputs import into
from .rule import RULES
from .rules.activations import logsumexp
from .rules.reduce import running_extremum, segment_sum

__all__ = ["apply_ufunc"]

FUNCTIONS: dict[tuple[Any, str], Callable[..., Any]] = {
    (np.add, "reduce"): np.sum,
    (np.multiply, "reduce"): np.prod,
    (np.maximum, "reduce"): np.max,
    (np.minimum, "reduce"): np.min,
    (np.fmax, "reduce"): np.nanmax,
    (np.fmin, "reduce"): np.nanmin,
    (np.logaddexp, "reduce"): logsumexp,
    (np.add, "accumulate"): np.cumsum,
    (np.multiply, "accumulate"): np.cumprod,
}
EXTREMA = {np.maximum, np.minimum, np.fmax, np.fmin}
ASSOCIATIVE = {np.logaddexp, np.logaddexp2, np.hypot}


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc or one of its methods on Values, as `__array_ufunc__` receives it."""
    if method == "__call__":
        return apply(ufunc, inputs, kwargs)
    if method == "at":
        return at(ufunc, *inputs)
    if method == "outer":
        x, y = (as_operand(a, ufunc.__name__) for a in inputs)
        return apply(ufunc, (np.reshape(x, np.shape(x) + (1,) * np.ndim(y)), y), kwargs)
    if any(out is not None for out in kwargs.get("out") or ()):
        return into(lambda f, a, k: apply_ufunc(ufunc, method, a, k), getattr(ufunc, method), inputs, kwargs)
    kwargs = {k: v for k, v in kwargs.items() if k == "axis" or (v is not None and k != "out")}
    if kwargs.get("where") is True:
        del kwargs["where"]
    rule = RULES.get(ufunc)
    given = list(boxes((inputs, kwargs)))
    if all(b._node is None for b in given) or (rule is not None and rule.kind == "nondiff"):
        return given[0]._wrap(getattr(ufunc, method)(*data_of(inputs), **data_of(kwargs)))
    if rule is None:
        raise MissingRuleError(f"{full_name(ufunc)} has no derivative rule; pass v.detach() if no gradient is wanted")
    if "dtype" in kwargs:
        inputs = (apply(cast, (inputs[0], np.dtype(kwargs.pop("dtype"))), {}), *inputs[1:])
    kwargs.setdefault("axis", 0)
    function = FUNCTIONS.get((ufunc, method))
    if function is not None and kwargs.keys() <= RULES[function].keywords:
        return apply(function, inputs, kwargs)
    expected = getattr(ufunc, method)(*data_of(inputs), **data_of(kwargs))  # NumPy checks the arguments
    if not (inputs[0].size and expected.size):
        return given[0]._wrap(expected)
    return np.reshape(BODIES[method](ufunc, *inputs, **kwargs), expected.shape)


def _reduce(ufunc: np.ufunc, x: Any, axis: Any, keepdims: bool = False, initial: Any = None, where: Any = None) -> Any:
    axes = range(x.ndim) if axis is None else normalize_axis_tuple(axis, x.ndim)
    order = (*axes, *(i for i in range(x.ndim) if i not in axes))
    n, kept = prod(x.shape[i] for i in axes), [x.shape[i] for i in order[len(axes) :]]
    steps = np.reshape(np.transpose(x, order), (n, *kept))
    if initial is None and (n == 1 or where is not None):
        initial = ufunc.identity
    if ufunc in ASSOCIATIVE and where is None:
        while n > 1:
            half = n // 2
            pairs = ufunc(steps[:half], steps[half : 2 * half])
            steps, n = np.concatenate([pairs, steps[2 * half :]]) if n % 2 else pairs, n - half
        return steps[0] if initial is None else ufunc(initial, steps[0])
    total, start = (steps[0], 1) if initial is None else (initial, 0)
    if where is not None:
        where = np.reshape(np.transpose(np.broadcast_to(data_of(where), x.shape), order), steps.shape)
    for i in range(start, n):
        new = ufunc(total, steps[i])
        total = new if where is None else np.where(where[i], new, total)
    return total


def _accumulate(ufunc: np.ufunc, x: Any, axis: int) -> Any:
    if ufunc in EXTREMA:
        return running_extremum(x, axis, ufunc)
    steps = np.moveaxis(x, axis, 0)
    totals = [steps[0]]
    for i in range(1, len(steps)):
        totals.append(ufunc(totals[-1], steps[i]))
    return np.stack(totals, axis=axis)


def _reduceat(ufunc: np.ufunc, x: Any, indices: Any, axis: int) -> Any:
    starts = tuple(map(int, data_of(indices)))
    if ufunc is np.add:
        return segment_sum(x, starts, axis)
    steps = np.moveaxis(x, axis, 0)
    ends = zip(starts, (*starts[1:], len(steps)), strict=True)
    return np.stack([ufunc.reduce(steps[i:j]) if i < j else steps[i] for i, j in ends], axis=axis)


BODIES: dict[str, Callable[..., Any]] = {"reduce": _reduce, "accumulate": _accumulate, "reduceat": _reduceat}
