"""Slots: places where something is found, a container and a key, and what it is to be the same there later."""

import contextvars
from collections import deque
from types import CellType, MethodType
from typing import Any

import numpy as np

from ..stand_ins import SWAPPED

__all__ = [
    "ABSENT", "NUMBERS", "Attributes", "Inside", "Kind", "Members", "Source", "Variable", "alike", "content", "equal",
    "get", "is_number", "put", "spot",
]  # fmt: skip

NUMBERS = (bool, int, float, complex, np.generic, str, bytes)
ABSENT = object()  # what is found in a slot that is not there, or is empty


class Source:
    """What a program reads an array from that is not among its arguments."""

    root: Any = None  # the Value whose array it is, if it is one's

    def get(self) -> Any:
        raise NotImplementedError


class Attributes:
    """The attributes of an object with __slots__, by name."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def get(self, name: str, default: Any) -> Any:
        return getattr(self.x, name, default)


class Members(Attributes):
    """What a class itself defines, by name."""

    dull = frozenset(
        ("__dict__", "__weakref__", "__module__", "__doc__", "__qualname__", "__annotations__", "__slots__")
        + ("__dataclass_fields__", "__dataclass_params__", "__abstractmethods__", "_abc_impl", "__match_args__")
    )

    def get(self, name: str, default: Any) -> Any:
        return self.x.__dict__.get(name, default)


class Variable(Attributes):
    """The value of a context variable."""

    x: contextvars.ContextVar[Any]

    def get(self, name: str, default: Any) -> Any:
        return self.x.get(default)


class Inside(Attributes):
    """What a read-only view of a dict shows, by key, or what an array of objects holds, by position."""

    def get(self, name: Any, default: Any) -> Any:
        if isinstance(self.x, np.ndarray):
            return self.x.flat[name] if name < self.x.size else default
        return self.x.get(name, default)


class Kind:
    """What has to be the same of an array that was in a slot, without keeping it."""

    __slots__ = ("dtype", "shape", "type")

    def __init__(self, x: Any) -> None:
        self.type, self.shape, self.dtype = type(x), x.shape, x.dtype


def get(container: Any, key: Any) -> Any:
    """What is in a slot."""
    if key is None and isinstance(container, CellType):
        try:
            return container.cell_contents
        except ValueError:  # it is empty
            return ABSENT
    if isinstance(container, (list, tuple, deque)):
        return container[key] if key < len(container) else ABSENT
    return container.get(key, ABSENT)


def is_number(x: Any) -> bool:
    """Whether a program may have it as an input: one of Python's numbers, or of NumPy's."""
    return type(x) in (int, float) or (isinstance(x, np.generic) and x.dtype.kind in "biufc")


def put(container: Any, key: Any, x: Any) -> None:
    """Put something into a slot."""
    if key is None and isinstance(container, CellType):
        container.cell_contents = x
    elif isinstance(container, Inside):
        pass  # what can be changed is put where it can be
    elif isinstance(container, Members):
        setattr(container.x, key, x)
    elif isinstance(container, Attributes):
        object.__setattr__(container.x, key, x)  # it may be frozen
    else:
        container[key] = x


def spot(container: Any, key: Any) -> tuple[int, Any]:
    """A slot as a key."""
    return id(container.x if isinstance(container, Attributes) else container), key


def content(x: Any) -> Any:
    """A copy of something that is compared as a whole."""
    return set(x) if isinstance(x, set) else bytes(memoryview(x))


def equal(now: Any, before: Any) -> bool:
    """Whether a program for one is right for the other."""
    kind = type(now)
    swapped = SWAPPED.get(id(now))  # NumPy, or what stands for it while a transform runs
    if swapped is not None and SWAPPED.get(id(before), (None,))[0] is swapped[0]:
        return True
    if type(before) is Kind:
        return bool(kind is before.type and now.shape == before.shape and now.dtype == before.dtype)
    if kind is not type(before):
        return False
    if isinstance(now, np.ndarray):
        return bool(now.shape == before.shape and now.dtype == before.dtype and now.dtype != object)
    if isinstance(now, NUMBERS):
        if isinstance(now, np.void):
            return False
        same = now == before or (now != now and before != before)
        return bool(same and (now or repr(now) == repr(before)))  # 0.0 and -0.0 are two
    if isinstance(now, (list, tuple, dict)):
        return not now and not before
    if isinstance(now, MethodType):
        return now.__func__ is before.__func__ and now.__self__ is before.__self__
    return False


def alike(now: Any, before: Any) -> bool:
    """Whether it makes no difference that one has been replaced by the other."""
    if type(now) is not type(before) or isinstance(now, np.ndarray):
        return False
    return equal(now, before)
