"""Sums of products in terms of matrix products and of what can be fused: einsum, cross products, convolutions.

As in primitives, each function takes the recorder and the function's own arguments, and returns NotImplemented for what
it does not cover. They compute what NumPy computes, up to rounding.
"""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from .primitives import MOST_PRODUCTS, is_real, primitive

__all__: list[str] = []  # they are in the registry

MOST_TERMS = 64  # of a polynomial that is written out


@primitive(np.einsum)
def _einsum(recorder: Any, subscripts: Any, *operands: Any, optimize: Any = False, **more: Any) -> Any:
    """Of one or two operands, as the rules call it: with a result and without an ellipsis."""
    if more or type(subscripts) is not str or "->" not in subscripts or "." in subscripts or " " in subscripts:
        return NotImplemented
    if not is_real(*operands):
        return NotImplemented
    given, result = subscripts.split("->")
    if len({*result}) < len(result) or not {*result} <= {*given}:
        return NotImplemented
    terms = given.split(",")
    if len(terms) != len(operands) or any(len(t) != np.ndim(x) for t, x in zip(terms, operands, strict=True)):
        return NotImplemented
    xs = [recorder.lifted(x) for x in operands]
    if len(xs) == 1:
        return _rearranged(recorder, xs[0], terms[0], result)
    if len(xs) != 2 or any(len({*t}) < len(t) for t in terms) or not {*terms[0]} ^ {*terms[1]} <= {*result}:
        return NotImplemented
    lengths = {*zip(terms[0], xs[0].shape, strict=True), *zip(terms[1], xs[1].shape, strict=True)}
    if len(lengths) > len({*given} - {","}):
        return NotImplemented  # an axis that is broadcast
    return _contracted(xs[0], xs[1], terms[0], terms[1], result)


def _rearranged(recorder: Any, x: Any, term: str, result: str) -> Any:
    """Diagonals and transposes are views, and the rest is summed."""
    letters = "".join(dict.fromkeys(term))
    if len(letters) < len(term):
        sizes = dict(zip(term, x.shape, strict=True))
        if any(sizes[c] != n for c, n in zip(term, x.shape, strict=True)):
            return NotImplemented
        steps = [sum(s for c, s in zip(term, x.strides, strict=True) if c == letter) for letter in letters]
        x = recorder.view(x, as_strided(x.data, [sizes[c] for c in letters], steps))
    summed = tuple([i for i, c in enumerate(letters) if c not in result])
    if summed:
        x = recorder.record(np.sum, (x,), {"axis": summed})
    kept = [c for c in letters if c in result]
    return x.transpose([kept.index(c) for c in result]) if [*result] != kept else x


def _contracted(x: Any, y: Any, a: str, b: str, result: str) -> Any:
    """A matrix product for each index that both operands and the result have."""
    batch = [c for c in result if c in a and c in b]
    summed = [c for c in a if c in b and c not in result]
    left, right = [c for c in a if c not in b], [c for c in b if c not in a]
    if not summed or not (left or right):  # an outer product, or a sum along with others
        z = _spread(x, a, [*result, *summed]) * _spread(y, b, [*result, *summed])
        return z.sum(tuple(range(len(result), z.ndim))) if summed else z
    size = dict(zip(a + b, (*x.shape, *y.shape), strict=True))

    def shape(*groups: list[str]) -> tuple[int, ...]:
        return tuple([int(np.prod([size[c] for c in group])) for group in groups])

    heads = tuple([size[c] for c in batch])
    x = x.transpose([a.index(c) for c in (*batch, *left, *summed)]).reshape((*heads, *shape(left, summed)))
    y = y.transpose([b.index(c) for c in (*batch, *summed, *right)]).reshape((*heads, *shape(summed, right)))
    found = [*batch, *left, *right]
    z = (x @ y).reshape(tuple([size[c] for c in found]))
    return z if found == [*result] else z.transpose([found.index(c) for c in result])


def _spread(x: Any, term: str, axes: list[str]) -> Any:
    """With an axis for each letter: of length 1 for those that the term does not have."""
    x = x.transpose([term.index(c) for c in axes if c in term])
    return x[tuple([slice(None) if c in term else None for c in axes])] if axes else x


@primitive(np.cross)
def _cross(
    recorder: Any, a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    if not is_real(a, b) or not np.ndim(a) or not np.ndim(b):
        return NotImplemented
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = np.moveaxis(recorder.lifted(a), axisa, -1), np.moveaxis(recorder.lifted(b), axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        return NotImplemented
    parts = [a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.stack(parts, axisc)


@primitive(np.convolve)
def _convolve(recorder: Any, a: Any, v: Any, mode: str = "full") -> Any:
    if not is_real(a, v) or np.ndim(a) != 1 or np.ndim(v) != 1 or not a.size or not v.size:
        return NotImplemented
    if mode not in ("full", "same", "valid") or a.size * v.size > MOST_PRODUCTS:
        return NotImplemented
    a, v = recorder.lifted(a), recorder.lifted(v)
    if v.size > a.size:
        a, v = v, a
    n = v.size
    if mode != "valid":
        before, after = (n - 1, n - 1) if mode == "full" else (n // 2, (n - 1) // 2)
        a = np.concatenate([np.zeros(before, a.dtype), a, np.zeros(after, a.dtype)])
    windows = recorder.view(a, sliding_window_view(a.data, n)) if hasattr(a, "buffer") else sliding_window_view(a, n)
    return (windows * v[::-1]).sum(-1)


@primitive(np.polyval)
def _polyval(recorder: Any, p: Any, x: Any) -> Any:
    if not is_real(p, x) or np.ndim(p) != 1 or not 0 < np.size(p) <= MOST_TERMS:
        return NotImplemented
    found = x * 0 + p[0]
    for i in range(1, np.size(p)):
        found = found * x + p[i]
    return found


@primitive(np.vander)
def _vander(recorder: Any, x: Any, N: int | None = None, increasing: bool = False) -> Any:
    n = np.size(x) if N is None else N
    if not is_real(x) or np.ndim(x) != 1 or type(n) is not int or n < 1:
        return NotImplemented
    powers = recorder.filled(1, (x.size, n), np.promote_types(x.dtype, int))
    powers[:, 1:] = x[:, None]
    powers = np.cumprod(powers, 1)
    return powers if increasing else powers[:, ::-1]
