"""Data sets by name: those that scikit-learn brings along, and published ones from a folder or a download."""

from collections.abc import Callable
from typing import Any

import numpy as np

from matrinox.contract import contract
from matrinox.contract.nearest import nearest
from matrinox.data.examples import DataSet, PublishedSet
from matrinox.data.published import LABELLED, TEXTS, Part, read_labelled, read_text
from matrinox.data.split import Splits, rows_of_shares, split, split_random

_TEST = 0.2


def list_builtin() -> tuple[str, ...]:
    """The names that `load_builtin` and `load_splits` take."""
    return (*_OFFLINE, *LABELLED)


def list_texts() -> tuple[str, ...]:
    """The names that `load_text` takes."""
    return tuple(TEXTS)


@contract
def load_builtin(name: str, *, download: bool = True) -> DataSet:
    """One of the data sets known by name, whole.

    Offline, with scikit-learn; inputs float32 as measured, unless said otherwise:

    - `"iris"`: 150 flowers, inputs `(150, 4)`, targets `(150,)` in 0 … 2;
    - `"wine"`: 178 wines, inputs `(178, 13)`, targets `(178,)` in 0 … 2;
    - `"breast-cancer"`: 569 tumours, inputs `(569, 30)`, targets `(569,)`, 0 malignant and 1 benign;
    - `"diabetes"`: 442 patients, inputs `(442, 10)`, targets `(442, 1)` float32, the disease a year later (regression);
    - `"digits"`: 1,797 handwritten digits, inputs `(1797, 8, 8, 1)` in 0 … 1, targets `(1797,)` in 0 … 9;
    - `"digits-features"`: the same digits as rows of features, inputs `(1797, 64)`.

    Published with a test part, which comes last here; `load_splits` keeps it apart, and `split` and `folds` refuse it:

    - `"mnist"`, `"fashion-mnist"`: 60,000 + 10,000 images, inputs `(70000, 28, 28, 1)` in 0 … 1, targets in 0 … 9;
    - `"mnist1d"`: 4,000 + 1,000 signals, inputs `(5000, 40)`, targets in 0 … 9.

    These are looked up in the folder that the environment variable `MATRINOX_DATA` names (`mnist.npz`, `mnist1d.npz`,
    and `fashion-mnist.npz` or `fashion-mnist/` with the four files that are published; arrays `x_train`, `y_train`,
    `x_test`, `y_test`), then in the cache (`MATRINOX_CACHE`, or the platform's), and then downloaded into the cache,
    from the mirror whose address is in `MATRINOX_MIRROR` if it is set, with a checked SHA-256; `mnist1d` is never
    downloaded, as it is published as a pickle alone.

    **Arguments:** `name`: one of `list_builtin()`; `download`: whether it may be downloaded.
    **Returns:** the whole data set, in its own order.
    **Raises:** `ValueError` for another name, naming the nearest, and for a file that holds something else;
    `FileNotFoundError`, with every way to get the files, if there are none; `NotADirectoryError` if `MATRINOX_DATA`
    names no folder; `ContractError` for a name that is no text; `ImportError`, naming the extra to install, without
    scikit-learn.
    **Source:** Fisher 1936; Aeberhard and Forina (UCI); Street, Wolberg and Mangasarian 1993; Efron et al. 2004;
    Alpaydin and Kaynak 1998 (UCI), its test part; LeCun et al. 1998; Xiao, Rasul and Vollgraf 2017; Greydanus and
    Kobak 2020.
    """
    _check_name(name, list_builtin())
    if name in _OFFLINE:
        return _OFFLINE[name](name)
    train, test = read_labelled(LABELLED[name], download=download)
    inputs, targets = (np.concatenate(pair) for pair in zip(train, test, strict=True))
    return PublishedSet(*_prepared((inputs, targets)), name=name)


@contract
def load_splits(
    name: str, *, validation: float = 0.1, test: float | None = None, seed: int = 0, download: bool = True
) -> Splits:
    """One of the data sets known by name, in three parts: the published test part, if there is one, is the test part.

    Validation, and the test part where none is published, are drawn by class as `split` draws them (without classes, as
    `split_random`). Of a published data set validation is a share of its train part: nothing chooses by its test part.

    **Arguments:** `name`, `download`: as for `load_builtin`; `validation`, `test`: shares, between 0 and 1, of which
    `test` (0.2 where `None`) is for data without a published test part; `seed`: the same seed gives the same parts
    on every machine.
    **Returns:** the three parts, each in its own order.
    **Raises:** as `load_builtin` and `split`; `ValueError` for `test` where a test part is published.
    """
    _check_name(name, list_builtin())
    if name in _OFFLINE:
        whole = load_builtin(name)
        by_class = whole.targets is not None and np.issubdtype(whole.targets.dtype, np.integer)
        how = split if by_class else split_random
        return how(whole, validation=validation, test=_TEST if test is None else test, seed=seed)
    if test is not None:
        raise ValueError(
            f"`test` (={test}) must be None for {name!r}, which is published with a test part: leave it out."
        )
    (inputs, targets), published = read_labelled(LABELLED[name], download=download)
    in_validation, in_train = (
        DataSet(*_prepared((inputs[rows], targets[rows])), name=name)
        for rows in rows_of_shares(targets, {"validation": validation}, seed)
    )
    return Splits(train=in_train, validation=in_validation, test=DataSet(*_prepared(published), name=name))


@contract
def load_text(name: str, *, download: bool = True) -> str:
    """One of the texts known by name, whole.

    - `"tinyshakespeare"`: 1,115,394 characters of 65 kinds; nanoGPT trains on the first nine tenths,
      `text[: int(0.9 * len(text))]`, and validates on the rest.

    It is looked up as the data sets of `load_builtin` are, as `tinyshakespeare.txt` or `tinyshakespeare.txt.gz`.

    **Arguments:** `name`: one of `list_texts()`; `download`: whether it may be downloaded.
    **Returns:** the text.
    **Raises:** as `load_builtin`.
    **Source:** Karpathy 2015, char-rnn.
    """
    _check_name(name, list_texts())
    return read_text(TEXTS[name], download=download)


def _check_name(name: str, known: tuple[str, ...]) -> None:
    if name in known:
        return
    others = {"`load_text`": list_texts(), "`load_builtin` or `load_splits`": list_builtin()}
    for loader, names in others.items():
        if name in names:
            raise ValueError(f"`name` (={name!r}) must be one of {', '.join(known)}: {name} is loaded by {loader}.")
    raise ValueError(f"`name` (={name!r}) must be one of {', '.join(known)}: did you mean {nearest(name, known)!r}?")


def _prepared(part: Part) -> Part:
    inputs, targets = part
    if inputs.dtype == np.uint8:
        inputs = np.divide(inputs, np.float32(255), dtype=np.float32)[..., None]
    return inputs.astype(np.float32, copy=False), targets


def _from_sklearn(loader: str, name: str, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            f'the data set {name!r} comes with scikit-learn, which is not installed: pip install "matrinox[data]"'
        ) from error
    return getattr(datasets, loader)(return_X_y=True, **options)


def _table(loader: str) -> Callable[[str], DataSet]:
    def load(name: str) -> DataSet:
        features, targets = _from_sklearn(loader, name)
        return DataSet(features.astype(np.float32), targets.astype(np.int32), name=name)

    return load


def _diabetes(name: str) -> DataSet:
    # scikit-learn's default is scaled by the mean and spread of all rows, those that are later tested on among them.
    features, targets = _from_sklearn("load_diabetes", name, scaled=False)
    return DataSet(features.astype(np.float32), targets.astype(np.float32)[:, None], name=name)


def _digits(name: str) -> DataSet:
    features, targets = _from_sklearn("load_digits", name)
    return DataSet((features / 16).astype(np.float32), targets.astype(np.int32), name=name)


def _digits_as_images(name: str) -> DataSet:
    rows = _digits(name)
    return DataSet(rows.inputs.reshape(-1, 8, 8, 1), rows.targets, name=name)


_OFFLINE: dict[str, Callable[[str], DataSet]] = {
    "iris": _table("load_iris"),
    "wine": _table("load_wine"),
    "breast-cancer": _table("load_breast_cancer"),
    "diabetes": _diabetes,
    "digits": _digits_as_images,
    "digits-features": _digits,
}
