"""The functions that calls of a program name where NumPy has none: what writes to an array gives a copy instead."""

from typing import Any

import numpy as np

from .interpret import strided

__all__ = ["AT", "UFUNC_NAMES", "At", "Counted", "astype_of", "getitem_of", "written"]

UFUNC_NAMES = {u: name for name, u in vars(np).items() if isinstance(u, np.ufunc) and u.__name__ == name}


def getitem_of(x: Any, key: Any) -> Any:
    return x[key]


def astype_of(x: Any, dtype: Any) -> Any:
    return x.astype(dtype)


def written(whole: Any, offset: int, strides: tuple[int, ...], shape: tuple[int, ...], key: Any, value: Any) -> Any:
    """A copy of `whole`, where `value` is written at `key` of a view."""
    whole = whole.copy()
    strided(whole, offset, strides, shape)[key] = value
    return whole


class At:
    """`ufunc.at` on a copy, likewise."""

    def __init__(self, ufunc: Any) -> None:
        self.ufunc, self.__name__ = ufunc, f"{ufunc.__name__}.at"

    def __call__(self, whole: Any, offset: int, strides: Any, shape: Any, key: Any, value: Any) -> Any:
        whole = whole.copy()
        self.ufunc.at(strided(whole, offset, strides, shape), key, *([] if value is None else [value]))
        return whole


class Counted:
    """A number for the shape of the result of a function, or of one of its results."""

    def __init__(self, function: Any, item: int | None) -> None:
        self.function, self.item, self.__name__ = function, item, f"shape of {function.__name__}"

    def __call__(self, *args: Any, **kwargs: Any) -> int:
        result = self.function(*args, **kwargs)
        return self.of(result if self.item is None else result[self.item])

    @staticmethod
    def of(array: Any) -> int:
        return hash(np.shape(array))


AT: dict[Any, At] = {u: At(u) for u in UFUNC_NAMES}
