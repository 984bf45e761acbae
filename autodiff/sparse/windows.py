"""The structure of convolution and pooling: what meets in a window.

The three functions of a convolution are one trilinear form of images, kernels and results. Its terms are numbered
here by the elements that meet in them; which of the three is the result is all that differs.
"""

import numpy as np

from ..rules.convolution import conv, conv_input, conv_kernel, patches
from ..rules.pooling import padded, places
from .kinds import Use
from .patterns import Pattern, checked_size, joined, numbered, taken, times

__all__ = ["convolved", "pooled_windows", "spread_windows"]

ROLES = {conv: "image kernel result", conv_input: "result kernel image", conv_kernel: "image result kernel"}


def convolved(p: Pattern, use: Use) -> Pattern:
    """Images, kernels or results, in terms of the other two; of a constant operand only the nonzero elements count."""
    geometry = use.options["geometry"]
    *given, target = ROLES[use.rule.function].split()
    source, other = given[use.index], given[1 - use.index]
    shapes = {source: p.shape, target: use.shape(p)}
    constant = use.known.get("yx"[use.index]) if use.case.count == 1 else None
    shapes[other] = np.shape(constant) if constant is not None else use.known["s" + "yx"[use.index]].shape
    numbers = {role: numbered(shape) for role, shape in shapes.items()}
    if isinstance(constant, np.ndarray):
        numbers[other] = np.where(constant != 0, numbers[other], 0)
    n, groups, count = shapes["image"][0], geometry.groups, shapes["kernel"][0]
    windows = patches(numbers["image"], geometry)  # (n, groups, window, places)
    size, out = windows.shape[2:]
    kernels = numbers["kernel"].reshape(1, groups, count // groups, size, 1)
    results = numbers["result"].reshape(n, groups, count // groups, 1, out)
    terms = {"image": windows[:, :, None], "kernel": kernels, "result": results}
    whole = np.broadcast_shapes(*[x.shape for x in terms.values()])
    checked_size(int(np.prod(whole)))
    flat = {role: np.broadcast_to(x, whole).reshape(-1) for role, x in terms.items()}
    there = np.flatnonzero(np.logical_and.reduce([x > 0 for x in flat.values()]))
    rows = times(flat[target][there] - 1, flat[source][there] - 1, int(np.prod(shapes[target])), p.rows)
    return Pattern(shapes[target], rows)


def pooled_windows(p: Pattern, use: Use) -> Pattern:
    """Each element of the result depends on its window."""
    geometry = use.options["geometry"]
    image = padded(numbered(p.shape), geometry, 0)
    found = joined(*[taken(p, image[place]) for _, place in places(geometry)])
    assert found is not None
    return found


def spread_windows(p: Pattern, use: Use) -> Pattern:
    """Each element goes to all of its window."""
    geometry = use.options["geometry"]
    shape = (*p.shape[: len(p.shape) - len(geometry.size)], *geometry.size)
    image = padded(numbered(shape), geometry, 0)
    targets = np.concatenate([image[place].reshape(-1) for _, place in places(geometry)])
    sources = np.tile(np.arange(int(np.prod(p.shape))), targets.size // max(int(np.prod(p.shape)), 1))
    there = np.flatnonzero(targets)
    return Pattern(shape, times(targets[there] - 1, sources[there], int(np.prod(shape)), p.rows))
