"""Plain NumPy buffers inside transforms: what lets `import numpy as np` code fill arrays with Values.

    def f(x):
        out = np.empty(3)              # an untracked Value while a transform runs f, an ndarray otherwise
        for i in range(3):
            out[i] = x[i] ** 2         # so this is recorded
        return out.sum()

While a transform runs f, the names that mean numpy, or one of its functions, in f's own module and in its
neighbours (loaded modules of the same package or folder) point to stand-ins. Other threads see them too; but
they do as NumPy does unless a transform runs in the context that asks. NumPy itself is never touched, nor is an
installed package, unless `watch` names it.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, Self

from .errors import OperandError
from .stand_ins import RUNNING, SWAPPED, USUAL

__all__ = ["watch", "watching"]

Namespace = dict[str, Any]


# -- the swap


class _Group:
    """Modules whose names are swapped together, counted: the last transform to leave puts them back."""

    def __init__(self, key: Any) -> None:
        self.key = key
        self.count = 0
        self.namespaces: list[Namespace] = []
        self.size = -1  # how many names they had when they were looked through
        self.places: list[tuple[Namespace, str, Any, Any]] = []  # a namespace, a name, and its pair
        self.others: list[tuple[Namespace, str, int]] = []  # a usual name of something else, by id
        self.done: list[tuple[Namespace, str, Any, Any]] = []  # the places that this group has swapped

    def enter(self) -> None:
        self.count += 1
        if self.size != sum(map(len, self.namespaces)) or (
            self.others and any(id(names.get(name)) != seen for names, name, seen in self.others)
        ):
            self._look_through()
        elif self.count > 1:
            return
        for place in self.places:
            names, name, plain, stand_in = place
            if names.get(name) is plain:
                names[name] = stand_in
                self.done.append(place)

    def leave(self) -> None:
        self.count -= 1
        if not self.count:
            for names, name, plain, stand_in in self.done:
                if names.get(name) is stand_in:  # else the program has rebound it
                    names[name] = plain
            self.done.clear()

    def _look_through(self) -> None:
        self.places, self.others = [], []
        for names in self.namespaces:
            for name, value in names.copy().items():
                if id(value) in SWAPPED:
                    self.places.append((names, name, *SWAPPED[id(value)]))
                elif name in USUAL:
                    self.others.append((names, name, id(value)))
        self.size = sum(map(len, self.namespaces))


class _Swaps:
    """What is swapped now, and what would be for a function. One lock for all of it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.loaded: Any = None  # changes when modules are loaded
        self.watched: tuple[str, ...] = ()
        self.groups: dict[Any, _Group] = {}  # by folder, by name if watched, by id if no module's
        self.homes: dict[int, tuple[Namespace, list[_Group]]] = {}  # by id of the namespace, which it keeps alive

    def enter(self, f: Any) -> list[_Group]:
        with self.lock:
            loaded = len(sys.modules), next(reversed(sys.modules))
            if loaded != self.loaded:
                self._forget()
                self.loaded = loaded
            while type(f).__module__ == TRANSFORM:
                f = f.__wrapped__
            if type(f) is FunctionType and not f.__dict__:
                groups = self._groups_of(f.__globals__)
            else:
                groups = [group for names in _namespaces(f) if names for group in self._groups_of(names)]
            for group in groups:
                group.enter()
            return groups

    def leave(self, groups: list[_Group]) -> None:
        with self.lock:
            for group in groups:
                group.leave()
                if not group.count and type(group.key) is int:
                    self.groups.pop(group.key, None)

    def watch(self, add: tuple[str, ...] = (), drop: tuple[str, ...] = ()) -> None:
        with self.lock:
            left = [*self.watched, *add]
            for name in drop:
                left.remove(name)
            self.watched = tuple(left)
            self._forget()

    def _forget(self) -> None:
        """Find out anew what belongs together."""
        self.homes.clear()
        for key, group in [*self.groups.items()]:
            group.size = -1
            if not group.count:
                del self.groups[key]

    def _groups_of(self, names: Namespace) -> list[_Group]:
        """The groups of a function with these globals; watched ones first, as they outlast the others."""
        found = self.homes.get(id(names))
        if found is not None:
            return found[1]
        groups = [self._group(w, functools.partial(_is_part, w)) for w in {*self.watched}]
        home = _home(names)
        if home:
            groups.append(self._group(home, functools.partial(_is_neighbour, home)))
        if _names(sys.modules.get(names.get("__name__", ""))) is names:
            self.homes[id(names)] = names, groups
        else:  # a doctest's or exec's: forgotten after the call
            groups.append(self._group(id(names), None))
            groups[-1].namespaces = [names]
        return groups

    def _group(self, key: Any, belongs: Callable[[Namespace], bool] | None) -> _Group:
        group = self.groups.setdefault(key, _Group(key))
        if belongs and group.size < 0:
            group.namespaces = [*filter(belongs, map(_names, sys.modules.copy().values()))]
        return group


SWAPS = _Swaps()
if hasattr(os, "register_at_fork"):  # another thread may have held it
    os.register_at_fork(after_in_child=lambda: setattr(SWAPS, "lock", threading.RLock()))


def _names(module: Any) -> Namespace:
    """The globals of a module, which may be one that loads itself when it is asked for an attribute."""
    try:
        return object.__getattribute__(module, "__dict__")
    except AttributeError:
        return {}


def _namespaces(f: Any) -> Iterator[Namespace]:
    """The globals of a function and of what it wraps; for an object, of its class and its __call__."""
    while f is not None:
        if isinstance(f, functools.partial):
            f = f.func
            continue
        f = getattr(f, "__func__", f)
        if hasattr(f, "__globals__"):
            yield f.__globals__
        else:
            yield _names(sys.modules.get(type(f).__module__))
            yield getattr(type(f).__call__, "__globals__", {})
        f = getattr(f, "__wrapped__", None)


def _home(names: Namespace) -> str:
    """The folder from which a module's top level was loaded; "" for NumPy, for us, and for what is installed.

    A module without a file is at home in itself, an interactive session in the working directory.
    """
    spec = names.get("__spec__")
    name: str = getattr(spec, "name", None) or names.get("__name__") or ""
    file = names.get("__file__") or (os.path.join(os.getcwd(), "it") if name == "__main__" else None)
    if name.partition(".")[0] in LEFT_ALONE:
        return ""
    if not isinstance(file, str):
        return "" if not name or name in sys.builtin_module_names or "__path__" in names else f"<{name}>"
    folder = os.path.abspath(file)
    for _ in range(name.count(".") + 1 + ("__path__" in names)):
        folder = os.path.dirname(folder)
    is_standard = f"{folder}{os.sep}".startswith(STANDARD)
    return "" if is_standard or not INSTALLED.isdisjoint(folder.split(os.sep)) else folder


def _is_part(package: str, names: Namespace) -> bool:
    """Whether a module is the package that is watched, or in it."""
    return f"{names.get('__name__')}.".startswith(f"{package}.")


def _is_neighbour(home: str, names: Namespace) -> bool:
    """Whether a module is at home there, and does not define an array class of its own.

    NumPy's functions call such a class in the midst of our own computations, where it has to work as ever.
    """
    file = names.get("__file__")
    if isinstance(file, str) and os.path.isabs(file) and not file.startswith(home):
        return False  # as most are: this is quick to see
    if _home(names) != home:
        return False
    own = [v for v in names.copy().values() if isinstance(v, type) and v.__module__ == names.get("__name__")]
    return names.get("__name__") == "__main__" or not any("__array_function__" in vars(cls) for cls in own)


LEFT_ALONE = frozenset(("numpy", "scipy", __name__.partition(".")[0]))
TRANSFORM = f"{__name__.partition('.')[0]}.transform"  # where the class of what is made of another function is
INSTALLED = frozenset(("site-packages", "dist-packages"))
STANDARD = os.path.join(os.path.dirname(os.__file__), "")


# -- what transforms and users call


class watching:
    """Run the function of a transform: `with watching(f): f(...)`."""

    __slots__ = ("f", "groups", "token")

    def __init__(self, f: Any) -> None:
        self.f = f

    def __enter__(self) -> None:
        self.groups = SWAPS.enter(self.f)
        self.token = RUNNING.set(True)

    def __exit__(self, *exception: object) -> None:
        RUNNING.reset(self.token)
        SWAPS.leave(self.groups)


class watch:
    """Let transforms reach into a module or package elsewhere: there too, np.empty and the like take Values.

    By default they do in the module of the function that is differentiated, and in those of the same package or
    folder. `watch(module)` adds one, with its submodules, until `stop()` or the end of a `with` block.

    >>> import json
    >>> with watch(json):
    ...     pass

    Raises OperandError for NumPy and for this package.
    """

    def __init__(self, *modules: Any) -> None:
        names = tuple(getattr(m, "__name__", "") if isinstance(m, ModuleType) else m for m in modules)
        for name in names:
            if not isinstance(name, str) or name.partition(".")[0] in LEFT_ALONE - {"scipy"}:
                raise OperandError(f"watch: got {name!r}; pass modules or their names, but neither NumPy nor autodiff")
        self._names = names
        SWAPS.watch(add=names)

    def stop(self) -> None:
        """Undo it."""
        names, self._names = self._names, ()
        SWAPS.watch(drop=names)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
