"""Recipes."""

import dataclasses
import json

import pytest

from matrinox.data.augment import Shift
from matrinox.train import AdamW, Classification, Recipe


@pytest.mark.parametrize("name", ["steps", "batch", "steps_per_round", "accumulate", "steps_per_call", "patience"])
def test_a_recipe_refuses_sizes_out_of_range(name):
    with pytest.raises(ValueError, match=rf"`{name}` \(=0\) must be at least 1: choose a larger number"):
        Recipe(**{"steps": 10, name: 0})


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"steps": 2.5}, r"`steps` \(=2\.5\) must be int \| None"),
        ({"batch": "64"}, r"`batch` \(='64'\) must be int: see `help\(Recipe\)`"),
        ({"batch": True}, r"`batch` \(=True\) must be int"),
        ({"task": "classify"}, r"`task` \(='classify'\) must be Task"),
        ({"optimiser": None}, r"`optimiser` \(=None\) must be Optimiser"),
        ({"precision": "float16"}, r"`precision` \(='float16'\) must be Literal\['float32', 'bfloat16'\]"),
        ({"average": 1.0}, r"`average` \(=1\.0\) must be between 0 and 1: 0\.999 is common"),
        ({"augment": Shift()}, r"`augment` \(=Shift\(pixels=1\)\) must be tuple"),
    ],
)
def test_a_recipe_refuses_values_of_another_type_or_out_of_range(setting, match):
    with pytest.raises(ValueError, match=match):
        Recipe(**{"steps": 10, **setting})


@pytest.mark.parametrize("lengths", [{}, {"steps": 3, "epochs": 2}])
def test_a_recipe_is_of_steps_or_of_epochs(lengths):
    with pytest.raises(ValueError, match=r"`steps` \(=.*\) or `epochs` \(=.*\) must be given: give one"):
        Recipe(**lengths)


def test_a_recipe_is_described_by_plain_data_with_the_kinds_of_what_is_in_it():
    def double(key, inputs):
        return 2 * inputs

    recipe = Recipe(epochs=2, task=Classification(label_smoothing=0.1), augment=(Shift(pixels=2), double))
    told = json.loads(json.dumps(recipe.described()))
    assert told == recipe.described()
    assert set(told) == {field.name for field in dataclasses.fields(Recipe)}
    assert (told["task"]["kind"], told["task"]["label_smoothing"]) == ("Classification", 0.1)
    assert told["optimiser"]["kind"] == AdamW.__name__
    assert told["augment"][0] == {"kind": "Shift", "pixels": 2}
    assert told["augment"][1].endswith("double")
