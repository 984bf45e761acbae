"""The rule tables, one file a family. Importing this package fills `autodiff.rule.RULES`."""

from . import activations, contract, elementwise, reduce, shape, special

__all__ = ["activations", "contract", "elementwise", "reduce", "shape", "special"]
