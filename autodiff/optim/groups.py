"""Parameters, and groups of them with options of their own."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import OperandError
from ..value import Value

__all__ = ["Group", "Params", "array_of", "grouped", "leaves_of"]

Params = Iterable[Value] | Iterable[Mapping[str, Any]]


class Group(NamedTuple):
    """Numbers of parameters, and what is different for them."""

    members: list[int]
    options: dict[str, Any]


def grouped(function: str, params: Any, options: Sequence[str]) -> tuple[list[Value], list[Group]]:
    """All parameters, each once, and the groups. `options` are the names that a group may have."""
    given = [*params] if isinstance(params, Iterable) and not isinstance(params, Value) else params
    if not (isinstance(given, list) and given and all(isinstance(part, Mapping) for part in given)):
        found = leaves_of(function, given)
        return found, [Group([*range(len(found))], {})]
    found, groups = [], []
    for i, part in enumerate(given):
        own = {name: x for name, x in part.items() if name != "params"}
        unknown = sorted(own.keys() - set(options))
        if "params" not in part or unknown:
            what = f"has no option {unknown[0]!r}" if unknown else "has no params"
            raise TypeError(f"{function}: group {i} {what}; a group is a dict of params and of {', '.join(options)}")
        members = leaves_of(f"{function}: group {i}", part["params"])
        groups.append(Group([*range(len(found), len(found) + len(members))], own))
        found += members
    if len({id(p) for p in found}) < len(found):
        raise ValueError(f"{function}: a parameter is in two groups")
    return found, groups


def leaves_of(function: str, params: Any) -> list[Value]:
    """The parameters as a list, each once."""
    if isinstance(params, Value):
        raise OperandError(f"{function}: params is a single Value; pass a list: [v]")
    if not isinstance(params, Iterable):
        raise OperandError(f"{function}: params is a {type(params).__name__}; pass Values, such as model.parameters()")
    unique: dict[int, Value] = {}
    for i, p in enumerate(params):
        if not isinstance(p, Value):
            raise OperandError(
                f"{function}: params[{i}] is a {type(p).__name__}; pass Values, such as model.parameters()"
            )
        if not p.requires_grad:
            raise OperandError(f"{function}: params[{i}] is untracked and gets no gradient; make it with Value(...)")
        if not p.is_leaf:
            raise OperandError(
                f"{function}: params[{i}] was computed from other Values; pass those, or make it a variable "
                "of its own with Value(v.data)"
            )
        unique[id(p)] = p
    if not unique:
        raise ValueError(f"{function}: params is empty; a generator can be used once only")
    return list(unique.values())


def array_of(g: Any) -> Any:
    """A gradient or a loss as an array, also one that has a graph, as after `create_graph=True`."""
    return g.data if isinstance(g, Value) else g
