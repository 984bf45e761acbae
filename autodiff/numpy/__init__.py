"""NumPy's names, with Values in and Values out: `import autodiff.numpy as np`.

>>> import autodiff.numpy as np
>>> x = np.linspace(0.0, 1.0, 5)
>>> x.requires_grad = True
>>> np.sum(x**2).backward()
>>> x.grad
array([0. , 0.5, 1. , 1.5, 2. ])

Every public name of NumPy is here: functions give Values, creation functions may be given some, and classes,
dtypes and constants are NumPy's. Where NumPy's functions are called with Values, plain `import numpy` serves as
well; from here arrays are Values from the start, also outside of transforms. It conforms to the Python array API
standard 2024.12 with the extensions `linalg` and `fft`: https://data-apis.org/array-api/2024.12.
"""

from typing import Any

import numpy as np

from ..creation import CREATORS, Vectorize, as_values
from ..value import Value
from . import _standard, fft, linalg
from ._info import Inspection
from ._lift import lift, lifted, listed


class _Arrays(type):
    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, (Value, np.ndarray))


class ndarray(metaclass=_Arrays):
    """What arrays are instances of, Values included. Called, it makes an uninitialised one, as NumPy's does."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return as_values(np.ndarray(*args, **kwargs))

    def __class_getitem__(cls, item: Any) -> Any:
        return np.ndarray[item]


class vectorize(Vectorize):
    """np.vectorize, whose function may be given Values and return some."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return as_values(super().__call__(*args, **kwargs))


class _Indexed:
    """np.mgrid, np.ogrid, np.r_ and np.c_."""

    def __init__(self, plain: Any) -> None:
        self._plain = plain

    def __getitem__(self, key: Any) -> Any:
        return as_values(self._plain[key])


__array_api_version__ = "2024.12"
__array_namespace_info__ = Inspection

_names: dict[str, Any] = {
    **lifted(np),
    **{name: lift(made) if callable(made) else _Indexed(made) for name, made in CREATORS.items()},
    **{name: getattr(_standard, name) for name in _standard.__all__},
    "fft": fft,
    "linalg": linalg,
    "ndarray": ndarray,
    "vectorize": vectorize,
}
globals().update(_names)

__all__ = listed(_names)


def __getattr__(name: str) -> Any:
    """What NumPy loads late: `testing`, `ma`, `polynomial` and so on."""
    return getattr(np, name)
