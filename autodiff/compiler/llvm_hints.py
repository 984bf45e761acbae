"""What LLVM is told about an innermost loop: how to vectorise it, and which functions stay calls.

A short row is computed as one piece, many rows at once, or with masks at its end. Only folds are interleaved, that is,
accumulate in several vectors at once; elsewhere that is no faster, and longer.

Where a kernel calls an elementary function often, LLVM would be slow: 7 ms for each sine that is written out. There it
is called, in vectors (see `llvm_math`), and their width has to be said. Each call then takes up to a sixth longer.
"""

from collections import Counter
from math import inf, prod
from typing import Any, NamedTuple

from .graph import SCANS
from .llvm_ops import FLOATS, is_power_of_two
from .loops import SIZES, Nest, Phase, cost, quiet

__all__ = ["PLAIN", "Hint", "hint", "often"]

UNROLLED = 8  # elements of a row that are unrolled
MOST_WORK = 160  # additions in such a row
MASKED = 31  # elements of a row that may end in masks
OFTEN, MANY, MORE_OFTEN = 3, 4096, 8  # calls of a function that are written out; and where there are many elements
REMAINDERS = frozenset(("remainder", "floor_divide", "fmod"))
SEQUENTIAL = frozenset(("scatter", "scatter_add", *SCANS))


class Hint(NamedTuple):
    """How a loop is vectorised: PLAIN as LLVM likes, SINGLE: one vector at once, UNROLL, SCALAR, and VECTOR or MASK in
    so many lanes, MASK also where the row ends."""

    kind: str
    lanes: int = 1

    @property
    def use(self) -> str:
        """What follows a loop's branch."""
        return "" if self.kind == "PLAIN" else f", !llvm.loop !{self.name}"

    @property
    def name(self) -> str:
        return f"{self.kind}{self.lanes}"

    @property
    def metadata(self) -> str:
        if self.kind == "UNROLL":
            flags = ['"llvm.loop.unroll.full"']
        elif self.kind == "SINGLE":
            flags = ['"llvm.loop.interleave.count", i32 1']
        elif self.kind == "SCALAR":
            flags = ['"llvm.loop.vectorize.enable", i1 false']
        else:
            flags = ['"llvm.loop.unroll.disable"', '"llvm.loop.vectorize.enable", i1 true']
            flags.append(f'"llvm.loop.vectorize.width", i32 {self.lanes}')
            if self.kind == "MASK":
                flags.append('"llvm.loop.vectorize.predicate.enable", i1 true')
        return f"!{self.name} = distinct !{{!{self.name}, {', '.join(f'!{{!{flag}}}' for flag in flags)}}}\n"


PLAIN = Hint("PLAIN")


def often(nest: Nest, functions: frozenset[str]) -> frozenset[tuple[str, str]]:
    """The elementary functions, with their kinds, that a nest calls often."""
    parts = [nest.start, *[ops for phase in nest.phases for ops in (phase.row, phase.body)], nest.tail]
    found = Counter([(op.name, op.dtype) for ops in parts for op in ops if op.name in functions])
    most = MORE_OFTEN if prod((*nest.rows, *nest.columns)) >= MANY else OFTEN
    return frozenset([function for function, count in found.items() if count > most])


def hint(
    nest: Nest, phase: Phase, functions: frozenset[str], apart: frozenset[tuple[str, str]], masks: bool, whole: bool
) -> Hint:
    """For the innermost loop of a phase. `masks`: whether the machine has them; `whole`: whether each run of the loop
    is a whole row of which nothing is accumulated in memory.

    Masked parts of vectors are zeros, which may set the flag of an invalid operation that nobody asked for.
    """
    n = nest.columns[-1]
    work = n * sum([cost(op.name, functions) for op in phase.body])
    if n <= UNROLLED and work <= MOST_WORK and nest.rows and nest.rows[-1] >= 32:
        return Hint("UNROLL")
    if any(op.name in SEQUENTIAL for op in phase.body):
        return PLAIN
    if not any((op.name, op.dtype) in apart for op in phase.body) and (n > MASKED or not whole):
        return PLAIN if phase.folds else Hint("SINGLE")
    if _calls(nest, phase) or _is_split(nest, phase):
        return PLAIN
    size = max([SIZES[op.dtype] for op in phase.body], default=8)
    lanes = 64 // size
    if whole and masks and (not n % lanes or quiet(nest, phase)):
        return Hint("MASK", lanes)
    lanes = min(lanes, 1 << (n.bit_length() - 1))
    return Hint("VECTOR", lanes) if lanes * size >= 16 else Hint("SCALAR")  # else LLVM would take masks


# What LLVM has no vectors for must not be asked of it: it would say so on stderr.


def _calls(nest: Nest, phase: Phase) -> bool:
    """Whether remainders are computed by calls, see `llvm_ops.helpers`."""
    known = _constants(nest)
    return any(
        op.name in REMAINDERS and op.dtype in FLOATS and not is_power_of_two(known.get(op.args[1])) for op in phase.body
    )


def _is_split(nest: Nest, phase: Phase) -> bool:
    """Whether LLVM may see that the numbers whose maximum or minimum is taken are never NaN, and skip some of them: so
    it does with `where(isnan(x), -inf, x)`, and the rest is no fold to it."""
    if not any(fold.kind in ("max", "min") and fold.dtype in FLOATS for fold in phase.folds):
        return False
    known = _constants(nest)
    computed: set[int] = set()
    for op in phase.body:
        if op.name == "where" and op.args[0] in computed and any(abs(known.get(a, 0)) == inf for a in op.args[1:]):
            return True
        if op.dtype in FLOATS or (op.name not in ("load", "gather") and not computed.isdisjoint(op.args)):
            computed.add(op.result)
    return False


def _constants(nest: Nest) -> dict[int, Any]:
    return {op.result: op.args[0] for op in nest.start if op.name == "constant"}
