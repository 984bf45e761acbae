"""The exceptions. Every message names the function, the argument and the way out."""

__all__ = [
    "AutodiffError",
    "BatchError",
    "DetachError",
    "GradientMismatchError",
    "GraphError",
    "JitWarning",
    "MissingRuleError",
    "NanError",
    "OperandError",
]


class AutodiffError(Exception):
    """Base class of every error that this package raises on purpose."""


class DetachError(AutodiffError, TypeError):
    """A tracked Value would leave the graph without saying so, and its gradient would be lost."""


class GraphError(AutodiffError, RuntimeError):
    """The graph cannot be walked: it was freed, was never recorded, or ends in no scalar."""


class BatchError(AutodiffError, TypeError):
    """Under vmap, something needs one number where there is one for each example."""


class MissingRuleError(AutodiffError, TypeError):
    """A function has no derivative rule and was called on a tracked Value."""


class OperandError(AutodiffError, TypeError):
    """An argument is of a kind that cannot be differentiated or computed with."""


class GradientMismatchError(AutodiffError, AssertionError):
    """`check_grads` found a derivative that differs from finite differences."""


class NanError(AutodiffError, FloatingPointError):
    """Under `debug_nans`, an operation or its derivative gave a nan."""


class JitWarning(UserWarning):
    """A function, or a part of one, runs without the compiler."""
