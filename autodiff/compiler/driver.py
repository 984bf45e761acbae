"""The native code that every program shares, loaded; and the functions by which Python calls it.

What depends on the interpreter is where an ndarray has its fields. That is compared with what ctypes finds, once, and
where it is not so, calls go through ctypes.
"""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .driver_text import API, CHECKS, check, gemm, steps
from .entry_text import entries
from .objects import CODES, Code

__all__ = ["DRIVERS", "Driver"]

FASTCALL = 0x80


class _Method(ctypes.Structure):  # PyMethodDef
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class Driver:
    """The native functions, and how Python calls them. `direct` is False where only ctypes can."""

    def __init__(self, width: int) -> None:
        text = steps(CODES.machine.triple)
        symbols = ["tabulate", "steps", "gemm_float", "gemm_double"]
        for kind in sorted({*CHECKS.values()}):
            text += check(kind)
            symbols.append(f"check_{kind}")
        text += gemm("float", f"i{8 * width}") + gemm("double", f"i{8 * width}")
        head = object.__basicsize__
        self.api = np.array(_api_addresses() or [0], np.int64)
        self.direct = self.api.size > 1 and _has_layout(head)
        if self.direct:
            text += entries(head)
            symbols += ["run", "begin", "chunk"]
        self.code: Code = CODES.compiled(text, symbols)
        self.tabulate = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(self.code["tabulate"])
        pointers = [ctypes.c_void_p] * 4
        self.steps = ctypes.CFUNCTYPE(ctypes.c_int64, *pointers, ctypes.c_int64)(self.code["steps"])
        self._methods: dict[str, _Method] = {}

    def function(self, name: str, state: Any, keep: Any) -> Callable[..., Any]:
        """A builtin function that runs native code with that state, and holds `keep`."""
        method = self._methods.get(name)
        if method is None:  # each one is kept for good: functions point to it
            method = self._methods[name] = _Method(name.encode(), self.code[name], FASTCALL, None)
        new = ctypes.pythonapi["PyCFunction_NewEx"]
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.py_object]
        return new(ctypes.addressof(method), state, keep)


def _has_layout(head: int) -> bool:
    """Whether an ndarray has data, number of axes, shape, dtype and flags where they are expected."""
    word = ctypes.sizeof(ctypes.c_void_p)
    if word != 8 or np.ndarray.__basicsize__ < head + 7 * word:
        return False
    for array in (np.zeros((2, 3), np.float32), np.zeros((5, 1, 4))[::2], np.array(True)):
        at = id(array)
        kind, data, _, shape, _, _, dtype = (ctypes.c_size_t * 7).from_address(at + head - word)
        axes, flags = (ctypes.c_int.from_address(at + head + word * i).value for i in (1, 6))
        if (kind, data, axes, dtype) != (id(np.ndarray), array.ctypes.data, array.ndim, id(array.dtype)):
            return False
        if axes and (ctypes.c_ssize_t * axes).from_address(shape)[:] != [*array.shape]:
            return False
        if flags & 0x107 != array.flags.num & 0x107:
            return False
    return True


def _api_addresses() -> list[int]:
    """What native code calls of Python and NumPy; nothing where that is not CPython."""
    if sys.implementation.name != "cpython":
        return []
    get = ctypes.pythonapi["PyCapsule_GetPointer"]
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]
    table = (ctypes.c_void_p * 185).from_address(get(capsule, None))
    names = [ctypes.cast(ctypes.pythonapi[name], ctypes.c_void_p).value or 0 for name in API]
    kind, empty = table[2], table[184]  # PyArray_Type, PyArray_Empty: NumPy keeps their places
    return [*names, kind, empty or 0] if kind == id(np.ndarray) else []


class _Drivers:
    """One for each width of the integers of a BLAS; there is one BLAS."""

    def __init__(self) -> None:
        self.known: dict[int, Driver] = {}

    def of(self, width: int) -> Driver:
        with CODES.lock:
            found = self.known.get(width)
            if found is None:
                found = self.known[width] = Driver(width)
            return found


DRIVERS = _Drivers()
