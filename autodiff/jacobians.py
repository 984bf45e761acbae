"""Jacobians and Hessians in one pass: all directions are pushed, or pulled, through the record of one run at once.

The directions are the examples of a batch (see batched.py), so a walk handles all of them together. Of a function with
few inputs and many outputs the Jacobian is made column by column, forward; otherwise row by row, backward. A
Hessian is the Jacobian of a gradient, forward: the gradient's own graph is recorded once.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .argnums import Argnums
from .batched import Batched, Level, hide
from .batching import leave
from .context import LEVELS
from .dispatch import apply
from .errors import OperandError
from .record import Record
from .tape import number
from .transform import check_numbers, name_of, transform
from .transforms import gradient_in
from .tree import leaves, tree_map
from .value import Value

__all__ = ["hessian", "jacfwd", "jacobian", "jacrev", "precision", "pulled_rows"]

Function = Callable[..., Any]
Positions = int | str | Sequence[int | str]

LIMIT = 1 << 23  # numbers that all directions of one walk may need for one array; more are taken in several walks


@transform
def jacobian(f: Function, argnums: Positions = 0, *, mode: str | None = None) -> Function:
    """The derivative of every output of `f` with respect to every input: shape `f(x).shape + x.shape`.

    `mode` is "fwd", one direction for each input, or "rev", one for each output; None takes the fewer. For containers
    the Jacobian has the structure of the result, with that of the argument in place of its leaves; for a sequence
    `argnums` these are tuples. It has the precision of the argument, as a gradient has, in either mode. For complex
    numbers it is df/dz, and `f` has to be holomorphic.

    >>> jacobian(lambda x: x * x.sum())(np.array([1.0, 2.0]))
    array([[4., 1.],
           [2., 5.]])

    Raises OperandError for integer arguments, for results that are no arrays, and for complex to real functions.
    """
    return _jacobian("jacobian", f, argnums, mode)


@transform
def jacfwd(f: Function, argnums: Positions = 0) -> Function:
    """`jacobian(f, argnums, mode="fwd")`.

    >>> jacfwd(np.sin)(0.0)
    np.float64(1.0)

    Raises as `jacobian` does.
    """
    return _jacobian("jacfwd", f, argnums, "fwd")


@transform
def jacrev(f: Function, argnums: Positions = 0) -> Function:
    """`jacobian(f, argnums, mode="rev")`.

    >>> jacrev(np.sin)(0.0)
    np.float64(1.0)

    Raises as `jacobian` does.
    """
    return _jacobian("jacrev", f, argnums, "rev")


@transform
def hessian(f: Function, argnums: Positions = 0) -> Function:
    """The second derivatives of a scalar-valued `f`: shape `x.shape + x.shape`.

    For containers it has the structure of the argument twice, one in the other.

    >>> hessian(lambda x: x[0] * x[1] ** 2)(np.array([1.0, 3.0]))
    array([[0., 6.],
           [6., 2.]])

    Raises GraphError if `f` is not scalar-valued, OperandError for integer or complex arguments.
    """
    chosen, gradient = Argnums("hessian", f, argnums), gradient_in("hessian", f, argnums)

    def second(*args: Any, **kwargs: Any) -> Any:
        keys = chosen.keys(args, kwargs)
        record = Record("hessian", chosen.take(args, kwargs, keys), keys)
        if any(data.dtype.kind == "c" for _, data in record.inputs):
            raise OperandError("hessian: an argument is complex; write f in terms of its real and imaginary parts")
        result = record.run(gradient, *chosen.put(args, kwargs, keys, record.arguments))
        columns = _pushed(record, result)
        record.forget(())
        return _nested(record, result, columns, chosen)

    return second


def _jacobian(name: str, f: Function, argnums: Positions, mode: str | None) -> Function:
    if mode not in (None, "fwd", "rev"):
        raise OperandError(f'{name}: mode={mode!r}; it is "fwd", "rev" or None, which takes the cheaper one')
    chosen = Argnums(name, f, argnums)

    def first(*args: Any, **kwargs: Any) -> Any:
        keys = chosen.keys(args, kwargs)
        record = Record(name, chosen.take(args, kwargs, keys), keys)
        result = record.run(f, *chosen.put(args, kwargs, keys, record.arguments))
        outputs = [*leaves(result, result=True)]
        check_numbers(name, f, outputs)
        ins = {data.dtype.kind for _, data in record.inputs}
        outs = {np.result_type(y).kind if not hasattr(y, "dtype") else y.dtype.kind for y in outputs}
        if "c" in ins and outs - {"c"}:
            raise OperandError(
                f"{name}: {name_of(f)} takes complex numbers and returns real ones, so it has no complex derivative; "
                "use grad, or vjp"
            )
        if mode == "rev" or (mode is None and ins == outs and _size(outputs) < _size(record.values)):
            blocks = _pulled(record, outputs)
        else:
            blocks = _pushed(record, result)
        record.forget(())
        return _nested(record, result, blocks, chosen)

    return first


def _size(arrays: Any) -> int:
    return sum(int(np.size(x)) for x in arrays)


# -- all directions at once: for each output a list with a block for each input


def _pushed(record: Record, result: Any) -> list[list[Any]]:
    """Column by column, forward."""
    shapes = [data.shape for _, data in record.inputs]
    sizes = [math.prod(shape) for shape in shapes]
    outputs = [*leaves(result, result=True)]
    parts = []
    for start, stop in _chunks(sum(sizes), max(_size(outputs), sum(sizes))):
        level = Level(number(), stop - start)
        directions = _units(record.inputs, sizes, start, stop, level)
        tangents = record.push(outputs, directions)
        parts.append([_shown(t, level, -1) for t in tangents])
    columns = [_joined(part, -1) for part in zip(*parts, strict=True)]
    ends = [*np.cumsum(sizes)]
    blocks = []
    for y, whole in zip(outputs, columns, strict=True):
        shape = np.shape(y)
        if len(sizes) == 1:
            cut = [whole]
        else:
            cut = [whole[..., end - size : end] for end, size in zip(ends, sizes, strict=True)]
        row = []
        for b, (_, x) in zip(cut, record.inputs, strict=True):
            dtype = x.dtype if b.dtype == x.dtype else precision(x.dtype, b.dtype)
            row.append(_settled(b if b.dtype == dtype else b.astype(dtype), shape + x.shape))
        blocks.append(row)
    return blocks


def _pulled(record: Record, outputs: list[Any]) -> list[list[Any]]:
    """Row by row, backward."""
    sizes = [int(np.size(y)) for y in outputs]
    inputs = [data for _, data in record.inputs]
    parts = []
    for start, stop in _chunks(sum(sizes), max(sum(sizes), _size(inputs))):
        level = Level(number(), stop - start)
        seeds = _units([(None, y) for y in outputs], sizes, start, stop, level)
        parts.append([_shown(r, level, 0) for r in pulled_rows(record, outputs, seeds, level)])
    wholes = [_joined(part, 0) for part in zip(*parts, strict=True)]
    ends = [*np.cumsum(sizes)]
    blocks = []
    for y, size, end in zip(outputs, sizes, ends, strict=True):
        cut = wholes if len(sizes) == 1 else [whole[end - size : end] for whole in wholes]
        cut = cut if np.iscomplexobj(y) else [b.real if b.dtype.kind == "c" else b for b in cut]
        blocks.append([_settled(b, np.shape(y) + x.shape) for b, x in zip(cut, inputs, strict=True)])
    return blocks


def pulled_rows(record: Record, outputs: Sequence[Any], seeds: Sequence[Any], level: Level) -> list[Any]:
    """Rows of the Jacobian: what `seeds`, one for each output, examples of `level`, are pulled back to.

    Of a complex output, a real input has the real parts only; those of the turned seeds are the imaginary ones.
    """
    token = LEVELS.set(LEVELS.get().entered(level))
    try:
        rows = record.pull(outputs, seeds)
        real = [data.dtype.kind != "c" for _, data in record.inputs]
        if any(real) and any(s.dtype.kind == "c" for s in seeds):
            turned = record.pull(outputs, [(1j if s.dtype.kind == "c" else 0) * s for s in seeds])
            return [r + 1j * t if is_real else np.conj(r) for r, t, is_real in zip(rows, turned, real, strict=True)]
        return [r if is_real else np.conj(r) for r, is_real in zip(rows, real, strict=True)]
    finally:
        LEVELS.reset(token)


def _chunks(count: int, size: int) -> list[tuple[int, int]]:
    """The directions in as few walks as memory allows."""
    step = max(1, LIMIT // max(size, 1))
    return [(i, min(i + step, count)) for i in range(0, count, step)] or [(0, 0)]


def _units(arrays: Any, sizes: list[int], start: int, stop: int, level: Level) -> list[Any]:
    """The unit vectors `start` to `stop` of all arrays together, as one batch for each array."""
    units, before = [], 0
    for (_, x), size in zip(arrays, sizes, strict=True):
        dtype = x.dtype if hasattr(x, "dtype") else np.result_type(x)
        unit = np.zeros((stop - start, size), dtype if dtype.kind in "fc" else float)
        lo, hi = max(start, before), min(stop, before + size)
        i = np.arange(lo, max(hi, lo))
        unit[i - start, i - before] = 1
        units.append(hide(unit.reshape((stop - start, *np.shape(x))), (level,)))
        before += size
    return units


def _shown(x: Any, level: Level, axis: int) -> Any:
    """The directions as an axis of an array, or of a Value if an outer derivative or batch needs one."""
    if not isinstance(x, Value):
        x = Value._wrap(x)
    shown = apply(leave, (x, level, axis), {})
    return shown if shown._node is not None or type(shown._array) is Batched else shown._array


def _joined(parts: Sequence[Any], axis: int) -> Any:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


def precision(argument: Any, result: Any) -> Any:
    """The dtype of a Jacobian: complex if that of the result is, and as precise as the argument, like a gradient."""
    real = np.finfo(argument).dtype
    return np.result_type(real, np.complex64) if result.kind == "c" else real


def _settled(block: Any, shape: tuple[int, ...]) -> Any:
    """A block in its shape, as an array of its own."""
    if block.shape != shape:
        block = block.reshape(shape)
    if isinstance(block, np.ndarray):
        block = np.ascontiguousarray(block) if block.base is None else block.copy()
    return block[()] if not shape else block


def _nested(record: Record, result: Any, blocks: list[list[Any]], chosen: Argnums) -> Any:
    """The blocks in the structure of the result, with that of the arguments in place of each leaf."""
    it = iter(blocks)

    def of_output(_: Any) -> Any:
        row = next(it)
        return chosen.pack([tree_map(row.__getitem__, skeleton) for skeleton in record.skeletons])

    return tree_map(of_output, result, result=True)
