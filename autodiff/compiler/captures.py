"""What a function uses besides its arguments: its closure, defaults, globals, and the attributes of objects there.

A program is for the values that were found when it was recorded. Before it runs they are looked up again: numbers,
texts, functions have to be the same, arrays are read anew. A slot is a place where something was found: a container
and a key. What the function itself changes there (`self.steps += 1`) is seen when it has run.
"""

import sys
from collections.abc import Iterable
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ..box import Box, Inner
from ..transform import Transform

__all__ = ["Captures", "TooManyError", "get", "put", "state_of"]

LIMIT = 5000  # slots
KNOWN = frozenset(("numpy", "scipy", __name__.partition(".")[0], *sys.stdlib_module_names)) - {"__main__"}
NUMBERS = (bool, int, float, complex, np.generic, str, bytes)
OPAQUE = (Inner, type, np.ufunc, np.dtype, BuiltinFunctionType, CodeType, type(None), range, slice)
MISSING = object()


class TooManyError(Exception):
    """There is more than can be looked up at each call."""


class Captures:
    """What can be reached from `roots`: slots, and among these arrays, Values and random generators."""

    def __init__(self, roots: Iterable[Any]) -> None:
        self.slots: list[tuple[Any, Any, Any]] = []  # container, key, what was there
        self.lengths: list[tuple[Any, int]] = []
        self.arrays: dict[int, tuple[Any, int]] = {}  # by id: the array, and its slot
        self.values: list[Box] = []
        self.fixed: set[int] = set()  # arrays by id that cannot be replaced in all their places
        self.generators: list[tuple[Any, Any]] = []  # and their state
        self._seen: dict[int, Any] = {}
        self._modules: set[int] = set()  # the globals of modules, by id
        for root in roots:
            self._look_into(root)
        self._seen.clear()

    # -- looking for what there is

    def _slot(self, container: Any, key: Any, value: Any) -> None:
        if len(self.slots) >= LIMIT:
            raise TooManyError
        self.slots.append((container, key, value))
        if isinstance(value, np.ndarray):
            self.arrays.setdefault(id(value), (value, len(self.slots) - 1))
            if not self.is_replaceable(container):
                self.fixed.add(id(value))
        self._look_into(value)

    def _look_into(self, x: Any) -> None:
        if isinstance(x, (*NUMBERS, *OPAQUE, np.ndarray)) or id(x) in self._seen:
            return
        self._seen[id(x)] = x
        if isinstance(x, Box):
            self.values.append(x)
        elif isinstance(x, (np.random.Generator, np.random.RandomState)):
            bits = x.bit_generator if isinstance(x, np.random.Generator) else x
            self.generators.append((bits, state_of(bits)))
        elif isinstance(x, MethodType):
            self._look_into(x.__self__)
            self._look_into(x.__func__)
        elif isinstance(x, FunctionType):
            self._function(x)
        elif isinstance(x, dict):
            self.lengths.append((x, len(x)))
            for key, value in x.items():
                self._slot(x, key, value)
        elif isinstance(x, (list, tuple)):
            if isinstance(x, list):
                self.lengths.append((x, len(x)))
            for i, value in enumerate(x):
                self._slot(x, i, value)
        elif isinstance(x, (set, frozenset)):
            self.lengths.append((x, len(x)))
        elif isinstance(x, Transform):
            self._look_into(x.__wrapped__)
        elif not isinstance(x, ModuleType):
            self._object(x)

    def _function(self, f: FunctionType) -> None:
        if _is_known(f.__module__):
            for name in ("__wrapped__",):
                if name in f.__dict__:
                    self._slot(f.__dict__, name, f.__dict__[name])
            return
        for cell in f.__closure__ or ():
            try:
                self._slot(cell, None, cell.cell_contents)
            except ValueError:  # it is empty
                continue
        for default in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
            self._look_into(default)
        names = _names_in(f.__code__)
        self._modules.add(id(f.__globals__))
        for name in names:
            if name in f.__globals__:
                value = f.__globals__[name]
                self._slot(f.__globals__, name, value)
                if isinstance(value, ModuleType) and not _is_known(value.__name__):
                    self._modules.add(id(value.__dict__))
                    for inner in names:
                        if inner in value.__dict__:
                            self._slot(value.__dict__, inner, value.__dict__[inner])
        if f.__dict__:
            self._look_into(f.__dict__)

    def _object(self, x: Any) -> None:
        kind = type(x)
        if _is_known(kind.__module__) and not hasattr(x, "__dict__"):
            return
        for name in ("__call__", "forward"):
            method = getattr(kind, name, None)
            if isinstance(method, FunctionType):
                self._look_into(method)
        if hasattr(x, "func") and hasattr(x, "keywords"):  # functools.partial
            for part in (x.func, x.args, x.keywords):
                self._look_into(part)
        names = getattr(x, "__dict__", None)
        if isinstance(names, dict):
            self.lengths.append((names, len(names)))
            for name, value in [*names.items()]:
                self._slot(names, name, value)
        for cls in kind.__mro__:
            for name in _slots_of(cls):
                value = getattr(x, name, MISSING)
                if value is not MISSING and not name.startswith("__"):
                    self._slot(_Attributes(x), name, value)

    def is_replaceable(self, container: Any) -> bool:
        """Whether what is in a container may be something else for a while: nobody else looks there meanwhile."""
        return not isinstance(container, tuple) and id(container) not in self._modules

    # -- looking again

    def holds(self, skip: Any = ()) -> bool:
        """Whether all is as it was, but for the numbers in arrays, which arrays they are, and slots to `skip`."""
        for container, key, value in self.slots:
            now = get(container, key)
            if now is not value and not _equal(now, value):
                if (id(container), key) in skip and type(now) is type(value):
                    continue
                return False
        return all(len(container) == length for container, length in self.lengths)

    def changed(self, skip: Any = ()) -> str:
        """How the function has changed what it captures; "" if it has not, but for slots to `skip`."""
        for container, key, value in self.slots:
            now = get(container, key)
            if now is not value and (id(container), key) not in skip and not _stands_for(now, value):
                return f"changes {_name(container, key)}, which it captures"
        if any(len(container) != length for container, length in self.lengths):
            return "changes the length of a container that it captures"
        return ""

    def numbers(self) -> set[Any]:
        """The slots of Python numbers that are other ones now."""
        return {
            (id(container), key)
            for container, key, value in self.slots
            if type(value) in (int, float) and type(now := get(container, key)) is type(value) and now != value
        }

    def drawn(self) -> bool:
        """Whether random numbers have been drawn."""
        return not all(_same_state(state_of(g), state) for g, state in self.generators)

    def array(self, slot: int) -> Any:
        """The array that is in a slot now."""
        container, key, _ = self.slots[slot]
        return get(container, key)


class _Attributes:
    """The attributes of an object with __slots__, by name."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def get(self, name: str, default: Any) -> Any:
        return getattr(self.x, name, default)


def get(container: Any, key: Any) -> Any:
    """What is in a slot."""
    if key is None and isinstance(container, CellType):
        return container.cell_contents
    if isinstance(container, (list, tuple)):
        return container[key] if key < len(container) else MISSING
    return container.get(key, MISSING)


def put(container: Any, key: Any, x: Any) -> None:
    """Put something into a slot."""
    if key is None and isinstance(container, CellType):
        container.cell_contents = x
    elif isinstance(container, _Attributes):
        setattr(container.x, key, x)
    else:
        container[key] = x


def _name(container: Any, key: Any) -> str:
    return "a variable of its closure" if key is None else repr(key)


def _equal(now: Any, before: Any) -> bool:
    """Whether a program for one is right for the other."""
    kind = type(now)
    if kind is not type(before):
        return False
    if isinstance(now, np.ndarray):
        return bool(now.shape == before.shape and now.dtype == before.dtype)
    if isinstance(now, NUMBERS):
        return bool(now == before or (now != now and before != before))
    if isinstance(now, MethodType):
        return now.__func__ is before.__func__ and now.__self__ is before.__self__
    return False


def _stands_for(now: Any, before: Any) -> bool:
    """Whether it makes no difference that one has been replaced by the other."""
    if type(now) is not type(before) or isinstance(now, np.ndarray):
        return False
    return _equal(now, before) or (isinstance(now, (list, tuple, dict)) and not now and not before)


def _names_in(code: CodeType) -> set[str]:
    names = {*code.co_names}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_in(constant)
    return names


def _slots_of(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_known(module: Any) -> bool:
    return str(module or "").partition(".")[0] in KNOWN


def state_of(generator: Any) -> Any:
    """The state of a random generator, to compare."""
    return generator.get_state() if isinstance(generator, np.random.RandomState) else generator.state


def _same_state(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same_state(a[k], b[k]) for k in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same_state, a, b))
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)
