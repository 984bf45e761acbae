"""Functions that run on the data of Values: those without a derivative, and those without a rule."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .arguments import boxes, data_of
from .batched import Batched
from .box import Box
from .convert import full_name, is_array
from .errors import MissingRuleError, OperandError
from .rules.nondiff import refusal
from .rules.polynomial import LATE
from .tree import tree_map
from .views import make_place

__all__ = ["run"]

LIKE: frozenset[Any] = frozenset((np.empty_like, np.ones_like, np.zeros_like))


def run(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], like: Box | None, *, ruled: bool
) -> Any:
    """Call `function` on the arrays; arrays that it returns come back as untracked Values.

    Raises OperandError if it is refused, and MissingRuleError if it has no rule, where an argument is tracked.
    """
    if not ruled and full_name(function) in LATE:
        return LATE[full_name(function)](*args, **kwargs)
    given = [*boxes((args, kwargs))]
    if not ruled and any(box._node is not None for box in given):
        reason = refusal(function)  # type: ignore[no-untyped-call]
        if reason:
            raise OperandError(f"{full_name(function)} {reason}")
        raise MissingRuleError(
            f"{full_name(function)} has no derivative rule, and an argument is tracked; pass v.detach() if no "
            "gradient is wanted, or write it with functions that have one"
        )
    box = given[0] if given else like  # np.zeros(3, like=v)
    assert box is not None
    result = function(*data_of(args), **data_of(kwargs))

    def wrap(leaf: Any) -> Any:
        if type(leaf) is np.ndarray and not leaf.ndim:
            made = box._wrap(leaf[()])
            make_place(made)
            return made
        if type(leaf) is Batched and not leaf.ndim and function in LIKE:
            made = box._wrap(leaf)
            make_place(made)
            return made
        return box._wrap(leaf) if is_array(leaf) else leaf

    return tree_map(wrap, result)
