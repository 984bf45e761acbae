"""Writing to Values, with NumPy's meaning: `y[i] = v`, `y += v`, `out=`, `np.add.at`.

A write is one more node on the tape: the Value that was written to now stands for *the old one with a
region replaced*. The object is rebound to that node, and its views find their way there (see views), so
whoever holds it sees the change. What a node has saved is never written to.

The cotangent of the region belongs to what was written, the rest to the old Value. On plain arrays the
walk cuts the region out of the array it owns, so a loop that fills a buffer costs the same for every entry.
"""

import math
import operator
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from .arguments import operand, option
from .arrays import add_at, arange_like, cast, expand, inner_of, is_unique, restore
from .batched import Batched, levels_of, widened
from .box import Box, Inner
from .context import FILLED
from .convert import assembled
from .errors import BatchError, GraphError, OperandError
from .regions import Path, embed, follow, narrows, place, punch, step_to, walk, zero
from .rule import Rule
from .spec import Spec
from .taint import tainted
from .tape import LEAF, RECORDING, Node, operation
from .views import array_of, origin, peek, set_array, stale

__all__ = ["CASE", "WriteCase", "store", "write"]


class WriteCase:
    """The case of a write. Parents: the old Value and what was written, as far as they are tracked.

    A node has saved: the path; the Specs of the whole and of the value; whether it adds, as `np.add.at` does; whether
    the old Value is tracked, and the new one; and, where an index is repeated, which elements of the value were not
    overwritten by a later one.
    """

    count = -1
    is_spent = False
    batched = False  # whether there are hidden axes: then nothing is done in place
    rule = Rule(operator.setitem, "linear", name="setitem")
    spent = rule.spent

    def residuals(self, saved: Any) -> dict[str, Any]:
        return {}

    def lift(self, saved: Any, node: Any, wrap: Callable[..., Any]) -> Any:
        return saved

    def pull(self, saved: Any, g: Any) -> Any:
        if not isinstance(g, Box) and type(g) is not Batched and not self.batched:
            return NotImplemented  # the walk calls `spread`
        path, whole, value, adds, onto, source, last = saved
        old = [restore(g if adds else punch(g, path), Spec(*whole))] if onto else []
        return [*old, _written(g, path, whole, value, last, follow)] if source else old

    def spread(self, saved: Any, g: Any, node: Any, collect: Callable[..., None], sums: Any, owned: Any) -> None:
        """The same in place, if the walk owns `g`."""
        path, whole, value, adds, onto, source, last = saved
        if source:
            part = _written(g, path, whole, value, last, walk)
            collect(node.parents[-1], part if part.base is None else part.copy(), True)
        if onto:
            fresh = node in owned and type(g) is np.ndarray
            if not adds:
                if not fresh:
                    g, fresh = np.array(g) if isinstance(g, np.generic) else g.copy(), True
                zero(g, path)
            collect(node.parents[0], g if g.ndim else g[()], fresh)

    def push(self, saved: Any, tangents: tuple[Any, ...], masked: bool = False) -> Any:
        path, whole, _, adds, onto, source, last = saved
        old = tangents[0] if onto else None
        new = tangents[-1] if source else None
        total = None
        if old is not None:
            total = old if adds else punch(old, path)
        if new is not None:
            part = walk(np.broadcast_to(np.zeros((), whole[1]), whole[0]), path)
            new = cast(new, part.dtype) if new.dtype != part.dtype else new
            new = new.reshape(new.shape[new.ndim - part.ndim :]) if new.ndim > part.ndim else new
            new = expand(new, part.shape)
            new = embed(new if last is None else new * last, path, *whole[:2])
            new = np.conj(new) if narrows(whole[1], part.dtype) else new
            total = new if total is None else total + new
        return total


def _written(g: Any, path: Path, whole: Any, value: Any, last: Any, reach: Callable[[Any, Path], Any]) -> Any:
    """The part of `g` that belongs to what was written."""
    if isinstance(g, np.generic):
        g = np.asarray(g)
    if whole[1].kind == "c" and value[1].kind != "c":
        g = np.conj(g)  # which matters if the path ends in the imaginary part
    part = reach(g, path)
    if part.shape == value[0] and part.dtype == value[1] and last is None and type(part) is np.ndarray:
        return part
    if last is not None:
        part = part * last
    missing = len(value[0]) - part.ndim
    return restore(part.reshape((1,) * missing + part.shape) if missing > 0 else part, Spec(*value))


class _BatchCase(WriteCase):
    """The same for batches."""

    batched = True


CASE, BATCH_CASE = WriteCase(), _BatchCase()


def write(v: Any, key: Any, value: Any, *, adds: bool = False) -> None:
    """`v[key] = value`, or `np.add.at(v, key, value)`.

    Raises GraphError for a leaf while the graph is recorded, and what NumPy raises.
    """
    if type(key) is not int:
        key = option(CASE.rule, key)
    if isinstance(value, Box):
        data, source = value._array, value._node
    else:
        data, source = _source(value)
    given = value if type(value) in (int, float, bool, complex) else data  # a number goes onto any device
    if type(key) is Batched and key.dtype == bool:
        _write_where(v, key, value, data)
        return
    root, path = origin(v)
    old = _writeable(root)
    buffer = _exclusive(root)
    before = buffer
    levels = levels_of((data, key))
    inner = inner_of((data, *key) if type(key) is tuple else (data, key))
    if inner is not None:
        buffer = widened(inner.__autodiff_adopt__(buffer), levels)
        set_array(root, buffer)
    path = (*path, step_to(key))
    target, inside = (buffer, key) if len(path) == 1 else place(buffer, path)
    dtype = target.dtype
    if dtype.kind != "c" and data.dtype.kind == "c":
        raise OperandError("setitem: a complex value does not fit a real array; write its .real")
    onto = old is not None and old.number != LEAF
    case: Any = BATCH_CASE if type(buffer) is Batched else CASE
    if onto and not adds and any(isinstance(k, np.ndarray) for k in (inside if type(inside) is tuple else (inside,))):
        case = tainted(case, (target[inside],))
    if adds:
        add_at(target, inside, given) if inner is not None else np.add.at(target, inside, given)
    else:
        target[inside] = given
    if not buffer.ndim:
        root._array = buffer[()]
    tracked = source is not None and RECORDING.get()
    if (onto or tracked) and dtype.kind in "fc":
        if old is None:
            _note_filled(root)
        parents: Any = (old, source) if onto and tracked else (old,) if onto else (source,)
        root._node = node = operation(parents)
        node.case = case
        last = None if not tracked or adds or type(key) is int or is_unique(key) else _not_overwritten(target, inside)
        retained = old is not None and hasattr(old, "grad")
        whole, part = (before.shape, before.dtype), (data.shape, data.dtype)
        if levels or type(buffer) is Batched:
            whole, part = (*whole, levels_of(before)), (*part, levels_of(data))  # type: ignore[assignment]
        node.saved = (path, whole, part, adds, onto, tracked, last)
        if retained:
            root.retain_grad()  # type: ignore[attr-defined]
    stale(root)


def _write_where(v: Any, mask: Any, value: Any, data: Any) -> None:
    """`v[mask] = value` for a mask of each example: a selection, as there is no telling how many elements it has."""
    if data.ndim:
        raise BatchError(
            "setitem: under vmap a mask selects another number of elements in each example, so only one number can be "
            "written there; use np.where(mask, values, v)"
        )
    shape = peek(v)[0].shape
    mask = mask.reshape(mask.shape + (1,) * (len(shape) - mask.ndim))
    store(v, np.where(v._wrap(mask), value, v[...]), "setitem", "unsafe")


def store(target: Any, result: Any, name: str, casting: Any = "same_kind", *, exact: bool = False) -> Any:
    """Replace the elements of `target` by `result`, as `target += ...` and `out=target` do; returns `target`.

    `exact`: the result is not broadcast. Raises TypeError or ValueError if it does not fit.
    """
    whole = peek(target)[0]
    data, source = _source(result)
    if not np.can_cast(data.dtype, whole.dtype, casting):
        raise TypeError(
            f"{name}: a result of dtype {data.dtype} cannot be written to a Value of dtype {whole.dtype} with "
            f"casting={casting!r}; make a new one, as in y = y + x, or convert y with y.astype({data.dtype})"
        )
    if data.shape != whole.shape and (exact or np.broadcast_shapes(data.shape, whole.shape) != whole.shape):
        raise ValueError(f"{name}: a result of shape {data.shape} does not fit the output of shape {whole.shape}")
    root, path = origin(target)
    same = all(level in levels_of(data) for level in levels_of(whole))  # else it is the same for every example
    if path or data.shape != whole.shape or data.dtype != whole.dtype or not same:
        write(target, ..., result)
        return target
    old = _writeable(root)
    if isinstance(data, np.ndarray) and data.strides != whole.strides:
        data, given = np.empty_like(whole), data  # in the memory order that it had, so that views stay views
        data[...] = given
    if type(root) is root._owner:
        root.__class__ = root._plain
    root._array = data
    if old is None and source is not None:
        _note_filled(root)
    if old is None or old.number != LEAF:
        root._node = source
        if source is not None and hasattr(old, "grad"):
            root.retain_grad()  # type: ignore[attr-defined]
    stale(root)
    return target


def _source(value: Any) -> tuple[Any, Node | None]:
    """What is written: its array, and its node."""
    value = assembled(value)
    if isinstance(value, Box):
        return value._array, value._node
    data = operand(CASE.rule, value)
    return data if hasattr(data, "dtype") else np.asarray(data), None


def _note_filled(root: Box) -> None:
    """Tell the transform that runs that a constant has become tracked: it must not stay so when the transform ends."""
    filled = FILLED.get()
    if filled is not None:
        filled.append(weakref.ref(root))


def _writeable(root: Box) -> Node | None:
    """The node of `root`. Raises GraphError if it is a user's variable and the graph is recorded."""
    node = root._node
    if node is not None and node.number == LEAF and RECORDING.get():
        raise GraphError(
            "a Value that requires a gradient was to be written to; write to a copy of it, as in y = x.copy(), "
            "or under ad.no_grad() if no gradient is wanted"
        )
    return node


def _exclusive(root: Any) -> Any:
    """The array of `root` to write to, which nobody else knows."""
    if type(root) is root._owner:
        return array_of(root)
    array = root._array
    if isinstance(array, np.generic):
        return np.array(array)
    if isinstance(array, np.ndarray) and not array.flags.writeable:
        raise ValueError("assignment destination is read-only")
    array = array.copy(order="K") if isinstance(array, (np.ndarray, Inner)) else array.copy()
    root._array = array
    if type(root) is root._plain:
        root.__class__ = root._owner
    return array


def _not_overwritten(target: Any, key: Any) -> Any:
    """Which elements of what is written at `key` remain: of repeated ones NumPy keeps the last. None means all."""
    if isinstance(key, np.ndarray) and np.unique(key % max(len(target), 1)).size == key.size:
        return None
    shape = target[key].shape
    count = arange_like(target, math.prod(shape)).reshape(shape)
    stamp = np.zeros_like(target, dtype=int)
    stamp[key] = count
    last = stamp[key] == count
    return None if type(last) is not Batched and last.all() else last
