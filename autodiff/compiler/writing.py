"""Writing: how a recorder reads and writes parts of arrays. A write makes a new node, which all views see."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import add_at, is_unique
from ..box import Box
from .calls import AT, At, getitem_of, written
from .graph import Node, c_strides
from .indexing import gathered, scattered
from .operands import known_slice, opened, place_of, plain
from .orders import check_write, keep_order, note_order
from .recorded import Recorded

__all__ = ["Writing", "noting"]


def noting(method: Any) -> Any:
    """Note errors that may depend on the numbers: the function may catch them, and a program would not."""

    @functools.wraps(method)
    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except (ValueError, ArithmeticError, IndexError) as error:
            self.raised = f"catches {type(error).__name__}, which depends on its arguments"
            raise

    return noted


def _is_mask(x: Recorded, key: Any, value: Any) -> bool:
    """Whether `x[key] = value` writes the same, whichever elements a mask chooses."""
    if type(key) is not Recorded or key.dtype != bool or not key.ndim or key.shape != x.shape[: key.ndim]:
        return False
    if x.dtype.char not in "?ilqfd" or getattr(value, "dtype", x.dtype).kind not in "biuf":
        return False
    shape = np.shape(value)
    return len(shape) <= x.ndim - key.ndim and all(n in (1, m) for n, m in zip(shape[::-1], x.shape[::-1]))


class Writing:
    """The part of a recorder that has to do with elements."""

    graph: Any
    closed: Any
    reordered: bool
    node: Callable[..., Any]
    whole: Callable[..., Any]
    call: Callable[..., Any]
    filled: Callable[..., Any]
    escape: Callable[..., Any]
    copy: Callable[..., Any]
    cast: Callable[..., Any]
    record: Callable[..., Any]
    captured: dict[int, Any]

    @noting
    def getitem(self, x: Recorded, key: Any) -> Any:
        """`x[key]`."""
        key = opened(key)
        if self.closed:
            return x.data[plain(key)]
        key = self._places(x, key)
        keys = key if type(key) is tuple else (key,)
        if all(k is None or k is Ellipsis or type(k) in (int, slice) or isinstance(k, np.integer) for k in keys):
            keys = tuple([known_slice(k) if type(k) is slice else k for k in keys])
            if any(k is Ellipsis for k in keys):
                return Recorded(x.buffer, x.data[keys])
            part = Recorded(x.buffer, x.data[(*keys, ...)])
            return part if part.ndim else self.copy(part)  # an element is a number, and no view
        found = gathered(self, x, key, x.data[plain(key)])
        if found is None:
            found = self.call(getitem_of, (x, key), {})
        if type(found) is Recorded and found.buffer is not x.buffer:
            note_order(found, x.data)  # it may stand for a function that NumPy computes in the order of x
            if self.reordered:
                keep_order((x, *keys), found)
        return found

    @noting
    def setitem(self, x: Recorded, key: Any, value: Any) -> None:
        """`x[key] = value`: the buffer of x has another node from now on."""
        key = opened(key)
        if self.closed:
            x.data[plain(key)] = plain(value)
            return
        if isinstance(value, Box) and value._node is None:
            value = value._array
        check_write(x)
        buffer, key = x.buffer, self._places(x, key)
        keys = key if type(key) is tuple else (key,)
        basic = all(k is None or k is Ellipsis or type(k) in (int, slice) or isinstance(k, np.integer) for k in keys)
        if basic and buffer.data.dtype == x.dtype:
            region = x.data[keys if any(k is Ellipsis for k in keys) else (*keys, ...)]
            source = self.node(value, x.dtype)
            region[...] = plain(value)
            extra = len(source.shape) - region.ndim
            if extra > 0:
                shape = source.shape[extra:]
                source = self.graph.view(self.whole(source), 0, c_strides(shape), shape)
            if region.shape == buffer.data.shape and region.strides == buffer.data.strides:
                buffer.node = self._spread(source, region.shape)
                return
            offset, strides = place_of(region, buffer.data)
            params = (offset, strides, region.shape)
            if source.op == "view" and source.inputs[0] is buffer.node and (*source.params, source.shape) == params:
                return  # that is what is there: the end of `x[i] += y`
            buffer.node = self.graph.add("put", (buffer.node, source), params, buffer.data.shape, x.dtype)
            return
        if _is_mask(x, key, value):
            test = self.record(np.reshape, (key, key.shape + (1,) * (x.ndim - key.ndim)), {})
            self.setitem(x, ..., self.record(np.where, (test, self._cast_to(value, x.dtype), x), {}))
        elif scattered(self, x, key, value):
            x.data[plain(key)] = plain(value)
        else:
            self._write(written, x, key, value)

    def _places(self, x: Recorded, key: Any) -> Any:
        """A key in which masks that never change are the indices of what they choose."""
        keys = key if type(key) is tuple else (key,)
        if not any(self._is_fixed_mask(k) for k in keys):
            return key
        np.broadcast_to(np.False_, x.shape)[
            plain(key)
        ]  # raises if a mask has another shape, which its indices would not
        found: list[Any] = []
        for k in keys:
            found += k.nonzero() if self._is_fixed_mask(k) else [k]
        return tuple(found)

    def _is_fixed_mask(self, k: Any) -> bool:
        return type(k) is np.ndarray and k.dtype == bool and k.ndim > 0 and id(k) not in self.captured

    def _cast_to(self, value: Any, dtype: Any) -> Any:
        """A value as it is written to an array of that dtype."""
        if isinstance(value, Recorded):
            return value if value.dtype == dtype and value.weak is None else self.cast(value, dtype)
        return np.asarray(value).astype(dtype)

    def _spread(self, source: Node, shape: tuple[int, ...]) -> Node:
        if source.shape == shape:
            return self.whole(source)
        source = self.whole(source) if source.op == "view" else source
        own, lead = source.shape, len(shape) - len(source.shape)
        strides, step = [0] * len(shape), 1
        for i in reversed(range(len(own))):
            strides[lead + i] = step if own[i] != 1 else 0
            step *= own[i]
        return self.whole(self.graph.view(source, 0, tuple(strides), shape))

    def scatter_add(self, g: Any, key: Any, shape: tuple[int, ...], summed: Any = ()) -> Recorded:
        """Zeros of `shape` with `g` added at `key`."""
        out = self.filled(0, shape, g.dtype)
        if is_unique(key):
            self.setitem(out, key, g)
        else:
            self.at(np.add, out, key, g)
        return out

    def at(self, ufunc: Any, x: Any, key: Any, value: Any = None) -> None:
        """`ufunc.at(x, key, value)`."""
        if not isinstance(x, Recorded):
            raise self.escape(f"np.{ufunc.__name__}.at writes to a plain array")
        check_write(x)
        if ufunc is np.add and value is not None and scattered(self, x, key, value, add=True):
            add_at(x.data, plain(key), np.asarray(plain(value), x.dtype))
        else:
            self._write(AT.get(ufunc) or At(ufunc), x, key, value)

    def _write(self, function: Any, x: Recorded, key: Any, value: Any) -> None:
        """Let NumPy write, into a copy of the buffer."""
        buffer = x.buffer
        if buffer.data.dtype != x.dtype:
            raise self.escape("a real or imaginary part is written to")
        offset, strides = place_of(x.data, buffer.data)
        made = self.call(function, (buffer.root, offset, strides, x.shape, key, value), {})
        buffer.node = made.buffer.node
        buffer.data[...] = made.data
