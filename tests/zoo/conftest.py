"""A row of the zoo that trains in a blink, and the published data where they are at hand."""

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import pytest

from matrinox.zoo import Entry, MLPConfig, entry


@pytest.fixture(scope="session", autouse=True)
def published_data() -> Iterator[None]:
    """The published data sets, where they lie beside the checkout and nothing else is named."""
    folder = Path(os.environ.get("MATRINOX_DATA") or Path(__file__).parents[3] / "shared" / "data")
    with pytest.MonkeyPatch.context() as patch:
        if folder.is_dir():
            patch.setenv("MATRINOX_DATA", str(folder))
        yield


@pytest.fixture(scope="session")
def apply() -> Callable[..., Any]:
    """`model(x, key=key)`, compiled: quicker to compile as a whole than operation by operation."""
    return eqx.filter_jit(lambda model, x, key=None: model(x, key=key))


@pytest.fixture(scope="session")
def parameters_of() -> Callable[..., int]:
    """How many numbers an architecture of some config holds, from shapes alone."""

    def count(architecture: Callable[..., Any], config: Any) -> int:
        shapes = eqx.filter_eval_shape(architecture, config, key=jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(shapes) if isinstance(leaf, jax.ShapeDtypeStruct))

    return count


@pytest.fixture(scope="session")
def quick() -> Entry:
    row = entry("mlp-digits")
    recipe = dataclasses.replace(row.recipe, steps=12, steps_per_round=4)
    return dataclasses.replace(row, config=MLPConfig(n=2, widths=(4,)), recipe=recipe, seeds=(0, 1))
