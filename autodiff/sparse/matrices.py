"""Sparse Jacobians and Hessians: as SciPy matrices, in as few passes as their structure allows.

Three steps. The pattern of dependence is read off the tape (see sparsity). Columns that share no row get one colour
(see colouring). And for each colour a tangent, 1 in all of its columns at once, is pushed through the graph of one run
of f; what comes out holds the entries of all these columns. A tridiagonal Jacobian takes three passes, whatever its
size. Where rows need fewer colours than columns, cotangents are pulled back instead.
"""

import math
import operator
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..batched import Batched, Level, check_running, hide
from ..batching import leave
from ..convert import describe, is_array
from ..errors import BatchError, GraphError, OperandError
from ..jacobians import precision, pulled_rows
from ..record import Record
from ..tape import OuterGraphError, number, reachable
from ..transform import name_of, transform
from ..tree import leaves
from ..value import Value
from .colouring import colour_columns, colour_symmetric
from .patterns import scipy_sparse
from .sparsity import dependence

__all__ = ["jacobian_sparsity", "sparse_hessian", "sparse_jacobian"]

Function = Callable[..., Any]
Mode = Literal["fwd", "rev"] | None

AT_ONCE = 1 << 23  # elements of the directions and results that are held at a time


@transform
def sparse_jacobian(f: Function, argnums: int = 0, *, sparsity: Any = None, mode: Mode = None) -> Function:
    """The Jacobian of `f` with respect to one array argument, as a SciPy CSR array.

    Its shape is (size of the result, size of the argument), both in C order; it has the precision of the argument, as
    a gradient has. Stored are the entries that `jacobian_sparsity` finds at this point, zeros among them included; or
    those of `sparsity`, a SciPy matrix or an array of truth values that leaves out zeros only, which one random
    direction verifies. `mode` is "fwd" or "rev", or None for the one that takes fewer passes. Complex entries are
    df/dz.

    >>> print(sparse_jacobian(lambda u: u[1:] * u[:-1])(np.array([1.0, 2.0, 3.0])).toarray())
    [[2. 1. 0.]
     [0. 3. 2.]]

    Raises OperandError unless argument and result are arrays; GraphError if `sparsity` leaves something out, if an
    outer derivative is under way (the result could not be differentiated), or if the Jacobian is not sparse;
    ImportError without SciPy. Curtis, Powell and Reid 1974, doi:10.1093/imamat/13.1.117.
    """
    if mode not in ("fwd", "rev", None):
        raise OperandError(f'sparse_jacobian: mode={mode!r}; it is "fwd", "rev" or None')

    def jacobian(*args: Any, **kwargs: Any) -> Any:
        run = _Run("sparse_jacobian", f, argnums, args, kwargs)
        try:
            pattern = run.pattern() if sparsity is None else run.given(sparsity)
            result = run.compressed(pattern, mode)
            if sparsity is not None:
                run.verify(result)
            return result
        finally:
            run.record.forget(())

    return jacobian


@transform
def sparse_hessian(f: Function, argnums: int = 0, *, sparsity: Any = None) -> Function:
    """The Hessian of a scalar-valued `f` of a real array, as a symmetric SciPy CSR array.

    Its shape is (size, size) of the argument, in C order. It is the sparse Jacobian of the gradient, in forward over
    reverse mode. `sparsity` is as for `sparse_jacobian`.

    >>> print(sparse_hessian(lambda u: (u[1:] * u[:-1] ** 2).sum())(np.array([1.0, 2.0, 3.0])).toarray())
    [[4. 2. 0.]
     [2. 6. 4.]
     [0. 4. 0.]]

    Raises as `sparse_jacobian` does; GraphError too if `f` is not scalar-valued, OperandError for a complex argument.
    Powell and Toint 1979, doi:10.1137/0716078.
    """

    def gradient(*args: Any, **kwargs: Any) -> Any:
        record, full = _started("sparse_hessian", f, argnums, args)
        y = record.run(f, full, kwargs)
        record.forget(())
        data = y._array if isinstance(y, Value) else y
        if not (is_array(data) or isinstance(data, (int, float))) or np.size(data) != 1 or np.iscomplexobj(data):
            what = f"shape {data.shape} and dtype {data.dtype}" if is_array(data) else describe(y)
            raise GraphError(f"sparse_hessian: {name_of(f)} must return a real scalar, it returned {what}")
        check_running(data, f"sparse_hessian: {name_of(f)} returned")
        return record.back([y], [np.ones_like(data)])[0]

    gradient.__name__ = name_of(f)  # for messages

    def hessian(*args: Any, **kwargs: Any) -> Any:
        run = _Run("sparse_hessian", gradient, argnums, args, kwargs)
        try:
            if run.dtype.kind == "c":
                raise OperandError("sparse_hessian: a complex argument; write f as a function of its .real and .imag")
            pattern = run.pattern() if sparsity is None else run.given(sparsity)
            pattern = pattern.multiply(pattern.T).tocsr()  # what is found on one side only is 0
            result = run.compressed(pattern, "fwd", symmetric=True)
            turned = result.T.tocsr()
            turned.sort_indices()
            result.data = 0.5 * (result.data + turned.data)  # the two differ by rounding
            if sparsity is not None:
                run.verify(result)
            return result
        finally:
            run.record.forget(())

    return hessian


@transform
def jacobian_sparsity(f: Function, argnums: int = 0) -> Function:
    """Which elements of `f`'s result may depend on which of an array argument: a SciPy CSR array of truth values.

    Its shape is (size of the result, size of the argument), both in C order. It is read off the operations and not off
    the numbers, so it holds wherever f takes the same path: a branch, an index or a constant matrix may change it. A
    function whose structure is not known counts as one that mixes everything.

    >>> print(jacobian_sparsity(lambda u: 0 * u[1:] + u[0])(np.ones(3)).toarray().astype(int))
    [[1 1 0]
     [1 0 1]]

    Raises as `sparse_jacobian` does.
    """

    def sparsity(*args: Any, **kwargs: Any) -> Any:
        run = _Run("jacobian_sparsity", f, argnums, args, kwargs)
        try:
            return run.pattern()
        finally:
            run.record.forget(())

    return sparsity


def _started(name: str, f: Function, argnums: Any, args: tuple[Any, ...]) -> tuple[Record, list[Any]]:
    """A record of the argument `argnums`, and all arguments with its Value in place."""
    try:
        at = operator.index(argnums)
    except TypeError as error:
        raise OperandError(f"{name}: argnums={argnums!r}; it is one int, for one array argument") from error
    if not -len(args) <= at < len(args):
        raise OperandError(f"{name}: argnums={argnums!r}, but {name_of(f)} was called with {len(args)} arguments")
    at %= len(args)
    found = [*leaves(args[at])]
    if not found or found[0] is not args[at]:
        raise OperandError(
            f"{name}: argument {at} is a {type(args[at]).__name__}; pass one array, as np.concatenate makes"
        )
    record = Record(name, [args[at]], [at])
    return record, [*args[:at], record.arguments[0], *args[at + 1 :]]


class _Run:
    """One run of f, its result, and what is made of them. `record.forget` is to be called at the end."""

    def __init__(self, name: str, f: Function, argnums: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.name = name
        self.sparse = scipy_sparse(name)
        self.record, full = _started(name, f, argnums, args)
        ((self.node, x),) = self.record.inputs
        if type(x) is Batched:
            raise BatchError(f"{name}: under vmap there is no SciPy matrix of a batch; use ad.vmap(f, loop=True)")
        if not isinstance(x, (np.ndarray, np.generic)):
            raise OperandError(f"{name}: the argument holds a {describe(x)}; SciPy's matrices need a NumPy array")
        if self.record.nested:
            raise self.outer()
        y = self.record.run(f, full, kwargs)
        if not isinstance(y, (Value, int, float, complex)) and not is_array(y):
            self.record.forget(())
            raise OperandError(f"{name}: {name_of(f)} must return one array, it returned {describe(y)}")
        self.result = Value._wrap(y._array, y._node) if isinstance(y, Value) else y
        data = self.result._array if isinstance(y, Value) else y
        check_running(data, f"{name}: {name_of(f)} returned")
        self.dtype, self.x_shape, self.y_shape = x.dtype, x.shape, np.shape(data)
        self.y_dtype = data.dtype if getattr(data, "dtype", x.dtype).kind in "fc" and is_array(data) else x.dtype
        self.shape = math.prod(self.y_shape), math.prod(self.x_shape)

    def outer(self) -> GraphError:
        return GraphError(
            f"{self.name}: an outer derivative is under way, and would be lost in a SciPy matrix; use jvp or vjp "
            "there, or pass .detach() of what is tracked"
        )

    def pattern(self) -> Any:
        """What the result depends on, a CSR matrix of truth values."""
        root = getattr(self.result, "_node", None)
        found = None
        if root is not None:
            try:
                found = dependence(root, self.node, self.x_shape, self.record.number, not self.record.outer)
            except OuterGraphError:
                raise self.outer() from None
        return self.sparse.csr_array(self.shape, dtype=bool) if found is None else found

    def given(self, sparsity: Any) -> Any:
        """The user's pattern, checked."""
        root = getattr(self.result, "_node", None)
        if root is not None and self.record.outer:
            try:
                reachable([root], self.record.number, self.record.number, False)
            except OuterGraphError:
                raise self.outer() from None
        stored = self.sparse.issparse(sparsity)
        if isinstance(sparsity, Value):
            raise OperandError(f"{self.name}: sparsity is a Value; a pattern is no number, pass v.data != 0")
        try:
            entries = sparsity if stored else np.asarray(sparsity)
        except ValueError as error:
            raise OperandError(f"{self.name}: sparsity is ragged; make all rows equally long") from error
        if entries.shape != self.shape or entries.dtype.kind not in "biufc":
            raise OperandError(
                f"{self.name}: sparsity has shape {entries.shape} and dtype {entries.dtype}; a SciPy matrix or an "
                f"array of truth values of shape {self.shape} is needed, (size of the result, size of the argument)"
            )
        found = self.sparse.csr_array(entries if stored else entries != 0, copy=True)
        found.sum_duplicates()
        found.data = np.ones(found.data.size, dtype=bool)
        return found

    def compressed(self, pattern: Any, mode: Mode, symmetric: bool = False) -> Any:
        """The matrix with the entries of `pattern`, from one pass for each colour."""
        rows, columns = np.repeat(np.arange(self.shape[0]), np.diff(pattern.indptr)), pattern.indices
        if symmetric:
            colours, count, full = colour_symmetric(pattern)
            turned = full[rows] & ~full[columns]
            rows, columns = np.where(turned, columns, rows), np.where(turned, rows, columns)
        else:
            mode, colours, count = self.coloured(pattern, mode)
        own, other = (columns, rows) if mode == "fwd" else (rows, columns)
        shape, dtype = (self.x_shape, self.dtype) if mode == "fwd" else (self.y_shape, self.y_dtype)
        data = np.zeros(len(rows), dtype=precision(self.dtype, self.y_dtype))
        step = max(AT_ONCE // max(sum(self.shape), 1), 1)
        for first in range(0, count, step):
            among = colours - first
            inside = np.flatnonzero((among >= 0) & (among < step))
            directions = np.zeros((min(step, count - first), len(colours)), dtype=dtype)
            directions[among[inside], inside] = 1
            passed = _passes(self.record, self.result, directions.reshape(-1, *shape), mode)
            passed = passed.reshape(len(directions), -1)
            here = slice(None) if step >= count else np.flatnonzero((among[own] >= 0) & (among[own] < step))
            data[here] = passed[among[own[here]], other[here]]
        return self.sparse.csr_array((data, pattern.indices, pattern.indptr), shape=self.shape)

    def coloured(self, pattern: Any, mode: Mode) -> tuple[Mode, Any, int]:
        """The mode, and the colours of the columns if that is forward, else of the rows."""
        kinds = self.dtype.kind + self.y_dtype.kind
        if mode == "rev" and kinds == "cf":
            raise OperandError(f'{self.name}: mode="rev" with a complex argument and a real result; use mode="fwd"')
        if mode == "rev":
            return mode, *colour_columns(pattern.T.tocsr())
        if mode == "fwd" or "c" in kinds:
            return "fwd", *colour_columns(pattern)
        of_columns = int(np.diff(pattern.indptr).max(initial=0))  # no fewer are possible
        of_rows = int(np.bincount(pattern.indices, minlength=1).max())
        modes: tuple[Mode, Mode] = ("fwd", "rev") if of_columns <= of_rows else ("rev", "fwd")
        first = self.coloured(pattern, modes[0])
        if first[2] <= max(of_columns, of_rows):
            return first
        return min(first, self.coloured(pattern, modes[1]), key=lambda found: found[2])

    def verify(self, matrix: Any) -> None:
        """Compare with a derivative in a random direction. Raises GraphError if they differ."""
        direction = np.random.default_rng(0).uniform(0.5, 1.5, self.x_shape).astype(self.dtype)
        expected = _passes(self.record, self.result, direction[None], "fwd").reshape(-1)
        found, size = matrix @ direction.reshape(-1), abs(matrix) @ abs(direction.reshape(-1)) + abs(expected)
        eps = max(np.finfo(dtype).eps for dtype in (self.dtype, self.y_dtype))
        wrong = abs(found - expected) > np.sqrt(eps) * size
        if wrong.any():
            raise GraphError(
                f"{self.name}: sparsity= leaves out entries that are not 0; row {int(np.argmax(wrong))} of the matrix, "
                "for one, disagrees with a derivative in a random direction"
            )


def _passes(record: Record, result: Any, directions: Any, mode: Mode) -> Any:
    """The derivatives of `result` in a stack of directions, or those pulled back from a stack of them: in one walk."""
    level = Level(number(), len(directions))
    given = [hide(directions, (level,))]
    (x,) = record.push([result], given) if mode == "fwd" else pulled_rows(record, [result], given, level)
    return leave(x._array if isinstance(x, Value) else x, level, 0)
