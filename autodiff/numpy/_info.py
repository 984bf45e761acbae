"""What the namespace can do, in the terms of the array API standard: `__array_namespace_info__()`.

https://data-apis.org/array-api/2024.12/API_specification/inspection.html
"""

from typing import Any

import numpy as np

__all__ = ["Inspection"]

KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float32", "float64"),
    "complex floating": ("complex64", "complex128"),
}
KINDS["integral"] = KINDS["signed integer"] + KINDS["unsigned integer"]
KINDS["numeric"] = KINDS["integral"] + KINDS["real floating"] + KINDS["complex floating"]


class Inspection:
    """The namespace in facts."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean indexing, shapes that depend on the data, and the number of axes that an array may have."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Where arrays are created."""
        return "cpu"

    def devices(self) -> list[str]:
        """Where arrays can be created. Values of arrays on other devices work all the same."""
        return ["cpu"]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """The dtypes of what is created without one."""
        _check(device)
        names = {
            "real floating": "float64",
            "complex floating": "complex128",
            "integral": np.dtype(int).name,
            "indexing": np.dtype(np.intp).name,
        }
        return {use: np.dtype(name) for use, name in names.items()}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        """The standard's dtypes by name: all of them, or those of a kind, or of a tuple of kinds."""
        _check(device)
        if kind is None:
            kind = ("bool", "numeric")
        kinds = kind if isinstance(kind, tuple) else (kind,)
        unknown = [k for k in kinds if k not in KINDS]
        if unknown:
            raise ValueError(f"dtypes: kind {unknown[0]!r}; it is one of {', '.join(map(repr, KINDS))}")
        return {name: np.dtype(name) for k in kinds for name in KINDS[k]}


def _check(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ValueError(f"device {device!r}; arrays are created on 'cpu'")
