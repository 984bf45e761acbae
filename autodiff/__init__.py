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
from .buffers import watch
from .checking import check_grads
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
from .nans import debug_nans
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
from .transforms import elementwise_grad, grad, hvp, jvp, linearize, value_and_grad, vhp, vjp
from .value import Value

if TYPE_CHECKING:
    from . import extend, nn, optim
    from .compiler.api import jit
    from .custom import custom_rule, numeric
    from .draw import draw_graph
    from .jacobians import hessian, jacfwd, jacobian, jacrev
    from .mapping import vmap
    from .memory import checkpoint, checkpoint_scan
    from .saving import load, save
    from .sparse import jacobian_sparsity, sparse_hessian, sparse_jacobian
    from .training import batches, evaluate, fit

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

# What a plain computation does not need, by module: it is loaded at its first use.
LATE = {
    **dict.fromkeys(["hessian", "jacfwd", "jacobian", "jacrev"], "jacobians"),
    **dict.fromkeys(["checkpoint", "checkpoint_scan"], "memory"),
    **dict.fromkeys(["custom_rule", "numeric"], "custom"),
    "draw_graph": "draw",
    "jit": "compiler.api",
    **dict.fromkeys(["load", "save"], "saving"),
    **dict.fromkeys(["jacobian_sparsity", "sparse_hessian", "sparse_jacobian"], "sparse"),
    **dict.fromkeys(["batches", "evaluate", "fit"], "training"),
    "vmap": "mapping",
}


def __getattr__(name: str) -> Any:
    """Load what a plain computation does not need at its first use."""
    if name in ("extend", "nn", "optim"):
        return importlib.import_module(f".{name}", __name__)
    if name in LATE:
        return getattr(importlib.import_module(f".{LATE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
