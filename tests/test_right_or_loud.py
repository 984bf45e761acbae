"""What else a program may do with a Value, by all of Python and NumPy: the derivative is right, or there is an error.

Never a result that has lost a part of its gradient without a word. Each line runs on numbers and is differentiated;
where that works, finite differences have to agree.
"""

from __future__ import annotations

import array
import bisect
import cmath
import copy
import ctypes
import datetime
import decimal
import fractions
import functools
import heapq
import io
import itertools
import json
import math
import operator
import pickle
import random
import statistics
import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import directional, raw

import autodiff as ad
from autodiff import Value

MODULES = {
    m.__name__: m
    for m in (array, bisect, cmath, copy, ctypes, datetime, decimal, fractions, functools, heapq, io, itertools, json,
              math, operator, pickle, random, statistics, struct)
}  # fmt: skip

# x is a number: 1.3. The result is one.
ON_A_NUMBER = """
float(x) * x
complex(x).real * x
int(x) * x
bool(x) * x
abs(x) * x
-x * +x
round(x) * x
round(x, 1) * x
pow(x, 2)
pow(2.0, x)
divmod(x, 0.7)[1] * x
x.__float__() * x
x // 0.5 * x
sum([x, x * x])
sum([x * x, 3], start=x)
max(x, 1.0) * x
min([x, x * x, 5.0]) * x
sorted([x * x, x, 1.4])[1] * x
(x if x > 1 else 0.0) * x
(x and x * 2) * x
(x or 0.0) * x
[1.0, 2.0][x > 1] * x
[x, x * x][-1]
{"a": x}["a"] * x
x in [x] and x * x
hash(x) * 0.0 + x * x
float(f"{x:.1f}") * 0.0 + x * x
copy.copy(x) * x
copy.deepcopy(x) * x
copy.deepcopy([x])[0] * x
pickle.loads(pickle.dumps(x)) * x
pickle.loads(pickle.dumps(x * 1.0)) * x
json.loads(json.dumps(x)) * x
math.floor(x) * x
math.ceil(x) * x
math.trunc(x) * x
math.sin(x) * x
math.sqrt(x) * x
math.fabs(x) * x
math.hypot(x, 1.0) * x
math.prod([x, x])
math.fsum([x, x]) * x
math.dist([x], [0.0]) * x
math.pow(x, 2.0) * x
math.log(x, 2) * x
math.isnan(x) * x + x * x
math.isclose(x, 1.2) * x + x * x
math.copysign(1.0, x) * x
math.ldexp(x, 2) * x
math.frexp(x)[0] * x
math.modf(x)[0] * x
math.fmod(x, 0.7) * x
math.atan2(x, 1.0) * x
math.gamma(x) * x
cmath.exp(x).real * x
cmath.polar(x)[0] * x
statistics.mean([x, 1.0]) * x
statistics.fmean([x, 1.0]) * x
statistics.median([x, 1.0, 2.0]) * x
statistics.pstdev([x, 1.0]) * x
statistics.geometric_mean([x, 1.0]) * x
fractions.Fraction(x) * 1.0 * x
float(decimal.Decimal(x)) * x
functools.reduce(operator.mul, [x, x, x])
list(itertools.accumulate([x, x, x]))[-1] * x
heapq.nlargest(1, [x, 1.0])[0] * x
heapq.merge([x], [1.0]).__next__() * x
bisect.bisect([1.0, 2.0], x) * x
array.array("d", [x])[0] * x
struct.unpack("d", struct.pack("d", x))[0] * x
ctypes.c_double(x).value * x
datetime.timedelta(seconds=x).total_seconds() * x
random.Random(0).uniform(0.0, x) * x
random.Random(0).gauss(x, 1.0) * x
random.Random(0).choice([x, x]) * x
operator.index(x) * x
[1.0] * int(x) + [x] and x * x
np.float64(x) * x
np.float32(x) * x
np.complex128(x).real * x
np.int64(x) * x
np.asarray(x) * x
np.array(x) * x
np.array([x, x]).sum() * x
np.array([[x], [x]]).sum() * x
np.array([x], dtype=object)[0] * x
np.array((x, 1.0)).prod() * x
np.full(3, x).sum() * x
np.full_like(np.zeros(3), x).sum() * x
np.linspace(0.0, x, 3).sum() * x
np.arange(0.0, x, 0.5).sum() * x
np.logspace(0.0, x, 3).sum() * x
np.geomspace(1.0, x, 3).sum() * x
np.fromiter([x, x], float).sum() * x
np.from_dlpack(x) * x
np.vectorize(lambda t: t * t)(x) * x
np.frompyfunc(lambda t: t * t, 1, 1)(x) * x
np.fromfunction(lambda i: i * x, (3,)).sum()
np.piecewise(x, [x > 0], [lambda t: t * t]) * x
np.select([x > 0], [x * x], 0.0) * x
np.where(x > 0, x, 0.0) * x
np.maximum.reduce([x, 0.5]) * x
np.polyval([x, 2.0], x)
np.interp(x, [0.0, 2.0], [0.0, x])
np.dot([1.0, 2.0], [x, x]) * x
np.sum([x, x]) * x
np.mean((x, 1.0)) * x
np.prod([x, x])
np.max([x, 1.0]) * x
np.stack([x, x]).sum() * x
np.hstack([x, 1.0]).sum() * x
np.block([[x, 1.0]]).sum() * x
np.concatenate([[x], [x]]).sum() * x
np.append([1.0], x).sum() * x
np.insert([1.0], 0, x).sum() * x
np.pad([1.0], 1, constant_values=x).sum() * x
np.clip(1.2, 0.0, x) * x
np.clip(5.0, 0.0, x) * x
np.random.default_rng(0).normal(x) * x
np.random.default_rng(0).uniform(0.0, x) * x
np.eye(3)[int(x)].sum() * x
np.ones(3)[x > 1].sum() * x
np.zeros(int(x)).sum() + x * x
np.round(x, 1) * x
np.broadcast_to(x, (3,)).sum() * x
np.tile(x, 3).sum() * x
np.repeat(x, 3).sum() * x
np.diag([x, x]).sum() * x
np.heaviside(x, x) * x
np.ldexp(1.0, int(x)) * x
np.nan_to_num(np.nan, nan=x) * x
np.isclose(x, 1.2) * x + x * x
np.spacing(x) * 0.0 + x * x
np.isin(x, [1.2]) * x + x * x
np.format_float_positional(x) and x * x
ad.stop_gradient(x) * 0.0 + x * x
""".strip().splitlines()

# x is an array: [0.4, -0.8, 1.3, 0.6]. The result is a number, of type float if it can be.
ON_AN_ARRAY = """
sum(x)
sum(x * x for x in x)
max(x) * x[1]
min(*x) * x[0]
sorted(x)[1] * x[0]
list(x)[1] * x[0]
tuple(x)[-1] ** 2
[*x][0] ** 2
(lambda a, *b: a * b[0])(*x)
[a * b for a, b in zip(x, x[1:])][1]
[v for v in reversed(x)][0] ** 2
dict(enumerate(x))[1] ** 2
functools.reduce(operator.mul, x)
list(itertools.accumulate(x, operator.mul))[-1]
list(map(lambda v: v * v, x))[2]
[v for v in x if v > 0.5][0] ** 2
math.prod(x)
math.fsum(x)
math.dist(x, [0.0] * 4)
statistics.mean(x) * x[0]
statistics.fmean(x) * x[0]
statistics.variance(x)
heapq.nsmallest(2, x)[1] ** 2
array.array("d", x)[0] * x[1]
bytes(x)[0] * x[1]
memoryview(x)[0] * x[1]
struct.pack("4d", *x)[0] * x[0]
random.Random(0).sample(list(x), 2)[0] ** 2
random.Random(0).choices(x, k=2)[0] ** 2
copy.copy(x)[0] * x[1]
copy.deepcopy(x)[0] * x[1]
pickle.loads(pickle.dumps(x))[0] * x[1]
pickle.loads(pickle.dumps(x * 2))[0] * x[1]
np.array(list(x))[0] * x[1]
np.array([x, x])[1, 0] * x[1]
np.array([*x, 1.0])[0] * x[1]
np.asarray(x)[0] * x[1]
np.asanyarray(x)[0] * x[1]
np.ascontiguousarray(x)[0] * x[1]
np.require(x, float, "C")[0] * x[1]
np.asarray_chkfinite(x)[0] * x[1]
np.asfortranarray(x)[0] * x[1]
np.array(x, copy=True)[0] * x[1]
np.array(x, dtype=np.longdouble)[0] * x[1]
np.array(x, ndmin=2)[0, 0] * x[1]
np.array([[x[0], x[1]], [x[2], x[3]]])[1, 0] * x[1]
np.array([x[:2], x[2:]])[1, 0] * x[1]
np.array([list(x[:2]), [1.0, 2.0]])[0, 0] * x[1]
np.fromiter(x, float)[0] * x[1]
np.fromiter((v * v for v in x), float).sum()
np.frombuffer(x)[0] * x[1]
np.copy(x)[0] * x[1]
np.ndarray.copy(x)[0] * x[1]
np.ndarray.sum(x) * x[1]
np.nditer(x)[0] * x[1]
[v for v in np.nditer(x)][0] * x[1]
[v for _, v in np.ndenumerate(x)][0] * x[1]
x.flat[0] * x[1]
list(x.flat)[0] * x[1]
np.lib.stride_tricks.as_strided(x, (2,), (8,))[0] * x[1]
np.lib.stride_tricks.sliding_window_view(x, 2)[0, 1] * x[1]
np.vectorize(lambda t: t * t)(x).sum()
np.apply_along_axis(lambda t: t * t, 0, x).sum()
np.apply_over_axes(np.sum, x, 0).sum() * x[1]
np.frompyfunc(lambda t: t * t, 1, 1)(x)[0] * x[1]
np.random.default_rng(0).permutation(x)[0] * x[1]
np.random.default_rng(0).choice(x) * x[1]
np.random.default_rng(0).normal(x)[0] * x[1]
np.random.permutation(x)[0] * x[1]
np.histogram(x, weights=x)[0].sum() * x[1]
np.bincount([0, 1, 0, 1], weights=x)[0] * x[1]
np.digitize(x, [0.0]).sum() * x[1]
np.unique(x)[0] * x[1]
np.intersect1d(x, x)[0] * x[1]
np.union1d(x, x)[0] * x[1]
np.setdiff1d(x, [7.0])[0] * x[1]
np.setxor1d(x, [7.0])[0] * x[1]
np.lexsort((x,)).sum() * x[1]
x[np.argsort(x)][0] * x[1]
np.add.reduce(x) * x[1]
np.add.reduceat(x, [0, 2])[0] * x[1]
np.logaddexp.reduce(x) * x[1]
np.logaddexp.accumulate(x)[2] * x[1]
np.multiply.reduceat(x, [0, 2])[0] * x[1]
np.maximum.reduceat(x, [0, 2])[1] * x[1]
np.multiply.accumulate(x)[2] * x[1]
np.maximum.accumulate(x)[2] * x[1]
np.subtract.reduce(x) * x[1]
np.subtract.accumulate(x)[2] * x[1]
np.divide.reduce(x) * x[1]
np.hypot.reduce(x) * x[1]
np.hypot.outer(x, x)[0, 2] * x[1]
np.arctan2.at(b := x * 1.0, [0, 0], x[1:3]) or b[0] * x[1]
np.multiply.at(b := x * 1.0, [0, 0], x[1:3]) or b[0] * x[1]
np.maximum.at(b := x * 1.0, [0, 0], x[1:3]) or b[0] * x[1]
np.negative.at(b := x * 1.0, [0, 0]) or b[0] * x[1]
np.sqrt(x, where=x > 0, out=np.ones(4))[0] * x[1]
np.sum(x, where=x > 0) * x[1]
np.sum(x, initial=x[0]) * x[1]
np.max(x, where=x > 0, initial=x[0]) * x[1]
np.mean(x, where=x > 0) * x[1]
np.add(x, 1.0, where=x > 0)[0] * x[1]
np.multiply.outer(x, x)[0, 1] * x[1]
np.ma.array(x)[0] * x[1]
np.ma.sum(x) * x[1]
np.matrix(x)[0, 0] * x[1]
np.asmatrix(x)[0, 0] * x[1]
np.rec.array(x)[0] * x[1]
np.char.add(x, "a") and x[1]
np.emath.sqrt(x * x)[0] * x[1]
np.linalg.norm(x) * x[1]
np.linalg.matrix_power(np.diag(x), 2).sum()
np.fft.ifft(np.fft.fft(x)).real[0] * x[1]
np.einsum("i,i", x, x)
np.tensordot(x, x, 1)
np.polynomial.polynomial.polyval(2.0, x)
np.polynomial.Polynomial(x)(2.0)
np.poly1d(x)(2.0)
np.polyfit([0.0, 1.0, 2.0, 3.0], x, 1)[0] * x[1]
np.savetxt(io.StringIO(), x) or x[1]
np.savez(io.BytesIO(), x) or x[1]
np.array2string(x) and x[1] ** 2
np.testing.assert_allclose(x, x) or x[1] ** 2
np.allclose(x, x) * x[1] ** 2
np.array_equal(x, x) * x[1] ** 2
np.shares_memory(x, x) * x[1] ** 2
np.result_type(x, 1.0).itemsize * x[1] ** 2
np.iterable(x) * x[1] ** 2
np.isscalar(x[0]) * 0.0 + x[1] ** 2
np.ix_(x > 0)[0].sum() * x[1]
np.place(b := np.zeros(4), x > 0, x) or b[0] * x[1]
np.put(b := np.zeros(4), [0], x) or b[0] * x[1]
np.putmask(b := np.zeros(4), x > 0, x) or b[0] * x[1]
np.copyto(b := np.zeros(4), x) or b[0] * x[1]
np.copyto(b := np.zeros(4), x, where=x > 0) or b[0] * x[1]
np.put_along_axis(b := np.zeros(4), np.array([0]), x[:1], 0) or b[0] * x[1]
np.fill_diagonal(b := np.zeros((4, 4)), x) or b[0, 0] * x[1]
np.add.at(b := np.zeros(4), [0, 0], x[:2]) or b[0] * x[1]
np.multiply(x, 2.0, out=np.zeros(4))[0] * x[1]
np.exp(x, np.zeros(4))[0] * x[1]
np.add(x, 1.0, out=(np.zeros(4),))[0] * x[1]
np.divmod(x, 0.7, out=(np.zeros(4), np.zeros(4)))[1][0] * x[1]
np.sum(x, out=np.zeros(())) * x[1]
np.cumsum(x, out=np.zeros(4))[0] * x[1]
np.clip(x, 0.0, 1.0, out=np.zeros(4))[0] * x[1]
np.matmul(np.eye(4), x, out=np.zeros(4))[0] * x[1]
np.dot(np.eye(4), x, out=np.zeros(4))[0] * x[1]
np.concatenate([x[:2], x[2:]], out=np.zeros(4))[0] * x[1]
np.stack([x[0], x[1]], out=np.zeros(2))[0] * x[1]
np.take(x, [0], out=np.zeros(1))[0] * x[1]
np.mean(x, out=np.zeros(())) * x[1]
np.max(x, out=np.zeros(())) * x[1]
np.round(x, 1, out=np.zeros(4))[0] * x[1]
np.where(x > 0, x, 0.0)[0] * x[1]
np.einsum("i->i", x, out=np.zeros(4))[0] * x[1]
operator.iadd(np.zeros(4), x)[0] * x[1]
operator.imul(np.ones(4), x)[0] * x[1]
operator.imatmul(np.eye(4), np.diag(x))[0, 0] * x[1]
operator.setitem(b := np.zeros(4), 0, x[0]) or b[0] * x[1]
operator.setitem(b := np.zeros(4), slice(None), x) or b[0] * x[1]
operator.setitem(b := np.zeros((2, 4)), 0, x) or b[0, 0] * x[1]
operator.setitem(b := np.zeros(4), [0, 1], x[:2]) or b[0] * x[1]
operator.setitem(b := np.zeros(4), x > 0, x[x > 0]) or b[0] * x[1]
operator.setitem(b := np.zeros(4), slice(None), list(x)) or b[0] * x[1]
operator.setitem(b := np.zeros(4), slice(2), [x[0], 1.0]) or b[0] * x[1]
operator.setitem((b := np.zeros(4)).flat, 0, x[0]) or b[0] * x[1]
operator.setitem(b := [0.0] * 4, 0, x[0]) or b[0] * x[1]
operator.setitem(b := array.array("d", [0.0]), 0, x[0]) or b[0] * x[1]
operator.setitem(b := np.zeros(4, object), 0, x[0]) or b[0] * x[1]
(b := np.zeros(4)).fill(x[0]) or b[0] * x[1]
(b := np.zeros(4)).put(0, x[0]) or b[0] * x[1]
setattr(b := np.zeros(4, complex), "real", x) or b[0].real * x[1]
setattr(b := np.zeros(4), "flat", x) or b[0] * x[1]
random.Random(0).shuffle(b := list(x)) or b[0] * x[1]
random.Random(0).shuffle(b := x * 1.0) or b[0] * x[1]
np.random.default_rng(0).shuffle(b := x * 1.0) or b[0] * x[1]
x[:3].sort() or x[1] ** 2
""".strip().splitlines()


def differentiated(line: str, x: Any) -> None:
    """The gradient is right in every mode that works, and at least one error says so where none does."""
    names = {"np": np, "ad": ad, **MODULES}
    f: Callable[[Any], Any] = eval(f"lambda x: {line}", names)
    v = np.cos(np.arange(np.size(x))).reshape(np.shape(x))
    results = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for attempt in (
            lambda: np.sum(ad.grad(f)(x) * v),
            lambda: ad.jvp(f, x, v)[1],
            lambda: np.sum(backward(f, x) * v),
        ):
            try:
                results.append(raw(attempt()))
            except (
                TypeError,
                ValueError,
                AttributeError,
                IndexError,
                BufferError,
                RuntimeError,
                NotImplementedError,
                struct.error,
            ):
                continue
        if results:
            expected = directional(lambda x: np.float64(f(x)), (x,), (v,), 1e-4)
            for r in results:
                np.testing.assert_allclose(r, expected, rtol=1e-6, atol=1e-9)


def backward(f: Callable[[Any], Any], x: Any) -> Any:
    """By the object's own backward(), outside any transform: np is NumPy itself, and plain buffers stay plain."""
    v = Value(x)
    y = f(v * 1.0)
    if not isinstance(y, Value):
        return np.zeros(np.shape(x))
    y.backward()
    return np.zeros(np.shape(x)) if v.grad is None else v.grad


@pytest.mark.parametrize("line", ON_A_NUMBER)
def test_on_a_number(line: str) -> None:
    differentiated(line, np.float64(1.3))


@pytest.mark.parametrize("line", ON_AN_ARRAY)
def test_on_an_array(line: str) -> None:
    differentiated(line, np.array([0.4, -0.8, 1.3, 0.6]))
