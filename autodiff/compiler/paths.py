"""The programs for one signature, as a tree of the questions that the function asks and of the answers it gets.

A question is the value of a guard: two programs that compute it alike ask the same one. A run that ends at a guard has
answered this question and those before it, and only programs that agree with all the answers may still be right. So
no program runs that is known not to hold, and if none is left, the path is a new one.
"""

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

from .graph import Graph
from .interpret import Mismatch
from .program import Program

__all__ = ["Paths", "Search"]

REMEMBERED = 4096  # ends of runs, with what was right then


class _Branch:
    """A point of a function where it asks; what it did before is the same for all the programs below."""

    __slots__ = ("answers", "programs", "used")

    def __init__(self) -> None:
        self.answers: dict[tuple[int, Any], _Branch] = {}  # by question and answer
        self.programs: list[Program] = []  # those that end here; several, if they are for other captured things
        self.used = 0  # when one of those below last ran


class Search:
    """What is known in one call: the answers to questions so far, and the programs that need not be tried again."""

    __slots__ = ("answers", "ends", "tried", "understood")

    def __init__(self) -> None:
        self.answers: dict[int, Any] = {}
        self.tried: set[Program] = set()
        self.ends: list[tuple[Program, int, Any]] = []  # runs that ended at a guard: its position, and what it was
        self.understood = 0  # how many of these are in the answers

    def failed(self, program: Program, mismatch: Mismatch) -> None:
        """Note what a run has found out that ended at a guard."""
        self.tried.add(program)
        if mismatch.position is not None:
            self.ends.append((program, mismatch.position, _comparable(mismatch.value)))

    def known(self) -> dict[int, Any]:
        """The answers that the runs so far have found, by question."""
        for program, end, value in self.ends[self.understood :]:
            for position in program.order():
                question, answer = program.guards[position]
                if position == end:
                    self.answers[question] = value
                    break
                self.answers[question] = answer
        self.understood = len(self.ends)
        return self.answers


class Paths:
    """The programs of one signature, the last used one first."""

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self.added = 0  # programs, ever
        self._root = _Branch()
        self._known: dict[Any, int] = {}  # values of programs, by how they are computed
        self._values: dict[int, set[Any]] = {}  # the answers to questions that are not of yes or no
        self._after: dict[tuple[Program, int, Any], Program] = {}  # what was right when a run had ended in this way
        self._clock = 0
        self._only: Program | None = None  # the first program, which is not in the tree while there is no other path
        self._lock = threading.Lock()

    def add(self, program: Program) -> bool:
        """Keep a program; whether there has been one that computes the same, whose place it takes."""
        self.added += 1
        if self.added == 1:
            self._only, self.programs = program, [program]
            return False
        self._settle()
        return self._enter(program)

    def _settle(self) -> None:
        """Enter the first program into the tree: most functions have no other, so it is done when one is looked for."""
        with self._lock:
            if self._only is not None:
                self._enter(self._only)
                self._only = None

    def _enter(self, program: Program) -> bool:
        described = [self._described(graph) for graph, _ in program.graphs().values()]
        program.guards = described[0][0]
        program.text = described, program.key
        branch = self._root
        for pair in program.guards:
            branch = branch.answers.setdefault(pair, _Branch())
            if type(pair[1]) is not bool:
                self._values.setdefault(pair[0], set()).add(pair[1])
        known = [p for p in branch.programs if p.text == program.text]
        branch.programs = [program, *[p for p in branch.programs if p not in known]]
        self.programs = [p for p in self.programs if p not in known]
        self._after = {}
        self._count(program)
        return bool(known)

    def used(self, program: Program, search: Search) -> None:
        """Note that it has run, after such a search: it is the first to try the next time."""
        self._settle()
        if len(self._after) > REMEMBERED:  # numbers may be other ones each time
            self._after = {}
        for end in search.ends:
            self._after[end] = program
        self._count(program)

    def _count(self, program: Program) -> None:
        self._clock += 1
        branch = self._root
        for pair in program.guards:
            branch = branch.answers[pair]
            branch.used = self._clock
        branch.programs = _first(program, branch.programs)
        self.programs = _first(program, self.programs)

    def candidates(self, search: Search) -> Iterator[Program]:
        """Programs that may hold, by what is known; the search may learn more from each one."""
        while (program := self._next(search)) is not None:
            search.tried.add(program)
            yield program

    def _next(self, search: Search) -> Program | None:
        """The one that was right the last time; else at each branch the one that was used last."""
        only = self._only
        if only is not None and not search.ends:
            return None if only in search.tried else only
        self._settle()
        found = self._after.get(search.ends[-1]) if search.ends else None
        if found is not None and found not in search.tried:
            return found
        stack, answers = [self._root], search.known()
        while stack:
            branch = stack.pop()
            for program in branch.programs:
                if program not in search.tried:
                    return program
            further = [b for (question, a), b in [*branch.answers.items()] if answers.get(question, a) == a]
            stack += further if len(further) < 2 else sorted(further, key=_when)
        return None

    def values(self, search: Search) -> int:
        """How many numbers there are programs for, as the answer to the question that ended the last run."""
        if not search.ends:
            return 0
        self._settle()
        program, position, _ = search.ends[-1]
        return len(self._values.get(program.guards[position][0], ()))

    def _described(self, graph: Graph) -> tuple[tuple[tuple[int, Any], ...], tuple[int, ...]]:
        """The guards of a graph as questions and answers, and its outputs; equal for equal computations."""
        known = self._known
        of: dict[int, int] = {}
        for n in graph.live():
            params = n.params if n.op != "constant" else (hashlib.sha256(n.params[0]).digest(),)
            key = (n.op, tuple([of[x.number] for x in n.inputs]), params, n.shape, n.dtype)
            of[n.number] = known.setdefault(key, len(known))
        guards = tuple([(of[n.number], _comparable(value)) for n, value in graph.guards])
        return guards, tuple([of[n.number] for n in graph.outputs])


def _first(program: Program, programs: list[Program]) -> list[Program]:
    return [program, *[p for p in programs if p is not program]]


def _when(branch: _Branch) -> int:
    return branch.used


def _comparable(x: Any) -> Any:
    """An answer that equals itself."""
    return x if x == x else "nan"
