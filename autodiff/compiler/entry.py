"""The way into a program and out of it, as functions made for one signature: from arguments to arrays, and back.

What is known is compiled into the function: which containers there are, how long, with which keys. It only looks
whether the arguments are like that; shapes and dtypes are looked at by the program.
"""

import dataclasses
from collections.abc import Callable
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

from ..batched import Batched
from ..box import Inner
from ..codegen import compile_function
from ..tape import LEAF
from ..value import Value
from .signature import STATIC, is_leaf

__all__ = ["Out", "filler", "flattener", "odd_one"]

CONTAINERS = (tuple, list, dict)


class Out:
    """The place of an output in a result: as an array, a scalar of NumPy's, or a number of Python's.

    `boxed`: it is a Value there, without a graph. A Value that is `tracked`, or a batch with the `levels` of these
    positions among those of the call, is among the outputs by then.
    """

    __slots__ = ("boxed", "index", "levels", "number", "scalar", "tracked")

    def __init__(
        self,
        index: int,
        scalar: bool,
        number: bool = False,
        boxed: bool = False,
        tracked: bool = False,
        levels: tuple[int, ...] = (),
    ) -> None:
        self.index, self.scalar, self.number, self.boxed = index, scalar, number, boxed
        self.tracked, self.levels = tracked, levels

    def of(self, outputs: list[Any]) -> Any:
        """What is in this place."""
        y = outputs[self.index]
        if self.tracked or self.levels:
            return y
        if self.boxed:
            return Value._wrap(y[()] if self.scalar else y)
        return y.item() if self.number else y[()] if self.scalar else y


PLAIN = (Out, *STATIC, float, complex, Enum, np.ufunc, BuiltinFunctionType, type(...))


def odd_one(template: Any) -> Any:
    """Something in a result that may hold arrays, or that its receiver may change; None if there is nothing."""
    if isinstance(template, Inner):
        return template
    if isinstance(template, (list, tuple, dict)):
        parts = [odd_one(x) for x in (template.values() if isinstance(template, dict) else template)]
        return next((x for x in parts if x is not None), None)
    if isinstance(template, PLAIN) or (isinstance(template, FunctionType) and not template.__closure__):
        return None
    is_opened = dataclasses.is_dataclass(template) or hasattr(type(template), "_tree_open")
    return None if is_opened else template


class _Unknown(Exception):
    """There is something that no code is made for."""


def flattener(
    args: tuple[Any, ...], kwargs: dict[str, Any], integers: bool = False, boxes: bool = False
) -> Callable[..., Any] | None:
    """A function of (args, kwargs): the arrays and floats in them, in order, or None if they are built differently.

    `boxes`: there may be Values among them, and it gives three tuples: the arrays, the nodes of those that are tracked,
    and the levels of those that are batches.

    >>> flat = flattener(({"w": np.ones(2), "n": 3}, 0.5), {})
    >>> flat(({"w": np.zeros(1), "n": 3}, 1.5), {}), flat(({"w": np.zeros(1), "n": 4}, 1.5), {})
    ((array([0.]), array(1.5)), None)
    """
    lines: list[str] = []
    names: dict[str, Any] = {"asarray": np.asarray, "ndarray": np.ndarray}
    leaves: list[str] = []
    nodes: list[str] = []
    levels: list[str] = []

    def visit(x: Any, name: str) -> None:
        kind = type(x)
        if kind is np.ndarray:
            leaves.append(name)
        elif kind is float or (kind is int and is_leaf(x, integers)):
            lines.append(f"    if type({name}) is not {kind.__name__}: return None")
            leaves.append(f"asarray({name})")
        elif boxes and kind is Value:
            names.update(Value=Value, Batched=Batched, generic=np.generic)
            lines.append(f"    if type({name}) is not Value: return None")
            lines.append(f"    node_{name}, array_{name} = {name}._node, {name}._array")
            if x._node is None:
                lines.append(f"    if node_{name} is not None: return None")
            else:
                leaf = "!=" if x._node.number == LEAF else "=="
                lines.append(f"    if node_{name} is None or node_{name}.number {leaf} {LEAF}: return None")
                nodes.append(f"node_{name}")
            if type(x._array) is Batched:
                lines.append(f"    if type(array_{name}) is not Batched: return None")
                levels.append(f"array_{name}.levels")
                leaves.append(f"array_{name}.whole")
            elif type(x._array) is np.ndarray:
                leaves.append(f"array_{name}")  # what is no array is refused by the program
            else:
                lines.append(f"    if not isinstance(array_{name}, generic): return None")
                leaves.append(f"asarray(array_{name})")
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
    result = f"({''.join(f'{x}, ' for x in leaves)})"
    if boxes:
        result = ", ".join(f"({''.join(f'{x}, ' for x in part)})" for part in (leaves, nodes, levels))
    source = "\n".join(["def flat(args, kwargs):", *lines, f"    return {result}", ""])
    return compile_function("flat", source, names)


def filler(template: Any) -> Callable[..., Any] | None:
    """A function of the list of outputs: the result; None if there is something in it besides plain containers."""
    names: dict[str, Any] = {"wrap": Value._wrap}

    def text(x: Any) -> str:
        kind = type(x)
        if kind is Out:
            if x.tracked or x.levels:
                return f"o[{x.index}]"
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
