"""no_grad and stop_gradient: code that is not to be differentiated."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from .box import Box
from .tape import RECORDING
from .tree import tree_map

__all__ = ["no_grad", "stop_gradient"]

# What was being recorded outside each `with no_grad()` that is open in this context.
_OUTER: ContextVar[tuple[bool, ...]] = ContextVar("autodiff_no_grad", default=())


class no_grad:
    """Do not record operations: `with no_grad():`, or `@no_grad()` on a function or generator function.

    >>> from autodiff import Value
    >>> with no_grad():
    ...     y = Value(2.0) * 3.0
    >>> y.requires_grad
    False

    It holds for the current thread or task. A transform called inside still differentiates its own
    function, but returns plain arrays. Around a `yield`, use the decorator: the `with` form would
    reach into the code that drives the generator.
    """

    def __enter__(self) -> None:
        _OUTER.set((*_OUTER.get(), RECORDING.get()))
        RECORDING.set(False)

    def __exit__(self, *exception: object) -> None:
        *outer, recording = _OUTER.get()
        _OUTER.set(tuple(outer))
        RECORDING.set(recording)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
                running = function(*args, **kwargs)
                resume: Callable[[], Any] = running.__next__
                while True:
                    try:
                        with no_grad():
                            item = resume()
                    except StopIteration as stop:
                        return stop.value
                    try:
                        sent = yield item
                    except GeneratorExit:
                        with no_grad():
                            running.close()
                        raise
                    except BaseException as error:
                        resume = functools.partial(running.throw, error)
                    else:
                        resume = functools.partial(running.send, sent)

            return generator

        if inspect.isasyncgenfunction(function):
            raise TypeError("no_grad cannot decorate an async generator; use `with no_grad():` between its yields")
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with no_grad():
                    return await function(*args, **kwargs)

            return coroutine

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with no_grad():
                return function(*args, **kwargs)

        return wrapper


def stop_gradient(x: Any) -> Any:
    """`x` as a constant: Values come out untracked, also inside lists, tuples and dicts.

    >>> from autodiff import grad
    >>> print(grad(lambda x: x * stop_gradient(x))(3.0))
    3.0
    """
    return tree_map(lambda leaf: leaf._wrap(leaf._array) if isinstance(leaf, Box) else leaf, x, result=True)
