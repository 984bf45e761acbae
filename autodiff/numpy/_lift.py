"""How a function of NumPy becomes one that gives Values: lists may hold Values, and results are wrapped."""

import functools
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ..creation import as_values, untangling

__all__ = ["Ufunc", "lift", "lifted", "listed"]

FUNCTIONS = (FunctionType, BuiltinFunctionType, type(np.sum))
UFUNC_METHODS = frozenset(("accumulate", "at", "outer", "reduce", "reduceat"))


def lift(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with its results as Values."""
    taking = untangling(function)

    @functools.wraps(function)
    def lifted(*args: Any, **kwargs: Any) -> Any:
        return as_values(taking(*args, **kwargs))

    return lifted


class Ufunc:
    """A ufunc that gives Values, and so do its methods `reduce`, `outer` and so on."""

    def __init__(self, ufunc: np.ufunc) -> None:
        functools.update_wrapper(self, ufunc)
        self.lifted = lift(ufunc)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.lifted(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__dict__["__wrapped__"], name)
        return lift(value) if name in UFUNC_METHODS else value

    def __repr__(self) -> str:
        return repr(self.__dict__["__wrapped__"])


def lifted(module: ModuleType) -> dict[str, Any]:
    """The public names of a module: its functions lifted, everything else as it is."""

    def lift_one(x: Any) -> Any:
        if isinstance(x, np.ufunc):
            return Ufunc(x)
        return lift(x) if isinstance(x, FUNCTIONS) else x

    return {name: lift_one(x) for name, x in vars(module).items() if not name.startswith("_")}


def listed(names: Iterable[str]) -> list[str]:
    """Names in the order of an `__all__`: constants, classes, the rest."""
    return sorted(names, key=lambda n: (0 if n.isupper() and len(n) > 1 else 1 if n[0].isupper() else 2, n))
