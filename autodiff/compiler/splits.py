"""Which nests are computed in parts, and where they are cut: so that several threads can share the work.

A part is a share of the outermost loop. Where it begins depends on the nest alone, never on how many threads there are:
so results have the same bits with any number of them.
"""

from collections.abc import Sequence
from math import prod

from .loops import SIZES, Nest, Pointer, Split, carried, cost
from .nests import Operand

__all__ = ["divided"]

PART = 20_000.0  # ns that a part takes at least, by the estimate below
MOST = 32  # parts
SHARE = 0.25  # of the work that putting parts together may be
LINE = 64  # bytes that two parts do not share
PER_COST, PER_BYTE = 0.004, 0.02  # ns: of an addition, for each byte of its result; of memory read or written


def _duration(nest: Nest, functions: frozenset[str]) -> float:
    """About how many ns a nest takes, if LLVM vectorises it."""
    rows = prod(nest.rows)
    total, sizes = 0.0, (*nest.rows, *nest.columns)
    for phase in nest.phases:
        for ops, times in ((phase.row, rows), (phase.body, rows * prod(nest.columns))):
            total += times * PER_COST * sum([cost(op.name, functions) * SIZES[op.dtype] for op in ops])
    for pointer in nest.pointers:
        total += PER_BYTE * SIZES[pointer.dtype] * prod([n for n, s in zip(sizes, pointer.strides) if s])
    return total


def _moves_apart(pointer: Pointer, sizes: Sequence[int]) -> bool:
    """Whether what it reaches at different indices of the outermost loop is different."""
    steps = sorted([(abs(s), n) for n, s in zip(sizes, pointer.strides) if s and n > 1])
    reach = 0
    for step, n in steps:
        if step <= reach:
            return False
        reach += step * (n - 1)
    return pointer.strides[0] != 0


def _is_free(nest: Nest, operands: Sequence[Operand]) -> bool:
    """Whether the rows do not depend on each other, but for what is folded over them."""
    ops = [op for phase in nest.phases for op in (*phase.row, *phase.body)]
    if carried(nest) or any(op.name in ("scatter", "scatter_add") for op in ops):
        return False
    if not nest.rows:
        used = [phase for phase in nest.phases if any(phase)]
        if len(nest.columns) != 1 or len(used) != 1 or used[0].row or any(f.result >= 0 for f in used[0].folds):
            return False
    sizes = (*nest.rows, *nest.columns)
    stored = {op.args[0] for op in ops if op.name == "store" and operands[op.args[0]].node is not None}
    if not all(_moves_apart(nest.pointers[p], sizes) for p in stored):
        return False
    for pointer in nest.pointers:
        if pointer.filled and (step := pointer.strides[0]) and step * sizes[0] != pointer.filled[0]:
            return False
    return True


def divided(nest: Nest, operands: Sequence[Operand], functions: frozenset[str]) -> tuple[Nest, list[Operand]]:
    """The nest in parts, if it is worth it, with more operands: memory for what each part does on its own."""
    sizes = (*nest.rows, *nest.columns)
    expected = _duration(nest, functions)
    count = int(min(expected / PART, MOST, sizes[0]) if sizes else 1)
    if count < 2 or not _is_free(nest, operands):
        return nest, [*operands]
    pointers, found = [*nest.pointers], [*operands]
    own: list[tuple[int, int]] = []
    partials: list[tuple[int, int, int]] = []
    together = 0.0
    for p, (pointer, operand) in enumerate(zip(nest.pointers, operands)):
        if operand.node is None:
            nbytes = -(-operand.nbytes // LINE) * LINE
            own.append((p, nbytes))
            found[p] = operand._replace(nbytes=count * nbytes)
        elif pointer.filled and not pointer.strides[0]:
            n, fold = pointer.filled
            kind = "f8" if n == 1 and fold == "sum" and pointer.dtype == "f4" else pointer.dtype
            nbytes = -(-n * SIZES[kind] // LINE) * LINE
            partials.append((p, len(pointers), nbytes))
            pointers.append(Pointer(kind, (0,) * len(sizes), True, (0, n - 1)))
            found.append(Operand(None, 0, count * nbytes))
            together += count * nbytes * PER_BYTE
    if together > expected * SHARE:
        return nest, [*operands]
    split = Split(count, tuple(own), tuple(partials))
    return nest._replace(pointers=tuple(pointers), split=split), found
