"""Data sets that come with a library: nothing is fetched over a network."""

from collections.abc import Callable

import numpy as np

from matrinox.contract import contract
from matrinox.contract.nearest import nearest
from matrinox.data.examples import DataSet


def list_builtin() -> tuple[str, ...]:
    """The names that `load_builtin` takes."""
    return tuple(_BUILTIN)


@contract
def load_builtin(name: str) -> DataSet:
    """One of the data sets that need no network.

    - `"digits"`: 1,797 handwritten digits, inputs `(1797, 8, 8, 1)` float32 in 0 … 1, targets `(1797,)` in 0 … 9;
    - `"digits-features"`: the same digits as rows of features, inputs `(1797, 64)`.

    **Arguments:** `name`: one of `list_builtin()`.
    **Returns:** the whole data set, in its own order.
    **Raises:** `ValueError` for another name, naming the nearest; `ContractError` if it is no text; `ImportError`,
    naming the extra to install, without scikit-learn.
    **Source:** Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits" (UCI), its test part.
    """
    if name not in _BUILTIN:
        known, close = ", ".join(_BUILTIN), nearest(name, _BUILTIN)
        raise ValueError(f"`name` (={name!r}) must be one of {known}: did you mean {close!r}?")
    return _BUILTIN[name](name)


def _digits(name: str) -> DataSet:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            f'the data set {name!r} comes with scikit-learn, which is not installed: pip install "matrinox[data]"'
        ) from error
    features, targets = load_digits(return_X_y=True)
    return DataSet((features / 16).astype(np.float32), targets.astype(np.int32), name=name)


def _digits_as_images(name: str) -> DataSet:
    rows = _digits(name)
    return DataSet(rows.inputs.reshape(-1, 8, 8, 1), rows.targets, name=name)


_BUILTIN: dict[str, Callable[[str], DataSet]] = {"digits": _digits_as_images, "digits-features": _digits}
