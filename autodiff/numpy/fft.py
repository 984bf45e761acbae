"""numpy.fft with Values as results: the `fft` extension of the array API standard."""

from typing import Any

import numpy as np

from ..creation import as_values
from ._lift import lifted, listed

_names = lifted(np.fft)
globals().update(_names)


def fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """`np.fft.fftfreq`, of a given dtype."""
    return as_values(np.fft.fftfreq(n, d).astype(dtype or float, copy=False))


def rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """`np.fft.rfftfreq`, of a given dtype."""
    return as_values(np.fft.rfftfreq(n, d).astype(dtype or float, copy=False))


__all__ = listed(_names)
