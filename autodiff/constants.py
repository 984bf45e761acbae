"""Plain ndarrays that a node keeps must not change under it.

A rule that saves a constant (`x * c` saves c) reads it again in the backward walk. If the user writes
into the array in between, the gradient would be silently wrong. A small array is copied when it is
saved, which costs no more than a checksum. A large one is kept by reference, and a sample of its
elements is compared when the walk comes by; a change that misses every sampled element goes unseen.
"""

from typing import Any

import numpy as np

from .case import StandIn
from .errors import GraphError
from .tape import Node

__all__ = ["COPY_LIMIT", "Checked", "is_frozen", "keep", "sample"]

COPY_LIMIT = 65536  # bytes
SAMPLES = 1024


def keep(node: Node, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The array that `node` may save in place of the user's `array`."""
    if array.nbytes <= COPY_LIMIT:
        return array.copy(order="K")
    if not is_frozen(array):
        node.case = Checked(node.case, array)
    return array


def is_frozen(array: Any) -> bool:
    """Whether nobody can write into the memory of `array`: it and all that it is a view of are read-only."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return array is None or isinstance(array, bytes)


class Checked(StandIn):
    """A case that verifies a constant before it uses it."""

    __slots__ = ("array", "sample")

    def __init__(self, case: Any, array: np.ndarray[Any, Any]) -> None:
        super().__init__(case)
        self.array = array
        self.sample = sample(array)

    def check(self) -> None:
        if sample(self.array) != self.sample:
            raise GraphError(
                f"an array of shape {self.array.shape} was written to after {self.rule.name!r} "
                "used it and before the derivative needed it; write to a copy, or walk the graph first"
            )

    def pull(self, saved: Any, g: Any) -> Any:
        self.check()
        return self.case.pull(saved, g)

    def push(self, saved: Any, tangents: tuple[Any, ...], masked: bool = False) -> Any:
        self.check()
        return self.case.push(saved, tangents, masked)


def sample(array: np.ndarray[Any, Any]) -> bytes:
    """Some of the elements, as bytes: all that is compared of a large array."""
    step = max(array.size // SAMPLES, 64) | 1
    if array.flags.c_contiguous:
        return array.reshape(-1)[::step].tobytes()
    return bytes(array.flat[::step])
