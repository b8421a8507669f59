"""The zoo: models that are built, loaded with their trained weights, and described by name."""

import dataclasses
import os
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray

from matrinox import io
from matrinox.contract import contract
from matrinox.contract.nearest import nearest
from matrinox.io.errors import show
from matrinox.zoo.architecture import Architecture as Architecture
from matrinox.zoo.card import Card as Card
from matrinox.zoo.card import read_card as read_card
from matrinox.zoo.catalogue import CATALOGUE as CATALOGUE
from matrinox.zoo.catalogue import FAMILIES as FAMILIES
from matrinox.zoo.catalogue import entry as entry
from matrinox.zoo.cnn import CNN as CNN
from matrinox.zoo.cnn import CNNConfig as CNNConfig
from matrinox.zoo.data import BuiltIn as BuiltIn
from matrinox.zoo.data import Characters as Characters
from matrinox.zoo.data import EntryData as EntryData
from matrinox.zoo.data import Parts as Parts
from matrinox.zoo.mlp import MLP as MLP
from matrinox.zoo.mlp import MLPConfig as MLPConfig
from matrinox.zoo.row import Entry as Entry
from matrinox.zoo.runs import Reproduced as Reproduced
from matrinox.zoo.runs import publish as publish
from matrinox.zoo.runs import reproduce as reproduce


def list_models() -> tuple[str, ...]:
    """The names that `create`, `load` and `card` take."""
    return tuple(CATALOGUE)


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
def load(name: str | os.PathLike[str]) -> Any:
    """A trained model, in inference mode: an entry of the zoo by its name, or a model file by its path.

    Nothing is fetched. To train on, switch it back with `eqx.nn.inference_mode(model, False)`.

    **Arguments:** `name`: one of `list_models()`, or a path; a file named like an entry is `"./cnn-digits"`.
    **Returns:** the model.
    **Raises:** `ValueError`, naming the nearest entry, for what is neither; `ModelFileError` if the file is damaged or
    holds no architecture of the zoo.
    """
    path = model_file(name)
    architecture = io.read_header(path).architecture
    if architecture not in FAMILIES:
        holds = "a plain tree" if architecture is None else f"the architecture {show(architecture)}"
        raise io.ModelFileError(
            f"cannot load {path!r}: it holds {holds}, and the zoo takes its own architectures, {', '.join(FAMILIES)}: "
            "read it with `matrinox.load(path, like=model)`, a model of the same shape"
        )
    return eqx.nn.inference_mode(io.load(path, FAMILIES))


@contract
def model_file(name: str | os.PathLike[str]) -> str:
    """The path of a model's file: that of an entry's weights, or the path itself.

    **Raises:** `ValueError`, naming the nearest entry, for what is neither.
    """
    text = os.fspath(name)
    if text in CATALOGUE:
        return os.fspath(CATALOGUE[text].folder / "weights.safetensors")
    if os.path.exists(text) or os.path.dirname(text) or os.path.splitext(text)[1]:
        return text
    known, close = ", ".join(CATALOGUE), nearest(text, CATALOGUE)
    raise ValueError(f"{text!r} must be an entry of the zoo ({known}) or a file's path: did you mean {close!r}?")


@contract
def card(name: str) -> Card:
    """What is known of an entry: data, config, recipe, figures over its seeds, limits.

    **Arguments:** `name`: one of `list_models()`.
    **Raises:** `ValueError` for an unknown name, naming the nearest.
    """
    return read_card(entry(name).folder / "card.toml")
