"""nan among what a selection leaves out must not come back as a gradient.

In `np.where(x > 0, np.sqrt(x) * np.log(x), 0)` the product is nan where x < 0. The selection gives it a zero
cotangent there; but the maps upstream multiply by what they saved, and 0 * nan is nan. NumPy reports invalid
operations, as 0 * inf, but says nothing of a nan that was there before. So a selection that has left out a nan
reports one itself, and the walk goes on with masks, as after any invalid operation (see Case.pull_masked).
"""

from typing import Any

import numpy as np

from .batched import Batched
from .box import Inner
from .case import StandIn

__all__ = ["tainted"]

INFINITE = np.float64(np.inf)


class _Tainted(StandIn):
    """The case of a selection among numbers of which some are nan."""

    __slots__ = ()

    taints = True

    def pull(self, saved: Any, g: Any) -> Any:
        result = self.case.pull(saved, g)
        INFINITE - INFINITE  # the report
        return result


def tainted(case: Any, data: Any) -> Any:
    """`case`, or one that reports if there is a nan in the arrays `data`."""
    for x in data:
        x = x.whole if type(x) is Batched else x
        if isinstance(x, (np.ndarray, np.generic, Inner)) and x.dtype.kind in "fc" and _has_nan(x):
            return _Tainted(case)
    return case


def _has_nan(x: Any) -> bool:
    if isinstance(x, Inner):
        different: Any = x != x
        return x.notes_invalid and bool(different.any())  # else all maps are masked
    if isinstance(x, np.ndarray):
        x = x.min(initial=np.inf) if x.dtype.kind == "f" else np.isnan(x).any()  # the minimum is nan if an element is
    return bool(x != x) if x.dtype.kind != "b" else bool(x)
