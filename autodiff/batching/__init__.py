"""How functions are computed on batches, one table a family. Importing this package fills `batched.BATCHING`.

Most functions need no entry. An elementwise one is called on the aligned arrays, a composite one runs its body, which
calls others. What is left after the tables is called for one example after the other: right, and slow.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..batched import BATCHING
from ..rule import RULES
from . import axes, bodies, convolution, creation, indexing, linalg, pooling, products, shapes, sorting
from .creation import REFUSED
from .levels import enter, leave
from .loop import call_aligned, call_each

__all__ = [
    "axes",
    "bodies",
    "body_of",
    "convolution",
    "creation",
    "enter",
    "indexing",
    "leave",
    "linalg",
    "manner",
    "pooling",
    "products",
    "shapes",
    "sorting",
]


def body_of(function: Any) -> Callable[..., Any]:
    """What is called in place of `function` when an argument is Batched."""
    found = BATCHING.get(function)
    if found is not None:
        return found
    rule = RULES.get(function)
    if rule is not None and rule.kind == "composite":
        return rule.forward  # type: ignore[return-value]
    if rule is not None and rule.kind == "elementwise":
        return functools.partial(call_aligned, function, len(rule.maps))
    return functools.partial(call_each, function)


# Functions made of others, some of which are called for one example after the other.
WITH_LOOPS = {
    *(np.bincount, np.histogram, np.histogram2d, np.histogramdd, np.histogram_bin_edges, np.insert, np.interp, np.poly),
    *(np.polyfit, np.roots),
}


def manner(function: Any) -> str:
    """How `function` is computed on a batch: "vectorised", "loop", or "refused" where shapes depend on the data."""
    if function in REFUSED:
        return "refused"
    body = body_of(function)
    loops = isinstance(body, functools.partial) and body.func is call_each and not isinstance(function, np.ufunc)
    return "loop" if loops or function in WITH_LOOPS else "vectorised"
