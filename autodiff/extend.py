"""The door for authors of rules: the declarators that the library itself is written with, and what its rules use.

    from autodiff import extend

    @extend.dispatchable
    def softsign(x):
        return x / (1 + np.abs(x))

    extend.elementwise(softsign, lambda g, x: g / (1 + np.abs(x)) ** 2)
    extend.check(softsign, np.array([-1.0, 0.5]))

One declaration serves reverse mode, forward mode, higher orders and vmap. For a function of your own program
`ad.custom_rule` is simpler; a rule is for a function that is to be like NumPy's, fast and for arrays of any kind.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from . import rule as declarators
from .arrays import (
    add_at,
    arange_like,
    cast,
    dispatchable,
    expand,
    eye_like,
    getitem,
    is_dispatchable,
    keepaxes,
    restore,
    safe_divide,
    scatter_add,
    undispatched,
    zeros,
)
from .batched import Batched, aligned, axes_of, batch, hide
from .case import KNOWN
from .checking import check_grads
from .declared import check_defaults, checked, paired
from .errors import GradientMismatchError, OperandError
from .mapping import vmap
from .rule import RULES, Rule
from .spec import Spec
from .transforms import jvp, vjp
from .tree import leaves, tree_map
from .value import Value

__all__ = [
    "Batched",
    "Rule",
    "Spec",
    "add_at",
    "aligned",
    "arange_like",
    "axes_of",
    "batch",
    "bilinear",
    "cast",
    "check",
    "composite",
    "dispatchable",
    "elementwise",
    "expand",
    "eye_like",
    "general",
    "getitem",
    "hide",
    "keepaxes",
    "linear",
    "nondiff",
    "restore",
    "rule_of",
    "safe_divide",
    "scatter_add",
    "undispatched",
    "zeros",
]


F = TypeVar("F", bound=Callable[..., Any])


def _checked(declare: F, example: str) -> F:
    """The declarator, with a look at what it is given: the library's own tables are checked by its tests."""

    @functools.wraps(declare)
    def declarator(function: Any, *maps: Any, **options: Any) -> Any:
        name = f"extend.{declare.__name__}"
        if not callable(function):
            raise OperandError(f"{name}: the first argument is a {type(function).__name__}; pass the function itself")
        called = getattr(function, "__name__", str(function))
        if function in RULES:
            raise OperandError(f"{name}: {called} has a rule already; extend.rule_of({called}) is {RULES[function]!r}")
        own = _parameters(function)
        _check_dispatchable(name, function)
        if own and len(maps) > len(own) + (declare.__name__ in ("composite", "general")):
            raise OperandError(f"{name}: {len(maps)} maps for {called}, which takes {len(own)} arguments")
        if declare.__name__ != "composite":
            for m in maps[declare.__name__ == "general" :]:
                if m is None:
                    continue
                if not hasattr(m, "__code__"):
                    raise OperandError(
                        f"{name}: {m!r} as a map of {called} does not tell the names of its parameters; wrap it in a "
                        "function, as in lambda g, x: ..."
                    )
                names = [*m.__code__.co_varnames[: m.__code__.co_argcount]]
                wrong = [n for n in names[1:] if n not in KNOWN and own and n not in own]
                if not names or wrong:
                    raise OperandError(
                        f"{name}: a map of {called} has parameters {names}; the first is the cotangent, the others are "
                        f"of x, y, z, ans, aux, or of the further arguments {', '.join(own)}"
                    )
                check_defaults(name, called, function, m)
            if declare.__name__ == "general" and maps and maps[0] is not None:
                maps = paired(called, maps[0]), *maps[1:]
            if options.get("forward") is not None:
                options["forward"] = paired(called, options["forward"])
        return checked(declare(function, *maps, **options))

    text = (declare.__doc__ or "").partition(">>>")[0].rstrip()
    declarator.__doc__ = f"{text}\n\n{example}\n"
    return declarator  # type: ignore[return-value]


def _check_dispatchable(name: str, function: Any) -> None:
    if not is_dispatchable(function):
        called = getattr(function, "__name__", str(function))
        raise OperandError(
            f"{name}: nothing looks for a rule when {called} is called; decorate it with @extend.dispatchable"
        )


def _parameters(function: Any) -> list[str]:
    """The parameters of a function; none if they are not known, or any are allowed."""
    try:
        parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    except (TypeError, ValueError):
        return []
    return [] if any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters) else [p.name for p in parameters]


elementwise = _checked(
    declarators.elementwise,
    """    >>> elementwise(dispatchable(lambda x: x**3), lambda g, x: 3 * g * x**2)
    <elementwise rule of <lambda>>""",
)
linear = _checked(
    declarators.linear,
    """    >>> linear(dispatchable(lambda x: x[::-1]), lambda g, x: g[::-1])
    <linear rule of <lambda>>""",
)
bilinear = _checked(
    declarators.bilinear,
    """    >>> bilinear(dispatchable(lambda x, y: x * y), lambda g, y: g * y, lambda g, x: x * g)
    <bilinear rule of <lambda>>""",
)
general = _checked(
    declarators.general,
    """    >>> general(dispatchable(lambda x: np.sqrt((x * x).sum())), None, lambda g, x, ans: g * x / ans)
    <general rule of <lambda>>""",
)
composite = _checked(
    declarators.composite,
    """    >>> composite(dispatchable(np.square), lambda x: x * x)
    <composite rule of square>""",
)


def nondiff(*functions: Callable[..., Any]) -> None:
    """Functions without a derivative: they run on the data, and their results are untracked.

    >>> nondiff(signs := dispatchable(lambda x: np.sign(x)))
    >>> signs(Value([-2.0, 3.0]))
    Value([-1.,  1.], dtype=float64, untracked)
    """
    for function in functions:
        _check_dispatchable("extend.nondiff", function)
    declarators.nondiff(*functions)


def rule_of(function: Callable[..., Any]) -> Rule | None:
    """The rule of a function, None if it has none.

    >>> rule_of(np.exp)
    <elementwise rule of exp>
    """
    return RULES.get(function)


def check(function: Callable[..., Any], *args: Any, rtol: float | None = None) -> None:
    """Check a rule at `args`, as the library's own are checked.

    The value and its dtype on Values are those on arrays; both modes agree with finite differences at first and second
    order, and with each other: Re <u, Jv> = Re <J'u, v> to rounding; single precision stays single; and a batch under
    `vmap` gives what its examples give.

    >>> check(np.tanh, np.array([0.5, -1.0]))

    Raises GradientMismatchError, saying what disagrees, or what the function raises.
    """
    args = tree_map(lambda x: np.asarray(x) if isinstance(x, (float, complex)) else x, args)
    if not any(map(_is_inexact, leaves(args))):
        raise OperandError("extend.check: no argument is floating point; pass arrays of floats")
    plain = _results(function, args)
    tracked = _results(function, tree_map(lambda x: Value(x) if _is_inexact(x) else x, args))
    _same("the value on Values", tracked, plain)
    check_grads(function, *args, order=2, rtol=rtol)
    _check_adjoint(function, args, plain)
    single = tree_map(lambda x: x.astype(_single(x.dtype)) if _is_inexact(x) else x, args)
    tracked = _results(function, tree_map(lambda x: Value(x) if _is_inexact(x) else x, single))
    _same("single precision", tracked, _results(function, single), 1e-4)
    twice = tree_map(lambda x: np.stack([x, x * 0.75]) if _is_inexact(x) else x, args)
    axes = tuple(tree_map(lambda x: 0 if _is_inexact(x) else None, a) for a in args)
    found = _results(vmap(function, axes), twice)
    others = _results(function, tree_map(lambda x: x * 0.75 if _is_inexact(x) else x, args))
    _same("vmap", found, [np.stack(pair) for pair in zip(plain, others, strict=True)])


def _is_inexact(x: Any) -> bool:
    return hasattr(x, "dtype") and x.dtype.kind in "fc"


def _inner(a: Any, b: Any) -> float:
    return sum(float(np.sum((np.conj(p) * q).real)) for p, q in zip(a, b, strict=True))


def _single(dtype: Any) -> Any:
    return np.complex64 if dtype.kind == "c" else np.float32


def _results(function: Callable[..., Any], args: Any) -> list[Any]:
    return [np.asarray(y._array if isinstance(y, Value) else y) for y in leaves(function(*args), result=True)]


def _same(what: str, found: list[Any], expected: list[Any], rtol: float = 1e-12) -> None:
    for y, e in zip(found, expected, strict=True):
        if y.shape != e.shape or y.dtype != e.dtype:
            raise GradientMismatchError(
                f"extend.check: {what} has shape {y.shape} and dtype {y.dtype}, expected {e.shape} and {e.dtype}"
            )
        if not np.allclose(y, e, rtol, rtol, equal_nan=True):
            raise GradientMismatchError(f"extend.check: {what} is {y}, expected {e}")


def _check_adjoint(function: Callable[..., Any], args: Any, plain: list[Any]) -> None:
    """Re <u, Jv> = Re <J'u, v>, exact to rounding, in a random direction."""
    rng = np.random.default_rng(0)
    chosen = [i for i, a in enumerate(args) if hasattr(a, "dtype") and a.dtype.kind in "fc"]
    if len(chosen) < len(args) and any(isinstance(a, (dict, list, tuple)) for a in args):
        return  # containers are covered by the finite differences

    def of_chosen(*xs: Any) -> Any:
        full = list(args)
        for i, x in zip(chosen, xs, strict=True):
            full[i] = x
        return function(*full)

    def like(x: Any) -> Any:
        r = rng.standard_normal(x.shape)
        return np.asarray(r + 1j * rng.standard_normal(x.shape) if x.dtype.kind == "c" else r, x.dtype)

    xs = tuple(args[i] for i in chosen)
    vs = tuple(map(like, xs))
    y, pull = vjp(of_chosen, *xs)
    us = [like(np.asarray(e)) for e in leaves(y, result=True)]
    it = iter(us)
    pulled = pull(tree_map(lambda _: next(it), y, result=True))
    pushed = [*leaves(jvp(of_chosen, xs, vs)[1], result=True)]
    left, right = _inner(us, pushed), _inner(pulled, vs)
    if not abs(left - right) <= 1e-10 * max(1.0, abs(left), abs(right)):
        raise GradientMismatchError(f"extend.check: <u, Jv> is {left} and <J'u, v> is {right}; they should be equal")
