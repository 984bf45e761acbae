"""Derivative rules: how to declare one, and how one declaration yields both vjp and jvp.

    elementwise(np.exp, lambda g, ans: g * ans)                 one map per operand
    linear(np.sum, lambda g, x, axis=None, keepdims=False: ...)  the transpose; x is a Spec
    bilinear(np.matmul, matmul_lhs, matmul_rhs)                 the transpose in either operand
    general(np.prod, None, prod_map)                            anything else; forward may return (ans, aux)
    composite(np.hypot, ...)                                    written with ruled functions
    nondiff(np.argmax)                                          runs on the data, the result is untracked

A map takes `g` first and then, *by name*, what it needs: the operands `x`, `y`, `z` by position, the
result `ans`, or what the forward function put aside as `aux`. The names are what a node saves, and
nothing else is. Where linearity makes an operand's data superfluous (`linear`, and a bilinear
function's own operand) the name stands for its `Spec`. Further parameters receive the function's
remaining arguments under NumPy's names.

An elementwise map `g -> D g` multiplies by a diagonal matrix, which is its own transpose, so the map
serves cotangents (vjp) and tangents (jvp) alike. A linear function is its own jvp. A bilinear one is
applied to each tangent in turn. A general one is transposed twice, unless it declares `push`.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .case import KNOWN, Case, SequenceCase, Spent
from .many import ManyCase, Pick

__all__ = ["RULES", "Rule", "bilinear", "composite", "elementwise", "general", "linear", "nondiff"]

Function = Callable[..., Any]

RULES: dict[Function, "Rule"] = {}


class Rule:
    """The derivative of one function: its kind, its maps, and what each map needs."""

    def __init__(
        self,
        function: Function,
        kind: str,
        maps: tuple[Function | None, ...] = (),
        *,
        forward: Function | None = None,
        method: str | None = None,
        push: Function | None = None,
        regular: float = 0.5,
        sequence: bool = False,
        outputs: int = 0,
        taints: bool = False,
        case: type[Case] | None = None,
        name: str | None = None,
    ) -> None:
        self.function = function
        self.kind = kind
        self.maps = maps
        self.forward = forward
        self.method = method  # the array method that does the same; NumPy's functions cost more
        self.push = push
        self.regular = regular  # an argument at which the maps are finite, see Case.pull_masked
        self.sequence = sequence  # the operand is a list of arrays, as for np.concatenate
        self.outputs = outputs  # the result is a tuple of so many arrays
        self.taints = taints  # it may leave out a nan, see taint.py
        self.case_type = case or (SequenceCase if sequence else ManyCase if outputs else Case)
        self.name: str = name or str(getattr(function, "__name__", function))
        signatures = [_parameters(m)[1:] if m else [] for m in maps]
        self.needs = [[p for p in names if p in KNOWN] for names in signatures]
        self.options = [any(p not in KNOWN for p in names) for names in signatures]
        code: Any = getattr(forward, "__code__", None) if kind == "composite" else None
        named = {p for names in signatures for p in names} - KNOWN - {"out"}
        self.keywords = named or {"dtype", "casting", "order", "subok", "signature"}  # which only the function sees
        self.open = kind == "composite" and (not code or bool(code.co_flags & inspect.CO_VARKEYWORDS))  # takes any
        if code:
            self.keywords = {*_parameters(forward)}  # type: ignore[arg-type]
        self.spent = Spent(self)
        self._cases: dict[tuple[tuple[int, ...], bool], Case] = {}

    def case(self, argnums: tuple[int, ...], restored: bool) -> "Case":
        """The case in which the operands `argnums` are tracked; `restored`: some need `restore`."""
        found = self._cases.get((argnums, restored))
        if found is None:
            found = self._cases.setdefault((argnums, restored), self.case_type(self, argnums, restored))
        return found

    @functools.cached_property
    def picks(self) -> list[Pick]:
        """The cases of the nodes for the single results."""
        names = (f"{self.name}[{i}]" for i in range(self.outputs))
        return [Pick(Rule(self.function, "linear", name=name), i) for i, name in enumerate(names)]

    @functools.cached_property
    def parameter_names(self) -> list[str]:
        """The parameters of the function by position; none for a ufunc."""
        try:
            parameters = inspect.signature(self.function).parameters.values()
            return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        except (TypeError, ValueError):
            return ["arrays", "axis", "out"] if self.sequence else []  # NumPy 2.0 hides the signature of concatenate

    @functools.cached_property
    def out_at(self) -> int:
        """The position of `out`, which NumPy lets one pass without its name."""
        names = self.parameter_names
        return names.index("out") if "out" in names and not isinstance(self.function, np.ufunc) else sys.maxsize

    def __repr__(self) -> str:
        return f"<{self.kind} rule of {self.name}>"


def _parameters(function: Function) -> list[str]:
    code = function.__code__  # inspect.signature takes 20 times longer, once a map at import
    return [*code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]]


def _register(rule: Rule) -> Rule:
    if rule.function in RULES:
        raise ValueError(f"{rule.name} has a rule already")
    return RULES.setdefault(rule.function, rule)


def elementwise(function: Function, *maps: Function | None, **options: Any) -> Rule:
    """A function applied element by element: one diagonal map per operand (None: its derivative is 0).

    Where a map gives nan for a zero cotangent (0/0 or 0*inf, as sqrt at 0), the result is 0. To keep its
    own derivatives finite there, it is evaluated at `regular` (0.5) instead, where it must be finite.

    >>> elementwise(lambda x: x * x * x, lambda g, x: 3 * g * x * x)
    <elementwise rule of <lambda>>
    """
    return _register(Rule(function, "elementwise", maps, **options))


def linear(function: Function, transpose: Function, **options: Any) -> Rule:
    """A function linear in its first operand: `transpose(g, x, *rest, **kwargs)`, where x is a Spec.

    Where the function adds a constant, `push(tangent, *rest, **kwargs)` is its linear part.
    With `sequence=True` the operand is a list of arrays and `transpose` returns a list of cotangents.
    `forward` and `method` are as for `general`; `name` is what users read.
    """
    return _register(Rule(function, "linear", (transpose,), **options))


def bilinear(function: Function, lhs: Function, rhs: Function) -> Rule:
    """A function linear in either of two operands: the transpose for each."""
    return _register(Rule(function, "bilinear", (lhs, rhs)))


def general(function: Function, forward: Function | None, *maps: Function | None, **options: Any) -> Rule:
    """Any differentiable function: `forward` returns (ans, aux) in its place, each map pulls back to one operand.

    `aux` holds only what is not differentiable: indices, masks, a factorisation next to its matrix.
    Options: `push(tangents, **saved)` gives the jvp where transposing the map twice is slow; `method`
    names the array method that does the same as `function`. With `outputs=n` the result is a tuple of n
    arrays, and so is `ans`; `g` is then a tuple of cotangents, None for results that received none.
    """
    return _register(Rule(function, "general", maps, forward=forward, **options))


def composite(function: Function, body: Function) -> Rule:
    """A function written with ruled ones: `body` is called in its place."""
    return _register(Rule(function, "composite", forward=body))


def nondiff(*functions: Function) -> None:
    """Functions without a derivative: they run on the data, and their results are untracked."""
    for function in functions:
        if function not in RULES:
            _register(Rule(function, "nondiff"))
