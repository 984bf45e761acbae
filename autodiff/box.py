"""Box: what the engine knows of a Value."""

from typing import Any

__all__ = ["HASHED", "Box", "Inner"]

HASHED = "has a number as a key, or in a set; take int(v) or float(v) there"


class Box:
    """An array, and the node that made it (None: untracked). The rest is for views: see views.py."""

    __slots__ = ("_array", "_links", "_node")

    _array: Any
    _node: Any
    _links: Any  # of a view: what it shows, and how to get there; else weak references to its views
    _plain: type  # the classes of the three states
    _owner: type
    _stale: type

    @staticmethod
    def _wrap(data: Any, node: Any = None) -> Any:
        raise NotImplementedError


class Inner:
    """An array that is only ever seen inside of a Value: a batch, or one that is recorded."""

    __slots__ = ()

    @property
    def ndim(self) -> int:
        """The number of axes that are seen."""
        raise NotImplementedError

    @property
    def dtype(self) -> Any:
        """The dtype of the elements."""
        raise NotImplementedError

    @property
    def notes_invalid(self) -> bool:
        """Whether an invalid operation such as 0/0 is reported, as NumPy's arrays do."""
        raise NotImplementedError

    @property
    def flags(self) -> Any:
        """The flags of the memory."""
        raise NotImplementedError

    def is_laid_out(self, order: str) -> bool:
        """Whether the memory is contiguous in this order, "C" or "F"."""
        return bool(self.flags.c_contiguous if order == "C" else self.flags.f_contiguous)

    def refuse(self, what: str) -> None:
        """Note what is done with a Value of it that is other than with a number, which it may stand for."""

    def integer(self, ufunc: Any, function: Any) -> Any:
        """What `function`, as `math.floor`, makes of a NumPy scalar that it may stand for: an integer of Python's."""
        return NotImplemented

    def copy(self, order: Any = "C") -> Any:
        """The same numbers in memory of their own."""
        raise NotImplementedError

    def __autodiff_apply__(self, function: Any, args: Any, kwargs: Any) -> Any:
        """A function of ours, see arrays.dispatchable."""
        raise NotImplementedError

    def __autodiff_adopt__(self, array: Any) -> Any:
        """A plain array that is going to be written to with arrays of this kind: as one of them, if it has to be."""
        raise NotImplementedError
