"""The order of steps; and what is cheap is computed again rather than read from memory."""

from heapq import heapify, heappop, heappush
from typing import Any

from .graph import REDUCTIONS, Node
from .groups import FULL, LATER, ONE, ROW, Facts, Group, Read
from .loops import cost
from .spaces import cuts, refine

__all__ = ["schedule"]

MOST_MEMBERS, MANY, MORE_MEMBERS = 160, 4096, 400


class _Scheduler:
    def __init__(self, facts: Facts, home: dict[int, Group]) -> None:
        self.facts, self.home = facts, home
        self.units: list[Group | Node] = [n for n in facts.nodes if n.number not in facts.nested]
        self.units.extend({id(g): g for g in home.values()}.values())

    def repeat(self) -> None:
        for group in self.units:
            if isinstance(group, Group):
                for n in list(group.members):
                    for read in self.facts.reads[n.number]:
                        self._repeat(group, n, read)
                group.members.sort(key=lambda n: n.number)

    def _repeat(self, group: Group, reader: Node, read: Read) -> None:
        base, _, _, inner = read
        if not inner or base.number in group.levels or base.number in self.facts.kept or base.number not in self.home:
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
            budget -= cost(n.op, self.facts.functions)
            if budget < 0 or (level == FULL and refine(cuts(n.shape), group.cuts) != group.cuts):
                return
            for b, _, _, share in self.facts.reads[n.number]:
                if b.number in self.facts.root:
                    return  # which may have been written to by then
                known = group.levels.get(b.number)
                if known is not None:
                    if known != level or (share != 1 and level == FULL):
                        return
                elif b.number in self.facts.kept or b.number not in self.home:
                    if b.size > group.size // 8:
                        leaves.add(b.number)
                elif share == 1 or level == ONE:
                    stack.append(b)
                elif b.size > 1:
                    return
        most = MORE_MEMBERS if group.size >= MANY else MOST_MEMBERS
        if len(leaves - group.arrays) > 1 or len(group.members) + len(cone) > most:
            return
        group.arrays |= leaves
        for n in cone.values():
            group.members.append(n)
            group.levels[n.number] = level

    def order(self) -> list[Group | Node]:
        """The units that are needed, each after those that it reads, else as in the program."""
        of = {n.number: g for n, g in ((n, self.home.get(n.number, n)) for n in self.facts.nodes)}
        waits: dict[int, int] = {}
        readers: dict[int, list[Group | Node]] = {}
        for unit in self.units:
            inside = unit.levels if isinstance(unit, Group) else ()
            needed = {
                id(of[b.number])
                for n in (unit.members if isinstance(unit, Group) else (unit,))
                for b in self.facts.comes_after(n)
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
        wanted = set(self.facts.results)
        found: list[Group | Node] = []
        for unit in reversed(order):
            if isinstance(unit, Node):
                found.append(unit)
                wanted.update([b.number for b in self.facts.sources(unit)])
                continue
            live = unit.stored = {n.number for n in unit.members if n.number in wanted and self.home[n.number] is unit}
            live = set(live)
            for n in reversed(unit.members):
                if n.number in live:
                    live.update([b.number for b in self.facts.sources(n)])
            unit.members = [n for n in unit.members if n.number in live]
            if unit.members:
                found.append(unit)
                wanted.update(live.difference(unit.levels))
        found.reverse()
        return found


def _last(unit: Group | Node) -> int:
    return unit.members[-1].number if isinstance(unit, Group) else unit.number


def schedule(facts: Facts, home: dict[int, Group]) -> list[Group | Node]:
    """Groups and single nodes, each after those that it reads, else as in the program."""
    scheduler = _Scheduler(facts, home)
    scheduler.repeat()
    return scheduler.order()
