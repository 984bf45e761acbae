"""Sparse Jacobians and Hessians, as SciPy matrices: see matrices.py first."""

from .matrices import jacobian_sparsity, sparse_hessian, sparse_jacobian

__all__ = ["jacobian_sparsity", "sparse_hessian", "sparse_jacobian"]
