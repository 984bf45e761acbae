"""grad, vjp, jvp and what is made of one walk each: functions in, functions of their derivatives out.

Each transform hands `f` Values with fresh nodes, lets it record, and walks the nodes. To nest, it only
has to know which nodes are its own: those newer than its inputs. If the walk meets an operand that is
older and tracked, an outer derivative is under way (`grad(grad(f))`, or a tracked Value in a closure);
then the walk is lifted, and the results are tracked Values. Otherwise they are plain arrays.

    grad(lambda x: x * grad(lambda y: x + y)(1.0))(2.0)    # 1.0, not 2.0: the two never mix
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .argnums import Argnums
from .batched import Batched, check_running
from .convert import is_array
from .errors import GraphError, OperandError
from .record import Record, fitted_all
from .transform import check_callable, check_numbers, name_of, transform
from .tree import leaves, tree_map
from .value import Value

__all__ = ["elementwise_grad", "grad", "gradient_in", "hvp", "jvp", "linearize", "value_and_grad", "vhp", "vjp"]

Function = Callable[..., Any]
Positions = int | str | Sequence[int | str]

ONE = np.float64(1.0)


@transform
def grad(f: Function, argnums: Positions = 0, *, has_aux: bool = False) -> Function:
    """The gradient of a scalar-valued `f` with respect to the arguments `argnums`.

    The gradient has the shape and dtype of the argument, which may be an array or a container of arrays:
    lists, tuples, dicts, dataclasses, Modules. `argnums` is a position or the name of a parameter; for a
    sequence of them the gradient is a tuple. With `has_aux=True`, `f` returns (value, aux) and the result
    is (gradient, aux). Plain arguments give plain results, and so do the variables in a Module.

    >>> print(grad(lambda x: x ** 3)(2.0), grad(grad(lambda x: x ** 3))(2.0))
    12.0 12.0
    >>> print(grad(lambda x, *, w: x * w, argnums="w")(2.0, w=3.0))
    2.0

    Raises GraphError if `f` is not scalar-valued, OperandError for integer arguments and for argnums that `f`
    does not have.
    """
    return _gradient("grad", f, argnums, has_aux, with_value=False)


@transform
def value_and_grad(f: Function, argnums: Positions = 0, *, has_aux: bool = False) -> Function:
    """`f` and its gradient in one pass; see `grad`. With `has_aux=True` it gives ((value, aux), gradient).

    >>> value, g = value_and_grad(lambda x: x * x)(3.0)
    >>> print(value, g)
    9.0 6.0

    Raises as `grad` does.
    """
    return _gradient("value_and_grad", f, argnums, has_aux, with_value=True)


def _gradient(name: str, f: Function, argnums: Positions, has_aux: bool, *, with_value: bool) -> Function:
    chosen = Argnums(name, f, argnums)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        keys = chosen.keys(args, kwargs)
        record = Record(name, chosen.take(args, kwargs, keys), chosen.labels(keys))
        result = record.run(f, *chosen.put(args, kwargs, keys, record.arguments))
        value, aux = _split_aux(name, f, result) if has_aux else (result, None)
        seed = _seed(name, f, value)
        gradients = chosen.pack(record.back([value], [seed], last=True, aux=aux))
        released = record.release(value, known=True) if with_value else None
        aux = record.release(aux) if has_aux else None
        record.forget((released, aux))
        if not with_value:
            return (gradients, aux) if has_aux else gradients
        return ((released, aux) if has_aux else released), gradients

    return gradient


def gradient_in(name: str, f: Function, argnums: Positions) -> Function:
    """The gradient as a part of the transform `name`, which messages are to name."""
    return _gradient(name, f, argnums, False, with_value=False)


def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """`f(*primals)`, and the function that pulls a cotangent of the result back to the primals.

    The pullback takes what has the structure of the result and returns a tuple, one cotangent per
    primal. It may be called any number of times.

    >>> y, pull = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pull(np.ones(2))
    (array([2., 4.]),)

    Raises OperandError for integer primals and for results that are no arrays; the pullback raises OperandError for a
    cotangent of another structure, ValueError for one of another shape.
    """
    check_callable("vjp", f, "vjp(f, x)")
    record = Record("vjp", primals)
    result = record.run(f, record.arguments, {})
    outputs = [Value._wrap(y._array, y._node) if isinstance(y, Value) else y for y in leaves(result, result=True)]
    check_numbers("vjp", f, outputs)

    def pull(g: Any) -> tuple[Any, ...]:
        return tuple(record.back(outputs, fitted_all("vjp: cotangent", result, g, outputs, result=True)))

    released = record.release(result)
    record.forget(released)
    return released, pull


def jvp(f: Function, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """`f(*primals)` and its directional derivative along `tangents`, in one forward pass.

    `primals` and `tangents` are tuples of equal structure; for a function of one argument they may be
    given bare (a list or tuple counts as several arguments).

    >>> y, t = jvp(np.sin, (0.0,), (2.0,))
    >>> print(y, t)
    0.0 2.0

    Raises OperandError for integer primals, for results that are no arrays, and for tangents of another structure,
    ValueError for those of another shape.
    """
    check_callable("jvp", f, "jvp(f, (x,), (t,))")
    if not isinstance(primals, (tuple, list)):
        primals, tangents = (primals,), (tangents,)
    record = Record("jvp", primals)
    ts = record.directions(primals, tangents)
    result = record.run(f, record.arguments, {})
    check_numbers("jvp", f, leaves(result, result=True))
    pushed = record.forward(result, ts)
    released = record.release(result)
    record.forget((released, pushed))
    return released, pushed


def linearize(f: Function, *primals: Any) -> tuple[Any, Function]:
    """`f(*primals)`, and the function that maps tangents of the primals to the tangent of the result.

    f runs once; its graph is kept, and each call walks it forward.

    >>> y, push = linearize(np.sin, np.array([0.0, 1.0]))
    >>> push(np.array([2.0, 0.0]))
    array([2., 0.])

    Raises OperandError for integer primals and for results that are no arrays.
    """
    check_callable("linearize", f, "linearize(f, x)")
    record = Record("linearize", primals)
    result = record.run(f, record.arguments, {})
    check_numbers("linearize", f, leaves(result, result=True))
    result = tree_map(lambda y: Value._wrap(y._array, y._node) if isinstance(y, Value) else y, result, result=True)

    def push(*tangents: Any) -> Any:
        return record.forward(result, record.directions(primals, tangents))

    released = record.release(result)
    record.forget(released)
    return released, push


@transform
def hvp(f: Function, argnums: Positions = 0) -> Function:
    """The Hessian of a scalar-valued `f`, times a vector: `hvp(f)(*args, v)`, where v is like the argument.

    Reverse over forward, the gradient of the derivative along v, or the other way round, whichever is cheaper for the
    functions in `f`. The cost is that of a few gradients, whatever the size of the argument.

    >>> hvp(lambda x: (x**3).sum())(np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    array([  6., 120.])

    Raises GraphError if `f` is not scalar-valued, OperandError for integer arguments.
    """
    chosen = Argnums("hvp", f, argnums)

    def product(*args: Any, **kwargs: Any) -> Any:
        args, v = _with_vector("hvp", f, args, kwargs)
        keys = chosen.keys(args, kwargs)
        given = chosen.take(args, kwargs, keys)
        record = Record("hvp", given, chosen.labels(keys))
        ts = record.directions(given, [v] if chosen.single else v, "vector", bare=chosen.single)
        value = record.run(f, *chosen.put(args, kwargs, keys, record.arguments))
        seed = _seed("hvp", f, value)
        if record.pushes(value):
            products = record.pull(record.push([value], ts, recorded=True), [seed], last=True)
        else:
            products = record.push(record.pull([value], [seed], recorded=True), ts)
        packed = record.packed(products)
        record.forget(packed)
        return chosen.pack(packed)

    return product


@transform
def vhp(f: Function, argnums: Positions = 0) -> Function:
    """A vector times the Hessian of a scalar-valued `f`: `vhp(f)(*args, v)`, reverse over reverse.

    The Hessian is symmetric, so this is `hvp(f)(*args, v)`, which is faster most of the time and may round otherwise.

    >>> vhp(lambda x: (x**3).sum())(np.array([1.0, 2.0]), np.array([1.0, 10.0]))
    array([  6., 120.])

    Raises GraphError if `f` is not scalar-valued, OperandError for integer arguments.
    """
    chosen, gradient = Argnums("vhp", f, argnums), gradient_in("vhp", f, argnums)

    def product(*args: Any, **kwargs: Any) -> Any:
        args, v = _with_vector("vhp", f, args, kwargs)
        keys = chosen.keys(args, kwargs)
        record = Record("vhp", chosen.take(args, kwargs, keys), keys)
        result = record.run(gradient, *chosen.put(args, kwargs, keys, record.arguments))
        outputs = [*leaves(result, result=True)]
        pulled = record.back(outputs, fitted_all("vhp: vector", result, v, outputs, result=True))
        record.forget(pulled)
        return chosen.pack(pulled)

    return product


def _with_vector(name: str, f: Function, args: tuple[Any, ...], kwargs: Any) -> tuple[tuple[Any, ...], Any]:
    if len(args) + bool(kwargs) < 2 or not args:
        raise OperandError(
            f"{name}: {len(args)} arguments; call it as {name}({name_of(f)})(*args, v), with the vector as the last one"
        )
    return args[:-1], args[-1]


@transform
def elementwise_grad(f: Function, argnums: Positions = 0) -> Function:
    """The derivative of an `f` that works element by element, at each element of its argument.

    >>> elementwise_grad(np.square)(np.array([1.0, 2.0, 3.0]))
    array([2., 4., 6.])

    Each output may depend on the element in its own place only, which is not checked: in general the result is the sum
    of the derivatives of all outputs. For complex numbers it is df/dz.

    Raises OperandError if the result has another shape than the argument, or for integer arguments.
    """
    chosen = Argnums("elementwise_grad", f, argnums)

    def derivative(*args: Any, **kwargs: Any) -> Any:
        keys = chosen.keys(args, kwargs)
        record = Record("elementwise_grad", chosen.take(args, kwargs, keys), keys)
        result = record.run(f, *chosen.put(args, kwargs, keys, record.arguments))
        check_numbers("elementwise_grad", f, [result])
        for x in record.values:
            if np.shape(x) != np.shape(result):
                raise OperandError(
                    f"elementwise_grad: {name_of(f)} made shape {np.shape(result)} of an argument of shape {x.shape}, "
                    "so it does not work element by element; use jacobian"
                )
        seed = np.ones_like(result._array) if isinstance(result, Value) else None
        gradients = record.back([result], [seed])
        record.forget(gradients)
        return chosen.pack(tree_map(lambda g: np.conj(g) if g.dtype.kind == "c" else g, gradients))

    return derivative


def _split_aux(name: str, f: Function, result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        raise OperandError(f"{name}: with has_aux=True {name_of(f)} must return (value, aux)")
    return result


def _seed(name: str, f: Function, value: Any) -> Any:
    """The cotangent to start from, of what f has returned, which is to be a real number."""
    if type(value) is Value and type(value._array) is np.float64:
        return ONE  # as most are
    data = value._array if isinstance(value, Value) else value
    if not isinstance(data, (int, float, complex)) and not is_array(data):
        raise GraphError(f"{name}: {name_of(f)} must return a scalar, it returned {type(value).__name__}")
    if type(data) is Batched:
        check_running(data, f"{name}: {name_of(f)} returned")
    if np.size(data) != 1:
        raise GraphError(
            f"{name}: {name_of(f)} must return a scalar, it returned shape {np.shape(data)}; use vjp or jvp"
        )
    if np.iscomplexobj(data):
        raise GraphError(f"{name}: {name_of(f)} returned a complex number; take .real or abs() of it, or use vjp")
    return np.ones_like(data) if isinstance(value, Value) else ONE
