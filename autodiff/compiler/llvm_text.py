"""A loop nest as LLVM IR, in the form that LLVM vectorises: innermost loops of one block, most of constant length.

Floating-point sums along a row are taken in any order in blocks of 4096, and the blocks are summed in float64: no worse
than NumPy's pairwise sums.
"""

import math
from typing import Any, Protocol

from . import bounds, llvm_ops
from .graph import SCANS
from .llvm_hints import PLAIN, Hint, hint, often
from .llvm_ops import MEMORY, REGISTER
from .loops import SIZES, Fold, Nest, Op, Phase

__all__ = ["Functions", "Writer"]

BLOCK = 4096
INDEXED = frozenset(("load", "store", "gather", "scatter", "scatter_add", *SCANS))


class Functions(Protocol):
    """Elementary functions: `llvm_math`."""

    NATIVE: frozenset[str]

    def call(self, name: str, kind: str, args: list[str], apart: bool = False) -> str: ...


class Writer:
    def __init__(self, nest: Nest, functions: Functions, exact: bool, masks: bool, checked: bool) -> None:
        self.nest, self.functions, self.masks, self.checked = nest, functions, masks, checked
        self.split = nest.split
        self.flags = "" if exact else "contract "
        self.lines: list[str] = []
        self.count = 0
        self.block = "entry"
        self.names: dict[int, str] = {}  # of values
        self.kinds: dict[int, str] = {}
        self.constants: dict[str, Any] = {}
        self.uses: set[tuple[str, str, int]] = set()
        self.apart = frozenset() if checked else often(nest, functions.NATIVE)  # checked loops are not vectorised
        self.lanes = 1  # of the loop that is written
        self.at = [f"%a{i}" for i in range(len(nest.pointers))]  # where each array is, in the loops that are open
        self.totals: dict[int, str] = {}  # accumulators of single numbers, and what they came to
        self.totals_read: dict[int, str] = {}
        self.hints: set[Hint] = set()
        self.lengths = (*nest.rows, *nest.columns)
        self.homes: dict[int, int] = {}  # arrays that are a part of another one's buffer

    def write(self, line: str) -> None:
        self.lines.append("  " + line)

    def emit(self, text: str) -> str:
        self.count += 1
        self.lines.append(f"  %v{self.count} = {text}")
        return f"%v{self.count}"

    def label(self, name: str) -> None:
        self.lines.append(f"{name}:")
        self.block = name

    # loops

    def length(self, d: int) -> int | str:
        """How long loop d is."""
        return self.lengths[d]

    def open(self, size: int | str, d: int, pointers: set[int]) -> tuple[str, int | str, dict[int, str]]:
        """Begins loop d of the nest; the arrays move along in it."""
        self.count += 1
        name = f"l{self.count}"
        before = self.block
        self.write(f"br label %{name}")
        self.label(name)
        self.write(f"%{name}.i = phi i64 [ 0, %{before} ], [ %{name}.n, %{name}.end ]")
        outside = {p: self.at[p] for p in pointers}
        for p in sorted(pointers):
            self.at[p] = self.address(p, d, f"%{name}.i")
        return name, size, outside

    def close(self, loop: tuple[str, int | str, dict[int, str]]) -> None:
        name, size, outside = loop
        self.write(f"br label %{name}.end")
        self.label(f"{name}.end")
        self.advance(name, size)
        for p, at in outside.items():
            self.at[p] = at

    def advance(self, name: str, size: int | str, hint: Hint = PLAIN) -> None:
        self.write(f"%{name}.n = add nuw nsw i64 %{name}.i, 1")
        self.write(f"%{name}.c = icmp eq i64 %{name}.n, {size}")
        self.write(f"br i1 %{name}.c, label %{name}.out, label %{name}{hint.use}")
        self.label(f"{name}.out")

    def address(self, p: int, d: int, index: str) -> str:
        """Where array p is when loop d is at an index."""
        pointer = self.nest.pointers[p]
        step = pointer.strides[d]
        if not step:
            return self.at[p]
        if step != 1:
            index = self.emit(f"mul nsw i64 {index}, {step}")
        return self.emit(f"getelementptr {MEMORY[pointer.dtype]}, ptr {self.at[p]}, i64 {index}")

    # operations

    def load(self, kind: str, address: str) -> str:
        value = self.emit(f"load {MEMORY[kind]}, ptr {address}")
        return self.emit(f"icmp ne i8 {value}, 0") if kind == "?" else value

    def store(self, kind: str, value: str, address: str) -> None:
        if kind == "?":
            value = self.emit(f"zext i1 {value} to i8")
        self.write(f"store {MEMORY[kind]} {value}, ptr {address}")

    def accumulate(self, fold: str, kind: str, value: str, address: str, flags: str = "") -> None:
        found = self.load(kind, address)
        self.store(kind, self.emit(llvm_ops.fold(fold, found, value, kind, flags)), address)

    def spot(self, p: int, d: int | None, index: str) -> str:
        return self.at[p] if d is None else self.address(p, d, index)

    def within(self, p: int, address: str, kind: str = "") -> str:
        """An address in array p, compared with where that is if kernels are checked."""
        if not self.checked:
            return address
        size = SIZES[kind or self.nest.pointers[p].dtype]
        return bounds.check(address, self.homes.get(p, p), size, self.emit)

    def further(self, at: str, kind: str, steps: Any, *indices: int) -> str:
        named = [(self.names[i], self.kinds[i]) for i in indices]
        return llvm_ops.further(at, kind, steps, named, self.emit)

    def operations(self, ops: tuple[Op, ...], d: int | None = None, index: str = "") -> None:
        """Operations at an index of loop d, or outside the loops over a row."""
        for name, args, kind, result in ops:
            if name == "store":
                self.store(kind, self.names[args[1]], self.within(args[0], self.spot(args[0], d, index)))
            elif name == "fold":
                p, value, how = args
                self.flush(p, how, kind, self.names[value])
            elif name == "total":
                self.names[result] = self.totals_read[args[0]]
            elif name == "constant":
                self.names[result] = text = llvm_ops.literal(args[0], kind)
                self.constants[text] = args[0]
            elif name == "load":
                self.names[result] = self.load(kind, self.within(args[0], self.spot(args[0], d, index)))
            elif name == "gather":
                place = self.further(self.spot(args[0], d, index), kind, *args[1:])
                self.names[result] = self.load(kind, self.within(args[0], place))
            elif name in ("scatter", "scatter_add"):
                place = self.further(self.spot(args[0], d, index), kind, *args[1:-1])
                place = self.within(args[0], place)
                if name == "scatter":
                    self.store(kind, self.names[args[-1]], place)
                else:
                    self.accumulate("sum", kind, self.names[args[-1]], place)
            elif name in SCANS:
                self.names[result] = self.scan(name, args[0], self.names[args[1]], kind, self.spot(args[0], d, index))
            else:
                self.names[result] = self.value(name, args, kind)
            self.kinds[result] = kind

    def scan(self, name: str, p: int, value: str, kind: str, place: str) -> str:
        """What a scan comes to with one more value."""
        place = self.totals[p] if p in self.totals else self.within(p, place)
        found = self.load(kind, place)
        value = self.emit(llvm_ops.operation(SCANS[name], [found, value], kind, self.constants, self.emit, self.flags))
        self.store(kind, value, place)
        return value

    def value(self, name: str, args: tuple[int, ...], kind: str) -> str:
        names = [self.names[a] for a in args]
        source = self.kinds[args[0]]
        type = REGISTER[kind]
        if name == "copy" or (name == "cast" and source == kind):
            return names[0]
        if name == "where":  # never a branch, which a mask of random numbers would mislead
            return self.emit(f"select i1 {names[0]}, {type} {names[1]}, {type} {names[2]}, !unpredictable !{{}}")
        if name == "cast":
            value = self.emit(llvm_ops.cast(names[0], source, kind))
            return self.emit(f"freeze {type} {value}") if source[0] == "f" and kind[0] == "i" else value
        if name in self.functions.NATIVE:
            apart = (name, source) in self.apart
            self.uses.add((name, source, self.lanes if apart else 0))
            return self.emit(self.functions.call(name, source, names, apart))
        return self.emit(llvm_ops.operation(name, names, source, self.constants, self.emit, self.flags))

    # phases

    def wide(self, fold: Fold | str, kind: str) -> str:
        """The dtype in which the parts of a fold are put together."""
        name = fold if isinstance(fold, str) else fold.kind
        return "f8" if name == "sum" and kind == "f4" else kind

    def flush(self, p: int, fold: str, kind: str, value: str) -> None:
        """Puts a part of what is folded in memory there."""
        total = self.totals.get(p)
        if total is None:
            self.accumulate(fold, kind, value, self.within(p, self.at[p]))
        else:
            self.part(total, fold, kind, value)

    def part(self, slot: str, fold: str, kind: str, value: str) -> None:
        wide = self.wide(fold, kind)
        if wide != kind:
            value = self.emit(f"fpext float {value} to double")
        self.accumulate(fold, wide, value, slot)

    def slot(self, fold: str, kind: str) -> str:
        """A number on the stack."""
        self.count += 1
        name, wide = f"%s{self.count}", self.wide(fold, kind)
        self.lines.insert(0, f"  {name} = alloca {MEMORY[wide]}")
        return name

    def clear(self, slot: str, fold: str, kind: str) -> None:
        wide = self.wide(fold, kind)
        self.write(f"store {MEMORY[wide]} {llvm_ops.identity(fold, wide)}, ptr {slot}")

    def read(self, slot: str, fold: str, kind: str) -> str:
        wide = self.wide(fold, kind)
        value = self.load(wide, slot)
        return value if wide == kind else self.emit(f"fptrunc double {value} to float")

    def phase(self, phase: Phase) -> None:
        self.operations(phase.row)
        if not phase.body and not phase.folds:
            return
        columns = self.nest.columns
        used = {op.args[0] for op in phase.body if op.name in INDEXED}
        used |= {fold.pointer for fold in phase.folds if fold.pointer >= 0}
        blocked = (
            bool(columns) and columns[-1] > BLOCK and any(f.kind == "sum" and f.dtype[0] == "f" for f in phase.folds)
        )
        slots: dict[int, str] = {}
        if blocked or len(columns) > 1:
            for f in phase.folds:
                if f.pointer < 0:
                    slots[f.result] = self.slot(f.kind, f.dtype)
                    self.clear(slots[f.result], f.kind, f.dtype)
        first = len(self.nest.rows)
        loops = [self.open(self.length(first + d), first + d, used) for d in range(len(columns) - 1)]
        if columns:
            self.innermost(phase, first + len(columns) - 1, columns[-1], used, blocked, slots)
        else:
            self.operations(phase.body)
            for f in phase.folds:
                self.folded(f, self.names[f.value], slots)
        for loop in reversed(loops):
            self.close(loop)
        for f in phase.folds:
            if f.result in slots:
                self.names[f.result] = self.read(slots[f.result], f.kind, f.dtype)

    def folded(self, f: Fold, value: str, slots: dict[int, str]) -> None:
        """What to do with the fold over an innermost loop."""
        if f.pointer >= 0:
            self.flush(f.pointer, f.kind, f.dtype, value)
        elif f.result in slots:
            self.part(slots[f.result], f.kind, f.dtype, value)
        else:
            self.names[f.result], self.kinds[f.result] = value, f.dtype
        if f.result >= 0:
            self.kinds[f.result] = f.dtype

    def innermost(self, phase: Phase, d: int, n: int, used: set[int], blocked: bool, slots: dict[int, str]) -> None:
        size = whole = self.length(d)
        if blocked:
            count: int | str = -(-n // BLOCK)
            if isinstance(whole, str):
                count = self.emit(f"udiv i64 {self.emit(f'add nuw nsw i64 {whole}, {BLOCK - 1}')}, {BLOCK}")
            block = self.open(count, d, set())
            begin = self.emit(f"mul nuw nsw i64 %{block[0]}.i, {BLOCK}")
            outside = {p: self.at[p] for p in used}
            for p in sorted(used):
                self.at[p] = self.address(p, d, begin)
            size = self.emit(f"sub nsw i64 {whole}, {begin}")
            size = self.emit(f"call i64 @llvm.smin.i64(i64 {size}, i64 {BLOCK})")
        self.count += 1
        name, before = f"l{self.count}", self.block
        self.write(f"br label %{name}")
        self.label(name)
        self.write(f"%{name}.i = phi i64 [ 0, %{before} ], [ %{name}.n, %{name} ]")
        inside: list[Fold] = []
        along: list[Fold] = []  # folds that give one number in this loop, and those that give one for each index
        for f in phase.folds:
            (along if f.pointer >= 0 and self.nest.pointers[f.pointer].strides[d] else inside).append(f)
        # The larger of two numbers vectorises well if none is NaN. So whether one is, is another fold, and where it is
        # true the first one's poison is not selected.
        extremes = {i for i, f in enumerate(inside) if f.kind in ("max", "min") and f.dtype in llvm_ops.FLOATS}
        for i in extremes:
            self.write(f"%{name}.x{i} = phi i1 [ 0, %{before} ], [ %{name}.y{i}, %{name} ]")
        for i, f in enumerate(inside):
            start = llvm_ops.identity(f.kind, f.dtype)
            self.write(f"%{name}.f{i} = phi {REGISTER[f.dtype]} [ {start}, %{before} ], [ %{name}.g{i}, %{name} ]")
        told = PLAIN
        if not self.checked:
            told = hint(
                self.nest, phase, self.functions.NATIVE, self.apart, self.masks, isinstance(size, int) and not along
            )
        self.hints.add(told)
        self.lanes = told.lanes
        self.operations(phase.body, d, f"%{name}.i")
        self.lanes = 1
        for f in along:
            place = self.within(f.pointer, self.address(f.pointer, d, f"%{name}.i"))
            self.accumulate(f.kind, f.dtype, self.names[f.value], place)
        for i, f in enumerate(inside):
            last, value, type = f"%{name}.f{i}", self.names[f.value], REGISTER[f.dtype]
            if i in extremes:
                test = "ogt" if f.kind == "max" else "olt"
                found = self.emit(f"fcmp nnan nsz {test} {type} {value}, {last}")
                self.write(f"%{name}.g{i} = select nnan nsz i1 {found}, {type} {value}, {type} {last}")
                missing = self.emit(f"fcmp uno {type} {value}, {value}")
                self.write(f"%{name}.y{i} = or i1 %{name}.x{i}, {missing}")
            else:
                self.write(f"%{name}.g{i} = {llvm_ops.fold(f.kind, last, value, f.dtype, 'reassoc ')}")
        self.advance(name, size, told)
        for i, f in enumerate(inside):
            value = f"%{name}.g{i}"
            if i in extremes:
                type = REGISTER[f.dtype]
                value = self.emit(
                    f"select i1 %{name}.y{i}, {type} {llvm_ops.literal(math.nan, f.dtype)}, {type} {value}"
                )
            self.folded(f, value, slots)
        if blocked:
            self.close(block)
            for p, at in outside.items():
                self.at[p] = at

    # the whole

    def fill(self, p: int) -> None:
        pointer = self.nest.pointers[p]
        (n, fold), kind = pointer.filled, pointer.dtype
        if n == 1:
            self.totals[p] = self.slot(fold, kind)
            self.clear(self.totals[p], fold, kind)
            return
        self.count += 1
        name, before = f"l{self.count}", self.block
        self.write(f"br label %{name}")
        self.label(name)
        self.write(f"%{name}.i = phi i64 [ 0, %{before} ], [ %{name}.n, %{name} ]")
        address = self.emit(f"getelementptr {MEMORY[kind]}, ptr {self.at[p]}, i64 %{name}.i")
        self.write(f"store {MEMORY[kind]} {llvm_ops.identity(fold, kind)}, ptr {self.within(p, address)}")
        self.advance(name, self.filled(p, n))

    def filled(self, p: int, n: int) -> int | str:
        """How much of an accumulator is filled."""
        return n

    def walk(self) -> None:
        """All loops."""
        nest = self.nest
        moving = {p for p, pointer in enumerate(nest.pointers) if p not in self.totals}
        loops = [self.open(self.length(d), d, moving) for d in range(len(nest.rows))]
        for phase in nest.phases:
            self.phase(phase)
        for loop in reversed(loops):
            self.close(loop)

    def finish(self) -> None:
        """What comes after all loops."""
        for p, slot in self.totals.items():
            fold, kind = self.nest.pointers[p].filled[1], self.nest.pointers[p].dtype
            self.totals_read[p] = self.read(slot, fold, kind)
            self.store(kind, self.totals_read[p], self.within(p, self.at[p]))
        self.operations(self.nest.tail)

    def body(self) -> list[str]:
        for p, pointer in enumerate(self.nest.pointers):
            if pointer.filled:
                self.fill(p)
        self.operations(self.nest.start)
        self.walk()
        self.finish()
        return ["entry:", *self.lines, "  ret void"]
