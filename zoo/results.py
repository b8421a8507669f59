"""What was measured, as tables and cards: `results.csv`, `README.md`, each `card.toml`, of the committed logs alone."""

import csv
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from matrinox.io.atomic import write_atomically
from matrinox.train.log import Run, RunLog, read_log
from matrinox.zoo import pictures
from matrinox.zoo.card import Metric, best_run, card_text, make_card
from matrinox.zoo.catalogue import CATALOGUE
from matrinox.zoo.row import Entry

NOT_RUN = "not run"
TWINS: Mapping[str, str] = {"parameters": "same parameters", "flops": "same FLOPs", "state": "same state"}
"""The kinds of scalar networks that a matrix network is compared with, and what they have in common with it."""

_COLUMNS = (
    *("entry", "kind", "architecture", "data", "seed", "metric", "validation", "test", "parameters", "flops", "steps"),
    *("best_step", "seconds", "shipped", "recipe_sha256", "train_sha256", "validation_sha256", "test_sha256"),
    "weights_sha256",
)


_ABOUT_ENTRIES = """\
# What the models of the zoo reach

Every figure here is computed by `matrinox results` from the logs in `entries/`; none is written by hand. A figure is
that of the test part: the mean over seeds ± the standard deviation over them; `results.csv` has every seed. `shipped`
is the figure of the weights that come with the package, those of the seed with the lowest loss on the validation part.
FLOPs are those of one example, forward; seconds are those of training one seed.
"""
_ABOUT_TWINS = """
## Beside scalar networks

A scalar twin is the same network with numbers in place of matrices, trained by the same recipe on the same data, and
as wide as gives it as many parameters, as many FLOPs, or as many numbers between its layers; its parameters are in
brackets. The better mean wins, by so many times the larger of the two spreads.
"""
_AGAIN = """
## To do it again

```
matrinox train NAME --seed S --out runs/NAME/S  # for each seed that `matrinox show NAME` tells
python -c "from matrinox import zoo; zoo.publish('NAME', ['runs/NAME/0', 'runs/NAME/1', 'runs/NAME/2'])"
matrinox results                                # writes this file, results.csv and the pictures
matrinox results --check                        # fails where they are not what the logs give
matrinox eval NAME                              # the shipped weights on their data
```
"""


@dataclass(frozen=True)
class Measured:
    """An entry and what was run of it: its log, if there is one, and those of its scalar twins by their kind; the files
    of all these logs, and that of the shipped weights.
    """

    row: Entry
    log: RunLog | None
    twins: Mapping[str, RunLog]
    files: Sequence[Path]
    weights: Path

    @property
    def logs(self) -> list[RunLog]:
        """All logs, the entry's own first."""
        return [log for log in (self.log, *self.twins.values()) if log is not None]

    @property
    def sha256(self) -> str:
        """SHA-256 of the files of all logs."""
        digests = (hashlib.sha256(file.read_bytes()).digest() for file in self.files)
        return hashlib.sha256(b"".join(digests)).hexdigest()


def read_results(folder: Path, rows: Iterable[Entry] = CATALOGUE.values()) -> list[Measured]:
    """What was run of each row, as the logs in `folder/entries/NAME` tell: `log.json`, `twin-KIND.json`.

    **Raises:** `ValueError` for a damaged log, and for one of another entry or kind than its file's.
    """
    return [_measured(row, folder / "entries" / row.name) for row in rows]


def _measured(row: Entry, folder: Path) -> Measured:
    due = {"matrix": folder / "log.json"} | {kind: folder / f"twin-{kind}.json" for kind in TWINS}
    found = {kind: path for kind, path in due.items() if path.exists()}
    logs = {kind: read_log(path) for kind, path in found.items()}
    for kind, log in logs.items():
        if (log.name, log.kind) != (row.name, kind):
            raise ValueError(
                f"{str(found[kind])!r} is the log of {log.name!r}, {log.kind}, and must be of {row.name!r}, {kind}."
            )
    return Measured(row, logs.pop("matrix", None), logs, tuple(found.values()), folder / "weights.safetensors")


def stale(folder: Path, measured: Sequence[Measured]) -> list[str]:
    """The files that are not what the logs give, by their path in the folder; pictures by the logs they are drawn of.

    **Raises:** `ImportError`, naming the extra, without what reads pictures.
    """
    return _stale(folder, tables(measured), _pictures(measured))


def _stale(folder: Path, texts: Mapping[str, str], drawn: Mapping[str, tuple[str, Any]]) -> list[str]:
    names = [name for name, text in texts.items() if _bytes_of(folder / name) != text.encode()]
    return names + [name for name, (sha256, _) in drawn.items() if not _is_of(folder / name, sha256)]


def write_results(folder: Path, measured: Sequence[Measured]) -> list[str]:
    """Writes the files that are not what the logs give, atomically each.

    **Returns:** which, by their path in the folder.
    **Raises:** `OSError` if one cannot be written; `ImportError`, naming the extra, without what draws.
    """
    texts, drawn = tables(measured), _pictures(measured)
    names = _stale(folder, texts, drawn)
    for name in names:
        write_atomically(folder / name, [texts[name].encode() if name in texts else drawn[name][1]()])
    return names


def tables(measured: Sequence[Measured]) -> dict[str, str]:
    """The text of each table's file, and of the card of each entry with weights."""
    cards = {
        f"entries/{each.row.name}/card.toml": card_text(make_card(each.row, each.log, each.weights))
        for each in measured
        if each.log is not None and each.weights.exists()
    }
    return {"results.csv": _csv(measured), "README.md": _readme(measured), **cards}


def _pictures(measured: Sequence[Measured]) -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Of each picture the hash of the logs that it is drawn of, and what draws it."""
    drawn: dict[str, tuple[str, Callable[[], bytes]]] = {}
    for each in measured:
        if (log := each.log) is not None:
            sha256 = hashlib.sha256(each.files[0].read_bytes()).hexdigest()
            headline = each.row.recipe.task.headline
            drawn[f"entries/{each.row.name}/curve.png"] = (
                sha256,
                lambda log=log, headline=headline, sha256=sha256: pictures.curve(log, headline, sha256),
            )
    if mnist := [each for each in measured if each.row.data.name == "mnist" and each.logs]:
        sha256 = hashlib.sha256("".join(each.sha256 for each in mnist).encode()).hexdigest()
        points = [
            pictures.Point(log.name, log.kind, log.parameters, _tests(log, each.row))
            for each in mnist
            for log in each.logs
        ]
        drawn["mnist-parameters.png"] = (sha256, lambda: pictures.against_parameters(points, sha256))
    return drawn


def _csv(measured: Sequence[Measured]) -> str:
    text = StringIO()
    rows = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
    rows.writeheader()
    for each in measured:
        row = each.row
        if each.log is None:
            rows.writerow({"entry": row.name, "kind": "matrix", "data": row.data.name, "test": NOT_RUN})
        for log in each.logs:
            shipped = best_run(log).seed if log is each.log else None
            rows.writerows(_fields(row, log, run, run.seed == shipped) for run in log.runs)
    return text.getvalue()


def _fields(row: Entry, log: RunLog, run: Run, shipped: bool) -> dict[str, str | int]:
    metric = row.recipe.task.headline
    return {
        **{"entry": log.name, "kind": log.kind, "architecture": log.architecture, "data": log.data["name"]},
        **{"seed": run.seed, "metric": metric, "parameters": log.parameters, "flops": log.flops},
        "validation": f"{run.validation.figures[metric]:.6f}",
        "test": f"{run.test.figures[metric]:.6f}",
        **{"steps": run.steps, "best_step": run.best_step, "seconds": f"{run.seconds:.1f}"},
        **{"shipped": "yes" if shipped else "no", "recipe_sha256": log.recipe_sha256},
        **{f"{part}_sha256": digest for part, digest in run.data["sha256"].items()},
        "weights_sha256": run.weights_sha256,
    }


def _readme(measured: Sequence[Measured]) -> str:
    head = ("entry", "what it is", "data", "parameters", "FLOPs", "on test", "goal", "shipped", "seconds")
    entries = _table(head, map(_line, measured))
    twins = _table(("entry", "matrix", *TWINS.values(), "who wins at the same parameters"), map(_twin_line, measured))
    return "\n".join([_ABOUT_ENTRIES, *entries, _ABOUT_TWINS, *twins, _AGAIN])


def _line(each: Measured) -> tuple[str, ...]:
    row, log = each.row, each.log
    goal = _goal(row)
    if log is None:
        return (f"`{row.name}`", row.summary, row.data.name, f"{row.parameters:,}", "", NOT_RUN, goal, "", "")
    metric = Metric.of(row, fmean(_tests(log, row)))
    seconds = f"{fmean(run.seconds for run in log.runs):.0f}"
    figure = f"{_figure(log, row)}, {len(log.runs)} seeds"
    goal += ": reached" if metric.reached else ": not reached"
    shipped = metric.spelt(best_run(log).test.figures[metric.name])
    sizes = (f"{log.parameters:,}", f"{log.flops:,}")
    return (f"`{row.name}`", row.summary, row.data.name, *sizes, figure, goal, shipped, seconds)


def _twin_line(each: Measured) -> tuple[str, ...]:
    row, log = each.row, each.log
    twins = (each.twins.get(kind) for kind in TWINS)
    cells = [NOT_RUN if twin is None else f"{_figure(twin, row)} ({twin.parameters:,})" for twin in twins]
    own = NOT_RUN if log is None else f"{_figure(log, row)} ({log.parameters:,})"
    same = each.twins.get("parameters")
    return (f"`{row.name}`", own, *cells, NOT_RUN if log is None or same is None else _winner(row, log, same))


def _winner(row: Entry, matrix: RunLog, scalar: RunLog) -> str:
    ours, theirs = (_tests(log, row) for log in (matrix, scalar))
    ahead = (fmean(ours) - fmean(theirs)) * (1 if row.recipe.task.ascending else -1)
    if ahead == 0:
        return "neither"
    spread = max(stdev(ours), stdev(theirs))
    by = f"{abs(ahead) / spread:.1f} spreads" if spread else "more than any spread"
    return f"{'matrix' if ahead > 0 else 'scalar'}, by {by}"


def _goal(row: Entry) -> str:
    metric = Metric.of(row, row.goal)
    return f"{metric.name.replace('_', ' ')} {'≥' if metric.ascending else '≤'} {metric.spelt(metric.goal)}"


def _figure(log: RunLog, row: Entry) -> str:
    tests = _tests(log, row)
    metric = Metric.of(row, fmean(tests))
    return f"{metric.spelt(fmean(tests))} ± {metric.spelt(stdev(tests))}"


def _tests(log: RunLog, row: Entry) -> list[float]:
    return [run.test.figures[row.recipe.task.headline] for run in log.runs]


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *lines)]


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _is_of(path: Path, sha256: str) -> bool:
    return path.exists() and pictures.drawn_of(path) == sha256
