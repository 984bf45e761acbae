"""Whether a number that a function asks for is only returned: then it is an output of its program, and no guard.

`float(v)` makes a number of Python's, and nobody can see what becomes of one. But the source says it: in
`return w, float(loss)` it goes into the result and nowhere else. That is followed through local variables, containers
and the callers. Where the source is not there, or is not that of the code that runs, the answer is no.
"""

import ast
import builtins
import functools
import linecache
from collections.abc import Iterator
from contextvars import ContextVar
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

from ..transform import Transform

__all__ = ["RERUN", "Sources"]

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
PEEKING = frozenset(
    ("locals", "vars", "dir", "eval", "exec", "_getframe", "currentframe")
)  # see local variables without their names
# a function that is run again for its derivatives, and the code that calls it: nobody sees the numbers that it returns
RERUN: ContextVar[tuple[Any, CodeType] | None] = ContextVar("autodiff_jit_rerun", default=None)
GENERATOR = 0x20 | 0x80 | 0x100 | 0x200  # and coroutines


class _Function:
    """The source of a function that runs."""

    def __init__(self, tree: ast.AST, code: CodeType) -> None:
        self.tree, self.code, self.places = tree, code, [*code.co_positions()]
        self.above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.calls = {_place(node): node for node in self.above if isinstance(node, ast.Call)}
        self.known: dict[ast.Call, bool] = {}

    def call(self, frame: FrameType) -> ast.Call | None:
        """The call in which a frame is."""
        return self.calls.get(self.places[frame.f_lasti // 2])

    def returns(self, call: ast.Call) -> bool:
        """Whether the value of a call goes into the result of the function, or nowhere."""
        if call not in self.known:
            self.known[call] = self._returns(call, set())
        return self.known[call]

    def _returns(self, node: ast.AST, seen: set[str]) -> bool:
        above = self.above.get(node)
        if isinstance(above, (ast.Tuple, ast.List, ast.Dict, ast.IfExp)):
            inside = not isinstance(above, (ast.Dict, ast.IfExp)) or node in (
                above.values if isinstance(above, ast.Dict) else (above.body, above.orelse)
            )
            return inside and self._returns(above, seen)
        if isinstance(above, (ast.Assign, ast.AnnAssign)):
            targets = above.targets if isinstance(above, ast.Assign) else [above.target]
            return all(isinstance(t, ast.Name) and self._variable(t.id, seen) for t in targets)
        return isinstance(above, (ast.Return, ast.Expr)) or above is self.tree  # the body of a lambda

    def _variable(self, name: str, seen: set[str]) -> bool:
        """Whether what is in a local variable does."""
        if name not in self.code.co_varnames or name in self.code.co_cellvars:
            return False
        if name in seen:
            return True
        seen.add(name)
        for node in _own(self.tree):
            if isinstance(node, ast.Name) and node.id == name:
                if isinstance(self.above[node], ast.AugAssign):
                    return False
                if isinstance(node.ctx, ast.Load) and not self._returns(node, seen):
                    return False
        return True


class Sources:
    """The sources that recordings of one function have looked at: to parse a long file takes longer than to record."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[ast.AST, list[CodeType]] | None] = {}
        self.functions: dict[CodeType, tuple[list[str], _Function | None]] = {}  # with the lines of their files

    def release(self) -> None:
        """Forget whole files: they are large."""
        self.files = {}

    def returned(self, frame: FrameType | None, f: Any, runner: CodeType | None) -> bool:
        """Whether the number that `float` is making in a frame only becomes a part of the result of `f`, which
        `runner` calls."""
        callee: Any = float
        while frame is not None:
            function = self._function(frame.f_code)
            call = function.call(frame) if function else None
            if function is None or call is None or not _calls(call, callee, frame):
                return False
            if callee is float and (len(call.args) != 1 or call.keywords):
                return False
            if not function.returns(call):
                return False
            callee, frame = frame.f_code, frame.f_back
            if frame is not None and frame.f_code is runner:
                return _code(f) is callee
        return False

    def _function(self, code: CodeType) -> _Function | None:
        lines = linecache.getlines(code.co_filename)
        known = self.functions.get(code)
        if known is None or (known[0] is not lines and known[0] != lines):
            if known:
                self.files.pop(code.co_filename, None)
            known = self.functions[code] = lines, self._of(code)
        return known[1]

    def _of(self, code: CodeType) -> _Function | None:
        """Its source, if that is what has been compiled."""
        if code.co_flags & GENERATOR or not PEEKING.isdisjoint(code.co_names):
            return None
        name = code.co_filename
        if name not in self.files:
            self.files[name] = _parsed(name)
        found = self.files[name]
        if found is None or code not in found[1]:  # equal ones have equal instructions and places
            return None
        trees = [n for n in ast.walk(found[0]) if isinstance(n, SCOPES) and _is_source(n, code)]
        return _Function(trees[0], code) if len(trees) == 1 else None


def _parsed(name: str) -> tuple[ast.AST, list[CodeType]] | None:
    try:
        tree = ast.parse("".join(linecache.getlines(name)))
        return tree, [*_codes(compile(tree, name, "exec", dont_inherit=True))]
    except (SyntaxError, ValueError, RecursionError):
        return None


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _is_source(node: ast.AST, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        same = code.co_name == "<lambda>" and node.lineno == code.co_firstlineno
        return same and _place(node.body) in [*code.co_positions()]
    if not isinstance(node, ast.FunctionDef) or node.name != code.co_name:
        return False
    return min([node.lineno, *[d.lineno for d in node.decorator_list]]) == code.co_firstlineno


def _place(node: ast.expr) -> tuple[int | None, ...]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _own(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions inside it."""
    stack = [*ast.iter_child_nodes(tree)]
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, SCOPES):
            stack += ast.iter_child_nodes(node)


def _calls(call: ast.Call, callee: Any, frame: FrameType) -> bool:
    """Whether a call is one of `callee`, directly: what calls it in turn might look at its result."""
    found = _value(call.func, frame)
    return found is callee if callee is float else found is not None and _code(found) is callee


def _value(node: ast.expr, frame: FrameType) -> Any:
    """What a name, or a name with attributes, stands for; None if that is not plain to see."""
    if isinstance(node, ast.Name):
        for names in (frame.f_locals, frame.f_globals, vars(builtins)):
            if node.id in names:
                return names[node.id]
        return None
    if isinstance(node, ast.Attribute):
        x = _value(node.value, frame)
        own = getattr(x, "__dict__", {})
        if node.attr in own:
            return own[node.attr]
        return next((vars(c)[node.attr] for c in type(x).__mro__ if node.attr in vars(c)), None)
    return None


def _code(f: Any) -> CodeType | None:
    """The code that runs when something is called, if nothing else does."""
    while not isinstance(f, FunctionType):
        if isinstance(f, Transform):
            return None
        if isinstance(f, MethodType):
            f = f.__func__
        elif isinstance(f, functools.partial):
            f = f.func
        else:
            f = next((vars(c)["__call__"] for c in type(f).__mro__ if "__call__" in vars(c)), None)
            if f is None or not isinstance(f, FunctionType):
                return None
    return f.__code__
