"""Every example in the docstrings of the rooms around the layers is run."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import matrinox.bridge
import matrinox.data
import matrinox.inspect
import matrinox.rand
import matrinox.train
import matrinox.transforms
import matrinox.zoo

MODULES = [
    module.name
    for room in (
        matrinox.rand,
        matrinox.transforms,
        matrinox.inspect,
        matrinox.bridge,
        matrinox.data,
        matrinox.train,
        matrinox.zoo,
    )
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_every_function_of_transforms_and_seeds_has_an_example():
    for room in (matrinox.rand, matrinox.transforms):
        functions = [name for name in room.__all__ if inspect.isroutine(getattr(room, name))]
        assert functions
        assert [name for name in functions if ">>> " not in (getattr(room, name).__doc__ or "")] == []


@pytest.mark.parametrize("room", [matrinox.data, matrinox.train], ids=["data", "train"])
def test_the_table_of_a_large_room_names_all_that_is_in_it(room):
    there = {name for name, value in vars(room).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert set(re.findall(r"`(\w+)`", room.__doc__)) == there
