"""Matrix products by NumPy's own BLAS, called natively: the library that is loaded anyway, with its one thread pool.

SciPy brings a second one, whose threads would fight with those of np.matmul. The symbols are looked up in NumPy's
extension module, hence in what it was linked with, whatever that is. A call from native code costs 0.3 µs, one of
np.matmul 1.2 µs, and the results are the same bits.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .plan import Array, Gemm

__all__ = ["Blas", "blas", "blas_threads", "gemm_slots"]

AS_IS, TRANSPOSED = 111, 112  # CblasNoTrans, CblasTrans
ENTRIES = 64  # steps that one Gemm may become; a batch of more goes through np.matmul


class Blas(NamedTuple):
    """The addresses of cblas_sgemm and cblas_dgemm, and the bytes of their integers."""

    single: int
    double: int
    width: int


# names for single precision, and the bytes of an integer: 0 where the name does not tell
NAMES = (
    ("scipy_cblas_sgemm64_", 8),
    ("cblas_sgemm64_", 8),
    ("cblas_sgemm_64", 8),
    ("cblas_sgemm$NEWLAPACK$ILP64", 8),
    ("cblas_sgemm$NEWLAPACK", 4),
    ("scipy_cblas_sgemm", 0),
    ("cblas_sgemm", 0),
)


def _found() -> Blas | None:
    for library in _libraries():
        for name, known in NAMES:
            try:
                functions = [getattr(library, name.replace("sgemm", kind)) for kind in ("sgemm", "dgemm")]
            except AttributeError:
                continue
            width = known or _width()
            single, double = (ctypes.cast(f, ctypes.c_void_p).value for f in functions)
            if width and single and double:
                return Blas(single, double, width)
    return None


def _libraries() -> Iterator[Any]:
    """Where NumPy's BLAS may be: a symbol of its extension module, or of what came with it (Windows)."""
    folder = Path(np.__file__).parent
    paths: list[Any] = [*folder.parent.glob("numpy.libs/*openblas*")] if os.name == "nt" else []
    with contextlib.suppress(AttributeError):
        paths.insert(0, np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    for path in paths:
        with contextlib.suppress(OSError, TypeError):
            yield ctypes.CDLL(str(path))


def _width() -> int:
    """The bytes of an integer as the configuration of NumPy tells; 0 if it does not."""
    try:
        config: Any = np.show_config(mode="dicts")
        build = config["Build Dependencies"]["blas"]
    except (KeyError, TypeError, ModuleNotFoundError):
        return 0
    name, details = str(build.get("name", "")).lower(), str(build.get("openblas configuration", ""))
    if "64" in name or "USE64BITINT" in details:
        return 8
    return 4 if details.startswith("OpenBLAS") or "lp64" in name else 0


def blas() -> Blas | None:
    """NumPy's BLAS; None if it cannot be told, or AUTODIFF_JIT_BLAS is 0."""
    return None if os.environ.get("AUTODIFF_JIT_BLAS") == "0" else _found()


def blas_threads() -> int:
    """How many threads NumPy's BLAS uses; 0 if it cannot be told."""
    for library in _libraries():
        for name in ("scipy_openblas_get_num_threads64_", "openblas_get_num_threads64_", "openblas_get_num_threads"):
            with contextlib.suppress(AttributeError):
                return int(getattr(library, name)())
    return 0


# -- from a step of the plan to arguments


def _layout(array: Array) -> tuple[int, int] | None:
    """Whether the matrices are transposed, and their leading dimension; None if they are neither kind."""
    (rows, columns), (row, column) = array.shape[-2:], array.strides[-2:]
    if (column == 1 or columns == 1) and (row >= columns or rows == 1):
        return AS_IS, row if rows > 1 else max(columns, 1)
    if (row == 1 or rows == 1) and (column >= rows or columns == 1):
        return TRANSPOSED, column if columns > 1 else max(rows, 1)
    return None


def _batch(gemm: Gemm) -> list[tuple[int, tuple[int, ...]]]:
    """The axes of the batch, outermost first: how long, and the step of each of the three; as few as possible."""
    shape = gemm.out.shape[:-2]
    steps = []
    for array in (gemm.x, gemm.y, gemm.out):
        missing = len(shape) - len(array.shape[:-2])
        own = [0 if n == 1 else s for n, s in zip(array.shape[:-2], array.strides[:-2])]
        steps.append([0] * missing + own)
    axes: list[tuple[int, tuple[int, ...]]] = []
    for n, step in zip(shape, zip(*steps)):
        if n == 1:
            continue
        if axes and all(outer == n * inner for outer, inner in zip(axes[-1][1], step)):
            axes[-1] = axes[-1][0] * n, step
        else:
            axes.append((n, step))
    return axes


def gemm_slots(gemm: Gemm, function: int) -> list[list[int]] | None:
    """What the native step reads, see `driver_text`: one or several, for axes of a batch. None if BLAS cannot do it."""
    rows, columns = gemm.out.shape[-2:]
    inner = gemm.x.shape[-1]
    if not inner or 0 in gemm.out.shape or max(rows, columns, inner) >= 2**31:
        return None
    axes = _batch(gemm)
    count, step = axes.pop() if axes else (1, (0, 0, 0))
    if prod(n for n, _ in axes) > ENTRIES:
        return None
    starts = [(0, 0, 0)]
    for n, (x, y, out) in axes:
        starts = [(a + i * x, b + i * y, c + i * out) for a, b, c in starts for i in range(n)]
    operands = []
    for array, by in zip((gemm.x, gemm.y, gemm.out), step):
        layout = _layout(array)
        if layout is None:
            return None
        operands.append((array, *layout, by * array.dtype.itemsize))
    if operands[2][1] == TRANSPOSED:  # then out.T = y.T @ x.T is in C order
        operands = [(a, AS_IS + TRANSPOSED - kind, ld, by) for a, kind, ld, by in operands]
        operands[:2] = operands[1::-1]
        starts = [(y, x, out) for x, y, out in starts]
        rows, columns = columns, rows
    found = []
    for start in starts:
        slots = [function, rows, columns, inner]
        for (array, kind, ld, by), more in zip(operands, start):
            slots += [array.buffer, (array.offset + more) * array.dtype.itemsize, kind, ld, by]
        found.append([*slots, count, int(gemm.adds)])
    return found
