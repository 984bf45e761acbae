"""Straight-line Python for the two places where a call costs more than the arithmetic.

`compile_case` writes the functions of one case of a rule: `save` packs what its maps will need, `pull`
calls the maps. A map made of operators and ufuncs is traced once with symbols and written out in
place; for `np.multiply` with both operands tracked that gives

    def pull(saved, g):
        y, x = saved
        return (g * y), (g * x)

which is what one would write by hand. Everything is compiled at its first use, never at import.
"""

import linecache
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = ["compile_function", "inline", "packed", "unpacked"]


def compile_function(name: str, source: str, namespace: dict[str, Any]) -> Callable[..., Any]:
    """The function `name` that `source` defines. Tracebacks through it show its lines."""
    filename = f"<autodiff {name} {abs(hash(source)):x}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    return function


def packed(expressions: Sequence[str]) -> str:
    """How a node stores its residuals: nothing, the one residual itself, or a tuple."""
    if len(expressions) == 1:
        return expressions[0]
    return f"({', '.join(expressions)})" if expressions else "None"


def unpacked(names: Sequence[str]) -> str:
    """The statement that undoes `packed`, with a line end, or nothing."""
    return f"    {', '.join(names)} = saved\n" if names else ""


def inline(function: Callable[..., Any], names: Sequence[str]) -> str | None:
    """The body of `function(*names)` as an expression, or None if it is more than operators and ufuncs."""
    try:
        return _text(function(*map(_Symbol, names)))
    except (TypeError, AttributeError, ValueError):
        return None


class _Symbol:
    """Stands for an array in a map and writes down what is done to it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> "_Symbol":
        if method != "__call__" or kwargs or getattr(np, ufunc.__name__, None) is not ufunc:
            raise TypeError
        return _Symbol(f"np.{ufunc.__name__}({', '.join(map(_text, inputs))})")

    def __autodiff_apply__(self, *_: Any) -> Any:
        raise TypeError("a map calls a function that has a rule of its own")

    def __bool__(self) -> bool:
        raise TypeError("a map branches on data")

    def __getattr__(self, name: str) -> Any:
        raise TypeError(f"a map asks for .{name}")

    def __neg__(self) -> "_Symbol":
        return _Symbol(f"(-{self.text})")


def _text(x: Any) -> str:
    if type(x) is _Symbol:
        return x.text
    if type(x) in (int, float, bool):
        return repr(x)
    raise TypeError


def _operator(sign: str, swapped: bool) -> Callable[[Any, Any], _Symbol]:
    def method(a: Any, b: Any) -> _Symbol:
        left, right = (b, a) if swapped else (a, b)
        return _Symbol(f"({_text(left)} {sign} {_text(right)})")

    return method


for _name, _sign in {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**", "and": "&", "or": "|"}.items():
    setattr(_Symbol, f"__{_name}__", _operator(_sign, False))
    setattr(_Symbol, f"__r{_name}__", _operator(_sign, True))
for _name, _sign in {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}.items():
    setattr(_Symbol, f"__{_name}__", _operator(_sign, False))
