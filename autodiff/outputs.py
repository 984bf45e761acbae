"""`out=` and `where=`: results that are written into an array that is there already.

`np.add(x, y, out=z)` is `z[...] = x + y`, and `np.divide(x, y, out=z, where=m)` writes only where m is true.
A plain ndarray cannot remember where its numbers came from, so it takes untracked results alone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .arguments import boxes, data_of
from .box import Box
from .errors import DetachError, OperandError
from .mutation import store
from .views import has_place, peek

__all__ = ["into"]


def into(apply: Callable[..., Any], function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call `function` without its `out=`, through `apply` where Values remain, and write the result there.

    Raises DetachError if a tracked result is to go into a plain array.
    """
    kwargs = dict(kwargs)
    out = kwargs.pop("out")
    name = f"np.{function.__name__}"
    masked = isinstance(function, np.ufunc) and kwargs.get("where", True) is not True
    where = data_of(kwargs.pop("where")) if masked else None
    casting = kwargs.get("casting", "same_kind")
    if any(True for _ in boxes((args, kwargs))):
        if masked:
            with np.errstate(all="ignore"):  # what is not selected is not there
                result = apply(function, args, kwargs)
        else:
            result = apply(function, args, kwargs)
    else:
        result = function(*args, **kwargs)
    targets = out if isinstance(out, tuple) else (out,)
    results = result if isinstance(result, tuple) else (result,)
    exact = not isinstance(function, np.ufunc)
    written = tuple(
        r if target is None else _write(target, r, name, casting, where, exact)
        for target, r in zip(targets, results, strict=True)
    )
    return written if isinstance(result, tuple) else written[0]


def _write(target: Any, result: Any, name: str, casting: Any, where: Any, exact: bool) -> Any:
    if isinstance(target, Box):
        if not peek(target)[0].ndim and not has_place(target):
            raise TypeError(f"{name}: out is a scalar, which cannot be written to; pass an array, such as v[i : i + 1]")
        if where is not None:
            result = np.where(where, result, target)  # type: ignore[call-overload]
        return store(target, result, f"{name}: out=", casting, exact=exact)
    if isinstance(result, Box):
        if result._node is not None:
            raise DetachError(
                f"{name}: out is a plain {type(target).__name__} (as in `buf += v`) and the result is tracked, so its "
                "gradient would be lost; write `buf = buf + v`, or make the buffer inside the differentiated function, "
                "or with autodiff.numpy"
            )
        result = result._array
    if not hasattr(target, "__setitem__"):
        raise OperandError(f"{name}: out must be an array, not {type(target).__name__}")
    np.copyto(target, result, casting=casting, where=True if where is None else where)
    return target
