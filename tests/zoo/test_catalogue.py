"""The table of the zoo."""

import equinox as eqx
import jax
import pytest

from matrinox.data import list_builtin
from matrinox.zoo import CATALOGUE, FAMILIES, entry


def test_every_row_is_named_as_it_is_filed_and_has_its_files():
    for name, row in CATALOGUE.items():
        assert row.name == name
        files = {file.name for file in row.folder.iterdir()}
        assert files == {"card.toml", "weights.safetensors", "log.json"}


def test_no_entry_lies_in_the_folder_without_a_row():
    folder = entry("cnn-digits").folder.parent
    assert {path.name for path in folder.iterdir()} == set(CATALOGUE)


def test_every_row_builds_from_its_family_and_its_data_are_there():
    for row in CATALOGUE.values():
        assert FAMILIES[row.architecture.__name__] is row.architecture
        assert row.data in list_builtin()
        model = eqx.filter_eval_shape(row.architecture, row.config, key=jax.random.key(0))
        assert model.config == row.config


def test_the_digits_models_have_at_most_20000_parameters_and_matrix_neurons(parameters_of):
    for name in ("cnn-digits", "mlp-digits"):
        row = entry(name)
        assert row.config.n >= 2
        assert parameters_of(row.architecture, row.config) <= 20_000


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ValueError, match=r"`name` \(='cnn-digit'\) must be one of .*: did you mean 'cnn-digits'\?"):
        entry("cnn-digit")
