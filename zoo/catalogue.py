"""The one table of the zoo: what each entry is, on what it is trained, and how."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import equinox as eqx

from matrinox.contract import contract
from matrinox.contract.nearest import nearest
from matrinox.data.augment import Shift
from matrinox.train import AdamW, Classification, Recipe
from matrinox.zoo.cnn import CNN, CNNConfig
from matrinox.zoo.mlp import MLP, MLPConfig

FAMILIES: Mapping[str, type[eqx.Module]] = MappingProxyType({"CNN": CNN, "MLP": MLP})
"""Architecture by name: what a model file may hold."""


@dataclass(frozen=True)
class Entry:
    """A row of the table: architecture, config, built-in data set and recipe, and what its card says in words."""

    name: str
    architecture: type[Any]
    config: Any
    data: str
    recipe: Recipe
    summary: str
    limits: str

    @property
    def folder(self) -> Path:
        """Where the entry's card, weights and log are."""
        return Path(__file__).parent / "entries" / self.name


_ROWS = (
    Entry(
        name="cnn-digits",
        architecture=CNN,
        config=CNNConfig(),
        data="digits",
        recipe=Recipe(
            steps=1140,
            batch=64,
            steps_per_round=38,
            augment=(Shift(pixels=1),),
            task=Classification(label_smoothing=0.1),
            optimiser=AdamW(learning_rate=6e-3, weight_decay=0.05),
        ),
        summary="A convolutional network of 2 × 2 matrix neurons that reads handwritten digits of 8 × 8 pixels.",
        limits="As in its data set: one digit, centred, about as large as the frame, bright on dark, from 0 to 1.",
    ),
    Entry(
        name="mlp-digits",
        architecture=MLP,
        config=MLPConfig(),
        data="digits-features",
        recipe=Recipe(
            steps=1140,
            batch=64,
            steps_per_round=38,
            task=Classification(label_smoothing=0.1),
            optimiser=AdamW(learning_rate=1e-2, weight_decay=0.1),
        ),
        summary="A multilayer perceptron of 4 × 4 matrix neurons that reads handwritten digits as rows of 64 pixels.",
        limits="As cnn-digits, but not trained on shifts: many digits off their place by a pixel are misread.",
    ),
)

CATALOGUE: Mapping[str, Entry] = MappingProxyType({entry.name: entry for entry in _ROWS})
"""Entry by name."""


@contract
def entry(name: str) -> Entry:
    """The row of that name.

    **Raises:** `ValueError` for an unknown name, naming the nearest.
    """
    if name not in CATALOGUE:
        known, close = ", ".join(CATALOGUE), nearest(name, CATALOGUE)
        raise ValueError(f"`name` (={name!r}) must be one of {known}: did you mean {close!r}?")
    return CATALOGUE[name]
