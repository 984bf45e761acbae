"""The structure of products that sum: matmul, dot, einsum, convolve, cross.

An element of the result depends on the elements of one operand that are multiplied into it. Where the other operand is
constant, only its nonzero elements multiply: a constant is a part of the path, and a banded matrix times a vector stays
banded. Axes have letters, here integers, as in einsum.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .kinds import Use
from .patterns import LIMIT, Pattern, joined, numbered, pooled, taken, times

__all__ = ["convolution", "cross", "dot", "einsum", "matmul"]

Shape = tuple[int, ...]
Letters = tuple[Any, ...]


def matmul(p: Pattern, use: Use) -> Pattern:
    return _product(p, use, _matmul_letters)


def dot(p: Pattern, use: Use) -> Pattern:
    return _product(p, use, _dot_letters)


def einsum(p: Pattern, use: Use) -> Pattern:
    terms, _, result = str(use.options["subscripts"]).partition("->")
    a, b = terms.split(",")
    return _product(p, use, lambda m, n: (tuple(a), tuple(b), tuple(result)))


def _matmul_letters(m: int, n: int) -> tuple[Letters, Letters, Letters]:
    """The letters of operands of `m` and `n` axes: 0 is summed over, 1 are rows, 2 columns, the others the stack."""
    first = (*range(m, 2, -1), 1, 0) if m > 1 else (0,)
    second = (*range(n, 2, -1), 0, 2) if n > 1 else (0,)
    return first, second, (*range(max(m, n), 2, -1), *((1,) if m > 1 else ()), *((2,) if n > 1 else ()))


def _dot_letters(m: int, n: int) -> tuple[Letters, Letters, Letters]:
    rows, columns = tuple(range(1, m + 1)), tuple(range(m + 1, m + n + 1))
    if not m or not n:
        return rows, columns, rows + columns
    first, second = (*rows[:-1], 0), (*columns[:-2], 0, *columns[-1:]) if n > 1 else (0,)
    return first, second, tuple([c for c in first + second if c])


def _other(use: Use) -> tuple[Any, Shape]:
    """The other operand, or None if it is no constant, and its shape."""
    name = "yx"[use.index]
    other: Any = use.known.get(name)
    if use.case.count > 1:
        return None, use.known["s" + name].shape
    return (other if isinstance(other, (np.ndarray, np.generic, int, float, complex)) else None), np.shape(other)


def _product(p: Pattern, use: Use, letters: Callable[[int, int], tuple[Letters, Letters, Letters]]) -> Pattern:
    other, shape = _other(use)
    assert use.out is not None
    if use.index == 0:
        a, b, c = letters(len(p.shape), len(shape))
    else:
        b, a, c = letters(len(shape), len(p.shape))
    size = dict(zip(c, use.out))
    for letter, n in [*zip(a, p.shape), *zip(b, shape)]:
        size[letter] = max(n, size.get(letter, n)) if letter not in c else size[letter]
    if other is not None and not np.all(other):
        found = _sparse_product(p, a, np.asarray(other), b, c, size)
        if found is not None:
            return found
    kept = {letter: n for letter, n in zip(a, p.shape) if letter in c}
    numbers = numbered(tuple(kept.values()))
    return pooled(p, _aligned(numbers, kept, a, p.shape), numbers.shape, _aligned(numbers, kept, c, use.out))


def _aligned(numbers: Any, letters: dict[Any, int], wanted: Letters, shape: Shape) -> Any:
    """An array with the axes `letters`, broadcast to one of `shape` with the axes `wanted`."""
    held = [*letters]
    numbers = numbers.transpose(sorted(range(len(held)), key=lambda i: wanted.index(held[i])))
    return np.broadcast_to(numbers.reshape([letters.get(letter, 1) for letter in wanted]), shape)


def _sparse_product(p: Pattern, a: Letters, other: Any, b: Letters, c: Letters, size: dict[Any, int]) -> Pattern | None:
    """With the nonzero elements of `other`; None if that would be too large."""
    shape = tuple([size[letter] for letter in c])
    places = {letter: at for letter, at, n in zip(b, np.nonzero(other), other.shape) if n == size[letter]}
    free = [letter for letter in dict.fromkeys((*a, *c)) if letter not in places]
    lengths = [size[letter] for letter in free]
    count, each = np.count_nonzero(other), math.prod(lengths)
    if count * each > LIMIT:
        return None
    grid = np.indices(lengths).reshape(len(free), each)
    index = {letter: at[:, None] for letter, at in places.items()} | {
        letter: at[None] for letter, at in zip(free, grid)
    }

    def offsets(letters: Letters, lengths: Shape) -> Any:
        total = np.zeros((count, each), dtype=np.intp)
        step = 1
        for letter, n in zip(reversed(letters), reversed(lengths)):
            if n > 1:
                total += index[letter] * step
            step *= n
        return total.reshape(-1)

    return Pattern(shape, times(offsets(c, shape), offsets(a, p.shape), math.prod(shape), p.rows))


def convolution(p: Pattern, use: Use) -> Pattern:
    """Both count as of one axis; `mode` cuts off the same at both ends."""
    other, shape = _other(use)
    assert use.out is not None
    (size,) = use.out
    n, m = p.rows.shape[0], math.prod(shape)
    weights = np.arange(m) if other is None else np.flatnonzero(np.reshape(other, -1))
    start = (n + m - 1 - size) // 2
    targets = weights[:, None] + np.arange(n) - start
    inside = (targets >= 0) & (targets < size)
    sources = np.broadcast_to(np.arange(n), targets.shape)
    return Pattern(use.out, times(targets[inside], sources[inside], size, p.rows))


def cross(p: Pattern, use: Use) -> Pattern:
    """Each of three components depends on the two others."""
    assert use.out is not None
    numbers = np.broadcast_to(numbered(p.shape), use.out)
    turned = [taken(p, np.roll(numbers, shift, axis=-1)) for shift in (1, 2)]
    found = joined(*turned)
    assert found is not None
    return found
