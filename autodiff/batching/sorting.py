"""Orders, ranks, searches."""

import functools
from typing import Any

import numpy as np

from ..arrays import add_at, as_index, getitem
from ..batched import Batched, axes_of, batch, hide, levels_of
from ..rules.numeric import piecewise_linear
from ..rules.sort import order_statistics
from ..rules.statistics import weighted_counts
from .axes import along
from .loop import call_each

__all__: list[str] = []  # its entries are in BATCHING

batch(np.sort)(along(np.sort, -1, 1))
batch(np.argsort)(along(np.argsort, -1, 1))
batch(np.partition)(along(np.partition, -1, 2))
batch(np.argpartition)(along(np.argpartition, -1, 2))


@batch(order_statistics)
def _order_statistics(x: Any, ranks: Any, axis: Any = None, keepdims: bool = False, numbers: bool = False) -> Any:
    if type(ranks) is Batched or type(x) is not Batched or np.shape(ranks)[-1] != 1:
        return call_each(order_statistics, x, ranks, axis, keepdims, numbers)
    axes = axes_of(x, axis)
    ans = order_statistics(x.whole, ranks, axes, keepdims, numbers)
    lead, h = np.ndim(ranks) - 1, len(x.levels)
    return hide(ans.transpose((*range(lead, lead + h), *range(lead), *range(lead + h, ans.ndim))), x.levels)


@batch(np.searchsorted)
def _searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Any:
    if type(a) is Batched or type(sorter) is Batched:
        a, v = (x if type(x) is Batched else np.asarray(x) for x in (a, v))
        a = a if sorter is None else getitem(a, (sorter,))
        smaller = a[:, None] < v.reshape(-1) if side == "left" else a[:, None] <= v.reshape(-1)
        return smaller.sum(axis=0).reshape(np.shape(v))
    return hide(np.searchsorted(a, v.whole, side, sorter), v.levels)


for _function in (np.bincount, np.histogram, np.histogram2d, np.histogramdd, np.histogram_bin_edges):
    batch(_function)(functools.partial(call_each, _function))


@batch(piecewise_linear)
def _piecewise_linear(x: Any, y: Any, z: Any) -> Any:
    if levels_of(y) or levels_of(z):
        return call_each(np.interp, x, y, z)
    return hide(np.interp(x.whole, y, z), x.levels)


@batch(weighted_counts)
def _weighted_counts(w: Any, places: Any, minlength: int = 0) -> Any:
    places = as_index(places)
    if type(places) is Batched or w.dtype.kind == "c" or not places.size:
        return call_each(weighted_counts, w, places, minlength)
    n = max(int(places.max()) + 1, minlength)
    out = np.zeros((*w.whole.shape[: len(w.levels)], n))
    add_at(out, (..., places), w.whole)
    return hide(out, w.levels)
