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
    names = {*code.co_names}
    for inner in _inside(code):
        names |= names_in(inner)
    return names


def global_names(code: CodeType) -> set[str]:
    """The names that are looked up among the globals."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for inner in _inside(code):
        names |= global_names(inner)
    return names


def modules_of(f: FunctionType) -> Iterator[ModuleType]:
    """The modules that a function imports when it runs."""
    package = f.__globals__.get("__package__") or ""
    for name in _imported(f.__code__):
        for full in (name, f"{package}.{name}", package):
            module = sys.modules.get(full.strip("."))
            if module is not None:
                yield module


def makes_generators(code: CodeType) -> bool:
    """Whether a function makes random generators without a seed, which are others at each call."""
    instructions = [i for i in dis.get_instructions(code) if i.opname not in ("PRECALL", "CACHE", "PUSH_NULL")]
    calls = itertools.pairwise(instructions)
    return any(i.argval in GENERATORS and call.opname == "CALL" and call.arg == 0 for i, call in calls) or any(
        makes_generators(inner) for inner in _inside(code)
    )


def _imported(code: CodeType) -> set[str]:
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "IMPORT_NAME"}
    for inner in _inside(code):
        names |= _imported(inner)
    return names


def _inside(code: CodeType) -> Iterator[CodeType]:
    return (constant for constant in code.co_consts if isinstance(constant, CodeType))
