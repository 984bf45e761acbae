"""Matrix products as BLAS takes them.

A matrix has neighbours in its rows or in its columns, and steps that do not overlap; a batch has one regular step. A
matrix product with one matrix for the whole batch is one product of taller matrices.
"""

from typing import NamedTuple

from .graph import Node
from .loops import DTYPES
from .spaces import align, resolve

__all__ = ["Layout", "layouts", "native_product"]


class Layout(NamedTuple):
    """An operand or the result of a matrix product: `shape` and `strides` have one batch axis at most."""

    base: Node
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def native_product(node: Node) -> bool:
    return node.size > 0 and DTYPES.get(node.dtype) in ("f4", "f8")


def _matrix(rows: int, columns: int, down: int, right: int) -> tuple[int, int] | None:
    """Strides of a matrix that BLAS takes, or nothing. Where an axis has one element, any step is right."""
    if columns == 1:
        right = 1
    if rows == 1:
        down = columns if right == 1 else 1
    if (right == 1 and down >= columns) or (down == 1 and right >= rows):
        return down, right
    return None


def _batch(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, int] | None:
    """Size and step of several axes as one."""
    size, step = 1, 0
    for n, s in zip(reversed(shape), reversed(strides)):
        if n == 1:
            continue
        if size == 1:
            step = s
        elif s != step * size:
            return None
        size *= n
    return size, step


def _operand(x: Node, batch: tuple[int, ...]) -> Layout | None:
    base, offset, strides = resolve(x)
    strides = align(x.shape, strides, (*batch, *x.shape[-2:]))
    matrix = _matrix(x.shape[-2], x.shape[-1], strides[-2], strides[-1])
    many = _batch(batch, strides[:-2])
    if matrix is None or many is None or many[1] < 0:
        return None
    return Layout(base, offset, (many[0], *x.shape[-2:]), (many[1], *matrix))


def layouts(node: Node) -> tuple[Layout | None, Layout | None, Layout]:
    """x, y and the result of a product; None for an operand that has to be copied first."""
    batch = node.shape[:-2]
    x, y, out = (_operand(n, batch) for n in (*node.inputs, node))
    assert out is not None
    if x is None or y is None:
        return x, y, out
    count, rows = out.shape[:2]
    if count > 1 and y.strides[0] == 0 and x.strides[2] == 1 and x.strides[0] == rows * x.strides[1]:
        x, out = (Layout(a.base, a.offset, (count * rows, a.shape[2]), (a.strides[1], 1)) for a in (x, out))
        return x, Layout(y.base, y.offset, y.shape[1:], y.strides[1:]), out
    if count == 1:
        x, y, out = (Layout(a.base, a.offset, a.shape[1:], a.strides[1:]) for a in (x, y, out))
    return x, y, out
