"""numpy.linalg with Values as results: the `linalg` extension of the array API standard."""

import numpy as np

from ._lift import lifted, listed

_names = lifted(np.linalg)
globals().update(_names)

__all__ = listed(_names)
