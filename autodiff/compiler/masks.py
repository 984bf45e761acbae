"""Masks as indices: where a mask is true, by scans and scatters, so that `x[x > 0]` needs no call of NumPy.

How many elements a mask chooses is a shape of the program, and guarded. What is not chosen is written to one place
more, which nobody reads.
"""

from typing import Any

import numpy as np

from .recorded import Recorded

__all__ = ["is_mask", "nonzero"]

INDEX = np.dtype(np.int32)


def is_mask(k: Any) -> bool:
    return type(k) is Recorded and k.dtype == bool and k.ndim > 0


def nonzero(recorder: Any, mask: Recorded) -> list[Recorded] | None:
    """The indices of what a mask chooses, an array for each axis; None if that is nothing."""
    count, shape = int(np.count_nonzero(mask.data)), mask.shape
    if not count or mask.size >= np.iinfo(INDEX).max:
        return None
    node = recorder.node(mask)
    found: list[Recorded] | None = recorder.chosen.get(node.number)
    if found is None:
        places = _places(recorder, mask.reshape(-1), count)
        found, step = [], mask.size
        for n in shape:
            step //= n
            found.append(places if len(shape) == 1 else places // np.int32(step) % np.int32(n))
        recorder.chosen[node.number] = found
        recorder.inside.update([recorder.node(index).number for index in found])
    return found


def _places(recorder: Any, mask: Any, count: int) -> Any:
    so_far = np.cumsum(mask, dtype=INDEX)
    recorder.guard(so_far[-1], count)
    to = recorder.record(np.where, (mask, so_far - np.int32(1), np.int32(count)), {})
    out = recorder.filled(0, (count + 1,), INDEX)
    here = recorder.constant(np.arange(mask.size, dtype=INDEX))
    nodes = [recorder.node(x) for x in (out, here, to)]
    data = np.append(mask.data.nonzero()[0], 0).astype(INDEX)
    made = recorder.add("scatter", nodes, (0, (0,), mask.shape, ((1, count + 1),)), data)
    return made[:count]
