"""Arrays like another one, and questions about an array that have one answer for all examples."""

from typing import Any

import numpy as np

from ..batched import Batched, batch, hide
from ..errors import BatchError
from ..rule import RULES

__all__ = ["REFUSED"]


def _like(function: Any) -> Any:
    def body(a: Any, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None, **kwargs: Any) -> Any:
        if type(a) is not Batched:
            return function(a, dtype=dtype, shape=shape)
        shape = a.shape if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        hidden = tuple(level.size for level in a.levels)
        return hide(function(a.whole, dtype=dtype, shape=hidden + shape, **kwargs), a.levels)

    return body


for _function in (np.zeros_like, np.ones_like, np.empty_like):
    batch(_function)(_like(_function))


@batch(np.full_like)
def _full_like(a: Any, fill_value: Any, dtype: Any = None, order: Any = "K", subok: bool = True, **more: Any) -> Any:
    zeros = np.zeros_like(a, dtype=dtype, **more)
    full = zeros + fill_value
    return full.astype(zeros.dtype) if full.dtype != zeros.dtype else full


@batch(np.shape)
def _shape(a: Any) -> Any:
    return a.shape


@batch(np.ndim)
def _ndim(a: Any) -> Any:
    return a.ndim


@batch(np.size)
def _size(a: Any, axis: Any = None) -> Any:
    return a.size if axis is None else a.shape[axis]


@batch(np.result_type)
def _result_type(*given: Any) -> Any:
    return np.result_type(*(x.dtype if type(x) is Batched else x for x in given))


@batch(np.can_cast)
def _can_cast(x: Any, to: Any, casting: Any = "safe") -> Any:
    return np.can_cast(x.dtype, to, casting)


def _of_example(function: Any) -> Any:
    """A function that asks for shapes alone."""

    def body(*args: Any, **kwargs: Any) -> Any:
        return function(
            *(np.broadcast_to(x.dtype.type(0), x.shape) if type(x) is Batched else x for x in args), **kwargs
        )

    return body


FOR_SHAPES: tuple[Any, ...] = (np.diag_indices_from, np.einsum_path, np.tril_indices_from, np.triu_indices_from)
for _asks in (*FOR_SHAPES, np.common_type):
    batch(_asks)(_of_example(_asks))


@batch(np.iscomplexobj)
def _iscomplexobj(x: Any) -> bool:
    return bool(x.dtype.kind == "c")


@batch(np.isrealobj)
def _isrealobj(x: Any) -> bool:
    return bool(x.dtype.kind != "c")


@batch(np.copyto)
def _copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    dst[...] = src if where is True else np.where(where, src, dst)


def _many_shapes(name: str, way_out: str) -> Any:
    def body(*args: Any, **kwargs: Any) -> Any:
        raise BatchError(
            f"{name}: under vmap the result would have another shape for each example; {way_out}, or "
            "ad.vmap(f, loop=True), which runs f for one example after the other"
        )

    return body


# What decides the shape is a batch. Those that are composed of others find out by themselves.
REFUSED: set[Any] = {
    *(np.argwhere, np.compress, np.extract, np.flatnonzero, np.intersect1d, np.ix_, np.nonzero, np.piecewise),
    *(
        np.place,
        np.polydiv,
        np.polymul,
        np.put,
        np.putmask,
        np.setdiff1d,
        np.setxor1d,
        np.trim_zeros,
        np.union1d,
        np.unique,
    ),
    *(np.unique_all, np.unique_counts, np.unique_inverse, np.unique_values),
}
COMPOSED = {np.compress, np.extract, np.piecewise, np.place, np.polydiv, np.polymul, np.put, np.putmask}
for _selection in REFUSED - COMPOSED:
    batch(_selection)(_many_shapes(_selection.__name__, "use np.where(condition, x, y)"))


@batch(np.where)
def _where(condition: Any, *xy: Any) -> Any:
    if not xy:
        return _many_shapes("where", "use np.where(condition, x, y)")(condition)
    return RULES[np.where].forward(condition, *xy)  # type: ignore[misc]
