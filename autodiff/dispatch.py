"""The one door: `apply(function, args, kwargs)` runs a function on Values and records it.

Operators, methods and NumPy's two protocols all end here. The door looks up the rule, takes the arrays
out of the Values, runs the function on them, and makes a node if an operand is tracked. It wraps the
result through the operands' own class, so it knows neither Value nor any other class on top of it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .case import OPERANDS
from .constants import keep
from .convert import as_operand, describe, full_name, is_array, mismatch
from .errors import DetachError, MissingRuleError, OperandError
from .rule import RULES, Rule
from .tape import RECORDING, Node, number
from .tree import leaves, tree_map

__all__ = ["Box", "apply"]


IN_PLACE = frozenset((np.copyto, np.put, np.place, np.putmask, np.fill_diagonal, np.put_along_axis))


class Box:
    """What the door knows of a Value: an array, and the node that made it (None: untracked)."""

    __slots__ = ("_array", "_node")

    _array: Any
    _node: Node | None

    @staticmethod
    def _wrap(data: Any, node: Node | None = None) -> Any:
        raise NotImplementedError


def apply(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run `function` on arguments some of which are Values, and record it if one is tracked.

    Raises MissingRuleError if the function has no rule and a Value is tracked.
    """
    rule = RULES.get(function)
    if rule is None:
        if function in IN_PLACE:
            raise OperandError(f"{full_name(function)}: Values cannot be written to yet; use np.where or np.stack")
        for box in _boxes((args, kwargs)):
            if box._node is not None:
                raise MissingRuleError(
                    f"{full_name(function)} has no derivative rule, and an argument is tracked; pass "
                    "v.detach() if no gradient is wanted, or write it with functions that have one"
                )
    elif len(args) > rule.out_at or (kwargs and not kwargs.keys() <= rule.keywords):
        args, kwargs = _normalize(rule, args, kwargs)
    if rule is None or rule.kind == "nondiff":
        box = next(_boxes((args, kwargs)))
        result = function(*_data_of(args), **_data_of(kwargs))
        return tree_map(lambda leaf: box._wrap(leaf) if is_array(leaf) else leaf, result)
    if rule.kind == "composite":
        return rule.forward(*args, **kwargs)  # type: ignore[misc]
    if len(rule.maps) == 1 and not rule.sequence and isinstance(args[0], Box):
        return _record_unary(rule, args[0], args[1:], kwargs)
    boxes = [a for a in args if isinstance(a, Box)] or list(_boxes((args, kwargs)))
    return _record(rule, boxes[0], args, kwargs)


def _record_unary(rule: Rule, box: Box, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`_record` for a function of one operand, the common case, at half the cost."""
    x, parent, aux = box._array, box._node, None
    if rest:
        rest = tuple([_option(rule, v) for v in rest])
    if kwargs:
        kwargs = {k: _option(rule, v) for k, v in kwargs.items()}
    if rule.forward:
        ans, aux = rule.forward(x, *rest, **kwargs)
    elif rule.method:
        ans = getattr(x, rule.method)(*rest, **kwargs)
    else:
        ans = rule.function(x, *rest, **kwargs)
    if type(ans) is np.ndarray and not ans.ndim:
        ans = ans[()]
    dtype = ans.dtype
    if parent is None or dtype.kind not in "fc" or not RECORDING.get():
        return box._wrap(ans)
    node = Node()
    node.number = number()
    node.parents = (parent,)
    node.case = case = rule.case((0,), x.dtype is not dtype)
    node.saved = case.save(x, None, None, ans, aux, rest, kwargs)
    return box._wrap(ans, node)


def _record(rule: Rule, box: Box, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a ruled function on the data and make the node."""
    if rule.sequence:
        operands, rest = tuple(args[0]), args[1:]
    else:
        operands, rest = args[: len(rule.maps)], args[len(rule.maps) :]
    rest = tuple(_option(rule, v) for v in rest) if rest else ()
    kwargs = {k: _option(rule, v) for k, v in kwargs.items()} if kwargs else {}
    data = [a._array if isinstance(a, Box) else _operand(rule, a) for a in operands]
    if rule.forward:
        ans, aux = rule.forward(*data, *rest, **kwargs)
    else:
        inputs = [data] if rule.sequence else data
        try:
            ans, aux = rule.function(*inputs, *rest, **kwargs), None
        except ValueError as error:
            raise mismatch(rule.name, error) from None
    if type(ans) is np.ndarray and not ans.ndim:
        ans = ans[()]
    tracked = tuple([i for i, a in enumerate(operands) if isinstance(a, Box) and a._node is not None])
    if not rule.sequence and tracked:
        tracked = tuple([i for i in tracked if rule.maps[i] is not None])
    dtype = ans.dtype
    if not tracked or dtype.kind not in "fc" or not RECORDING.get():
        return box._wrap(ans)
    node = Node()
    node.number = number()
    node.parents = tuple([operands[i]._node for i in tracked])
    if rule.sequence:
        node.case = case = rule.case((0,), False)
        node.saved = case.save(data, None, None, ans, tracked, rest, kwargs)
        return box._wrap(ans, node)
    restored = rule.kind == "bilinear" or any(data[i].dtype != dtype for i in tracked)
    if rule.kind == "elementwise" and not restored:
        restored = any(data[i].shape != ans.shape for i in tracked)
    node.case = case = rule.case(tracked, restored)
    for i, a in enumerate(operands):
        if type(a) is np.ndarray and OPERANDS[i] in case.fields:
            data[i] = keep(node, a)
    x, y, z = (*data, None, None)[:3]
    node.saved = case.save(x, y, z, ans, aux, rest, kwargs)
    return box._wrap(ans, node)


def _operand(rule: Rule, a: Any) -> Any:
    """The array that operand `a` is, if it is no Value. Raises OperandError if nothing can be computed with it."""
    if type(a) in (float, int, bool, complex) or is_array(a):
        return np.asarray(a) if type(a) is np.memmap else a
    if isinstance(a, (list, tuple)):
        return as_operand(a, rule.name)
    raise OperandError(f"{rule.name}: cannot compute with {describe(a)}")


def _option(rule: Rule, x: Any) -> Any:
    """An argument that is no operand, safe to keep: Values unwrapped, arrays and lists copied."""
    if x is None or type(x) in (int, bool, slice, str):
        return x
    if isinstance(x, Box):
        if x._node is not None:
            raise DetachError(f"{rule.name}: no derivative for a tracked Value here; pass its .detach()")
        return x._array
    if isinstance(x, (list, tuple, dict)):
        return tree_map(lambda leaf: _option(rule, leaf), x)
    return x.copy() if type(x) is np.ndarray else x


def _normalize(rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Drop keywords at their defaults, refuse those without a meaning here, make operands positional."""
    if len(args) > rule.out_at:  # out and what follows it were given by position
        kwargs = {**dict(zip(rule.parameter_names[rule.out_at :], args[rule.out_at :], strict=False)), **kwargs}
        args = args[: rule.out_at]
    kwargs = {k: v for k, v in kwargs.items() if not (k == "out" and v is None) and not (k == "where" and v is True)}
    if "out" in kwargs:
        raise OperandError(f"{rule.name}: out= cannot be used with Values; assign the result instead")
    if rule.kind == "nondiff":
        return args, kwargs
    if "where" in kwargs:
        raise OperandError(f"{rule.name}: where= cannot be used with Values; select with np.where or x[mask] first")
    for name in rule.parameter_names[len(args) : len(rule.maps)]:
        if name in kwargs:
            args = (*args, kwargs.pop(name))
    if not rule.open:
        for name in kwargs.keys() - rule.keywords:
            raise OperandError(f"{rule.name}: the derivative rule does not know {name}=")
    return args, kwargs


def _boxes(x: Any) -> Iterator[Box]:
    """The Values in nested lists, tuples and dicts."""
    return (leaf for leaf in leaves(x) if isinstance(leaf, Box))


def _data_of(x: Any) -> Any:
    return tree_map(lambda leaf: leaf._array if isinstance(leaf, Box) else leaf, x)
