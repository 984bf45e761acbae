"""What may be computed together: the facts about a program that decide it, and groups of values.

Values whose reader takes element after element in C order need no memory: they are registers of a nest. What counts is
not shapes but how many elements of the space share one: a `full` value has one for each element, a `row` value one for
each row, `one` is a scalar. What a fold accumulates over rows, or a put writes, is there only `later`, after the nest;
scalars made of such totals are its `tail`.
"""

from collections.abc import Iterable, Sequence

from .graph import REDUCTIONS, SCANS, WRITES, Graph, Node
from .loops import reason
from .parts import Region, disjoint
from .spaces import align, cuts, is_register, resolve

__all__ = ["FULL", "LATER", "ONE", "ROW", "SMALL", "TAIL", "Facts", "Group", "Read", "row_length", "space_of"]

FULL, ROW, ONE, LATER, TAIL = "full", "row", "one", "later", "tail"
FOLD = 5  # members that a fold counts as
SMALL = 16384  # elements of which a sum and what is done with it may be one nest of one row

Read = tuple[
    Node, int, tuple[int, ...], int
]  # whose memory, offset, strides, elements that share one (0: not in order)


def space_of(node: Node) -> tuple[int, ...]:
    """The shape of the loops that compute a node: its own, or that of what it reduces or writes."""
    if node.op in REDUCTIONS:
        return node.inputs[0].shape
    shape: tuple[int, ...] = node.params[2] if node.op in WRITES else node.shape
    return shape


def _size(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size


def _reads(node: Node) -> list[Read]:
    """What a node reads for its loops. (It does not read what it writes to.)"""
    space = space_of(node)
    size = _size(space)
    found = []
    inputs = node.inputs[1:] if node.op in WRITES else node.inputs
    for i, x in enumerate(inputs):
        if node.op == "gather" and not i:
            found.append((x, *node.params[:2], 0))
            continue
        base, offset, strides = resolve(x)
        strides = align(x.shape, strides, space)
        inner, rest = divmod(size, base.size)
        in_order = not rest and not offset and is_register(space, strides, inner)
        found.append((base, offset, strides, inner if in_order else 0))
    return found


def row_length(node: Node) -> int:
    """How many elements each result of a reduction over the last axes is made of; 0 if over others."""
    if node.op not in REDUCTIONS:
        return 0
    axes, x = set(node.params[0]), node.inputs[0]
    length = 1
    for axis in reversed(range(len(x.shape))):
        if axis in axes:
            length *= x.shape[axis]
        elif x.shape[axis] != 1:
            break
    return length if length * node.size == x.size else 0


class Facts:
    """What there is to know of each node, by its number."""

    def __init__(self, graph: Graph, nodes: Sequence[Node], functions: frozenset[str]) -> None:
        self.functions = functions
        self.nodes = [n for n in nodes if n.op not in ("input", "constant", "view") and n.size]
        self.nested = {n.number for n in self.nodes if not reason(n, functions)}
        self.reads = {n.number: _reads(n) for n in self.nodes if n.number in self.nested}
        self.results = {resolve(n)[0].number for n in (*graph.outputs, *[n for n, _ in graph.guards])}
        self.kept = set(self.results)  # what is in memory in any case
        self.root: dict[int, int] = {}  # of what a put writes to: whose memory it was at first
        self.earlier: dict[int, list[Node]] = {}  # for a put, those who read before it what it writes to
        readers: dict[int, list[Node]] = {}
        for n in self.nodes:
            if n.op in WRITES and n.number in self.nested:
                x = n.inputs[0]
                self.root[n.number] = self.root.setdefault(x.number, x.number)
                self.earlier[n.number] = list(readers.get(x.number, ()))
            for b in self.sources(n):
                readers.setdefault(b.number, []).append(n)

    def sources(self, node: Node) -> list[Node]:
        """The nodes whose memory a node reads, or writes to."""
        if node.number in self.nested:
            read = [r[0] for r in self.reads[node.number]]
            return [*read, node.inputs[0]] if node.op in WRITES else read
        return [resolve(x)[0] for x in node.inputs]

    def comes_after(self, node: Node) -> list[Node]:
        """The nodes that have to be computed before."""
        found = self.sources(node)
        return found + self.earlier[node.number] if node.number in self.earlier else found


def _region(put: Node) -> Region:
    return put.params[0], put.params[1], put.params[2]


class Group:
    """Values of one nest. `inner` is the length of its rows, None while nothing needs rows."""

    __slots__ = (
        "after", "arrays", "before", "bit", "cuts", "flat", "inner", "levels", "mask", "members", "puts", "size",
        "stored", "work",
    )  # fmt: skip

    def __init__(self, space: Sequence[int]) -> None:
        self.size, self.cuts = _size(space), cuts(space)
        self.inner: int | None = None
        self.flat = False  # whether it has to stay without rows
        self.members: list[Node] = []
        self.levels: dict[int, str] = {}
        self.arrays: set[int] = set()  # what it reads from memory
        self.puts: dict[int, list[Node]] = {}  # what it writes into, by the root of that
        self.bit = 0  # its own among the groups of this level
        self.mask = self.before = self.after = 0  # bits of all that are in it, and that come before and after it
        self.stored: set[int] = set()
        self.work = 0  # what it takes to compile it: one for each member, and more for folds, which are loops

    def level(self, node: Node, reads: Sequence[Read]) -> str | None:
        """As what a node could be computed here, if it can."""
        space = _size(space_of(node))
        if node.op in REDUCTIONS:
            base, _, _, inner = reads[0]
            of = self.levels.get(base.number, FULL if base.size == self.size else None)
            if inner != 1 or of not in (FULL, ROW):
                return None
            return ROW if of == FULL and self.inner and row_length(node) == self.inner else LATER
        if space == self.size:
            level = FULL
        elif node.op in SCANS or node.op in WRITES:
            return None
        elif self.inner and space == self.size // self.inner:
            level = ROW
        elif space == 1:
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
        return LATER if node.op in WRITES else level

    def one_row(self, reads: Iterable[Read]) -> dict[int, str]:
        """What becomes of totals and of the tail in a small space if that is one row: values of the row, to be read."""
        if self.inner is not None or self.flat or not 1 < self.size <= SMALL:
            return {}
        if not any(self.levels.get(b.number) in (LATER, TAIL) and b.size == 1 for b, _, _, _ in reads):
            return {}
        return {
            n.number: ROW
            for n in self.members
            if self.levels[n.number] == TAIL or (self.levels[n.number] == LATER and row_length(n) == self.size)
        }

    def overlaps(self, node: Node, reads: Iterable[Read], facts: Facts) -> bool:
        """Whether a node reads what is written here, or writes what is read or written here, at other indices.

        A part that is read and written at the same indices is one pointer: each element is read before it is written.
        """
        root = facts.root
        if any(root.get(b.number, -1) in self.puts for b, _, _, _ in reads):
            return True
        if node.op not in WRITES:
            return False
        own = root[node.number]
        if own in self.puts:
            if any(root.get(a, -1) == own for a in self.arrays) or any(p.op != "put" for p in (node, *self.puts[own])):
                return True
            return not all(disjoint(_region(node), _region(p), node.shape) for p in self.puts[own])
        if node.inputs[0].number in self.levels:
            return True
        if not any(root.get(a, -1) == own for a in self.arrays):
            return False
        if node.op != "put":
            return True
        place = (node.params[0], align(node.params[2], node.params[1], node.params[2]))
        same = all(
            read[0] is node.inputs[0] and read[1:3] == place and space_of(m) == node.params[2]
            for m in self.members
            for read in facts.reads[m.number]
            if root.get(read[0].number, -1) == own
        )
        return not same or self.inner is not None

    def touches(self, other: "Group", root: dict[int, int]) -> bool:
        """Whether one of two groups reads from memory, or writes to, what the other one has."""
        for a, b in ((self, other), (other, self)):
            if not a.arrays.isdisjoint(b.levels):
                return True
            if any(p.inputs[0].number in b.levels for puts in a.puts.values() for p in puts):
                return True
            if a.puts and not (
                a.puts.keys().isdisjoint(b.puts) and all(root.get(n, -1) not in a.puts for n in b.arrays)
            ):
                return True
        return (self.flat and other.inner is not None) or (other.flat and self.inner is not None)

    def add(self, node: Node, level: str, reads: Iterable[Read], facts: Facts) -> None:
        self.members.append(node)
        self.work += FOLD if node.op in REDUCTIONS else 1
        self.levels[node.number] = level
        self.arrays.update([r[0].number for r in reads if r[0].number not in self.levels])
        if node.op in WRITES:
            own = facts.root[node.number]
            self.puts.setdefault(own, []).append(node)
            self.flat = self.flat or any(facts.root.get(a, -1) == own for a in self.arrays)
