"""Calling: how a recorder notes what NumPy is to compute, and what depends on the numbers."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .calls import Counted
from .graph import Node
from .interpret import Hole
from .operands import inside, plain
from .orders import RESHAPING, keep_order, note_reshape
from .primitives import STATIC
from .recorded import Recorded

__all__ = ["PYTHON", "Calling", "Template", "Unrecordable"]

PYTHON = (bool, int, float, complex)
MUTATING = frozenset((np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis))


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


class Calling:
    """The part of a recorder that leaves work to NumPy."""

    graph: Any
    closed: Any
    reason: str
    reordered: bool
    node: Callable[..., Node]
    made: Callable[..., Recorded]
    constant: Callable[..., Recorded]
    guard: Callable[..., Any]

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Whatever NumPy computes."""
        if function in MUTATING:
            raise self.escape(f"{function.__name__} writes to an array")
        if function in STATIC:
            if function is np.size:
                self._decide(function, (*args[1:], *kwargs.values()))
            return function(*plain(args), **plain(kwargs))
        arrays: list[Recorded] = []

        def hole(x: Any) -> Any:
            if isinstance(x, np.ndarray) and x.ndim and x.dtype.kind in "biufc":
                x = self.constant(x)
            if isinstance(x, Recorded):
                arrays.append(x)
                return Hole(len(arrays) - 1, x.weak is not None)
            return inside(hole, x)

        template = Template((hole(tuple(args)), hole(dict(kwargs))))
        result = function(*plain(args), **plain(kwargs))
        nodes = [self.node(x) for x in arrays]
        if isinstance(result, (tuple, list)):
            node = self.graph.add("call", nodes, (function, template), (), None)
            items = [self._item(node, i, y, function) for i, y in enumerate(result)]
            if self.reordered:
                keep_order(arrays, items)
            return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
        if isinstance(result, np.ndarray):
            for x in arrays:
                if result is x.data:
                    self._decide(function, [a for a in arrays if a is not x])
                    return x
                if result.base is not None and np.may_share_memory(result, x.buffer.data):
                    self._decide(function, [a for a in arrays if a is not x])
                    if result.dtype == x.buffer.data.dtype:
                        if function in RESHAPING:
                            note_reshape(x, x)
                        return Recorded(x.buffer, result)
                    break
        made = self._item(None, 0, result, function, nodes, template)
        if function in RESHAPING:
            note_reshape(args[0], made)
        elif self.reordered:
            keep_order(arrays, made)
        return made

    def _decide(self, function: Any, given: Sequence[Any]) -> None:
        """Note numbers that decide which part of an array is shown: an axis, an offset, a length."""
        for x in given:
            if isinstance(x, Recorded):
                if x.size != 1:
                    raise self.escape(f"{function.__name__} shows what an array of numbers decides")
                self.guard(x, x.data.item())

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
            self.graph.guards.append((count, Counted.of(data)))
        return self.guard(made, y) if isinstance(y, PYTHON) and not isinstance(y, np.generic) else made

    def escape(self, what: str) -> Unrecordable:
        """The exception for what cannot be replayed."""
        self.reason = self.reason or what
        return Unrecordable(what)
