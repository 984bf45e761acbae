"""How long each step of a plan takes, as it runs: for explain()."""

from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

from .native import Program
from .plan import Plan

__all__ = ["times"]

LONG = 0.5  # seconds that the runs may take
RUNS = 3, 101  # how many, at least and at most


def times(plan: Plan, arrays: Sequence[Any]) -> list[float]:
    """Seconds of each step: the median of runs on these arrays, one step of native code or of NumPy after the other.

    Raises Mismatch where a guard has another value than recorded.
    """
    program = Program(plan, apart=True)
    found: list[list[float]] = [[] for _ in plan.steps]
    empty: list[float] = []
    program.clocked([_clock(each) for each in found], _clock(empty))
    program.run(arrays)  # which pages memory in
    for each in (*found, empty):
        each.clear()
    begin = perf_counter()
    for run in range(RUNS[1]):
        program.run(arrays)
        if run + 1 >= RUNS[0] and perf_counter() - begin > LONG:
            break
    entering = median(empty)  # a step that does nothing
    return [max(median(each) - entering, 0.0) for each in found]


def _clock(noted: list[float]) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """What makes a step one that notes its times."""

    def clocked(step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def run(memory: Any) -> Any:
            begin = perf_counter()
            found = step(memory)
            noted.append(perf_counter() - begin)
            return found

        return run

    return clocked
