"""A fused group as a loop nest.

The phase of a value is the number of folds over the row that it waits for, one after the other. A value of the body
that a later phase needs once more is read back if it is stored, put aside in a scratch row if it was dear, and else
computed again from what it was made of.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from .graph import REDUCTIONS, SCANS, WRITES, Node, c_strides
from .groups import FULL, LATER, ONE, ROW, TAIL, Group, Read, space_of
from .loops import DTYPES, Fold, Nest, Op, Phase, Pointer, cost
from .spaces import align, over

__all__ = ["Operand", "nest"]

AGAIN = 3  # additions that are cheaper than to put a value aside
LITERALS = frozenset((0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, 4.0))


class Operand(NamedTuple):
    """Where a pointer of the nest begins: in a node's memory, or in a scratch row of so many bytes."""

    node: Node | None
    offset: int
    nbytes: int


def _literal(node: Node) -> float | int | bool | None:
    """The value of a constant that kernels have in their text; others they read, so that more kernels are equal."""
    if node.op != "constant" or node.size != 1:
        return None
    value = node.params[0].reshape(-1)[0].item()
    return value if value in LITERALS or value != value or value in (float("inf"), float("-inf")) else None


# dtype, strides, whether it is written, what is folded into it, and how far indices move it
_Array = tuple[str, tuple[int, ...], bool, Any, tuple[int, ...]]


class _Part:
    """A phase in the making."""

    def __init__(self) -> None:
        self.row: list[Op] = []
        self.body: list[Op] = []
        self.folds: list[Fold] = []
        self.known: dict[Any, int] = {}


class _Builder:
    def __init__(self, group: Group, reads: dict[int, list[Read]], functions: frozenset[str]) -> None:
        self.group, self.reads, self.functions = group, reads, functions
        self.levels, self.row = group.levels, group.inner
        self.inner = self.row or 1
        if self._crosswise():
            self.levels = {number: LATER if level == ROW else level for number, level in group.levels.items()}
            self.row, self.inner = None, 1
        self.members = {n.number: n for n in group.members}
        self.pointers: list[_Array] = []
        self.operands: list[Operand] = []
        self.known: dict[Any, int] = {}  # pointers by what they read; then values of the start and of the row
        self.start: list[Op] = []
        self.tail: list[Op] = []
        self.values: dict[Any, int] = {}
        self.count = 0
        self.phase = self._phases()
        self.parts = [_Part() for _ in range(max(self.phase.values()) + 2)]
        self.homes: dict[int, int] = {}  # pointers of stored values and of scratch rows
        for n in group.members:
            if n.number in group.stored and self.levels[n.number] != LATER:
                inner = {FULL: 1, ROW: self.inner}.get(self.levels[n.number], group.size)
                self.homes[n.number] = self._pointer(n, 0, over(n.shape, c_strides(n.shape), group.cuts, inner), True)
        for n in self._dear():
            strides = over((self.inner,), (1,), group.cuts[: self._columns() + 1])
            strides = (0,) * (len(group.cuts) - 1 - len(strides)) + strides
            nbytes = self.inner * n.dtype.itemsize
            self.homes[n.number] = self._pointer(None, 0, strides, True, nbytes, n.dtype)

    def _crosswise(self) -> bool:
        """Whether sums over rows read better along another loop, where nobody waits for a row's sum."""
        group = self.group
        if not group.inner:
            return False
        strides = []
        for n in group.members:
            if group.levels[n.number] == ROW and n.op not in REDUCTIONS:
                return False
            for base, _, steps, _ in self.reads[n.number]:
                if group.levels.get(base.number) == ROW:
                    return False
                if base.number not in group.levels and base.size > 1:
                    space = space_of(n)
                    strides.append(over(space, steps, group.cuts, self._share(n)))
        return bool(strides) and _innermost([(s, False) for s in strides]) != len(group.cuts) - 2

    def _columns(self) -> int:
        """How many of the innermost loops are those of a row."""
        return self.group.cuts.index(self.row) if self.row else len(self.group.cuts) - 1

    def _phases(self) -> dict[int, int]:
        phase: dict[int, int] = {}
        for n in self.group.members:
            found = 0
            for base, _, _, _ in self.reads[n.number]:
                if base.number in phase:
                    folded = base.op in REDUCTIONS and self.levels[base.number] == ROW
                    found = max(found, phase[base.number] + folded)
            phase[n.number] = found
        return phase

    def _dear(self) -> list[Node]:
        """What a later phase reads, and is neither stored nor cheap."""
        if not self.row:
            return []
        found: dict[int, Node] = {}
        prices: dict[int, int] = {}
        for n in self.group.members:
            number = n.number
            price = cost(n.op, self.functions)
            for base, _, _, _ in self.reads[number]:
                b = base.number
                if self.levels.get(b) != FULL or b in self.homes or b in found:
                    continue
                if self.phase[b] < self.phase[number] and self._by_element(n) and prices[b] > AGAIN:
                    found[b] = base
                else:
                    price += prices[b]
            prices[number] = price
        return list(found.values())

    def _by_element(self, n: Node) -> bool:
        return n.op in WRITES or n.op in REDUCTIONS or self.levels[n.number] == FULL

    def _pointer(
        self,
        node: Node | None,
        offset: int,
        strides: tuple[int, ...],
        written: bool,
        nbytes: int = 0,
        dtype: Any = None,
        steps: Any = (),
    ) -> int:
        """An array's pointer; `steps` are those by which an index moves it further, with their lengths."""
        key = (node.number if node else -1 - len(self.pointers), offset, strides, *steps)
        found = self.known.get(key)
        if found is None:
            found = self.known[key] = len(self.pointers)
            kind = DTYPES[node.dtype if node else dtype]
            filled = None
            if node and node.op in REDUCTIONS and self.levels.get(node.number) == LATER:
                filled = (node.size, node.op)
            self.pointers.append((kind, strides, written, filled, tuple([(n - 1) * s for s, n in steps])))
            self.operands.append(Operand(node, offset, nbytes))
        return found

    def _emit(self, ops: list[Op], name: str, args: tuple[Any, ...], dtype: str) -> int:
        self.count += 1
        ops.append(Op(name, args, dtype, self.count))
        return self.count

    def _operand(self, n: Node, read: Read, p: int) -> int:
        """The value of an operand where `n` is computed in phase p."""
        base, offset, strides, _ = read
        level = self.levels.get(base.number)
        if level == FULL:
            return self._full(base, p)
        if level == LATER and base.number not in self.values:
            pointer = self.known[base.number, 0, (0,) * (len(self.group.cuts) - 1)]
            self.values[base.number] = self._emit(self.tail, "total", (pointer,), DTYPES[base.dtype])
        if level is not None:
            return self.values[base.number]
        kind = DTYPES[base.dtype]
        value = _literal(base)
        if value is not None:
            key: Any = ("literal", repr(value), kind)
            if key not in self.values:
                self.values[key] = self._emit(self.start, "constant", (value,), kind)
            return self.values[key]
        pointer = self._pointer(base, offset, over(space_of(n), strides, self.group.cuts, self._share(n)), False)
        steps = self.pointers[pointer][1]
        columns, part = self._columns(), self.parts[p]
        if not any(steps):
            ops, values = self.start, self.values
        elif not any(steps[len(steps) - columns :]) and self.row:
            ops, values = part.row, self.values
        else:
            ops, values = part.body, part.known
        if ("load", pointer) not in values:
            values["load", pointer] = self._emit(ops, "load", (pointer,), kind)
        return values["load", pointer]

    def _arguments(self, n: Node, p: int) -> tuple[Any, ...]:
        """The arguments of a node's operation."""
        reads = self.reads[n.number]
        if n.op in SCANS:
            return (self._so_far(n), self._operand(n, reads[0], p))
        if n.op != "gather":
            return tuple([self._operand(n, read, p) for read in reads])
        (x, offset, strides, _), steps = reads[0], n.params[2]
        moves = over(n.shape, strides, self.group.cuts, self._share(n))
        indices = [self._operand(n, read, p) for read in reads[1:]]
        return (self._pointer(x, offset, moves, False, steps=steps), steps, *indices)

    def _so_far(self, n: Node) -> int:
        """Memory for what a scan has come to, for each element of the other axes."""
        (axis,) = n.params
        shape = (*n.shape[:axis], 1, *n.shape[axis + 1 :])
        strides = align(shape, c_strides(shape), n.shape)
        size = n.size // n.shape[axis]
        found = self._pointer(None, 0, over(n.shape, strides, self.group.cuts), True, size * n.dtype.itemsize, n.dtype)
        self.pointers[found] = (*self.pointers[found][:3], (size, n.op), ())
        return found

    def _share(self, n: Node) -> int:
        """How many elements of the space there are for each that `n` reads or is."""
        if n.op in REDUCTIONS:
            base = self.reads[n.number][0][0]
            return self.inner if self.levels.get(base.number) == ROW else 1
        if n.op in WRITES:
            return 1
        return {FULL: 1, ROW: self.inner}.get(self.levels[n.number], self.group.size)

    def _full(self, n: Node, p: int) -> int:
        known = self.parts[p].known
        if n.number not in known:
            home = self.homes.get(n.number) if self.phase[n.number] < p else None
            body = self.parts[p].body
            if home is not None:
                known[n.number] = self._emit(body, "load", (home,), DTYPES[n.dtype])
            else:
                known[n.number] = self._emit(body, n.op, self._arguments(n, p), DTYPES[n.dtype])
        return known[n.number]

    def build(self) -> tuple[Nest, list[Operand]]:
        for p in range(len(self.parts)):
            for n in self.group.members:
                if self.phase[n.number] == p and self.levels[n.number] != TAIL:
                    self._member(n, p)
        for n in self.group.members:
            if self.levels[n.number] == TAIL:
                self._member(n, 0)
        return self._nest(), self.operands

    def _member(self, n: Node, p: int) -> None:
        part, level, kind = self.parts[p], self.levels[n.number], DTYPES[n.dtype]
        if n.op in REDUCTIONS:
            self._fold(n, p)
        elif n.op in WRITES:
            self._put(n, p)
        elif level == FULL:
            value = self._full(n, p)
            if n.number in self.homes:
                part.body.append(Op("store", (self.homes[n.number], value), kind, 0))
        else:
            ops = {ONE: self.start, TAIL: self.tail}.get(level, part.row)
            self.values[n.number] = self._emit(ops, n.op, self._arguments(n, p), kind)
            if n.number in self.homes:
                ops.append(Op("store", (self.homes[n.number], self.values[n.number]), kind, 0))

    def _fold(self, n: Node, p: int) -> None:
        part, kind, read = self.parts[p], DTYPES[n.dtype], self.reads[n.number][0]
        value = self._operand(n, read, p)
        if self.levels[n.number] == ROW:
            self.count += 1
            part.folds.append(Fold(n.op, value, kind, self.count, -1))
            self.values[n.number] = self.count
            if n.number in self.homes:
                self.parts[p + 1].row.append(Op("store", (self.homes[n.number], self.count), kind, 0))
            return
        kept, steps = iter(c_strides(n.shape)), []
        shape = n.inputs[0].shape
        for axis in range(len(shape)):
            steps.append(0 if axis in n.params[0] else next(kept))
        pointer = self._pointer(n, 0, over(shape, tuple(steps), self.group.cuts, self._share(n)), True)
        if self.levels.get(read[0].number) == ROW:
            part.row.append(Op("fold", (pointer, value, n.op), kind, 0))
        else:
            part.folds.append(Fold(n.op, value, kind, -1, pointer))

    def _put(self, n: Node, p: int) -> None:
        (offset, strides, shape), steps = n.params[:3], () if n.op == "put" else n.params[3]
        moves = over(shape, align(shape, strides, shape), self.group.cuts)
        place = self._pointer(n.inputs[0], offset, moves, True, steps=steps)
        kind, own, _, filled, reach = self.pointers[place]
        self.pointers[place] = (kind, own, True, filled, reach)
        value, *indices = [self._operand(n, read, p) for read in self.reads[n.number]]
        if n.op == "put":
            self.parts[p].body.append(Op("store", (place, value), kind, 0))
        else:
            self.parts[p].body.append(Op(n.op, (place, steps, *indices, value), kind, 0))

    def _nest(self) -> Nest:
        """With loops made one where every array moves on as if they were."""
        loops = self.group.cuts
        sizes = [high // low for low, high in pairwise(loops)][::-1]
        split = len(sizes) - self._columns() if self.row else None
        rows, columns, pointers = _pointers(sizes, split, self.pointers)
        phases = [Phase(tuple(part.row), tuple(part.body), tuple(part.folds)) for part in self.parts]
        while len(phases) > 1 and not any(phases[-1]):
            phases.pop()
        return Nest(rows, columns, pointers, tuple(self.start), tuple(phases), tuple(self.tail))


def _innermost(strides: Sequence[tuple[tuple[int, ...], bool]]) -> int:
    """The loop along which the most arrays are read and written element after element; the last if in doubt."""
    price = [0.0] * len(strides[0][0])
    for steps, written in strides:
        for d, step in enumerate(steps):
            price[d] += 0 if not step else 1 if step == 1 else 16 if written else 8
    return min(range(len(price)), key=lambda d: (price[d], -d), default=0)


def _pointers(
    sizes: list[int], split: int | None, arrays: list[_Array]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[Pointer, ...]]:
    """Loops of rows and of columns, the fewest that all arrays have a step for. Without a split the last is a row."""
    steps = [list(array[1]) for array in arrays]
    if split is None and len(sizes) > 1:
        best = _innermost([array[1:3] for array in arrays])
        if best != len(sizes) - 1:
            for s in (sizes, *steps):
                s.append(s.pop(best))
    rows = len(sizes) if split is None else split
    for d in reversed(range(len(sizes) - 1)):
        if d + 1 != split and all(s[d] == s[d + 1] * sizes[d + 1] for s in steps):
            sizes[d : d + 2] = [sizes[d] * sizes[d + 1]]
            for s in steps:
                del s[d]
            rows -= split is not None and d + 1 < split
    if split is None:
        rows = max(len(sizes) - 1, 0)
    pointers = []
    for (kind, _, written, filled, further), s in zip(arrays, steps):
        reach = [(n - 1) * step for n, step in zip(sizes, s)] + [*further]
        extent = (sum([r for r in reach if r < 0]), sum([r for r in reach if r > 0]))
        pointers.append(Pointer(kind, tuple(s), written, extent, filled))
    return tuple(sizes[:rows]), tuple(sizes[rows:]), tuple(pointers)


def nest(group: Group, reads: dict[int, list[Read]], functions: frozenset[str]) -> tuple[Nest, list[Operand]]:
    """A group's loop nest, and what its pointers point to."""
    return _Builder(group, reads, functions).build()
