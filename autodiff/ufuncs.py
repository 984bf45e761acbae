"""ufuncs and their methods, as `__array_ufunc__` receives them: __call__, reduce, accumulate, outer."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .convert import as_operand
from .dispatch import apply
from .errors import MissingRuleError
from .inplace import at

__all__ = ["apply_ufunc"]

METHODS: dict[tuple[Any, str], Callable[..., Any]] = {
    (np.add, "reduce"): np.sum,
    (np.multiply, "reduce"): np.prod,
    (np.maximum, "reduce"): np.max,
    (np.minimum, "reduce"): np.min,
    (np.add, "accumulate"): np.cumsum,
}


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc or one of its methods on Values, as `__array_ufunc__` receives it."""
    if method == "__call__":
        return apply(ufunc, inputs, kwargs)
    if method == "at":
        return at(ufunc, *inputs)
    if method == "outer":
        x, y = (as_operand(a, ufunc.__name__) for a in inputs)
        return apply(ufunc, (np.reshape(x, np.shape(x) + (1,) * np.ndim(y)), y), kwargs)
    function = METHODS.get((ufunc, method))
    kwargs = {k: v for k, v in kwargs.items() if v is not None or k == "axis"}
    if function is None:
        raise MissingRuleError(f"np.{ufunc.__name__}.{method} is not available for Values")
    return apply(function, inputs, {"axis": 0, **kwargs} if len(inputs) == 1 else kwargs)
