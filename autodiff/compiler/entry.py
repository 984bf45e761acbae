"""The way into a program and out of it, as functions made for one signature: from arguments to arrays, and back.

What is known is compiled into the function: which containers there are, how long, with which keys. It only looks
whether the arguments are like that; shapes and dtypes are looked at by the program.
"""

import dataclasses
from collections.abc import Callable
from enum import Enum
from types import BuiltinFunctionType, CoroutineType, FunctionType
from typing import Any

import numpy as np

from ..box import Inner
from ..codegen import compile_function
from ..tape import RECORDING
from ..tree import tree_map
from ..value import Value
from .recorded import Recorded
from .recorder import Recorder
from .signature import STATIC

__all__ = ["Out", "filler", "flattener", "template_of"]

CONTAINERS = (tuple, list, dict)


class Out:
    """The place of an output in a result: as an array, a scalar of NumPy's, or a number of Python's.

    `boxed`: it is a Value there, without a graph.
    """

    __slots__ = ("boxed", "index", "number", "scalar")

    def __init__(self, index: int, scalar: bool, number: bool = False, boxed: bool = False) -> None:
        self.index, self.scalar, self.number, self.boxed = index, scalar, number, boxed

    def of(self, outputs: list[Any]) -> Any:
        """What is in this place."""
        y = outputs[self.index]
        if self.boxed:
            return Value._wrap(y[()] if self.scalar else y)
        return y.item() if self.number else y[()] if self.scalar else y


PLAIN = (Out, *STATIC, float, complex, Enum, np.ufunc, BuiltinFunctionType, type(...))


def _odd_one(template: Any) -> Any:
    """Something in a result that may hold arrays, or that its receiver may change; None if there is nothing."""
    if isinstance(template, Inner):
        return template
    if isinstance(template, (list, tuple, dict)):
        parts = [_odd_one(x) for x in (template.values() if isinstance(template, dict) else template)]
        return next((x for x in parts if x is not None), None)
    if isinstance(template, PLAIN) or (isinstance(template, FunctionType) and not template.__closure__):
        return None
    is_opened = dataclasses.is_dataclass(template) or hasattr(type(template), "_tree_open")
    return None if is_opened else template


def template_of(recorder: Recorder, result: Any) -> Any:
    """The result with outputs in the places of its arrays."""

    def place(y: Any) -> Any:
        data = y._array if isinstance(y, Value) else recorder.returned(y)
        spent = False
        if isinstance(y, Value) and y._node is not None and RECORDING.get():
            spent = y._node.case is not None and y._node.case.is_spent  # as a loss is after its backward()
            if not spent:
                raise recorder.escape("returns a tracked Value; return its .data")
        if isinstance(data, Recorded):
            return Out(recorder.result(data), not data.ndim, data.weak is not None, spent)
        if isinstance(data, Inner):
            raise recorder.escape("returns a batch")
        if isinstance(data, (np.ndarray, np.generic)):
            return Out(recorder.result(recorder.constant(data)), not data.ndim)
        return y

    template = tree_map(place, result, result=True)
    odd = _odd_one(template)
    if odd is not None:
        if isinstance(odd, CoroutineType):
            odd.close()  # it is made anew
        raise recorder.escape(f"returns a {type(odd).__name__}")
    return template


class _Unknown(Exception):
    """There is something that no code is made for."""


def flattener(args: tuple[Any, ...], kwargs: dict[str, Any], integers: bool = False) -> Callable[..., Any] | None:
    """A function of (args, kwargs): the arrays and floats in them, in order, or None if they are built differently.

    >>> flat = flattener(({"w": np.ones(2), "n": 3}, 0.5), {})
    >>> flat(({"w": np.zeros(1), "n": 3}, 1.5), {}), flat(({"w": np.zeros(1), "n": 4}, 1.5), {})
    ((array([0.]), array(1.5)), None)
    """
    lines: list[str] = []
    names: dict[str, Any] = {"asarray": np.asarray, "ndarray": np.ndarray}
    leaves: list[str] = []

    def visit(x: Any, name: str) -> None:
        kind = type(x)
        if kind is np.ndarray:
            leaves.append(name)
        elif kind is float or (kind is int and integers):
            lines.append(f"    if type({name}) is not {kind.__name__}: return None")
            leaves.append(f"asarray({name})")
        elif kind in CONTAINERS:
            if name != "args":
                lines.append(f"    if type({name}) is not {kind.__name__}: return None")
            inner = [f"{name}_{i}" for i in range(len(x))]
            if kind is dict:
                if not all(type(key) is str for key in x):  # 1 and True are the same key
                    raise _Unknown
                names[f"keys_{name}"] = (*x,)
                lines.append(f"    if (*{name},) != keys_{name}: return None")
            else:
                lines.append(f"    if len({name}) != {len(x)}: return None")
            if inner:
                lines.append(f"    {', '.join(inner)}, = {name}{'.values()' if kind is dict else ''}")
            for part, new in zip(x.values() if kind is dict else x, inner, strict=True):
                visit(part, new)
        elif isinstance(x, STATIC) and not isinstance(x, type):
            names[f"is_{name}"], names[f"type_{name}"] = x, kind
            lines.append(f"    if type({name}) is not type_{name} or {name} != is_{name}: return None")
        else:
            raise _Unknown

    try:
        visit(args, "args")
        visit(kwargs, "kwargs")
    except _Unknown:
        return None
    source = "\n".join(["def flat(args, kwargs):", *lines, f"    return ({''.join(f'{x}, ' for x in leaves)})", ""])
    return compile_function("flat", source, names)


def filler(template: Any) -> Callable[..., Any] | None:
    """A function of the list of outputs: the result; None if there is something in it besides plain containers."""
    names: dict[str, Any] = {"wrap": Value._wrap}

    def text(x: Any) -> str:
        kind = type(x)
        if kind is Out:
            if x.boxed:
                return f"wrap(o[{x.index}]{'[()]' if x.scalar else ''})"
            return f"o[{x.index}]{'.item()' if x.number else '[()]' if x.scalar else ''}"
        if kind is tuple:
            return f"({''.join(f'{text(part)}, ' for part in x)})"
        if kind is list:
            return f"[{', '.join(map(text, x))}]"
        if kind is dict:
            parts = []
            for key, part in x.items():
                names[f"key_{len(names)}"] = key
                parts.append(f"key_{len(names) - 1}: {text(part)}")
            return f"{{{', '.join(parts)}}}"
        if x is None or kind in (bool, int, float, str):
            names[f"is_{len(names)}"] = x
            return f"is_{len(names) - 1}"
        raise _Unknown

    try:
        return compile_function("fill", f"def fill(o):\n    return {text(template)}\n", names)
    except _Unknown:
        return None
