"""Recipes."""

import dataclasses
import functools
import json

import equinox as eqx
import numpy as np
import pytest

from matrinox.data.augment import Shift
from matrinox.train import AdamW, Classification, Recipe, Task


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
        (
            {"precision": "float16"},
            r"`precision` \(='float16'\) must be 'float32' or 'bfloat16': did you mean 'bfloat16'\?$",
        ),
        ({"precision": "bf16"}, "must be 'float32' or 'bfloat16': did you mean 'bfloat16'"),
        ({"average": 1.0}, r"`average` \(=1\.0\) must be between 0 and 1: 0\.999 is common"),
        ({"augment": Shift()}, r"`augment` \(=Shift\(pixels=1\)\) must be a tuple of augmentations, such as `\(Shift"),
    ],
)
def test_a_recipe_refuses_values_of_another_type_or_out_of_range(setting, match):
    with pytest.raises(ValueError, match=match):
        Recipe(**{"steps": 10, **setting})


def test_an_option_that_a_recipe_does_not_have_is_told_with_the_nearest():
    for option, due in (("batch_size", "batch"), ("optimizer", "optimiser")):
        with pytest.raises(TypeError, match=rf"Recipe: got an unexpected .* '{option}': did you mean '{due}'\?"):
            Recipe(**{"steps": 1, option: 8})
    with pytest.raises(TypeError, match=r"'lr': it takes steps, batch, .*optimiser"):
        Recipe(steps=1, lr=0.1)  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize("lengths", [{}, {"steps": 3, "epochs": 2}])
def test_a_recipe_is_of_steps_or_of_epochs(lengths):
    with pytest.raises(ValueError, match=r"`steps` \(=.*\) or `epochs` \(=.*\) must be given, and not both: give one"):
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


def scaled(key, inputs, by):
    return by * inputs


class Scaled(eqx.Module):
    by: np.ndarray

    def __call__(self, key, inputs):
        return self.by * inputs


def test_what_a_recipe_holds_is_told_alike_in_every_process():
    """By no address in memory: a run that goes on compares what it is told."""
    told = []
    for by in (2.0, 2.0, 3.0):
        augment = (functools.partial(scaled, by=by), Scaled(np.full(2, by)), lambda key, inputs: inputs)
        told.append(json.dumps(Recipe(steps=1, augment=augment).described()["augment"]))
    assert told[0] == told[1] != told[2]
    kinds = [each["kind"] for each in json.loads(told[0])[:2]]
    assert kinds == ["partial", "Scaled"]
    first = json.loads(told[0])[0]
    assert (first["of"].endswith(".scaled"), first["keywords"]) == (True, {"by": 2.0})


def test_a_task_that_is_not_hashable_is_refused():
    @dataclasses.dataclass
    class Mine(Task):
        loss = tally = report = lambda self, *given: {}

    match = r"`task` \(=.*Mine\(\)\) must be hashable.*: make Mine a `@dataclass\(frozen=True\)` of numbers"
    with pytest.raises(ValueError, match=match):
        Recipe(steps=1, task=Mine())


def test_what_cannot_be_told_is_refused():
    class Silent:
        def __call__(self, key, inputs):
            return inputs

    with pytest.raises(ValueError, match="must be told in a log, and to a run that goes on: make Silent a frozen data"):
        Recipe(steps=1, augment=(Silent(),)).described()
