"""Cards: what is known of an entry of the zoo, as TOML that people and programs read."""

import dataclasses
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from matrinox.io.atomic import write_atomically
from matrinox.train.log import RunLog

LICENCE = "MIT"


@dataclasses.dataclass(frozen=True)
class Figures:
    """What was measured: for each seed, in the order of `seeds`, and over all of them.

    Accuracies are shares from 0 to 1, `test_accuracy_spread` is the standard deviation over seeds (of the sample).
    """

    seeds: tuple[int, ...]
    test_accuracy_mean: float
    test_accuracy_spread: float
    test_accuracy: tuple[float, ...]
    validation_accuracy: tuple[float, ...]
    seconds: tuple[float, ...]

    @staticmethod
    def of(log: RunLog) -> "Figures":
        """The figures of a log.

        **Raises:** `ValueError` for a log of fewer than two runs, of which no spread can be given, or of none that has
        an accuracy.
        """
        runs = log.runs
        if any("accuracy" not in score.figures for run in runs for score in (run.validation, run.test)):
            raise ValueError(f"the log of {log.name!r} has no accuracy, which a card tells: publish a classification.")
        if len(runs) < 2:
            raise ValueError(f"the log holds {len(runs)} runs, and a spread takes 2 at least: train with more seeds.")
        test = tuple(run.test.figures["accuracy"] for run in runs)
        return Figures(
            seeds=tuple(run.seed for run in runs),
            test_accuracy_mean=round(fmean(test), 6),
            test_accuracy_spread=round(stdev(test), 6),
            test_accuracy=tuple(round(accuracy, 6) for accuracy in test),
            validation_accuracy=tuple(round(run.validation.figures["accuracy"], 6) for run in runs),
            seconds=tuple(round(run.seconds, 1) for run in runs),
        )


@dataclasses.dataclass(frozen=True)
class Weights:
    """The weights that are shipped: of the seed of the best validation loss, the hash of their arrays, their scores."""

    seed: int
    sha256: str
    validation_accuracy: float
    test_accuracy: float

    @staticmethod
    def of(log: RunLog) -> "Weights":
        """The best run of a log by validation loss."""
        best = min(log.runs, key=lambda run: run.validation.figures["loss"])
        return Weights(
            best.seed,
            best.weights_sha256,
            round(best.validation.figures["accuracy"], 6),
            round(best.test.figures["accuracy"], 6),
        )


@dataclasses.dataclass(frozen=True)
class Card:
    """What is known of an entry: words, data, config, recipe, figures over its seeds, the weights, the software."""

    name: str
    summary: str
    limits: str
    licence: str
    architecture: str
    parameters: int
    data: Mapping[str, Any]
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    figures: Figures
    weights: Weights
    versions: Mapping[str, str]


def make_card(log: RunLog, *, summary: str, limits: str) -> Card:
    """The card of a log: every figure is computed from it.

    **Raises:** `ValueError` for a log of fewer than two runs.
    """
    return Card(
        name=log.name,
        summary=summary,
        limits=limits,
        licence=LICENCE,
        architecture=log.architecture,
        parameters=log.parameters,
        data=log.data,
        config=log.config,
        recipe=_given(log.recipe),
        figures=Figures.of(log),
        weights=Weights.of(log),
        versions=log.versions,
    )


def _given(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table without its entries that are `None`, for which TOML has no form, and neither have tables within it."""
    given = {name: value for name, value in table.items() if value is not None}
    return {name: _given(value) if isinstance(value, Mapping) else value for name, value in given.items()}


def write_card(path: str | os.PathLike[str], card: Card) -> None:
    """Writes a card as TOML, atomically.

    **Raises:** `OSError` if it cannot be written; `TypeError` for a value that TOML has no form for.
    """
    write_atomically(path, [to_toml(dataclasses.asdict(card)).encode()])


def read_card(path: str | os.PathLike[str]) -> Card:
    """The card that `write_card` wrote.

    **Raises:** `OSError` if it cannot be read; `ValueError` if it is not such a card.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        table = tomllib.loads(data.decode())
        measured: dict[str, Any] = table["figures"]
        figures: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in measured.items()
        }
        return Card(**{**table, "figures": Figures(**figures), "weights": Weights(**table["weights"])})
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not the card of a model: {error}") from error


def to_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """A table as TOML: strings, numbers, booleans, lists and tables.

    **Raises:** `TypeError` for any other value.
    """
    plain = {name: value for name, value in table.items() if not isinstance(value, Mapping)}
    text = "".join(f"{_key(name)} = {_value(value)}\n" for name, value in plain.items())
    for name, value in table.items():
        if isinstance(value, Mapping):
            path = f"{prefix}{_key(name)}"
            text += f"\n[{path}]\n{to_toml(value, f'{path}.')}"
    return text


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        # Python and TOML spell numbers alike, nan and inf too.
        return repr(value)
    if isinstance(value, str):
        # A JSON string is a TOML string, except that TOML also escapes DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(name)} = {_value(entry)}' for name, entry in value.items())}}}"
    raise TypeError(f"{value!r} is a {type(value).__name__}, which TOML has no form for: give text, numbers or lists.")
