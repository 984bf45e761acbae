"""What a program does, in words: its kernels, matrix products, and what NumPy computes and why.

A step is a line; steps that are alike are one line. If their times are known, so is how fast each moves bytes, or
multiplies, and how much of the time is that of native code.
"""

import contextlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import OperandError
from . import llvm_math
from .entries import Entry
from .graph import Graph
from .interpret import Mismatch
from .lower import lower
from .plan import Array, Call, Check, Gemm, Launch, Plan, Step

__all__ = ["described", "overview", "path", "timed"]

INPUTS = 4  # that are listed

SHOWN = 12  # operations of a kernel that are listed
WIDTH = 72  # of what is said of a step


def path(answers: Iterable[Any]) -> str:
    """What guards have found, in short.

    >>> path([True, True, True, False, 2.5])
    'True 3 times, False, 2.5'
    """
    parts = [(value, len([*group])) for value, group in itertools.groupby(answers, repr)]
    return ", ".join([value if count == 1 else f"{value} {count} times" for value, count in parts])


class _Line(NamedTuple):
    kind: str
    what: str
    nbytes: int  # read and written
    products: int  # multiplications and additions


def overview(entries: Iterable[Entry]) -> str:
    """All programs of a function."""
    lines = []
    for entry in entries:
        if entry.eager:
            lines.append(f"runs without a program: it {entry.eager}")
        if entry.full:
            lines.append(f"further paths run without a program: it {entry.full}")
        for i, program in enumerate(entry.programs):
            for name, (graph, asked) in program.graphs().items():
                lines.append(f"{name} {i + 1}: {_title(graph)}")
                lines.append(described(lower(graph, llvm_math), asked))
    return "\n".join(lines) or "it has not been called yet"


def timed(name: str, entry: Entry | None, leaves: list[Any]) -> str:
    """The program that a call with these arguments runs, with the times of its steps."""
    for i, program in enumerate(entry.programs if entry else ()):
        if program.holds():
            with contextlib.suppress(Mismatch):
                plan, times = program.timed(leaves)
                return f"program {i + 1}: {_title(program.graph)}\n{described(plan, program.asked, times)}"
    why = f": it {entry.eager}" if entry and entry.eager else "; call it with them first"
    raise OperandError(f"explain: {name} has no program for these arguments{why}")


def _title(graph: Graph) -> str:
    inputs = [f"{n.dtype}{list(n.shape)}" for n in graph.inputs]
    shown = [*inputs[:INPUTS], f"... {len(inputs)} in all"] if len(inputs) > INPUTS else inputs
    answers = path([value for _, value in graph.guards])
    guards = f"; guards: {answers}" if answers else ""
    return f"{len(graph.live())} operations, for {', '.join(shown) or 'no arguments'}{guards}"


def described(plan: Plan, asked: Mapping[int, str], times: Sequence[float] | None = None) -> str:
    """A line for each kind of step of a plan, and what they come to.

    `asked`: where the source asks for what guards compare. `times`: seconds of each step.
    """
    counts = {"kernel": 0, "BLAS": 0, "NumPy": 0, "guard": 0}
    spent = dict.fromkeys(counts, 0.0)
    alike: dict[_Line, list[float]] = {}
    for step, took in zip(plan.steps, times or [0.0] * len(plan.steps), strict=True):
        line = _line(step, asked)
        counts[line.kind] += 1
        spent[line.kind] += took
        alike.setdefault(line, []).append(took)
    texts = [_text(line, len(found)) for line, found in alike.items()]
    width = min(max(map(len, texts), default=0), WIDTH)
    lines = []
    for text, (line, found) in zip(texts, alike.items(), strict=True):
        if line.kind == "guard" and times is None:
            lines.append(f"{line.kind:<8}{text}")
            continue
        shown = f"{line.kind:<8}{_cut(text, width):<{width}}{_bytes(line.nbytes * len(found)):>10}"
        if times is not None:
            shown += f"{_seconds(sum(found)):>10}{_rate(line, len(found), sum(found)):>14}"
        lines.append(shown)
    total = f"{counts['kernel']} kernels, {counts['BLAS']} products, {counts['NumPy']} NumPy"
    moved = sum(line.nbytes * len(found) for line, found in alike.items())
    total += f"; {_bytes(moved)} read and written, {_bytes(plan.arena)} of temporaries"
    if times is not None:
        whole = sum(spent.values())
        native = 100 * (whole - spent["NumPy"]) / whole if whole else 100
        total += f"; {_seconds(whole)}, {native:.0f} % of it native"
    return "\n".join([*lines, total])


def _line(step: Step, asked: Mapping[int, str]) -> _Line:
    if type(step) is Launch:
        return _Line("kernel", _operations(step.nodes), step.moved, 0)
    if type(step) is Gemm:
        text = f"{_shape(step.x)} @ {_shape(step.y)} {step.out.dtype}{', added' if step.adds else ''}"
        products = 2 * step.x.shape[-1]
        for n in step.out.shape:
            products *= n
        return _Line("BLAS", text, sum(map(_size, (step.x, step.y, step.out))), products)
    if type(step) is Call:
        nbytes = sum(map(_size, (*step.inputs, *[a for a in step.outputs if a is not None])))
        return _Line("NumPy", f"{_called(step)}: {step.reason}", nbytes, 0)
    assert type(step) is Check
    where = f"  asked in {asked[step.position]}" if step.position in asked else ""
    return _Line("guard", f"{step.value!r}{where}", _size(step.array), 0)


def _text(line: _Line, count: int) -> str:
    return line.what if count == 1 else f"{count} x {line.what}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _operations(nodes: Any) -> str:
    names = [n.op for n in nodes if n.op not in ("view", "copy", "cast")] or [n.op for n in nodes]
    shape = "x".join(map(str, max(nodes, key=lambda n: n.size).shape)) if nodes else ""
    more = f" ... {len(names)} in all" if len(names) > SHOWN else ""
    text = f"({shape}) {' '.join(names[:SHOWN])}{more}"
    if len(text) > WIDTH:
        fits = text[: WIDTH - len(f" ... {len(names)} in all") - 5].rpartition(" ")[0]  # 5: a count in front of it
        text = f"{fits} ... {len(names)} in all"
    return text


def _called(step: Call) -> str:
    if step.node.op != "call":
        return step.node.op
    function = step.node.params[0]
    return str(getattr(function, "__name__", function)).lstrip("_")


def _shape(a: Array) -> str:
    return f"({', '.join(map(str, a.shape))})"


def _size(a: Array) -> int:
    size = a.dtype.itemsize
    for n, s in zip(a.shape, a.strides, strict=True):
        size *= n if s else 1
    return int(size)


def _rate(line: _Line, count: int, seconds: float) -> str:
    if line.kind == "guard" or seconds < 1e-7:
        return ""
    if line.products:
        return f"{line.products * count / seconds / 1e9:.3g} GFLOP/s"
    return f"{line.nbytes * count / seconds / 1e9:.3g} GB/s"


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"


def _seconds(n: float) -> str:
    if n < 1e-9:
        return "0 µs"  # the differences that times are may be as small as rounding errors
    return f"{n * 1e6:.3g} µs" if n < 1e-3 else f"{n * 1e3:.3g} ms" if n < 1 else f"{n:.3g} s"
