"""`np.pad` in every mode.

What only copies elements is one node: a frame of constants (`framed`), and an array continued by its own elements
(`extended`). The other modes are written with ruled functions, axis by axis, as strips that are joined to the array;
the strips of an axis see what the axes before it have added.
"""

from typing import Any

import numpy as np

from ..arrays import arange_like, cast, dispatchable, zeros
from ..box import Box
from ..convert import as_operand
from ..errors import OperandError
from ..rule import composite, general, linear, nondiff
from ..tree import leaves

__all__ = ["extended", "folded", "framed", "padded"]

whole = slice(None)

STATISTICS: dict[str, Any] = {"maximum": np.max, "mean": np.mean, "median": np.median, "minimum": np.min}
OPTIONS: dict[str, tuple[str, Any]] = {  # the keyword of each mode, and what it is if not given
    "constant": ("constant_values", 0),
    "edge": ("", None),
    "empty": ("", None),
    "linear_ramp": ("end_values", 0),
    "maximum": ("stat_length", None),
    "mean": ("stat_length", None),
    "median": ("stat_length", None),
    "minimum": ("stat_length", None),
    "reflect": ("reflect_type", "even"),
    "symmetric": ("reflect_type", "even"),
    "wrap": ("", None),
}


# -- modes that copy

@dispatchable
def framed(x, widths, constant_values=None):
    """`x` with constants around it; None leaves them undefined."""
    if type(constant_values) in (int, float) and not constant_values:  # zeros, by far the most frequent: faster
        out = zeros(x, tuple(b + n + a for n, (b, a) in zip(x.shape, widths)))
        out[inside(out.shape, widths)] = x
        return out
    return np.pad(x, widths, "empty") if constant_values is None else np.pad(x, widths, constant_values=constant_values)


def inside(shape, widths):
    return tuple(slice(before, n - after) for n, (before, after) in zip(shape, widths))


@dispatchable
def extended(x, widths, mode):
    """`x` continued by its own elements: the edge, mirrored or wrapped around."""
    return np.pad(x, widths, mode)


@dispatchable
def folded(g, widths, mode):
    """The transpose of `extended`: the margins added to the elements that they are copies of."""
    for axis in reversed(range(g.ndim)):
        before, after = widths[axis]
        if not before + after:
            continue
        n = g.shape[axis] - before - after
        total = along(g, axis, before, before + n).copy()
        for start, stop in ((0, before), (before + n, before + n + after)):
            places = originals(range(start - before, stop - before), n, mode)
            for lo, hi, step in runs(places):
                part, first, last = along(g, axis, start + lo, start + hi), places[lo], places[hi - 1]
                part = along(part, axis, step=step) if step else part.sum(axis=axis, keepdims=True)
                target = along(total, axis, min(first, last), max(first, last) + 1)
                target += part
        g = total
    return g


def originals(places, n, mode):
    """Which of n elements the ones at `places` are copies of, counted from the first of the n."""
    if mode == "edge":
        return [min(max(i, 0), n - 1) for i in places]
    if mode == "wrap":
        return [i % n for i in places]
    last = 2 * n - 1 if mode == "symmetric" else max(2 * n - 2, 1)  # of an element and its mirror image the sum
    period = last + (mode == "symmetric")
    return [min(i % period, last - i % period) for i in places]


def runs(places):
    """The longest pieces lo:hi of `places` that count up or down or stay, with the step: 1, -1 or 0."""
    lo = 0
    while lo < len(places):
        step = places[lo + 1] - places[lo] if lo + 1 < len(places) else 1
        step = step if step in (1, 0, -1) else 1
        hi = lo + 1
        while hi < len(places) and places[hi] - places[hi - 1] == step:
            hi += 1
        yield lo, hi, step
        lo = hi


def along(x, axis, start=None, stop=None, step=None):
    return x[(whole,) * axis + (slice(start, stop, step),)]


@dispatchable
def padded(x, widths, mode, **kwargs):
    """`np.pad` for what has no derivative: integers, which NumPy rounds to."""
    return np.pad(x, widths, mode, **kwargs)


general(framed,  None, lambda g, widths, constant_values=None: g[inside(g.shape, widths)], name="pad")
linear(extended, lambda g, x, widths, mode: folded(g, widths, mode), name="pad")
linear(folded,   lambda g, x, widths, mode: extended(g, widths, mode))
nondiff(padded)


# -- modes that compute: the strip before the array, along one axis

def ramp(x, axis, count, end):
    """Linearly from `end` to the first element."""
    part = arange_like(x, count).reshape((-1,) + (1,) * (x.ndim - axis - 1)) / max(count, 1)
    return end + (along(x, axis, 0, 1) - end) * part.astype(x.dtype)


def statistic(x, axis, mode, length):
    """The maximum, ... of the first `length` elements."""
    length = x.shape[axis] if length is None else min(length, x.shape[axis])
    if length == 0 and mode in ("maximum", "minimum"):
        raise ValueError(f"pad: stat_length=0 leaves nothing to take the {mode} of")
    return STATISTICS[mode](along(x, axis, 0, length), axis=axis, keepdims=True)


def turned(x, axis, count, own):
    """The mirror image turned around the edge by half a circle, over and over where `count` is larger than it.

    `own`: whether the edge is a part of its image, 1 or 0.
    """
    n, y = x.shape[axis], x
    own = 1 if n == 1 else own
    while y.shape[axis] < n + count:
        stop = min(n + count - y.shape[axis] + 1 - own, y.shape[axis])
        image = along(along(y, axis, 1 - own, stop), axis, step=-1)
        y = np.concatenate([2 * along(y, axis, 0, 1) - image, y], axis)
    return along(y, axis, 0, count)


def strip(x, axis, count, mode, option):
    """What stands before `x`: `count` elements along `axis`."""
    if mode == "linear_ramp":
        new = ramp(x, axis, count, option)
    elif mode in STATISTICS:
        new = statistic(x, axis, mode, option)
    else:
        new = option if mode == "constant" else turned(x, axis, count, mode == "symmetric")
    dtype = np.result_type(new)
    if dtype.kind == "c" and x.dtype.kind != "c":
        raise OperandError("pad: a complex value does not fit the real array; pad x + 0j, or with the .real of the value")
    new = np.broadcast_to(new, (*x.shape[:axis], count, *x.shape[axis + 1 :]))
    return new if dtype == x.dtype else cast(new, x.dtype)


def pairs(value, ndim, name):
    """One pair (before, after) for each axis."""
    if value is None or type(value) in (int, float):
        return [(value, value)] * ndim
    if isinstance(value, (list, tuple)) and len(value) == ndim and all(isinstance(p, (list, tuple)) and len(p) == 2 for p in value):
        return value
    table = np.broadcast_to(as_operand(value, f"pad: {name}"), (ndim, 2))
    return [(table[i, 0], table[i, 1]) for i in range(ndim)]


def counts(value, ndim, name):
    """The same for integers that are not negative; None is kept."""
    table: Any = [(0, 0)] * ndim
    if isinstance(value, dict):  # from axis to a number or a pair
        for axis, width in value.items():
            table[axis] = pairs(width, 1, name)[0]
    else:
        table = pairs(value, ndim, name)
    for n in (n for pair in table for n in pair if n is not None):
        if name == "pad_width" and not is_integer(n):
            raise TypeError(f"pad: {name}={value}; it has to be integers, as NumPy takes no other number here")
        if n < 0 or int(n) != n:
            raise ValueError(f"pad: {name}={value}; it has to be integers, none of them negative")
    return [tuple(n if n is None else int(n) for n in pair) for pair in table]


def is_integer(n):
    return n.dtype.kind == "i" if hasattr(n, "dtype") else isinstance(n, int) and not isinstance(n, bool)


def pad(array, pad_width, mode="constant", **kwargs):
    x = as_operand(array, "pad")
    widths = counts(pad_width, x.ndim, "pad_width")
    if callable(mode):
        return written(framed(x, widths, 0), widths, mode, kwargs)
    if mode not in OPTIONS:
        raise ValueError(f"pad: mode={mode!r}; it is a function or one of {', '.join(OPTIONS)}")
    keyword, option = OPTIONS[mode]
    option = kwargs.pop(keyword, option)
    if kwargs:
        raise ValueError(f"pad: {next(iter(kwargs))}= has no meaning for mode={mode!r}")
    if not any(map(any, widths)):
        return x.copy()
    if x.dtype.kind not in "fc":
        return padded(x, widths, mode, **({keyword: option} if keyword else {}))
    if mode == "empty" or (mode == "constant" and not any(isinstance(v, Box) for v in leaves(option))):
        return framed(x, widths, option)
    if mode in ("edge", "wrap") or (mode in ("reflect", "symmetric") and option != "odd"):
        return extended(x, widths, mode)
    if option == "odd":
        option = None
    options = (counts if mode in STATISTICS else pairs)(option, x.ndim, keyword)
    for axis, (before, after) in enumerate(widths):
        if before + after:
            x = joined(x, axis, before, after, mode, *options[axis])
    return x


def joined(x, axis, before, after, mode, first, last):
    if not x.shape[axis] and mode != "constant":
        raise ValueError(f"pad: axis {axis} is empty, and mode={mode!r} cannot extend it")
    head = strip(x, axis, before, mode, first)
    tail = strip(along(x, axis, step=-1), axis, after, mode, last)
    return np.concatenate([head, x, along(tail, axis, step=-1)], axis)


def written(y, widths, function, kwargs):
    """The user's function is called with each row, as NumPy does it, and writes to its margins."""
    for axis in range(y.ndim):
        rows = np.moveaxis(y, axis, -1)
        for i in np.ndindex(rows.shape[:-1]):
            function(rows[i], widths[axis], axis, kwargs)
    return y


composite(np.pad, pad)
