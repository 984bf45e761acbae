"""Patterns of dependence: which elements of an array depend on which elements of the input.

A `Pattern` has one row for each element of its array and one column for each element of the input, as a SciPy matrix
of truth values that keeps the true ones only. What a function does to a pattern is said by *numbers*: an integer
array that names elements 1, 2, ..., and 0 for none. `numbered` makes them, any function that moves elements carries
them to where the elements go, and `taken` or `put` do the same to the rows of a pattern.
"""

import functools
import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ..errors import GraphError

__all__ = [
    "LIMIT",
    "Pattern",
    "checked_size",
    "everything",
    "joined",
    "numbered",
    "pooled",
    "put",
    "scipy_sparse",
    "stacked",
    "taken",
    "times",
]

LIMIT = 1 << 28  # entries, more than a gigabyte: what has so many is not sparse

Shape = tuple[int, ...]


class Pattern(NamedTuple):
    """The shape of an array, and the matrix that says what each of its elements depends on.

    Under vmap it is the shape of one example, and the rows are those of all examples, one after the other.
    """

    shape: Shape
    rows: Any
    levels: tuple[Any, ...] = ()


def scipy_sparse(name: str) -> ModuleType:
    """The module scipy.sparse. Raises ImportError, which names the extra, if SciPy is not installed."""
    try:
        import scipy.sparse as sparse
    except ImportError as error:
        raise ImportError(f"{name} needs SciPy; install it with: pip install 'autodiff[scipy]'") from error
    return sparse


def checked_size(entries: int) -> int:
    """`entries`, if so many can be held. Raises GraphError if not."""
    if entries > LIMIT:
        raise GraphError(
            f"the pattern of dependence has {entries:,} entries, which is not sparse: a function mixes most elements, "
            "as a sum that all of them use does; use jvp or vjp, or pass sparsity= if you know the pattern"
        )
    return entries


def numbered(shape: Shape, dtype: Any = None) -> Any:
    """The elements of an array of `shape`, numbered from 1; if `dtype` is complex in both of their parts."""
    numbers = np.arange(1, math.prod(shape) + 1).reshape(shape)
    return numbers + 1j * numbers if dtype is not None and dtype.kind == "c" else numbers


def _integers(numbers: Any) -> Any:
    numbers = np.asarray(numbers)
    if numbers.dtype.kind == "c":
        numbers = np.maximum(numbers.real, numbers.imag)
    return numbers if numbers.dtype.kind == "i" else numbers.astype(np.intp)


def taken(p: Pattern, numbers: Any) -> Pattern:
    """The pattern of an array whose elements are those of `p` with these `numbers`, or constants where they are 0."""
    numbers = _integers(numbers)
    flat, rows = numbers.reshape(-1), p.rows
    count = rows.shape[0]
    if flat.size == count and (flat == np.arange(1, count + 1)).all():
        return Pattern(numbers.shape, rows)
    if not flat.size:
        return Pattern(numbers.shape, rows[:0])
    if not count:
        return Pattern(numbers.shape, type(rows)((flat.size, rows.shape[1]), dtype=bool))
    checked_size(int(np.diff(rows.indptr, prepend=0)[flat].sum(dtype=np.int64)))
    first, last = int(flat[0]), int(flat[-1])
    if flat.all():
        if last - first == flat.size - 1 and (flat == np.arange(first, last + 1)).all():
            return Pattern(numbers.shape, rows[first - 1 : last])
        return Pattern(numbers.shape, rows[flat - 1])
    ends = np.append(rows.indptr, rows.indptr[-1])  # one more row, which is empty
    longer = type(rows)((rows.data, rows.indices, ends), shape=(count + 1, rows.shape[1]))
    return Pattern(numbers.shape, longer[np.where(flat, flat - 1, count)])


def put(p: Pattern, numbers: Any, shape: Shape) -> Pattern:
    """The pattern of an array of `shape`, to whose elements with these `numbers` those of `p` are added."""
    flat, count = _integers(numbers).reshape(-1), math.prod(shape)
    sources = np.flatnonzero(flat)
    targets = flat[sources] - 1
    back = np.zeros(count, dtype=np.intp)
    back[targets] = sources + 1
    if np.count_nonzero(back) == sources.size:  # no two go to the same place
        return taken(p, back.reshape(shape))
    return Pattern(shape, times(targets, sources, count, p.rows))


def times(targets: Any, sources: Any, count: int, rows: Any) -> Any:
    """`count` rows, of which those at `targets` depend on what `rows` at `sources` depend on."""
    checked_size(int(np.diff(rows.indptr)[sources].sum(dtype=np.int64)))
    entries = np.ones(checked_size(len(targets)), dtype=bool)
    product = type(rows)((entries, (targets, sources)), shape=(count, rows.shape[0])) @ rows
    product.sum_duplicates()
    return product


def pooled(p: Pattern, numbers: Any, shape: Shape, back: Any) -> Pattern:
    """`put` into `shape`, and `taken` from there: each of the result depends on all that met in one place."""
    return taken(put(p, numbers, shape), back)


def everything(p: Pattern, shape: Shape) -> Pattern:
    """An array of `shape`, each element of which depends on all of `p`."""
    return pooled(p, np.ones(p.shape, dtype=np.intp), (1,), np.ones(shape, dtype=np.intp))


def joined(*patterns: Pattern | None) -> Pattern | None:
    """What depends on all of these, which have one shape; None depends on nothing."""
    found = list({id(p.rows): p for p in patterns if p is not None}.values())
    return functools.reduce(lambda p, q: p._replace(rows=p.rows + q.rows), found) if found else None


def stacked(matrices: list[Any]) -> Any:
    """The rows of several patterns, one after the other."""
    if len(matrices) == 1:
        return matrices[0]
    starts = np.cumsum([0, *(m.indptr[-1] for m in matrices)])
    ends = [m.indptr[1:] + start for m, start in zip(matrices, starts)]
    data, indices = (np.concatenate([getattr(m, name) for m in matrices]) for name in ("data", "indices"))
    indptr = np.concatenate([[0], *ends]).astype(indices.dtype)
    return type(matrices[0])((data, indices, indptr), shape=(len(indptr) - 1, matrices[0].shape[1]))
