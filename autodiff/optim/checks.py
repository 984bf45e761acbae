"""Checks of options: each takes who asks, the option's name and its value, and returns what the optimizer keeps."""

from collections.abc import Callable
from typing import Any

__all__ = ["Check", "flag", "fraction", "fractions", "learning_rate", "nonnegative"]

Check = Callable[[str, str, Any], Any]


def nonnegative(owner: str, option: str, x: Any) -> float:
    """`x` as a float. Raises ValueError if it is negative or nan."""
    try:
        number = float(x)
    except (TypeError, ValueError):
        raise TypeError(f"{owner}: {option} is {x!r}; it has to be a number") from None
    if not number >= 0:
        raise ValueError(f"{owner}: {option} is {number}; it has to be at least 0")
    return number


def fraction(owner: str, option: str, x: Any) -> float:
    """`x` as a float. Raises ValueError unless 0 <= x < 1."""
    number = nonnegative(owner, option, x)
    if number >= 1:
        raise ValueError(f"{owner}: {option} is {number}; it has to be below 1")
    return number


def fractions(owner: str, option: str, x: Any) -> tuple[float, float]:
    """A pair of fractions."""
    try:
        first, second = x
    except (TypeError, ValueError):
        raise TypeError(f"{owner}: {option} is {x!r}; it has to be two numbers") from None
    return fraction(owner, f"{option}[0]", first), fraction(owner, f"{option}[1]", second)


def learning_rate(owner: str, option: str, x: Any) -> Any:
    """A learning rate, or a schedule as it is."""
    return x if callable(x) else nonnegative(owner, option, x)


def flag(owner: str, option: str, x: Any) -> bool:
    """Any truth value as one."""
    return bool(x)
