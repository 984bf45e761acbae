"""Frames: who has called a jitted function, and whose code an exception comes from."""

import sys
import traceback

__all__ = ["depth", "is_ours"]


def is_ours(error: Exception) -> bool:
    """Whether it may be that another exception, or none, is raised without recording."""
    frames = [f.f_globals.get("__name__", "") for f, _ in traceback.walk_tb(error.__traceback__)][1:]
    package = __name__.partition(".")[0]
    return isinstance(error, (TypeError, AttributeError)) or any(
        f"{name}.".startswith(f"{package}.") for name in frames
    )


def depth() -> int:
    """How many calls lie between the caller of a jitted function and the one who asks."""
    package, depth, frame = __name__.partition(".")[0], 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, depth = frame.f_back, depth + 1
    return depth
