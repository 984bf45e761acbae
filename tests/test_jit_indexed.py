"""jit: second derivatives under vmap, where what is indexed is plain and the index is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad

INDEXED: dict[str, Callable[[Any], Any]] = {
    "a mask": lambda a: (a[a > 0] ** 2).sum(),
    "an order": lambda a: (a[np.argsort(a)] ** 2 * np.arange(4)).sum(),
    "the largest": lambda a: a[np.argmax(a)] ** 3,
    "take": lambda a: (np.take(a, np.argsort(a))[:2] ** 3).sum(),
    "take_along_axis": lambda a: (np.take_along_axis(a, np.argsort(a), 0)[:2] ** 3).sum(),
    "maximum.accumulate": lambda a: (np.maximum.accumulate(a) ** 3).sum(),
    "sort": lambda a: (np.sort(a) ** 3 * np.arange(4)).sum(),
    "median": lambda a: np.median(a) ** 3,
    "rows": lambda a: (np.outer(a, a)[np.argsort(a)[:2]] ** 2).sum(),
    "a mask of rows": lambda a: (np.outer(a, a)[a > 0] ** 2).sum(),
}


@pytest.mark.parametrize("name", INDEXED)
@pytest.mark.parametrize("derivative", [ad.hessian, ad.jacobian])
def test_derivatives_by_vmap(name: str, derivative: Any) -> None:
    made = derivative(INDEXED[name])
    jitted = ad.jit(made, strict=True)
    for a in ([-1.3, 0.2, 0.7, 1.9], [-1.0, 0.4, 0.6, 2.5], [-1.2, 0.4, 0.3, 2.5], [3.0, -1.0, 0.5, 1.0]):
        for _ in range(2):
            np.testing.assert_allclose(jitted(np.array(a)), made(np.array(a)), 1e-12, 1e-12)
    assert jitted.cache_info().programs
