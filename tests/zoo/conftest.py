"""A row of the zoo that trains in a blink."""

import dataclasses

import pytest

from matrinox.zoo import Entry, MLPConfig, entry


@pytest.fixture(scope="session")
def quick() -> Entry:
    row = entry("mlp-digits")
    recipe = dataclasses.replace(row.recipe, steps=12, steps_per_round=4)
    return dataclasses.replace(row, config=MLPConfig(n=2, widths=(4,)), recipe=recipe)
