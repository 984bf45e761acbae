"""How many of the plain NumPy programs in `tests/programs_*.py` each library differentiates as they stand.

A program knows nothing of differentiation: it says `np.` and means NumPy. autodiff gets it unchanged. Every peer
gets its own NumPy namespace as the program's `np`, and every other way its documentation offers, and is counted
right if one of them is. Which programs fail, and how: `python -m benchmarks.programs`.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import autodiff

from .harness import OURS, Goal, Row, Settings, Spread, peer

GROUP = "programs"
COLUMNS = ("autograd", "mygrad", "jax", "torch")
TESTS = Path(__file__).resolve().parent.parent / "tests"
VERDICTS = ("right", "wrong", "error")
TOLERANCE = 1e-6  # of the largest element of the gradient; finite differences are good for 3e-9

Way = Callable[[Any], Any]


def load() -> list[Any]:
    """The programs, from the tests' folder."""
    sys.path.append(str(TESTS))
    found: list[Any] = importlib.import_module("programs").load()
    return found


@contextmanager
def namespace(program: Any, np_of_peer: Any) -> Iterator[None]:
    """`np` of the program's module is the peer's."""
    program.module.np = np_of_peer
    try:
        yield
    finally:
        program.module.np = np


def ours(program: Any) -> Any:
    """autodiff, on the program as it is."""
    return autodiff.grad(program.function)(program.point)


def ways_autograd() -> list[Way]:
    """HIPS autograd with its namespace."""
    autograd, numpy = importlib.import_module("autograd"), importlib.import_module("autograd.numpy")

    def own(program: Any) -> Any:
        with namespace(program, numpy):
            return autograd.grad(program.function)(program.point.copy())

    return [own]


def ways_mygrad() -> list[Way]:
    """MyGrad by NumPy's protocols, or with its namespace; a program may write to its argument, so not a leaf."""
    mygrad = importlib.import_module("mygrad")

    def plain(program: Any) -> Any:
        leaf = mygrad.tensor(program.point)
        program.function(+leaf).backward()
        return leaf.grad

    def own(program: Any) -> Any:
        with namespace(program, mygrad):
            return plain(program)

    return [plain, own]


def ways_jax() -> list[Way]:
    """JAX with its namespace, compiled as a whole (the faster way) or not."""
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)

    def compiled(program: Any) -> Any:
        with namespace(program, jax.numpy):
            return jax.jit(jax.grad(program.function))(program.point)

    def eager(program: Any) -> Any:
        with namespace(program, jax.numpy):
            return jax.grad(program.function)(program.point)

    return [compiled, eager]


def ways_torch() -> list[Way]:
    """torch with its NumPy namespace, and torch.compile, which puts that in NumPy's place; see `ways_mygrad`."""
    torch, numpy = importlib.import_module("torch"), importlib.import_module("torch._numpy")
    wrap = importlib.import_module("torch._dynamo.external_utils").wrap_numpy

    def own(program: Any) -> Any:
        leaf = torch.tensor(program.point, requires_grad=True)
        with namespace(program, numpy):
            program.function(numpy.asarray(+leaf)).tensor.backward()
        return leaf.grad

    def compiled(program: Any) -> Any:
        leaf = torch.tensor(program.point, requires_grad=True)
        torch._dynamo.reset()
        torch.compile(wrap(program.function), backend="eager")(+leaf).reshape(()).backward()
        return leaf.grad

    return [own, compiled]


WAYS = {"autograd": ways_autograd, "mygrad": ways_mygrad, "jax": ways_jax, "torch": ways_torch}


def verdict(program: Any, way: Way) -> tuple[str, str]:
    """right, wrong or error, and what came out."""
    try:
        g = way(program)
        g = np.asarray(g, float)
    except Exception as error:
        return "error", f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
    distance = np.abs(g - program.gradient) if g.shape == program.point.shape else np.array(np.nan)
    right = np.all(distance <= TOLERANCE * np.max(np.abs(program.gradient)))
    return ("right" if right else "wrong"), np.array2string(g.ravel()[:4], precision=4)


def best(program: Any, ways: list[Way]) -> tuple[str, str]:
    """The best of what the ways give: right, or else an error, rather than a wrong gradient."""
    found = {}
    for way in ways:
        kind, what = verdict(program, way)
        found[kind] = what
        if kind == "right":
            break
    kind = next(kind for kind in ("right", "error", "wrong") if kind in found)
    return kind, found[kind]


def contenders(settings: Settings) -> dict[str, list[Way]]:
    """Everybody that is installed; JAX and torch.compile take a minute."""
    everybody: dict[str, list[Way]] = {OURS: [ours]}
    for name, make in WAYS.items():
        if peer(name) is not None and not (settings.quick and name == "jax"):
            everybody[name] = make()[:1] if settings.quick else make()
    return everybody


def rows(settings: Settings) -> Iterator[Row]:
    """How many are right in each group of programs; then how many of all are right, wrong, or end in an error."""
    programs = load()
    counts: dict[str, Counter[tuple[str, str]]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, ways in contenders(settings).items():
            counts[name] = Counter((p.group, best(p, ways)[0]) for p in programs)
    for group, size in Counter(p.group for p in programs).items():
        right = {name: count(found[group, "right"]) for name, found in counts.items()}
        yield Row(GROUP, f"{group}: right of {size}", "count", right, {})
    for kind in VERDICTS:
        total = {name: count(sum(n for (_, k), n in found.items() if k == kind)) for name, found in counts.items()}
        goals = {OURS: Goal(0, 0)} if kind != "right" else {}
        yield Row(GROUP, f"all {len(programs)}: {kind}", "count", total, {}, goals)


def count(number: int) -> Spread:
    """A number that does not scatter."""
    return Spread(number, number, number, number, 1)


def main() -> None:
    """List what each library makes of the programs it does not get right."""
    warnings.simplefilter("ignore")
    for name, ways in contenders(Settings(1, 0.0, 1, "--quick" in sys.argv)).items():
        print(name)
        for program in load():
            kind, what = best(program, ways)
            if kind != "right":
                print(f"  {kind}  {program.group}: {program}: {what}")


if __name__ == "__main__":
    main()
