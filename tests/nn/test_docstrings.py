"""Every example in the docstrings of the layers, and of what makes their weights, is run."""

import doctest
import importlib
import inspect
import pkgutil

import equinox as eqx
import pytest

import matrinox.nn
from matrinox.nn.constraint import Constraint

MODULES = [
    "matrinox.initializers",
    *(module.name for module in pkgutil.iter_modules(matrinox.nn.__path__, "matrinox.nn.")),
]
CLASSES = [getattr(matrinox.nn, name) for name in matrinox.nn.__all__ if isinstance(getattr(matrinox.nn, name), type)]
# A cache is not called.
LAYERS = [member for member in CLASSES if inspect.isfunction(member.__call__)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_has_an_example_and_the_shapes_it_takes(layer):
    assert issubclass(layer, (eqx.Module, Constraint))
    assert doctest.DocTestFinder(recurse=False).find(layer)[0].examples
    assert "**Returns:**" in layer.__call__.__doc__
    assert "**Raises:**" in layer.__call__.__doc__
