"""What a program does, in words: its kernels, matrix products, and what NumPy computes and why."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from .plan import Array, Call, Check, Gemm, Launch, Plan

__all__ = ["described", "path"]

SHOWN = 12  # operations of a kernel that are listed


def path(answers: Iterable[Any]) -> str:
    """What guards have found, in short.

    >>> path([True, True, True, False, 2.5])
    'True 3 times, False, 2.5'
    """
    parts = [(value, len([*group])) for value, group in itertools.groupby(answers, repr)]
    return ", ".join([value if count == 1 else f"{value} {count} times" for value, count in parts])


def described(plan: Plan, asked: Mapping[int, str]) -> str:
    """A line for each step of a plan, and what they come to. `asked`: where the source asks for what guards compare."""
    lines, moved = [], 0
    counts = {"kernels": 0, "products": 0, "NumPy": 0}
    for step in plan.steps:
        if type(step) is Launch:
            counts["kernels"] += 1
            nbytes = sum(plan.buffers[b].nbytes for b in {b for b, _ in step.operands})
            lines.append(f"kernel  {_operations(step.nodes)}  {_bytes(nbytes)}")
        elif type(step) is Gemm:
            counts["products"] += 1
            nbytes = sum(map(_size, (step.x, step.y, step.out)))
            lines.append(f"BLAS    {_shape(step.x)} @ {_shape(step.y)} {step.out.dtype}  {_bytes(nbytes)}")
        elif type(step) is Call:
            counts["NumPy"] += 1
            nbytes = sum(map(_size, (*step.inputs, *[a for a in step.outputs if a is not None])))
            lines.append(f"NumPy   {_called(step)}: {step.reason}  {_bytes(nbytes)}")
        elif type(step) is Check:
            nbytes = 0
            where = f"  asked in {asked[step.position]}" if step.position in asked else ""
            lines.append(f"guard   {step.value!r}{where}")
        moved += nbytes
    total = ", ".join(f"{n} {name}" for name, n in counts.items())
    lines.append(f"{total}; {_bytes(moved)} read and written, {_bytes(plan.arena)} of temporaries")
    return "\n".join(lines)


def _operations(nodes: Any) -> str:
    names = [n.op for n in nodes if n.op not in ("view", "copy", "cast")] or [n.op for n in nodes]
    shape = "x".join(map(str, max(nodes, key=lambda n: n.size).shape)) if nodes else ""
    more = f" ... {len(names)} in all" if len(names) > SHOWN else ""
    return f"({shape}) {' '.join(names[:SHOWN])}{more}"


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


def _bytes(n: int) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000  # type: ignore[assignment]
    return f"{n:.3g} GB"
