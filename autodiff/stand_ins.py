"""Stand-ins for numpy and its functions: as NumPy's, unless a transform runs in this very context.

Then what creation functions make of real or complex numbers is an untracked Value, which can be filled with
tracked ones; and functions of arrays may be given lists of Values, as in `np.sum([f(x) for x in xs])`.
See buffers, which puts them into place.
"""

import functools
import importlib
import operator
import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np

from .context import DRAWS
from .creation import CREATORS, UNTANGLING, as_values, untangling

__all__ = ["RUNNING", "SWAPPED", "USUAL", "swap_module"]

RUNNING: ContextVar[bool] = ContextVar("autodiff_running", default=False)  # whether a transform runs in this context


class _Function:
    """A function that is `ours` instead of NumPy's while a transform runs in this context."""

    def __init__(self, plain: Any, ours: Any, path: str) -> None:
        self.plain, self.ours, self.path = plain, ours, path
        functools.update_wrapper(self, plain)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return (self.ours if RUNNING.get() else self.plain)(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return self.plain is other or (isinstance(other, _Function) and self.plain is other.plain)

    def __hash__(self) -> int:
        return hash(self.plain)

    def __reduce__(self) -> Any:
        return operator.attrgetter(self.path), (STAND_IN,)


class _Creator(_Function):
    """The same for a creation function, whose results are made Values."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not RUNNING.get():
            return self.plain(*args, **kwargs)
        made = self.ours(*args, **kwargs)
        if type(made) is np.ndarray and _is_of_another(made, (*args, *kwargs.values())):
            return made  # np.asarray of an array: what is written to it has to reach that one
        return as_values(made, "fc")


def _is_of_another(made: Any, given: Any) -> bool:
    """Whether `made` has the memory of something that it was made of."""
    return any(made is a or (hasattr(a, "__array__") and np.may_share_memory(made, a)) for a in given) or isinstance(
        made.base, (memoryview, bytes, bytearray)
    )


class _Drawing(_Function):
    """The same for a function that draws random numbers, while these are noted."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        note = DRAWS.get()
        return self.plain(*args, **kwargs) if note is None else note(self.plain, args, kwargs)


class _Indexed:
    """np.mgrid, np.ogrid, np.r_ or np.c_, likewise."""

    def __init__(self, plain: Any, ours: Any) -> None:
        self.plain, self.ours = plain, ours

    def __getitem__(self, key: Any) -> Any:
        return as_values(self.ours[key], "fc") if RUNNING.get() else self.plain[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


class _StandIn(ModuleType):
    """A module with some other functions; everything else is the same object. It pickles as the module."""

    def __init__(self, module: ModuleType, **others: Any) -> None:
        super().__init__(module.__name__)
        self.__dict__.update(vars(module), **others)
        self.__dict__["__getattr__"] = functools.partial(getattr, module)  # what it loads late, or is given later

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(sys.modules[self.__name__], name, value)
        super().__setattr__(name, value)

    def __reduce__(self) -> Any:
        return importlib.import_module, (self.__name__,)


def _functions() -> Iterator[tuple[str, Any]]:
    """The stand-ins of NumPy's functions."""
    for name, ours in CREATORS.items():
        plain = getattr(np, name)
        yield name, _Creator(plain, ours, name) if callable(plain) else _Indexed(plain, ours)
    for name, ours in UNTANGLING.items():
        yield name, ours if isinstance(ours, type) else _Function(getattr(np, name), ours, name)


def _linalg() -> Iterator[tuple[str, Any]]:
    for name, plain in vars(np.linalg).items():
        if hasattr(plain, "__wrapped__"):
            yield name, _Function(plain, untangling(plain), f"linalg.{name}")


LINALG = _StandIn(np.linalg, **dict(_linalg()))
STAND_IN = _StandIn(np, **dict(_functions()), linalg=LINALG)
SWAPPED = {
    id(x): (plain, new)
    for module, stand_in in ((np, STAND_IN), (np.linalg, LINALG))
    for plain, new in [(module, stand_in), *((v, vars(stand_in)[k]) for k, v in vars(module).items() if k[0] != "_")]
    if plain is not new
    for x in (plain, new)
}


def swap_module(module: ModuleType, names: Iterable[str]) -> None:
    """Make stand-ins for functions that draw, in a module of NumPy's that is loaded late: only jit needs them."""
    path = module.__name__.partition(".")[2]
    drawing = {name: _Drawing(vars(module)[name], None, f"{path}.{name}") for name in names}
    stand_in = _StandIn(module, **drawing)
    vars(STAND_IN)[path] = stand_in
    for plain, new in ((module, stand_in), *((vars(module)[name], new) for name, new in drawing.items())):
        SWAPPED[id(plain)] = SWAPPED[id(new)] = plain, new


USUAL = frozenset(("np", "numpy", *CREATORS))  # names by which NumPy and its functions go
