"""Recorder: from what is done with `Recorded` arrays to a graph.

It computes everything with NumPy at once, and reads off shapes, dtypes and views from the results. The graph gets
simple operations where NumPy's are simple (ufuncs, reductions, matmul), and a `call` for all else. What could not be
replayed, as a plain array made of recorded numbers, raises Unrecordable; then `jit` runs the function without it.
"""

import importlib
import inspect
import threading
from collections.abc import Sequence
from types import CodeType
from typing import Any

import numpy as np

from ..arrays import getitem, scatter_add
from ..nested import collect
from . import compositions as compositions  # they register themselves
from . import contractions as contractions
from . import rearrangements as rearrangements
from .calling import PYTHON, Calling, Template, Unrecordable
from .calls import UFUNC_NAMES, astype_of
from .graph import Graph, Node
from .interpret import Hole
from .operands import kind_of, place_of, plain
from .orders import keep_order, note_copy, note_order
from .primitives import CALLED, PRIMITIVES
from .reading import Reading
from .recorded import Buffer, Recorded
from .returned import Sources
from .writing import Writing, noting

__all__ = ["Recorder", "Template", "Unrecordable"]

FLOAT, LARGE = np.dtype(float), 2.0**62
GROWING = frozenset((np.add, np.subtract, np.multiply, np.power, np.negative, np.absolute, np.floor_divide))
NATIVE = frozenset("?ilqfd")  # dtypes that ufuncs are noted with by name; others are calls
# what np.geterr() reads, in ten times the time
ERRORS: Any = getattr(importlib.import_module("numpy._core.umath"), "_extobj_contextvar", None)


class Recorder(Calling, Writing, Reading):
    """One run of a function, as a graph."""

    def __init__(self, function: Any = None, runner: CodeType | None = None, sources: Sources | None = None) -> None:
        super().__init__(function, runner, sources)
        self.graph = Graph()
        self.reason = ""  # why it cannot be replayed, if so
        self.raised = ""  # the same, if the function does not end with an exception
        self.held: dict[int, tuple[Any, Recorded]] = {}  # the plain arrays that were met, by id
        self.sources: list[Any] = []  # where the further inputs come from, in order
        self.weak: list[type | None] = []  # of all inputs: the type of the Python number that one is
        self.kept: list[Any] | None = None  # or what has come in, as it was
        self.captured: dict[int, Any] = {}  # the sources of arrays that may change between calls, by id
        self.results: list[Recorded] = []
        self.loops: dict[Any, Any] = {}  # what has been found out of ufuncs
        self.reordered = False  # whether an array has another order in memory with NumPy
        self.ordered: set[Node] = set()  # what is written to where it matters that it has not: see `orders`
        self.masked = False  # whether derivatives are to mask what may be invalid, in any case
        self.flagged = False  # whether one has left that out
        self.checked: set[int] = set()  # guards of indices
        self.inside: set[int] = set()  # indices that are known to be in bounds
        self.chosen: dict[int, list[Recorded]] = {}  # what masks choose, as indices
        self.states: dict[int, tuple[Any, Any]] = {}  # random generators, and their states as far as draws are noted
        self.errors: Any = None  # the settings of np.errstate that were looked at last; None are the usual ones
        self.ended = False  # the arrays are plain ones from now on
        self.thread = threading.get_ident()
        self.disturbed = False  # whether another thread has come across its arrays

    @property
    def closed(self) -> bool:
        """Whether the arrays are plain ones: when the run has ended, and for other threads, which may meet them in
        what the function captures."""
        if threading.get_ident() != self.thread and not self.ended:
            self.disturbed = True
            return True
        return self.ended

    # -- arrays that come in

    def input(self, array: Any, weak: type | None = None) -> Recorded:
        """An argument. Its numbers are copied, as it may be written to."""
        array = np.asarray(array)
        data = np.array(array, order="C")
        if self.kept is not None:
            self.kept.append(data.copy())
        x = Buffer(self, self.graph.input(data.shape, data.dtype), data).root
        note_order(x, array)
        x.weak = weak
        self.weak.append(weak)
        return x

    def source(self, source: Any, array: Any, weak: type | None = None) -> Recorded:
        """A further input, which is read from its source at each run."""
        self.sources.append(source)
        return self.input(array, weak)

    def constant(self, x: Any) -> Recorded:
        """A plain array as a recorded one, by reference if it is known from outside."""
        held = self.held.get(id(x))
        if held is not None:
            return held[1]
        if id(x) in self.captured:
            made = self.source(self.captured[id(x)], x)
            self.held[id(x)] = (x, made)
            return made
        array = np.array(x, order="C")
        return self.made(self._constant_node(array), array)

    def _constant_node(self, array: Any) -> Node:
        """Its node; a filled array is the number that it is filled with."""
        if array.size > 64 and (array == array.flat[0]).all() and array.flat[0] != 0:
            return self._filled(array.flat[0], array.shape, array.dtype)
        if array.size > 64 and not array.any() and not np.signbit(array).any():
            return self._filled(0, array.shape, array.dtype)
        return self.graph.constant(array)

    def _filled(self, value: Any, shape: Sequence[int], dtype: Any) -> Node:
        number = self.graph.constant(np.array(value, dtype))
        view = self.graph.view(number, 0, (0,) * len(shape), tuple(shape))
        return self.graph.add("copy", (view,), (), shape, dtype)

    def filled(self, value: Any, shape: Sequence[int], dtype: Any) -> Recorded:
        """An array full of a number."""
        data = np.full(shape, value, dtype)
        return self.made(self._filled(value, data.shape, data.dtype) if data.ndim else self.graph.constant(data), data)

    def made(self, node: Node, data: Any) -> Recorded:
        """A new array. `data` is its own memory."""
        if data.base is not None or not data.flags.c_contiguous:
            made = Buffer(self, node, np.array(data, order="C")).root
            note_order(made, data)
            return made
        return Buffer(self, node, data).root

    # -- nodes of what there is

    def node(self, x: Any, dtype: Any = None) -> Node:
        """The node of an operand, of this dtype."""
        if not isinstance(x, Recorded):
            if isinstance(x, np.ndarray) and x.ndim:
                x = self.constant(x)
            else:
                return self.graph.constant(np.asarray(x, dtype))
        buffer = x.buffer
        if x.data is buffer.data:
            node = buffer.node
        elif x.dtype != buffer.data.dtype:  # a real or imaginary part
            node = self._part(x)
        else:
            offset, strides = place_of(x.data, buffer.data)
            node = self.graph.view(buffer.node, offset, strides, x.shape)
        return node if dtype is None or node.dtype == dtype else self._cast(node, dtype)

    def _part(self, x: Recorded) -> Node:
        """The node of a real or imaginary part, of a view of complex numbers."""
        whole = x.buffer.data
        size, start = whole.itemsize, x.data.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        strides = tuple([s // size if n > 1 else 0 for s, n in zip(x.strides, x.shape, strict=True)])
        numbers = self.graph.view(x.buffer.node, start // size, strides, x.shape)
        function = np.imag if start % size else np.real
        return self.graph.add("call", [numbers], (function, Template(((Hole(0),), {}))), x.shape, x.dtype)

    def _cast(self, node: Node, dtype: Any) -> Node:
        if node.op == "constant" and node.size == 1:
            return self.graph.constant(node.params[0].astype(dtype))
        return self.graph.add("cast", (node,), (), node.shape, dtype)

    def whole(self, node: Node) -> Node:
        """The node as an array in C order, as that of a buffer is."""
        return node if node.op != "view" else self.graph.add("copy", (node,), (), node.shape, node.dtype)

    # -- what is done

    def add(self, op: str, inputs: Sequence[Node], params: tuple[Any, ...], data: Any) -> Recorded:
        """A node with this value."""
        data = np.asarray(data)
        return self.made(self.graph.add(op, inputs, params, data.shape, data.dtype), data)

    @noting
    def record(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function of NumPy."""
        if self.closed:
            return function(*plain(args), **plain(kwargs))
        primitive = PRIMITIVES.get(function)
        if primitive is not None:
            result = primitive(self, *args, **kwargs)
            if result is not NotImplemented:
                if self.reordered:
                    keep_order(args, result)
                return result
        return self.call(function, args, kwargs)

    def own(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function of ours: as it is written, in terms of NumPy's."""
        if self.closed:
            return function(*plain(args), **plain(kwargs))
        if function is collect:
            xs, shape = args
            whole = self.record(
                np.stack, ([x if isinstance(x, Recorded) else self.constant(np.asarray(x)) for x in xs],), {}
            )
            return self.record(np.reshape, (whole, (*shape, *whole.shape[1:])), {})
        if function is getitem:
            return self.getitem(self.lifted(args[0]), args[1])
        if function is scatter_add:
            return self.scatter_add(*args)
        if function in PRIMITIVES:
            result = PRIMITIVES[function](self, *args, **kwargs)
            if result is not NotImplemented:
                if self.reordered:
                    keep_order(args, result)
                return result
        if function.__name__ in CALLED:
            return self.call(inspect.unwrap(function), args, kwargs)
        return inspect.unwrap(function)(*[self.lifted(a) for a in args], **kwargs)

    def lifted(self, x: Any) -> Any:
        return self.constant(x) if isinstance(x, np.ndarray) and x.dtype.kind in "biufc" else x

    @noting
    def ufunc(self, ufunc: Any, method: str, inputs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """A ufunc or one of its methods."""
        if self.closed:
            return getattr(ufunc, method)(*plain(inputs), **plain(kwargs))
        if ERRORS is None or ERRORS.get(None) is not self.errors:
            if "raise" in np.geterr().values():
                raise self.escape("runs where np.errstate makes errors of numbers")
            self.errors = ERRORS and ERRORS.get(None)
        out = kwargs.pop("out", None)
        if out is not None:
            result = self.ufunc(ufunc, method, inputs, kwargs)
            targets = out if isinstance(out, tuple) else (out,)
            for target, y in zip(targets, result if isinstance(result, tuple) else (result,), strict=True):
                if not isinstance(target, Recorded):
                    raise self.escape("a result is written to a plain array")
                target[...] = y
            return out[0] if len(targets) == 1 else out
        if method == "at":
            return self.at(ufunc, *inputs)
        if method == "reduce" and ufunc in _REDUCTIONS:
            return self.record(_REDUCTIONS[ufunc], (inputs[0],), {"axis": 0, **kwargs})
        if method == "accumulate":
            return self.record(ufunc.accumulate, inputs, kwargs)
        if method == "__call__" and not kwargs:
            if ufunc in PRIMITIVES:
                result = PRIMITIVES[ufunc](self, *inputs)
                if result is not NotImplemented:
                    if self.reordered:
                        keep_order(inputs, result)
                    return result
            if ufunc in UFUNC_NAMES and ufunc.nout == 1 and ufunc.signature is None:
                result = self._elementwise(ufunc, inputs)
                if result is not NotImplemented:
                    return result
        return self.call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def operate(self, ufunc: Any, inputs: Sequence[Any]) -> Any:
        """An operator: of Python's numbers it makes another one."""
        if type(inputs[0]) is Recorded and inputs[0].weak is None:  # the usual case
            return self.ufunc(ufunc, "__call__", inputs, {})
        kinds = [x.weak if type(x) is Recorded else type(x) for x in inputs]
        if not all(kind in PYTHON for kind in kinds):
            return self.ufunc(ufunc, "__call__", inputs, {})
        if bool in kinds and not (ufunc in BITWISE and kinds == [bool, bool]):  # they count as integers
            inputs = [int(x) if kind is bool else x for x, kind in zip(inputs, kinds, strict=True)]
        if ufunc in DIVISIONS and inputs[1] == 0:  # noted, as any branch is
            raise ZeroDivisionError("division by zero")
        result = self.ufunc(ufunc, "__call__", inputs, {})
        if type(result) is Recorded:
            result.weak = {"b": bool, "i": int, "f": float, "c": complex}[result.dtype.kind]
            self._within(ufunc, inputs, result)
        return result

    def _within(self, ufunc: Any, inputs: Sequence[Any], result: Recorded) -> None:
        """Note that an operation on Python's numbers has a result that NumPy's numbers have too."""
        fits = True
        if result.weak is int and ufunc in GROWING:
            near = ufunc(*[self.cast(x, FLOAT) if isinstance(x, Recorded) else np.float64(x) for x in inputs])
            fits = bool(np.abs(near) < LARGE)
        elif ufunc is np.left_shift:
            fits = False
        elif result.weak in (float, complex) and ufunc is np.power:
            fits = bool(np.isfinite(result))
        if not fits:
            raise self.escape("computes with numbers that only Python has: large integers, or a power that is none")

    def _loop(self, ufunc: Any, kinds: tuple[Any, ...]) -> tuple[Any, bool]:
        """The dtypes that a ufunc computes in, None if that is no operation of a graph; if all are Python numbers."""
        weak = all(isinstance(k, type) for k in kinds)
        try:
            loop = ufunc.resolve_dtypes((*(map(np.dtype, kinds) if weak else kinds), None))
        except TypeError:
            loop = None
        if loop is not None and any(dtype.char not in NATIVE for dtype in loop):
            loop = None
        self.loops[ufunc, kinds] = loop, weak
        return loop, weak

    def _elementwise(self, ufunc: Any, inputs: Sequence[Any]) -> Any:
        kinds = tuple([x.data.dtype if type(x) is Recorded and x.weak is None else kind_of(x) for x in inputs])
        loop, weak = self.loops.get((ufunc, kinds)) or self._loop(ufunc, kinds)
        if loop is None:
            return NotImplemented
        data = ufunc(*[x.data if type(x) is Recorded and x.weak is None else plain(x) for x in inputs])
        nodes = []
        for x, dtype in zip(inputs, loop, strict=False):
            if type(x) is not Recorded or x.data is not x.buffer.data or x.buffer.node.dtype is not dtype:
                nodes.append(self._operand(x, dtype))
            else:
                nodes.append(x.buffer.node)
        if type(data) is not np.ndarray or data.dtype is not loop[-1]:
            data = np.asarray(data, loop[-1])
        made = self.made(self.graph.add(UFUNC_NAMES[ufunc], nodes, (), data.shape, data.dtype), data)
        if self.reordered:
            keep_order(inputs, made)
        if weak and ufunc in SIGNS:  # which Python's operators do with
            made.weak = kinds[0]
        return made

    def _operand(self, x: Any, dtype: Any) -> Node:
        """The node of an operand of a ufunc that computes in this dtype."""
        if type(x) is Recorded and x.weak is int and dtype.kind == "i" and dtype.itemsize < 8:
            number: Any = x
            bool(number >= np.iinfo(dtype).min) and bool(number <= np.iinfo(dtype).max)  # NumPy refuses others
        return self.node(x, dtype)

    def cast(self, x: Recorded, dtype: Any, copy: Any = True) -> Recorded:
        """`x.astype(dtype)`."""
        if self.closed:
            return x.data.astype(dtype, copy=copy)
        if x.dtype == dtype:
            return self.copy(x, "K") if copy else x
        if dtype.char not in NATIVE or x.dtype.char not in NATIVE:
            return self.call(astype_of, (x, dtype), {})
        made = self.made(self._cast(self.node(x), dtype), x.data.astype(dtype))
        note_copy(x, made, "K")
        return made

    def copy(self, x: Recorded, order: Any = "C") -> Recorded:
        """The same numbers in memory of their own."""
        if self.closed:
            return x.data.copy(order)
        made = self.made(self.whole(self.node(x)), x.data.copy(order))
        note_copy(x, made, order)
        return made

    def view(self, x: Recorded, data: Any) -> Recorded:
        """`data`, which shows memory of `x`."""
        return Recorded(x.buffer, data)

    # -- results

    def result(self, x: Recorded) -> int:
        """Make `x` an output of the program; its position."""
        node = self.node(x)
        self.graph.outputs.append(node)
        self.results.append(x)
        return len(self.graph.outputs) - 1

    def values(self) -> list[Any]:
        """The outputs of this run, each an array of its own."""
        seen: set[int] = set()
        values = []
        for x in self.results:
            own = x.data is x.buffer.data and x.buffer.node.op != "input" and id(x.data) not in seen
            seen.add(id(x.data))
            values.append(x.data if own else np.array(x.data, order="C"))
        return values

    def close(self) -> Graph:
        """The graph, each output with an array of its own."""
        seen: set[int] = set()
        for i, node in enumerate(self.graph.outputs):
            if node.op in ("input", "constant", "view", "item") or node.number in seen:
                node = self.graph.fresh("copy", (node,), (), node.shape, node.dtype)
                self.graph.outputs[i] = node
            seen.add(node.number)
        self.held.clear()
        return self.graph


SIGNS = frozenset((np.absolute, np.negative, np.positive))
BITWISE = frozenset((np.bitwise_and, np.bitwise_or, np.bitwise_xor))
DIVISIONS = frozenset((np.divide, np.floor_divide, np.remainder))
_REDUCTIONS = {np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min}
_REDUCTIONS |= {np.logical_and: np.all, np.logical_or: np.any}
