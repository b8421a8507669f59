"""What all commands share."""

import dataclasses
import os

import pytest

from matrinox import zoo
from matrinox.cli.command import Command, UsageError, did_you_mean, entry_named, model_file_named


def test_the_nearest_name_is_asked_for():
    assert did_you_mean("trian", ["eval", "train"]) == "did you mean 'train'?"


def test_an_entry_and_its_file_are_found_by_name(tmp_path):
    assert entry_named("mlp-digits") is zoo.entry("mlp-digits")
    assert os.path.basename(model_file_named("mlp-digits")) == "weights.safetensors"
    assert model_file_named(str(tmp_path / "other.safetensors")) == str(tmp_path / "other.safetensors")


@pytest.mark.parametrize("find", [entry_named, model_file_named], ids=["entry", "file"])
def test_a_name_that_is_missing_or_unknown_is_wrong_usage(find):
    with pytest.raises(UsageError, match=f"NAME is missing: name .*{', '.join(zoo.list_models())}"):
        find("")
    with pytest.raises(UsageError, match="did you mean 'mlp-digits'"):
        find("mlp-digit")


def test_every_command_can_be_debugged():
    assert [field.name for field in dataclasses.fields(Command)] == ["debug"]
    assert not Command().debug
