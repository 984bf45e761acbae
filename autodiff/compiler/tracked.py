"""A jitted function of tracked Values: one node, whose derivatives in either mode are programs too.

The function runs as the program that it has for plain arrays. Its vjp and jvp are functions of their own, which are
jitted in turn; so are theirs, and any order is compiled.
"""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..buffers import watching
from ..custom import custom_rule
from ..transforms import jvp, vjp
from ..tree import tree_map
from ..value import Value
from .signature import Signature, is_leaf

__all__ = ["Tracked"]


class _Out:
    """The place of an array in a result."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


def _flat(result: Any) -> tuple[list[Any], Any]:
    """The arrays in a result, and the result with their places."""
    arrays: list[Any] = []

    def place(y: Any) -> Any:
        if isinstance(y, (Value, np.ndarray, np.generic)):
            arrays.append(y)
            return _Out(len(arrays) - 1)
        return y

    return arrays, tree_map(place, result, result=True)


def _own(x: Any) -> Any:
    """An argument that a function may write to."""
    return x.copy() if isinstance(x, np.ndarray) and not x.flags.writeable else x


def _restored(template: Any, arrays: list[Any]) -> Any:
    """The result again, with other arrays."""
    return tree_map(lambda y: arrays[y.index] if type(y) is _Out else y, template, result=True)


class Tracked:
    """The rule of one signature of a function: `jitted` runs it, `jit` compiles its derivatives."""

    def __init__(self, f: Callable[..., Any], jitted: Any, jit: Any, given: Signature, args: Any, kwargs: Any) -> None:
        skeleton = given.rebuilt(args, kwargs, lambda _: 0.0)
        local = threading.local()
        smooth = given.smooth()

        def arguments(leaves: Any) -> Any:
            it = iter(leaves)
            return tree_map(lambda x: next(it) if is_leaf(x, given.integers) else x, skeleton)

        def forward(leaves: Any) -> Any:
            new_args, new_kwargs = arguments(leaves)
            arrays, local.template = _flat(jitted(*new_args, **new_kwargs))
            return arrays

        def function(floats: Any, others: Any) -> Any:
            a, b = iter(floats), iter(others)
            new_args, new_kwargs = arguments([next(a) if is_smooth else _own(next(b)) for is_smooth in smooth])
            with watching(f):
                return _flat(f(*new_args, **new_kwargs))[0]

        def parted(leaves: Any) -> tuple[list[Any], list[Any]]:
            pairs = [*zip(leaves, smooth, strict=True)]
            return [x for x, is_smooth in pairs if is_smooth], [x for x, is_smooth in pairs if not is_smooth]

        def pulled(floats: Any, others: Any, g: Any) -> Any:
            return vjp(lambda xs: function(xs, others), floats)[1](g)[0]

        def pushed(floats: Any, others: Any, t: Any) -> Any:
            return jvp(lambda xs: function(xs, others), (floats,), (t,))[1]

        pull, push = jit(pulled), jit(pushed)

        def rule_vjp(g: Any, leaves: Any) -> Any:
            floats, others = parted(leaves)
            it = iter(pull(floats, others, g))
            return [next(it) if is_smooth else None for is_smooth in smooth]

        def rule_jvp(t: Any, leaves: Any) -> Any:
            floats, others = parted(leaves)
            given = [x if x is not None else np.zeros_like(y) for x, y in zip(parted(t)[0], floats, strict=True)]
            return push(floats, others, given)

        self.rule = custom_rule(forward, vjp=rule_vjp, jvp=rule_jvp)
        self.local = local

    def __call__(self, leaves: list[Any]) -> Any:
        arrays = self.rule(leaves)
        return _restored(self.local.template, arrays)
