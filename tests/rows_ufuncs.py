"""Rows of ufuncs and other elementwise functions. Their edges are in test_ufuncs.py."""

from __future__ import annotations

import numpy as np
from domains import above_one, call, first, integers, nonzero, positive, real, row, second, third, unit

from autodiff.rules import elementwise

row(np.nan_to_num,    real,                       complex=True, tries=[call(), call(nan=1.0), call(True, 0.0, 9.0, -9.0)])
row(elementwise.replace_nonfinite, real,          tries=[call(), call(nan=1.0), call(posinf=9.0, neginf=-9.0)])
row(np._core.umath.clip, first, second, third)

row(np.emath.sqrt,    positive,                   complex=True)
row(np.emath.log,     positive,                   complex=True)
row(np.emath.log2,    positive,                   complex=True)
row(np.emath.log10,   positive,                   complex=True)
row(np.emath.logn,    above_one, positive,        complex=True)
row(np.emath.power,   positive, real,             complex=True)
row(np.emath.arcsin,  unit,                       complex=True)
row(np.emath.arccos,  unit,                       complex=True)
row(np.emath.arctanh, unit,                       complex=True)

row(np.isposinf,      real)
row(np.isneginf,      real)
row(np.isreal,        nonzero)
row(np.iscomplex,     nonzero)
row(np.bitwise_count, integers)
row(elementwise.bounded, first, second, third)
