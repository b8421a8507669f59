"""Published data sets as files hold them, and files that hold something else."""

import gzip
import zipfile

import numpy as np
import pytest

from matrinox.data.published import LABELLED, TEXTS, read_labelled, read_text

SIGNALS = LABELLED["mnist1d"]


@pytest.fixture
def signals(cache) -> dict[str, np.ndarray]:
    """Arrays of the layout of mnist1d; the cache is there to put them in."""
    cache.mkdir()
    random = np.random.RandomState(0)
    labels = random.randint(0, 10, 5000).astype(np.uint8)
    return {
        "x_train": random.normal(size=(4000, 40)),
        "y_train": labels[:4000],
        "x_test": random.normal(size=(1000, 40)),
        "y_test": labels[4000:],
    }


def idx(array: np.ndarray) -> bytes:
    """An array as a compressed IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes(), compresslevel=1)


def test_an_archive_gives_its_train_and_test_parts(cache, signals):
    np.savez(cache / "mnist1d.npz", **signals)
    (x_train, y_train), (x_test, y_test) = read_labelled(SIGNALS, download=False)
    for found, name in ((x_train, "x_train"), (y_train, "y_train"), (x_test, "x_test"), (y_test, "y_test")):
        assert np.array_equal(found, signals[name])
    assert y_train.dtype == y_test.dtype == np.int32


def test_the_four_files_of_fashion_mnist_give_its_arrays(cache):
    random, folder = np.random.RandomState(0), cache / "fashion-mnist"
    folder.mkdir(parents=True)
    arrays = {}
    for part, count in (("train", 60000), ("t10k", 10000)):
        images, labels = np.zeros((count, 28, 28), np.uint8), random.randint(0, 10, count)
        images[random.randint(0, count, 50), random.randint(0, 28, 50), random.randint(0, 28, 50)] = 255
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
        arrays[part] = images, labels
    for found, part in zip(read_labelled(LABELLED["fashion-mnist"], download=False), ("train", "t10k"), strict=True):
        assert np.array_equal(found[0], arrays[part][0])
        assert np.array_equal(found[1], arrays[part][1])

    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(arrays["t10k"][1][:-1]))
    with pytest.raises(ValueError, match=r"y_test integers\[10000\].* does not: y_test is uint8\[9999\]"):
        read_labelled(LABELLED["fashion-mnist"], download=False)
    for damaged in (gzip.compress(b""), gzip.compress(b"\0\0\x08\x01\0\0"), gzip.compress(b"\0\0\x0d\x01\0\0\0\0")):
        (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"does not: t10k-labels-idx1-ubyte.gz is no IDX file of uint8"):
            read_labelled(LABELLED["fashion-mnist"], download=False)
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(arrays["t10k"][1])[:-9])
    with pytest.raises(ValueError, match=r"does not: Compressed file ended before.* Replace or remove what is there"):
        read_labelled(LABELLED["fashion-mnist"], download=False)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"x_train": np.zeros((4000, 41))}, r"x_train is float64\[4000, 41\]"),
        ({"x_test": np.zeros((1000, 40), np.uint8)}, r"x_test is uint8\[1000, 40\]"),
        ({"y_train": np.zeros(4000)}, r"y_train is float64\[4000\]"),
        ({"y_test": np.full(1000, 10)}, "y_test goes from 10 to 10"),
        ({"y_test": np.full(1000, -1)}, "y_test goes from -1 to -1"),
        ({"x_test": np.array([{}] * 1000)}, "Object arrays cannot be loaded"),
    ],
    ids=["length", "dtype", "labels", "high", "low", "objects"],
)
def test_an_archive_with_other_arrays_is_refused(cache, signals, changed, why):
    np.savez(cache / "mnist1d.npz", **(signals | changed))
    with pytest.raises(ValueError, match=rf"mnist1d\.npz .* must hold x_train floating\[4000, 40\], .*does not: {why}"):
        read_labelled(SIGNALS, download=False)


def test_an_archive_without_an_array_is_refused(cache, signals):
    np.savez(cache / "mnist1d.npz", x=signals["x_train"], y_train=signals["y_train"])
    with pytest.raises(ValueError, match=r"does not: it holds x, y_train, and no x_train, x_test, y_test\."):
        read_labelled(SIGNALS, download=False)


def test_a_file_that_is_no_archive_is_refused(cache, signals):
    path = cache / "mnist1d.npz"
    np.savez(path, **signals)
    whole = path.read_bytes()
    for damaged in (b"", b"text", whole[:-100], whole[:1000] + bytes(100) + whole[1100:]):
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"mnist1d\.npz \(for the data set 'mnist1d'\) must hold .*, and does not: "
        ):
            read_labelled(SIGNALS, download=False)
    with zipfile.ZipFile(path, "w") as archive:
        for name in signals:
            archive.writestr(name, b"no array")
    with pytest.raises(ValueError, match=r"does not: x_train is \|S8\[\]"):
        read_labelled(SIGNALS, download=False)
    with path.open("wb") as file:
        np.save(file, signals["y_test"])
    with pytest.raises(ValueError, match="does not: it is one array, not an archive"):
        read_labelled(SIGNALS, download=False)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_text_that_is_another_is_refused(cache, compressed):
    cache.mkdir()
    content = b"First Citizen:\n"
    name = "tinyshakespeare.txt.gz" if compressed else "tinyshakespeare.txt"
    (cache / name).write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(ValueError, match=rf"{name} .* must hold the 1,115,394 characters .* the text's SHA-256 is "):
        read_text(TEXTS["tinyshakespeare"], download=False)
