"""Loop nests: what a kernel computes, without a word of the language that it is written in.

    for each row:                               `rows`: nested loops, none for a kernel of one row
        for each phase:
            row operations                      once for each row; they see the folds of earlier phases
            for each element of the row:        `columns`: nested loops
                body operations
            folds                               what became of the body's values: one number a row, or one in memory

So a softmax is one nest of three phases (maximum, sum of exponentials, quotients), where x is read three times from
cache and once from memory. An element-by-element kernel has one phase and no folds.
"""

from typing import Any, NamedTuple

import numpy as np

from .graph import SCANS

__all__ = [
    "DTYPES",
    "SIZES",
    "Fold",
    "Nest",
    "Op",
    "Phase",
    "Pointer",
    "Split",
    "carried",
    "cost",
    "moved",
    "quiet",
    "reason",
]

DTYPES = {np.dtype(name): name for name in ("?", "i4", "i8", "f4", "f8")}
SIZES = {name: dtype.itemsize for dtype, name in DTYPES.items()}


class Pointer(NamedTuple):
    """An array that the nest reads or writes. It moves by `strides` elements in each loop, rows' first."""

    dtype: str
    strides: tuple[int, ...]
    written: bool
    extent: tuple[int, int]  # the lowest and the highest element reached, for bounds checks
    filled: Any = None  # number of elements and the kind of fold, where folds accumulate in it


class Op(NamedTuple):
    """`result = name(args)`: a ufunc, or

    constant (number)    load (pointer)    store (pointer, value)    fold (pointer, value, kind): into memory
    cumsum (pointer, value)                 and the other scans: folded into memory, and the result so far
    total (pointer): what was folded into a single number
    gather (pointer, steps, index...)       scatter, scatter_add (pointer, steps, index..., value): for each index, its
                                            step that many times further on; steps are pairs of a step and a length
    """

    name: str
    args: tuple[Any, ...]
    dtype: str
    result: int


class Fold(NamedTuple):
    """A reduction of a value of the body. Its result is a value of the row, or is accumulated in memory."""

    kind: str
    value: int
    dtype: str
    result: int  # or -1
    pointer: int  # or -1


class Phase(NamedTuple):
    row: tuple[Op, ...]
    body: tuple[Op, ...]
    folds: tuple[Fold, ...]


class Split(NamedTuple):
    """How a nest is computed in parts: each has a share of the outermost loop, and of some arrays one of its own."""

    parts: int
    own: tuple[tuple[int, int], ...]  # scratch rows, each with the bytes from one part's to the next one's
    partials: tuple[tuple[int, int, int], ...]  # what folds accumulate in, what each part does instead, and its bytes


class Nest(NamedTuple):
    """Equal nests are one kernel: a nest says nothing of where its arrays begin."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    pointers: tuple[Pointer, ...]
    start: tuple[Op, ...]
    phases: tuple[Phase, ...]
    tail: tuple[Op, ...] = ()  # after all loops
    split: Split | None = None


def carried(nest: Nest) -> bool:
    """Whether a scan runs along the outermost loop, so that each step of it goes on from the one before."""
    ops = [op for phase in nest.phases for op in phase.body if op.name in SCANS]
    return any(not nest.pointers[op.args[0]].strides[0] for op in ops)


def moved(nest: Nest) -> int:
    """Bytes of the elements that a nest reads and writes, each counted once; those that indices choose, each time."""
    ops = [op for phase in nest.phases for op in (*phase.row, *phase.body)]
    chosen = {op.args[0] for op in ops if op.name in ("gather", "scatter", "scatter_add")}
    nbytes = 0
    for i, pointer in enumerate(nest.pointers):
        size = SIZES[pointer.dtype]
        for n, step in zip((*nest.rows, *nest.columns), pointer.strides, strict=True):
            size *= n if step or i in chosen else 1
        nbytes += size
    return nbytes


_COMPARE = "equal not_equal greater greater_equal less less_equal logical_and logical_or logical_xor logical_not"
_INTEGER = (
    "add subtract multiply negative positive absolute sign square maximum minimum fmax fmin conjugate remainder "
    f"floor_divide {_COMPARE}"
)
_BITS = "bitwise_and bitwise_or bitwise_xor invert"
_FLOAT = (
    f"{_INTEGER} divide fabs sqrt reciprocal isnan isinf isfinite signbit copysign floor ceil trunc rint heaviside "
    "hypot fmod deg2rad radians rad2deg degrees"
)
_BOOL = f"add multiply maximum minimum fmax fmin {_COMPARE} {_BITS}"
OPERATIONS = {
    "?": frozenset(_BOOL.split()),
    "i4": frozenset(f"{_INTEGER} {_BITS}".split()),
    "i8": frozenset(f"{_INTEGER} {_BITS}".split()),
    "f4": frozenset(_FLOAT.split()),
    "f8": frozenset(_FLOAT.split()),
}
COSTS = {"divide": 3, "sqrt": 3, "reciprocal": 3, "gather": 4, "hypot": 8, **dict.fromkeys(SCANS, 8)}
COSTS |= {"remainder": 12, "floor_divide": 12, "fmod": 12}


def cost(name: str, functions: frozenset[str]) -> int:
    """What computing one value takes, in additions."""
    return 12 if name in functions else COSTS.get(name, 1)


def reason(node: Any, functions: frozenset[str]) -> str:
    """Why a node is not part of a loop nest; nothing if it can be. `functions` are the elementary ones there are."""
    op = node.op
    for n in (node, *node.inputs):
        if n.dtype not in DTYPES:
            return f"no kernels for {n.dtype}"
    if op in ("where", "cast", "copy", "put", "gather", "scatter"):
        return ""
    if op == "scatter_add":
        return "" if node.dtype.kind != "b" else "no kernel for scatter_add of bool"
    kind = DTYPES[node.inputs[0].dtype] if node.inputs else "?"
    if op in ("sum", "prod"):
        return "" if kind != "?" else f"no kernel for {op} of bool"
    if op in SCANS:
        return "" if kind != "?" else f"no kernel for {op} of bool"
    if op in ("max", "min", "any", "all"):
        return "" if kind == "?" or op in ("max", "min") else f"no kernel for {op} of {node.inputs[0].dtype}"
    if op in OPERATIONS[kind] or (op in functions and kind in ("f4", "f8")):
        return ""
    return f"no kernel for {op} of {node.inputs[0].dtype}"


def quiet(nest: Nest, phase: Phase) -> bool:
    """Whether the body of a phase is valid arithmetic for zeros, as they are in masked parts of vectors.

    There LLVM may also put zeros in place of constants: so no divisor may come from there.
    """
    here = {op.result for op in phase.body}
    if any(op.name == "reciprocal" or (op.name == "divide" and op.args[1] in here) for op in phase.body):
        return False
    for other in (1.37, -0.61):  # values of the row
        values = {op.result: np.float64(op.args[0]) for op in nest.start if op.name == "constant"}
        try:
            with np.errstate(all="ignore", invalid="raise"):
                for name, args, dtype, result in phase.body:
                    function = getattr(np, name, None)
                    if name in ("load", "store", "gather") or dtype[0] != "f" or function is None:
                        values[result] = np.float64(0 if name in ("load", "gather") or dtype[0] != "f" else 0.5)
                    elif name in ("copy", "cast"):
                        values[result] = values.get(args[0], np.float64(other))
                    else:
                        values[result] = function(*[values.get(a, np.float64(other)) for a in args])
        except FloatingPointError:
            return False
    return True
