"""What a function uses besides its arguments: its closure, defaults, globals, and the attributes of objects there.

A program is for the values that were found when it was recorded. Before it runs they are looked up again: numbers,
texts, functions have to be the same, arrays are read anew. A slot is a place where something was found: a container
and a key. What the function itself changes there (`self.steps += 1`) is seen when it has run.

Functions and classes are looked into, with the globals and modules that their code names; those of NumPy, of Python's
library and of installed packages are taken to stay as they are. Closures and objects are looked into wherever they are
from, and the function itself is, unless it is NumPy's, Python's or ours.
"""

import array
import contextvars
import functools
import io
import operator
import os
import random
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, MappingView
from typing import Any

import numpy as np

from ..box import Box, Inner
from ..tape import RECORDING
from ..transform import Transform
from .code import global_names, is_installed, is_known, makes_generators, modules_of, names_in
from .draws import bits_of, same_state, state_of
from .recorded import Recorded
from .slots import (
    ABSENT,
    NUMBERS,
    Attributes,
    Inside,
    Kind,
    Members,
    Variable,
    alike,
    content,
    equal,
    get,
    is_number,
    spot,
)

__all__ = ["Captures", "TooManyError"]

LIMIT = 5000  # slots
LARGE = 65536  # bytes of an array
OPAQUE = (Inner, np.ufunc, np.dtype, type(None), range, slice)
WRAPPED = (staticmethod, classmethod)
RANDOM = (
    np.random.Generator, np.random.RandomState, np.random.BitGenerator, np.random.SeedSequence, random.Random
)  # fmt: skip
DATA = (bytearray, memoryview, array.array, set)  # compared as a whole
VIEWS: Any = (type({}.keys()), type({}.values()), type({}.items()))
MUTATORS = ("__setitem__", "__delitem__", "__iadd__", "append", "put", "add")
WRITTEN_IN_C = (types.WrapperDescriptorType, types.MethodDescriptorType)


class TooManyError(Exception):
    """There is more than can be looked up at each call."""


class Captures:
    """What can be reached from `roots`: slots, and among these arrays, Values and random generators."""

    def __init__(self, roots: Iterable[Any], globals_too: bool = False) -> None:
        self.globals_too = globals_too  # whether globals may be replaced, which other threads may see
        self.slots: list[tuple[Any, Any, Any]] = []  # container, key, what was there
        self.lengths: list[tuple[Any, int]] = []
        self.orders: list[tuple[Any, tuple[Any, ...]]] = []  # dicts and their keys
        self.contents: list[tuple[Any, Any]] = []  # what is compared as a whole, and a copy
        self.functions: list[tuple[Any, Any, Any, Any]] = []  # with their code and defaults
        self.arrays: dict[int, tuple[Any, int]] = {}  # by id: the array, and its slot
        self.values: list[Box] = []
        self.same: list[tuple[int, int]] = []  # slots with the same array
        self.fixed: set[int] = set()  # arrays by id that cannot be replaced in all their places
        self.generators: list[tuple[Any, Any]] = []  # and their state
        self.circular = False  # whether it holds one of the further roots
        self.refused = ""  # why there can be no program
        self._seen: dict[int, Any] = {}
        self._spots: set[Any] = set()
        self._modules: set[int] = set()  # the globals of modules, by id
        self._found: dict[int, types.ModuleType] = {}  # modules, but for known ones
        self._names: set[str] = set()  # in functions
        roots = [*roots]
        self._roots = {id(x) for x in roots}
        self._own = {id(x) for x in roots[1:] if not isinstance(x, type)}
        for root in roots:
            self._look_into(root)
        self._attributes_of_modules()
        self._seen.clear()
        self._spots.clear()
        self.tracked = [v._node is not None for v in self.values]
        self.recording = RECORDING.get()

    # -- looking for what there is

    def _slot(self, container: Any, key: Any, value: Any) -> None:
        if len(self.slots) >= LIMIT:
            raise TooManyError
        if spot(container, key) in self._spots:
            return
        self._spots.add(spot(container, key))
        self.slots.append((container, key, value))
        if isinstance(value, np.ndarray):
            first = self.arrays.setdefault(id(value), (value, len(self.slots) - 1))[1]
            if first != len(self.slots) - 1:
                self.same.append((len(self.slots) - 1, first))
            if not self.is_replaceable(container, value):
                self.fixed.add(id(value))
            for i, item in enumerate(value.flat) if value.dtype == object else ():
                self._slot(Inside(value), i, item)
        self._look_into(value)

    def _look_into(self, x: Any) -> None:
        if x is ABSENT or isinstance(x, (*NUMBERS, *OPAQUE, np.ndarray)) or id(x) in self._seen:
            self.circular = self.circular or id(x) in self._own
            return
        self._seen[id(x)] = x
        if isinstance(x, Box):
            self.values.append(x)
        elif isinstance(x, RANDOM):
            bits = bits_of(x)
            self.generators.append((bits, _state_of(bits)))
        elif isinstance(x, (types.MethodType, types.BuiltinFunctionType)):
            self._look_into(x.__self__)
            self._look_into(getattr(x, "__func__", None))
        elif isinstance(x, types.FunctionType):
            self._function(x)
        elif isinstance(x, dict):
            self.lengths.append((x, len(x)))
            self.orders.append((x, (*x,)))
            for key, value in [*x.items()]:
                self._slot(x, key, value)
            self._attributes(x)
        elif isinstance(x, VIEWS):
            self._look_into(x.mapping)
        elif isinstance(x, MappingView):  # of a mapping written in Python
            self._look_into(getattr(x, "_mapping", None))
        elif isinstance(x, types.MappingProxyType):
            self.orders.append((x, (*x,)))
            for key in (*x,):
                self._slot(Inside(x), key, x[key])
        elif isinstance(x, (list, tuple, deque)):
            if not isinstance(x, tuple):
                self.lengths.append((x, len(x)))
            for i, value in enumerate([*x]):
                self._slot(x, i, value)
            self._attributes(x)
        elif isinstance(x, (*DATA, frozenset)):
            if not isinstance(x, frozenset):
                self.contents.append((x, content(x)))
            for value in [*x] if isinstance(x, (set, frozenset)) else ():
                self._look_into(value)
            self._attributes(x)
        elif isinstance(x, Transform):
            self._look_into(x.__wrapped__)
        elif isinstance(x, type):
            self._class(x)
        elif isinstance(x, contextvars.ContextVar):
            self._slot(Variable(x), "", x.get(ABSENT))
        elif isinstance(x, types.ModuleType):
            if not is_known(x.__name__):
                self._found[id(x)] = x
                self._modules.add(id(x.__dict__))
        elif isinstance(x, weakref.ref):
            self._look_into(x())
        else:
            self._object(x)

    def _function(self, f: types.FunctionType) -> None:
        for cell in f.__closure__ or ():
            self._slot(cell, None, get(cell, None))
        self._look_into(f.__defaults__)
        self._look_into(f.__kwdefaults__)
        if is_installed(f.__module__) and (is_known(f.__module__) or id(f) not in self._roots):
            if "__wrapped__" in f.__dict__:
                self._slot(f.__dict__, "__wrapped__", f.__wrapped__)  # type: ignore[attr-defined]
            return
        self.functions.append((weakref.ref(f), f.__code__, f.__defaults__, f.__kwdefaults__))
        names = names_in(f.__code__)
        self._modules.add(id(f.__globals__))
        looked_up = global_names(f.__code__)
        for name in names:
            if name in f.__globals__:
                self._slot(f.__globals__, name, f.__globals__[name])
            elif name in looked_up:
                self._slot(f.__globals__, name, ABSENT)
        self._names |= names
        if not names.isdisjoint(("environ", "getenv")):
            self._look_into(os.environ)
        if makes_generators(f.__code__):
            self.refused = "makes a random generator without a seed"
        for module in modules_of(f):
            self._look_into(module)
        if f.__dict__:
            self._look_into(f.__dict__)

    def _attributes_of_modules(self) -> None:
        """What functions may use of modules: what has one of the names in them."""
        seen: set[tuple[int, str]] = set()
        while True:
            pairs = [(m.__dict__, name) for m in self._found.values() for name in self._names if name in m.__dict__]
            new = [(names, name) for names, name in pairs if (id(names), name) not in seen]
            if not new:
                return
            for names, name in new:
                seen.add((id(names), name))
                self._slot(names, name, names[name])

    def _class(self, cls: type) -> None:
        for base in cls.__mro__:
            if not is_installed(base.__module__) and (base is cls or id(base) not in self._seen):
                self._seen[id(base)] = base
                members = Members(base)
                for name, value in [*vars(base).items()]:
                    if name not in members.dull:
                        self._slot(members, name, value)

    def _object(self, x: Any) -> None:
        kind = type(x)
        if isinstance(x, WRAPPED):
            self._look_into(x.__func__)
        elif isinstance(x, property):
            for function in (x.fget, x.fset, x.fdel):
                self._look_into(function)
        elif isinstance(x, functools.partial):
            for part in (x.func, x.args, x.keywords):
                self._look_into(part)
        if is_known(kind.__module__) and isinstance(x, Iterator) and not hasattr(x, "__dict__"):
            if not isinstance(x, io.IOBase):
                self.refused = f"captures an iterator, a {kind.__name__}"
        elif _is_buffer(x):
            self.contents.append((x, content(x)))
            if hasattr(kind, "contents"):
                self.refused = f"captures a pointer, a {kind.__name__}"
        elif any(isinstance(getattr(kind, name, None), WRITTEN_IN_C) for name in MUTATORS):
            self.refused = f"captures a {kind.__name__}, which cannot be looked into"
        if not is_known(kind.__module__) or hasattr(x, "__dict__"):
            self._look_into(kind)
            self._attributes(x)

    def _attributes(self, x: Any) -> None:
        kind = type(x)
        names = getattr(x, "__dict__", None)
        if isinstance(names, dict):
            self.lengths.append((names, len(names)))
            self.orders.append((names, (*names,)))
            for name, value in [*names.items()]:
                self._slot(names, name, value)
        for cls in kind.__mro__:
            for name in _slots_of(cls):
                self.circular = self.circular or id(x) in self._own
                self._slot(Attributes(x), name, getattr(x, name, ABSENT))

    def is_replaceable(self, container: Any, x: Any = None) -> bool:
        """Whether what is in a container, `x`, may be something else for a while.

        Other threads may see what is in a global; but to look at all of a large array at each call takes long.
        """
        if isinstance(container, (tuple, Members, Variable, Inside)):
            return False
        is_large = isinstance(x, np.ndarray) and x.nbytes > LARGE
        return self.globals_too or is_large or id(container) not in self._modules

    def has_globals(self) -> bool:
        """Whether there are global arrays that are left where they are."""
        return any(self.is_global(self.slots[slot][0]) for _, slot in self.arrays.values())

    def is_global(self, container: Any) -> bool:
        """Whether it holds the names of a module."""
        return id(container) in self._modules

    # -- looking again

    def settle(self) -> None:
        """Keep of arrays what has to be the same only, as the run that looked for them has ended."""
        self.slots = [
            (container, key, Kind(x) if isinstance(x, np.ndarray) and x.dtype != object else x)
            for container, key, x in self.slots
        ]
        self.arrays.clear()

    def holds(self, skip: Any = ()) -> bool:
        """Whether all is as it was, but for the numbers in arrays, which arrays they are, and slots to `skip`."""
        for container, key, value in self.slots:
            kind = type(container)
            if kind is dict:
                now = container.get(key, ABSENT)
            elif kind is list and key < len(container):
                now = container[key]
            else:
                now = get(container, key)
            if now is value:
                continue
            if type(value) is Kind:
                if type(now) is value.type and now.shape == value.shape and now.dtype is value.dtype:
                    continue
            if not equal(now, value):
                if spot(container, key) in skip and type(now) is type(value):
                    continue
                return False
        for slot, first in self.same:
            if self.array(slot) is not self.array(first):
                return False
        for function, code, defaults, keyword_defaults in self.functions:
            f = function()
            if (
                f is None
                or f.__code__ is not code
                or f.__defaults__ is not defaults
                or f.__kwdefaults__ is not keyword_defaults
            ):
                return False
        if self.values:
            if [v._node is not None for v in self.values] != self.tracked:
                return False
            if self.recording != RECORDING.get() and any(self.tracked):
                return False
        return self._same_contents()

    def _same_contents(self) -> bool:
        for container, length in self.lengths:
            if len(container) != length:
                return False
        for names, keys in self.orders:
            if len(names) != len(keys) or not all(map(operator.is_, names, keys)):
                return False
        return all(content(x) == before for x, before in self.contents)

    def changed(self, skip: Any = ()) -> str:
        """How the function has changed what it captures; "" if it has not, but for slots to `skip`."""
        for container, key, value in self.slots:
            now = get(container, key)
            if now is not value and spot(container, key) not in skip and not alike(now, value):
                return f"changes {_name(container, key)}, which it captures"
        if not self._same_contents():
            return "changes the length of a container that it captures"
        return ""

    def numbers(self, globals_too: bool = False) -> set[Any]:
        """The slots of numbers that are other ones now, and can be inputs."""
        return {
            spot(container, key)
            for container, key, value in self.slots
            if is_number(value) and _is_another(get(container, key), value)
            if self.is_replaceable(container) or (globals_too and self.is_global(container))
        }

    def drawn(self, noted: Any = ()) -> bool:
        """Whether random numbers have been drawn, but from those whose bits are `noted`."""
        return not all(id(g) in noted or same_state(_state_of(g), state) for g, state in self.generators)

    def array(self, slot: int) -> Any:
        """The array that is in a slot now."""
        container, key, _ = self.slots[slot]
        return get(container, key)


def _is_another(now: Any, number: Any) -> bool:
    """Whether there is another number of the same kind, or one that is recorded."""
    data = now._array if isinstance(now, Box) and now._node is None else now
    if type(data) is not Recorded:
        return type(now) is type(number) and not equal(now, number)
    if data.weak is not None:
        return data.weak is type(number)
    return isinstance(number, np.generic) and not data.ndim and bool(data.dtype == number.dtype)


def _name(container: Any, key: Any) -> str:
    return "a variable of its closure" if key is None else repr(key)


def _is_buffer(x: Any) -> bool:
    try:
        return memoryview(x).nbytes >= 0
    except (TypeError, ValueError, BufferError):
        return False


def _slots_of(cls: type) -> list[str]:
    """The names of the attributes that a class declares with __slots__, as they are stored."""
    slots = cls.__dict__.get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    private = [name.startswith("__") and not name.endswith("__") for name in names]
    mangled = f"_{cls.__name__.lstrip('_')}"
    return [
        f"{mangled}{name}" if hidden else name
        for name, hidden in zip(names, private, strict=True)
        if name not in ("__dict__", "__weakref__")
    ]


def _state_of(generator: Any) -> Any:
    """The state of a random generator, to compare."""
    if isinstance(generator, random.Random):
        return generator.getstate()
    return state_of(generator) if isinstance(generator, np.random.RandomState) else generator.state
