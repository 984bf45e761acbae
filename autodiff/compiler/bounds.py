"""Bounds checks of kernels, as AUTODIFF_JIT_DEBUG=1 asks for them: their LLVM IR, and what they find.

Every address of a kernel is computed from constants that `lower` has compared with the buffers. The checks do not trust
that: each address that is read or written is compared with the buffer that it is in, as the kernel runs. The first one
outside is noted where failed guards are (see `driver_text`), so that no further step runs, and the kernel goes on with
a spare number in its place: nothing outside is touched.
"""

from collections.abc import Callable

from .plan import Launch, Plan

__all__ = ["OPERANDS", "BoundsError", "arguments", "check", "decoded", "definition", "lead", "outside", "parameters"]

OPERANDS = 1 << 16  # more than a kernel has


class BoundsError(Exception):
    """A kernel has an address outside a buffer: a bug of the compiler, which AUTODIFF_JIT_DEBUG=1 has found."""


def parameters(count: int, checked: bool) -> str:
    """What the function of a nest takes besides its arrays, if it is checked."""
    if not checked:
        return ""
    buffers = "".join(f", ptr %begin{i}, i64 %bytes{i}" for i in range(count))
    return f", ptr %table, ptr %spare, i64 %launch{buffers}"


def arguments(count: int, checked: bool) -> str:
    if not checked:
        return ""
    buffers = "".join(f", ptr %e{i}, i64 %bytes{i}" for i in range(count))
    return f", ptr %table, ptr %spare, i64 %launch{buffers}"


def lead(count: int, checked: bool) -> list[str]:
    """Lines that read these from the slots, behind the operands: the number of the launch, then the buffers' bytes."""
    if not checked:
        return []
    lines = ["  %spare = alloca i64", "  store i64 0, ptr %spare"]
    for i, name in enumerate(["launch", *[f"bytes{i}" for i in range(count)]]):
        lines += [
            f"  %{name}.at = getelementptr i64, ptr %slots, i64 {2 * count + i}",
            f"  %{name} = load i64, ptr %{name}.at",
        ]
    return lines


def check(address: str, operand: int, size: int, emit: Callable[[str], str]) -> str:
    """The address of an element of so many bytes; that of the spare number if it is outside."""
    return emit(
        f"call ptr @checked(ptr {address}, ptr %begin{operand}, i64 %bytes{operand}, i64 {size}, ptr %table, "
        f"ptr %spare, i64 %launch, i64 {operand})"
    )


def definition(symbol: str) -> str:
    """The function that compares, one for each kernel."""
    return f"""
define internal ptr @{symbol}.checked(ptr %at, ptr %begin, i64 %bytes, i64 %size, ptr %table, ptr %spare, i64 %launch, i64 %operand) noinline {{
  %high = ptrtoint ptr %at to i64
  %low = ptrtoint ptr %begin to i64
  %offset = sub i64 %high, %low
  %last = sub i64 %bytes, %size
  %before = icmp slt i64 %offset, 0
  %behind = icmp sgt i64 %offset, %last
  %outside = or i1 %before, %behind
  br i1 %outside, label %note, label %right
note:
  %failed.at = getelementptr i64, ptr %table, i64 -1
  %failed = load i64, ptr %failed.at
  %first = icmp eq i64 %failed, 0
  br i1 %first, label %store, label %spared
store:
  %base = mul i64 %launch, {-OPERANDS}
  %after = sub i64 %base, %operand
  %code = sub i64 %after, 1
  store i64 %code, ptr %failed.at
  %found.at = getelementptr i64, ptr %table, i64 -2
  store i64 %offset, ptr %found.at
  br label %spared
spared:
  ret ptr %spare
right:
  ret ptr %at
}}
"""  # noqa: E501


def decoded(code: int) -> tuple[int, int]:
    """Which launch, and which of its operands."""
    return divmod(-1 - code, OPERANDS)


def outside(plan: Plan, launch: Launch, operand: int, offset: int) -> str:
    """What has happened, for the one who looks for the bug."""
    kind, _, nbytes = plan.buffers[launch.operands[operand][0]]
    operations = " ".join(dict.fromkeys(node.op for node in launch.nodes))
    return (
        f"a bug of the compiler: kernel {launch.kernel.symbol} ({operations}) reaches byte {offset} of the {nbytes} "
        f"bytes of its operand {operand}, in a buffer of kind {kind!r}. AUTODIFF_JIT=numpy runs it without kernels"
    )
