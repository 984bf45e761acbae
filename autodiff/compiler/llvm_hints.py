"""What LLVM is told about an innermost loop: how to vectorise it, and which functions stay calls.

A short row is computed as one piece, many rows at once, or with masks at its end. Only folds are interleaved, that is,
accumulate in several vectors at once; elsewhere that is no faster, and longer.

Where a kernel calls an elementary function often, LLVM would be slow: 7 ms for each sine that is written out. There it
is called, in vectors (see `llvm_math`), and their width has to be said. Each call then takes up to a sixth longer.
"""

from collections import Counter
from math import prod
from typing import NamedTuple

from .graph import SCANS
from .loops import Nest, Phase, cost, quiet

__all__ = ["PLAIN", "Hint", "hint", "often"]

UNROLLED = 8  # elements of a row that are unrolled
MOST_WORK = 160  # additions in such a row
MASKED = 31  # elements of a row that may end in masks
OFTEN, MANY, MORE_OFTEN = 3, 4096, 8  # calls of a function that are written out; and where there are many elements
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
    size = max([int(op.dtype[-1:].replace("?", "1")) for op in phase.body], default=8)
    lanes = 64 // size
    if whole and masks and (not n % lanes or quiet(nest, phase)):
        return Hint("MASK", lanes)
    lanes = min(lanes, 1 << (n.bit_length() - 1))
    return Hint("VECTOR", lanes) if lanes * size >= 16 else Hint("SCALAR")  # else LLVM would take masks
