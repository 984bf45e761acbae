"""What a recorded function asks of its numbers: guards, and numbers of Python's that a program computes with."""

import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import numpy as np

from .recorded import Recorded
from .returned import RERUN, Sources
from .writing import noting

__all__ = ["Reading"]

FLOATS = frozenset("fd")
LARGE = 2.0**62


class Reading:
    """The part of a recorder that has to do with Python's numbers."""

    graph: Any
    closed: Any
    node: Callable[..., Any]
    ufunc: Callable[..., Any]
    record: Callable[..., Any]
    cast: Callable[..., Any]

    def __init__(self, function: Any, runner: CodeType | None, sources: Sources | None) -> None:
        self.function, self.runner = function, runner  # what is recorded, and the code that calls it
        self.sources_seen = sources or Sources()
        self.asked: dict[int, str] = {}  # where in the source, by position of the guard
        self.numbers: dict[int, tuple[float, Recorded]] = {}  # numbers that are only returned, by id

    def truth(self, x: Recorded) -> bool:
        """The answer to `if` and `while`."""
        value = bool(x.data)
        if x.dtype.kind in "iuf" and x.size == 1 and not self.closed:
            x = self.ufunc(np.not_equal, "__call__", (x, 0), {})  # other numbers may do as well
        self.guard(x, value)
        return value

    @noting
    def read(self, x: Recorded, as_type: Callable[[Any], Any]) -> Any:
        """A number as Python's."""
        value = as_type(x.data)
        if self.closed or x.size != 1:
            return self.guard(x, value)
        function, runner = RERUN.get() or (self.function, self.runner)
        if as_type is float and self.sources_seen.returned(_caller(), function, runner):
            self.numbers[id(value)] = value, self._number(x, float)
        elif as_type is int and x.dtype.char in FLOATS and abs(value) < LARGE:  # whatever comes behind the point
            size = self.ufunc(np.absolute, "__call__", (x,), {})
            self.guard(self.ufunc(np.less, "__call__", (size, LARGE), {}), True)
            self.guard(self.cast(x, np.dtype(np.int64)), value)
        else:
            self.guard(x, value)
        return value

    def number(self, x: Recorded) -> Any:
        """A number that is one of Python's, and still recorded: `v.item()` of a float or an integer."""
        kind = float if x.dtype.char in FLOATS else int if x.dtype.kind in "iu" and x.dtype.char not in "LQ" else None
        if self.closed or x.size != 1 or kind is None:
            return self.guard(x, x.data.item())
        return self._number(x, kind)

    def integer(self, x: Recorded, ufunc: Any, function: Callable[[Any], Any]) -> Any:
        """`round(v)`, `math.floor(v)`: an integer of Python's, that is still recorded if it is no large one."""
        if self.closed or x.dtype.char not in FLOATS or not abs(x.data) < LARGE:
            return self.guard(x, function(x.data.item()))
        size = self.ufunc(np.absolute, "__call__", (x,), {})
        self.guard(self.ufunc(np.less, "__call__", (size, LARGE), {}), True)
        return self._number(self.ufunc(ufunc, "__call__", (x,), {}), int)

    def _number(self, x: Recorded, kind: type) -> Recorded:
        made: Recorded = self.cast(self.record(np.reshape, (x, ()), {}), np.dtype(kind))
        made.weak = kind
        return made

    def returned(self, y: Any) -> Any:
        """A part of a result, recorded if it is a number that is only returned."""
        return self.numbers[id(y)][1] if type(y) is float and id(y) in self.numbers else y

    def guard(self, x: Recorded, value: Any) -> Any:
        """Note that the program is for this value of a number."""
        if self.closed:
            return value
        node = self.node(x)
        if node.op != "constant":
            caller = _caller()
            if caller is not None:
                name = os.path.basename(caller.f_code.co_filename)
                self.asked[len(self.graph.guards)] = f"{name}, line {caller.f_lineno}"
            self.graph.guards.append((node, x.data.item() if x.size == 1 else value))
            if x.dtype.char in FLOATS and x.size == 1 and not x.data.item() and type(value) is float:  # 0.0, or -0.0
                sign = np.signbit(x.data).reshape(())
                self.graph.guards.append((self.graph.add("signbit", (node,), (), node.shape, sign.dtype), sign.item()))
        return value


def _caller() -> FrameType | None:
    """The frame of whoever has asked for a number."""
    package = __name__.partition(".")[0]
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame = frame.f_back
    return frame
