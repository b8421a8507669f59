"""Transforms of functions of Equinox modules and trees of arrays: derivatives of any kind and order, vectorised."""

from matrinox.transforms.gradient import grad, value_and_grad
from matrinox.transforms.hessian import hessian
from matrinox.transforms.jacobian import jacfwd, jacobian, jacrev

__all__ = ["grad", "hessian", "jacfwd", "jacobian", "jacrev", "value_and_grad"]
