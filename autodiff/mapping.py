"""vmap: a function of one example becomes one of a batch.

The examples' axis is hidden, f runs once, and what it computes is computed for all examples; then the axis is shown
again. Hiding and showing are operations like others, so derivatives of vmap and vmaps of derivatives need nothing
further; see batched.py, and `arrays.restore` for whether a gradient is summed over the examples.
"""

import functools
import operator
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .batched import Batched, Level, check_running
from .batching import enter, leave
from .buffers import watching
from .context import LEVELS
from .convert import describe, is_array
from .dispatch import apply
from .errors import OperandError
from .tape import number
from .transform import check_numbers, name_of, transform
from .tree import leaves, leaves_like, places, tree_map
from .value import Value

__all__ = ["vmap"]

Function = Callable[..., Any]

getrefcount = getattr(sys, "getrefcount", lambda _: 0)  # PyPy has none


@transform
def vmap(f: Function, in_axes: Any = 0, out_axes: Any = 0, *, loop: bool = False) -> Function:
    """`f`, which is written for one example, for a batch of them: all at once, without a loop in Python.

    `in_axes` says along which axis of each argument the examples are: an int or None (the argument is the same for
    all of them), or a tuple of these, one for each argument, each of which may have the structure of its argument.
    Arguments by keyword are always mapped, along their first axis; bind those that are not with functools.partial.
    `out_axes` likewise for the results. With `loop=True`, f is called for one example after the other, which
    allows everything: `if`, `float`, results of a mask.

    f has arguments of its own, to which it may write. It runs once, so what it writes to an array from outside is
    written once, and must be the same for all examples; a Value from outside becomes a batch of them.

    >>> vmap(np.dot)(np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones((2, 2)))
    array([3., 7.])
    >>> vmap(lambda w, x: w * x.sum(), in_axes=(None, 1))(2.0, np.ones((3, 2)))
    array([6., 6.])

    Raises BatchError, naming the way out, where f asks for one answer about all examples, as `if x > 0` does;
    ValueError if the arguments have different numbers of examples.
    """

    def mapped(*args: Any, **kwargs: Any) -> Any:
        given = (args, kwargs)
        axes = [*_axes_of(f, args, in_axes), *(0 for _ in leaves(kwargs))]
        size = _size(f, given, axes)
        if loop:
            return _looped(f, given, axes, size, out_axes)
        level = Level(number(), size)
        it = iter(axes)
        inside, options = tree_map(lambda x: _entered(x, level, next(it)), given)
        token = LEVELS.set(LEVELS.get().entered(level))
        try:
            with watching(f):
                result = f(*inside, **options)
            it = iter([*_matched("vmap: out_axes", result, out_axes)])
            outputs = [*leaves(result)][::-1]
            result = tree_map(lambda _: 0, result)  # the containers, so that `outputs` alone holds what is in them
            return tree_map(lambda _: _left(f, outputs, level, next(it)), result)
        finally:
            LEVELS.reset(token)

    return mapped


# -- axes


def _axes_of(f: Function, args: tuple[Any, ...], in_axes: Any) -> Iterator[Any]:
    """The axis for each leaf of the arguments."""
    if not isinstance(in_axes, (tuple, list)):
        in_axes = (in_axes,) * len(args)
    if len(in_axes) != len(args):
        raise OperandError(
            f"vmap: in_axes={in_axes!r} names {len(in_axes)} axes, but {name_of(f)} was called with {len(args)} "
            "arguments; give one for each, None for what is the same for all examples"
        )
    for i, (x, axes) in enumerate(zip(args, in_axes, strict=True)):
        if next(leaves((x,)), None) is not None:  # not a text or the like, which no batch is made of
            yield from _matched(f"vmap: in_axes of argument {i}", x, axes)


def _matched(what: str, tree: Any, axes: Any) -> Iterator[Any]:
    """One axis for each leaf of `tree`; an int or None stands for all leaves of its part."""
    if axes is None or (hasattr(axes, "__index__") and not isinstance(axes, (bool, np.bool_)) and not np.ndim(axes)):
        yield from (axes if axes is None else operator.index(axes) for _ in leaves(tree))
    elif isinstance(tree, dict) and isinstance(axes, dict):
        if tree.keys() != axes.keys():
            raise OperandError(f"{what}: the keys are {list(axes)}, expected {list(tree)}")
        for key, item in tree.items():
            yield from _matched(what, item, axes[key])
    elif isinstance(tree, (list, tuple)) and isinstance(axes, (list, tuple)) and len(tree) == len(axes):
        for item, part in zip(tree, axes, strict=True):
            yield from _matched(what, item, part)
    else:
        raise OperandError(
            f"{what}: {axes!r} is no axis; pass an int, None, or these in the structure of what they are for"
        )


def _size(f: Function, given: tuple[Any, Any], axes: list[Any]) -> int:
    """The number of examples. Raises if there is none, or if they are not equally many."""
    sizes: dict[int, tuple[int, str]] = {}
    for i, (x, axis) in enumerate(zip(leaves(given), axes, strict=True)):
        if axis is None:
            continue
        if not isinstance(x, Value) and not is_array(x):
            name, way_out = _argument(f, given, i)
            what = describe(x).partition(";")[0]
            raise OperandError(f"vmap: {name} of {name_of(f)} is {what}, which has no axis {axis}; {way_out}")
        shape = np.shape(x)
        if not -len(shape) <= axis < len(shape):
            name, way_out = _argument(f, given, i)
            raise ValueError(f"vmap: {name} of {name_of(f)} has shape {shape} and no axis {axis}; {way_out}")
        sizes.setdefault(shape[axis], (i, f"of shape {shape} has {shape[axis]} along axis {axis}"))
    if len(sizes) > 1:
        found = "; ".join(f"{_argument(f, given, i)[0]} {what}" for i, what in sizes.values())
        raise ValueError(f"vmap: the arguments of {name_of(f)} have different numbers of examples: {found}")
    if not sizes:
        raise OperandError(
            f"vmap: no argument of {name_of(f)} is mapped; give in_axes an axis for one of them at least"
        )
    return next(iter(sizes))


def _argument(f: Function, given: tuple[Any, Any], i: int) -> tuple[str, str]:
    """For messages: what the i-th leaf of the arguments is called, and how to make it the same for all examples."""
    args, kwargs = given
    positions = [f"argument {k}{p.path[3:]}" for k, x in enumerate(args) for p in places((x,))]  # behind the "[0]"
    if i < len(positions):
        return positions[i], "pass None in in_axes for what is the same for all examples"
    keywords = [(k, p.path[3:]) for k, x in kwargs.items() for p in places((x,))]
    k, path = keywords[i - len(positions)]
    return (
        f"argument {k}{path}",
        f"what is the same for all examples is bound before: vmap(functools.partial({name_of(f)}, {k}=...))",
    )


# -- in and out


def _entered(x: Any, level: Level, axis: int | None) -> Any:
    """An argument as f sees it: a Value of its own, to which f may write."""
    if isinstance(x, Value):
        entered = x if axis is None else apply(enter, (x, level, axis), {})
        return Value._wrap(entered._array, entered._node)  # no view of the caller's
    if axis is None:
        return Value._wrap(x) if isinstance(x, np.ndarray) and is_array(x) and x.ndim else x
    return Value._wrap(enter(x.copy(order="K"), level, axis))


def _left(f: Function, outputs: list[Any], level: Level, axis: int | None) -> Any:
    """The last of `outputs` as the caller sees it: an array, unless an outer derivative or vmap needs a Value."""
    is_ours = _is_ours(outputs)
    y = outputs.pop()
    check_numbers("vmap", f, (y,))
    shown = y if isinstance(y, Value) else Value._wrap(np.asarray(y) if isinstance(y, (int, float, complex)) else y)
    _check_axis(f, axis, np.ndim(shown), type(shown._array) is Batched and level in shown._array.levels)
    if axis is not None:
        shown = apply(leave, (shown, level, axis), {})
    if shown._node is not None or type(shown._array) is Batched:
        return shown
    array = shown._array
    if not isinstance(array, np.ndarray) or (is_ours and array.flags.c_contiguous):
        return array
    return array.copy()


def _check_axis(f: Function, axis: int | None, ndim: int, differs: bool) -> None:
    """Raise ValueError if a result of `ndim` axes, which `differs` between the examples or not, has no such axis."""
    if axis is None:
        if differs:
            raise ValueError(
                f"vmap: out_axes is None for a result of {name_of(f)} that differs between the examples; pass an axis"
            )
    elif not -ndim - 1 <= axis <= ndim:
        raise ValueError(f"vmap: out_axes has axis {axis} for a result of {name_of(f)} with {ndim} axes")


def _is_ours(outputs: list[Any]) -> bool:
    """Whether nobody else knows the array of the last output, which then need not be copied.

    So say the reference counts: one is that of the list, of the Value, or of the batch, the other one that of the call.
    """
    return (
        type(outputs[-1]) is Value
        and type(outputs[-1]._array) is Batched
        and getrefcount(outputs[-1]) == 2
        and getrefcount(outputs[-1]._array) == 2
        and getrefcount(outputs[-1]._array.whole) == 2
        and getattr(outputs[-1]._array.whole, "base", outputs) is None
    )


def _looped(f: Function, given: Any, axes: list[Any], size: int, out_axes: Any) -> Any:
    """f, called for one example after the other."""
    if not size:
        raise ValueError(f"vmap: loop=True cannot tell what {name_of(f)} returns if there are no examples")
    results = []
    for i in range(size):
        inside, options = tree_map(functools.partial(_example, i, iter(axes)), given)
        results.append(f(*inside, **options))
    columns = zip(*(leaves_like(results[0], r, "vmap: results of the examples") for r in results), strict=True)
    axes_out = iter(_matched("vmap: out_axes", results[0], out_axes))

    return tree_map(lambda _: _stacked(f, next(columns), next(axes_out)), results[0])


def _stacked(f: Function, column: tuple[Any, ...], axis: int | None) -> Any:
    """One result of f for all examples: along an axis, or the first one if they are the same."""
    arrays = [y._array if isinstance(y, Value) else y for y in column]
    for y in arrays:
        check_running(y, f"vmap: {name_of(f)} returned")
    _check_axis(f, axis, np.ndim(arrays[0]), axis is None and not all(_same(arrays[0], y) for y in arrays))
    if axis is None:
        return column[0]
    for i, y in enumerate(arrays):
        if np.shape(y) != np.shape(arrays[0]):
            raise ValueError(
                f"vmap: {name_of(f)} returned shape {np.shape(arrays[0])} for example 0 and {np.shape(y)} for "
                f"example {i}, which make no one array; pad them, as np.where(mask, x, 0) does, or reduce them inside"
            )
    return np.stack(column, axis)


def _same(x: Any, y: Any) -> bool:
    """Whether two results are the same, nan included; of batches, for each example."""
    if type(x) is Batched and type(y) is Batched:
        return x.levels == y.levels and _same(x.whole, y.whole)
    if type(x) is Batched or type(y) is Batched:
        return False
    if not is_array(x) or not is_array(y):
        return x is y or bool(x == y)
    return np.shape(x) == np.shape(y) and bool(((x == y) | ((x != x) & (y != y))).all())


def _example(i: int, axes: Iterator[Any], x: Any) -> Any:
    """One example of an argument, of its own as well."""
    axis = next(axes)
    if axis is not None:
        x = x[(slice(None),) * (axis % np.ndim(x)) + (i,)]
    if isinstance(x, Value):
        return Value._wrap(x._array, x._node)
    return x.copy(order="K") if isinstance(x, np.ndarray) else x
