"""matrinox: shape-checked matrix-neuron networks for JAX and Equinox, and a zoo of trained models."""

from importlib.metadata import version

from matrinox import data, functional, initializers, io, nn, train, zoo
from matrinox.contract import AnyArray, ContractError, contract
from matrinox.io import ModelFileError, load, save
from matrinox.params import MatrixParams, init
from matrinox.paths import find, replace, select
from matrinox.rand import KeyStream
from matrinox.train import freeze

__version__ = version("matrinox")

__all__ = [
    "AnyArray",
    "ContractError",
    "KeyStream",
    "MatrixParams",
    "ModelFileError",
    "contract",
    "data",
    "find",
    "freeze",
    "functional",
    "init",
    "initializers",
    "io",
    "load",
    "nn",
    "replace",
    "save",
    "select",
    "train",
    "zoo",
]
