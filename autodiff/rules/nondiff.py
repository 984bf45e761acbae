"""What has no derivative: functions that run on the data, and functions that are refused.

The results of `nondiff` are integers, truth values, types or texts: untracked Values. Refused is what is not about
numbers at all, or where a tracked Value would leave the graph: `refusal` says why, and what to do instead.
"""

from typing import Any

import numpy as np
from numpy._core import umath

from ..rule import nondiff

__all__ = ["REFUSED", "REFUSED_METHODS", "UFUNCS", "refusal"]

UFUNCS = vars(umath)  # those of np.strings too, and some without a public name

# -- positions, memberships, types

nondiff(
    np.argwhere, np.flatnonzero, np.lexsort, np.digitize, np.isin, np.array_equiv,
    np.ravel_multi_index, np.unravel_index, np.diag_indices_from, np.tril_indices_from, np.triu_indices_from,
    np.common_type, np.min_scalar_type, np.packbits, np.unpackbits, UFUNCS["_ones_like"],
)


# -- refused: functions, or modules if it is all of them

NUMBERS = frozenset("?bBhHiIlLqQefdgFDG")  # the type codes of what a Value can hold

TEXT = "works on text, and a Value holds numbers; call it on the strings, before they become numbers"
DATES = "works on dates, and a Value holds numbers; call it on the dates, before they become numbers"
RECORDS = "works on structured arrays, and a Value holds plain numbers; make a Value of one field, v = ad.Value(a['field'])"
WRITES = "writes to a file, where no gradient follows; pass v.data"
MEMORY = "is about the bytes of an array, which have no derivative; ask v.data"


def takes_numbers(ufunc):
    return any(NUMBERS.issuperset(types.partition("->")[0]) for types in ufunc.types)


REFUSED: dict[Any, str] = {
    **dict.fromkeys([u for u in UFUNCS.values() if isinstance(u, np.ufunc) and not takes_numbers(u)], TEXT),
    **dict.fromkeys([np.isnat, np.busday_count, np.busday_offset, np.is_busday, np.datetime_as_string], DATES),
    **dict.fromkeys([np.save, np.savetxt, np.savez, np.savez_compressed], WRITES),
    **dict.fromkeys(["numpy.char", "numpy.strings"], TEXT),
    "numpy.lib.recfunctions": RECORDS,
}
REFUSED_METHODS = {
    **dict.fromkeys(["dump", "dumps", "tofile", "tostring"], WRITES),
    **dict.fromkeys(["byteswap", "ctypes", "getfield", "setfield", "setflags"], MEMORY),
    "resize": "changes the shape of an array in place; np.resize(v, shape) gives a new one",
}


def refusal(function):
    """Why a tracked Value cannot be an argument of `function`, and what to do instead; None if it is not refused."""
    return REFUSED.get(function) or REFUSED.get(getattr(function, "__module__", None))
