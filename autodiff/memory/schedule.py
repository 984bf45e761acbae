"""The binomial schedule: how to reverse a chain of steps with few stored states and few steps repeated.

To reverse `length` steps, of which only the first state is stored, one goes forward by some steps, stores the state
there, reverses what comes after it with one slot less, and then what comes before. With `slots` states stored at a
time, the first one included, and no step repeated more than r times, that reaches comb(slots + r, slots) steps. No
schedule does with fewer: A. Griewank and A. Walther, Algorithm 799: Revolve, ACM TOMS 26 (2000) 19-45.
"""

from collections.abc import Iterator
from math import comb

__all__ = ["default_slots", "places", "repeated", "split"]


def _reach(slots: int, repeats: int) -> int:
    """How many steps can be reversed."""
    return comb(slots + repeats, slots) if repeats >= 0 else 0


def _repeats(length: int, slots: int) -> int:
    """How often a step is repeated at most."""
    repeats = 0
    while _reach(slots, repeats) < length:
        repeats += 1
    return repeats


def split(length: int, slots: int) -> int:
    """How many of `length` steps to go forward before the next state is stored; all but the last with one slot.

    >>> split(6, 2), split(6, 1)
    (3, 5)
    """
    if slots == 1:
        return length - 1
    r = _repeats(length, slots)
    return max(_reach(slots, r - 2), length - _reach(slots - 1, r), 1)


def places(length: int, slots: int) -> Iterator[int]:
    """The steps before which the state is stored on the way forward.

    >>> list(places(10, 3))
    [0, 4, 7]
    """
    at = 0
    while at < length and slots:
        yield at
        if slots > 1:
            at += split(length - at, slots)
        slots -= 1


def repeated(length: int, slots: int) -> int:
    """How many steps forward it takes altogether to reverse `length` steps, not counting the reversed ones.

    >>> repeated(10, 3), repeated(10, 1)
    (15, 45)
    """
    r = _repeats(length, slots)
    return r * length - (comb(slots + r, r - 1) if r else 0)


def default_slots(length: int) -> int:
    """The fewest slots with which no step goes forward more than twice: about the square root of 2 `length`."""
    slots = 1
    while _reach(slots, 2) < length:
        slots += 1
    return slots
