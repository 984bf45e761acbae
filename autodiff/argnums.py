"""Which arguments a transform differentiates: positions, names of parameters, or several of both.

chosen = Argnums("grad", f, ("w", 1))             # once, when the transform is made: looks up the signature of f
keys = chosen.keys(args, kwargs)                  # at each call: an int for an item of args, a str for one of kwargs
values = chosen.take(args, kwargs, keys)
args, kwargs = chosen.put(args, kwargs, keys, new)
chosen.pack(gradients)                            # bare for a single one, else a tuple
"""

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import OperandError
from .transform import name_of

__all__ = ["Argnums"]

Key = int | str


class Argnums:
    """The arguments `argnums` of `f`, for the transform of that name. It does not change, and may be shared.

    A position counts the positional arguments of a call, from the end if it is negative. A name is that of a
    parameter, however it is passed, or of one that `**kwargs` takes.

    >>> chosen = Argnums("grad", lambda x, y: x * y, ("y", 0))
    >>> chosen.keys((1.0,), {"y": 2.0}), chosen.keys((1.0, 2.0), {})
    (['y', 0], [1, 0])

    Raises OperandError for what names no argument of `f`, or one twice.
    """

    __slots__ = ("entries", "f", "given", "least", "names", "single", "transform")

    def __init__(self, transform: str, f: Callable[..., Any], argnums: Any) -> None:
        self.transform, self.f, self.given = transform, f, argnums
        self.single = isinstance(argnums, str) or hasattr(argnums, "__index__")
        try:
            entries = [i if isinstance(i, str) else _position(i) for i in ((argnums,) if self.single else argnums)]
        except TypeError as error:
            raise OperandError(
                f"{transform}: argnums={argnums!r}; it is a position, a name, or a tuple of these"
            ) from error
        if len(set(entries)) < len(entries):
            raise self._twice()
        self.names = (
            [i if isinstance(i, str) else None for i in entries] if any(isinstance(i, str) for i in entries) else []
        )
        signature = self._signature() if self.names else {}
        self.entries = [self._found(i, signature) if isinstance(i, str) else i for i in entries]
        # how many positional arguments a call needs for the positions to be the keys themselves
        is_plain = not self.names and all(i >= 0 for i in self.entries)  # type: ignore[operator]
        self.least = max(self.entries, default=-1) + 1 if is_plain else None  # type: ignore[operator]

    def keys(self, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
        """Where the arguments are in a call: positions in `args`, names in `kwargs`."""
        if self.least is not None and len(args) >= self.least:
            return self.entries
        keys = [self._key(entry, len(args), kwargs) for entry in self.entries]
        if len(set(keys)) < len(keys):
            raise self._twice()
        return keys

    def labels(self, keys: Sequence[Any]) -> Sequence[Any]:
        """What messages call the arguments at `keys`: their names, where these were given, or positions."""
        return [name or key for name, key in zip(self.names, keys, strict=True)] if self.names else keys

    @staticmethod
    def take(args: Sequence[Any], kwargs: dict[str, Any], keys: Sequence[Any]) -> list[Any]:
        """The arguments at `keys`."""
        return [kwargs[key] if type(key) is str else args[key] for key in keys]

    @staticmethod
    def put(
        args: Sequence[Any], kwargs: dict[str, Any], keys: Sequence[Any], new: Sequence[Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call with others at `keys`."""
        args = [*args]
        for key, value in zip(keys, new, strict=True):
            if type(key) is str:
                kwargs = {**kwargs, key: value}
            else:
                args[key] = value
        return args, kwargs

    def pack(self, results: Sequence[Any]) -> Any:
        """One result for one argument; a tuple if `argnums` was a sequence."""
        return results[0] if self.single else tuple(results)

    # -- finding out

    def _signature(self) -> Any:
        try:
            return inspect.signature(self.f).parameters
        except (TypeError, ValueError) as error:
            raise OperandError(
                f"{self.transform}: argnums={self.given!r}, but Python does not know the parameters of "
                f"{name_of(self.f)}; give positions, as in argnums=0"
            ) from error

    def _found(self, name: str, parameters: Any) -> tuple[str | None, int | None]:
        """The keyword and the position by which a parameter may be given."""
        p = parameters.get(name)
        position = [*parameters].index(name) if p is not None else None
        takes_any = any(q.kind is q.VAR_KEYWORD for q in parameters.values())
        if p is not None and p.kind is p.VAR_POSITIONAL:
            raise self._wrong(f"*{name} of {name_of(self.f)} is any number of arguments; give their positions")
        if (p is None or p.kind is p.VAR_KEYWORD) and takes_any:
            return name, None
        if p is None:
            raise self._wrong(f"the parameters of {name_of(self.f)} are {', '.join(parameters) or 'none'}")
        if p.kind is p.POSITIONAL_ONLY:
            return None, position
        return name, None if p.kind is p.KEYWORD_ONLY else position

    def _key(self, entry: Any, count: int, kwargs: dict[str, Any]) -> Key:
        if isinstance(entry, int):
            if not -count <= entry < count:
                raise self._wrong(f"{name_of(self.f)} was called with {count} arguments")
            return entry % count
        keyword, position = entry
        if keyword is not None and keyword in kwargs:
            return str(keyword)
        if position is not None and position < count:
            return int(position)
        missing = keyword or f"argument {position}"
        raise self._wrong(f"{name_of(self.f)} was called without {missing}; pass it, a default is a constant")

    def _wrong(self, reason: str) -> OperandError:
        return OperandError(f"{self.transform}: argnums={self.given!r}, but {reason}")

    def _twice(self) -> OperandError:
        return OperandError(f"{self.transform}: argnums={self.given!r} names an argument twice; name each once")


def _position(i: Any) -> int:
    if isinstance(i, (bool, np.bool_)):
        raise TypeError("a truth value is no position")
    return operator.index(i)
