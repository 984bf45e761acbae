"""When each value is computed: after how many things that are no loops, or sums over rows.

Only values of one level are fused. A value that nobody has to store moves to the level of its first reader, where that
keeps no more memory alive: the mask of a relu is computed in the backward pass, but a sum of gradients, each of which
could be dropped at once, is not put off to the end.
"""

from .graph import REDUCTIONS, WRITES, Node
from .groups import SMALL, Facts, row_length

__all__ = ["levels"]


def levels(facts: Facts) -> dict[int, int]:
    """The level of each node. Notes in `facts.kept` what has to be in memory whatever is fused."""
    found: dict[int, int] = {}
    waits: set[int] = set()  # folds over rows
    readers: dict[int, list[Node]] = {}
    lazy: set[int] = set()  # folds that nothing but nests reads in order
    for n in facts.nodes:
        solo = n.number not in facts.nested
        level = 0
        for b in facts.comes_after(n):
            if b.number in found:
                alone = solo or b.number not in facts.nested
                after = alone or (b.number in waits and not (b.size == n.size == 1))
                level = max(level, found[b.number] + after)
                readers.setdefault(b.number, []).append(n)
        found[n.number] = level
        sources = facts.sources(n)
        if solo:
            facts.kept.add(n.number)
            facts.kept.update([b.number for b in sources])
        else:
            facts.kept.update([read[0].number for read in facts.reads[n.number] if not read[3]])
        if n.op in WRITES:
            facts.kept.update((n.number, n.inputs[0].number))
        if not solo and n.op in REDUCTIONS:
            lazy.add(n.number)
            length = row_length(n)
            if not length or (n.size == 1 and length > SMALL):
                waits.add(n.number)
    last: dict[int, int] = {}
    for n in reversed(facts.nodes):
        number = n.number
        if number not in facts.kept and number in readers:
            late = min([found[r.number] for r in readers[number]]) - (number in waits)
            if late > found[number]:
                dying = {b.number for b in facts.sources(n) if b.number in found and last.get(b.number, -1) < late}
                if len(dying) <= (number not in lazy):
                    found[number] = late
        for b in facts.sources(n):
            last[b.number] = max(last.get(b.number, -1), found[number])
    facts.kept |= lazy
    return found
