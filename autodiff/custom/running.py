"""How the code of a user is run: on plain arrays, on Values, on batches; and what is said if that fails."""

import functools
import importlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..batched import Batched, levels_of, union
from ..buffers import watching
from ..context import CHECKS, LEVELS, Active
from ..errors import BatchError, DetachError, GraphError, MissingRuleError
from ..stand_ins import RUNNING
from ..tape import RECORDING, number
from ..transform import name_of
from ..tree import flatten, leaves, tree_map
from ..value import Value

__all__ = [
    "array_of",
    "closes_over",
    "computed",
    "explained",
    "first",
    "frozen",
    "is_inexact",
    "plain",
    "transposing",
    "unrecorded",
]

Function = Callable[..., Any]


def computed(function: Function, tree: Any, own: Function) -> Any:
    """`function(tree)`, which calls `own`, code of the user.

    On plain arrays NumPy is NumPy; where there are Values its buffers may take them, as in any function that is
    differentiated. Of batches all examples are computed at once if `own` is made of NumPy, else one after the other.
    """
    values = any(isinstance(x, Value) for x in leaves(tree))
    if not any(type(array_of(x)) is Batched for x in leaves(tree)):
        if values:
            with watching(own):
                return function(tree)
        return _undisturbed(function, tree)
    wrap = lambda x: Value._wrap(x) if type(x) is Batched else x
    unwrap = lambda x: x._array if isinstance(x, Value) and x._node is None else x
    try:
        with watching(own):
            return tree_map(unwrap, function(tree_map(wrap, tree)), result=True)
    except (BatchError, DetachError):
        if values:
            return _each_recorded(function, tree, own)
        each = importlib.import_module("autodiff.batching.loop").call_each
        return each(functools.partial(_undisturbed, function), tree)


def _each_recorded(function: Function, tree: Any, own: Function) -> Any:
    """One example after the other, where some arrays are tracked: taking them apart and together is recorded too."""
    door: Any = importlib.import_module("autodiff.batching.levels")
    levels = union(levels_of(array_of(x)) for x in leaves(tree))
    batches = (Value, Batched)

    def shown(x: Any) -> Any:
        for level in reversed(levels if isinstance(x, batches) else ()):
            x = door.leave(x, level, 0)  # also of what is the same for all: each example has a derivative of its own
        return x

    items, rebuild = flatten(tree)
    pairs = [(isinstance(x, batches), shown(x)) for x in items]
    examples = itertools.product(*(range(level.size) for level in levels))
    results = [computed(function, rebuild([x[at] if batched else x for batched, x in pairs]), own) for at in examples]
    if not results:
        raise ValueError(f"{name_of(own)} cannot be computed for a batch without examples")
    columns = zip(*(leaves(r, result=True) for r in results), strict=True)

    def together(_: Any) -> Any:
        y = np.stack([np.asarray(y) if isinstance(y, (int, float, complex)) else y for y in next(columns)])
        y = y.reshape(*[level.size for level in levels], *y.shape[1:])
        for level in levels:
            y = door.enter(y, level, 0)
        return y

    return tree_map(together, results[0], result=True)


def _undisturbed(function: Function, tree: Any) -> Any:
    token = RUNNING.set(False)
    try:
        return function(tree)
    finally:
        RUNNING.reset(token)


class transposing:
    """Record, and sum nothing over the examples of a batch: a rule is being transposed."""

    def __enter__(self) -> None:
        self.tokens = RECORDING.set(CHECKS.get() or True), LEVELS.set(Active(number()))

    def __exit__(self, *exception: object) -> None:
        RECORDING.reset(self.tokens[0])
        LEVELS.reset(self.tokens[1])


class explained:
    """Say what a rule that leaves NumPy cannot give, where more than its own direction is asked of it."""

    def __init__(self, call: Any, rule: str, more: bool) -> None:
        self.call, self.rule, self.more = call, rule, more

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self.more and isinstance(error, (DetachError, BatchError, MissingRuleError)):
            raise DetachError(
                f"{self.call.name}: its {self.rule} uses something else than NumPy's functions ({error}). So neither "
                "the other mode nor a higher order can be derived from it; declare both vjp and jvp for the first "
                "order, or write the rule with NumPy's functions"
            ) from error


def unrecorded(call: Any, d: Any, rule: str) -> Any:
    """What a rule returned in a walk on arrays."""
    if not isinstance(d, Value):
        return d
    if d._node is not None:
        raise closes_over(call, rule)
    return d._array


def closes_over(call: Any, rule: str) -> GraphError:
    """The error for a rule that uses a tracked Value from outside."""
    return GraphError(
        f"{call.name}: its {rule} closes over a tracked Value, whose gradient would be lost; make it an argument"
    )


def frozen(x: Any) -> Any:
    """An array that code of the user cannot write to: nodes and walks may keep it. Of a Value, one of its own."""
    if isinstance(x, Value):
        return Value._wrap(x._array, x._node)
    if type(x) is not np.ndarray:
        return x
    x = x.view()
    x.flags.writeable = False
    return x


def plain(y: Any) -> Any:
    """A result as the data of a Value."""
    y = y._array if isinstance(y, Value) else np.asarray(y) if isinstance(y, (int, float, complex)) else y
    return (y.copy() if y.ndim else y[()]) if isinstance(y, np.ndarray) else y


def array_of(x: Any) -> Any:
    return x._array if isinstance(x, Value) else x if hasattr(x, "dtype") else np.asarray(x)[()]


def is_inexact(x: Any) -> bool:
    return isinstance(x, (float, complex)) or (hasattr(x, "dtype") and x.dtype.kind in "fc")


def first(xs: Any) -> Any:
    return next((x for x in xs if x is not None), None)
