"""What is done where no table says more: align the arrays, or call the function for one example after the other."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..batched import Batched, aligned, hide, union
from ..errors import BatchError
from ..tree import leaves, tree_map

__all__ = ["call_aligned", "call_each"]


def call_aligned(function: Callable[..., Any], operands: int, *args: Any, where: Any = True, **kwargs: Any) -> Any:
    """An elementwise function: its operands are the first arguments. Options of another value for each make a loop."""
    out = kwargs.pop("out", None)
    if Batched in map(type, (*args[operands:], *kwargs.values())):
        given = kwargs if where is True else {**kwargs, "where": where}
        return call_each(function, *args, **given, **({} if out is None else {"out": out}))
    arrays, levels = aligned([*args[:operands], where])
    *arrays, where = arrays
    if where is not True:
        kwargs["where"] = where
    ans = function(*arrays, *args[operands:], **kwargs)
    if out is not None:
        target = out[0] if isinstance(out, tuple) else out
        target[...] = hide(ans, levels)
        return target
    return tuple(hide(a, levels) for a in ans) if type(ans) is tuple else hide(ans, levels)


def call_each(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `function` for one example after the other, and put the results together."""
    given = (args, kwargs)
    levels = union(x.levels for x in leaves(given) if type(x) is Batched)
    results = []
    for index in itertools.product(*(range(level.size) for level in levels)):
        at = dict(zip(levels, index, strict=True))

        def example(x: Any, at: Any = at) -> Any:
            return x.whole[tuple([at[level] for level in x.levels])] if type(x) is Batched else x

        one, options = tree_map(example, given)
        results.append(function(*one, **options))
    if not results:
        raise ValueError(f"{getattr(function, '__name__', function)} cannot be computed for a batch without examples")
    shape = tuple(level.size for level in levels)
    if any([*map(np.shape, leaves(r))] != [*map(np.shape, leaves(results[0]))] for r in results):
        raise BatchError(
            f"{getattr(function, '__name__', function)}: under vmap the results have different shapes for different "
            "examples; ad.vmap(f, loop=True) runs f for one example after the other"
        )
    columns = zip(*map(leaves, results), strict=True)

    def together(x: Any) -> Any:
        column = next(columns)
        if not hasattr(x, "dtype") and not isinstance(x, (int, float, complex)):
            return x
        whole = np.stack(column) if isinstance(x, np.ndarray) or not isinstance(x, np.generic) else np.array(column)
        return hide(whole.reshape(shape + whole.shape[1:]), levels)

    return tree_map(together, results[0])
