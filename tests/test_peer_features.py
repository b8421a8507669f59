"""What answers each feature of the peers is public and has its tests: the table is `peer_features.toml`.

Whether a feature works is for the tests that it names; here one that is renamed or gone is noticed.
"""

import ast
import functools
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import matrinox

TESTS = Path(__file__).parent
TABLE = tomllib.loads((TESTS / "peer_features.toml").read_text())
FEATURES = {f"{peer}: {feature}": row for peer, rows in TABLE.items() for feature, row in rows.items()}

every_feature = pytest.mark.parametrize("row", FEATURES.values(), ids=FEATURES)


def public(name: str) -> Any:
    """The object of a name such as `nn.Dense`, each step of which its module exports."""
    found = matrinox
    for step in name.split("."):
        # A room without `__all__` exports what it imports by name.
        exported = getattr(found, "__all__", None) or [key for key in vars(found) if not key.startswith("_")]
        assert step in exported, f"{name} is not public"
        found = getattr(found, step)
    return found


@functools.cache
def tests_in(file: str) -> set[str]:
    tree = ast.parse((TESTS / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@every_feature
def test_what_answers_a_feature_is_public_and_has_its_options(row):
    assert row["by"]
    for written in row["by"]:
        name, options = re.fullmatch(r"([\w.]+)(?:\(([\w, ]+)\))?", written).groups()
        parameters = set(inspect.signature(public(name)).parameters)
        assert set(options.split(", ") if options else ()) <= parameters, f"{written} has no such option"


@every_feature
def test_a_feature_has_the_tests_that_show_it(row):
    assert row["tests"]
    for test in row["tests"]:
        file, name = test.split("::")
        assert name.startswith("test_")
        assert name in tests_in(file), f"tests/{test} is gone: name the one that shows this now"


def test_the_table_is_of_every_peer():
    parts = [
        *("nn", "blocks", "functional", "Adapters", "seeding", "rand", "autograd"),
        *("Data", "loss", "optim", "train", "text", "ssl"),
    ]
    assert set(TABLE) == {*(f"TorchLean {part}" for part in parts), "mlax", "brainstate jacfwd", "MLX"}
    assert len(FEATURES) > 120
