"""What the code of a function names: globals, attributes, and modules that it imports."""

import dis
import itertools
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["global_names", "is_installed", "is_known", "makes_generators", "modules_of", "names_in"]

KNOWN = frozenset(("numpy", "scipy", __name__.partition(".")[0], *sys.stdlib_module_names)) - {"__main__"}


INSTALLED = ("site-packages", "dist-packages")
GENERATORS = frozenset(("default_rng", "RandomState", "SeedSequence", "PCG64", "MT19937", "Random", "SystemRandom"))


def is_known(module: Any) -> bool:
    """Whether it is the name of a module whose functions do not change: NumPy, Python's own, and ours."""
    return str(module or "").partition(".")[0] in KNOWN


def is_installed(module: Any) -> bool:
    """Whether it is the name of a module whose code is not looked at: a known one, or one of an installed package."""
    top = sys.modules.get(str(module or "").partition(".")[0])
    folders = [str(getattr(top, "__file__", None) or ""), *map(str, getattr(top, "__path__", ()))]
    return is_known(module) or any(part in folder for folder in folders for part in INSTALLED)


def names_in(code: CodeType) -> set[str]:
    """All names in a function and in those inside it: of globals, attributes and imports."""
    return {name for part in _parts(code) for name in part.co_names}


def global_names(code: CodeType) -> set[str]:
    """The names that are looked up among the globals."""
    return {part.co_names[i] for part in _parts(code) for i in _indices(part, GLOBAL)}


def modules_of(f: FunctionType) -> Iterator[ModuleType]:
    """The modules that a function imports when it runs."""
    package = f.__globals__.get("__package__") or ""
    for name in {part.co_names[i] for part in _parts(f.__code__) for i in _indices(part, IMPORT)}:
        for full in (name, f"{package}.{name}", package):
            module = sys.modules.get(full.strip("."))
            if module is not None:
                yield module


def makes_generators(code: CodeType) -> bool:
    """Whether a function makes random generators without a seed, which are others at each call."""
    return any(_makes_generators(part) for part in _parts(code) if not GENERATORS.isdisjoint(part.co_names))


def _makes_generators(code: CodeType) -> bool:
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("PRECALL", "CACHE", "PUSH_NULL")]
    calls = itertools.pairwise(instructions)
    return any(i.argval in GENERATORS and call.opname == "CALL" and call.arg == 0 for i, call in calls)


def _parts(code: CodeType) -> list[CodeType]:
    """A function and those inside it."""
    parts = [code]
    for part in parts:  # which grows
        parts += [constant for constant in part.co_consts if isinstance(constant, CodeType)]
    return parts


def _indices(code: CodeType, shifts: dict[int, int]) -> set[int]:
    """Which of its names the instructions in `shifts` have. `dis` says the same, thirty times slower."""
    raw, more = code.co_code, 0
    found: set[int] = set()
    if not any(op in raw for op in shifts):
        return found
    for op, argument in zip(raw[::2], raw[1::2]):
        if op in shifts:
            found.add((more | argument) >> shifts[op])
        more = (more | argument) << 8 if op == dis.EXTENDED_ARG else 0
    return found


# instructions, and by how many bits their argument is to be shifted to be the index of a name
GLOBAL = {dis.opmap["LOAD_GLOBAL"]: 1, dis.opmap["LOAD_NAME"]: 0}
IMPORT = {dis.opmap["IMPORT_NAME"]: 0}
