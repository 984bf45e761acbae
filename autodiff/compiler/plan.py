"""A program ready to run: buffers, and steps that read and write them.

A kernel is a native function `void kernel(ptr table, ptr slots)`: `table` holds the address of each buffer, `slots`
pairs of int64, which buffer and how many bytes into it, one pair for each of the kernel's operands. So the same kernel
serves many steps, and a program is a table of (kernel, slots) which one native loop walks. A kernel in several parts
is two more functions, `kernel.part(table, slots, part)` and, for after all of them, `kernel.end(table, slots)`.
"""

from typing import Any, NamedTuple

from .graph import Node

__all__ = ["Array", "Buffer", "Call", "Check", "Gemm", "Kernel", "Launch", "Plan", "Step"]


class Buffer(NamedTuple):
    """Memory. `at` is the position of the input, output or constant, or for a temporary its offset in the arena."""

    kind: str  # "input", "output", "constant" or "temporary"
    at: int
    nbytes: int


class Array(NamedTuple):
    """An array in a buffer. Offset and strides are counted in elements."""

    buffer: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: Any


class Kernel(NamedTuple):
    """A native function: its symbol, LLVM IR that defines it, and the functions of llvm_math that it calls: name, kind
    and in how many lanes at once."""

    symbol: str
    text: str
    uses: frozenset[tuple[str, str, int]]
    checked: bool = False  # it compares addresses with its buffers: their bytes are in the slots as well, see `bounds`
    parts: int = 1

    @property
    def symbols(self) -> tuple[str, ...]:
        """Of all its functions."""
        return (self.symbol, f"{self.symbol}.part", f"{self.symbol}.end") if self.parts > 1 else (self.symbol,)


class Launch(NamedTuple):
    """Run a kernel on operands: pairs of a buffer and an offset in bytes."""

    kernel: Kernel
    operands: tuple[tuple[int, int], ...]
    nodes: tuple[Node, ...]  # what it computes, for explain()
    moved: int = 0  # bytes that it reads and writes


class Gemm(NamedTuple):
    """`out = x @ y`, float32 or float64, for each matrix of a batch; or `out += x @ y`."""

    x: Array
    y: Array
    out: Array
    node: Node
    adds: bool = False


class Call(NamedTuple):
    """Let NumPy compute a node, from `inputs` into fresh arrays that are copied to `outputs` (None: not needed)."""

    node: Node
    inputs: tuple[Array, ...]
    outputs: tuple[Array | None, ...]
    reason: str  # why it is not native


class Check(NamedTuple):
    """Compare a guard with what was recorded."""

    position: int
    value: Any
    array: Array


Step = Launch | Gemm | Call | Check


class Plan(NamedTuple):
    """All of it. Outputs are buffers of their own, in C order, which never share memory with inputs or the arena."""

    buffers: list[Buffer]
    steps: list[Step]
    inputs: list[Array]
    outputs: list[Array]
    constants: list[Any]
    arena: int  # bytes
