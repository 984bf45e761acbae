"""What a function is called with: operands checked, options made safe to keep, keywords brought into one form."""

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from .box import Box
from .convert import as_operand, describe, is_array
from .errors import DetachError, OperandError
from .rule import Rule
from .tree import leaves, tree_map

__all__ = ["boxes", "data_of", "index", "normalize", "operand", "option"]


def operand(rule: Rule, a: Any) -> Any:
    """The array that operand `a` is, if it is no Value. Raises OperandError if nothing can be computed with it."""
    kind = type(a)
    if kind is np.ndarray and a.dtype.kind in "fbiuc":
        return a
    if kind in (float, int, bool, complex) or is_array(a):
        return np.asarray(a) if kind is np.memmap else a
    if isinstance(a, (list, tuple)):
        return as_operand(a, rule.name)
    raise OperandError(f"{rule.name}: cannot compute with {describe(a)}")


def option(rule: Rule, x: Any) -> Any:
    """An argument that is no operand, safe to keep: Values unwrapped, arrays and lists copied."""
    if x is None or type(x) in (int, bool, slice, str):
        return x
    if isinstance(x, Box):
        if x._node is not None:
            raise DetachError(f"{rule.name}: no derivative for a tracked Value here; pass its .detach()")
        return x._array
    if isinstance(x, (list, tuple, dict)):
        return tree_map(lambda leaf: option(rule, leaf), x)
    return x.copy() if type(x) is np.ndarray else x


def normalize(rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Drop keywords at their defaults, refuse those without a meaning here, make operands positional."""
    if len(args) > rule.out_at:  # out and what follows it were given by position
        kwargs = {**dict(zip(rule.parameter_names[rule.out_at :], args[rule.out_at :], strict=False)), **kwargs}
        args = args[: rule.out_at]
    kwargs = {k: v for k, v in kwargs.items() if not (k == "out" and v is None) and not (k == "where" and v is True)}
    if rule.kind == "nondiff" or "out" in kwargs:
        return args, kwargs
    if "where" in kwargs and isinstance(rule.function, np.ufunc):
        raise OperandError(
            f"{rule.name}: where= leaves the other elements undefined without out=; pass out=, or select with np.where"
        )
    for name in rule.parameter_names[len(args) : len(rule.maps)]:
        if name in kwargs:
            args = (*args, kwargs.pop(name))
    if not rule.open:
        for name in kwargs.keys() - rule.keywords:
            raise OperandError(f"{rule.name}: the derivative rule does not know {name}=")
    return args, kwargs


def boxes(x: Any) -> Iterator[Box]:
    """The Values in nested lists, tuples and dicts."""
    return (leaf for leaf in leaves(x, result=True) if isinstance(leaf, Box))


def data_of(x: Any) -> Any:
    return tree_map(lambda leaf: leaf._array if isinstance(leaf, Box) else leaf, x, result=True)


def index(key: Any) -> Any:
    """The key with sequences as arrays, which nobody else can change, and index-like objects as integers."""
    if isinstance(key, tuple):
        return tuple([index(list(k) if isinstance(k, tuple) else k) for k in key])
    if isinstance(key, (list, range)):
        return np.array(key, dtype=None if len(key) else int)
    known = isinstance(key, (int, np.generic, np.ndarray, Box))
    return operator.index(key) if hasattr(key, "__index__") and not known and not hasattr(key, "dtype") else key
