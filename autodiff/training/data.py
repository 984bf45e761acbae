"""Batches of arrays, shuffled anew in each epoch."""

import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

__all__ = ["Batches", "batches", "batches_of", "size_of"]


class Batches:
    """What `batches` returns: each iteration over it is an epoch; `len` says how many batches that is."""

    def __init__(
        self,
        arrays: tuple[Any, ...],
        size: int,
        shuffle: bool,
        rng: np.random.Generator,
        drop_last: bool,
        transform: Callable[..., Any] | None,
    ) -> None:
        self.arrays, self.size, self.shuffle, self.rng = arrays, size, shuffle, rng
        self.drop_last, self.transform = drop_last, transform

    def __len__(self) -> int:
        n = self.arrays[0].shape[0]  # sparse matrices have no len
        return n // self.size if self.drop_last else -(-n // self.size)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        n = self.arrays[0].shape[0]
        order = self.rng.permutation(n) if self.shuffle else np.arange(n)
        for i in range(len(self)):
            rows = order[i * self.size : (i + 1) * self.size]
            batch = tuple([array[rows] for array in self.arrays])
            if self.transform is not None:
                changed = self.transform(self.rng, *batch)
                batch = changed if isinstance(changed, tuple) else (changed,)
            yield batch

    def __repr__(self) -> str:
        return f"<{len(self)} batches of {self.size} from {self.arrays[0].shape[0]} examples>"


def batches(
    *arrays: Any,
    size: int = 32,
    shuffle: bool = True,
    rng: np.random.Generator | int | None = None,
    drop_last: bool = False,
    transform: Callable[..., Any] | None = None,
) -> Batches:
    """Tuples of `size` rows of each of the arrays; every iteration is an epoch, in an order of its own.

    `rng` is a Generator, or a seed for one. The last batch may be smaller, and is left out with `drop_last`.
    `transform(rng, *batch)` may change a batch, to augment it. Lists become arrays, and so do columns and tables of
    pandas, whose labels are not looked at. Anything else that yields tuples, a generator function of your own for
    example, does as well wherever batches are taken.

    >>> data = batches(np.arange(5), np.arange(5.0), size=2, rng=0)
    >>> len(data), [len(x) for x, y in data]
    (3, [2, 2, 1])

    Raises ValueError for no arrays, arrays of different lengths, none or no rows, or a size below 1.
    """
    given = tuple([a if _is_array(a) else np.asarray(a) for a in arrays])
    lengths = [a.shape[0] if a.shape else 0 for a in given]
    size = operator.index(size)
    if not given or len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(f"batches: arrays of {lengths} rows; at least one array is needed, all of the same length")
    if size < 1 or (drop_last and size > lengths[0]):
        raise ValueError(f"batches: size is {size}; it has to be at least 1, and with drop_last at most {lengths[0]}")
    return Batches(given, size, bool(shuffle), np.random.default_rng(rng), bool(drop_last), transform)


def _is_array(x: Any) -> bool:
    """Whether `x[rows]` takes rows by their places; in pandas it takes them by their labels, or takes columns."""
    return hasattr(x, "shape") and hasattr(x, "__getitem__") and not hasattr(x, "iloc")


def batches_of(
    data: Any, name: str, usual: int, shuffle: bool = True, *, size: int | None, rng: Any = None, option: str
) -> Any:
    """Batches, of arrays or as they are given; a function is called for each epoch.

    Raises ValueError for a size or a generator that only arrays have a use for, TypeError for what is no data.
    """
    if isinstance(data, (tuple, list)):
        if any(hasattr(a, "shape") for a in data):
            return batches(*data, size=usual if size is None else size, shuffle=shuffle, rng=rng)
        if not all(isinstance(x, (tuple, list)) and any(hasattr(a, "shape") for a in x) for x in data):
            raise TypeError(f"{name} is a {type(data).__name__} without an array; pass NumPy's, the last the targets")
    for text, given in ((option, size), ("rng", rng)):
        if given is not None:
            raise ValueError(
                f"{name} yields batches, so that {text} has nothing to say; pass it to ad.batches, or pass arrays"
            )
    return _Epochs(data) if callable(data) else data


class _Epochs:
    def __init__(self, make: Callable[[], Iterable[Any]]) -> None:
        self.make = make

    def __iter__(self) -> Iterator[Any]:
        return iter(self.make())


def size_of(batch: tuple[Any, ...]) -> int:
    """How many examples a batch has."""
    return len(batch[-1]) if np.ndim(batch[-1]) else 1
