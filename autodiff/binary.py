"""The binary operators of Value, the arithmetic ones written out for speed.

An arithmetic operator is the hot path of every program on scalars and small arrays. So each is compiled, at
its first use, from one template: it looks at the type of the other operand once, computes with the
operator on the data (`np.float64 * np.float64` takes 40 ns, `np.multiply` of them 700), and fills the
node in place with just what the case at hand will need. Everything unusual goes through the door.
"""

import operator
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from .batched import Batched
from .box import HASHED, Box, Inner
from .case import Case
from .codegen import compile_function
from .constants import COPY_LIMIT, keep
from .convert import describe, is_array, mismatch
from .dispatch import apply
from .errors import OperandError
from .operators import Operators
from .rule import RULES
from .rules.elementwise import power, scalar_power
from .spec import Spec
from .tape import RECORDING, Node, number
from .views import has_place

__all__ = ["Binary"]

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
    {a} = a._array
    node_a = a._node
    kind = type(b)
    if kind is Value:
        {b} = b._array
        node_b = b._node
        try:
            ans = x {sign} y
        except ValueError as error:
            raise mismatch(function.__name__, error) from None
        if node_b is None:
            if node_a is None:
                v = new(Value); v._array = ans; v._node = None
                return v
            if recording() is not True:
                return unrecorded(function, {operands}, ans)
            n = Node(); n.parents = (node_a,)
            if (type(ans) is float64 and type({a}) is float64) or (
                type(ans) is ndarray and {a}.shape == ans.shape and {a}.dtype is ans.dtype
            ):
                n.case = {case_a}; n.saved = {save_a}
            else:
                n.case = {case_a_restored}; n.saved = {save_a_restored}
        elif recording() is not True:
            return unrecorded(function, {operands}, ans)
        elif node_a is None:
            n = Node(); n.parents = (node_b,)
            if (type(ans) is float64 and type({b}) is float64) or (
                type(ans) is ndarray and {b}.shape == ans.shape and {b}.dtype is ans.dtype
            ):
                n.case = {case_b}; n.saved = {save_b}
            else:
                n.case = {case_b_restored}; n.saved = {save_b_restored}
        else:
            n = Node(); n.parents = ({nodes})
            if (type(x) is float64 and type(y) is float64) or (
                type(ans) is ndarray and x.shape == y.shape and x.dtype is y.dtype
            ):
                n.case = {case_ab}; n.saved = {save_ab}
            else:
                n.case = {case_ab_restored}; n.saved = {save_ab_restored}
    elif kind in numbers or (kind is float64 and {a}.dtype is double):
        if {special}:
            return apply(function, ({operands}), {{}})
        {b} = b
        ans = x {sign} y
        if node_a is None:
            v = new(Value); v._array = ans; v._node = None
            return v
        if recording() is not True:
            return unrecorded(function, {operands}, ans)
        n = Node(); n.parents = (node_a,)
        n.case, n.saved = {number}
    elif kind is ndarray and {a}.shape == b.shape and {a}.dtype is b.dtype and node_a and recording() is True:
        {b} = b
        ans = x {sign} y
        n = Node(); n.parents = (node_a,); n.case = {case_a}
        {keep}
        n.saved = {save_a}
    else:
        return _otherwise(function, b, {operands})
    n.number = number()
    v = new(Value); v._array = ans; v._node = n
    return v
"""


NEGATIVE = RULES[np.negative].case((0,), False)


def _unrecorded(function: Callable[..., Any], x: Any, y: Any, ans: Any) -> Any:
    """The result where nothing is recorded; or where more than usual is, as in debug_nans."""
    if RECORDING.get() and any(isinstance(a, Box) and a._node is not None for a in (x, y)):
        return apply(function, (x, y), {})
    return (x if isinstance(x, Box) else y)._wrap(ans)


def _otherwise(function: Callable[..., Any], other: Any, x: Any, y: Any) -> Any:
    """An operator with an operand of an unusual kind."""
    if function is np.multiply and isinstance(other, (list, tuple)):
        v = x if isinstance(x, Box) else y
        if v._node is None and isinstance(v._array, Inner) and not has_place(v):  # NumPy's integers repeat it
            v._array.refuse("multiplies a list by a number of NumPy's; take int(n), or np.array(list)")
    if function is np.power and isinstance(y, Inner) and isinstance(x, Box) and x._array.dtype == np.bool_:
        return x._wrap(x._array**y)  # whose dtype is not that of np.power
    known = isinstance(other, (Box, float, int, complex, list, tuple, np.ndarray))
    if known or is_array(other) or hasattr(other, "to_numpy"):
        return apply(function, (x, y), {})
    if isinstance(other, (str, bytes)):
        raise OperandError(
            f"{function.__name__}: cannot compute with a {type(other).__name__}; pass a number or an array"
        )
    return NotImplemented


def _binary_method(cls: type, name: str) -> Callable[[Any, Any], Any]:
    """Compile the operator `name`, such as `__radd__`, for the class `cls`."""
    swapped = name.strip("_") not in BINARY
    sign, function = BINARY[name.strip("_")[swapped:]]
    cheaper = function is np.power and not swapped  # x ** number has a cheaper rule, x ** 2 another, x ** 0 none
    a, b = ("y", "x") if swapped else ("x", "y")
    first, second = ((1,), (0,)) if swapped else ((0,), (1,))
    rule = RULES[power if function is np.power else function]
    cases: dict[str, Case] = {
        "a": rule.case(first, False),
        "a_restored": rule.case(first, True),
        "b": rule.case(second, False),
        "b_restored": rule.case(second, True),
        "ab": rule.case((0, 1), False),
        "ab_restored": rule.case((0, 1), True),
        "number": RULES[scalar_power].case((0,), False) if cheaper else rule.case(first, False),
        "square": RULES[np.square].case((0,), False),
    }
    saves_constant = b in cases["a"].fields
    source = TEMPLATE.format(
        name=name,
        sign=sign,
        a=a,
        b=b,
        operands="b, a" if swapped else "a, b",
        nodes="node_b, node_a" if swapped else "node_a, node_b",
        special="b == 0" if cheaper else "False",
        number=("(case_square, x) if b == 2 else " if cheaper else "") + f"(case_number, {cases['number'].packing()})",
        keep=f"{b} = b.copy() if b.nbytes <= {COPY_LIMIT} else keep(n, b)" if saves_constant else "",
        **{f"case_{k}": f"case_{k}" for k in cases},
        **{f"save_{k}": case.packing() for k, case in cases.items()},
    )
    namespace: dict[str, Any] = {f"case_{k}": case for k, case in cases.items()}
    namespace.update(
        Value=cls, Node=Node, Spec=Spec, Batched=Batched, new=object.__new__, number=number, recording=RECORDING.get
    )
    namespace.update(float64=np.float64, double=np.dtype(float), ndarray=np.ndarray, numbers=(float, int, bool))
    namespace.update(mismatch=mismatch, apply=apply, function=function, keep=keep, __name__=__name__)
    namespace.update(_otherwise=_otherwise, unrecorded=_unrecorded)
    return compile_function(name, source, namespace)


def _compare(compare: Callable[[Any, Any], Any], v: Any, other: Any) -> Any:
    other = other._array if isinstance(other, Box) else other
    if isinstance(other, (list, tuple)):
        other = np.asarray(other)
    elif other is None:
        return v._wrap(np.asarray(compare(np.asarray(v._array), None)))
    elif hasattr(other, "to_numpy") and not is_array(other):
        raise OperandError(f"{compare.__name__}: cannot compare with {describe(other)}")
    elif not isinstance(other, (float, int, complex)) and not is_array(other):
        return NotImplemented
    return v._wrap(compare(v._array, other))


class Binary(Operators):
    """The binary operators. The arithmetic ones compile themselves when they are first called."""

    __slots__ = ()

    def __neg__(self) -> Self:
        x, parent = self._array, self._node
        if type(x) not in (np.ndarray, np.float64) or (parent is not None and RECORDING.get() is not True):
            return super().__neg__()
        if parent is None:
            return self._wrap(-x)
        n = Node()
        n.parents, n.case, n.saved, n.number = (parent,), NEGATIVE, None, number()
        return self._wrap(-x, n)

    def __add__(self, other: Any) -> Self:
        return _compile_and_call("__add__", self, other)

    def __radd__(self, other: Any) -> Self:
        return _compile_and_call("__radd__", self, other)

    def __sub__(self, other: Any) -> Self:
        return _compile_and_call("__sub__", self, other)

    def __rsub__(self, other: Any) -> Self:
        return _compile_and_call("__rsub__", self, other)

    def __mul__(self, other: Any) -> Self:
        return _compile_and_call("__mul__", self, other)

    def __rmul__(self, other: Any) -> Self:
        return _compile_and_call("__rmul__", self, other)

    def __truediv__(self, other: Any) -> Self:
        return _compile_and_call("__truediv__", self, other)

    def __rtruediv__(self, other: Any) -> Self:
        return _compile_and_call("__rtruediv__", self, other)

    def __floordiv__(self, other: Any) -> Self:
        return _compile_and_call("__floordiv__", self, other)

    def __rfloordiv__(self, other: Any) -> Self:
        return _compile_and_call("__rfloordiv__", self, other)

    def __mod__(self, other: Any) -> Self:
        return _compile_and_call("__mod__", self, other)

    def __rmod__(self, other: Any) -> Self:
        return _compile_and_call("__rmod__", self, other)

    def __pow__(self, other: Any) -> Self:
        return _compile_and_call("__pow__", self, other)

    def __rpow__(self, other: Any) -> Self:
        return _compile_and_call("__rpow__", self, other)

    def __matmul__(self, other: Any) -> Self:
        return _otherwise(np.matmul, other, self, other)

    def __rmatmul__(self, other: Any) -> Self:
        return _otherwise(np.matmul, other, other, self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __and__(self, other: Any) -> Self:
        return _otherwise(np.bitwise_and, other, self, other)

    def __or__(self, other: Any) -> Self:
        return _otherwise(np.bitwise_or, other, self, other)

    def __xor__(self, other: Any) -> Self:
        return _otherwise(np.bitwise_xor, other, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __lshift__(self, other: Any) -> Self:
        return _otherwise(np.left_shift, other, self, other)

    def __rshift__(self, other: Any) -> Self:
        return _otherwise(np.right_shift, other, self, other)

    def __rlshift__(self, other: Any) -> Self:
        return _otherwise(np.left_shift, other, other, self)

    def __rrshift__(self, other: Any) -> Self:
        return _otherwise(np.right_shift, other, other, self)

    def __hash__(self) -> int:
        if self._node is None and isinstance(self._array, Inner):
            self._array.refuse(HASHED)  # what is one number to jit's program is another one outside of it
        return object.__hash__(self)

    def __eq__(self, other: object) -> Self:  # type: ignore[override]
        return _compare(operator.eq, self, other)

    def __ne__(self, other: object) -> Self:  # type: ignore[override]
        return _compare(operator.ne, self, other)

    def __lt__(self, other: object) -> Self:
        return _compare(operator.lt, self, other)

    def __le__(self, other: object) -> Self:
        return _compare(operator.le, self, other)

    def __gt__(self, other: object) -> Self:
        return _compare(operator.gt, self, other)

    def __ge__(self, other: object) -> Self:
        return _compare(operator.ge, self, other)


def _compile_and_call(name: str, a: Any, b: Any) -> Any:
    if isinstance(a._array, Inner) and a._node is None:  # as in a function that jit records: it runs only once
        swapped = name.strip("_") not in BINARY
        function = BINARY[name.strip("_")[swapped:]][1]
        if isinstance(b, Inner):
            return _otherwise(function, b, *((b, a) if swapped else (a, b)))
        if type(b) is float or (type(b) is type(a) and b._node is None):
            x, y = a._array, b if type(b) is float else b._array
            sign = getattr(operator, name.strip("_")[swapped:])
            return _unrecorded(function, a, b, sign(y, x) if swapped else sign(x, y))
    cls = next(c for c in type(a).__mro__ if "_wrap" in vars(c))  # Value, for it and its subclasses
    method = _binary_method(cls, name)
    setattr(cls, name, method)
    return method(a, b)
