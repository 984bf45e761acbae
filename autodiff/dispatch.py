"""The one door: `apply(function, args, kwargs)` runs a function on Values and records it.

Operators, methods and NumPy's two protocols all end here. The door looks up the rule, takes the arrays
out of the Values, runs the function on them, and makes a node if an operand is tracked. It wraps the
result through the operands' own class, so it knows neither Value nor any other class on top of it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .arguments import boxes, normalize, operand, option
from .batched import Batched, levels_of
from .batched import run as run_batched
from .box import Box
from .case import OPERANDS
from .constants import keep
from .convert import assembled, mismatch
from .outputs import into
from .plain import run
from .rule import RULES, Rule
from .taint import tainted
from .tape import RECORDING, operation
from .views import has_place, is_view, link, make_place

__all__ = ["apply"]


def apply(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], like: Box | None = None) -> Any:
    """Run `function` on arguments some of which are Values, and record it if one is tracked.

    Raises MissingRuleError if the function has no rule and a Value is tracked.
    """
    rule = RULES.get(function)
    if kwargs and kwargs.get("out") is not None:
        return into(apply, function, args, kwargs)
    if rule is None:
        return run(function, args, kwargs, like, ruled=False)
    if len(args) > rule.out_at or (kwargs and not kwargs.keys() <= rule.keywords):
        args, kwargs = normalize(rule, args, kwargs)
        if "out" in kwargs:
            return into(apply, function, args, kwargs)
    if rule.kind == "nondiff":
        return run(function, args, kwargs, like, ruled=True)
    if rule.kind == "composite":
        return rule.forward(*args, **kwargs)  # type: ignore[misc]
    if len(rule.maps) == 1 and not rule.sequence and not rule.outputs and isinstance(args[0], Box):
        return _record_unary(rule, args[0], args[1:], kwargs)
    box = next((a for a in args if isinstance(a, Box)), None)
    return _record(rule, next(boxes((args, kwargs))) if box is None else box, args, kwargs)


def _record_unary(rule: Rule, box: Box, rest: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`_record` for a function of one operand, the common case, at half the cost."""
    x, parent, aux = box._array, box._node, None
    if rest:
        rest = tuple([option(rule, v) for v in rest])
    if kwargs:
        kwargs = {k: option(rule, v) for k, v in kwargs.items()}
    if rule.kind == "linear" and isinstance(x, np.generic):
        x = np.asarray(x)  # so that it can be seen whether the result is a view
    if rule.forward:
        ans, aux = rule.forward(x, *rest, **kwargs)
    elif kwargs and Batched in map(type, kwargs.values()):  # which NumPy would not look at
        ans = run_batched(rule.function, (x, *rest), kwargs)
    elif rule.method:
        ans = getattr(x, rule.method)(*rest, **kwargs)
    else:
        ans = rule.function(x, *rest, **kwargs)
    place = not isinstance(ans, np.generic) and (x.ndim > 0 or rule.function is np.copy or has_place(box))
    step = (rule.function, rest, kwargs)
    view = place and rule.kind == "linear" and is_view(ans, x, box, step)
    if type(ans) is np.ndarray and not ans.ndim:
        ans = ans[()]
    else:  # that is for arrays of no axes; scalars have none
        place = type(ans) is Batched and not ans.ndim and rule.function is np.copy
    dtype, recording = ans.dtype, RECORDING.get()
    node = None
    if parent is not None and dtype.kind in "fc" and recording:
        node = operation((parent,))
        restored = x.dtype is not dtype or (type(ans) is Batched and levels_of(x) != ans.levels)
        node.case = case = rule.case((0,), restored)
        node.saved = case.save(x, None, None, ans, aux, rest, kwargs)
        if rule.taints or kwargs.get("where") is not None:
            node.case = tainted(case, (x,))
        if recording is not True:
            recording(node, ans)
    result = box._wrap(ans, node)
    if view:
        link(result, box, step)
    elif place:
        make_place(result)
    return result


def _record(rule: Rule, box: Box, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a ruled function on the data and make the node."""
    if rule.sequence:
        operands, rest = tuple(map(assembled, args[0])), args[1:]
    else:
        operands, rest = args[: len(rule.maps)], args[len(rule.maps) :]
        if list in map(type, operands) or tuple in map(type, operands):
            operands = tuple(map(assembled, operands))
    rest = tuple(option(rule, v) for v in rest) if rest else ()
    kwargs = {k: option(rule, v) for k, v in kwargs.items()} if kwargs else {}
    data = [a._array if isinstance(a, Box) else operand(rule, a) for a in operands]
    if rule.forward:
        ans, aux = rule.forward(*data, *rest, **kwargs)
    else:
        inputs = [data] if rule.sequence else data
        try:
            ans, aux = rule.function(*inputs, *rest, **kwargs), None
        except ValueError as error:
            raise mismatch(rule.name, error) from None
    if rule.outputs:
        return _record_many(rule, box, operands, data, ans, (aux, rest, kwargs))
    ans = ans[()] if type(ans) is np.ndarray and not ans.ndim else ans
    tracked = tuple([i for i, a in enumerate(operands) if isinstance(a, Box) and a._node is not None])
    if not rule.sequence and tracked:
        tracked = tuple([i for i in tracked if rule.maps[i] is not None])
    dtype, recording = ans.dtype, RECORDING.get()
    if not tracked or dtype.kind not in "fc" or not recording:
        return box._wrap(ans)
    node = operation(tuple([operands[i]._node for i in tracked]))
    if rule.sequence:
        node.case = case = rule.case((0,), False)
        node.saved = case.save(data, None, None, ans, tracked, rest, kwargs)
        if recording is not True:
            recording(node, ans)
        return box._wrap(ans, node)
    restored = rule.kind == "bilinear" or type(ans) is Batched or any(getattr(a, "dtype", dtype) != dtype for a in data)
    if rule.kind == "elementwise" and not restored:
        restored = any(data[i].shape != ans.shape for i in tracked)
    node.case = case = rule.case(tracked, restored)
    for i, a in enumerate(operands):
        if type(a) is np.ndarray and OPERANDS[i] in case.fields:
            data[i] = keep(node, a)
    x, y, z = (*data, None, None)[:3]
    node.saved = case.save(x, y, z, ans, aux, rest, kwargs)
    if rule.taints or kwargs.get("where") is not None:
        node.case = tainted(node.case, data)
    if recording is not True:
        recording(node, ans)
    return box._wrap(ans, node)


def _record_many(
    rule: Rule, box: Box, operands: tuple[Any, ...], data: list[Any], results: tuple[Any, ...], further: tuple[Any, ...]
) -> Any:
    """`_record` for a function of several results: its node, and one for each result."""
    make = getattr(type(results), "_make", tuple)
    answers = tuple([a[()] if type(a) is np.ndarray and not a.ndim else a for a in results])
    tracked = tuple([i for i, a in enumerate(operands) if isinstance(a, Box) and a._node is not None and rule.maps[i]])
    recording = RECORDING.get()
    if not tracked or not recording:
        return make([box._wrap(a) for a in answers])
    node = operation(tuple([operands[i]._node for i in tracked]))
    node.case = case = rule.case(tracked, True)
    for i, a in enumerate(operands):
        if type(a) is np.ndarray and OPERANDS[i] in case.fields:
            data[i] = keep(node, a)
    x, y, z = (*data, None, None)[:3]
    node.saved = case.save(x, y, z, answers, *further)
    if recording is not True:
        recording(node, answers)
    return make([box._wrap(a, node.picked(i) if a.dtype.kind in "fc" else None) for i, a in enumerate(answers)])
