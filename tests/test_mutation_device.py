"""Writes to Values on a device: what CuPy's arrays do by themselves, they do in Values too, with NumPy's gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from checks import over
from strict_array import StrictArray
from test_mutation import LAYOUTS, OPERATIONS, V, X, compiled

import autodiff as ad


class Program:
    """A line of the table, as a function of both sides."""

    def __init__(self, line: str, layout: str) -> None:
        self.operation, self.layout, self.text = compiled(line), layout, f"{line}   on {layout}"

    def __call__(self, x: Any, v: Any) -> Any:
        arrays = LAYOUTS[self.layout](x)
        y = arrays[-1]
        part = v[: y.size].reshape(y.shape)
        mask = np.arange(y.size).reshape(y.shape) % 3 != 1
        y = self.operation(y, part, v, mask, mask.reshape(len(mask), -1).any(1) if mask.ndim else mask)
        return np.concatenate([np.ravel(a) for a in (*arrays, y, part)])

    def __str__(self) -> str:
        return self.text

    def works_on_the_device(self) -> bool:
        """Whether it does for bare arrays, and as for NumPy's: there a scalar is a view of one element."""
        try:
            expected = self(X.copy(), V.copy())
            return bool(np.allclose(self(StrictArray(X), StrictArray(V)).get(), expected, equal_nan=True))
        except Exception:
            return False

    def check(self) -> None:
        y, pull = ad.vjp(self, X, V)
        u = np.cos(np.arange(y.size))
        expected = [y, *pull(u), ad.jvp(self, (X, V), (V, X))[1]]
        x, v = StrictArray(X), StrictArray(V)
        y, pull = ad.vjp(self, x, v)
        results = [y, *pull(StrictArray(u)), ad.jvp(self, (x, v), (v, x))[1]]
        for r, e in zip(results, expected, strict=True):
            assert isinstance(r, StrictArray)
            np.testing.assert_allclose(r.get(), e, rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(x.get(), X)


def programs(line: str) -> list[Program]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return [p for p in (Program(line, layout) for layout in LAYOUTS) if p.works_on_the_device()]


@pytest.mark.parametrize("line", [line for line in OPERATIONS if programs(line)])
def test_write(line: str) -> None:
    with np.errstate(all="ignore"):
        over(programs(line), Program.check)


def test_most_of_the_table_works_on_the_device() -> None:
    assert sum(len(programs(line)) for line in OPERATIONS) > 1000
