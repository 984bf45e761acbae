"""Indices that are arrays of integers, as places in memory: what `x[i]` reads and `np.add.at(x, i, y)` adds to.

Slices, single integers and new axes are a view, as NumPy makes it. Along the axes that are left for arrays each of
them moves on by that axis' step.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .graph import Node
from .loops import DTYPES
from .masks import is_mask, nonzero
from .operands import known_slice, place_of
from .recorded import Recorded

__all__ = ["Places", "gathered", "places", "scattered"]


class Places(NamedTuple):
    """Elements of a buffer: `offset` and `strides` over `shape`, and `steps` (step, length) for each of `indices`."""

    offset: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]
    steps: tuple[tuple[int, int], ...]
    indices: list[Node]


def _is_index(k: Any) -> bool:
    return type(k) in (Recorded, np.ndarray) and k.dtype in DTYPES and k.dtype.kind == "i"


def _is_basic(k: Any) -> bool:
    return k is None or k is Ellipsis or type(k) in (int, slice) or isinstance(k, np.integer)


def places(recorder: Any, x: Recorded, key: Any) -> Places | None:
    """Which elements `x[key]` has; None if that is another kind of key."""
    keys = list(key) if type(key) is tuple else [key]
    keys = [np.array(k) if type(k) is list and k and all(type(i) is int for i in k) else k for k in keys]
    if any(map(is_mask, keys)):
        chosen = [nonzero(recorder, k) if is_mask(k) else [k] for k in keys]
        if any(c is None for c in chosen):
            return None
        keys = [k for c in chosen if c is not None for k in c]
    if not all(_is_index(k) or _is_basic(k) for k in keys) or not any(map(_is_index, keys)):
        return None
    if x.dtype != x.buffer.data.dtype or sum(k is Ellipsis for k in keys) > 1:
        return None
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    missing = x.ndim - sum(k is not None and k is not Ellipsis for k in keys)
    if missing < 0:
        return None
    basic: list[Any] = []
    found: list[Any] = []  # the array of each axis of the view, if it has one
    begins: list[int] = []  # how many axes there are before each array or integer
    runs, inside = 0, False  # of arrays and integers side by side
    for k in keys:
        advanced = k is not None and k is not Ellipsis and type(k) is not slice
        runs += advanced and not inside
        inside = advanced
        if advanced:
            begins.append(len(found))
        if k is Ellipsis:
            basic += [slice(None)] * missing
            found += [None] * missing
        elif _is_index(k):
            basic.append(slice(None))
            found.append(k)
        else:
            basic.append(known_slice(k) if type(k) is slice else k)
            found += [] if advanced else [None]
    whole = x.data[(*basic, ...)]
    arrays = [k for k in found if k is not None]
    together = np.broadcast_shapes(*[k.shape for k in arrays])
    offset, strides = place_of(whole, x.buffer.data)
    rest = [(n, s) for n, s, k in zip(whole.shape, strides, found, strict=True) if k is None]
    at = sum(k is None for k in found[: begins[0]]) if runs == 1 else 0
    space = [*rest[:at], *[(n, 0) for n in together], *rest[at:]]
    shape = tuple([n for n, _ in space])
    steps = tuple([(s, n) for n, s, k in zip(whole.shape, strides, found, strict=True) if k is not None])
    if 0 in shape or 0 in whole.shape or any(n >= 2**31 for _, n in steps):
        return None
    indices = []
    for k, (_, n) in zip(arrays, steps, strict=True):
        index = recorder.lifted(k)
        _check(recorder, index, n)
        indices.append(recorder.node(recorder.view(index, index.data[(..., *[None] * (len(rest) - at))])))
    return Places(offset, tuple([s for _, s in space]), shape, steps, indices)


def _check(recorder: Any, index: Recorded, n: int) -> None:
    """A guard that the index is in bounds, as it has been found to be: else f runs again, and NumPy raises."""
    graph, node = recorder.graph, recorder.node(index)
    if index.buffer.node.op == "constant" or node.number in recorder.inside:
        return
    bool_ = np.dtype(bool)

    def compared(op: str, value: int) -> Node:
        found: Node = graph.add(op, (node, graph.constant(np.array(value, node.dtype))), (), node.shape, bool_)
        return found

    outside = graph.add("logical_or", (compared("less", -n), compared("greater_equal", n)), (), node.shape, bool_)
    if node.shape:
        outside = graph.add("any", (outside,), (tuple(range(len(node.shape))),), (), bool_)
    if outside.number not in recorder.checked:
        recorder.checked.add(outside.number)
        graph.guards.append((outside, False))


def gathered(recorder: Any, x: Recorded, key: Any, data: Any) -> Recorded | None:
    """`x[key]`, whose value is `data`; None if that takes a call."""
    found = places(recorder, x, key) if x.dtype in DTYPES else None
    if found is None or found.shape != np.shape(data):
        return None
    inputs = (x.buffer.node, *found.indices)
    made: Recorded = recorder.add("gather", inputs, (found.offset, found.strides, found.steps), data)
    return made


def scattered(recorder: Any, x: Recorded, key: Any, value: Any, add: bool = False) -> bool:
    """Notes `x[key] = value` or `np.add.at(x, key, value)`, and whether it could."""
    typed = getattr(value, "dtype", x.dtype)
    if x.dtype not in DTYPES or (add and x.dtype.kind == "b"):
        return False
    if add and typed != x.dtype and getattr(value, "weak", None) is None:
        return False
    found = places(recorder, x, key) if typed in DTYPES else None
    if found is None or not _fits(np.shape(value), found.shape):
        return False
    if not add and sum(n > 1 and not s for n, s in zip(found.shape, found.strides)) > 1:
        return False  # of equal indices the last one counts, so the order of loops would
    buffer = x.buffer
    inputs = (buffer.node, recorder.node(value, x.dtype), *found.indices)
    params = (found.offset, found.strides, found.shape, found.steps)
    op = "scatter_add" if add else "scatter"
    buffer.node = recorder.graph.add(op, inputs, params, buffer.data.shape, x.dtype)
    return True


def _fits(shape: Sequence[int], space: Sequence[int]) -> bool:
    return len(shape) <= len(space) and all(n in (1, m) for n, m in zip(shape[::-1], space[::-1]))
