"""Cases: how one rule runs once it is known which operands are tracked.

A node refers to the case of its rule. The case says what to save (`save`), how to pull a cotangent
back (`pull`), how to push tangents on (`push`), and how to wrap what was saved around its nodes again
so that the derivative can itself be differentiated (`lift`).
"""

import functools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .arrays import expand, restore
from .batched import Batched
from .codegen import compile_function, inline, packed, unpacked
from .errors import GraphError
from .spec import Spec

if TYPE_CHECKING:
    from .rule import Rule

__all__ = ["KNOWN", "OPERANDS", "Case", "SequenceCase", "Spent", "StandIn"]

Function = Callable[..., Any]

OPERANDS = ("x", "y", "z")
KNOWN = frozenset((*OPERANDS, "ans", "aux"))


class Case:
    """One case of a rule: which operands are tracked, and whether shapes or dtypes must be restored.

    `save`, `pull`, `push` and `lift` are compiled at their first use (see codegen). `fields` names what a node
    saves: x, y, z, ans, aux are data; sx, sy, sz, sans are Specs; rest and kwargs the remaining arguments.
    """

    __slots__ = ("argnums", "count", "fields", "lift", "pull", "push", "restored", "rule", "save", "spent")

    lift: Any
    push: Any

    is_spent = False

    def __init__(self, rule: "Rule", argnums: tuple[int, ...], restored: bool) -> None:
        self.rule = rule
        self.argnums = argnums
        self.count = len(argnums)
        self.restored = restored
        self.spent = rule.spent
        fields: dict[str, None] = {}
        for i in argnums:
            fields.update(dict.fromkeys(self.arguments(i)))
        if restored:
            fields.update(dict.fromkeys([*("s" + OPERANDS[i] for i in argnums), "sans"]))
        elif rule.kind == "general":
            fields["sans"] = None
        if rule.kind != "elementwise" or any(rule.options[i] for i in argnums):
            fields.update(rest=None, kwargs=None)
        self.fields = tuple(fields)

    def arguments(self, i: int) -> list[str]:
        """The fields that the map of operand `i` is called with."""
        own = {"linear": "x", "bilinear": OPERANDS[i]}.get(self.rule.kind)
        return ["s" + name if name == own else name for name in self.rule.needs[i]]

    def packing(self) -> str:
        """The expression that packs the fields, in terms of x, y, z, ans, aux, rest, kwargs."""
        return packed([self.spec_text(f[1:]) if f[0] == "s" else f for f in self.fields])

    def spec_text(self, name: str) -> str:
        """The expression for the Spec of an operand or of the result."""
        return f"(Spec({name}.shape, {name}.dtype) if type({name}) is not Batched else Spec.of({name}))"

    def mapped(self, i: int, g: str = "g") -> str:
        """The expression for the map of operand `i`, applied to `g`."""
        names = [g, *self.arguments(i)]
        options = ["*rest", "**kwargs"] if self.rule.options[i] else []
        text = None if options else inline(self.rule.maps[i], names)  # type: ignore[arg-type]
        return text or f"map{i}({', '.join(names + options)})"

    def call(self, i: int) -> str:
        """The expression for operand `i`'s cotangent."""
        return f"restore({self.mapped(i)}, s{OPERANDS[i]})" if self.restored else self.mapped(i)

    def pushed(self, i: int) -> str:
        """The expression for what operand `i`'s tangent adds to that of the result."""
        kind, rest = self.rule.kind, "*rest, **kwargs"
        if kind == "linear":
            method = None if self.rule.push else self.rule.method
            return f"t0.{method}({rest})" if method else f"linear(t0, {rest})"
        if kind == "bilinear":
            return f"function({f't{i}, y' if i == 0 else f'x, t{i}'}, {rest})"
        return self.mapped(i, f"t{i}")

    def source(self, name: str) -> str:
        if name == "save":
            return f"def save(x, y, z, ans, aux, rest, kwargs):\n    return {self.packing()}\n"
        if name == "lift":
            return self.lift_source()
        if name == "push":
            return self.push_source()
        calls = ", ".join(map(self.call, self.argnums))
        return f"def {name}(saved, g):\n{unpacked(self.fields)}    return {calls}\n"

    def push_source(self) -> str:
        """Tangents of the operands to that of the result; None stands for zero."""
        total = "fit(d, sans)" if self.restored else "d"
        lines = ["def push(saved, ts, masked=False):", "    if masked: return push_masked(saved, ts)"]
        lines += [unpacked(self.fields).rstrip(), f"    {''.join(f't{i}, ' for i in self.argnums)} = ts"]
        if len(self.argnums) == 1:
            lines.append(f"    d = {self.pushed(self.argnums[0])}")
        else:
            lines.append("    d = None")
            for i in self.argnums:
                e, minus = self.pushed(i), f"(-t{i})"  # a difference is one operation, and one node
                add = f"d = {e} if d is None else d - t{i}" if e == minus else f"e = {e}; d = e if d is None else d + e"
                lines.append(f"    if t{i} is not None: {add}")
        return "\n".join([*lines, f"    return {total}", ""])

    def lift_source(self) -> str:
        """What was saved, with its differentiable arrays wrapped around their nodes again, for `create_graph`."""
        if KNOWN.isdisjoint({*self.fields} - {"aux"}):
            return "def lift(saved, node, wrap):\n    return saved\n"
        owners = {OPERANDS[i]: f"node.parents[{k}]" for k, i in enumerate(self.argnums)} | {"ans": "node"}
        lifted = [
            f"wrap({f}, {owners.get(f)}) if hasattr({f}, 'dtype') else {f}" if f in KNOWN and f != "aux" else f
            for f in self.fields
        ]
        return f"def lift(saved, node, wrap):\n{unpacked(self.fields)}    return {packed(lifted)}\n"

    def __getattr__(self, name: str) -> Any:
        if name not in ("lift", "pull", "push", "save"):
            raise AttributeError(name)
        rule = self.rule
        namespace: dict[str, Any] = {f"map{i}": m for i, m in enumerate(rule.maps)}
        namespace.update(np=np, Spec=Spec, Batched=Batched, restore=restore, fit=_fit, function=rule.function)
        namespace.update(linear=rule.push or rule.function, push_masked=self.push_masked, case=self)
        namespace["__name__"] = f"autodiff {rule.name}"
        function = compile_function(name, self.source(name), namespace)
        setattr(self, name, function)
        return function

    def residuals(self, saved: Any) -> dict[str, Any]:
        """What a node saved, by field name."""
        if len(self.fields) == 1:
            return {self.fields[0]: saved}
        return dict(zip(self.fields, saved or (), strict=True))

    def apply_map(self, i: int, g: Any, known: dict[str, Any]) -> Any:
        """The map of operand `i` on a cotangent or tangent, given what was saved by field name."""
        options = (known["rest"], known["kwargs"]) if self.rule.options[i] else ((), {})
        return self.rule.maps[i](g, *(known[f] for f in self.arguments(i)), *options[0], **options[1])  # type: ignore[misc]

    def apply_masked(self, i: int, g: Any, known: dict[str, Any]) -> Any:
        """The same, but 0 where it is nan for a zero `g`; its own derivatives are 0 there too."""
        hole = (g == 0) & np.isnan(self.apply_map(i, g, known))
        patched = dict(known)
        for name, v in known.items():
            if name in KNOWN and hasattr(v, "dtype") and v.dtype.kind in "fc":
                patched[name] = np.where(hole, self.rule.regular, v)
        return np.where(hole, 0.0, self.apply_map(i, np.where(hole, 0.0, g), patched))

    def pull_masked(self, saved: Any, g: Any) -> Any:
        """`pull` of an elementwise rule after an invalid operation, such as 0/0."""
        known = self.residuals(saved)
        ds = [self.apply_masked(i, g, known) for i in self.argnums]
        if self.restored:
            ds = [restore(d, known["s" + OPERANDS[i]]) for i, d in zip(self.argnums, ds, strict=True)]
        return ds[0] if self.count == 1 else ds

    def push_masked(self, saved: Any, tangents: tuple[Any, ...]) -> Any:
        """`push` of an elementwise rule after an invalid operation."""
        known = self.residuals(saved)
        given = [(i, t) for i, t in zip(self.argnums, tangents, strict=True) if t is not None]
        total = functools.reduce(operator.add, [self.apply_masked(i, t, known) for i, t in given])
        return _fit(total, known["sans"]) if self.restored else total


class SequenceCase(Case):
    """The case of a linear function of a list of arrays, any of which may be tracked."""

    __slots__ = ()

    def __init__(self, rule: "Rule", argnums: tuple[int, ...], restored: bool) -> None:
        super().__init__(rule, (0,), False)
        self.count = 0  # as many parents as there are tracked arrays
        self.fields = ("sx", "sans", "tracked", "rest", "kwargs")

    def source(self, name: str) -> str:
        if name == "save":
            return super().source(name)
        body = "    gs = map0(g, sx, *rest, **kwargs)\n    return [restore(gs[i], sx[i]) for i in tracked]\n"
        return f"def {name}(saved, g):\n{unpacked(self.fields)}{body}"

    def packing(self) -> str:
        return "(Spec.of(x), Spec.of(ans), aux, rest, kwargs)"

    def lift(self, saved: Any, node: Any, wrap: Function) -> Any:
        return saved

    def push(self, saved: Any, tangents: tuple[Any, ...], masked: bool = False) -> Any:
        specs, result, tracked, rest, kwargs = saved
        some = next(t for t in tangents if t is not None)
        whole = [np.zeros_like(some, shape=spec.shape, dtype=result.dtype) for spec in specs]
        for i, t in zip(tracked, tangents, strict=True):
            if t is not None:
                whole[i] = t
        return self.rule.function(whole, *rest, **kwargs)


class StandIn:
    """Takes the place of a case in a node, to do something more at each use."""

    __slots__ = ("case", "count", "rule", "spent")

    is_spent = False

    def __init__(self, case: Any) -> None:
        self.case, self.count, self.rule, self.spent = case, case.count, case.rule, case.spent

    def __getattr__(self, name: str) -> Any:
        return getattr(self.case, name)


class Spent:
    """Takes the place of a case whose residuals a backward walk has consumed."""

    count = 0
    is_spent = True

    def __init__(self, rule: "Rule") -> None:
        self.rule = rule

    @property
    def spent(self) -> "Spent":
        return self

    def pull(self, *_: Any) -> Any:
        raise GraphError(
            f"the graph behind this {self.rule.name!r} was freed by an earlier backward() or grad(); "
            "to walk it again, call that one with retain_graph=True, or use vjp"
        )

    lift = push = residuals = pull


def _fit(t: Any, spec: Spec) -> Any:
    """Broadcast the tangent `t` to `spec.shape` and cast it to `spec.dtype`."""
    if t.shape != spec.shape:
        t = expand(t, spec.shape)
    return restore(t, spec)
