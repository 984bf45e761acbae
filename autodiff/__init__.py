"""Automatic differentiation for NumPy code, in pure Python.

>>> import numpy as np, autodiff as ad
>>> x = ad.Value(3.0)
>>> y = x * x + x
>>> y.backward()
>>> print(x.grad)
7.0
>>> print(ad.grad(lambda w: np.log(1 + np.exp(-w @ w)))(np.zeros(3)))
[-0. -0. -0.]
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import states
from .errors import (
    AutodiffError,
    BatchError,
    DetachError,
    GradientMismatchError,
    GraphError,
    JitWarning,
    MissingRuleError,
    NanError,
    OperandError,
)
from .modes import no_grad, stop_gradient
from .rules.activations import (
    gelu,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
)
from .supported import supported
from .value import Value

if TYPE_CHECKING:
    from . import extend, nn, optim
    from .buffers import watch
    from .checking import check_grads
    from .compiler.api import jit
    from .custom import custom_rule, numeric
    from .draw import draw_graph
    from .jacobians import hessian, jacfwd, jacobian, jacrev
    from .mapping import vmap
    from .memory import checkpoint, checkpoint_scan
    from .nans import debug_nans
    from .saving import load, save
    from .sparse import jacobian_sparsity, sparse_hessian, sparse_jacobian
    from .training import batches, evaluate, fit
    from .transforms import elementwise_grad, grad, hvp, jvp, linearize, value_and_grad, vhp, vjp

__version__ = "0.1.0"

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
    "Value",
    "batches",
    "check_grads",
    "checkpoint",
    "checkpoint_scan",
    "custom_rule",
    "debug_nans",
    "draw_graph",
    "elementwise_grad",
    "evaluate",
    "extend",
    "fit",
    "gelu",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacobian_sparsity",
    "jacrev",
    "jit",
    "jvp",
    "leaky_relu",
    "linearize",
    "load",
    "log_softmax",
    "logsumexp",
    "nn",
    "no_grad",
    "numeric",
    "optim",
    "relu",
    "save",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "sparse_hessian",
    "sparse_jacobian",
    "stop_gradient",
    "supported",
    "value_and_grad",
    "vhp",
    "vjp",
    "vmap",
    "watch",
]

# What a computation with Values does not need, by module: it is loaded at its first use.
LATE = {
    "check_grads": "checking",
    **dict.fromkeys(["checkpoint", "checkpoint_scan"], "memory"),
    **dict.fromkeys(["custom_rule", "numeric"], "custom"),
    "debug_nans": "nans",
    "draw_graph": "draw",
    **dict.fromkeys(["elementwise_grad", "grad", "hvp", "jvp"], "transforms"),
    **dict.fromkeys(["hessian", "jacfwd", "jacobian", "jacrev"], "jacobians"),
    "jit": "compiler.api",
    **dict.fromkeys(["load", "save"], "saving"),
    **dict.fromkeys(["jacobian_sparsity", "sparse_hessian", "sparse_jacobian"], "sparse"),
    **dict.fromkeys(["batches", "evaluate", "fit"], "training"),
    **dict.fromkeys(["linearize", "value_and_grad", "vhp", "vjp"], "transforms"),
    "vmap": "mapping",
    "watch": "buffers",
}


def __getattr__(name: str) -> Any:
    """Load what a computation with Values does not need; it is an attribute like any other from then on."""
    if name in ("extend", "nn", "optim"):
        return importlib.import_module(f".{name}", __name__)
    if name in LATE:
        found = globals()[name] = getattr(importlib.import_module(f".{LATE[name]}", __name__), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
