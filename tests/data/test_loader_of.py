"""Whatever holds examples, as a loader."""

import jax
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet, NpyFiles, RowLoader, StreamLoader, fit_csv
from matrinox.data.csv_reader import CsvFile
from matrinox.data.loader_of import loader_of


def test_what_can_be_asked_for_by_number_has_a_row_loader_and_what_comes_in_a_row_a_stream_loader(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(5))
    (tmp_path / "x.csv").write_text("x\n0\n1\n2\n3\n4\n")
    files, lines = NpyFiles(tmp_path / "x.npy"), CsvFile(tmp_path / "x.csv", fit_csv(tmp_path / "x.csv"))
    data, key = DataSet(np.arange(5)), jax.random.key(0)
    for given, due in (
        (data, RowLoader(data, 2, key=key)),
        (files, RowLoader(files, 2, key=key)),
        (lines, StreamLoader(lines, 2, key=key)),
    ):
        loader = loader_of(given, 2, key=key)
        assert type(loader) is type(due)
        assert loader.fingerprint() == due.fingerprint()
        assert np.concatenate([np.ravel(inputs) for inputs, _ in loader.once()]).tolist() == [0, 1, 2, 3, 4]


def test_a_loader_stays_what_it_is():
    loader = RowLoader(DataSet(np.arange(5)), 3, key=None)
    assert loader_of(loader, 2, key=jax.random.key(0)) is loader


def test_what_holds_no_examples_and_a_batch_below_1_are_refused():
    with pytest.raises(ContractError, match="data"):
        loader_of(np.arange(5), 2, key=None)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"`batch` \(=0\) must be 1 or more: choose"):
        loader_of(DataSet(np.arange(5)), 0, key=None)
