"""jit: the names that a function's code looks up and imports, compared with what Python's `dis` says."""

from __future__ import annotations

import dis
import inspect
import json.decoder
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from autodiff.compiler import code


def functions() -> Iterator[types.FunctionType]:
    for module in (inspect, json.decoder, np.lib.scimath, dis, types):
        yield from (f for f in vars(module).values() if isinstance(f, types.FunctionType))


def long(count: int) -> Any:
    """A function with more names than one byte counts, and with imports."""
    names: dict[str, Any] = {}
    lines = [f"    n{i}; x.a{i}; import m{i}" for i in range(count)]
    exec("def f(x):\n" + "\n".join(lines), names)
    return names["f"]


def expected(of: types.CodeType, opnames: tuple[str, ...]) -> set[str]:
    names = {i.argval for i in dis.get_instructions(of) if i.opname in opnames}
    return names.union(*(expected(c, opnames) for c in of.co_consts if isinstance(c, types.CodeType)))


@pytest.mark.parametrize("f", [*functions(), long(90), long(300)])
def test_global_names(f: Any) -> None:
    assert code.global_names(f.__code__) == expected(f.__code__, ("LOAD_GLOBAL", "LOAD_NAME"))
    imported = {part.co_names[i] for part in code._parts(f.__code__) for i in code._indices(part, code.IMPORT)}
    assert imported == expected(f.__code__, ("IMPORT_NAME",))
