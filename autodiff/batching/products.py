"""Products that sum. Whatever can be is one call of NumPy, on matrices as large as possible."""

from typing import Any

import numpy as np

from ..arrays import cast
from ..batched import Batched, aligned, batch, hide
from ..rules.contract import cross_product
from ..rules.einsum import LETTERS, contract, contract_levels, rearrange, split

__all__: list[str] = []  # its entries are in BATCHING


@batch(np.matmul)
def _matmul(x: Any, y: Any, **kwargs: Any) -> Any:
    x, y = [a if hasattr(a, "ndim") else np.asarray(a) for a in (x, y)]
    if type(y) is not Batched and y.ndim == 2 and x.ndim:  # one matrix for all: theirs on top of each other
        whole = x.whole
        if not whole.flags.c_contiguous or whole.ndim == 2:
            return hide(np.matmul(whole, y, **kwargs), x.levels)
        rows = whole.reshape(-1, whole.shape[-1]) if whole.size else whole
        return hide(np.matmul(rows, y, **kwargs).reshape(whole.shape[:-1] + y.shape[-1:]), x.levels)
    if type(x) is not Batched and x.ndim == 2 and y.ndim == 1:
        return hide(np.matmul(y.whole, x.T, **kwargs), y.levels)
    if x.ndim == 1 == y.ndim and not kwargs:
        (a, b), levels = aligned([x, y])
        return hide(np.matmul(a[..., None, :], b[..., :, None])[..., 0, 0], levels)
    vectors = x.ndim == 1, y.ndim == 1
    if not x.ndim or not y.ndim:
        raise ValueError("matmul: Input operand does not have enough dimensions")
    x = x[None, :] if vectors[0] else x
    y = y[:, None] if vectors[1] else y
    (a, b), levels = aligned([x, y])
    ans = np.matmul(a, b, **kwargs)
    ans = ans[..., 0, :] if vectors[0] else ans
    return hide(ans[..., 0] if vectors[1] else ans, levels)


@batch(np.outer)
def _outer(a: Any, b: Any) -> Any:
    """By einsum, which is twice as fast as np.multiply of many small columns and rows."""
    (a, b), levels = aligned([np.reshape(x, -1) for x in (a, b)])
    return hide(np.einsum("...i,...j->...ij", a, b), levels)


@batch(np.dot)
def _dot(a: Any, b: Any, out: Any = None) -> Any:
    a, b = [x if hasattr(x, "ndim") else np.asarray(x) for x in (a, b)]
    if not a.ndim or not b.ndim:
        return np.multiply(a, b)
    if b.ndim <= 2:
        return _matmul(a, b)
    n = a.ndim - 1
    rows, columns = LETTERS[:n], LETTERS[n : n + b.ndim - 2]
    k, last = LETTERS[n + b.ndim - 2], LETTERS[n + b.ndim - 1]
    return contract(a, b, f"{rows}{k},{columns}{k}{last}->{rows}{columns}{last}")


batch(contract)(contract_levels)


@batch(rearrange)
def _rearrange(x: Batched, subscripts: str, **order: Any) -> Any:
    (given,), kept = split(subscripts)
    free = "".join([letter for letter in LETTERS if letter not in subscripts][: len(x.levels)])
    return hide(rearrange(x.whole, f"{free}{given}->{free}{kept}", **order), x.levels)


@batch(cross_product)
def _cross_product(x: Any, y: Any) -> Any:
    (a, b), levels = aligned([x, y])
    return hide(np.cross(a, b), levels)


@batch(np.convolve)
def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """By a matrix of the longer one's windows."""
    a, v = [np.reshape(x if hasattr(x, "ndim") else np.asarray(x), -1) for x in (a, v)]
    if not a.size or not v.size:
        raise ValueError("convolve: an array is empty")
    dtype = np.result_type(a.dtype, v.dtype)
    if v.size > a.size:
        a, v = v, a
    m = v.size
    before, after = {"full": (m - 1, m - 1), "valid": (0, 0), "same": (m // 2, m - 1 - m // 2)}[mode]
    padded = np.pad(cast(a, dtype), (before, after)) if before or after else cast(a, dtype)
    windows = np.lib.stride_tricks.sliding_window_view(padded, m)
    return _matmul(windows, cast(v, dtype)[::-1])
