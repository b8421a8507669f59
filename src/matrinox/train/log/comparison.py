"""Runs side by side: where their settings differ, and what they reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from matrinox.contract import contract
from matrinox.train.log.curves import plot_runs
from matrinox.train.log.recorded import Recorded

_SETTINGS = ("name", "architecture", "seed", "config", "recipe", "data", "versions")


@dataclass(frozen=True)
class Comparison:
    """Facts of runs by what they are of, a value for each run, and what is to be borne in mind when they are compared.

    **Arguments:** `runs`; `settings`: those that differ; `results`; `warnings`: a sentence each.
    """

    runs: tuple[Recorded, ...]
    settings: Mapping[str, tuple[str, ...]]
    results: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...]

    def table(self) -> Table:
        """A column for each run: first the settings that differ, then the results."""
        table = Table()
        table.add_column("", style="bold", no_wrap=True)
        for run in self.runs:
            table.add_column(run.name, overflow="fold")
        for name, values in self.settings.items():
            table.add_row(name, *values)
        table.add_section()
        for name, values in self.results.items():
            table.add_row(name, *values)
        return table

    def figure(self) -> Any:
        """The curves of the runs over one another: see `plot_runs`."""
        return plot_runs(self.runs)


@contract
def compare_runs(runs: Sequence[Recorded]) -> Comparison:
    """Two or more runs side by side, as `read_runs` gives them.

    **Arguments:** `runs`.
    **Returns:** the settings that differ, the results, and a warning where figures cannot be compared: they are on
    different data, or of a run that is not complete.
    **Raises:** `ValueError` for fewer than two.
    """
    if len(runs) < 2:
        raise ValueError(f"`runs` holds {len(runs)} run, which must be 2 or more: name another to compare it with.")
    settings = {}
    for part in _SETTINGS:
        # A run that says nothing at all of a part is not known to differ in it.
        flat = [_flat({part: run.about[part]}) if part in run.about else None for run in runs]
        for name in dict.fromkeys(name for each in flat for name in each or ()):
            values = [None if each is None else each.get(name, "–") for each in flat]
            if len({value for value in values if value is not None}) > 1:
                settings[name] = tuple("?" if value is None else value for value in values)
    return Comparison(tuple(runs), settings, _results(runs), (*_of_data(runs), *_of_ends(runs)))


def _results(runs: Sequence[Recorded]) -> dict[str, tuple[str, ...]]:
    parameters = (run.about.get("parameters") for run in runs)
    rows = {
        "parameters": tuple(f"{count:,}" if isinstance(count, int) else "–" for count in parameters),
        "steps": tuple(str(run.steps) for run in runs),
        "ended": tuple(run.ended for run in runs),
        "best step": tuple(str(run.best["step"]) if run.best else "–" for run in runs),
    }
    for part, figures in (
        ("validation", [{k: v for k, v in run.best.items() if k != "step"} for run in runs]),
        ("test", [run.test for run in runs]),
    ):
        for name in dict.fromkeys(name for each in figures for name in each):
            rows[f"{part} {name}"] = tuple(f"{each[name]:.5g}" if name in each else "–" for each in figures)
    rows["seconds"] = tuple(f"{run.seconds:.1f}" for run in runs)
    return rows


def _of_data(runs: Sequence[Recorded]) -> list[str]:
    first, warnings = runs[0], []
    for run in runs[1:]:
        ours, theirs = (_hashes(each) for each in (first, run))
        if not ours or not theirs:
            unknown = " and ".join(each.name for each in (first, run) if not _hashes(each))
            warnings.append(f"{unknown} does not say which data it was trained on: figures may not be comparable.")
        elif differing := [part for part in {**ours, **theirs} if ours.get(part) != theirs.get(part)]:
            warnings.append(
                f"{first.name} and {run.name} were trained on different data ({', '.join(differing)}): their figures "
                "are not comparable."
            )
    return list(dict.fromkeys(warnings))


def _of_ends(runs: Sequence[Recorded]) -> list[str]:
    return [
        f"{run.name} is {run.ended} at step {run.steps}." for run in runs if run.ended in ("interrupted", "unfinished")
    ]


def _hashes(run: Recorded) -> Mapping[str, str]:
    data = run.about.get("data")
    hashes = data.get("sha256") if isinstance(data, Mapping) else None
    return hashes if isinstance(hashes, Mapping) else {}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Every setting by its path, as text; lists whole."""
    flat = {}
    for name, value in table.items():
        path = f"{prefix}{name}"
        flat |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: str(value)}
    return flat
