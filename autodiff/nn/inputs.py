"""What layers take: arrays of numbers, or an error that names the layer."""

from typing import Any

from ..batched import Batched
from ..convert import assembled, is_array, to_data
from ..errors import OperandError
from ..value import Value

__all__ = ["are_within", "operand", "real_operand"]


def operand(owner: Any, x: Any, argument: str = "input") -> Any:
    """`x` as an array or a Value; lists of numbers become one.

    `owner` is a layer, or the name of a function. Raises OperandError naming it, for what is not numeric.
    """
    if isinstance(x, Value):
        return x
    x = assembled(x)
    return x if is_array(x) else to_data(x, None, False, False, _named(owner, argument))


def real_operand(owner: Any, x: Any, argument: str = "input") -> Any:
    """The same for what has no meaning for complex numbers."""
    x = operand(owner, x, argument)
    if x.dtype.kind == "c":
        raise OperandError(f"{_named(owner, argument)} is {x.dtype}; real numbers are needed: pass x.real or abs(x)")
    return x


def are_within(numbers: Any, n: int) -> bool:
    """Whether all integers are in 0..n-1; under vmap those of all examples, as they are all there."""
    while isinstance(numbers, (Value, Batched)):
        numbers = numbers.data if isinstance(numbers, Value) else numbers.whole
    return not numbers.size or bool(numbers.min() >= 0 and numbers.max() < n)


def _named(owner: Any, argument: str) -> str:
    return f"{owner if isinstance(owner, str) else repr(owner)}: {argument}"
