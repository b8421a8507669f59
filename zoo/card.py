"""Cards: what is known of an entry of the zoo, as TOML that people and programs read."""

import dataclasses
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import equinox as eqx
import jax

from matrinox.io.atomic import write_atomically
from matrinox.train.log import Run, RunLog
from matrinox.train.log.plain import from_plain
from matrinox.zoo.row import Entry

LICENCE = "MIT"

_DIGITS = 6
# So many points tell how a run went; all of them are in its log.
_POINTS = 12


@dataclasses.dataclass(frozen=True)
class Takes:
    """What goes into the model: shape and dtype of one input, and from what to what it was in training."""

    shape: tuple[int, ...]
    dtype: str
    least: float
    most: float


@dataclasses.dataclass(frozen=True)
class Gives:
    """What comes out of the model for one input: shape and dtype, and what it is, such as `"logits"`."""

    shape: tuple[int, ...]
    dtype: str
    what: str


@dataclasses.dataclass(frozen=True)
class Metric:
    """The figure of the entry's task: its name, whether more is better, and what the mean over seeds was to reach."""

    name: str
    ascending: bool
    percent: bool
    goal: float
    reached: bool

    @staticmethod
    def of(row: Entry, mean: float) -> "Metric":
        """That of a row's task, of which the mean over seeds came out so."""
        task = row.recipe.task
        # As it is told: a sum of floats may be a last digit below its goal.
        told = round(mean, _DIGITS)
        reached = told >= row.goal if task.ascending else told <= row.goal
        return Metric(task.headline, task.ascending, task.percent, row.goal, reached)

    def spelt(self, value: float) -> str:
        """A figure as people read it."""
        return f"{value:.2%}" if self.percent else f"{value:.4f}"


@dataclasses.dataclass(frozen=True)
class Figures:
    """What was measured: for each seed, in the order of `seeds`, and over all of them.

    `test` and `validation` are of the card's metric, on these parts; `test_spread` is the standard deviation over seeds
    (of the sample); `seconds` are those of training, on the machine that `versions` names.
    """

    seeds: tuple[int, ...]
    test_mean: float
    test_spread: float
    test: tuple[float, ...]
    validation: tuple[float, ...]
    steps: tuple[int, ...]
    best_step: tuple[int, ...]
    seconds: tuple[float, ...]

    @staticmethod
    def of(log: RunLog, metric: str) -> "Figures":
        """The figures of a log.

        **Raises:** `ValueError` for a log of fewer than two runs, of which no spread can be given, or of one without
        that metric, or that keeps nothing of which it can be made anew.
        """
        runs = log.runs
        scores = [score for run in runs for score in (run.validation, run.test)]
        if any(metric not in score.figures for score in scores):
            raise ValueError(f"the log of {log.name!r} has no {metric}, which the card tells: train anew.")
        if not all(score.records for score in scores):
            raise ValueError(f"the log of {log.name!r} keeps no records, of which a card's figures can be made anew.")
        if len(runs) < 2:
            raise ValueError(f"the log holds {len(runs)} runs, and a spread takes 2 at least: train with more seeds.")
        test = tuple(run.test.figures[metric] for run in runs)
        return Figures(
            seeds=tuple(run.seed for run in runs),
            test_mean=round(fmean(test), _DIGITS),
            test_spread=round(stdev(test), _DIGITS),
            test=tuple(round(each, _DIGITS) for each in test),
            validation=tuple(round(run.validation.figures[metric], _DIGITS) for run in runs),
            steps=tuple(run.steps for run in runs),
            best_step=tuple(run.best_step for run in runs),
            seconds=tuple(round(run.seconds, 1) for run in runs),
        )


@dataclasses.dataclass(frozen=True)
class Weights:
    """The weights that are shipped: of the seed of the best validation loss, the size of their file, the hashes of
    their arrays and of the parts of that seed's data, their figures.
    """

    seed: int
    bytes: int
    sha256: str
    data_sha256: Mapping[str, str]
    validation: float
    test: float

    @staticmethod
    def of(log: RunLog, metric: str, size: int) -> "Weights":
        """Those of the best run of a log."""
        best = best_run(log)
        return Weights(
            seed=best.seed,
            bytes=size,
            sha256=best.weights_sha256,
            data_sha256=best.data["sha256"],
            validation=round(best.validation.figures[metric], _DIGITS),
            test=round(best.test.figures[metric], _DIGITS),
        )


def best_run(log: RunLog) -> Run:
    """The best run of a log by validation loss, never by test."""
    return min(log.runs, key=lambda run: run.validation.figures["loss"])


@dataclasses.dataclass(frozen=True)
class Card:
    """What is known of an entry: words, sizes, what it takes and gives, data, config, recipe, the metric and its
    figures over seeds, the weights and how their run went, the software.
    """

    name: str
    summary: str
    use: str
    limits: str
    source: str
    licence: str
    architecture: str
    task: str
    parameters: int
    flops: int
    takes: Takes
    gives: Gives
    data: Mapping[str, Any]
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    recipe_sha256: str
    metric: Metric
    figures: Figures
    weights: Weights
    curve: Mapping[str, Sequence[float]]
    versions: Mapping[str, str]


def make_card(row: Entry, log: RunLog, weights: str | os.PathLike[str]) -> Card:
    """The card of an entry: its words are the row's, its figures the log's, its sizes those of the file of the weights.

    **Arguments:** `row`; `log`: of all its seeds; `weights`: the model file that is shipped.
    **Raises:** `ValueError` for a log without the figures that a card tells: see `Figures.of`.
    """
    task = row.recipe.task
    figures = Figures.of(log, task.headline)
    given = log.data["input"]
    example = jax.ShapeDtypeStruct(given["shape"], given["dtype"])
    model = eqx.filter_eval_shape(row.architecture, row.config, key=jax.random.key(0))
    answer = eqx.filter_eval_shape(eqx.nn.inference_mode(model), example)
    least, most = (choose(run.data[which] for run in log.runs) for choose, which in ((min, "least"), (max, "most")))
    return Card(
        name=log.name,
        summary=row.summary,
        use=row.use,
        limits=row.limits,
        source=row.source,
        licence=LICENCE,
        architecture=log.architecture,
        task=row.task,
        parameters=log.parameters,
        flops=log.flops,
        takes=Takes(example.shape, given["dtype"], least, most),
        gives=Gives(answer.shape, answer.dtype.name, task.gives),
        data={name: value for name, value in log.data.items() if name != "input"},
        config=_given(log.config),
        recipe=_given(log.recipe),
        recipe_sha256=log.recipe_sha256,
        metric=Metric.of(row, figures.test_mean),
        figures=figures,
        weights=Weights.of(log, task.headline, os.path.getsize(weights)),
        curve=_thinned(best_run(log).rounds, task.headline),
        versions=log.versions,
    )


def _thinned(rounds: Mapping[str, Sequence[float]], metric: str) -> dict[str, list[float]]:
    """A run's losses and its metric at a few of its steps, the first and the last among them."""
    names = dict.fromkeys(("loss", "validation_loss", f"validation_{metric}"))
    count = len(rounds["step"])
    points = sorted({round(at * (count - 1) / max(1, _POINTS - 1)) for at in range(_POINTS)})
    return {"step": [rounds["step"][at] for at in points]} | {
        name: [float(f"{rounds[name][at]:.4g}") for at in points] for name in names
    }


def _given(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table without its entries that are `None`, for which TOML has no form, and so each table within it."""

    def within(value: Any) -> Any:
        if isinstance(value, Mapping):
            return _given(value)
        return list(map(within, value)) if isinstance(value, list | tuple) else value

    return {name: within(value) for name, value in table.items() if value is not None}


def card_text(card: Card) -> str:
    """A card as TOML.

    **Raises:** `TypeError` for a value that TOML has no form for.
    """
    return to_toml(dataclasses.asdict(card))


def write_card(path: str | os.PathLike[str], card: Card) -> None:
    """Writes a card as TOML, atomically.

    **Raises:** `OSError` if it cannot be written; `TypeError` for a value that TOML has no form for.
    """
    write_atomically(path, [card_text(card).encode()])


def read_card(path: str | os.PathLike[str]) -> Card:
    """The card that `write_card` wrote.

    **Raises:** `OSError` if it cannot be read; `ValueError` if it is not such a card.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return from_plain(Card, tomllib.loads(data.decode()), "card")
    except ValueError as error:
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
