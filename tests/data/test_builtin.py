"""Data sets by name."""

import functools
import gzip
import http.server
import sys
import threading

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import datasets

from matrinox.contract import ContractError
from matrinox.data import (
    folds,
    list_builtin,
    list_texts,
    load_builtin,
    load_splits,
    load_text,
    split,
    split_by_group,
    split_in_order,
    split_random,
)

TABLES = {"iris": "load_iris", "wine": "load_wine", "breast-cancer": "load_breast_cancer"}
OFFLINE = ("iris", "wine", "breast-cancer", "diabetes", "digits", "digits-features")


def parts_of(splits):
    return splits.train, splits.validation, splits.test


def test_the_names_are_those_of_scikit_learn_and_of_published_sets():
    assert list_builtin() == (*OFFLINE, "mnist", "fashion-mnist", "mnist1d")
    assert list_texts() == ("tinyshakespeare",)


def test_digits_are_scikit_learns_images_from_0_to_1():
    data, source = load_builtin("digits"), datasets.load_digits()
    assert data.inputs.shape == (1797, 8, 8, 1)
    assert data.inputs.dtype == jnp.float32
    assert np.array_equal(data.inputs[..., 0] * 16, source.images)
    assert np.array_equal(data.targets, source.target)
    assert float(data.inputs.min()) == 0
    assert float(data.inputs.max()) == 1


def test_digits_features_are_the_same_digits_row_by_row():
    images, rows = load_builtin("digits"), load_builtin("digits-features")
    assert jnp.array_equal(rows.inputs, images.inputs.reshape(1797, 64))
    assert jnp.array_equal(rows.targets, images.targets)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_scikit_learns_as_measured(name):
    data, source = load_builtin(name), getattr(datasets, TABLES[name])()
    assert (data.inputs.dtype, data.targets.dtype) == (jnp.float32, jnp.int32)
    assert np.array_equal(data.inputs, source.data.astype(np.float32))
    assert np.array_equal(data.targets, source.target)


def test_diabetes_is_a_regression_that_no_statistic_of_all_rows_has_scaled():
    data, source = load_builtin("diabetes"), datasets.load_diabetes(scaled=False)
    assert (data.inputs.shape, data.targets.shape, data.targets.dtype) == ((442, 10), (442, 1), jnp.float32)
    assert np.array_equal(data.inputs, source.data.astype(np.float32))
    assert np.array_equal(data.targets[:, 0], source.target)
    # A column of scikit-learn's scaled table has mean 0 over all rows; ages are years here.
    assert float(data.inputs[:, 0].min()) == 19


@pytest.mark.parametrize("name", ["iris", "digits"])
def test_splits_without_a_published_test_part_are_those_of_split(name):
    whole = load_builtin(name)
    for shares in ({}, {"validation": 0.2, "test": 0.3, "seed": 5}):
        for ours, due in zip(parts_of(load_splits(name, **shares)), parts_of(split(whole, **shares)), strict=True):
            assert ours.fingerprint() == due.fingerprint()
            assert ours.name == name


def test_a_regression_is_split_without_classes():
    parts = parts_of(load_splits("diabetes"))
    assert [len(part) for part in parts] == [310, 44, 88]
    rows = np.concatenate([np.concatenate([part.inputs, part.targets], axis=1) for part in parts])
    whole = load_builtin("diabetes")
    assert sorted(map(tuple, rows)) == sorted(map(tuple, np.concatenate([whole.inputs, whole.targets], axis=1)))
    other, due = load_splits("diabetes", seed=1), split_random(whole, seed=1)
    assert other.test.fingerprint() == due.test.fingerprint() != parts[2].fingerprint()


def test_mnist_keeps_its_test_part_and_validates_on_a_tenth_of_train(published):
    splits = load_splits("mnist")
    assert [len(part) for part in parts_of(splits)] == [54001, 5999, 10000]
    with np.load(published / "mnist.npz") as source:
        x_train, y_train, x_test, y_test = (source[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    assert np.array_equal(splits.test.inputs[..., 0], x_test.astype(np.float32) / 255)
    assert np.array_equal(splits.test.targets, y_test)
    for part in parts_of(splits):
        assert part.inputs.shape[1:] == (28, 28, 1)
        assert (part.inputs.dtype, part.targets.dtype) == (jnp.float32, jnp.int32)
        assert (float(part.inputs.min()), float(part.inputs.max())) == (0, 1)
    shares = np.bincount(splits.validation.targets) / np.bincount(y_train)
    assert np.abs(shares - 0.1).max() < 1e-4
    # Train and validation together are the published train part, example by example.
    ours = np.concatenate([splits.train.inputs, splits.validation.inputs])[..., 0]
    assert sorted(map(hash, (image.tobytes() for image in np.rint(ours * 255).astype(np.uint8)))) == sorted(
        map(hash, (image.tobytes() for image in x_train))
    )


def test_mnist1d_is_whole_with_its_test_part_last(published):
    whole, splits = load_builtin("mnist1d"), load_splits("mnist1d", validation=0.25, seed=3)
    with np.load(published / "mnist1d.npz") as source:
        assert np.array_equal(whole.inputs, np.concatenate([source["x_train"], source["x_test"]]))
        assert np.array_equal(whole.targets, np.concatenate([source["y_train"], source["y_test"]]))
    assert whole.inputs.shape == (5000, 40)
    assert whole.inputs.dtype == jnp.float32
    assert splits.test.fingerprint() == whole.take(np.arange(4000, 5000)).fingerprint()
    assert len(splits.train) + len(splits.validation) == 4000
    again = load_splits("mnist1d", validation=0.25, seed=3)
    assert again.validation.fingerprint() == splits.validation.fingerprint()


def test_a_set_with_its_published_test_part_is_not_split_anew(published):
    """A part that was taken of it by hand is, as any data set is."""
    whole = load_builtin("mnist1d")
    told = r"`data` \(='mnist1d'\) must not be split anew, .*: use load_splits\('mnist1d'\), or split a part"
    for parted in (split, split_random, split_in_order, functools.partial(folds, k=3)):
        with pytest.raises(ValueError, match=told):
            parted(whole)
    with pytest.raises(ValueError, match=told):
        split_by_group(whole, np.arange(5000))
    parts = parts_of(split_in_order(whole.take(np.arange(4000))))
    assert [len(part) for part in parts] == [2800, 400, 800]


def test_tinyshakespeare_is_karpathys_text(published):
    text = load_text("tinyshakespeare")
    assert text.startswith("First Citizen:\nBefore we proceed any further, hear me speak.")
    assert (len(text), len(set(text))) == (1_115_394, 65)
    # What nanoGPT prints when it prepares the text.
    train = text[: int(0.9 * len(text))]
    assert (len(train), len(text) - len(train)) == (1_003_854, 111_540)


def test_a_text_is_downloaded_from_a_mirror_and_checked(published, cache, tmp_path, monkeypatch):
    text = gzip.decompress((published / "tinyshakespeare.txt.gz").read_bytes())
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "tinyshakespeare.txt").write_bytes(text)
    (tmp_path / "mirror" / "mnist.npz").write_bytes(b"another file")
    monkeypatch.delenv("MATRINOX_DATA")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "mirror")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("MATRINOX_MIRROR", f"http://127.0.0.1:{server.server_port}")
        assert load_text("tinyshakespeare").encode() == text
        with pytest.raises(FileNotFoundError, match=r"mnist.npz failed: SHA256 hash .* does not match"):
            load_builtin("mnist")
        server.shutdown()
    assert [path.name for path in cache.iterdir()] == ["tinyshakespeare.txt"]
    assert load_text("tinyshakespeare", download=False).encode() == text


@pytest.mark.parametrize("load", [load_builtin, load_splits], ids=["whole", "splits"])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "mnist1d"])
def test_where_there_is_no_file_the_error_names_files_and_arrays(cache, load, name):
    with pytest.raises(
        FileNotFoundError, match=rf"(?s)T(hree|wo) ways.* put {name}\.npz.*x_train .*y_train .*x_test .*y_test"
    ):
        load(name, download=False)


def test_a_share_for_test_is_refused_where_a_test_part_is_published():
    with pytest.raises(
        ValueError, match=r"`test` \(=0.2\) must be None for 'mnist', which is published with a test part"
    ):
        load_splits("mnist", test=0.2)


def test_a_share_that_leaves_nothing_is_refused(published):
    with pytest.raises(ValueError, match=r"`validation` \(=1.0\) must be positive and leave a part to train on"):
        load_splits("mnist1d", validation=1.0)
    with pytest.raises(ValueError, match=r"`validation` \(=0.1\) and `test` \(=0.9\) must be positive and leave"):
        load_splits("iris", test=0.9)


def test_an_unknown_name_names_the_nearest():
    for load in (load_builtin, load_splits):
        with pytest.raises(ValueError, match=r"`name` \(='digit'\) must be one of .*: did you mean 'digits'\?"):
            load("digit")
    with pytest.raises(
        ValueError, match=r"`name` \(='shakespeare'\) must be one of .* did you mean 'tinyshakespeare'\?"
    ):
        load_text("shakespeare")


def test_a_name_of_the_other_kind_names_its_loader():
    with pytest.raises(ValueError, match=r"must be one of iris, .*: tinyshakespeare is loaded by `load_text`"):
        load_builtin("tinyshakespeare")
    with pytest.raises(ValueError, match="iris is loaded by `load_builtin` or `load_splits`"):
        load_text("iris")


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(ContractError, match=r"name.* 3 .*it takes a str"):
        load_builtin(3)  # pyright: ignore[reportArgumentType]


def test_without_scikit_learn_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    due = r"the data set 'digits' comes with scikit-learn, which is not installed: pip install \"matrinox\[data\]\"$"
    with pytest.raises(ImportError, match=due):
        load_builtin("digits")
