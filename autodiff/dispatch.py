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
from .convert import describe, is_array
from .errors import DetachError, MissingRuleError, OperandError
from .rule import RULES, Rule
from .tape import RECORDING, Node, number
from .tree import leaves, tree_map

__all__ = ["Box", "apply", "apply_ufunc"]

METHODS: dict[tuple[Any, str], Callable[..., Any]] = {
    (np.add, "reduce"): np.sum,
    (np.multiply, "reduce"): np.prod,
    (np.maximum, "reduce"): np.max,
    (np.minimum, "reduce"): np.min,
    (np.add, "accumulate"): np.cumsum,
}


class Box:
    """What the door knows of a Value: an array, and the node that made it (None: untracked)."""

    __slots__ = ("_data", "_node")

    _data: Any
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
        for box in _boxes((args, kwargs)):
            if box._node is not None:
                raise MissingRuleError(
                    f"{_full_name(function)} has no derivative rule, and an argument is tracked; pass "
                    "v.detach() if no gradient is wanted, or write it with functions that have one"
                )
    elif kwargs:
        args, kwargs = _normalize(rule, args, kwargs)
    if rule is None or rule.kind == "nondiff":
        box = next(_boxes((args, kwargs)))
        result = function(*_data_of(args), **_data_of(kwargs))
        return tree_map(lambda leaf: box._wrap(leaf) if is_array(leaf) else leaf, result)
    if rule.kind == "composite":
        return rule.forward(*args, **kwargs)  # type: ignore[misc]
    if len(args) == 1 and rule.kind == "elementwise" and not kwargs:
        return _record_unary(rule, args[0])
    return _record(rule, args, kwargs)


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc or one of its methods on Values, as `__array_ufunc__` receives it."""
    if method == "__call__":
        return apply(ufunc, inputs, kwargs)
    if method == "outer":
        x, y = inputs
        return apply(ufunc, (x.reshape(x.shape + (1,) * np.ndim(y)) if np.ndim(y) else x, y), kwargs)
    function = METHODS.get((ufunc, method))
    if function is None:
        raise MissingRuleError(f"np.{ufunc.__name__}.{method} is not available for Values")
    return apply(function, inputs, {"axis": 0, **kwargs} if len(inputs) == 1 else kwargs)


def _record_unary(rule: Rule, box: Box) -> Any:
    """`_record` for a function of one operand, the common case, at a third of the cost."""
    x, parent = box._data, box._node
    ans = rule.function(x)
    if parent is None or not RECORDING.get():
        return box._wrap(ans)
    node = Node()
    node.number = number()
    node.parents = (parent,)
    node.case = case = rule.case((0,), x.dtype is not ans.dtype)
    node.saved = case.save(x, None, None, ans, None, (), {})
    return box._wrap(ans, node)


def _record(rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a ruled function on the data and make the node."""
    box = next(_boxes((args, kwargs)))
    operands = args[0] if rule.sequence else args[: len(rule.maps)]
    rest = args[1:] if rule.sequence else args[len(rule.maps) :]
    if rest or kwargs:
        rest, kwargs = _options(rule, rest), _options(rule, kwargs)
    data = [_unbox(rule, a) for a in operands]
    inputs = (data,) if rule.sequence else data
    ans, aux = (rule.forward or _no_aux(rule.function))(*inputs, *rest, **kwargs)
    if type(ans) is np.ndarray and not ans.ndim:
        ans = ans[()]
    tracked = tuple(i for i, a in enumerate(operands) if isinstance(a, Box) and a._node is not None)
    if not rule.sequence:
        tracked = tuple(i for i in tracked if rule.maps[i] is not None)
    if not tracked or ans.dtype.kind not in "fc" or not RECORDING.get():
        return box._wrap(ans)
    node = Node()
    node.number = number()
    node.parents = tuple(operands[i]._node for i in tracked)
    if rule.sequence:
        node.case = case = rule.case((0,), False)
        node.saved = case.save(data, None, None, ans, tracked, rest, kwargs)
        return box._wrap(ans, node)
    restored = rule.kind == "bilinear" or any(
        data[i].dtype != ans.dtype or (rule.kind == "elementwise" and data[i].shape != ans.shape) for i in tracked
    )
    node.case = case = rule.case(tracked, restored)
    for i, a in enumerate(operands):
        if type(a) is np.ndarray and OPERANDS[i] in case.fields:
            data[i] = keep(node, a)
    x, y, z = (*data, None, None)[:3]
    node.saved = case.save(x, y, z, ans, aux, rest, kwargs)
    return box._wrap(ans, node)


def _no_aux(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: (function(*args, **kwargs), None)


def _unbox(rule: Rule, a: Any) -> Any:
    """The array in operand `a`. Raises OperandError if it is not one to compute with."""
    if isinstance(a, Box):
        return a._data
    if type(a) in (float, int, bool, complex) or is_array(a) or a is None:
        return a
    if isinstance(a, (list, tuple)):
        array = np.asarray(a)
        if array.dtype.kind in "biufc":
            return array
    raise OperandError(f"{rule.name}: cannot compute with {describe(a)}")


def _normalize(rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Drop keywords at their defaults, refuse those without a meaning here, make operands positional."""
    kwargs = {k: v for k, v in kwargs.items() if not (k == "out" and v is None) and not (k == "where" and v is True)}
    if rule.kind == "nondiff":
        return args, kwargs
    if "out" in kwargs:
        raise OperandError(f"{rule.name}: out= cannot be used with Values; assign the result instead")
    if "where" in kwargs:
        raise OperandError(f"{rule.name}: where= cannot be used with Values; use np.where(mask, x, y) instead")
    for name in rule.operand_names[len(args) :]:
        if name in kwargs:
            args = (*args, kwargs.pop(name))
    return args, kwargs


def _options(rule: Rule, x: Any) -> Any:
    """Arguments that are not operands, safe to keep: Values unwrapped, arrays and lists copied."""

    def option(leaf: Any) -> Any:
        if isinstance(leaf, Box):
            if leaf._node is not None:
                raise DetachError(f"{rule.name}: no derivative for a tracked Value here; pass its .detach()")
            return leaf._data
        return leaf.copy() if type(leaf) is np.ndarray else leaf

    return tree_map(option, x)


def _boxes(x: Any) -> Iterator[Box]:
    """The Values in nested lists, tuples and dicts."""
    return (leaf for leaf in leaves(x) if isinstance(leaf, Box))


def _data_of(x: Any) -> Any:
    return tree_map(lambda leaf: leaf._data if isinstance(leaf, Box) else leaf, x)


def _full_name(function: Callable[..., Any]) -> str:
    module = getattr(function, "__module__", None) or "numpy"
    return f"{module}.{getattr(function, '__name__', function)}"
