"""`Entry`, a row of the zoo's table: what a model is, on what it is trained, and how."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from matrinox.data.download import RemoteFile
from matrinox.train import Recipe
from matrinox.zoo.architecture import Architecture
from matrinox.zoo.data import EntryData


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    **Arguments:** `name`; `architecture`, `config`: the family, and one of its presets; `data`, `recipe`: on what it is
    trained and how, each of `seeds` once; `goal`: what the mean over seeds of the task's headline figure is to reach on
    the test part; `summary`, `use`, `limits`, `source`: what it is, what it is meant for and what not, and where its
    parts come from, as its card says it; `remote`: where its weights are published, if they are not installed with the
    package.
    """

    name: str
    architecture: type[Architecture]
    config: Any
    data: EntryData
    recipe: Recipe
    goal: float
    summary: str
    use: str
    limits: str
    source: str
    seeds: tuple[int, ...] = (0, 1, 2)
    remote: RemoteFile | None = None

    @property
    def family(self) -> str:
        """The name of its architecture, such as `"CNN"`."""
        return self.architecture.__name__

    @property
    def task(self) -> str:
        """What it does, such as `"classification"` or `"language modelling"`."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(self.recipe.task).__name__).lower()

    @cached_property
    def parameters(self) -> int:
        """How many numbers are trained, from shapes alone."""
        model = eqx.filter_eval_shape(self.architecture, self.config, key=jax.random.key(0))
        shapes = (leaf for leaf in jax.tree.leaves(model) if isinstance(leaf, jax.ShapeDtypeStruct))
        return sum(shape.size for shape in shapes if jnp.issubdtype(shape.dtype, jnp.inexact))

    @property
    def folder(self) -> Path:
        """Where the entry's card, weights and log are."""
        return Path(__file__).parent / "entries" / self.name
