"""What of NumPy works on Values, as a table that the rules themselves fill in."""

import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .arrays import cast, getitem
from .rule import RULES, Rule
from .rules.nondiff import REFUSED, REFUSED_METHODS
from .rules.polynomial import LATE
from .value import Value

__all__ = ["Support", "Table", "supported"]

SHOWN = 30  # rows at the most, when a table is printed

# Functions that change their first argument: an item assignment in other words.
MUTATION = {np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask}
MUTATION_METHODS = {"fill", "partition", "put", "sort"}

# What makes arrays is not dispatched, unless it is called with like=. The first take Values inside a transform.
OF_NUMBERS = "arange array asanyarray asarray ascontiguousarray asfortranarray c_ fromiter full mgrid ogrid r_"
OF_SHAPES = "empty eye frombuffer fromfile fromfunction fromstring genfromtxt identity loadtxt ones require tri zeros"

# What is not dispatched and works all the same: NumPy writes it with operators.
OF_OPERATORS = "fft.fftfreq fft.rfftfreq"

# Methods that are the function of another name, or the array itself in other clothes.
METHODS: dict[str, Any] = {"T": np.transpose, "mT": np.matrix_transpose, "astype": cast, "flatten": np.ravel}
METHODS |= dict.fromkeys(["flat", "to_device", "view"], getitem)


class Support(NamedTuple):
    """One name of NumPy: its class, the kind of its rule, a remark, and how vmap computes it. See `supported`."""

    name: str
    kind: str
    rule: str = ""
    note: str = ""
    vmap: str = ""


class Table(tuple[Support, ...]):
    """Rows of `Support`, sorted by name."""

    __slots__ = ()

    def __repr__(self) -> str:
        widths = [max((len(row[i]) for row in self), default=0) for i in range(3)]
        notes = [row.note or (f"vmap: {row.vmap}" if row.vmap in ("loop", "refused") else "") for row in self]
        lines = [
            "  ".join([*map(str.ljust, row, widths), note]).rstrip() for row, note in zip(self, notes, strict=True)
        ]
        if len(lines) > SHOWN:
            lines[SHOWN // 2 : -SHOWN // 2] = ["..."]
        counts = ", ".join(f"{n} {kind}" for kind, n in Counter(row.kind for row in self).most_common())
        return "\n".join([*lines, f"{len(self)} names: {counts}" if self else "no such name"])

    def _repr_html_(self) -> str:
        from html import escape  # a notebook has it, anybody else need not load it

        cells = ["".join(f"<td>{escape(text)}</td>" for text in row) for row in self]
        header = "".join(f"<th>{name}</th>" for name in Support._fields)
        return "".join(["<table>", *(f"<tr>{row}</tr>" for row in [header, *cells]), "</table>"])


def supported(name: str | Callable[..., Any] = "", kind: str = "") -> Table:
    """What NumPy's functions, and the methods of its arrays, do with Values: a table, here of `name` and `kind`.

    `name` is a part of a name, or the function itself. The kinds, of which each name has one:

    - "ruled": it has a derivative rule, of the kind that `rule` says;
    - "composite": it is written with ruled functions, and has its derivatives from them;
    - "non-differentiable": it runs on the data, and its results are constants;
    - "refused": it raises OperandError on a tracked Value, for the reason that `note` gives.

    What is ruled or composite has derivatives in both modes and of any order. The column `vmap` says how a batch is
    computed: "vectorised", all examples at once; "loop", one example after the other; "refused" where the shape of
    the result depends on the data.

    >>> supported("einsum")
    np.einsum       composite
    np.einsum_path  non-differentiable
    2 names: 1 composite, 1 non-differentiable
    >>> supported(np.linalg.norm)[0].kind
    'composite'
    >>> "np.isnat" in [row.name for row in supported(kind="refused")]
    True
    """
    text = name if isinstance(name, str) else _public_name(name)
    fits = (lambda row: text in row.name) if isinstance(name, str) else (lambda row: text == row.name)
    return Table(sorted(row for row in _rows() if fits(row) and kind in ("", row.kind)))


def _rows() -> Iterator[Support]:
    manner_of = importlib.import_module(f"{__package__}.batching").manner
    created = {getattr(np, name) for name in OF_NUMBERS.split()}
    for function, rule in RULES.items():
        if function in created:
            continue
        if isinstance(function, np.ufunc) or (getattr(function, "__module__", None) or "numpy").startswith("numpy"):
            kind, rule_kind = ("ruled", "mutation") if function in MUTATION else _class_of(rule)
            yield Support(_public_name(function), kind, rule_kind, vmap=manner_of(function))
    for function, note in REFUSED.items():
        yield Support(
            function.replace("numpy", "np") if isinstance(function, str) else _public_name(function),
            "refused",
            note=note,
        )
    for name in LATE:
        yield Support(name.replace("numpy", "np", 1), "composite")
    for name in OF_NUMBERS.split():
        yield Support(f"np.{name}", "ruled", "creation", "of Values inside a transform")
    for name in OF_SHAPES.split():
        yield Support(f"np.{name}", "non-differentiable", note="a Value inside a transform, or with like=v")
    for name in OF_OPERATORS.split():
        yield Support(f"np.{name}", "composite")
    for name in "accumulate", "at", "outer", "reduce", "reduceat":
        yield Support(f"ufunc.{name}", *("ruled", "mutation") if name == "at" else ("composite",))
    for name in dir(np.ndarray):
        if name in REFUSED_METHODS:
            yield Support(f"ndarray.{name}", "refused", note=REFUSED_METHODS[name])
        elif not name.startswith("_") and hasattr(Value, name):
            yield Support(f"ndarray.{name}", *_class_of_method(name))


def _class_of(rule: Rule | None) -> tuple[str, str]:
    if rule is None or rule.kind == "nondiff":
        return "non-differentiable", ""
    return (rule.kind, "") if rule.kind == "composite" else ("ruled", rule.kind)


def _class_of_method(name: str) -> tuple[str, str]:
    """That of the function of the same name; what is no function is an attribute or an exit, such as `item`."""
    if name in MUTATION_METHODS:
        return "ruled", "mutation"
    function = METHODS.get(name, getattr(np, name, None))
    return _class_of(RULES.get(function) if callable(function) else None)


def _public_name(function: Callable[..., Any]) -> str:
    """The name under which a user finds a function of NumPy."""
    name = function.__name__
    homes = {"np": np, "np.linalg": np.linalg, "np.fft": np.fft, "np.emath": np.emath, "np.strings": np.strings}
    for home, module in homes.items():
        if getattr(module, name, None) is function:
            return f"{home}.{name}"
    module_name = getattr(function, "__module__", None) or "numpy"
    return ("numpy._core.umath" if isinstance(function, np.ufunc) else module_name).replace(
        "numpy", "np", 1
    ) + f".{name}"
