"""Colours for the columns of a sparse matrix: columns of one colour share no row.

A derivative in the direction of all columns of a colour then holds the entries of each of them, one above the other: so
the whole matrix takes as many passes as there are colours (Curtis, Powell and Reid 1974, doi:10.1093/imamat/13.1.117).
To find the fewest is hard, but no fewer are possible than there are entries in the fullest row (Coleman and More 1983,
doi:10.1137/0720013), and grids often reach that by a formula: try those, and else colour one column at a time.
"""

from typing import Any

import numpy as np

__all__ = ["colour_columns", "colour_symmetric"]

SAMPLE = 64  # rows at which a formula is tried before it is tried on all
WIDE = 32  # entries in a row, from which on only one formula is tried
TRIES = 8  # formulas that fit the sample and are tried on all rows
STEPS = 48  # distances between the entries of a row that are tried as the length of a grid's rows


def colour_columns(pattern: Any) -> tuple[Any, int]:
    """A colour 0, 1, ... for each column of a SciPy CSR matrix, and how many there are.

    >>> from scipy.sparse import eye_array
    >>> colour_columns(eye_array(4, format="csr"))
    (array([0, 0, 0, 0]), 1)
    """
    columns = pattern.shape[1]
    counts = np.diff(pattern.indptr)
    least = int(counts.max(initial=0))
    if least <= 1:
        return np.zeros(columns, dtype=np.intp), least
    if least == columns:
        return np.arange(columns), columns
    found = _by_formula(pattern, counts, least)
    if found is not None:
        return found, least
    sizes = np.bincount(pattern.indices, minlength=columns)
    best = _one_by_one(pattern, np.argsort(-sizes, kind="stable"))
    if best[1] > least and not (sizes == sizes[:1]).all():
        best = min(best, _one_by_one(pattern, np.arange(columns)), key=lambda found: found[1])
    return best


def colour_symmetric(pattern: Any) -> tuple[Any, int, Any]:
    """The same for a symmetric matrix, and which columns are full: what is in their rows is read in their columns.

    A full column gets a colour of its own, and the others are coloured without the rows of these: -1 if nothing is
    left of them. So one variable that meets all others costs one colour, and not one for each of them (Powell and
    Toint 1979, doi:10.1137/0716078).
    """
    counts = np.diff(pattern.indptr)
    falling = np.sort(counts)[::-1]
    few = int(np.argmin(np.arange(len(falling)) + falling)) if len(falling) else 0  # so many are worth their colours
    full = np.zeros(len(counts), dtype=bool)
    if few:
        full[np.argsort(-counts, kind="stable")[:few]] = True
        keep = np.flatnonzero(~full)
        found, count = colour_columns(pattern[keep][:, keep])
        if count + few < falling[0]:
            colours = np.zeros(len(counts), dtype=np.intp)
            colours[keep], colours[full] = found if count else -1, count + np.arange(few)
            return colours, count + few, full
        full[:] = False
    return *colour_columns(pattern), full


def _by_formula(pattern: Any, counts: Any, k: int) -> Any:
    """Colours `(j + a * (j // n)) mod k` that fit: for a grid with rows of n columns, a lattice; else None."""
    full = np.flatnonzero(counts == k)
    full = full[:: max(len(full) // SAMPLE, 1)]
    sample = pattern.indices[pattern.indptr[full][:, None] + np.arange(k)].astype(np.intp)
    middle = np.sort(sample[len(sample) // 2])
    steps = np.unique(np.abs(middle[:, None] - middle))[1:]
    steps = steps[np.argsort(np.abs(steps - np.sqrt(pattern.shape[1])), kind="stable")]  # no grid is very long and thin
    shifts = np.arange(k if k <= WIDE else 1).reshape(-1, 1, 1)
    j, tries = np.arange(pattern.shape[1]), 0
    for n in [pattern.shape[1], *steps[:STEPS].tolist()]:
        tried = np.sort((sample + shifts * (sample // n)) % k, axis=-1)
        for a in np.flatnonzero((tried == np.arange(k)).all(axis=(1, 2))):  # k different ones of k
            colours = (j + a * (j // n)) % k
            if _fits(pattern, counts, colours, k):
                return colours
            tries += 1
            if tries == TRIES:
                return None
            if n == pattern.shape[1]:
                break  # a makes no difference
    return None


def _fits(pattern: Any, counts: Any, colours: Any, k: int) -> bool:
    """Whether no row has a colour twice."""
    rows = np.repeat(np.arange(len(counts)), counts)
    keys = rows * k + colours[pattern.indices]
    if len(counts) * k <= 8 * len(keys):
        return bool((np.bincount(keys) <= 1).all())
    keys.sort()
    return bool((keys[1:] != keys[:-1]).all())


def _one_by_one(pattern: Any, order: Any) -> tuple[Any, int]:
    """Each column the first colour that its rows do not have yet. The colours of a row are the bits of an integer."""
    by_column = pattern.tocsc()
    ends, rows = by_column.indptr.tolist(), by_column.indices.tolist()
    taken = [0] * pattern.shape[0]
    colours = [0] * pattern.shape[1]
    for j in order.tolist():
        own = rows[ends[j] : ends[j + 1]]
        bits = 0
        for i in own:
            bits |= taken[i]
        bit = ~bits & (bits + 1)
        colours[j] = bit.bit_length() - 1
        for i in own:
            taken[i] |= bit
    return np.array(colours, dtype=np.intp), max(colours) + 1
