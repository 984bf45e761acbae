"""What layers check of their options, and how they show them."""

import operator
from typing import Any

__all__ = ["call_of", "nonnegative", "probability", "sizes"]


def sizes(owner: str, **given: Any) -> tuple[int, ...]:
    """The numbers as integers. Raises ValueError for one below 1, TypeError for one that is no integer."""
    found = tuple([operator.index(n) for n in given.values()])
    if min(found) < 1:
        shown = ", ".join(f"{name}={n}" for name, n in given.items())
        raise ValueError(f"{owner}: sizes have to be at least 1, got {shown}")
    return found


def probability(owner: str, p: Any, name: str = "p") -> float:
    """`p` as a float. Raises ValueError unless 0 <= p <= 1."""
    if not 0 <= p <= 1:
        raise ValueError(f"{owner}: {name} is {p}; it has to be in [0, 1]")
    return float(p)


def nonnegative(owner: str, x: Any, name: str = "eps") -> float:
    """`x` as a float. Raises ValueError if it is negative or nan."""
    if not x >= 0:
        raise ValueError(f"{owner}: {name} is {x}; it has to be at least 0")
    return float(x)


def call_of(layer: Any, *args: Any, **options: tuple[Any, Any]) -> str:
    """The call that makes a layer like this one; of the options, pairs of value and default, those that differ."""
    shown = [repr(x) for x in args]
    shown += [f"{name}={x!r}" for name, (x, usual) in options.items() if repr(x) != repr(usual)]  # x may be an array
    return f"{type(layer).__name__}({', '.join(shown)})"
