"""An extension of Griffe, which reads the docstrings for the documentation.

Our docstrings are Markdown with doctests, and some of our functions are made by others.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import griffe

RUN = re.compile(r"^>>> .*(?:\n.+)*(?:\n\n>>> .*(?:\n.+)*)*", re.MULTILINE)  # an empty line ends it, unless it goes on


class Docstrings(griffe.Extension):
    """Puts a fence around examples, and shows what `f = declarator(g)` has made as the function that it is."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        if "__new__" in cls.members and "__init__" not in cls.members:
            cls.set_member("__init__", cls.members["__new__"])  # where the signature of a class is looked for

    def on_module_members(self, *, mod: griffe.Module, **kwargs: Any) -> None:
        if mod.path != "autodiff.extend":
            return
        made = importlib.import_module(mod.path)
        for name, member in [*mod.members.items()]:
            function = getattr(made, name, None)
            if not member.is_alias and member.is_attribute and inspect.isfunction(function) and name in made.__all__:
                mod.set_member(name, described(name, function))


def described(name: str, function: Any) -> griffe.Function:
    """What Griffe would have read, had the function been written with a `def`."""
    kinds = {kind: griffe.ParameterKind(kind.description) for kind in inspect._ParameterKind}
    parameters = [
        griffe.Parameter(p.name, kind=kinds[p.kind], default=None if p.default is p.empty else repr(p.default))
        for p in inspect.signature(function).parameters.values()
    ]
    docstring = griffe.Docstring(inspect.getdoc(function) or "")
    return griffe.Function(name, parameters=griffe.Parameters(*parameters), docstring=docstring)


def fenced(text: str) -> str:
    """The docstring, with its examples in blocks of code: `>>>` would be three quotations to Markdown."""
    return RUN.sub(lambda match: f"```pycon\n{match[0]}\n```", text)
