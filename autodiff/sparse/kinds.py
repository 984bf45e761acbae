"""Kinds of structure: what the functions of one kind do to the pattern of an operand.

Each takes the pattern and what the node knows of the operand's `Use`, and gives the pattern of the result.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from ..case import KNOWN, Case
from .patterns import Pattern, checked_size, everything, numbered, pooled, put, taken, times

__all__ = [
    "Use",
    "cumulated",
    "elementwise",
    "gathered",
    "matrices",
    "mixed",
    "moved",
    "moved_parts",
    "reduced",
    "same",
    "unknown",
]

Shape = tuple[int, ...]


class Use:
    """How a node uses an operand: its case, which operand it is, what was saved, the result's shape if known."""

    def __init__(self, case: Case, index: int, known: dict[str, Any], out: Shape | None) -> None:
        self.case, self.index, self.known, self.out = case, index, known, out
        self.rule = case.rule

    @cached_property
    def options(self) -> dict[str, Any]:
        """The function's further arguments by name."""
        code = self.rule.maps[self.index].__code__  # type: ignore[union-attr]
        names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        given = zip((n for n in names if n not in KNOWN), self.known.get("rest", ()), strict=False)
        return {**dict(given), **self.known.get("kwargs", {})}

    def run(self, x: Any) -> Any:
        """The function itself on another array in place of the operand: the linear part of it."""
        rest, kwargs = self.known["rest"], self.known["kwargs"]
        if "aux" in self.known and "order" in self.options and self.rule.forward:
            shape, order = self.known["aux"]  # of a reshape that followed the memory of its operand
            return x.reshape(shape, order=order)
        if self.rule.forward:
            return self.rule.forward(x, *rest, **kwargs)[0]
        return (self.rule.push or self.rule.function)(x, *rest, **kwargs)

    def shape(self, p: Pattern) -> Shape:
        """The shape of the result; for a linear function it may have to be found out."""
        return np.shape(self.run(np.zeros(p.shape))) if self.out is None else self.out


def unknown(p: Pattern, use: Use) -> Pattern:
    """Each element of the result may depend on each of the operand."""
    return everything(p, use.shape(p))


# -- element by element, and from place to place


def same(p: Pattern, use: Use) -> Pattern:
    return p


def elementwise(p: Pattern, use: Use) -> Pattern:
    shape = p.shape if use.out is None else use.out
    return p if shape == p.shape else taken(p, np.broadcast_to(numbered(p.shape), shape))


def moved(p: Pattern, use: Use) -> Pattern:
    """The function says itself where each element goes; what is none of the operand's must be 0."""
    return taken(p, use.run(numbered(p.shape)))


def moved_parts(p: Pattern, use: Use) -> Pattern:
    """The same for what may take the real or the imaginary part."""
    return taken(p, use.run(numbered(p.shape, use.known["sx"][1])))


def gathered(p: Pattern, use: Use) -> Pattern:
    """Each element is added to one of the result: the transpose moves the numbers of those."""
    shape = use.shape(p)
    dtype = use.options.get("dtype")
    numbers = numbered(shape, None if dtype is None else np.dtype(dtype))
    return put(p, use.case.apply_map(use.index, numbers, use.known), shape)


# -- along axes


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    return tuple(range(ndim)) if axis is None or not ndim else normalize_axis_tuple(axis, ndim)


def _kept(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """The shape with the axes reduced to length 1."""
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def reduced(p: Pattern, use: Use) -> Pattern:
    """A sum, an extremum, a norm over `axis`, of what `where` selects."""
    options = use.options
    axes = _axes(options.get("axis"), len(p.shape))
    kept = _kept(p.shape, axes)
    shape = kept if options.get("keepdims", False) else tuple([n for i, n in enumerate(p.shape) if i not in axes])
    numbers = np.broadcast_to(numbered(kept), p.shape)
    if options.get("where", True) is not True:
        numbers = np.where(options["where"], numbers, 0)
    result = put(p, numbers, shape)
    if use.out is None or use.out == shape:
        return result
    return taken(result, np.broadcast_to(numbered(shape), use.out))  # order statistics: several of each row


def mixed(p: Pattern, use: Use) -> Pattern:
    """Each element of the result depends on the line through it along `axis`, which may change in length."""
    axis, shape = use.options.get("axis", -1), use.shape(p)
    if axis is None or not p.shape:
        return everything(p, shape)
    kept = _kept(p.shape, _axes(axis, len(p.shape)))
    numbers = numbered(kept)
    return pooled(p, np.broadcast_to(numbers, p.shape), kept, np.broadcast_to(numbers, shape))


def cumulated(p: Pattern, use: Use) -> Pattern:
    """Each element of the result depends on those up to it along `axis`."""
    axis, places = use.options.get("axis"), np.arange(p.rows.shape[0])
    shape, axis = (places.shape, 0) if axis is None or not p.shape else (p.shape, axis)
    lines = np.moveaxis(places.reshape(shape), axis, -1)
    n = lines.shape[-1]
    checked_size(places.size * (n + 1) // 2)
    last, first = np.tril_indices(n)
    lines = lines.reshape(-1, n) if places.size else lines.reshape(0, n)
    return Pattern(shape, times(lines[:, last].reshape(-1), lines[:, first].reshape(-1), places.size, p.rows))


def matrices(p: Pattern, use: Use) -> Pattern:
    """Each element of the result depends on the whole matrix in the last two axes, of a stack of them."""
    batch, shape = p.shape[:-2], use.shape(p)
    numbers = numbered(batch)
    back = np.broadcast_to(numbers.reshape(batch + (1,) * min(2, len(shape) - len(batch))), shape)
    return pooled(p, np.broadcast_to(numbers[..., None, None], p.shape), batch, back)
