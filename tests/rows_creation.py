"""Rows of the functions that make arrays of numbers: nested lists, and sequences between two end points."""

from __future__ import annotations

import numpy as np
from domains import above_one, call, positive, real, row

from autodiff.nested import collect

ends = [call(), call(3, endpoint=False), call(2, axis=-1), call(1), call(0)]
pairs = [((), ()), ((2, 1), (3,)), ((0, 3), (0, 3))]

row(
    collect,
    real,
    real,
    complex=True,
    sequence=True,
    tries=[call((2,)), call((1, 2))],
    shapes=[((), ()), ((3,), (3,)), ((0, 3), (0, 3)), ((2, 1), (2, 1))],
)
row(np.linspace, real, real, complex=True, shapes=pairs, tries=[*ends, call(5, dtype=np.float64), call(5, True)])
row(np.logspace, real, real, complex=True, shapes=pairs, tries=[*ends, call(4, base=2.0)])
row(np.geomspace, positive, above_one, complex=True, shapes=pairs, tries=ends, widens=True)
