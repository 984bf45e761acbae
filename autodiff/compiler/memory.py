"""Where temporaries lie in the arena: each from the step that writes it to the last that reads it."""

from bisect import bisect
from collections.abc import Sequence

__all__ = ["arrange"]

SLOT = 64


def arrange(lives: Sequence[tuple[int, int, int]]) -> tuple[list[int], int]:
    """Offsets for (first step, last step, bytes) in the order of first steps, and the size of it all: first fit.

    >>> arrange([(0, 1, 100), (1, 2, 50), (2, 3, 120)])
    ([0, 128, 0], 192)
    """
    offsets: list[int] = []
    free: list[tuple[int, int]] = []  # offset and size, by offset, never adjacent
    ends: dict[int, list[tuple[int, int]]] = {}
    top = done = 0
    for first, last, nbytes in lives:
        for step in range(done, first):
            for offset, size in ends.pop(step, ()):
                top = _release(free, offset, size, top)
        done = max(done, first)
        size = max(-(-nbytes // SLOT), 1) * SLOT
        for i, (offset, room) in enumerate(free):
            if room >= size:
                free[i : i + 1] = [(offset + size, room - size)] if room > size else []
                break
        else:
            offset, top = top, top + size
        offsets.append(offset)
        ends.setdefault(last, []).append((offset, size))
    highest = max([o + max(-(-n // SLOT), 1) * SLOT for o, (_, _, n) in zip(offsets, lives)], default=0)
    return offsets, highest


def _release(free: list[tuple[int, int]], offset: int, size: int, top: int) -> int:
    """Makes room again, joined with the room next to it; returns where the used part ends."""
    i = bisect(free, (offset, 0))
    if i < len(free) and free[i][0] == offset + size:
        size += free.pop(i)[1]
    if i and sum(free[i - 1]) == offset:
        i -= 1
        offset, size = free[i][0], free[i][1] + size
        del free[i]
    if offset + size == top:
        return offset
    free.insert(i, (offset, size))
    return top
