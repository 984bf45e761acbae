"""debug_nans: find the operation that makes the first nan."""

import linecache
import os
import sys
from collections.abc import Iterator
from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any, Self

import numpy as np

from .batched import Batched
from .box import Box
from .case import StandIn
from .context import CHECKS
from .errors import NanError
from .tape import RECORDING, Node

__all__ = ["debug_nans"]

# What was there outside each `with debug_nans()` that is open in this context.
_OUTER: ContextVar[tuple[tuple[Any, Any], ...]] = ContextVar("autodiff_debug_nans", default=())
OURS = os.path.dirname(__file__) + os.sep
NUMPY = os.path.dirname(np.__file__) + os.sep


class debug_nans(ContextDecorator):
    """Raise NanError at the first nan: `with debug_nans():`, or `@debug_nans()` on a function.

    The error names the function and the line of the program that called it, also where the nan appears only in the
    derivative. It holds for the current thread or task; code runs several times slower.

    >>> from autodiff import Value
    >>> with debug_nans():
    ...     y = np.log(Value(-1.0))
    Traceback (most recent call last):
    autodiff.errors.NanError: log: the result is nan...
    """

    def __enter__(self) -> Self:
        _OUTER.set((*_OUTER.get(), (RECORDING.get(), CHECKS.get())))
        CHECKS.set(_check)
        if RECORDING.get():
            RECORDING.set(_check)
        return self

    def __exit__(self, *exception: object) -> None:
        *outer, (recording, checks) = _OUTER.get()
        _OUTER.set(tuple(outer))
        RECORDING.set(recording)
        CHECKS.set(checks)


def _check(node: Node, result: Any) -> None:
    """Look at the result of an operation, and at its derivatives when they are computed."""
    name, line = node.case.rule.name, _line()
    count = sum(int(np.isnan(a).sum()) for a in _arrays(result))
    if count:
        size = sum(a.size for a in _arrays(result))
        raise NanError(f"{name}: the result {_amount(count, size)}{line}")
    node.case = _Located(node.case, line)


class _Located(StandIn):
    """A case that knows the line of the program, and refuses to make nans."""

    __slots__ = ("line",)

    def __init__(self, case: Any, line: str) -> None:
        super().__init__(case)
        self.line = line

    def pull(self, saved: Any, g: Any) -> Any:
        d = self.case.pull(saved, g)
        if d is not NotImplemented and _has_nan(d) and self.rule.kind == "elementwise":
            d = self.case.pull_masked(saved, g)
        return self._look(d, g, "cotangent")

    def push(self, saved: Any, tangents: tuple[Any, ...], masked: bool = False) -> Any:
        d = self.case.push(saved, tangents, masked)
        if not masked and _has_nan(d) and self.rule.kind == "elementwise":
            d = self.case.push(saved, tangents, True)
        return self._look(d, tangents, "tangent")

    def _look(self, d: Any, given: Any, what: str) -> Any:
        if d is not NotImplemented and _has_nan(d):
            arrays = [*_arrays(d)]
            amount = _amount(sum(int(np.isnan(a).sum()) for a in arrays), sum(a.size for a in arrays))
            before = f"; it was given a nan {what}" if _has_nan(given) else ""
            raise NanError(f"{self.rule.name}: the derivative {amount}{before}{self.line}")
        return d


def _amount(count: int, size: int) -> str:
    return "is nan" if size == 1 else f"has {count} nan among {size} elements"


def _has_nan(x: Any) -> bool:
    return any(bool(np.isnan(a).any()) for a in _arrays(x))


def _arrays(x: Any) -> Iterator[Any]:
    """The floating-point arrays in what a map takes or returns."""
    if isinstance(x, (tuple, list)):
        for item in x:
            yield from _arrays(item)
    elif isinstance(x, dict):
        yield from _arrays([*x.values()])
    else:
        x = x._array if isinstance(x, Box) else x
        x = x.whole if type(x) is Batched else x
        if hasattr(x, "dtype") and x.dtype.kind in "fc":
            yield x


def _line() -> str:
    """Where the program, which is neither NumPy nor this package, is."""
    frame = sys._getframe(2)
    while frame.f_back and (frame.f_code.co_filename.startswith((OURS, NUMPY, "<autodiff"))):
        frame = frame.f_back
    file, number = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, number).strip()
    return f", at {file}:{number}{f': {text}' if text else ''}"
