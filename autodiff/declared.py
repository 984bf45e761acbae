"""Rules from outside: what their maps and forward functions return is checked, and named in what is raised.

    linear(every_other, lambda g, x: g)     # OperandError at the first derivative: shape (2,), expected (3,)

The library's own tables are checked by its tests, and pay nothing.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import restore
from .case import KNOWN, OPERANDS, Case
from .errors import OperandError
from .many import ManyCase, Parts
from .rule import Rule
from .spec import Spec

__all__ = ["check_defaults", "checked", "paired"]

Function = Callable[..., Any]


def checked(rule: Rule) -> Rule:
    """The same rule; its cases look at what the maps return."""
    kinds: dict[type, type[Case]] = {Case: _Checked, ManyCase: _CheckedMany}
    rule.case_type = kinds.get(rule.case_type, rule.case_type)
    return rule


def paired(called: str, forward: Function) -> Function:
    """`forward`, which has to return a pair."""

    @functools.wraps(forward)
    def pair(*args: Any, **kwargs: Any) -> Any:
        returned = forward(*args, **kwargs)
        if not (isinstance(returned, tuple) and len(returned) == 2):
            raise OperandError(
                f"{called}: the forward of its rule returned a {type(returned).__name__}; return (ans, aux), the "
                "result and what the maps get as aux, which may be None"
            )
        return returned

    return pair


def check_defaults(name: str, called: str, function: Function, m: Function) -> None:
    """Raise OperandError if a map does not know the default of an argument, which is not passed on."""
    try:
        own, of_map = inspect.signature(inspect.unwrap(function)).parameters, inspect.signature(m).parameters
    except (TypeError, ValueError):
        return
    for p in [*of_map.values()][1:]:
        if p.name in KNOWN or p.name not in own or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            continue
        default = own[p.name].default
        if default is not p.empty and repr(p.default) != repr(default):
            raise OperandError(
                f"{name}: a map of {called} has the parameter {p.name} "
                f"{'without a default' if p.default is p.empty else f'with the default {p.default!r}'}, the function "
                f"has {default!r}; give it the same, as in lambda g, x, {p.name}={default!r}: ..."
            )


class _Checked(Case):
    """The case of a rule from outside."""

    __slots__ = ()

    def __init__(self, rule: Rule, argnums: tuple[int, ...], restored: bool) -> None:
        super().__init__(rule, argnums, restored=True)

    def call(self, i: int) -> str:
        return f"case.cotangent({self.mapped(i)}, s{OPERANDS[i]}, {i})"

    def pushed(self, i: int) -> str:
        text = super().pushed(i)
        return f"case.tangent({text}, t{i}, {i})" if self.rule.kind == "elementwise" else text

    def cotangent(self, d: Any, spec: Spec, i: int) -> Any:
        """What the map of operand `i` made of a cotangent: of the operand's shape, or to be summed to it."""
        d = _as_array(self.rule, d, i)
        is_exact = self.rule.kind in ("linear", "general")
        if not (d.shape == spec.shape if is_exact else _covers(d.shape, spec.shape)):
            raise _wrong(self.rule, i, f"shape {d.shape}, expected {spec.shape}, that of the operand")
        return restore(d, spec)

    def tangent(self, d: Any, t: Any, i: int) -> Any:
        """What the map of operand `i` of an elementwise function made of a tangent."""
        d = _as_array(self.rule, d, i)
        if not _covers(d.shape, t.shape):
            raise _wrong(self.rule, i, f"shape {d.shape} for a tangent of shape {t.shape}; it works element by element")
        return d


class _CheckedMany(ManyCase):
    """The same for a function of several results."""

    __slots__ = ()

    def pull(self, saved: Any, g: Parts) -> Any:
        known = self.residuals(saved)
        gs = tuple(map(g.get, range(len(known["sans"]))))
        ds = []
        for i in self.argnums:
            spec = known["s" + OPERANDS[i]]
            d = _as_array(self.rule, self.apply_map(i, gs, known), i)
            if not _covers(d.shape, spec.shape):
                raise _wrong(self.rule, i, f"shape {d.shape}, expected {spec.shape}, that of the operand")
            ds.append(restore(d, spec))
        return ds[0] if self.count == 1 else ds


def _as_array(rule: Rule, d: Any, i: int) -> Any:
    if isinstance(d, (int, float, complex)) and not hasattr(d, "dtype"):
        return np.asarray(d)[()]
    if not hasattr(d, "dtype") or not hasattr(d, "shape"):
        raise _wrong(rule, i, f"a {type(d).__name__}; return an array")
    return d


def _covers(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether arrays of `other` can be broadcast to `shape`."""
    try:
        return np.broadcast_shapes(shape, other) == shape
    except ValueError:
        return False


def _wrong(rule: Rule, i: int, what: str) -> OperandError:
    return OperandError(f"{rule.name}: its map for operand {OPERANDS[i]} returned {what}")
