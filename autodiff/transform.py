"""What all transforms share: a function made of another one that can be inspected, pickled and used as a decorator.

@transform
def twice(f, *, times=2):          # how a transform is declared: from f to the function that is called
    return lambda *args: times * f(*args)

twice(np.sin)(1.0)                 # a Transform: repr, inspect.signature and pickle know np.sin behind it
@twice(times=3)                    # without f, a decorator
def g(x): ...
"""

import functools
import sys
from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any, ParamSpec

from .batched import check_running
from .convert import describe, is_array
from .errors import OperandError
from .value import Value

__all__ = ["Transform", "check_callable", "check_numbers", "name_of", "transform"]

Function = Callable[..., Any]
P = ParamSpec("P")


class Transform:
    """A function made of `f` by one of the transforms. It has the name, docstring and signature of `f`.

    >>> import inspect
    >>> from autodiff import grad
    >>> def area(radius):
    ...     return 3 * radius**2
    >>> grad(area), inspect.signature(grad(area))
    (grad(area), <Signature (radius)>)
    """

    def __init__(self, made_by: Function, call: Function, f: Function, args: Any, kwargs: Any) -> None:
        self._made = made_by, (f, *args), kwargs
        self._call = call
        self.__wrapped__ = f
        names = self.__dict__
        for name in "__module__", "__name__", "__qualname__", "__doc__":
            value = getattr(f, name, None)
            if value is not None:
                names[name] = value
        signature = getattr(call, "__signature__", None)
        if signature is not None:
            names["__signature__"] = signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        is_bound = instance is not None and not isinstance(self.__wrapped__, staticmethod)
        return MethodType(self, instance) if is_bound else self

    def __getattr__(self, name: str) -> Any:
        if name in ("explain", "cache_info"):  # of what jit makes
            return getattr(self._call, name)
        raise AttributeError(f"{self!r} has no attribute {name!r}")

    def __repr__(self) -> str:
        made_by, (f, *args), kwargs = self._made
        given = [name_of(f), *map(repr, args), *(f"{k}={v!r}" for k, v in kwargs.items())]
        return f"{made_by.__name__}({', '.join(given)})"

    def __reduce__(self) -> Any:
        found: Any = sys.modules.get(self.__dict__.get("__module__", ""))
        for name in str(self.__dict__.get("__qualname__", "")).split("."):
            found = getattr(found, name, None)
        if found is self:  # f was decorated: its name leads here
            return self.__dict__["__qualname__"]
        return _make, self._made


def _make(made_by: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return made_by(*args, **kwargs)


def transform(make: Callable[P, Function]) -> Callable[P, Any]:
    """Declare a transform: `make(f, ...)` returns the function that is called. Its result becomes a Transform."""

    @functools.wraps(make)
    def public(*args: Any, **kwargs: Any) -> Any:
        if args:
            f, *args = args  # type: ignore[assignment]
        else:
            f = kwargs.pop("f", None)
        if f is None:
            return functools.partial(_decorate, public, args, kwargs)
        if isinstance(f, classmethod):
            raise OperandError(f"{make.__name__}: it cannot decorate a classmethod; write @classmethod above it")
        check_callable(make.__name__, f, f"{make.__name__}(f)(x)")
        return Transform(public, make(f, *args, **kwargs), f, args, kwargs)

    return public


def _decorate(public: Function, args: tuple[Any, ...], kwargs: dict[str, Any], f: Function) -> Any:
    return public(f, *args, **kwargs)


def check_callable(name: str, f: Any, usage: str) -> None:
    """Raise OperandError if the first argument of a transform is no function."""
    if not callable(f):
        raise OperandError(
            f"{name}: the first argument is a {type(f).__name__}; pass the function itself, as in {usage}, not what it "
            "returns"
        )


def check_numbers(name: str, f: Any, outputs: Iterable[Any]) -> None:
    """Raise OperandError if something that `f` has returned to a transform is no array, or of a vmap that has ended."""
    for y in outputs:
        if not isinstance(y, (Value, int, float, complex)) and not is_array(y):
            raise OperandError(f"{name}: {name_of(f)} must return arrays, it returned {describe(y)}")
        if isinstance(y, Value):
            check_running(y._array, f"{name}: {name_of(f)} returned")


def name_of(f: Any) -> str:
    """How messages call a function."""
    return repr(f) if isinstance(f, Transform) else getattr(f, "__name__", None) or type(f).__name__
