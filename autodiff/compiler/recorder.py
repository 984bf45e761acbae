"""Recorder: from what is done with `Recorded` arrays to a graph.

It computes everything with NumPy at once, and reads off shapes, dtypes and views from the results. The graph gets
simple operations where NumPy's are simple (ufuncs, reductions, matmul), and a `call` for all else. What could not be
replayed, as a plain array made of recorded numbers, raises Unrecordable; then `jit` runs the function without it.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import add_at, getitem, is_unique, scatter_add
from ..nested import collect
from .calls import AT, UFUNC_NAMES, At, Counted, astype_of, getitem_of, written
from .graph import Graph, Node, c_strides
from .indexing import gathered, scattered
from .interpret import Hole
from .operands import kind_of, known_slice, place_of, plain
from .primitives import CALLED, PRIMITIVES, STATIC
from .recorded import Buffer, Recorded

__all__ = ["Recorder", "Template", "Unrecordable"]

NATIVE = frozenset("?ilqfd")  # dtypes that ufuncs are noted with by name; others are calls
PYTHON = (bool, int, float, complex)


class Unrecordable(Exception):
    """What the function does cannot be replayed."""


class Template:
    """The arguments of a call, with holes for its arrays. Equal text is equal: then two calls are one."""

    __slots__ = ("text", "value")

    def __init__(self, value: Any) -> None:
        self.value, self.text = value, repr(value)

    def __eq__(self, other: object) -> bool:
        return type(other) is Template and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.text


class Recorder:
    """One run of a function, as a graph."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.reason = ""  # why it cannot be replayed, if so
        self.held: dict[int, tuple[Any, Recorded]] = {}  # the plain arrays that were met, by id
        self.sources: list[Any] = []  # where the further inputs come from, in order
        self.captured: dict[int, Any] = {}  # the sources of arrays that may change between calls, by id
        self.results: list[Recorded] = []
        self.masked = False  # whether derivatives are to mask what may be invalid, in any case
        self.flagged = False  # whether one has left that out
        self.checked: set[int] = set()  # guards of indices
        self.closed = False  # the arrays are plain ones from now on

    # -- arrays that come in

    def input(self, array: Any, weak: type | None = None) -> Recorded:
        """An argument. Its numbers are copied, as it may be written to."""
        array = np.array(array, order="C")
        x = self.made(self.graph.input(array.shape, array.dtype), array)
        x.weak = weak
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
        if not data.flags.c_contiguous or data.base is not None:
            data = np.array(data, order="C")
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

    def record(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function of NumPy."""
        if self.closed:
            return function(*plain(args), **plain(kwargs))
        primitive = PRIMITIVES.get(function)
        if primitive is not None:
            result = primitive(self, *args, **kwargs)
            if result is not NotImplemented:
                return result
        return self.call(function, args, kwargs)

    def own(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function of ours: as it is written, in terms of NumPy's."""
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
        if function.__name__ in CALLED:
            return self.call(inspect.unwrap(function), args, kwargs)
        return inspect.unwrap(function)(*[self.lifted(a) for a in args], **kwargs)

    def lifted(self, x: Any) -> Any:
        return self.constant(x) if isinstance(x, np.ndarray) and x.dtype.kind in "biufc" else x

    def ufunc(self, ufunc: Any, method: str, inputs: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """A ufunc or one of its methods."""
        if self.closed:
            return getattr(ufunc, method)(*plain(inputs), **plain(kwargs))
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
        if method == "__call__" and not kwargs:
            if ufunc in PRIMITIVES:
                result = PRIMITIVES[ufunc](self, *inputs)
                if result is not NotImplemented:
                    return result
            if ufunc in UFUNC_NAMES and ufunc.nout == 1 and ufunc.signature is None:
                result = self._elementwise(ufunc, inputs)
                if result is not NotImplemented:
                    return result
        return self.call(ufunc if method == "__call__" else getattr(ufunc, method), inputs, kwargs)

    def _elementwise(self, ufunc: Any, inputs: Sequence[Any]) -> Any:
        kinds = [kind_of(x) for x in inputs]
        weak = type(None) not in kinds and all(isinstance(k, type) for k in kinds)
        try:
            loop = ufunc.resolve_dtypes((*kinds, None)) if not weak else None
        except TypeError:
            return NotImplemented
        data = ufunc(*[plain(x) for x in inputs])
        if loop is None:  # Python numbers all of them
            loop = ufunc.resolve_dtypes((*[np.asarray(plain(x)).dtype for x in inputs], None))
        if any(dtype.char not in NATIVE for dtype in loop):
            return NotImplemented
        nodes = [self.node(x, dtype) for x, dtype in zip(inputs, loop, strict=False)]
        made = self.add(ufunc.__name__, nodes, (), np.asarray(data, loop[-1]))
        if weak:
            made.weak = {"b": bool, "i": int, "f": float}.get(made.dtype.kind)
        return made

    def cast(self, x: Recorded, dtype: Any, copy: Any = True) -> Recorded:
        """`x.astype(dtype)`."""
        if x.dtype == dtype:
            return self.copy(x) if copy else x
        if dtype.char not in NATIVE or x.dtype.char not in NATIVE:
            return self.call(astype_of, (x, dtype), {})
        return self.made(self._cast(self.node(x), dtype), x.data.astype(dtype))

    def copy(self, x: Recorded) -> Recorded:
        """The same numbers in memory of their own."""
        return self.made(self.whole(self.node(x)), np.array(x.data, order="C"))

    def view(self, x: Recorded, data: Any) -> Recorded:
        """`data`, which shows memory of `x`."""
        return Recorded(x.buffer, data)

    # -- indexing and writing

    def getitem(self, x: Recorded, key: Any) -> Any:
        """`x[key]`."""
        if self.closed:
            return x.data[plain(key)]
        keys = key if type(key) is tuple else (key,)
        if all(k is None or k is Ellipsis or type(k) in (int, slice) or isinstance(k, np.integer) for k in keys):
            keys = tuple([known_slice(k) if type(k) is slice else k for k in keys])
            if any(k is Ellipsis for k in keys):
                return Recorded(x.buffer, x.data[keys])
            part = Recorded(x.buffer, x.data[(*keys, ...)])
            return part if part.ndim else self.copy(part)  # an element is a number, and no view
        data = x.data[plain(key)]
        found = gathered(self, x, key, data)
        return self.call(getitem_of, (x, key), {}) if found is None else found

    def setitem(self, x: Recorded, key: Any, value: Any) -> None:
        """`x[key] = value`: the buffer of x has another node from now on."""
        buffer = x.buffer
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
            buffer.node = self.graph.add("put", (buffer.node, source), params, buffer.data.shape, x.dtype)
            return
        if scattered(self, x, key, value):
            x.data[plain(key)] = plain(value)
        else:
            self._write(written, x, key, value)

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

    # -- all else

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Whatever NumPy computes."""
        if function in MUTATING:
            raise self.escape(f"{function.__name__} writes to an array")
        if function in STATIC:
            return function(*plain(args), **plain(kwargs))
        arrays: list[Recorded] = []

        def hole(x: Any) -> Any:
            if isinstance(x, np.ndarray) and x.ndim and x.dtype.kind in "biufc":
                x = self.constant(x)
            if isinstance(x, Recorded):
                arrays.append(x)
                return Hole(len(arrays) - 1)
            kind = type(x)
            if kind in (tuple, list):
                return kind([hole(item) for item in x])
            if kind is dict:
                return {k: hole(v) for k, v in x.items()}
            if kind is slice:
                return slice(hole(x.start), hole(x.stop), hole(x.step))
            return x

        template = Template((hole(tuple(args)), hole(dict(kwargs))))
        result = function(*plain(args), **plain(kwargs))
        nodes = [self.node(x) for x in arrays]
        if isinstance(result, (tuple, list)):
            node = self.graph.add("call", nodes, (function, template), (), None)
            items = [self._item(node, i, y, function) for i, y in enumerate(result)]
            return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
        if isinstance(result, np.ndarray):
            for x in arrays:
                if result is x.data:
                    return x
                if result.base is not None and np.may_share_memory(result, x.buffer.data):
                    if result.dtype == x.buffer.data.dtype:
                        return Recorded(x.buffer, result)
                    break
        return self._item(None, 0, result, function, nodes, template)

    def _item(self, call: Node | None, i: int, y: Any, function: Any, nodes: Any = (), template: Any = None) -> Any:
        """A result of a call, or one of several."""
        if not isinstance(y, (np.ndarray, np.generic, *PYTHON)):
            if isinstance(y, (tuple, list, str)) or y is None:
                raise self.escape(f"{function.__name__} returns {type(y).__name__}")
            return y
        data = np.asarray(y)
        if data.dtype.kind not in "biufc":
            raise self.escape(f"{function.__name__} returns dtype {data.dtype}")
        if call is None:
            node = self.graph.add("call", nodes, (function, template), data.shape, data.dtype)
        else:
            node = self.graph.add("item", (call,), (i,), data.shape, data.dtype)
        made = self.made(node, data)
        if not data.size:  # nothing is computed for it, so it would not be seen that there is something another time
            inputs, (function, template) = (call.inputs, call.params) if call else (nodes, (function, template))
            counted = Counted(function, i if call else None)
            count = self.graph.add("call", inputs, (counted, template), (), np.dtype(int))
            self.graph.guards.append((count, 0))
        return self.guard(made, y) if isinstance(y, PYTHON) and not isinstance(y, np.generic) else made

    def guard(self, x: Recorded, value: Any) -> Any:
        """Note that the program is for this value of a number."""
        if self.closed:
            return value
        node = self.node(x)
        if node.op != "constant":
            self.graph.guards.append((node, x.data.item() if x.size == 1 else value))
        return value

    def escape(self, what: str) -> Unrecordable:
        """The exception for what cannot be replayed."""
        self.reason = self.reason or what
        return Unrecordable(what)

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


MUTATING = frozenset((np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis))
_REDUCTIONS = {np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min}
_REDUCTIONS |= {np.logical_and: np.all, np.logical_or: np.any}
