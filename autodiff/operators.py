"""The operators of Value: Python's binary operators, written out for speed, and the rest of its protocol.

A binary operator is the hot path of every program on scalars and small arrays. So each is compiled, at
its first use, from one template: it looks at the type of the other operand once, computes with the
operator on the data (`np.float64 * np.float64` takes 40 ns, `np.multiply` of them 700), and fills the
node in place with just what the case at hand will need. Everything unusual goes through the door.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .codegen import compile_function
from .constants import COPY_LIMIT, keep
from .dispatch import Box, apply, is_array
from .errors import DetachError
from .rule import RULES, Case, Spent
from .rules.elementwise import scalar_power
from .spec import Spec
from .tape import RECORDING, Node, number

__all__ = ["Operators", "install_binary"]

BINARY: dict[str, tuple[str, Callable[..., Any]]] = {
    "add": ("+", np.add),
    "sub": ("-", np.subtract),
    "mul": ("*", np.multiply),
    "truediv": ("/", np.divide),
    "floordiv": ("//", np.floor_divide),
    "mod": ("%", np.remainder),
    "pow": ("**", np.power),
}

# a, b: the Values as Python hands them over; x, y: the data as the function's first and second operand.
TEMPLATE = """
def {name}(a, b):
    {a} = a._data
    node_a = a._node
    kind = type(b)
    if kind is Value:
        {b} = b._data
        node_b = b._node
        ans = x {sign} y
        if node_b is None:
            if node_a is None or not recording():
                v = new(Value); v._data = ans; v._node = None
                return v
            n = Node(); n.parents = (node_a,)
            if type(ans) is type({a}) and (type(ans) is float64 or ({a}.shape == ans.shape and {a}.dtype is ans.dtype)):
                n.case = {case_a}; n.saved = {save_a}
            else:
                n.case = {case_a_restored}; n.saved = {save_a_restored}
        elif not recording():
            v = new(Value); v._data = ans; v._node = None
            return v
        elif node_a is None:
            n = Node(); n.parents = (node_b,)
            if type(ans) is type({b}) and (type(ans) is float64 or ({b}.shape == ans.shape and {b}.dtype is ans.dtype)):
                n.case = {case_b}; n.saved = {save_b}
            else:
                n.case = {case_b_restored}; n.saved = {save_b_restored}
        else:
            n = Node(); n.parents = ({nodes})
            if type(x) is type(y) and (type(x) is float64 or (x.shape == y.shape and x.dtype is y.dtype)):
                n.case = {case_ab}; n.saved = {save_ab}
            else:
                n.case = {case_ab_restored}; n.saved = {save_ab_restored}
    elif kind in numbers or (kind is float64 and {a}.dtype is double):
        if {special}:
            return apply(function, ({operands}), {{}})
        {b} = b
        ans = x {sign} y
        if node_a is None or not recording():
            v = new(Value); v._data = ans; v._node = None
            return v
        n = Node(); n.parents = (node_a,); n.case = {case_number}; n.saved = {save_number}
    elif kind is ndarray and {a}.shape == b.shape and {a}.dtype is b.dtype and node_a is not None and recording():
        {b} = b
        ans = x {sign} y
        n = Node(); n.parents = (node_a,); n.case = {case_a}
        {keep}
        n.saved = {save_a}
    else:
        return otherwise(function, b, {operands})
    n.number = number()
    v = new(Value); v._data = ans; v._node = n
    return v
"""


def otherwise(function: Callable[..., Any], other: Any, x: Any, y: Any) -> Any:
    """An operator with an operand of an unusual kind."""
    if isinstance(other, (Box, float, int, complex, list, tuple, np.ndarray)) or is_array(other) or hasattr(other, "to_numpy"):
        return apply(function, (x, y), {})
    return NotImplemented


def binary_method(cls: type, name: str) -> Callable[[Any, Any], Any]:
    """Compile the operator `name`, such as `__radd__`, for the class `cls`."""
    swapped = name.strip("_") not in BINARY
    sign, function = BINARY[name.strip("_")[swapped:]]
    power = function is np.power and not swapped  # x ** number has a cheaper rule, except for x ** 0
    a, b = ("y", "x") if swapped else ("x", "y")
    first, second = ((1,), (0,)) if swapped else ((0,), (1,))
    rule = RULES[function]
    cases: dict[str, Case] = {
        "a": rule.case(first, False),
        "a_restored": rule.case(first, True),
        "b": rule.case(second, False),
        "b_restored": rule.case(second, True),
        "ab": rule.case((0, 1), False),
        "ab_restored": rule.case((0, 1), True),
        "number": RULES[scalar_power].case((0,), False) if power else rule.case(first, False),
    }
    saves_constant = b in cases["a"].fields
    source = TEMPLATE.format(
        name=name,
        sign=sign,
        a=a,
        b=b,
        operands="b, a" if swapped else "a, b",
        nodes="node_b, node_a" if swapped else "node_a, node_b",
        special="b == 0" if power else "False",
        keep=f"{b} = b.copy() if b.nbytes <= {COPY_LIMIT} else keep(n, b)" if saves_constant else "",
        **{f"case_{k}": f"case_{k}" for k in cases},
        **{f"save_{k}": case.packing() for k, case in cases.items()},
    )
    names = {f"case_{k}": case for k, case in cases.items()}
    names.update(Value=cls, Node=Node, Spec=Spec, float64=np.float64, ndarray=np.ndarray, number=number, keep=keep)
    names.update(double=np.dtype(float))
    names.update(new=object.__new__, recording=RECORDING.get, numbers=frozenset((float, int, bool)))
    names.update(apply=apply, function=function, otherwise=otherwise, __name__=__name__)
    return compile_function(name, source, names)


def install_binary(cls: type) -> None:
    """Give `cls` its binary operators. Each compiles itself when it is first called."""

    def install(name: str) -> None:
        def first_call(a: Any, b: Any) -> Any:
            method = binary_method(cls, name)
            setattr(cls, name, method)
            return method(a, b)

        setattr(cls, name, first_call)

    for op in BINARY:
        install(f"__{op}__")
        install(f"__r{op}__")


def _compare(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        other = other._data if isinstance(other, Box) else other
        if isinstance(other, (list, tuple)):
            other = np.asarray(other)
        result = compare(self._data, other)
        return self._wrap(result) if is_array(result) else result

    return method


class Operators(Box):
    """Unary operators, comparisons, conversions and the container protocol of Value.

    Comparisons, `bool`, `int` and text formatting are always allowed: their derivative is zero almost
    everywhere. `float` and `np.asarray` would lose a gradient silently; they raise DetachError while
    the Value is tracked.
    """

    __slots__ = ()
    __hash__ = object.__hash__

    __eq__ = _compare(operator.eq)
    __ne__ = _compare(operator.ne)
    __lt__ = _compare(operator.lt)
    __le__ = _compare(operator.le)
    __gt__ = _compare(operator.gt)
    __ge__ = _compare(operator.ge)

    def __neg__(self) -> Any:
        return apply(np.negative, (self,), {})

    def __pos__(self) -> Any:
        return apply(np.positive, (self,), {})

    def __abs__(self) -> Any:
        return apply(np.absolute, (self,), {})

    def __round__(self, ndigits: int | None = None) -> Any:
        return apply(np.round, (self, ndigits or 0), {})

    def __floor__(self) -> Any:
        return apply(np.floor, (self,), {})

    def __ceil__(self) -> Any:
        return apply(np.ceil, (self,), {})

    def __trunc__(self) -> Any:
        return apply(np.trunc, (self,), {})

    def __matmul__(self, other: Any) -> Any:
        return otherwise(np.matmul, other, self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return otherwise(np.matmul, other, other, self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __invert__(self) -> Any:
        return apply(np.invert, (self,), {})

    def __and__(self, other: Any) -> Any:
        return otherwise(np.bitwise_and, other, self, other)

    def __or__(self, other: Any) -> Any:
        return otherwise(np.bitwise_or, other, self, other)

    def __xor__(self, other: Any) -> Any:
        return otherwise(np.bitwise_xor, other, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __len__(self) -> int:
        if not self._data.ndim:
            raise TypeError("len() of unsized object: the Value is 0-d")
        return len(self._data)

    def __iter__(self) -> Any:
        if not self._data.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self._data)))

    def __contains__(self, item: Any) -> bool:
        return bool((self == item)._data.any())

    def __bool__(self) -> bool:
        return bool(self._data)

    def __int__(self) -> int:
        return int(self._data)

    def __float__(self) -> float:
        self._refuse("float()", "math functions and float() leave the graph: use np functions, or .item()")
        return float(self._data)

    def __complex__(self) -> complex:
        self._refuse("complex()", "use .item()")
        return complex(self._data)

    def __index__(self) -> int:
        self._refuse("an index", "use int(v) or v.item()")
        return operator.index(self._data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        self._refuse(
            "a plain array",
            "np.stack([v, w]) instead of np.array([v, w]), np.full_like(v, ...) instead of np.full(n, v), "
            "or v.data, v.detach() if no gradient is wanted",
        )
        return np.array(self._data, dtype=dtype, copy=copy)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self._node is not None:
            raise BufferError("a tracked Value cannot be exported by DLPack; export v.data or v.detach()")
        return np.asarray(self._data).__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return np.asarray(self._data).__dlpack_device__()

    def __format__(self, spec: str) -> str:
        return format(self._data if spec else str(self), spec)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("Values do not support item assignment yet; use np.where, np.stack or np.concatenate")

    def _refuse(self, target: str, way_out: str) -> None:
        """Raise DetachError unless converting loses nothing: untracked, or already walked and freed."""
        node = self._node
        if node is not None and not isinstance(node.case, Spent):
            raise DetachError(f"a tracked Value cannot become {target}, its gradient would be lost; {way_out}")


def _augmented(op: Callable[[Any, Any], Any], sign: str) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if self._data.ndim:
            raise TypeError(f"in-place {sign}= on an array Value is not supported yet; write y = y {sign} x")
        return op(self, other)

    return method


for _name, _op, _sign in [
    ("iadd", operator.add, "+"),
    ("isub", operator.sub, "-"),
    ("imul", operator.mul, "*"),
    ("itruediv", operator.truediv, "/"),
    ("ifloordiv", operator.floordiv, "//"),
    ("imod", operator.mod, "%"),
    ("ipow", operator.pow, "**"),
    ("imatmul", operator.matmul, "@"),
]:
    setattr(Operators, f"__{_name}__", _augmented(_op, _sign))
