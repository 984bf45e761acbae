"""Elementary functions as LLVM IR text, which a loop that calls them turns into vector instructions.

    >>> call("exp", "f4", ["%a"])
    'call float @ad.exp.f4(float %a)'
    >>> print(prelude([("exp2", "f4", INLINE)]))
    declare float @llvm.fma.f32(float, float, float)
    ...
    define internal float @ad.exp2.f4(float %a0) alwaysinline nounwind willreturn memory(none) {
    ...

The formulas are in `llvm_exp`, `llvm_erf`, `llvm_power` and `llvm_trig`. Each is straight-line: both sides of a case
are computed and one is selected, and special values (nan, infinities, signed zeros) come out as NumPy's. None calls a
library. The `NATIVE` ones are within 2 units in the last place of the true value, in both kinds, for every argument.

A kernel that calls a function often would be long, and LLVM slow. There the calls stay calls, to a function `apart`; in
a loop that LLVM vectorises they become calls of one of several lanes, which is named in an attribute of the first.

The target must have fused multiply-add and rounding instructions (x86: FMA and AVX2; every ARM64): without them LLVM
calls libm for `llvm.fma` and `llvm.rint`, one number at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from . import llvm_erf, llvm_exp, llvm_power, llvm_trig
from .llvm_values import FORMATS, Body, Value

__all__ = ["FORMULAS", "ILL_CONDITIONED", "INLINE", "NATIVE", "Use", "call", "prelude"]

Use = tuple[str, str, int]  # a function, its kind, and how many lanes at once: INLINE if it is to vanish in its caller
INLINE = 0

FORMULAS: dict[str, tuple[int, Callable[..., Value]]] = {
    "exp": (1, llvm_exp.exp),
    "exp2": (1, llvm_exp.exp2),
    "expm1": (1, llvm_exp.expm1),
    "log": (1, llvm_exp.log),
    "log2": (1, llvm_exp.log2),
    "log10": (1, llvm_exp.log10),
    "log1p": (1, llvm_exp.log1p),
    "logaddexp": (2, llvm_exp.logaddexp),
    "sigmoid": (1, llvm_exp.sigmoid),
    "erf": (1, llvm_erf.erf),
    "erfc": (1, llvm_erf.erfc),
    "sinh": (1, llvm_exp.sinh),
    "cosh": (1, llvm_exp.cosh),
    "tanh": (1, llvm_exp.tanh),
    "arcsinh": (1, llvm_power.arcsinh),
    "arccosh": (1, llvm_power.arccosh),
    "arctanh": (1, llvm_power.arctanh),
    "power": (2, llvm_power.power),
    "cbrt": (1, llvm_power.cbrt),
    "sin": (1, llvm_trig.sin),
    "cos": (1, llvm_trig.cos),
    "tan": (1, llvm_trig.tan),
    "arcsin": (1, llvm_trig.arcsin),
    "arccos": (1, llvm_trig.arccos),
    "arctan": (1, llvm_trig.arctan),
    "arctan2": (2, llvm_trig.arctan2),
}
# A sum whose terms may cancel: within 2 units of the larger term, as NumPy's is, and so not of a result near 0.
ILL_CONDITIONED = frozenset({"logaddexp"})
NATIVE: frozenset[str] = frozenset(FORMULAS) - ILL_CONDITIONED


def call(name: str, kind: str, args: Sequence[str], apart: bool = False) -> str:
    """The right-hand side of an instruction that calls the function; `apart`: and is left a call."""
    type = FORMATS[kind].type
    ending = ".apart" if apart else ""
    return f"call {type} @ad.{name}.{kind}{ending}({', '.join(f'{type} {arg}' for arg in args)})"


def prelude(used: Iterable[Use], convention: str = "", scales: bool = False) -> str:
    """The functions used, and what they need declared: each once, in alphabetical order.

    `convention`: how functions of several lanes are called. `scales`: whether the machine has an instruction for
    x * 2**n, as AVX-512 has, and LLVM takes it.
    """
    lanes: dict[tuple[str, str], set[int]] = {}
    for name, kind, count in used:
        lanes.setdefault((name, kind), set()).add(count)
    needed: dict[str, str] = {}
    functions: list[str] = []
    kept: list[str] = []  # what only LLVM's vectoriser calls, and what it would not find without one of its arguments

    def define(symbol: str, name: str, kind: str, attributes: str, count: int = 1) -> None:
        arity, formula = FORMULAS[name]
        body = Body(kind, arity, count, scales)
        functions.append(body.define(symbol, formula(*body.arguments), attributes, convention if count > 1 else ""))
        needed.update(body.globals)

    for (name, kind), counts in sorted(lanes.items()):
        symbol = f"ad.{name}.{kind}"
        if INLINE in counts:
            define(symbol, name, kind, "alwaysinline")
        variants = []
        for count in sorted(counts - {INLINE, 1}):
            define(f"{symbol}.x{count}", name, kind, 'noinline "prefer-vector-width"="512"', count)
            kept.append(f"ptr @{symbol}.x{count}")
            variants.append(f"_ZGV_LLVM_N{count}{'v' * FORMULAS[name][0]}_{symbol}.apart({symbol}.x{count})")
        if variants:
            kept.append(f"ptr @{symbol}.apart")
        if counts - {INLINE}:
            named = f' "vector-function-abi-variant"="{",".join(variants)}"' if variants else ""
            define(f"{symbol}.apart", name, kind, f"noinline{named}")
    if kept:
        needed["@llvm.compiler.used"] = (
            f'@llvm.compiler.used = appending global [{len(kept)} x ptr] [{", ".join(kept)}], section "llvm.metadata"'
        )
    return "\n".join([*(needed[symbol] for symbol in sorted(needed)), "", *functions])
