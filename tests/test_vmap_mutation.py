"""Writing under vmap: every operation on every layout of tests/test_mutation.py, against its examples one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from checks import over, random_like
from test_mutation import LAYOUTS, OPERATIONS, Program, V, X

import autodiff as ad
from autodiff import BatchError

XS, VS = np.stack([X, X[::-1] * 0.8]), np.stack([V, V[::-1] * 1.1])

# What selects elements by the data of each example, or by a list of numbers; these say so.
REFUSED = {
    "y[w > 0.1] = w[w > 0.1]",
    "y[np.where(w > 0.1)] *= 0.3",
    "y[np.nonzero(w > 0.1)] = v[0]",
}


class Batch:
    """A program and which of its numbers are batches; the others are the first example's for all."""

    def __init__(self, program: Program, chosen: Sequence[int]) -> None:
        self.program, self.chosen = program, chosen
        self.count = len(program.xs)
        batches = [{"x": XS, "v": VS}[name] for name in program.tracked]
        self.operands = [b if k in chosen else b[0] for k, b in enumerate(batches)]
        self.axes = tuple(0 if k in chosen else None for k in range(self.count))

    def __str__(self) -> str:
        return f"{self.program}, batched: {self.chosen}"

    def example(self, i: int) -> list[Any]:
        return [x[i] if k in self.chosen else x for k, x in enumerate(self.operands)]

    def check(self) -> None:
        try:
            expected = np.stack([self.program(*[x.copy() for x in self.example(i)]) for i in range(2)])
        except Exception:
            with pytest.raises((TypeError, ValueError, IndexError, ad.AutodiffError)):
                ad.vmap(self.program, self.axes)(*self.operands)
            return
        try:
            found = ad.vmap(self.program, self.axes)(*self.operands)
        except BatchError:
            assert self.program.text.split("   on")[0] in REFUSED, "refused"
            return
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
        us = random_like(np.random.default_rng(0), expected)
        pulled = [ad.vjp(self.program, *self.example(i))[1](us[i]) for i in range(2)]
        each = ad.vmap(lambda u, *xs: ad.vjp(self.program, *xs)[1](u), (0, *self.axes))(us, *self.operands)
        total = ad.vjp(ad.vmap(self.program, self.axes), *self.operands)[1](us)
        for k in range(self.count):
            parts = np.stack([p[k] for p in pulled])
            np.testing.assert_allclose(each[k], parts, rtol=1e-10, atol=1e-11, err_msg="vmap of vjp")
            whole = parts if k in self.chosen else parts.sum(axis=0)
            np.testing.assert_allclose(total[k], whole, rtol=1e-10, atol=1e-11, err_msg="vjp of vmap")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("line", OPERATIONS)
def test_write(line: str) -> None:
    layouts = ["1-d", "C", "strided", "a block", "a view of a view", "0-d array", "0-d view"]
    batches = [Batch(Program(line, layout), (0, 1)) for layout in layouts]
    batches += [Batch(Program(line, layout), (k,)) for layout in ("1-d", "C", "a block") for k in (0, 1)]
    with np.errstate(all="ignore"):
        over(batches, Batch.check)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("line", OPERATIONS)
def test_write_into_every_layout(line: str) -> None:
    with np.errstate(all="ignore"):
        over(
            [Batch(Program(line, layout), chosen) for layout in LAYOUTS for chosen in [(0, 1), (0,), (1,)]], Batch.check
        )
