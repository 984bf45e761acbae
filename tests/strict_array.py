"""StrictArray: an ndarray behind the manners of `cupy.ndarray`, so that what would break on a GPU breaks here.

As CuPy 14's array it

- takes part in NumPy's two protocols, in operators, and has the usual methods, with CuPy's parameter names;
- raises where it would have to be copied to the host or to the device unasked: `np.asarray`, and arithmetic with
  ndarrays. Numbers and NumPy scalars mix freely, and so do ndarrays and lists as indices;
- stays an array when it is 0-d, is no index and cannot be hashed, lets other classes go first, and says nothing of
  invalid operations (a GPU has no floating point flags).

It is stricter than CuPy in one way: `bool`, `int`, `float`, `.item()` and `.tolist()` make a program wait for the GPU,
which no rule should. Here they raise, outside of `reading()`; `.get()` is the explicit way and always works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

SCALARS = (int, float, complex, np.generic)
NOT_IN_CUPY = {"spacing"}

# The functions of CuPy 14.2 whose parameters are not NumPy's, or not all of them.
FUNCTIONS = {
    "reshape": "a newshape order copy",
    "flip": "a axis",
    "broadcast_to": "array shape",
    "where": "condition x y",
    "clip": "a a_min a_max out",
    "sum": "a axis dtype out keepdims",
    "mean": "a axis dtype out keepdims",
    "prod": "a axis dtype out keepdims",
    "max": "a axis out keepdims",
    "min": "a axis out keepdims",
    "var": "a axis dtype out ddof keepdims",
    "std": "a axis dtype out ddof keepdims",
    "any": "a axis out keepdims",
    "all": "a axis out keepdims",
    "argmax": "a axis dtype out keepdims",
    "argmin": "a axis dtype out keepdims",
    "count_nonzero": "a axis",
    "argsort": "a axis kind",
    "concatenate": "tup axis out dtype casting",
    "stack": "tup axis out dtype casting",
    "zeros_like": "a dtype order subok shape",
    "ones_like": "a dtype order subok shape",
    "empty_like": "a dtype order subok shape",
    "full_like": "a fill_value dtype order subok shape",
    "astype": "x dtype copy",
    "copy": "a order",
}
METHODS = {
    "all": "axis out keepdims",
    "any": "axis out keepdims",
    "argmax": "axis out dtype keepdims",
    "argmin": "axis out dtype keepdims",
    "argsort": "axis kind",
    "astype": "dtype order casting subok copy",
    "clip": "min max out",
    "conj": "",
    "conjugate": "",
    "copy": "order",
    "cumprod": "axis dtype out",
    "cumsum": "axis dtype out",
    "fill": "value",
    "flatten": "order",
    "max": "axis out keepdims",
    "mean": "axis dtype out keepdims",
    "min": "axis out keepdims",
    "nonzero": "",
    "prod": "axis dtype out keepdims",
    "ravel": "order",
    "round": "decimals out",
    "squeeze": "axis",
    "std": "axis dtype out ddof keepdims",
    "sum": "axis dtype out keepdims",
    "swapaxes": "axis1 axis2",
    "take": "indices axis out",
    "var": "axis dtype out ddof keepdims",
}


class StrictArray:
    """A copy of an ndarray, on the device."""

    __slots__ = ("__weakref__", "_host")
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    is_readable = False

    _host: np.ndarray[Any, Any]

    def __init__(self, host: Any) -> None:
        self._host = np.array(host)

    # -- NumPy's protocols

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = (), **kwargs: Any) -> Any:
        if ufunc.__name__ in NOT_IN_CUPY or not all(map(_is_known, (*inputs, *out))):
            return NotImplemented
        if method == "at":  # indices may be on the host
            inputs = (_host_of(inputs[0]), _index(inputs[1]), *map(_host_of, inputs[2:]))
        else:
            inputs = tuple(map(_host_of, inputs))
        if out:
            kwargs["out"] = tuple(map(_host_of, out))
        with np.errstate(all="ignore"):
            result = getattr(ufunc, method)(*inputs, **kwargs)
        return out[0] if len(out) == 1 else _put(result)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        name = function.__name__
        if name in NOT_IN_CUPY or not all(issubclass(t, (StrictArray, np.ndarray)) for t in types):
            return NotImplemented
        if name in FUNCTIONS:
            _check_parameters(name, FUNCTIONS[name], args, kwargs)
        if name.endswith("_like") and (kwargs.get("subok") is not None or len(args) > 3 + (name == "full_like")):
            raise TypeError("subok is not supported yet")
        with np.errstate(all="ignore"):
            return _put(function(*map(_host_of, args), **{k: _host_of(v) for k, v in kwargs.items()}))

    # -- attributes

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    @property
    def dtype(self) -> Any:
        return self._host.dtype

    @property
    def ndim(self) -> int:
        return self._host.ndim

    @property
    def size(self) -> int:
        return self._host.size

    @property
    def nbytes(self) -> int:
        return self._host.nbytes

    @property
    def itemsize(self) -> int:
        return self._host.itemsize

    @property
    def device(self) -> str:
        return "strict:0"

    @property
    def T(self) -> Any:
        return _put(self._host.T)

    @property
    def mT(self) -> Any:
        return _put(self._host.mT)

    @property
    def real(self) -> Any:
        return _put(self._host.real)

    @property
    def imag(self) -> Any:
        return _put(self._host.imag)

    # -- to the host

    def get(self) -> Any:
        return self._host.copy()

    def item(self) -> Any:
        return _read(self, "item()").item()

    def tolist(self) -> Any:
        return _read(self, "tolist()").tolist()

    def __bool__(self) -> bool:
        return bool(_read(self, "bool()"))

    def __int__(self) -> int:
        return int(_read(self, "int()"))

    def __float__(self) -> float:
        return float(_read(self, "float()"))

    def __complex__(self) -> complex:
        return complex(_read(self, "complex()"))

    def __repr__(self) -> str:
        return f"StrictArray({self._host!r})"

    # -- shapes, indexing, copies

    def reshape(self, *shape: Any, order: str = "C") -> Any:
        return _put(self._host.reshape(*shape, order=order))  # type: ignore[call-overload]

    def transpose(self, *axes: Any) -> Any:
        return _put(self._host.transpose(*axes))

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self._host)))

    def __getitem__(self, key: Any) -> Any:
        return _put(self._host[_with_ellipsis(_index(key))])

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._host[_index(key)] = _host_of(value)

    def scatter_add(self, key: Any, value: Any) -> None:
        np.add.at(self._host, _index(key), _host_of(value))

    def __copy__(self) -> Any:
        return StrictArray(self._host)

    def __deepcopy__(self, memo: Any) -> Any:
        return StrictArray(self._host)


def _operator(ufunc: np.ufunc, swapped: bool) -> Callable[..., Any]:
    return (lambda self, other: ufunc(other, self)) if swapped else (lambda self, other: ufunc(self, other))


def _in_place(ufunc: np.ufunc) -> Callable[..., Any]:
    return lambda self, other: ufunc(self, other, out=self)


for _name, _ufunc in {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "floordiv": np.floor_divide,
    "mod": np.remainder,
    "divmod": np.divmod,
    "pow": np.power,
    "matmul": np.matmul,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "lshift": np.left_shift,
    "rshift": np.right_shift,
}.items():
    setattr(StrictArray, f"__{_name}__", _operator(_ufunc, False))
    setattr(StrictArray, f"__r{_name}__", _operator(_ufunc, True))
    setattr(StrictArray, f"__i{_name}__", _in_place(_ufunc))
for _name, _ufunc in {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}.items():
    setattr(StrictArray, f"__{_name}__", _operator(_ufunc, False))
for _name, _ufunc in {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}.items():
    setattr(StrictArray, f"__{_name}__", lambda self, _ufunc=_ufunc: _ufunc(self))


def _method(name: str, parameters: str) -> Callable[..., Any]:
    def method(self: StrictArray, *args: Any, **kwargs: Any) -> Any:
        _check_parameters(name, parameters, args, kwargs)
        with np.errstate(all="ignore"):
            result = getattr(self._host, name)(*map(_host_of, args), **{k: _host_of(v) for k, v in kwargs.items()})
        return None if result is None else _put(result)

    return method


for _name, _parameters in METHODS.items():
    setattr(StrictArray, _name, _method(_name, _parameters))


@contextmanager
def reading() -> Iterator[None]:
    """Allow what makes a program wait for the device."""
    before, StrictArray.is_readable = StrictArray.is_readable, True
    try:
        yield
    finally:
        StrictArray.is_readable = before


def _read(x: StrictArray, how: str) -> Any:
    if not x.is_readable:
        raise AssertionError(f"{how} waits for the device")
    return x._host


def _put(result: Any) -> Any:
    """Results live on the device: arrays, and scalars as 0-d arrays. Shapes, dtypes and texts are the host's."""
    if isinstance(result, (list, tuple)) and any(isinstance(r, (np.ndarray, np.generic)) for r in result):
        return getattr(type(result), "_make", type(result))(map(_put, result))
    if isinstance(result, (np.ndarray, np.generic)):
        x = object.__new__(StrictArray)
        x._host = np.asarray(result)
        return x
    return result


def _is_known(x: Any) -> bool:
    """Whether CuPy would look at the operand at all, if only to refuse it."""
    return isinstance(x, (StrictArray, np.ndarray, tuple, *SCALARS))


def _host_of(x: Any) -> Any:
    """The number or array in an argument. Raises TypeError for arrays on the host."""
    if isinstance(x, StrictArray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    if isinstance(x, (list, tuple)):
        return type(x)(map(_host_of, x))
    return x


def _index(key: Any) -> Any:
    """A key for the host: arrays from either side are welcome."""
    if isinstance(key, tuple):
        return tuple(map(_index, key))
    return key._host if isinstance(key, StrictArray) else key


def _with_ellipsis(key: Any) -> Any:
    """The same key, for which NumPy gives an array also where it would give a scalar."""
    key = key if isinstance(key, tuple) else (key,)
    return key if any(k is Ellipsis for k in key) else (*key, Ellipsis)


def _check_parameters(name: str, parameters: str, args: Any, kwargs: Any) -> None:
    known = parameters.split()
    if len(args) > len(known):
        raise TypeError(f"{name}() takes {len(known)} arguments, {len(args)} were given")
    for k in kwargs:
        if k not in known:
            raise TypeError(f"{name}() got an unexpected keyword argument {k!r}")
