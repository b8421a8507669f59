"""Transforms of functions of Equinox modules and trees of arrays: derivatives of any kind and order, vectorised."""

from matrinox.transforms.gradient import grad, value_and_grad
from matrinox.transforms.hessian import hessian
from matrinox.transforms.jacobian import jacfwd, jacobian, jacrev
from matrinox.transforms.mapping import vmap
from matrinox.transforms.model_gradients import LossGradients, loss_gradients
from matrinox.transforms.product import hvp, jvp, vjp
from matrinox.transforms.stop import stop_gradient

__all__ = [
    "LossGradients",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "loss_gradients",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
