"""Published data sets that no library brings along: which files hold them, and how these are read and checked."""

import gzip
import hashlib
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from matrinox.data.download import Holding, RemoteFile, files_of

Part = tuple[np.ndarray, np.ndarray]
"""Inputs and class numbers, in the order of publication."""

_NAMES = ("x_train", "y_train", "x_test", "y_test")
_CLASSES = 10
_DAMAGED = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Labelled:
    """A data set of ten classes with a test part of its own, as files hold it.

    **Arguments:** `holding`: its files; `shape`: of an input; `train`, `test`: how many examples; `kind`: of numbers.
    """

    holding: Holding
    shape: tuple[int, ...]
    train: int
    test: int
    kind: type[np.generic]


@dataclass(frozen=True)
class Text:
    """A text, as files hold it; `sha256` is that of its UTF-8 bytes."""

    holding: Holding
    sha256: str


def read_labelled(data: Labelled, *, download: bool) -> tuple[Part, Part]:
    """The train part and the test part, as they were published.

    **Returns:** inputs `(examples, *shape)` of their kind and class numbers `(examples,)` int32, of each part.
    **Raises:** `FileNotFoundError` and `NotADirectoryError` as `files_of`; `ValueError`, naming the file, if it is
    damaged or holds something else.
    """
    paths = files_of(data.holding, download=download)
    try:
        arrays = _from_npz(paths[0]) if len(paths) == 1 else dict(zip(_NAMES, map(_from_idx, paths), strict=True))
        for name in _NAMES:
            _check(data, name, arrays[name])
    except _DAMAGED as error:
        raise _refused(paths, data.holding, error) from error
    x_train, y_train, x_test, y_test = (arrays[name] for name in _NAMES)
    return (x_train, y_train.astype(np.int32)), (x_test, y_test.astype(np.int32))


def read_text(text: Text, *, download: bool) -> str:
    """The whole text.

    **Raises:** as `read_labelled`.
    """
    (path,) = files_of(text.holding, download=download)
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        found = hashlib.sha256(content).hexdigest()
        if found != text.sha256:
            raise ValueError(f"the text's SHA-256 is {found}")
    except _DAMAGED as error:
        raise _refused([path], text.holding, error) from error
    return content.decode()


def _from_npz(path: Path) -> dict[str, np.ndarray]:
    file = np.load(path, allow_pickle=False)
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError("it is one array, not an archive of arrays by name")
    with file:
        missing = [name for name in _NAMES if name not in file]
        if missing:
            raise ValueError(f"it holds {', '.join(file) or 'nothing'}, and no {', '.join(missing)}")
        return {name: np.asarray(file[name]) for name in _NAMES}


def _from_idx(path: Path) -> np.ndarray:
    """Bytes after a header: 0, 0, 8 (for uint8), the number of axes, and their lengths as big-endian 32 bits."""
    content = gzip.decompress(path.read_bytes())
    axes = content[3] if content[:3] == b"\0\0\x08" else 0
    start = 4 + 4 * axes
    shape = tuple(np.frombuffer(content, ">u4", axes, 4).tolist()) if len(content) >= start else ()
    if not axes or len(content) != start + math.prod(shape):
        raise ValueError(f"{path.name} is no IDX file of uint8")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _check(data: Labelled, name: str, array: np.ndarray) -> None:
    examples = data.train if name.endswith("train") else data.test
    shape, kind = ((examples, *data.shape), data.kind) if name.startswith("x") else ((examples,), np.integer)
    if array.shape != shape or not np.issubdtype(array.dtype, kind):
        raise ValueError(f"{name} is {array.dtype}{list(array.shape)}")
    if name.startswith("y") and not (array.min() >= 0 and array.max() < _CLASSES):
        raise ValueError(f"{name} goes from {array.min()} to {array.max()}")


def _refused(paths: Sequence[Path], holding: Holding, error: Exception) -> ValueError:
    files = ", ".join(map(str, paths))
    return ValueError(
        f"{files} (for the data set {holding.name!r}) must hold {holding.contents}, and does not: {error}. "
        "Replace or remove what is there."
    )


def _labelled(
    name: str,
    shape: tuple[int, ...],
    train: int,
    test: int,
    *,
    kind: type[np.generic] = np.uint8,
    others: tuple[tuple[str, ...], ...] = (),
    sources: tuple[RemoteFile, ...] = (),
    origin: str = "",
) -> Labelled:
    """A data set in an archive, or in other forms."""
    (x_train, y_train), (x_test, y_test) = (
        (f"{kind.__name__}{[count, *shape]}", f"integers[{count}] from 0 to {_CLASSES - 1}") for count in (train, test)
    )
    contents = f"x_train {x_train}, y_train {y_train}, x_test {x_test}, y_test {y_test}"
    holding = Holding(name, ((f"{name}.npz",), *others), contents, sources, origin)
    return Labelled(holding, shape, train, test, kind)


_FASHION = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
# In the order of _NAMES. MNIST's own files have the same names, so that these lie in a folder of their own.
_FASHION_FILES = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
_MNIST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_SHAKESPEARE = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"

LABELLED: dict[str, Labelled] = {
    data.holding.name: data
    for data in (
        _labelled("mnist", (28, 28), 60000, 10000, sources=(RemoteFile("mnist.npz", _MNIST, _MNIST_SHA256),)),
        _labelled(
            "fashion-mnist",
            (28, 28),
            60000,
            10000,
            others=(tuple(f"fashion-mnist/{file}" for file in _FASHION_FILES),),
            sources=tuple(
                RemoteFile(f"fashion-mnist/{file}", f"{_FASHION}/{file}", sha256)
                for file, sha256 in _FASHION_FILES.items()
            ),
        ),
        # It is published as a pickle, which can run any code when it is read, and so is not read here.
        _labelled(
            "mnist1d",
            (40,),
            4000,
            1000,
            kind=np.floating,
            origin="mnist1d_data.pkl (https://github.com/greydanus/mnist1d), whose x and y are x_train and y_train",
        ),
    )
}

TEXTS: dict[str, Text] = {
    "tinyshakespeare": Text(
        Holding(
            name="tinyshakespeare",
            forms=(("tinyshakespeare.txt",), ("tinyshakespeare.txt.gz",)),
            contents=f"the 1,115,394 characters of Karpathy's file, SHA-256 {_SHAKESPEARE_SHA256}",
            sources=(RemoteFile("tinyshakespeare.txt", _SHAKESPEARE, _SHAKESPEARE_SHA256),),
        ),
        sha256=_SHAKESPEARE_SHA256,
    ),
}
