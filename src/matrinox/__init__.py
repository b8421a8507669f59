"""matrinox: shape-checked matrix-neuron networks for JAX and Equinox, and a zoo of trained models."""

from importlib.metadata import version

from matrinox import bridge, data, functional, initializers, io, nn, rand, train, zoo
from matrinox.contract import AnyArray, ContractError, contract
from matrinox.inspect import check, explain_recompile, lens, summary
from matrinox.io import ModelFileError, load, load_adapters, save, save_adapters
from matrinox.nn import lora
from matrinox.params import MatrixParams, init
from matrinox.paths import find, replace, select
from matrinox.rand import KeyStream
from matrinox.train import freeze
from matrinox.transforms import (
    grad,
    hessian,
    hvp,
    jacfwd,
    jacobian,
    jacrev,
    jvp,
    loss_gradients,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)

__version__ = version("matrinox")

__all__ = [
    "AnyArray",
    "ContractError",
    "KeyStream",
    "MatrixParams",
    "ModelFileError",
    "bridge",
    "check",
    "contract",
    "data",
    "explain_recompile",
    "find",
    "freeze",
    "functional",
    "grad",
    "hessian",
    "hvp",
    "init",
    "initializers",
    "io",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "lens",
    "load",
    "load_adapters",
    "lora",
    "loss_gradients",
    "nn",
    "rand",
    "replace",
    "save",
    "save_adapters",
    "select",
    "stop_gradient",
    "summary",
    "train",
    "value_and_grad",
    "vjp",
    "vmap",
    "zoo",
]
