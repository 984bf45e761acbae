"""How transforms are called: arguments by keyword beside a vector, and what messages say of a wrong call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import autodiff as ad
from autodiff import OperandError

x = np.array([1.0, 2.0])
f = lambda x: (x**3).sum()
product = lambda x, y: f(x * y)


@pytest.mark.parametrize("transform", [ad.hvp, ad.vhp])
def test_a_vector_beside_arguments_by_keyword(transform: Callable[..., Any]) -> None:
    np.testing.assert_array_equal(transform(lambda *, w: f(w), "w")(np.ones(2), w=x), 6 * x)
    np.testing.assert_array_equal(transform(lambda v, w: f(w), "w")(0.0, np.ones(2), w=x), 6 * x)
    found = transform(lambda *, u, w: f(u) * w, ("u", "w"))((np.ones(2), 0.0), u=x, w=1.0)
    np.testing.assert_array_equal(found[0], 6 * x)
    assert found[1] == 15.0


MESSAGES: dict[str, tuple[Callable[..., Any], str]] = {
    "no vector": (lambda: ad.hvp(f)(x), r"hvp: 1 arguments; call it as hvp\(<lambda>\)\(\*args, v\)"),
    "nothing": (lambda: ad.vhp(f)(), r"vhp: 0 arguments; call it as"),
    "keywords only": (lambda: ad.hvp(f)(x=x), r"hvp: 0 arguments; call it as"),
    "not by keyword": (lambda: ad.hvp(lambda x, k: k * f(x), "x")(x, k=2), "hvp: .* was called without x; pass it"),
    "vector shape": (lambda: ad.hvp(f)(x, np.ones(3)), r"^hvp: vector has shape \(3,\), expected \(2,\)"),
    "vector part": (lambda: ad.hvp(product, (0, 1))(x, x, (x, 1.0)), r"^hvp: vector\[1\] has shape"),
    "vector of two": (lambda: ad.hvp(product, (0, 1))(x, x, 1.0), "hvp: vector is a float; pass a tuple, 2 for the 2"),
    "linearize": (lambda: ad.linearize(np.sin, x)[1](np.ones(3)), r"^linearize: tangents\[0\] has shape"),
    "linearize, two": (lambda: ad.linearize(np.sin, x)[1](x, x), "^linearize: tangents: expected a tuple of 1"),
    "jvp, bare tangent": (lambda: ad.jvp(np.sin, (1.0,), 1.0), "jvp: tangents is a float; pass a tuple, one for the"),
    "jvp, bare tangents": (lambda: ad.jvp(np.hypot, (1.0, 2.0), 1.0), "jvp: tangents is a float; pass a tuple, 2 for"),
    "jvp, no function": (lambda: ad.jvp(3, (x,), (x,)), r"jvp: the first argument is a int; .* jvp\(f, "),
    "vjp, no function": (lambda: ad.vjp(f(x), x), r"vjp: the first argument is a float64; .* vjp\(f, x\)"),
    "linearize, no function": (lambda: ad.linearize(3, x), "linearize: the first argument is a int; pass the function"),
    "scan, no function": (
        lambda: ad.checkpoint_scan(3, x, 2),
        r"checkpoint_scan: the first argument is a int; .* checkpoint_scan\(step, carry, n\)",
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    call, message = MESSAGES[name]
    with pytest.raises(ValueError if "has shape" in message else OperandError, match=message):
        call()
