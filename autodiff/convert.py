"""What comes in: which objects are arrays, and how others become one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .box import Box
from .errors import OperandError
from .tree import leaves

__all__ = ["as_operand", "assembled", "describe", "full_name", "is_array", "mismatch", "to_data"]


def is_array(x: Any) -> bool:
    """Whether `x` is an array to compute with: NumPy's, a NumPy scalar, or one with NumPy's protocols."""
    kind = type(x)
    if kind in (np.ndarray, np.memmap) or isinstance(x, np.generic):
        return bool(x.dtype.kind in "biufc")
    return not isinstance(x, np.ndarray) and hasattr(kind, "__array_function__") and hasattr(kind, "dtype")


def describe(a: Any) -> str:
    """What `a` is and how to make it an array, for error messages."""
    name = f"{type(a).__module__.partition('.')[0]}.{type(a).__name__}".removeprefix("builtins.")
    if hasattr(a, "to_numpy"):
        return f"a {name}; pass its .to_numpy()"
    if isinstance(a, np.matrix):
        return f"a {name}; pass np.asarray(m)"
    if isinstance(a, np.ma.MaskedArray):
        return f"a {name}; pass its .filled(value)"
    if isinstance(a, np.ndarray) and a.dtype.kind in "biufc":
        return f"a {name}, a subclass of ndarray; pass np.asarray(a)"
    if isinstance(a, np.ndarray):
        return f"an ndarray of dtype {a.dtype}; numbers are needed: pass .astype(float)"
    return f"a {name}; pass a number or an array of numbers"


def assembled(x: Any) -> Any:
    """A nested list that holds Values as one Value; anything else as it is."""
    if isinstance(x, (list, tuple)) and any(isinstance(leaf, Box) for leaf in leaves(x)):
        return np.stack([assembled(item) for item in x])
    return x


def as_operand(x: Any, argument: str) -> Any:
    """Lists and tuples as checked arrays, or as one Value if they hold some; anything else as it is."""
    x = assembled(x)
    return to_data(x, None, False, False, argument) if isinstance(x, (list, tuple)) else x


def to_data(data: Any, dtype: Any, variable: bool, copy: bool, argument: str = "Value") -> Any:
    """`data` as an array to compute with; a NumPy scalar if it is 0-d and NumPy's.

    A `variable` becomes floating point. Raises OperandError, naming `argument`, for what is not numeric.
    """
    if hasattr(data, "to_numpy") and not is_array(data):
        data = data.to_numpy()
    if isinstance(data, (np.matrix, np.ma.MaskedArray)):
        raise OperandError(f"{argument}: got {describe(data)}")
    given = data
    if not is_array(data):
        try:
            data = np.asarray(data)
        except ValueError as error:
            raise OperandError(f"{argument}: the nested lists are ragged; make all rows equally long") from error
        copy = False
    if not is_array(data) or (dtype is not None and np.dtype(dtype).kind not in "biufc"):
        wrong = dtype is None or np.dtype(dtype).kind in "biufc"
        raise OperandError(f"{argument}: got {describe(given)}" if wrong else f"{argument}: dtype {dtype}")
    if isinstance(data, np.memmap):
        data = np.asarray(data)
    if variable and isinstance(data, np.ndarray) and not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    if dtype is None and variable and data.dtype.kind in "biu":
        dtype = np.dtype(float)
    if dtype is not None and data.dtype != dtype:
        if data.dtype.kind == "c" and np.dtype(dtype).kind != "c":
            raise OperandError(f"{argument}: complex data does not fit dtype {dtype}; take .real")
        data, copy = data.astype(dtype), False
    if variable and data.dtype.kind not in "fc":
        raise OperandError(f"{argument}: dtype {data.dtype} has no gradient; use a float dtype or requires_grad=False")
    if copy and not isinstance(data, np.generic):
        data = data.copy(order="K")
    return data[()] if isinstance(data, np.ndarray) and not data.ndim else data


def mismatch(name: str, error: ValueError) -> ValueError:
    """NumPy's complaint about shapes that do not fit, with the function and a way out."""
    if type(error) is not ValueError:  # AxisError and the like say what they mean
        return error
    text = str(error).removeprefix(f"{name}: ")
    return ValueError(
        f"{name}: {text.rstrip()}; give one of them other axes, as with v[:, None], v.T or v.reshape(...)"
    )


def full_name(function: Callable[..., Any]) -> str:
    """A function's name with its module, for error messages; ufuncs of other packages do not know theirs."""
    module, name = getattr(function, "__module__", None), getattr(function, "__name__", function)
    if not module and isinstance(function, np.ufunc) and getattr(np, function.__name__, None) is not function:
        return str(name)
    return f"{module or 'numpy'}.{name}"
