"""Views: what shares memory in NumPy is seen through each other here, whatever made it, and nothing else is.

Two functions are applied one after the other, something is written to one of the arrays, and all of them are compared
with what happens to plain arrays. All of it is linear, so the derivative is exact: the same program on unit vectors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks import over

import autodiff as ad

Function = Callable[..., Any]

# What NumPy makes a view of, always or at times, and what it copies.
MAKERS = """
y[1:]
y[::2]
y[::-1]
y[...]
y[:]
y[()]
y[0]
y[-1:]
y[0, ...]
y[None]
y[..., None]
y[..., 0]
y[..., ::-1]
y[..., 1:]
y[1:, ..., :2]
y[[0]]
y[[1, 0]]
y[y == y]
y[np.arange(len(y)) > 0]
y.T
y.mT
y.reshape(-1)
y.reshape(y.shape[::-1])
y.reshape((2, -1), order="F")
y.reshape(-1, 1)
y.ravel()
y.ravel("F")
y.flatten()
y.transpose()
y.swapaxes(0, -1)
y.squeeze()
y.view()
y.real
y.copy()
y.astype(float)
y.astype(float, copy=False)
y.diagonal()
y.take([0])
y.repeat(2)
+y
y * 1.0
np.transpose(y)
np.reshape(y, (-1, 2))
np.ravel(y)
np.swapaxes(y, -1, 0)
np.moveaxis(y, 0, -1)
np.rollaxis(y, -1)
np.expand_dims(y, 0)
np.expand_dims(y, -1)
np.squeeze(y)
np.atleast_1d(y)
np.atleast_2d(y)
np.atleast_3d(y)
np.flip(y)
np.flip(y, 0)
np.flipud(y)
np.fliplr(y)
np.rot90(y)
np.rot90(y, 2)
np.roll(y, 1)
np.real(y)
np.broadcast_to(y, (2, *y.shape))
np.broadcast_arrays(y, y[None])[1]
np.diagonal(y)
np.diag(y)
np.split(y, [1])[1]
np.array_split(y, 2)[0]
np.vsplit(y, [1])[-1]
np.hsplit(y, [1])[-1]
np.dsplit(y, [1])[-1]
np.einsum("...ij->...ji", y)
np.einsum("i...->...i", y)
np.copy(y)
np.positive(y)
np.concatenate([y])
np.stack([y])
np.tile(y, 1)
np.resize(y, y.shape)
np.triu(y)
np.nan_to_num(y)
np.nan_to_num(y, copy=False) if y.ndim else y
np.conj(y)
np.cumsum(y, axis=0)
np.zeros_like(y)
np.permute_dims(y) if hasattr(np, "permute_dims") else y.T
np.matrix_transpose(y)
np.linalg.diagonal(y)
np.linalg.matrix_transpose(y)
np.lib.stride_tricks.sliding_window_view(y, 2, -1)
""".strip().splitlines()
SECOND = """
y[::2]
y[..., 0]
y[[0]]
y.T
y.reshape(-1)
y.ravel("F")
np.broadcast_to(y, (2, *y.shape))
""".strip().splitlines()
X = np.arange(1.0, 13.0)
STARTS: dict[str, Function] = {
    "1-d": lambda x: x[:4] * 1.0,
    "C": lambda x: x.reshape(3, 4) * 1.0,
    "Fortran": lambda x: x.reshape(4, 3).T * 1.0,
    "a view": lambda x: (x.reshape(3, 4) * 1.0)[:, 1:],
    "3-d": lambda x: x.reshape(2, 3, 2) * 1.0,
    "0-d": lambda x: (x * 1.0)[1, ...],
}
WRITES: list[Function] = [
    lambda arrays, k: arrays[k].fill(0.5),
    lambda arrays, k: arrays[k].__imul__(3.0) if arrays[k].ndim else None,
    lambda arrays, k: arrays[k].__setitem__((..., slice(1)) if arrays[k].ndim else ..., arrays[0].sum()),
]


class Program:
    """From numbers: an array and what is made of it; writes to some, reads of others; all of them in the end."""

    def __init__(self, start: str, first: str, second: str, writes: tuple[tuple[int, int], ...]) -> None:
        self.start, self.writes = start, writes
        self.first, self.second = (eval(f"lambda y: {maker}", {"np": np}) for maker in (first, second))
        self.text = f"{first}, {second} on {start}, writes {writes}"

    def arrays(self, x: Any) -> list[Any]:
        y = STARTS[self.start](x)
        part = self.first(y)
        arrays = [y, part]
        for make, of in ((self.second, part), (self.second, y)):
            try:
                arrays.append(make(of))
            except (ValueError, IndexError, TypeError):  # NumPy's errors are the same, or the results differ
                continue
        return arrays

    def __call__(self, x: Any) -> Any:
        arrays = self.arrays(x)
        total = 0.0
        for k, how in self.writes:
            WRITES[how](arrays, k)
            total = total + arrays[-k].sum()  # a read in between
        return np.concatenate([*map(np.ravel, arrays), np.ravel(total)])

    def __str__(self) -> str:
        return self.text

    def check(self) -> None:
        value, pull = ad.vjp(self, X)
        constant = self(np.zeros(12))
        np.testing.assert_allclose(value, self(X), rtol=1e-14)
        jacobian = np.array([self(e) - constant for e in np.eye(12)])  # exact: the program is linear
        u = np.cos(np.arange(value.size))
        np.testing.assert_allclose(pull(u)[0], jacobian @ u, rtol=1e-12, atol=1e-12)
        tangent = ad.jvp(self, X, np.sin(X))[1]
        np.testing.assert_allclose(tangent, np.sin(X) @ jacobian, rtol=1e-12, atol=1e-12)


def can_be_written(x: Any) -> bool:
    return (
        isinstance(x, np.ndarray)
        and x.flags.writeable
        and all(s or n < 2 for s, n in zip(x.strides, x.shape, strict=True))
    )


def programs(first: str) -> Any:
    for start, second in itertools.product(STARTS, SECOND):
        try:
            arrays = Program(start, first, second, ()).arrays(X)
        except (ValueError, IndexError, TypeError):
            continue
        targets = [k for k, a in enumerate(arrays) if can_be_written(a)]
        for k in targets:
            yield Program(start, first, second, ((k, 1), (targets[k - 1] if k <= len(targets) else 0, 2), (k, 0)))


@pytest.mark.filterwarnings("ignore:.*broadcast_array:FutureWarning", "ignore:.*overlapping memory:DeprecationWarning")
@pytest.mark.parametrize("first", MAKERS)
def test_what_shares_memory(first: str) -> None:
    over(programs(first), Program.check)
