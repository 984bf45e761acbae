"""Functions of our own that are written with NumPy's: on a batch their bodies run as they are. And what is short."""

import functools
from typing import Any

import numpy as np

from ..arrays import undispatched
from ..batched import Batched, batch, hide, levels_of, widened
from ..regions import embed, follow, punch
from ..rules.activations import log_softmax, logsumexp, nll, softmax
from ..rules.elementwise import binary_exponent
from ..rules.index import choice
from ..rules.linalg_decompositions import fold, half, mirror
from ..rules.polynomial import horner
from ..rules.reduce import magnitude, spread, variance
from .loop import call_aligned

__all__: list[str] = []  # its entries are in BATCHING

ELEMENTWISE: dict[Any, int] = {np.isclose: 2, np.iscomplex: 1, np.isneginf: 1, np.isposinf: 1, np.isreal: 1}
for _elementwise, _operands in ELEMENTWISE.items():
    batch(_elementwise)(functools.partial(call_aligned, _elementwise, _operands))

for _own in (binary_exponent, choice):
    batch(_own)(functools.partial(call_aligned, undispatched(_own), 1))


@batch(horner)
def _horner(x: Any, y: Any) -> Any:
    ans = np.zeros_like(y)
    for i in range(x.shape[0]):
        ans = ans * y + x[i]
    return ans


@batch(np.vander)
def _vander(x: Batched, N: int | None = None, increasing: bool = False) -> Any:
    n = x.shape[0] if N is None else N
    powers = np.ones((*x.whole.shape, n), np.result_type(x.dtype, int))
    powers[..., 1:] = x.whole[..., None]
    np.multiply.accumulate(powers, axis=-1, out=powers)
    return hide(powers if increasing else powers[..., ::-1], x.levels)


for _function in (embed, follow, fold, half, log_softmax, logsumexp, magnitude, mirror, nll, punch, softmax):
    batch(_function)(undispatched(_function))


def _moment(method: str, x: Any, where: Any = True, **kwargs: Any) -> Any:
    return getattr(widened(x, levels_of(where)), method)(where=where, **kwargs)


batch(variance)(functools.partial(_moment, "var"))
batch(spread)(functools.partial(_moment, "std"))
