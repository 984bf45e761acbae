"""Matrix products as BLAS takes them.

A matrix has neighbours in its rows or in its columns, and steps that do not overlap; a batch has regular steps along
few axes. A product with one matrix for the whole batch is one product of taller matrices, and a sum of products over
the batch one of longer ones.
"""

from collections.abc import Sequence
from typing import NamedTuple

from .graph import Node, c_strides
from .loops import DTYPES
from .spaces import align, resolve

__all__ = ["Layout", "layouts", "native_product", "stacked", "transposed"]

MOST_CALLS = 64  # of BLAS for one product


class Layout(NamedTuple):
    """An operand or the result of a matrix product, its batch axes as few as possible."""

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


def _axes(shape: Sequence[int], *strides: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
    """Several axes as few: how long each is, and its steps in several arrays."""
    found: list[tuple[int, tuple[int, ...]]] = []
    for n, *steps in zip(shape, *strides):
        if n == 1:
            continue
        if found and all(outer == n * inner for outer, inner in zip(found[-1][1], steps)):
            found[-1] = found[-1][0] * n, tuple(steps)
        else:
            found.append((n, tuple(steps)))
    return found


def transposed(copy: Node) -> tuple[int, ...] | None:
    """The strides with which a product can write to a copy of its transposed self, that it never needs itself."""
    view = copy.inputs[0]
    if view.op != "view" or view.inputs[0].op != "matmul" or not native_product(view.inputs[0]):
        return None
    product = view.inputs[0]
    own, (offset, strides) = c_strides(product.shape), view.params
    steps = {s: step for n, s, step in zip(view.shape, strides, c_strides(copy.shape)) if n != 1}
    axes = [(n, s) for n, s in zip(product.shape, own) if n != 1]
    if offset or copy.shape != view.shape or copy.size != product.size or {s for _, s in axes} != steps.keys():
        return None
    found = tuple([steps.get(s, 0) if n != 1 else 0 for n, s in zip(product.shape, own)])
    return found if layouts(product, copy, found)[2] is not None else None


def layouts(
    node: Node, to: Node | None = None, by: Sequence[int] = ()
) -> tuple[Layout | None, Layout | None, Layout | None]:
    """x, y and the result of a product; None for an operand that has to be copied first.

    The result may be written to the memory of another node, with other strides: None if BLAS cannot do that.
    """
    batch = node.shape[:-2]
    resolved = [(n, *resolve(n)) for n in (*node.inputs, node)]
    if to is not None:
        resolved[2] = (node, to, 0, tuple(by))
    steps = [align(n.shape, strides, (*batch, *n.shape[-2:])) for n, _, _, strides in resolved]
    matrices = [_matrix(n.shape[-2], n.shape[-1], s[-2], s[-1]) for (n, *_), s in zip(resolved, steps)]
    axes = _axes(batch, *[s[:-2] for s in steps])
    many = 1
    for count, _ in axes[:-1]:
        many *= count
    found: list[Layout | None] = []
    for i, (n, base, offset, _) in enumerate(resolved):
        matrix = matrices[i]
        regular = many <= MOST_CALLS or len(_axes(batch, steps[i][:-2])) < 2
        if matrix is None or not regular or any(step[i] < 0 for _, step in axes):
            found.append(None)
        else:
            shape = (*[count for count, _ in axes], *n.shape[-2:])
            found.append(Layout(base, offset, shape, (*[step[i] for _, step in axes], *matrix)))
    x, y, out = found
    if x is not None and y is not None and out is not None and len(axes) == 1 and not y.strides[0]:
        count, rows = out.shape[:2]
        if all(a.strides[2] == 1 and a.strides[0] == rows * a.strides[1] for a in (x, out)):
            x, out = (Layout(a.base, a.offset, (count * rows, a.shape[2]), (a.strides[1], 1)) for a in (x, out))
            y = Layout(y.base, y.offset, y.shape[1:], y.strides[1:])
    return x, y, out


def stacked(product: Node) -> tuple[Layout, Layout] | None:
    """The two operands of one product that is the sum of those of a batch: side by side, and one below the other."""
    batch = product.shape[:-2]
    x, y = product.inputs
    if x.shape[:-2] != batch or y.shape[:-2] != batch or not native_product(product):
        return None
    (a, start, left), (b, begin, right) = resolve(x), resolve(y)
    along = _axes((*batch, x.shape[-1]), (*left[:-2], left[-1]))
    down = _axes((*batch, y.shape[-2]), right[:-1])
    if len(along) != 1 or len(down) != 1:
        return None
    (n, (across,)), (_, (below,)) = along[0], down[0]
    first = Layout(a, start, (x.shape[-2], n), (left[-2], across))
    second = Layout(b, begin, (n, y.shape[-1]), (below, right[-1]))
    if any(_matrix(*o.shape, *o.strides) is None for o in (first, second)):
        return None
    return first, second
