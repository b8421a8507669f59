"""The table of the zoo."""

import pytest

from matrinox.data import list_builtin
from matrinox.zoo import CATALOGUE, FAMILIES, BuiltIn, entry

TRAINED = {"card.toml", "curve.png", "log.json", "weights.safetensors"}
# What some entries have besides.
MORE = ("twin-", "lengths.")


def test_every_row_is_named_as_it_is_filed_and_has_all_of_its_files_or_is_not_trained():
    for name, row in CATALOGUE.items():
        assert row.name == name
        files = {file.name for file in row.folder.iterdir()} if row.folder.exists() else set()
        assert {file for file in files if not file.startswith(MORE)} in (set(), TRAINED), name


def test_no_entry_lies_in_the_folder_without_a_row():
    folder = entry("cnn-digits").folder.parent
    assert {path.name for path in folder.iterdir()} <= set(CATALOGUE)


def test_every_row_is_of_a_family_and_of_data_that_are_there():
    for row in CATALOGUE.values():
        assert FAMILIES[row.architecture.__name__] is row.architecture
        assert not isinstance(row.data, BuiltIn) or row.data.name in list_builtin()
        assert row.data.split


def test_the_digits_models_have_at_most_20000_parameters_and_matrix_neurons(parameters_of):
    for name in ("cnn-digits", "mlp-digits"):
        row = entry(name)
        assert row.config.n >= 2
        assert parameters_of(row.architecture, row.config) <= 20_000


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ValueError, match=r"`name` \(='cnn-digit'\) must be one of .*: did you mean 'cnn-digits'\?"):
        entry("cnn-digit")
