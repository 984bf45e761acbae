"""The functions of a kernel: of a whole nest, or of its parts, which may run at the same time, and what follows them.

    define void @k0123(ptr %table, ptr %slots)                  the whole
    define void @k0123.part(ptr %table, ptr %slots, i64 %part)
    define void @k0123.end(ptr %table, ptr %slots)              after all parts

Each finds the arrays and calls an internal function of `ptr noalias` arguments. A part has a share of the rows. What it
folds, it folds into memory of its own, which the end puts together in the order of the parts: so the result does not
depend on which thread computes which part, or when.
"""

import re
from hashlib import blake2b

from . import bounds, llvm_ops
from .llvm_hints import PLAIN
from .llvm_text import Functions, Writer
from .loops import Nest, Split
from .plan import Kernel

__all__ = ["kernel"]


class _Part(Writer):
    """The rows that are the share of `%part`."""

    split: Split
    rest = ""  # how many rows there are in it

    def share(self, part: str) -> str:
        """The row at which a part begins."""
        before = self.emit(f"mul nuw nsw i64 {part}, {self.lengths[0]}")
        return self.emit(f"udiv i64 {before}, {self.split.parts}")

    def length(self, d: int) -> int | str:
        return self.rest if d == 0 else self.lengths[d]

    def filled(self, p: int, n: int) -> int | str:
        """The share of an accumulator that moves along with the rows."""
        step = self.nest.pointers[p].strides[0]
        return self.emit(f"mul nuw nsw i64 {self.rest}, {step}") if step else n

    def own(self, p: int, nbytes: int) -> str:
        offset = self.emit(f"mul nuw nsw i64 %part, {nbytes}")
        return self.emit(f"getelementptr i8, ptr {self.at[p]}, i64 {offset}")

    def body(self) -> list[str]:
        nest = self.nest
        begin = self.share("%part")
        self.rest = self.emit(f"sub nuw nsw i64 {self.share(self.emit('add nuw nsw i64 %part, 1'))}, {begin}")
        for p, nbytes in self.split.own:
            self.at[p] = self.own(p, nbytes)
        for p, instead, nbytes in self.split.partials:
            self.at[p], self.homes[p] = self.own(instead, nbytes), instead
        for p in range(len(nest.pointers)):
            self.at[p] = self.address(p, 0, begin)
        for p, pointer in enumerate(nest.pointers):
            if pointer.filled:
                self.fill(p)
        self.operations(tuple([op for op in nest.start if op.name != "store"]))
        self.walk()
        for p, slot in self.totals.items():
            fold, kind = nest.pointers[p].filled[1], nest.pointers[p].dtype
            wide = self.wide(fold, kind)
            self.store(wide, self.load(wide, slot), self.within(p, self.at[p], wide))
        return ["entry:", *self.lines, "  ret void"]


class _End(Writer):
    """Puts together what the parts have folded, and does what is done once."""

    split: Split

    def together(self, p: int, instead: int, nbytes: int) -> None:
        (n, fold), kind = self.nest.pointers[p].filled, self.nest.pointers[p].dtype
        wide = self.wide(fold, kind) if n == 1 else kind
        self.count += 1
        name, before = f"p{self.count}", self.block
        self.write(f"br label %{name}")
        self.label(name)
        self.write(f"%{name}.i = phi i64 [ 0, %{before} ], [ %{name}.n, %{name}.end ]")
        offset = self.emit(f"mul nuw nsw i64 %{name}.i, {nbytes}")
        source = self.emit(f"getelementptr i8, ptr %a{instead}, i64 {offset}")
        if n == 1:
            self.accumulate(fold, wide, self.load(wide, self.within(instead, source, wide)), self.totals[p])
        else:
            inner = f"{name}.e"
            self.write(f"br label %{inner}")
            self.label(inner)
            self.write(f"%{inner}.i = phi i64 [ 0, %{name} ], [ %{inner}.n, %{inner} ]")
            type = llvm_ops.MEMORY[kind]
            mine = self.emit(f"getelementptr {type}, ptr {source}, i64 %{inner}.i")
            value = self.load(kind, self.within(instead, mine))
            place = self.emit(f"getelementptr {type}, ptr {self.at[p]}, i64 %{inner}.i")
            self.accumulate(fold, kind, value, self.within(p, place))
            self.advance(inner, n)
        self.write(f"br label %{name}.end")
        self.label(f"{name}.end")
        self.advance(name, self.split.parts)

    def body(self) -> list[str]:
        for p, instead, nbytes in self.split.partials:
            self.fill(p)
            self.together(p, instead, nbytes)
        self.operations(self.nest.start)
        self.finish()
        return ["entry:", *self.lines, "  ret void"]


def _entry(name: str, function: str, count: int, more: str, checked: bool) -> str:
    """A function that finds `count` arrays and calls another one."""
    lines = [f"define void @{name}(ptr %table, ptr %slots{more and ', ' + more}) {{", *bounds.lead(count, checked)]
    for i in range(count):
        lines += [
            f"  %b{i} = getelementptr i64, ptr %slots, i64 {2 * i}",
            f"  %c{i} = load i64, ptr %b{i}",
            f"  %d{i} = getelementptr ptr, ptr %table, i64 %c{i}",
            f"  %e{i} = load ptr, ptr %d{i}",
            f"  %f{i} = getelementptr i64, ptr %slots, i64 {2 * i + 1}",
            f"  %g{i} = load i64, ptr %f{i}",
            f"  %h{i} = getelementptr i8, ptr %e{i}, i64 %g{i}",
        ]
    args = ", ".join([*([more] if more else []), *[f"ptr %h{i}" for i in range(count)]])
    args += bounds.arguments(count, checked)
    return "\n".join([*lines, f"  call void @{function}({args})", "  ret void", "}", ""])


def _whole(name: str, parts: int) -> str:
    return f"""define void @{name}(ptr %table, ptr %slots) {{
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  call void @{name}.part(ptr %table, ptr %slots, i64 %i)
  %next = add i64 %i, 1
  %done = icmp eq i64 %next, {parts}
  br i1 %done, label %end, label %loop
end:
  call void @{name}.end(ptr %table, ptr %slots)
  ret void
}}
"""


def kernel(nest: Nest, functions: Functions, exact: bool = False, masks: bool = True, checked: bool = False) -> Kernel:
    """The kernel of a nest. Its symbol is a hash of its text, so that equal kernels are one.

    `checked`: every address is compared with the buffer that it is in, see `bounds`.
    """
    kinds: dict[str, type[Writer]] = {".part": _Part, ".end": _End} if nest.split else {"": Writer}
    writers = {end: kind(nest, functions, exact, masks, checked) for end, kind in kinds.items()}
    bodies = {end: "\n".join(writer.body()) for end, writer in writers.items()}
    count = len(nest.pointers)
    params = ", ".join(f"ptr noalias %a{i}" for i in range(count)) + bounds.parameters(count, checked)
    texts = {
        end: f'({"i64 %part, " * (end == ".part")}{params}) "prefer-vector-width"="512" {{\n{body}\n}}\n'
        for end, body in bodies.items()
    }
    parts = nest.split.parts if nest.split else 1
    symbol = "k" + blake2b(f"{''.join(texts.values())}{parts}".encode(), digest_size=10).hexdigest()
    text = "".join(f"define internal void @{symbol}{end}.nest{text}" for end, text in texts.items())
    text, helpers = llvm_ops.helpers(text.replace("@checked(", f"@{symbol}.checked("), symbol)
    hints = sorted(set().union(*[writer.hints for writer in writers.values()]) - {PLAIN})
    text += "".join([told.metadata for told in hints])
    for k, told in enumerate(hints):  # metadata has numbers, which have to differ between kernels
        text = re.sub(rf"!{told.name}\b", f"!{int(symbol[1:9], 16) ^ k}", text)
    for end in texts:
        text += _entry(f"{symbol}{end}", f"{symbol}{end}.nest", count, "i64 %part" if end == ".part" else "", checked)
    if nest.split:
        text += _whole(symbol, parts)
    text += helpers + (bounds.definition(symbol) if checked else "")
    return Kernel(symbol, text, frozenset().union(*[writer.uses for writer in writers.values()]), checked, parts)
