"""The case of a node for a function with a rule of its own: which rule serves which direction."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import restore
from ..errors import GraphError
from ..many import Parts
from ..rule import Rule
from ..spec import Spec
from ..tape import Node
from ..tree import tree_map
from ..value import Value
from .call import Call
from .running import array_of, explained, first, transposing, unrecorded

__all__ = ["CustomCase"]

Function = Callable[..., Any]


class CustomCase:
    """The case of a call. In a walk on arrays `saved` is the call; in a lifted one a copy of it that holds Values."""

    count = -1
    is_spent = False

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    @property
    def spent(self) -> Any:
        return self.rule.spent

    def residuals(self, saved: Any) -> dict[str, Any]:
        return {}

    def lift(self, saved: Call, node: Node, wrap: Function) -> Call:
        if saved.custom.once:
            raise GraphError(f"{saved.name}: {saved.custom.once}")
        lifted: Call = object.__new__(Call)
        lifted.__dict__.update(saved.__dict__)
        lifted.data = list(saved.data)
        for i, parent in zip(saved.tracked, node.parents, strict=True):
            lifted.data[i] = wrap(saved.data[i], parent)
        lifted.answers = [saved.wrapped(k, node, wrap) for k in range(len(saved.answers))]
        return lifted

    def pull(self, saved: Call, g: Any) -> Any:
        cotangents = [g.get(k) for k in range(len(saved.answers))] if isinstance(g, Parts) else [g]
        lifted = isinstance(first(cotangents), Value) or any(isinstance(x, Value) for x in saved.data)
        if saved.custom._pulls is not None:
            pairs = zip(cotangents, saved.answers, strict=True)
            filled = [np.zeros_like(array_of(a))[()] if c is None else c for c, a in pairs]
            with explained(saved, "vjp", lifted):
                found = saved.pulled(tree_map(filled.__getitem__, saved.shape))
        elif saved.custom._pushes is not None:
            with explained(saved, "jvp", True), transposing():
                found = saved.transposed_push(cotangents, lifted)
            found = [restore(d, Spec.of(saved.data[i])) for i, d in zip(saved.tracked, found, strict=True)]
        else:
            raise GraphError(f"{saved.name}: no rule was declared; decorate one with @{saved.name}.vjp or .jvp")
        return [unrecorded(saved, d, "vjp") for d in found] if not lifted else found

    def push(self, saved: Call, tangents: tuple[Any, ...], masked: bool = False) -> Any:
        lifted = isinstance(first(tangents), Value) or any(isinstance(x, Value) for x in saved.data)
        if saved.custom._pushes is not None:
            with explained(saved, "jvp", lifted):
                found = saved.pushed([*tangents])
        elif saved.custom._pulls is not None:
            with explained(saved, "vjp", True), transposing():
                found = saved.transposed_pull([*tangents], lifted)
        else:
            raise GraphError(f"{saved.name}: no rule was declared; decorate one with @{saved.name}.vjp or .jvp")
        found = [unrecorded(saved, d, "jvp") for d in found] if not lifted else found
        return found[0] if len(found) == 1 else tuple(found)
