"""Writing to Values: every way to do it, into every kind of buffer, with what NumPy does as the reference.

The same lines run on plain arrays and on Values. Values, shapes, dtypes, errors and what is seen through what have to
be NumPy's; derivatives of every order have to be those of finite differences.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from all_orders import check_first_order, check_second_order, check_value
from checks import over

from autodiff import Value, tape

Function = Callable[..., Any]

X = np.array([0.9, -0.4, 1.3, 0.7, -1.1, 0.6, 1.7, -0.8, 0.5, 1.2, -0.6, 1.1])
V = np.array([1.4, 0.8, -0.5, 1.6, 0.3, -0.9, 0.7, 1.5, -1.2, 0.4, 1.9, -0.7])

# -- the table: an operation, a buffer, what is tracked

# From twelve numbers: arrays that share memory, the last one is written to. All of them are results.
LAYOUTS: dict[str, Function] = {
    "1-d": lambda x: [x * 1.0],
    "C": lambda x: [x.reshape(3, 4) * 1.0],
    "Fortran": lambda x: [x.reshape(4, 3).T * 1.0],
    "transposed": lambda x: share(x.reshape(4, 3) * 1.0, lambda y: y.T),
    "strided": lambda x: share(x * 1.0, lambda y: y[::2]),
    "reversed": lambda x: share(x * 1.0, lambda y: y[::-1]),
    "a block": lambda x: share(x.reshape(3, 4) * 1.0, lambda y: y[1:, :3]),
    "columns": lambda x: share(x.reshape(3, 4) * 1.0, lambda y: y[:, ::-2]),
    "3-d": lambda x: share(x.reshape(3, 4) * 1.0, lambda y: y.reshape(3, 2, 2)),
    "a view of a view": lambda x: share(x * 1.0, lambda y: y.reshape(3, 4), lambda y: y[:, 1:], lambda y: y.T),
    "one element": lambda x: share(x * 1.0, lambda y: y[3:4]),
    "0-d array": lambda x: [np.copy(x[2])],
    "0-d view": lambda x: share(x * 1.0, lambda y: y[2, ...]),
    "empty": lambda x: [x[:0] * 1.0],
    "empty view": lambda x: share(x.reshape(3, 4) * 1.0, lambda y: y[:, :0]),
}


def share(y: Any, *steps: Function) -> list[Any]:
    arrays = [y]
    for step in steps:
        arrays.append(step(arrays[-1]))
    return arrays


# Lines that write to y. v has twelve elements, w is as much of it in the shape of y; the masks are constant.
OPERATIONS = """
y[...] = w
y[:] = w
y[()] = w
y[:] = 2.5
y[0] = w[0]
y[-1] = 0.5
y[1:] = w[1:]
y[::2] = w[::2]
y[::-1] = w
y[1:] = y[:-1]
y[:] = y[::-1]
y[:-1] = y[1:] * v[0]
y[None] = w
y[..., None] = w[..., None]
y[..., 0] = w[..., 0]
y[..., -1:] = v[0]
y[1, ..., 0] = v[1]
y[:, 1] = w[:, 0]
y[-1:, ::-1] = w[:1]
y[2:1] = 3.0
y[:] = v[3]
y[...] = w[:1]
y[...] = w[None]
y[:2] = [w[1], w[0]]
y[:3] = [v[0], 1.0, v[2]]
y[[0, -1]] = w[[-1, 0]]
y[[1, 0]] = y[[0, 1]]
y[[0, 0, -1]] = w[[0, 1, 1]]
y[[0, 0, 1]] = v[2]
y[[0, 0]] += w[[0, 1]]
y[[0, -1]] *= w[1]
y[np.array([[1], [0]])] = w[1]
y[[0, 1], [1, 0]] = v[:2]
y[[0, 0], [1, 1]] = v[:2]
y[[0, -1], ..., 0] = w[[0, 1], ..., 1]
y[..., [0, 1]] -= w[..., [1, 0]]
y[1:, [0, 0]] = w[:-1, [0, 1]]
y[[]] = 3.0
y[mask] = w[mask]
y[mask] = 0.5
y[mask] = v[0]
y[mask] *= w[mask]
y[~mask] = y[mask].sum()
y[rows] = w[rows]
y[rows] += v[1]
y[rows, ..., 0] = 0.2
y[y == y] = 0.3 * y.sum()
y[w > 0.1] = w[w > 0.1]
y[np.where(w > 0.1)] *= 0.3
y[np.nonzero(w > 0.1)] = v[0]
y[np.argmax(w)] = w[0]
y[np.argmax(w, axis=0)] = 0.5
y[np.argsort(w, axis=0)[:2]] += 0.5
y[np.triu_indices(3)] = v[:6]
y[np.tril_indices_from(y)] *= v[0]
y[np.diag_indices(3)] += v[:3]
y[np.ix_([0, 2], [1, 0])] = v[:2]
y[np.unravel_index([0, 3], y.shape)] = v[:2]
y[np.s_[1:, ::-1]] = v[0]
y[True] = w
y[False] = 1.0
y[np.array(True)] = v[0]
y[[True, False, True]] = v[1]
y[:, [True, False, False, True]] = v[:2]
y[mask, None] = v[0]
y[None, ..., None] = v[0]
y[:, None, 0] = v[:1]
y[np.int64(0)] = w[0]
y[np.uint8([0, 1])] = w[:2]
y[range(2)] = w[:2]
y[[[0, 1], [1, 0]]] = v[0]
y[((0, 1), (1, 0))] = v[:2]
y[np.zeros(0, int)] = w[:0]
y[[0, 1], :, None] = v[2]
y[np.array([0, -1]), np.array([[1], [0]])] -= v[:2]
y[-1, [0, 0, 1]] += v[:3]
y[0][0] = v[1]
y[1:][0, ...][...] = v[1]
y[[0]][0] = v[1]
y[0], y[1] = y[1], y[0]
y[0], y[1] = y[1] * 1.0, y[0] * 1.0
y[0] += w[1]
y[0] *= y[1]
y[1:] += y[:-1]
y[1:] *= y[0]
y += w
y -= v[0]
y *= w
y /= w
y **= 2
y *= y
y -= y.mean()
y += y[::-1]
y @= np.ones((4, 4))
y += y.T
y[...] = y.T
y *= 2; y += 1; y *= y
np.add(y, w, out=y)
np.multiply(w, y, y)
np.exp(w, out=y)
np.sin(y, y)
np.negative(y[::-1], out=y)
np.subtract(y[1:], y[:-1], out=y[1:])
np.divide(w, y, out=y, where=mask)
np.sqrt(w, out=y, where=w > 0)
np.add(w, 1.0, out=y[...])
np.sum(w, axis=0, out=y[0])
np.mean(y, axis=-1, out=y[..., 0])
np.cumsum(w, axis=0, out=y) if y.ndim else 0  # NumPy crashes
np.matmul(w, np.ones(w.shape[-1:] * 2), out=y)
np.clip(y, -0.55, 1.25, out=y)
np.clip(y, w - 0.03, 2.0, y)
np.add(y, w, out=(y,))
np.add(y, w, y, where=mask)
np.add(y, w, out=y, where=w > 0)
np.modf(w, out=(y, np.zeros_like(y)))
np.modf(w, y, np.zeros_like(y))
np.divmod(w, 0.77, out=(np.zeros_like(y), y))
np.add.accumulate(w, 0, None, y) if y.ndim else 0
np.multiply.accumulate(w, axis=-1, out=y) if y.ndim else 0
np.add.reduce(w[None] * w, axis=0, out=y)
np.add.reduce(w, out=y[0, ...])
np.maximum.reduce(w, axis=-1, out=y[..., 0])
np.multiply.outer(v[:3], v[4:8], out=y)
np.outer(v[:3], v[4:8], out=y)
np.sum(w, out=y[0, 0, ...])
np.sum(w, axis=0, keepdims=True, out=y[:1])
np.prod(w, axis=0, out=y[0])
np.mean(w, axis=(0, 1), out=y[0, 0, ...])
np.var(w, axis=0, out=y[0])
np.max(w, -1, y[..., 0])
np.std(w, axis=-1, keepdims=True, out=y[..., :1])
np.round(w, 1, out=y)
np.take(w, [1, 0], axis=0, out=y[:2])
np.concatenate([w[:1], y[1:] * 2.0], out=y)
np.stack([w[0], w[1]], out=y[:2])
np.einsum("...,...", w, w, out=y)
z = y.copy(); np.dot(np.ones((3, 3)), w, out=z); y[...] = z
np.compress([True, True], w, axis=0, out=y[:2])
np.choose(mask, [w, v[0]], out=y)
np.conjugate(w, out=y)
np.nan_to_num(y, copy=False)
y.clip(-0.55, 1.25, out=y)
y.round(1, out=y)
y.cumsum(axis=0, out=y) if y.ndim else 0
(w * y).sum(axis=0, out=y[0])
(w * y).mean(-1, out=y[..., 0])
(w * y).max(axis=0, keepdims=True, out=y[:1])
(w * y).take([1, 0], axis=0, out=y[:2])
z = y.copy(); np.atleast_1d(w * y).dot(np.ones(w.shape[-1:] * 2), out=z); y[...] = z
(w * y).conj(out=y)
np.add.at(y, 0, w[0])
np.add.at(y, [0, 0, -1], w[[0, 1, 1]])
np.add.at(y, (..., [0, 0]), w[..., [0, 1]])
np.add.at(y, mask, v[0])
np.subtract.at(y, [0, 1, 0], v[0])
np.multiply.at(y, [0, 0, 1], w[[0, 1, 0]])
np.multiply.at(y, np.s_[1:], 2.0)
np.negative.at(y, [0, 0, 1])
np.exp.at(y, [0, -1])
np.multiply.at(y, [-1, 0, -1], y[:3])
np.multiply.at(y, [0, 0], y[-2:])
np.add.at(y, [-1, 0, -1], y[:3])
np.subtract.at(y[1:], [0, 0], y[:2])
np.divide.at(y, (..., [0, 0]), y[..., :2])
np.copyto(y, y[::-1])
np.copyto(y[1:], y[:-1], where=mask[1:])
np.put(y, [2, 1, 0], y)
np.put(y, [0, 1, 2], y[::-1])
np.place(y, mask, y[::-1])
np.putmask(y, mask, y[::-1] * 1.0)
np.fill_diagonal(y, y[0])
np.put_along_axis(y, np.argsort(w, axis=-1), y, -1)
y[[1, 0, 0]] = y[:3]
y[mask] = y[mask][::-1]
y[1:, ...] += y[:-1] * y[0]
np.add.accumulate(y, 0, out=y) if y.ndim else 0
np.multiply.accumulate(y[::-1], 0, out=y) if y.ndim else 0
np.take(y, [1, 0], axis=0, out=y[:2])
np.matmul(y, np.eye(*y.shape[-1:] * 2, k=1), out=y)
np.multiply(y, y[:1], out=y)
np.subtract(y, y[::-1], out=y[::-1])
np.negative(y.T, out=y.T)
y.fill(y[0])
y[...] = y[::-1] + y
y += y[:1]
y *= y[..., :1]
y -= y.sum() * y
np.copyto(y, w)
np.copyto(y, v[0])
np.copyto(y, w, where=mask)
np.copyto(y, 0.7 * y, where=w > 0.1)
np.put(y, [0, 1, 0], v[:3])
np.put(y, [-1, 1, 2], v[:2])
np.put(y, [20, -30], v[:2], mode="wrap")
np.put(y, [20, -30], v[:2], mode="clip")
np.put(y, [20], 1.0)
np.place(y, mask, v[:3])
np.putmask(y, mask, w)
np.putmask(y, mask, v[:5])
np.putmask(y, w > 0.1, v[:5])
np.fill_diagonal(y, v[0])
np.fill_diagonal(y, v[:2])
np.fill_diagonal(y, v[:2], wrap=True)
np.fill_diagonal(y.T, 0.25)
np.put_along_axis(y, np.zeros_like(y[:1], dtype=int), w[:1], 0)
np.put_along_axis(y, np.argsort(w, axis=-1), w, -1)
z = y[:3].copy(); np.put_along_axis(z, np.array([1, 0]), v[:2], None); y[:3] = z
y.fill(2.0)
y.fill(v[0])
y.put([0, 2, 0], v[:3])
np.copyto(y, [v[0], 1.0])
np.copyto(y[:2], [v[0], 1.0])
np.copyto(y[1:], y[:-1])
y.sort()
y.sort(kind="stable")
y.sort(axis=0)
y.partition(1)
y.real = w
y.real[0] = 0.5
y.real *= w
y.T[...] = w.T
y.T[0] += v[1]
y.ravel()[...] = v[0]
y.ravel("F")[::2] = 0.5
y.reshape(-1)[1:] *= v[0]
y.reshape(-1, order="F")[0] = v[1]
y.swapaxes(0, -1)[0] = v[1]
y.squeeze()[...] = w.squeeze()
y.view()[...] = w
y.flat[0] = v[0]
y.flat[1::2] = v[1]
y.flat[[0, 1]] = v[:2]
y.flat = v[:3]
y.flat[...] = v[:2]
for i in range(1, len(y)): y[i] = 0.5 * y[i - 1] + w[i]
for i in range(len(y)): y[i] *= w[-1 - i]
for row in y: row += v[0]
for row in y: row[...] = row[::-1]
for row, u in zip(y, w): row *= u; row[0] = u[0]
del y[0]
np.transpose(y)[0] = v[1]
np.flip(y)[0] = v[1]
np.rot90(y)[0] = v[1]
np.moveaxis(y, 0, -1)[0] = v[1]
np.atleast_2d(y)[0] = v[1]
np.expand_dims(y, 0)[...] = w
np.ravel(y)[0] = v[1]
np.split(y, [1])[1][...] = w[1:]
np.diagonal(y)[...] = 1.0
np.broadcast_to(y, (2, *y.shape))[0] = 1.0
""".strip().splitlines()


def compiled(line: str) -> Function:
    """The line as a function of what it may use."""
    source = f"def operation(y, w, v, mask, rows):\n    {line}\n    return y\n"
    name = f"<{line}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    namespace: dict[str, Any] = {"np": np}
    exec(compile(source, name, "exec"), namespace)
    function: Function = namespace["operation"]
    return function


class Program:
    """An operation on a buffer, as a function of the numbers that are tracked."""

    def __init__(self, line: str, layout: str, tracked: str = "xv") -> None:
        self.operation, self.layout, self.tracked = compiled(line), layout, tracked
        self.xs = [{"x": X, "v": V}[name] for name in tracked]
        self.text = f"{line}   on {layout}, tracked: {tracked}"

    def __call__(self, *given: Any) -> Any:
        """All that shares memory with the buffer, in one array; in two memory orders, as the cotangents will be."""
        full = {"x": X if type(given[0]) is np.ndarray else Value(X, requires_grad=False), "v": V}
        full.update(zip(self.tracked, given, strict=True))
        arrays = LAYOUTS[self.layout](full["x"])
        y = arrays[-1]
        part = full["v"][: y.size].reshape(y.shape)
        mask = np.arange(y.size).reshape(y.shape) % 3 != 1
        y = self.operation(y, part, full["v"], mask, mask.reshape(len(mask), -1).any(1) if mask.ndim else mask)
        arrays += [y, part, *given]
        return np.concatenate([np.ravel(z) for a in arrays for z in (a, (0.5 * a).T, (0.25 * a).T)])

    def __str__(self) -> str:
        return self.text

    def check(self) -> None:
        try:
            self(*self.xs)
        except Exception as error:
            refusals = (TypeError, ValueError, IndexError)  # they need not notice the same mistake first
            with pytest.raises(refusals if isinstance(error, refusals) else type(error)):
                self(*map(Value, self.xs))
            return
        check_value(self, self.xs)
        check_first_order(self, self.xs)
        if self.layout in ("C", "a view of a view", "0-d view"):
            check_second_order(self, self.xs)


@pytest.fixture(autouse=True)
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the backward walk add in place as it does with large arrays."""
    monkeypatch.setattr(tape, "SMALL", 16)


@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Degrees of freedom:RuntimeWarning")
@pytest.mark.parametrize("line", OPERATIONS)
def test_write(line: str) -> None:
    """Into every buffer, with both sides tracked; into some with one of them."""
    programs = [Program(line, layout) for layout in LAYOUTS]
    programs += [Program(line, layout, side) for layout in ("1-d", "C", "a block") for side in "xv"]
    with np.errstate(all="ignore"):
        over(programs, Program.check)
