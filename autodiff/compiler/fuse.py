"""Which values are computed in one loop nest.

Values whose reader takes element after element in C order need no memory: they are registers of a nest. What counts is
not shapes but how many elements of the space share one: a `full` value has one for each element, a `row` value one for
each row, `one` is a scalar. What a fold accumulates over rows is there only `later`, after the nest, and scalars made
of such totals are its `tail`.

First every value gets a level: how many things that are no loops (a matrix product, a sum over rows) lie before it. A
value that nobody has to store moves to the level of its first reader, where that keeps no more memory alive: the mask
of a relu is computed in the backward pass. Only values of one level are fused, along edges of the data, and so that no
group has to wait for itself. At last, cheap values are computed again rather than read from memory.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Any

from .graph import REDUCTIONS, Graph, Node
from .loops import cost, reason
from .spaces import align, cuts, is_register, refine, resolve

__all__ = ["FULL", "LATER", "ONE", "ROW", "TAIL", "Group", "Read", "fuse", "reads_of"]

FULL, ROW, ONE, LATER, TAIL = "full", "row", "one", "later", "tail"
SMALL = 16384  # elements of which a sum and what is done with it may be one nest of one row
WORTH, NEAR = 256, 8  # elements of an array that is worth to be read once for several groups; how many groups to try
MOST_MEMBERS, MOST_ARRAYS = 128, 40  # LLVM's time grows faster than these, and registers are few

Read = tuple[
    Node, int, tuple[int, ...], int
]  # whose memory, offset, strides, elements that share one (0: not in order)


def reads_of(node: Node) -> list[Read]:
    """What a node of a nest reads, for its own space: its shape, or that of what it reduces."""
    space = node.inputs[0].shape if node.op in REDUCTIONS else node.shape
    size = node.inputs[0].size if node.op in REDUCTIONS else node.size
    found = []
    for x in node.inputs:
        base, offset, strides = resolve(x)
        strides = align(x.shape, strides, space)
        inner, rest = divmod(size, base.size)
        in_order = not rest and not offset and is_register(space, strides, inner)
        found.append((base, offset, strides, inner if in_order else 0))
    return found


def _row_length(node: Node) -> int:
    """How many elements each result of a reduction over the last axes is made of; 0 if over others."""
    axes, x = set(node.params[0]), node.inputs[0]
    length = 1
    for axis in reversed(range(len(x.shape))):
        if axis in axes:
            length *= x.shape[axis]
        elif x.shape[axis] != 1:
            break
    return length if length * node.size == x.size else 0


class Group:
    """Values of one nest. `inner` is the length of its rows, None while nothing needs rows."""

    __slots__ = ("after", "arrays", "before", "cuts", "inner", "levels", "mask", "members", "size", "stored")

    def __init__(self, size: int, loops: tuple[int, ...]) -> None:
        self.size, self.cuts, self.inner = size, loops, None  # type: int, tuple[int, ...], int | None
        self.members: list[Node] = []
        self.levels: dict[int, str] = {}
        self.arrays: set[int] = set()  # what it reads from memory
        self.mask = self.before = self.after = 0  # bits of groups of this level
        self.stored: set[int] = set()

    def level(self, node: Node, reads: Iterable[Read]) -> str | None:
        """As what a node could be computed here, if it can."""
        rows = self.size // self.inner if self.inner else 0
        if node.op in REDUCTIONS:
            (base, _, _, inner) = next(iter(reads))
            of = self.levels.get(base.number, FULL if base.size == self.size else None)
            if inner != 1 or of not in (FULL, ROW):
                return None
            if of == FULL and _row_length(node) == self.inner:
                return ROW
            return LATER
        if node.size == self.size:
            level = FULL
        elif node.size == rows:
            level = ROW
        elif node.size == 1:
            level = TAIL
        else:
            return None
        for base, _, _, inner in reads:
            of = self.levels.get(base.number)
            if of is None or (level == TAIL and of in (LATER, TAIL) and base.size == 1):
                continue
            if of == FULL and (level != FULL or inner != 1):
                return None
            if of == ROW and (level == TAIL or inner != (self.inner if level == FULL else 1)):
                return None
            if of in (LATER, TAIL) or not inner:
                return None
        return level

    def one_row(self, reads: Iterable[Read]) -> dict[int, str]:
        """What becomes of totals and of the tail in a small space if that is one row: values of the row, to be read."""
        if self.inner is not None or not 1 < self.size <= SMALL:
            return {}
        if not any(self.levels.get(b.number) in (LATER, TAIL) and b.size == 1 for b, _, _, _ in reads):
            return {}
        return {
            n.number: ROW
            for n in self.members
            if self.levels[n.number] == TAIL or (self.levels[n.number] == LATER and _row_length(n) == self.size)
        }


class _Fusion:
    def __init__(self, graph: Graph, nodes: Sequence[Node], functions: frozenset[str]) -> None:
        self.functions = functions
        self.nodes = [n for n in nodes if n.op not in ("input", "constant", "view") and n.size]
        self.nested = {n.number for n in self.nodes if not reason(n, functions)}
        self.reads = {n.number: reads_of(n) for n in self.nodes if n.number in self.nested}
        self.results = {resolve(n)[0].number for n in (*graph.outputs, *[n for n, _ in graph.guards])}
        self.kept = set(self.results)  # what is in memory in any case
        self.home: dict[int, Group] = {}
        self.units: list[Group | Node] = []

    def sources(self, node: Node) -> list[Node]:
        """The nodes in whose memory a node reads."""
        if node.number in self.nested:
            return [read[0] for read in self.reads[node.number]]
        return [resolve(x)[0] for x in node.inputs]

    # levels

    def levels(self) -> dict[int, int]:
        early: dict[int, int] = {}
        waits: set[int] = set()  # folds over rows
        readers: dict[int, list[Node]] = {}
        for n in self.nodes:
            sources, solo = self.sources(n), n.number not in self.nested
            level = 0
            for b in sources:
                if b.number in early:
                    alone = solo or b.number not in self.nested
                    after = alone or (b.number in waits and not (b.size == n.size == 1))
                    level = max(level, early[b.number] + after)
            early[n.number] = level
            if solo:
                self.kept.add(n.number)
                self.kept.update([b.number for b in sources])
            else:
                self.kept.update([read[0].number for read in self.reads[n.number] if not read[3]])
            if not solo and n.op in REDUCTIONS:
                self.kept.add(n.number)
                length = _row_length(n)
                if not length or (n.size == 1 and length > SMALL):
                    waits.add(n.number)
            for b in sources:
                readers.setdefault(b.number, []).append(n)
        last: dict[int, int] = {}
        for n in reversed(self.nodes):
            number = n.number
            if number not in self.kept and number in readers:
                late = min([early[r.number] for r in readers[number]])
                if late > early[number]:
                    dying = {b.number for b in self.sources(n) if b.number in early and last.get(b.number, -1) < late}
                    if len(dying) <= 1:
                        early[number] = late
            for b in self.sources(n):
                last[b.number] = max(last.get(b.number, -1), early[number])
        return early

    # groups

    def group(self) -> None:
        levels = self.levels()
        current, bits = -1, []  # type: int, list[Group]
        for n in sorted(self.nodes, key=lambda n: (levels[n.number], n.number)):
            if levels[n.number] != current:
                current, bits = levels[n.number], []
            if n.number not in self.nested:
                self.units.append(n)
                continue
            reads = self.reads[n.number]
            near = {id(g): g for r in reads if (g := self.home.get(r[0].number)) and levels[r[0].number] == current}
            also = {id(g): g for r in reads if r[3] == 1 for g in self._sharing(r[0], bits)}
            self._place(n, reads, list(near.values()), list((near | also).values()), bits)
        self.units.extend({id(g): g for g in self.home.values()}.values())

    def _sharing(self, base: Node, bits: list[Group]) -> Iterable[Group]:
        """Groups of this level that read the whole of something from memory."""
        if base.size < WORTH:
            return
        for group in bits[-NEAR:]:
            if base.size == group.size and base.number in group.arrays:
                yield group

    def _place(
        self, node: Node, reads: list[Read], near: list[Group], candidates: list[Group], bits: list[Group]
    ) -> None:
        """Puts a node in a group: with what it reads if it can, in `near`, or with other readers of that."""
        group = None
        for g in sorted(candidates, key=lambda g: -g.size):
            if group is None:
                level, loops = self._fit(node, reads, g)
                if level and not self._cycle([g], near):
                    group = g
            elif g.size == group.size and self._fit(node, reads, g)[0] == level:
                both = refine(loops, g.cuts)
                alike = group.inner == g.inner or group.inner is None or g.inner is None
                few = len(group.members) + len(g.members) < MOST_MEMBERS
                few = few and len(group.arrays | g.arrays) + len(reads) <= MOST_ARRAYS
                if both and alike and few and self._joinable(group, g) and not self._cycle([group, g], near):
                    loops = both
                    self._absorb(group, g, bits)
        if group is None:
            space = node.inputs[0] if node.op in REDUCTIONS else node
            group = Group(space.size, cuts(space.shape))
            group.mask = 1 << len(bits)
            bits.append(group)
            level, loops = FULL, group.cuts
            if node.op in REDUCTIONS:
                level = ROW if node.size > 1 and _row_length(node) else LATER
        if node.op in REDUCTIONS and level == LATER and group.inner is None and node.size > 1:
            length = _row_length(node)
            if length and group.levels.get(reads[0][0].number, FULL) == FULL:
                level = ROW
        if level == ROW and group.inner is None:
            group.inner = _row_length(node)
        group.cuts = loops
        self._link(group, [g for g in near if g.mask & ~group.mask], bits)
        group.members.append(node)
        group.levels[node.number] = level or FULL
        group.arrays.update([r[0].number for r in reads if r[0].number not in group.levels])
        self.home[node.number] = group

    def _fit(self, node: Node, reads: list[Read], g: Group) -> tuple[str | None, tuple[int, ...]]:
        """As what a node can join a group, and the loops that it then has."""
        if len(g.members) >= MOST_MEMBERS or len(g.arrays) + len(reads) > MOST_ARRAYS:
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
        folds = node.op in REDUCTIONS
        loops = cuts(node.inputs[0].shape if folds else node.shape)
        if (g.levels.get(reads[0][0].number) if folds else level) == ROW:
            loops = (1, *[c * (g.inner or 1) for c in loops])
        refined = refine(loops, g.cuts)
        if refined and level == ROW and folds and g.inner is None:
            refined = refine(refined, (1, _row_length(node), g.size))
        return (level if refined else None), refined or g.cuts

    def _joinable(self, group: Group, other: Group) -> bool:
        """Whether what one of them reads of the other from memory can be read while that is computed."""
        for own, of in ((group, other), (other, group)):
            if own.arrays.isdisjoint(of.levels):
                continue
            for n in own.members:
                level = own.levels[n.number]
                for base, _, _, inner in self.reads[n.number]:
                    found = of.levels.get(base.number)
                    if found is None:
                        continue
                    if n.op in REDUCTIONS:
                        fits = inner == 1 and found == FULL
                    elif found == FULL:
                        fits = level == FULL and inner == 1
                    elif found == ROW:
                        fits = level in (FULL, ROW) and inner == (of.inner if level == FULL else 1)
                    else:
                        fits = level == TAIL and base.size == 1
                    if not fits:
                        return False
        return True

    def _cycle(self, chosen: list[Group], near: list[Group]) -> bool:
        """Whether something outside lies between the chosen groups, or between them and a new reader of `near`."""
        mask = before = after = 0
        for g in chosen:
            mask |= g.mask
            after |= g.after
        for g in (*chosen, *near):
            before |= g.before | g.mask
        return bool(before & ~mask & after)

    def _absorb(self, group: Group, other: Group, bits: list[Group]) -> None:
        for i in _positions(other.mask):
            bits[i] = group
        group.mask |= other.mask
        group.before = (group.before | other.before) & ~group.mask
        group.after = (group.after | other.after) & ~group.mask
        group.members.extend(other.members)
        group.levels.update(other.levels)
        group.arrays |= other.arrays
        group.inner = group.inner or other.inner
        for n in other.members:
            self.home[n.number] = group
        self._spread(group, bits)

    def _link(self, group: Group, before: list[Group], bits: list[Group]) -> None:
        news = 0
        for g in before:
            news |= g.mask | g.before
        news &= ~group.mask
        if news & ~group.before:
            group.before |= news
            self._spread(group, bits)

    def _spread(self, group: Group, bits: list[Group]) -> None:
        for i in _positions(group.before):
            bits[i].after |= group.mask | group.after
        for i in _positions(group.after):
            bits[i].before |= group.mask | group.before

    # computing again what is cheap

    def repeat(self) -> None:
        for group in self.units:
            if isinstance(group, Group):
                for n in list(group.members):
                    for read in self.reads[n.number]:
                        self._repeat(group, n, read)
                group.members.sort(key=lambda n: n.number)

    def _repeat(self, group: Group, reader: Node, read: Read) -> None:
        base, _, _, inner = read
        if not inner or base.number in group.levels or base.number in self.kept or base.number not in self.home:
            return
        if base.size == group.size and inner == 1 and group.levels[reader.number] in (FULL, LATER, ROW):
            level, budget = FULL, 4
            if group.levels[reader.number] == ROW and reader.op not in REDUCTIONS:
                return
        elif base.size == 1:
            level, budget = ONE, 40
        else:
            return
        cone: dict[int, Node] = {}
        leaves: set[int] = set()
        stack = [base]
        while stack:
            n = stack.pop()
            if n.number in cone:
                continue
            cone[n.number] = n
            budget -= cost(n.op, self.functions)
            if budget < 0 or (level == FULL and refine(cuts(n.shape), group.cuts) != group.cuts):
                return
            for b, _, _, share in self.reads[n.number]:
                known = group.levels.get(b.number)
                if known is not None:
                    if known != level or (share != 1 and level == FULL):
                        return
                elif b.number in self.kept or b.number not in self.home:
                    if b.size > group.size // 8:
                        leaves.add(b.number)
                elif share == 1 or level == ONE:
                    stack.append(b)
                elif b.size > 1:
                    return
        if len(leaves - group.arrays) > 1 or len(group.members) + len(cone) > MOST_MEMBERS:
            return
        group.arrays |= leaves
        for n in cone.values():
            group.members.append(n)
            group.levels[n.number] = level

    # order

    def schedule(self) -> list[Group | Node]:
        """The units that are needed, each after those that it reads, else as in the program."""
        of = {n.number: g for n, g in ((n, self.home.get(n.number, n)) for n in self.nodes)}
        waits: dict[int, int] = {}
        readers: dict[int, list[Group | Node]] = {}
        for unit in self.units:
            inside = unit.levels if isinstance(unit, Group) else ()
            needed = {
                id(of[b.number])
                for n in (unit.members if isinstance(unit, Group) else (unit,))
                for b in self.sources(n)
                if b.number in of and b.number not in inside
            } - {id(unit)}
            waits[id(unit)] = len(needed)
            for k in needed:
                readers.setdefault(k, []).append(unit)
        ready: list[tuple[int, int, Any]] = [(_last(u), i, u) for i, u in enumerate(self.units) if not waits[id(u)]]
        heapify(ready)
        order: list[Group | Node] = []
        while ready:
            _, _, unit = heappop(ready)
            order.append(unit)
            for reader in readers.get(id(unit), ()):
                waits[id(reader)] -= 1
                if not waits[id(reader)]:
                    heappush(ready, (_last(reader), len(order) + len(self.units), reader))
        assert len(order) == len(self.units), "a group waits for itself"
        return self._needed(order)

    def _needed(self, order: list[Group | Node]) -> list[Group | Node]:
        wanted = set(self.results)
        found: list[Group | Node] = []
        for unit in reversed(order):
            if isinstance(unit, Node):
                found.append(unit)
                wanted.update([b.number for b in self.sources(unit)])
                continue
            live = unit.stored = {n.number for n in unit.members if n.number in wanted and self.home[n.number] is unit}
            live = set(live)
            for n in reversed(unit.members):
                if n.number in live:
                    live.update([read[0].number for read in self.reads[n.number]])
            unit.members = [n for n in unit.members if n.number in live]
            if unit.members:
                found.append(unit)
                wanted.update(live.difference(unit.levels))
        found.reverse()
        return found


def _last(unit: Group | Node) -> int:
    return unit.members[-1].number if isinstance(unit, Group) else unit.number


def _positions(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def fuse(
    graph: Graph, nodes: Sequence[Node], functions: frozenset[str]
) -> tuple[list[Group | Node], dict[int, list[Read]]]:
    """The live nodes of a graph as groups and single nodes, in an order to run them; what nodes of groups read."""
    fusion = _Fusion(graph, nodes, functions)
    fusion.group()
    fusion.repeat()
    return fusion.schedule(), fusion.reads
