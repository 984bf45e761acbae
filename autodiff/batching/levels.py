"""Into a batch and out of it: both are linear, so derivatives cross the border of a vmap in either direction."""

from typing import Any

import numpy as np

from ..arrays import dispatchable, repeat_levels, restore, sum_levels, undispatched
from ..batched import Batched, Level, batch, hide, union
from ..rule import linear

__all__ = ["enter", "leave"]


@dispatchable
def enter(x: Any, level: Level, axis: int) -> Any:
    """Hide the axis `axis` of `x`: its elements are examples from now on.

    >>> enter(np.ones((5, 3)), Level(1, 5), 0)
    Batched(5 examples of shape (3,), float64)
    """
    return hide(np.moveaxis(x, axis, 0), (level,))


@batch(enter)
def _enter_again(x: Batched, level: Level, axis: int) -> Any:
    levels, h = union((x.levels, (level,))), len(x.levels)
    return hide(np.moveaxis(x.whole, h + axis % x.ndim, levels.index(level)), levels)


@dispatchable
def leave(x: Any, level: Level, axis: int) -> Any:
    """Show the examples of `level` as the axis `axis`; what is the same for all of them is repeated.

    >>> leave(enter(np.ones((5, 3)), Level(1, 5), 0), Level(1, 5), 1).shape
    (3, 5)
    """
    x = np.asarray(x) if isinstance(x, (np.generic, int, float, complex)) else x
    axis = axis % (x.ndim + 1)
    return np.broadcast_to(np.expand_dims(x, axis), (*x.shape[:axis], level.size, *x.shape[axis:])).copy()


@batch(leave)
def _leave(x: Batched, level: Level, axis: int) -> Any:
    h, axis = len(x.levels), axis % (x.ndim + 1)
    if level not in x.levels:
        whole = np.broadcast_to(
            np.expand_dims(x.whole, h + axis), (*x.whole.shape[: h + axis], level.size, *x.whole.shape[h + axis :])
        )
        return hide(whole.copy(), x.levels)
    at = x.levels.index(level)
    return hide(np.moveaxis(x.whole, at, h - 1 + axis), x.levels[:at] + x.levels[at + 1 :])


batch(sum_levels)(undispatched(sum_levels))
batch(repeat_levels)(undispatched(repeat_levels))

linear(enter, lambda g, x, level, axis: leave(g, level, axis))
linear(leave, lambda g, x, level, axis: restore(enter(g, level, axis), x))  # what was repeated is summed
linear(sum_levels, lambda g, x, levels: repeat_levels(g, levels))
linear(repeat_levels, lambda g, x, levels: sum_levels(g, levels))
