"""numpy.linalg, which takes stacks of matrices anyway: the hidden axes are further axes of the stack."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import undispatched
from ..batched import Batched, aligned, axes_of, batch, hide
from ..rules.linalg import cofactors, cofactors_along, inverse, norm_along
from ..rules.linalg_decompositions import qr_factors, svd_factors

__all__: list[str] = []  # its entries are in BATCHING

Function = Callable[..., Any]


def _stacked(function: Function, operands: int = 1) -> Function:
    """A function of stacks of matrices, all of whose results have the axes of the stack in front."""

    def body(*args: Any, **kwargs: Any) -> Any:
        arrays, levels = aligned(args[:operands])
        ans = function(*arrays, *args[operands:], **kwargs)
        if not isinstance(ans, tuple):
            return hide(ans, levels)
        parts = [hide(part, levels) for part in ans]
        return type(ans)(*parts) if hasattr(ans, "_fields") else tuple(parts)

    return body


for _function in (np.linalg.det, np.linalg.slogdet, np.linalg.inv, np.linalg.cholesky, np.linalg.eigh, np.linalg.eig):
    batch(_function)(_stacked(_function))
for _function in (cofactors, inverse, qr_factors, svd_factors):
    batch(_function)(_stacked(undispatched(_function)))
batch(cofactors_along)(_stacked(undispatched(cofactors_along), 2))
batch(np.linalg.pinv)(_stacked(np.linalg.pinv))
batch(np.linalg.matrix_rank)(_stacked(np.linalg.matrix_rank))


@batch(np.linalg.solve)
def _solve(a: Any, b: Any) -> Any:
    if b.ndim == 1:
        (x, y), levels = aligned([a, b[:, None]])
        return hide(np.linalg.solve(x, y)[..., 0], levels)
    (x, y), levels = aligned([a, b])
    return hide(np.linalg.solve(x, y), levels)


@batch(norm_along)
def _norm_along(x: Batched, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    if axis is None and ord is None:
        x, axis, shape = x.reshape(-1), 0, x.shape
        ans = np.linalg.norm(x.whole, None, axes_of(x, axis))
        return hide(ans.reshape(ans.shape + (1,) * len(shape)) if keepdims else ans, x.levels)
    if axis is None and x.ndim > 2:
        raise ValueError("Improper number of dimensions to norm.")
    axes = tuple(range(x.ndim)) if axis is None else axis
    axes = axes[0] if isinstance(axes, tuple) and len(axes) == 1 else axes
    return hide(np.linalg.norm(x.whole, ord, axes_of(x, axes), keepdims), x.levels)
