"""What holds for the current thread or task only, apart from whether operations are recorded (tape.RECORDING)."""

from contextvars import ContextVar
from typing import Any, NamedTuple

__all__ = ["CHECKS", "DRAWS", "FILLED", "LEVELS", "Active"]

CHECKS: ContextVar[Any] = ContextVar("autodiff_checks", default=None)  # what debug_nans does with each new node


class Active(NamedTuple):
    """The levels (see batched.py) over which a cotangent is not to be summed: those of the vmaps that are running.

    In a forward walk, and while a rule is transposed, nothing is to be summed over the examples that there are: then
    it is all levels with smaller numbers than `before`. Those of a vmap that is opened meanwhile are larger.
    """

    before: int = 0
    levels: tuple[Any, ...] = ()

    def __contains__(self, level: Any) -> bool:
        return level[0] < self.before or level in self.levels

    def entered(self, level: Any) -> "Active":
        """The same, and the level of a vmap that begins."""
        return Active(self.before, (*self.levels, level))


LEVELS: ContextVar[Active] = ContextVar("autodiff_levels", default=Active())  # noqa: B039 - it does not change
DRAWS: ContextVar[Any] = ContextVar("autodiff_draws", default=None)  # what notes draws of np.random.rand
FILLED: ContextVar[Any] = ContextVar("autodiff_filled", default=None)  # what f of a transform has filled
