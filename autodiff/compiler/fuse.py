"""Which values are computed in one loop nest.

Values of one level are fused along edges of the data, or with others that read the same array, so that no group has to
wait for itself: each knows, as bits, the groups of its level before and after it.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from .graph import REDUCTIONS, WRITES, Graph, Node
from .groups import FULL, LATER, ROW, TAIL, Facts, Group, Read, row_length, space_of
from .levels import levels
from .schedule import schedule
from .spaces import cuts, refine

__all__ = ["fuse"]

WORTH, NEAR = 256, 8  # elements of an array that is worth to be read once for several groups; how many groups to try
MOST, MORE = (128, 40), (320, 64)  # work and arrays: LLVM's time grows faster than these, and registers are few
FAR = 64  # groups after one, from which on nothing more joins it: so what is known of each stays small
MANY = 4096  # elements, from which on it is worth while to wait for LLVM


class _Fusion:
    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.home: dict[int, Group] = {}
        self.live: dict[int, Group] = {}  # the groups of the current level, by their bit
        self.open = 0  # bits of those that others may join
        self.count = 0  # how many there have been in it

    def run(self) -> dict[int, Group]:
        """The group of each node that is in one."""
        facts, level = self.facts, levels(self.facts)
        current = -1
        for n in sorted(facts.nodes, key=lambda n: (level[n.number], n.number)):
            if level[n.number] != current:
                current, self.live, self.open, self.count = level[n.number], {}, 0, 0
            if n.number in facts.nested:
                before = [self.home[b.number] for b in facts.comes_after(n) if level.get(b.number) == current]
                near = {id(g): g for g in before}
                also = {id(g): g for r in facts.reads[n.number] if r[3] == 1 for g in self._sharing(r[0])}
                self._place(n, list(near.values()), list((near | also).values()))
        return self.home

    def _sharing(self, base: Node) -> Iterable[Group]:
        """Groups of this level that read the whole of something from memory."""
        if base.size < WORTH:
            return
        for group in itertools.islice(reversed(self.live.values()), NEAR):
            if base.size == group.size and base.number in group.arrays:
                yield group

    def _place(self, node: Node, near: list[Group], candidates: list[Group]) -> None:
        """Puts a node in a group: with what it reads if it can, in `near`, or with other readers of that."""
        facts, reads, group, level = self.facts, self.facts.reads[node.number], None, None
        for g in sorted(candidates, key=lambda g: -g.size):
            if group is None:
                level, loops = self._fit(node, reads, g)
                if level and not self._cycle([g], near):
                    group = g
            elif g.size == group.size and self._fit(node, reads, g)[0] == level:
                both = refine(loops, g.cuts)
                alike = group.inner == g.inner or group.inner is None or g.inner is None
                work, arrays = group.work + g.work, len(group.arrays | g.arrays) + len(reads)
                few = not _is_full(group.size, work, arrays)
                apart = not group.touches(g, facts.root)
                if both and alike and few and apart and not self._cycle([group, g], near):
                    loops = both
                    self._absorb(group, g)
        if group is None:
            group = Group(space_of(node))
            group.bit = group.mask = 1 << self.count
            self.count += 1
            self.open |= group.bit
            self.live[group.bit] = group
            level, loops = FULL, group.cuts
            if node.op in REDUCTIONS or node.op in WRITES:
                level = LATER
        if node.op in REDUCTIONS and level == LATER and group.inner is None and node.size > 1 and not group.flat:
            if row_length(node) and group.levels.get(reads[0][0].number, FULL) == FULL:
                level, group.inner = ROW, row_length(node)
        group.cuts = loops
        self._link(group, [g for g in near if g.mask & ~group.mask])
        group.add(node, level or FULL, reads, facts)
        self.home[node.number] = group

    def _fit(self, node: Node, reads: list[Read], g: Group) -> tuple[str | None, tuple[int, ...]]:
        """As what a node can join a group, and the loops that it then has."""
        if not g.bit & self.open or g.overlaps(node, reads, self.facts):
            return None, g.cuts
        if _is_full(g.size, g.work, len(g.arrays) + len(reads)) or _begins_again(node, g):
            return None, g.cuts
        rows = g.one_row(reads) if node.size == g.size else {}
        before = {number: g.levels[number] for number in rows}
        if rows:
            g.inner = g.size
            g.levels.update(rows)
        level = g.level(node, reads)
        if rows and level is None:
            g.inner = None
            g.levels.update(before)
        if level is None or level == TAIL:
            return level, g.cuts
        loops = cuts(space_of(node))
        if (g.levels.get(reads[0][0].number) if node.op in REDUCTIONS else level) == ROW:
            loops = (1, *[c * (g.inner or 1) for c in loops])
        refined = refine(loops, g.cuts)
        return (level if refined else None), refined or g.cuts

    def _cycle(self, chosen: list[Group], near: list[Group]) -> bool:
        """Whether something outside lies between the chosen groups, or between them and a new reader of `near`."""
        mask = before = after = 0
        for g in chosen:
            mask |= g.mask
            after |= g.after
        for g in (*chosen, *near):
            before |= g.before | g.mask
        return bool(before & ~mask & after)

    def _absorb(self, group: Group, other: Group) -> None:
        del self.live[other.bit]
        self.open &= ~other.bit
        group.mask |= other.mask
        group.before = (group.before | other.before) & ~group.mask
        group.after = (group.after | other.after) & ~group.mask
        group.members.extend(other.members)
        group.work += other.work
        group.levels.update(other.levels)
        group.arrays |= other.arrays
        group.puts |= other.puts
        group.flat = group.flat or other.flat
        group.inner = group.inner or other.inner
        for n in other.members:
            self.home[n.number] = group
        self._spread(group)

    def _link(self, group: Group, before: list[Group]) -> None:
        news = 0
        for g in before:
            news |= g.mask | g.before
        news &= ~group.mask
        if news & ~group.before:
            group.before |= news
            self._spread(group)

    def _spread(self, group: Group) -> None:
        """Tells the groups before and after this one what is new. Who is closed need not know who comes after it."""
        earlier, later = group.mask | group.before, group.mask | group.after
        for g in self._of(group.before & self.open):
            g.after |= later
            if g.after.bit_count() > FAR:
                self.open &= ~g.bit
        for g in self._of(group.after):
            g.before |= earlier

    def _of(self, bits: int) -> Iterable[Group]:
        while bits:
            bit = bits & -bits
            bits ^= bit
            if bit in self.live:  # else it is part of another, whose bit is there too
                yield self.live[bit]


def _is_full(size: int, work: int, arrays: int) -> bool:
    most = MORE if size >= MANY else MOST
    return work >= most[0] or arrays > most[1]


def _begins_again(node: Node, g: Group) -> bool:
    """Whether a long group had better end before a node like its first: so the rounds of a loop are equal kernels."""
    most = (MORE if g.size >= MANY else MOST)[0]
    return 4 * g.work >= 3 * most and _form(node) == _form(g.members[0])


def _form(node: Node) -> tuple[Any, ...]:
    return node.op, node.shape, node.dtype, [(x.op, x.shape) for x in node.inputs]


def fuse(
    graph: Graph, nodes: Sequence[Node], functions: frozenset[str]
) -> tuple[list[Group | Node], dict[int, list[Read]]]:
    """The live nodes of a graph as groups and single nodes, in an order to run them; what nodes of groups read."""
    facts = Facts(graph, nodes, functions)
    home = _Fusion(facts).run()
    return schedule(facts, home), facts.reads
