"""Regions of an array: the places that a chain of views and an index lead to.

A *path* is a tuple of steps `(function, rest, kwargs)`, each a NumPy function that returns a view, such as
`(np.transpose, (), {})` or `(getitem, (slice(1, None),), {})`. `follow` walks it. On a plain array it ends
in NumPy's own view, so one can read there and write there.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .arrays import add_at, dispatchable, getitem, inner_of, restore, scatter_add, zeros
from .batched import Batched, levels_of, run, union, widened
from .box import Box
from .case import Case
from .spec import Spec

__all__ = [
    "Path",
    "ReadCase",
    "add",
    "at",
    "embed",
    "follow",
    "levels_on",
    "narrows",
    "place",
    "punch",
    "shares",
    "step_to",
    "walk",
    "zero",
]

Step = tuple[Any, tuple[Any, ...], dict[str, Any]]
Path = tuple[Step, ...]


def at(x: Any, key: Any) -> Any:
    """`x[key]` on a plain array: a step of a path."""
    inner = inner_of(key)
    if inner is None:
        return x[key]
    return run(operator.getitem, (x, key), {}) if levels_of(key) else getitem(x, key)


def levels_on(path: Path) -> Any:
    """The levels of the indices on a path."""
    return union(levels_of(rest) for _, rest, _ in path)


def walk(x: Any, path: Path) -> Any:
    """`follow` for plain arrays."""
    for function, rest, kwargs in path:
        x = function(x, *rest, **kwargs)
    return x


@dispatchable
def follow(x: Any, path: Path) -> Any:
    """The part of `x` at the end of `path`.

    >>> follow(np.arange(6.0), ((np.reshape, ((2, 3),), {}), (at, (1,), {})))
    array([3., 4., 5.])
    """
    return walk(np.asarray(x) if isinstance(x, np.generic) else x, path)


@dispatchable
def embed(g: Any, path: Path, shape: tuple[int, ...], dtype: Any) -> Any:
    """The transpose of `follow`: zeros, with `g` added at the end of `path`.

    Where `path` takes the real or imaginary part of a complex array, the transpose is the conjugate of that.
    """
    out = widened(np.zeros_like(g, shape=shape, dtype=dtype), levels_on(path))
    add(out, path, g)
    return np.conj(out) if narrows(dtype, g.dtype) else out


@dispatchable
def punch(g: Any, path: Path) -> Any:
    """`g` with zeros at the end of `path`."""
    out = g.copy() if hasattr(g, "copy") else np.array(g)
    out = widened(out, levels_on(path))
    out = np.asarray(out) if isinstance(out, np.generic) else out
    zero(out, path)
    return out


def narrows(outer: Any, inner: Any) -> bool:
    """Whether a path from dtype `outer` to `inner` takes the real or imaginary part."""
    return bool(outer.kind == "c" and inner.kind != "c")


def step_to(key: Any) -> Step:
    """The step that indexes with `key`."""
    return at, (key,), {}


def shares(ans: Any, x: Any) -> bool:
    """Whether the array `ans`, computed from `x`, is `x` or a view of its memory."""
    ans, x = _memory(ans), _memory(x)
    base = getattr(ans, "base", None)
    while base is not None and base is not x and base is not x.base:
        base = getattr(base, "base", None)  # past what NumPy puts in between
    return ans is x or base is not None


def _memory(x: Any) -> Any:
    return x.whole if type(x) is Batched else x


def place(x: Any, path: Path, *, force: bool = False) -> tuple[Any, Any]:
    """Where in `x` the end of `path` is: a view of `x`, and an index into it.

    Raises ValueError if NumPy's view is read-only, as a diagonal is, unless `force`.
    """
    function, rest, _ = path[-1]
    way, key = (path[:-1], rest[0]) if function is at else (path, ...)
    if not way:
        return x, key
    part = walk(x, way)
    frozen = not getattr(getattr(part, "flags", None), "writeable", True)
    if frozen and not force:
        raise ValueError("assignment destination is read-only")
    if not frozen and (shares(part, x) or not hasattr(_memory(part), "base")):
        return part, key
    # x is laid out so that a reshape copies: number its elements (complex: their parts too), and see which come.
    count = np.arange(x.size).reshape(x.shape)
    numbers = walk(count + 1j * (count + x.size) if x.dtype.kind == "c" else count, way)[key]
    if x.dtype.kind == "c":
        narrow = numbers.dtype.kind != "c"
        numbers = numbers.real.astype(int)
        x = x if not narrow else x.imag if numbers.size and numbers.max() >= x.size else x.real
        numbers %= max(x.size, 1)
    return (x, np.unravel_index(numbers, x.shape)) if x.ndim else (x.reshape(1), numbers)


def add(out: Any, path: Path, g: Any) -> None:
    """Add `g` at the end of `path`, in place; repeated indices add up."""
    part, key = place(out, path, force=True)
    add_at(part, key, g)


def zero(out: Any, path: Path) -> None:
    """Write zeros at the end of `path`, in place."""
    part, key = place(out, path, force=True)
    part[key] = 0


class ReadCase(Case):
    """The case of a function that reads a region of its operand: `getitem`, `follow`.

    Its cotangent is zero outside the region. So in a walk on plain arrays it is added in place to the sum that the
    walk owns, and a loop over the elements of an array takes time in proportion to their number, not its square.
    """

    __slots__ = ()

    def __init__(self, rule: Any, argnums: tuple[int, ...], restored: bool) -> None:
        super().__init__(rule, argnums, False)
        self.count = -1

    def pull(self, saved: Any, g: Any) -> Any:
        """Where a batch is involved what was saved is a Spec, not a pair."""
        if isinstance(g, Box) or type(g) is Batched or type(saved[0]) is Spec:
            if isinstance(g, Box) and type(g._array) is np.ndarray and type(saved[0]) is not Spec:
                (shape, dtype), (key,), _ = saved
                if g._array.dtype == dtype and self.rule.function is getitem:
                    return (scatter_add(g, key, shape),)  # the same, sooner
            known = self.residuals(saved)
            spec = Spec(*known["sx"])
            return (restore(self.apply_map(0, g, {**known, "sx": spec}), spec),)
        return NotImplemented  # the walk calls `spread`

    def spread(self, saved: Any, g: Any, node: Any, collect: Callable[..., None], sums: Any, owned: Any) -> None:
        """Add the cotangent to that of the parent."""
        (shape, dtype), (where,), _ = saved
        (parent,) = node.parents
        total = sums.get(parent)
        if type(where) is int or type(where) is slice:  # the commonest, at a fifth of the cost
            if total is not None and parent in owned:
                total[where] += g
            else:
                total = zeros(g, shape)
                total[where] = g
                collect(parent, total, True)
            return
        path = where if self.rule.function is follow else (step_to(where),)
        if not shape or narrows(dtype, g.dtype):
            collect(parent, embed(g, path, shape, dtype)[()], True)
        elif total is None or parent not in owned:
            total = zeros(g, shape)
            add(total, path, g)
            collect(parent, total, True)
        else:
            add(total, path, g)
