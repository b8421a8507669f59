"""The zoo by name: which models there are, an untrained one, a trained one, its file and its card."""

import dataclasses
import fnmatch
import os
from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from matrinox import io
from matrinox.contract import contract
from matrinox.contract.nearest import nearest
from matrinox.data.download import Holding, files_of
from matrinox.io.errors import show
from matrinox.zoo.architecture import Architecture
from matrinox.zoo.card import Card, read_card
from matrinox.zoo.catalogue import CATALOGUE, FAMILIES, entry
from matrinox.zoo.row import Entry


@contract
def list_models(
    pattern: str = "*",
    *,
    family: str | None = None,
    task: str | None = None,
    n: int | None = None,
    max_params: int | None = None,
    pretrained: bool | None = None,
) -> tuple[str, ...]:
    """The names that `create`, `load` and `card` take, of those models that are as asked.

    **Arguments:** `pattern`: of the name, as a shell has it, such as `"*mnist*"`; `family`: such as `"cnn"`; `task`:
    such as `"classification"`; `n`: side of its neurons; `max_params`: at most so many parameters; `pretrained`:
    whether there are trained weights.
    **Returns:** names, in the order of the catalogue; none if no model is so.
    **Raises:** `ValueError` for a family or a task that no model is of, naming the nearest.

    >>> list_models("*digits", family="mlp")
    ('mlp-7-digits', 'mlp-digits')
    """
    rows = CATALOGUE.values()
    family = _one_of("family", family, (row.family for row in rows))
    task = _one_of("task", task, (row.task for row in rows))
    return tuple(
        row.name
        for row in rows
        if fnmatch.fnmatchcase(row.name, pattern)
        and family in (None, row.family)
        and task in (None, row.task)
        and n in (None, row.config.n)
        and pretrained in (None, _has_weights(row))
        and (max_params is None or row.parameters <= max_params)
    )


@contract
def create(name: str, *, key: PRNGKeyArray, **overrides: Any) -> Any:
    """An untrained model of the zoo, its config changed as asked: `create("cnn-digits", key=key, n=3)`.

    **Arguments:** `name`: one of `list_models()`; `key`: for the initial weights; `overrides`: fields of its config.
    **Returns:** the model.
    **Raises:** `ValueError` for an unknown name, field or choice, naming the nearest, for a value of another type or
    out of range, and for sizes that do not fit together; `ContractError` if `name` is no text.
    """
    row = entry(name)
    known = [field.name for field in dataclasses.fields(row.config)]
    for override in overrides:
        if override not in known:
            raise ValueError(
                f"`{override}` (={overrides[override]!r}) must be a field of {type(row.config).__name__} "
                f"({', '.join(known)}): did you mean `{nearest(override, known)}`?"
            )
    return row.architecture(dataclasses.replace(row.config, **overrides), key=key)


@contract
def load(
    name: str | os.PathLike[str],
    *,
    classes: int | None = None,
    key: PRNGKeyArray | None = None,
    download: bool = False,
) -> Any:
    """A trained model, in inference mode: an entry of the zoo by its name, or a model file by its path.

    With `classes` its head is a new one, to be trained, on the trained body. To train, switch it back with
    `eqx.nn.inference_mode(model, False)`.

    **Arguments:** `name`: one of `list_models()`, or a path; a file named like an entry is `"./cnn-digits"`; `classes`:
    of a new task; `key`: for its head's initial weights, the same ones each time where `None`; `download`: whether
    weights that are not installed with the package may be downloaded, with a checked hash.
    **Returns:** the model.
    **Raises:** `ValueError`, naming the nearest entry, for what is neither; `FileNotFoundError`, with every way to get
    them, for weights that are not here; `ModelFileError` if the file is damaged, holds no architecture of the zoo, or
    lies where an entry's weights should and is not what its card says.
    """
    path = model_file(name, download=download)
    header = io.read_header(path)
    if header.architecture not in FAMILIES:
        holds = "a plain tree" if header.architecture is None else f"the architecture {show(header.architecture)}"
        raise io.ModelFileError(
            f"cannot load {path!r}: it holds {holds}, and the zoo takes its own architectures, {', '.join(FAMILIES)}: "
            "read it with `matrinox.load(path, like=model)`, a model of the same shape"
        )
    if (text := os.fspath(name)) in CATALOGUE and (due := card(text).weights.sha256) != header.data_sha256:
        raise io.ModelFileError(
            f"cannot load {path!r}: the SHA-256 of its arrays is {header.data_sha256}, and that of the trained weights "
            f"is {due}: install matrinox anew, or name the file by its path"
        )
    model = io.load(path, FAMILIES)
    if classes is not None:
        model = model.reset_head(classes, key=jax.random.key(0) if key is None else key)
    return eqx.nn.inference_mode(model)


@contract
def save(path: str | os.PathLike[str], model: Architecture) -> None:
    """Writes a model of the zoo as one file, which `load` takes by its path; atomically.

    **Arguments:** `path`: where to; `model`: of one of the zoo's architectures, changed in its weights alone.
    **Raises:** `TypeError`, saying how to save it, for a model that its config does not rebuild; `OSError` if the file
    cannot be written; `ContractError` for another model, which `matrinox.save` takes.
    """
    io.save(path, model)


@contract
def model_file(name: str | os.PathLike[str], *, download: bool = False) -> str:
    """The path of a model's file: that of an entry's weights, or the path itself.

    **Arguments:** as for `load`.
    **Raises:** `ValueError`, naming the nearest entry, for what is neither; `FileNotFoundError` as for `load`.
    """
    text = os.fspath(name)
    if text in CATALOGUE:
        return _weights_of(CATALOGUE[text], download=download)
    if os.path.exists(text) or os.path.dirname(text) or os.path.splitext(text)[1]:
        return text
    known, close = ", ".join(CATALOGUE), nearest(text, CATALOGUE)
    raise ValueError(f"{text!r} must be an entry of the zoo ({known}) or a file's path: did you mean {close!r}?")


@contract
def card(name: str) -> Card:
    """What is known of an entry: data, config, recipe, figures over its seeds, limits.

    **Arguments:** `name`: one of `list_models()`.
    **Raises:** `ValueError` for an unknown name, naming the nearest; `FileNotFoundError` for an entry that has not been
    trained.
    """
    path = entry(name).folder / "card.toml"
    if not path.exists():
        raise FileNotFoundError(
            f"{name!r} has not been trained, so that there is no card: `matrinox train {name}` trains it"
        )
    return read_card(path)


def _weights_of(row: Entry, *, download: bool) -> str:
    path = row.folder / "weights.safetensors"
    if path.exists() or row.remote is None:
        if not path.exists():
            raise FileNotFoundError(f"{row.name!r} has not been trained: there are no weights: `create` gives a model")
        return os.fspath(path)
    contents = "the trained weights, as they were published"
    holding = Holding(row.name, ((row.remote.file,),), contents, (row.remote,), what="model")
    return os.fspath(files_of(holding, download=download)[0])


def _has_weights(row: Entry) -> bool:
    return row.remote is not None or (row.folder / "weights.safetensors").exists()


def _one_of(what: str, given: str | None, known: Iterable[str]) -> str | None:
    by_name = {name.lower(): name for name in known}
    if given is None or given.lower() in by_name:
        return given and by_name[given.lower()]
    raise ValueError(
        f"`{what}` (={given!r}) must be one of {', '.join(by_name)}: did you mean {nearest(given, by_name)!r}?"
    )
