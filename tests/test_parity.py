"""NumPy's own list of what a class can override: every name on it has a class, and so have fft, linalg and ndarray."""

from __future__ import annotations

import importlib.util
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.polynomial  # it has functions that can be overridden, once it is loaded
import pytest
from numpy.testing import overrides

import autodiff as ad
from autodiff import OperandError, Value
from autodiff.rule import RULES
from autodiff.rules.nondiff import REFUSED, REFUSED_METHODS
from autodiff.supported import Support, Table, supported

ROOT = Path(__file__).parents[1]

# Names without a class: those that do not work yet. The list may only shrink.
MISSING: list[str] = []

# What users of other libraries ask for. None of it may be refused, or be without a derivative.
WANTED = """
average bincount block cbrt choose compress concat convolve copy copysign corrcoef correlate cov cumprod
delete diagflat dstack ediff1d extract fill_diagonal flip float_power fmod heaviside i0 insert interp
median meshgrid modf nanmax nanmean nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar nancumprod
nancumsum percentile piecewise place poly polyadd polyder polydiv polyfit polyint polymul polysub polyval positive ptp
put put_along_axis putmask quantile resize take take_along_axis trapezoid unwrap vander vdot vecdot asarray
ascontiguousarray broadcast_arrays apply_along_axis divmod pad gradient mgrid array full
linalg.cond linalg.eigvals linalg.eigvalsh linalg.lstsq linalg.matrix_norm linalg.matrix_power linalg.multi_dot
linalg.qr linalg.svdvals linalg.tensorinv linalg.tensorsolve linalg.vecdot linalg.vector_norm linalg.trace
linalg.diagonal linalg.outer linalg.cross linalg.svd
fft.fft fft.ifft fft.rfft fft.irfft fft.fft2 fft.ifft2 fft.rfft2 fft.irfft2 fft.fftn fft.ifftn fft.rfftn fft.irfftn
fft.hfft fft.ihfft fft.fftshift fft.ifftshift
"""
WANTED_LATER = "cumulative_prod cumulative_sum matrix_transpose matvec unstack vecmat"  # than NumPy 2.0
WANTED_METHODS = ["ndarray.dot", "ndarray.put", "ufunc.at", "ufunc.reduce", "ufunc.accumulate", "ufunc.outer"]

# What Python, and the machinery of arrays, ask of a class. Values answer some of it in ways of their own.
INTERNAL = """
__array__ __array_finalize__ __array_interface__ __array_priority__ __array_struct__ __array_wrap__ __class__
__class_getitem__ __delattr__ __delitem__ __dir__ __doc__ __getstate__ __init_subclass__ __module__ __new__ __reduce__
__setstate__ __sizeof__ __subclasshook__
"""


def classes() -> dict[str, Support]:
    return {row.name: row for row in supported()}


def without_class(functions: Any) -> list[str]:
    """Those that are not in the table, by themselves or by their module."""
    modules = [name for name in REFUSED if isinstance(name, str)]
    return sorted(
        f"{getattr(f, '__module__', None) or 'numpy'}.{f.__name__}"
        for f in functions
        if getattr(f, "__module__", None) not in modules and not supported(f)
    )


def test_every_function_has_a_class() -> None:
    functions = {*overrides.get_overridable_numpy_array_functions(), *overrides.get_overridable_numpy_ufuncs()}
    assert without_class(functions) == MISSING


@pytest.mark.parametrize("module", [np.fft, np.linalg, np.emath], ids=lambda m: m.__name__)
def test_every_function_of_a_module_has_a_class(module: Any) -> None:
    names = [n for n in dir(module) if not n.startswith("_") and n not in ("test", "LinAlgError")]
    assert not without_class(f for f in (getattr(module, n) for n in names) if callable(f))


def test_every_method_has_a_class() -> None:
    table = classes()
    names = [n for n in dir(np.ndarray) if not n.startswith("_") and hasattr(np.ones((1, 1)), n)]
    assert [n for n in names if f"ndarray.{n}" not in table] == []


def test_every_special_method() -> None:
    missing = [n for n in dir(np.ndarray) if n.startswith("__") and n not in INTERNAL.split() and not hasattr(Value, n)]
    assert missing == []


def test_one_class_a_name() -> None:
    table = supported()
    assert [name for name, n in Counter(row.name for row in table).items() if n > 1] == []
    assert {row.kind for row in table} == {"ruled", "composite", "non-differentiable", "refused"}
    assert all(bool(row.rule) == (row.kind == "ruled") for row in table)
    assert all(row.note for row in table if row.kind == "refused")


def test_what_users_ask_for_has_derivatives() -> None:
    names = [*WANTED.split(), *(n for n in WANTED_LATER.split() if hasattr(np, n))]
    wanted = [*(f"np.{n}" for n in names), *WANTED_METHODS]
    aliases = {"np.concat": "np.concatenate"}
    table = classes()
    found = {name: table.get(aliases.get(name, name)) for name in wanted}
    assert [name for name, row in found.items() if row is None] == []
    assert [name for name, row in found.items() if row and row.kind not in ("ruled", "composite")] == []


def test_what_may_be_refused() -> None:
    """Text, dates, records and files; of methods also what is about the memory."""
    allowed = ("np.strings", "np.char", "np._core.umath.", "np.lib.recfunctions", "ndarray.", "np.save")
    dates = ["np.isnat", "np.busday_count", "np.busday_offset", "np.is_busday", "np.datetime_as_string"]
    refused = [row.name for row in supported(kind="refused") if not row.name.startswith(allowed)]
    assert sorted(refused) == sorted(dates)


REFUSALS: dict[str, Callable[[Any], Any]] = {
    "isnat": np.isnat,
    "isalpha": np.strings.isalpha,
    "str_len": np.strings.str_len,
    "is_busday": np.is_busday,
    "busday_count": lambda v: np.busday_count(v, v),
    "datetime_as_string": np.datetime_as_string,
    "save": lambda v: np.save(io.BytesIO(), v),
    "savez": lambda v: np.savez(io.BytesIO(), a=v),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_functions_say_why(name: str) -> None:
    with pytest.raises(OperandError, match=rf"{name} (works on|writes to) .*(call|pass) "):
        REFUSALS[name](Value(np.ones(3)))


def test_untracked_values_may_be_written() -> None:
    """Nothing is lost, so they are as good as arrays."""
    file = io.BytesIO()
    np.save(file, Value(np.ones(3), requires_grad=False))
    np.testing.assert_array_equal(np.load(io.BytesIO(file.getvalue())), 1)


def test_refused_methods_raise() -> None:
    """Or do not exist."""
    given: dict[str, tuple[Any, ...]] = {"dump": ("unused",), "tofile": ("unused",), "getfield": (float,)}
    given |= {"setfield": (1.0, float), "resize": (3,)}
    assert {*given} < {*REFUSED_METHODS}
    for name in REFUSED_METHODS:
        with pytest.raises((OperandError, AttributeError), match=name):
            getattr(Value(np.ones(3)), name)(*given.get(name, ()))


def test_records_are_refused() -> None:
    from numpy.lib import recfunctions

    with pytest.raises(OperandError, match="structured"):
        recfunctions.structured_to_unstructured(Value(np.ones(3)))


def test_frequencies_are_made_of_operators() -> None:
    """np.fft.fftfreq is not dispatched, and has its derivative from the operators in it."""
    x = 0.5
    np.testing.assert_allclose(ad.grad(lambda d: (np.fft.fftfreq(4, d) ** 2).sum())(x), -3 / 4 / x**3)
    np.testing.assert_allclose(ad.grad(lambda d: (np.fft.rfftfreq(4, d) ** 2).sum())(x), -5 / 8 / x**3)


# -- the table


def test_table_agrees_with_the_rules() -> None:
    table = classes()
    assert table["np.sin"] == Support("np.sin", "ruled", "elementwise", "", "vectorised")
    assert table["np.matmul"].rule == "bilinear"
    assert table["np.sum"].rule == "linear"
    assert table["np.copyto"].rule == table["ndarray.fill"].rule == "mutation"
    assert table["np.less"].kind == table["ndarray.argmax"].kind == "non-differentiable"
    assert table["ndarray.sum"] == Support("ndarray.sum", "ruled", "linear", "")
    ours = [f for f in RULES if (getattr(f, "__module__", None) or "numpy").startswith("autodiff")]
    assert ours and not any(f"{f.__module__}.{f.__name__}" in table for f in ours)


def test_table_is_filtered() -> None:
    assert [row.name for row in supported(np.einsum)] == ["np.einsum"]
    assert {row.kind for row in supported("linalg", kind="ruled")} == {"ruled"}
    assert supported("no such thing") == Table()
    assert supported(kind="refused") == tuple(row for row in supported() if row.kind == "refused")


def test_table_is_printed() -> None:
    assert repr(supported("np.emath.sq")) == "np.emath.sqrt  ruled  elementwise\n1 names: 1 ruled"
    assert repr(supported("no such thing")) == "no such name"
    text = repr(supported())
    assert "\n...\n" in text and text.splitlines()[-1].startswith(f"{len(supported())} names: ")
    html = supported("np.emath.sq")._repr_html_()
    assert html.count("<tr>") == 2 and "<td>np.emath.sqrt</td><td>ruled</td>" in html
    assert "&#x27;field&#x27;" in supported("recfunctions")._repr_html_()


def test_the_page_is_up_to_date() -> None:
    """docs/supported.md is what tools/write_supported.py writes."""
    spec = importlib.util.spec_from_file_location("write_supported", ROOT / "tools" / "write_supported.py")
    assert spec and spec.loader
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    page = tool.PAGE.read_text("utf-8")
    if f"as of NumPy {'.'.join(np.__version__.split('.')[:2])}." not in page:
        pytest.skip("the page is about another version of NumPy")
    assert page == tool.render()
