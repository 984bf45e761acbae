"""Functions of several results, such as `np.linalg.eigh`.

One node holds the function. Every result hangs on it by a small node that picks it out, so that each
can be differentiated, or not, on its own. In the walk the cotangents of the results meet at the
function's node as `Parts`: those that received none are None to the map, and cost nothing.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .arrays import restore
from .case import OPERANDS, Case

if TYPE_CHECKING:
    from .rule import Rule

__all__ = ["ManyCase", "Parts", "Pick"]


class Parts(dict[int, Any]):
    """Cotangents of some of a function's results, by position. Adding two adds what they share."""

    def __add__(self, other: "Parts") -> "Parts":
        total = Parts(self)
        for i, g in other.items():
            total[i] = total[i] + g if i in total else g
        return total


class ManyCase(Case):
    """The case of a function whose result is a tuple; `ans` and `sans` are tuples, `g` one with None for zeros."""

    __slots__ = ()

    def __init__(self, rule: "Rule", argnums: tuple[int, ...], restored: bool) -> None:
        super().__init__(rule, argnums, restored=True)

    def spec_text(self, name: str) -> str:
        return f"Spec.of({name})" if name == "ans" else super().spec_text(name)

    def pull(self, saved: Any, g: Parts) -> Any:
        known = self.residuals(saved)
        gs = tuple(map(g.get, range(len(known["sans"]))))
        ds = [restore(self.apply_map(i, gs, known), known["s" + OPERANDS[i]]) for i in self.argnums]
        return ds[0] if self.count == 1 else ds

    def lift(self, saved: Any, node: Any, wrap: Callable[..., Any]) -> Any:
        lifted = dict(zip(self.fields, super().lift(saved, node, wrap), strict=True))
        if "ans" in lifted:
            lifted["ans"] = tuple(
                wrap(a, node.picked(i) if a.dtype.kind in "fc" else None) for i, a in enumerate(lifted["ans"])
            )
        return tuple(lifted.values())


class Pick:
    """The case of a node that stands for one of the results."""

    __slots__ = ("index", "rule")

    count = 1
    is_spent = False

    def __init__(self, rule: "Rule", index: int) -> None:
        self.rule, self.index = rule, index

    @property
    def spent(self) -> Any:
        return self.rule.spent

    def residuals(self, saved: Any) -> dict[str, Any]:
        return {}

    def lift(self, saved: Any, node: Any, wrap: Callable[..., Any]) -> None:
        return None

    def pull(self, saved: Any, g: Any) -> Parts:
        return Parts({self.index: g})

    def push(self, saved: Any, tangents: tuple[Any, ...], masked: bool = False) -> Any:
        return tangents[0][self.index]
