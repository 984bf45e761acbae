"""Views: Values that show a part of another one, and what happens to them when it is written to.

A Value is in one of three states, told apart by its class, so that code which never writes pays nothing:

    Value   its array may be known to others (a node keeps it, a view shares it): it is never written to.
            The first write copies the array, and makes the Value an
    Owner   the only one that knows its array, so further writes are done in place. Whoever reads
            `_array` ends that: the Owner is a Value again.
    Stale   a view of a Value that was written to; reading `_array` or `_node` derives it anew.

A view refers to its root, the Value that has an array of its own, and to the path that leads there (see
regions). The root knows its views by weak references, to make them stale. What is a view is what
shares memory with its operand, never what has a certain name.
"""

import weakref
from typing import Any

import numpy as np

from .arrays import getitem
from .batched import Batched, levels_of
from .box import Box, Inner
from .regions import Path, at, follow, shares, step_to, walk
from .rule import RULES
from .spec import Spec
from .taint import tainted
from .tape import RECORDING, Node, operation

__all__ = [
    "Views",
    "array_of",
    "derive",
    "has_place",
    "is_laid_out",
    "is_view",
    "link",
    "make_place",
    "node_of",
    "origin",
    "peek",
    "publish",
    "read",
    "set_array",
    "set_node",
    "stale",
    "unlink",
]

# The slots themselves, whatever the state.
array_of = vars(Box)["_array"].__get__
set_array = vars(Box)["_array"].__set__
node_of = vars(Box)["_node"].__get__
set_node = vars(Box)["_node"].__set__
links_of = vars(Box)["_links"].__get__
ndarray, generic, ref = np.ndarray, np.generic, weakref.ref


class Views(list["weakref.ref[Box]"]):
    """The `_links` of a root: weak references to its views. The dead are dropped each time the list has doubled."""

    __slots__ = ("limit",)

    limit: int


def _links(v: Box) -> Any:
    """The Views of a root, or (root, path) of a view."""
    try:
        return links_of(v)
    except AttributeError:
        v._links = views = Views()
        views.limit = 16
        return views


def origin(v: Box) -> tuple[Box, Path]:
    """The root that `v` is a view of, and the path from there; `v` itself and no path if it has its own array."""
    links = getattr(v, "_links", None)
    return links if type(links) is tuple else (v, ())


def link(view: Box, of: Box, step: Any) -> None:
    """Note that `view` shares the memory of `of`, by one `step` of a path."""
    links = _links(of)
    if type(links) is Views:
        view._links = (of, (step,))
    else:
        root, path = links
        view._links = (root, (*path, step))
        links = links_of(root)
    _note(links, view)


def is_view(ans: Any, x: Any, of: Box, step: Any) -> bool:
    """Whether `ans`, computed from the array `x` of `of` by `step`, is a view as NumPy would have it.

    A view that was derived from an Owner has its elements in a memory order of its own, so there its root is asked.
    What has entered or left a vmap is no view: its cotangent could not be cut out of one with other hidden axes.
    """
    if (type(ans) is Batched or type(x) is Batched) and levels_of(ans) != levels_of(x):
        return False
    if type(ans) is ndarray and ans.base is None and ans is not x and not has_place(of):
        return False
    if getattr(x, "base", None) is None and has_place(of):
        root, path = origin(of)
        if path:
            whole = _whole(root)
            return shares(walk(whole, (*path, step)), whole)
    return shares(ans, x)


def _note(views: Views, view: Box) -> None:
    if len(views) >= views.limit:
        views[:] = [r for r in views if r() is not None]
        views.limit = 2 * len(views) + 16
    views.append(ref(view))


def stale(root: Box) -> None:
    """Make the views of `root` derive themselves anew."""
    views = getattr(root, "_links", None)
    if views:
        for r in views:
            view = r()
            if view is not None and type(getattr(view, "_links", None)) is tuple:
                view.__class__ = view._stale
        views.clear()


def make_place(v: Box) -> None:
    """Mark a 0-d Value as an array, which can be written to and viewed. Others are scalars: they are replaced."""
    _links(v)


def has_place(v: Box) -> bool:
    """Whether a 0-d Value is an array rather than a scalar."""
    return hasattr(v, "_links")


def unlink(v: Box) -> None:
    """Give a view an array of its own; what is written to it, or to its root, no longer reaches the other."""
    if has_place(v) and type(links_of(v)) is tuple:
        v._array = v._array.copy()  # derived first if it was stale
        del v._links


def peek(v: Box) -> tuple[Any, Any]:
    """The array and the node of `v` for a moment: the caller keeps no reference to the array."""
    if type(v) is v._stale:
        root, path = links_of(v)
        return walk(_whole(root), path), root._node
    return array_of(v), v._node


def _whole(root: Box) -> Any:
    array = array_of(root)
    return np.asarray(array) if isinstance(array, generic) else array


def publish(owner: Any, cls: type) -> Any:
    """The array of an Owner, which from now on others know too."""
    owner.__class__ = cls
    return array_of(owner)


def derive(view: Any, cls: type) -> None:
    """Bring a stale view up to date: its part of the root's array, and a node that reads it from the root's node."""
    root, path = links_of(view)
    part = walk(_whole(root), path)
    if type(root) is root._owner:
        part = part.copy()  # the root stays the only one that knows its array
    set_array(view, part[()] if not part.ndim and isinstance(part, ndarray) else part)
    set_node(view, _part_node(root, path) if root._node is not None and part.dtype.kind in "fc" else None)
    view.__class__ = cls  # last: another thread may read it meanwhile
    _note(_links(root), view)


def _part_node(root: Box, path: Path) -> Node:
    whole = array_of(root)
    node = operation((root._node,))
    node.case = RULES[follow].case((0,), False)
    node.saved = (_spec(whole, whole), (path,), {})
    return node


def _spec(x: Any, part: Any) -> Any:
    """What a node that reads `part` of `x` knows of `x`."""
    return Spec.of(x) if type(part) is Batched else (x.shape, x.dtype)


def _is_scalar(part: Any, key: Any) -> bool:
    """Whether NumPy's `x[key]` is a scalar rather than an array without axes."""
    if isinstance(part, Inner):
        return not part.ndim and not any(k is Ellipsis for k in (key if type(key) is tuple else (key,)))
    return isinstance(part, generic)


def read(v: Any, key: Any) -> Any:
    """`v[key]`: a view if it shares memory, as NumPy's result does."""
    kind = type(v)
    if kind is v._owner or kind is v._stale:
        return _read_part(v, key)
    x, parent = v._array, v._node
    if isinstance(x, generic):
        x = np.asarray(x)
    ans = x[key] if type(key) is int or type(key) is slice else at(x, key)
    out = v._wrap(ans[()] if type(ans) is ndarray and not ans.ndim else ans, None)
    if parent is not None and ans.dtype.kind in "fc" and RECORDING.get():
        out._node = node = operation((parent,))
        node.case = RULES[getitem].case((0,), False)
        node.saved = (_spec(x, ans), (key,), {})
        if type(key) is ndarray and key.ndim:
            node.case = tainted(node.case, (x,))
    if type(key) is slice and type(x) is ndarray:
        link(out, v, step_to(key))  # as most that are indexed with slices
    elif not _is_scalar(ans, key):
        if shares(ans, x) and (x.ndim or has_place(v)):
            link(out, v, step_to(key))
        elif not ans.ndim:
            make_place(out)
    return out


def _read_part(v: Any, key: Any) -> Any:
    """`read` without telling anyone the array of an Owner: its elements are copied, its views derived when needed."""
    root, path = origin(v)
    x = walk(_whole(root), path)
    ans = at(x, key)
    scalar = _is_scalar(ans, key)
    out = v._wrap(ans.copy() if scalar and type(ans) is Batched else ans, None)
    if not scalar and shares(ans, x):
        out._links = (root, (*path, step_to(key)))
        out.__class__ = v._stale
    elif root._node is not None and ans.dtype.kind in "fc" and RECORDING.get():
        out._node = _part_node(root, (*path, step_to(key)))
    return out


def is_laid_out(array: Any, order: Any) -> bool:
    """Whether an array is contiguous in this order already; all are in K and A."""
    if order not in ("C", "F") or not array.ndim:
        return True
    if isinstance(array, Inner):
        return array.is_laid_out(order)
    return bool(array.flags.c_contiguous if order == "C" else array.flags.f_contiguous)
