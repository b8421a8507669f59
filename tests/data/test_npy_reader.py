"""NPY and NPZ files."""

import itertools
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from matrinox.data import DataSet, NpyFiles, NpzFile, RowLoader, read_npy, read_npz, split_rows

X = np.random.RandomState(0).standard_normal((20, 3, 2)).astype(np.float32)
Y = np.arange(20, dtype=np.int32)


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    np.savez(tmp_path / "mapped.npz", x_train=X, y_train=Y, x_test=X[:4])
    np.savez_compressed(tmp_path / "zipped.npz", x_train=X, y_train=Y)
    return tmp_path


def sources(folder):
    yield NpyFiles(folder / "x.npy", folder / "y.npy")
    for name in ("mapped", "zipped"):
        yield NpzFile(folder / f"{name}.npz", "x_train", "y_train")


def test_every_kind_of_file_gives_the_arrays_that_were_saved(folder):
    rows = np.array([7, 0, 19, 7])
    for source in sources(folder):
        inputs, targets = source.gather(rows)
        assert type(inputs) is np.ndarray
        assert len(source) == 20
        assert np.array_equal(inputs, X[rows])
        assert np.array_equal(targets, Y[rows])
        assert np.array_equal(source.targets, Y)
        assert split_rows(20, groups=source.targets).of(DataSet(X, Y)).test.targets.shape == (4,)
        assert source.fingerprint() == DataSet(X, Y).fingerprint()


def test_arrays_are_mapped_from_npy_and_stored_npz_and_read_whole_from_zipped_npz(folder):
    """What is written into the file behind the reader's back is seen where the array is mapped, and only there."""
    seen = []
    for source, path in zip(sources(folder), ("x.npy", "mapped.npz", "zipped.npz"), strict=True):
        data = Path(folder / path).read_bytes()
        at = data.find(X[:1].tobytes())
        if at >= 0:
            with open(folder / path, "r+b") as file:
                file.seek(at)
                file.write(np.float32(9).tobytes())
        seen.append(source.gather(np.array([0]))[0][0, 0, 0].item() == 9)
    assert seen == [True, True, False]


def test_a_loader_reads_files_shuffled_and_from_any_position(folder):
    for source in sources(folder):
        ours = RowLoader(source, 6, key=jax.random.key(1)).batches(4)
        theirs = RowLoader(DataSet(X, Y), 6, key=jax.random.key(1)).batches(4)
        for (inputs, targets), (x, y) in itertools.islice(zip(ours, theirs, strict=True), 3):
            assert np.array_equal(inputs, x)
            assert np.array_equal(targets, y)


def test_read_npy_and_read_npz_give_data_sets(folder):
    files = read_npy(folder / "x.npy", folder / "y.npy", name="numbers")
    archive = read_npz(folder / "mapped.npz", "x_train", "y_train")
    assert files.fingerprint() == archive.fingerprint() == DataSet(X, Y).fingerprint()
    assert (files.name, archive.name) == ("numbers", "mapped")
    assert read_npz(os.fspath(folder / "zipped.npz"), "x_train").targets is None


def test_every_order_and_byte_order_is_read(tmp_path):
    arrays = {"fortran": np.asfortranarray(X), "big": X.astype(">f4"), "none": X[:0], "halves": X.astype(np.float16)}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "all.npz", **arrays)
        for name, array in arrays.items():
            assert np.array_equal(read_npz(tmp_path / "all.npz", name).inputs, array)
    assert NpzFile(tmp_path / "all.npz", "big").gather(np.array([1]))[0].dtype.isnative


def test_python_objects_are_refused_and_no_code_of_the_file_runs(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"x\.npy' holds Python objects \(dtype object\), which are not read.*save an"):
        NpyFiles(tmp_path / "x.npy")
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "x.npz", x=np.array([None], object))
        with pytest.raises(ValueError, match=r"x\.npz\[x\]' holds Python objects"):
            read_npz(tmp_path / "x.npz", "x")


def test_text_and_records_are_refused(tmp_path):
    for array in (np.array(["cat", "dog"]), np.zeros(2, [("a", "f4")])):
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(ValueError, match=r"which must be numbers: save class numbers, not names"):
            NpyFiles(tmp_path / "x.npy")


def test_an_array_that_an_npz_file_does_not_have_names_the_nearest(folder):
    with pytest.raises(ValueError, match=r"has no array 'x_trian' among x_train, y_train, x_test: did you mean 'x_tr"):
        NpzFile(folder / "mapped.npz", "x_trian")


def test_another_number_of_targets_is_refused(folder):
    with pytest.raises(ValueError, match=r"\[x_test\]' has 4 inputs and .*\[y_train\]' has 20 targets, which must be"):
        NpzFile(folder / "mapped.npz", "x_test", "y_train")
    np.save(folder / "one.npy", np.float32(1))
    with pytest.raises(ValueError, match=r"one\.npy' holds one number, and an array `\(examples, …\)` is due"):
        NpyFiles(folder / "one.npy")


def test_damaged_files_are_refused_by_name(folder):
    whole = (folder / "x.npy").read_bytes()
    for data in (whole[:-1], whole + b"0"):
        (folder / "x.npy").write_bytes(data)
        with pytest.raises(ValueError, match=r"x\.npy' has \d+ bytes and its header describes \d+: it is cut or grown"):
            NpyFiles(folder / "x.npy")
    for data in (b"", b"a,b\n1,2\n", whole[:40], whole[:6] + b"\x09\x00" + whole[8:]):
        (folder / "x.npy").write_bytes(data)
        with pytest.raises(ValueError, match=r"x\.npy' is no NPY file, or damaged: "):
            NpyFiles(folder / "x.npy")
    zipped = bytearray((folder / "zipped.npz").read_bytes())
    zipped[400] ^= 255
    for data in (bytes(zipped), zipped[:300], b"no zip"):
        (folder / "zipped.npz").write_bytes(data)
        with pytest.raises(ValueError, match=r"zipped\.npz\[x_train\]' is no array of an NPZ file, or damaged: "):
            NpzFile(folder / "zipped.npz", "x_train")
    with pytest.raises(FileNotFoundError, match="missing"):
        NpyFiles(folder / "missing.npy")
