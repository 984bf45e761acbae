"""custom_rule: a derivative of one's own for a function of one's own.

    @custom_rule
    def log1pexp(x):
        return np.log1p(np.exp(x))

    @log1pexp.vjp
    def _(g, x):
        return g / (1 + np.exp(-x))

The function runs on plain arrays, so it may be anything: compiled code, a solver, a loop with branches. It is one node
of the graph. Its rule is called with what its parameters name: in a walk on arrays with arrays, and with Values where
the derivative is differentiated again; then what the rule does is recorded like any other code.

Of vjp and jvp one is enough. Both are linear, one is the transpose of the other, and to transpose a function that is
made of NumPy's is what reverse mode does.
"""

import functools
import inspect
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any

from ..errors import OperandError
from ..rule import Rule
from ..transform import name_of
from ..tree import leaves
from ..value import Value
from .call import Call
from .case import CustomCase

__all__ = ["CustomRule", "custom_rule"]

Function = Callable[..., Any]


def custom_rule(f: Function | None = None, *, vjp: Function | None = None, jvp: Function | None = None) -> Any:
    """Give the function `f` a derivative rule of its own: `vjp`, `jvp`, or both; a decorator.

    `f` takes arrays, nested containers of them, and anything else, and returns an array or a container of arrays. It is
    called with plain arrays. Rules are passed here, or declared with `@f.vjp` and `@f.jvp`. Their parameters are
    chosen by name: those of `f`, `ans` for its result, and

    - for vjp `g`, the cotangent of the result (in its structure, zeros where there is none). It returns the cotangent
      of each argument: a tuple, or a dict by name, or one bare if there is one argument. None means zero.
    - for jvp `t`, the tangents of the parameters: a tuple, None for what is not given or no array of floats; one bare
      if there is one parameter. It returns the tangent of the result.

    The rule that is missing is derived from the other, and so are higher orders, by recording what a rule does; for
    that it has to be written with NumPy's functions. Both are complex-linear: there is no conjugation in them.

    >>> from autodiff import grad
    >>> @custom_rule
    ... def cube(x):
    ...     return x**3
    >>> @cube.vjp
    ... def _(g, x):
    ...     return 3 * x**2 * g
    >>> print(grad(cube)(2.0), grad(grad(cube))(2.0))
    12.0 12.0

    Raises OperandError for a rule whose parameters name nothing, or two things, as where `f` itself has a parameter g,
    or whose results do not fit the arguments; DetachError if a derivative is asked for that a rule outside of NumPy
    cannot give.
    """
    if f is None:
        return functools.partial(custom_rule, vjp=vjp, jvp=jvp)
    if not callable(f):
        raise OperandError(f"custom_rule: the first argument is a {type(f).__name__}; pass a function")
    return CustomRule(f, vjp, jvp)


class CustomRule:
    """A function with a derivative rule of its own; see `custom_rule`. It is called like the function."""

    def __init__(self, f: Function, vjp: Function | None = None, jvp: Function | None = None) -> None:
        functools.update_wrapper(self, f, updated=())
        self.f = f
        self.once = ""  # why there is no higher order
        self._rule = Rule(f, "custom", name=name_of(f))
        self._case = CustomCase(self._rule)
        self._pulls: tuple[Function, list[str]] | None = None
        self._pushes: tuple[Function, list[str]] | None = None
        try:
            self._signature: Any = inspect.signature(f)
        except (TypeError, ValueError):
            raise OperandError(
                f"custom_rule: Python does not know the parameters of {name_of(f)}; wrap it: lambda x: {name_of(f)}(x)"
            ) from None
        if vjp is not None:
            self.vjp(vjp)
        if jvp is not None:
            self.jvp(jvp)

    def vjp(self, rule: Function) -> Function:
        """Declare the rule that pulls a cotangent of the result back; a decorator. Returns `rule`."""
        self._pulls = rule, self._needs(rule, "g")
        return rule

    def jvp(self, rule: Function) -> Function:
        """Declare the rule that pushes tangents of the arguments on; a decorator. Returns `rule`."""
        self._pushes = rule, self._needs(rule, "t")
        return rule

    def _needs(self, rule: Function, given: str) -> list[str]:
        """The names of the parameters of a rule. Raises OperandError if one of them means nothing."""
        kind = {"g": "vjp", "t": "jvp"}[given]
        known = [given, "ans", *self._signature.parameters]
        if not callable(rule):
            raise OperandError(f"custom_rule: the {kind} of {self._rule.name} is a {type(rule).__name__}, no function")
        try:
            parameters = inspect.signature(rule).parameters.values()
        except (TypeError, ValueError):
            raise OperandError(
                f"custom_rule: Python does not know the parameters of the {kind} of {self._rule.name}, "
                f"{name_of(rule)}; wrap it: lambda {given}: {name_of(rule)}({given})"
            ) from None
        names = [p.name for p in parameters if p.default is p.empty]
        unnamed = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY and p.default is p.empty]
        if unnamed:
            raise OperandError(
                f"custom_rule: the {kind} of {self._rule.name} takes {', '.join(unnamed)} by position only, but is "
                "called with names; leave out the / in its parameters"
            )
        wrong = [name for name in names if name not in known]
        if wrong or given not in names:
            raise OperandError(
                f"custom_rule: the {kind} of {self._rule.name} has parameters {names}; it needs {given}, and may name "
                f"{', '.join(known[1:])}"
            )
        for name in names:
            if name in (given, "ans") and name in self._signature.parameters:
                meaning = {"g": "the cotangent", "t": "the tangents", "ans": "the result"}[name]
                raise OperandError(
                    f"custom_rule: {self._rule.name} has a parameter {name}, but in its {kind} {name} is {meaning}; "
                    f"rename the parameter of {self._rule.name}"
                )
        return names

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(x, Value) for x in leaves((args, kwargs))):
            return self.f(*args, **kwargs)
        bound = self._signature.bind(*args, **kwargs)
        return Call(self, dict(bound.arguments), bound).result()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        rules = [name for name, rule in (("vjp", self._pulls), ("jvp", self._pushes)) if rule]
        return f"<custom_rule of {self._rule.name}, with {' and '.join(rules) or 'no rule yet'}>"

    def __reduce__(self) -> Any:
        found: Any = sys.modules.get(self.__module__)
        place = str(self.__dict__.get("__qualname__", ""))
        for name in place.split("."):
            found = getattr(found, name, None)
        if found is self:
            return place
        return CustomRule, (self.f, self._pulls and self._pulls[0], self._pushes and self._pushes[0])
