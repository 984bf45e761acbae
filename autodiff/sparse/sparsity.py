"""Which elements of a result depend on which elements of an input, read off the tape.

The nodes are visited from the oldest to the newest, as in a walk forward, with patterns in place of tangents. The
numbers are not looked at, so the pattern holds wherever f takes the same path; a dependence that happens to be 0 at
this point is in it. What f treats as constant, such as an array of indices or a matrix, is a part of the path.
"""

from collections import Counter
from typing import Any

import numpy as np

from ..tape import Node, reachable
from .batches import pattern_of
from .patterns import Pattern, scipy_sparse

__all__ = ["dependence"]


def dependence(root: Node, source: Node, shape: tuple[int, ...], top: int, prune: bool) -> Any:
    """The pattern of `root`'s array in terms of `source`'s, an input of `shape` numbered `top`, as a CSR matrix.

    None if there is no dependence. Raises OuterGraphError if an outer derivative is under way, unless `prune`.
    """
    sparse = scipy_sparse("dependence")
    size = int(np.prod(shape, dtype=np.intp))
    one = np.arange(size + 1)
    patterns: dict[Node, Any] = {
        source: Pattern(shape, sparse.csr_array((np.ones(size, dtype=bool), one[:-1], one), shape=(size, size)))
    }
    order = sorted(reachable([root], top, top, prune), key=lambda n: n.number)
    uses = Counter([root, *(p for n in order for p in n.parents)])
    for n in order:
        found = [patterns.get(p) for p in n.parents]
        for p in n.parents:
            uses[p] -= 1
            if not uses[p]:
                patterns.pop(p, None)  # nobody needs it any more
        if any(p is not None for p in found):
            patterns[n] = pattern_of(n, found)
    result = patterns.get(root)
    return None if result is None else result.rows
