"""Training the entries of the zoo: `reproduce` runs one seed, `publish` makes an entry's files of several.

An entry is trained anew by `matrinox train NAME --seed S --out runs/S` for each of its seeds, and then
`publish(NAME, [f"runs/{S}" for S in seeds])`; so is a scalar twin of it, with `--twin parameters`.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from matrinox import io
from matrinox.bridge import ScalarTwin, scalar_twin
from matrinox.bridge.twinning import TwinKind
from matrinox.contract import contract
from matrinox.io.atomic import write_atomically
from matrinox.train import (
    Checkpoints,
    Fitted,
    Hooks,
    JsonLines,
    Run,
    RunLog,
    Score,
    evaluate,
    fit,
    placement,
    read_log,
    rounds_as_columns,
    software,
    write_log,
)
from matrinox.train.checkpoint import BEST as MODEL_FILE
from matrinox.train.checkpoint import LAST as CHECKPOINT_FILE
from matrinox.train.log.run_log import hash_of_settings
from matrinox.train.recipe import plain
from matrinox.train.shard.processes import in_main
from matrinox.zoo import facts
from matrinox.zoo.card import best_run, make_card, write_card
from matrinox.zoo.catalogue import entry
from matrinox.zoo.data import Parts
from matrinox.zoo.row import Entry

LOG_FILE, EVENTS_FILE = "log.json", "log.jsonl"


@dataclass(frozen=True)
class Reproduced:
    """What a run left: the model file and log it wrote, and what the log says."""

    model_file: Path
    log_file: Path
    log: RunLog

    @property
    def run(self) -> Run:
        """The one run of the log."""
        return self.log.runs[0]


@contract
def reproduce(
    name: str | Entry,
    *,
    seed: int,
    folder: str | os.PathLike[str],
    twin: TwinKind | None = None,
    resume: bool = False,
    overwrite: bool = False,
    hooks: Hooks | None = None,
    should_stop: Callable[[], bool] | None = None,
    mesh: Mapping[str, int] | None = None,
) -> Reproduced:
    """Trains an entry from one seed, and leaves the run in a folder.

    `model.safetensors` is the best model by validation loss so far, `checkpoint.safetensors` what the next step depends
    on, `log.jsonl` grows by a line with each round and epoch, and `log.json` is written at its end. Ctrl-C, or
    `should_stop`, ends the run early, with a log that says `interrupted`.

    **Arguments:** `name`: of the entry, or a row of your own; `seed`: of weights, order, shifts and dropout, and of the
    split where each seed has its own, from 0 to 2³² − 1; `folder`: where to write, made if need be; `twin`: trains
    instead, in the same way, the scalar network of as many `"parameters"`, `"flops"` or numbers between layers
    (`"state"`); `resume`: goes on with the run in it, however it ended, to the weights and the log of a run without a
    break; `overwrite`: removes the run in it first; `hooks`: as for `fit`; `should_stop`, `mesh`: as for `fit`, also in
    several processes, of which one writes.
    **Returns:** what was written.
    **Raises:** `ValueError` for an unknown name, a seed out of range, an entry that has no twin, `resume` with
    `overwrite`, or a run to go on with that is another; `FileExistsError` if the folder holds a run and neither
    `resume` nor `overwrite` is given, or one that has ended and lost its last state and `resume` is; `ImportError` if
    the data set's library is missing; `OSError` or `ModelFileError` if a file cannot be written; `KeyboardInterrupt`,
    saying what was written, if stopped before there was a model, or while the last one was scored.
    """
    row = name if isinstance(name, Entry) else entry(name)
    if not 0 <= seed < 2**32:
        raise ValueError(
            f"`seed` (={seed}) must be from 0 to 4294967295: JAX keeps the lowest 32 bits, so another seed repeats one "
            "of these."
        )
    target = Path(folder)
    model_file, log_file = target / MODEL_FILE, target / LOG_FILE

    def refuse_to_overwrite() -> None:
        if resume and log_file.exists() and not (target / CHECKPOINT_FILE).exists():
            raise FileExistsError(
                f"{str(target)!r} holds a run without its last state, {CHECKPOINT_FILE}: there is nothing to go on "
                "from; overwrite it, or choose another folder."
            )
        if (present := files_of_run(target)) and not (resume or overwrite):
            raise FileExistsError(
                f"{str(target)!r} holds a run ({', '.join(each.name for each in present)}): resume it, overwrite it, "
                "or choose another folder."
            )

    in_main(refuse_to_overwrite)
    try:
        data = row.data.splits(seed)
        model_key, fit_key = jax.random.split(jax.random.key(seed))
        model = row.architecture(row.config, key=model_key).fitted(data.train)
        scalar = None if twin is None else scalar_twin(model.chain, twin, model.input_shape, key=model_key)
        model = model if scalar is None else scalar.model
        about, own = _about(row, twin or "matrix", scalar, model, data), facts.of_split(data)
        told = {**about, "seed": seed, "data": {**about["data"], **own}}
        notes = {"entry": row.name, "data": row.data.name, "test_sha256": own["sha256"]["test"], "seed": str(seed)}
        notes |= {} if twin is None else {"twin": twin}
        checkpoints = Checkpoints(target, notes=notes, overwrite=overwrite)
        # What the mesh cannot hold is refused before an older run is removed.
        placement(mesh, model)
        if not resume:
            in_main(checkpoints.prepare)
        # A log of scores must not lie beside a model that it did not score.
        fresh = Hooks(on_start=lambda start: log_file.unlink(missing_ok=True))
        fitted = fit(
            model,
            data.train,
            data.validation,
            row.recipe,
            key=fit_key,
            hooks=JsonLines(target / EVENTS_FILE, every=None, about=told) + fresh + (hooks or Hooks()),
            checkpoints=checkpoints,
            resume=resume,
            should_stop=should_stop,
            mesh=mesh,
        )
        in_main(
            lambda: write_log(log_file, RunLog(**about, runs=(_scored(row, model, data, told, fitted, model_file),)))
        )
    except KeyboardInterrupt as error:
        if not model_file.exists():
            raise KeyboardInterrupt("stopped before the first evaluation: no model was written") from error
        logged = "" if log_file.exists() else ", but not scored: there is no log"
        raise KeyboardInterrupt(f"stopped at the end: {model_file} is complete{logged}") from error
    return Reproduced(model_file, log_file, read_log(log_file))


def _about(row: Entry, kind: str, scalar: ScalarTwin | None, model: Any, data: Parts) -> dict[str, Any]:
    """What a log tells of all runs alike: the fields of `RunLog` but its runs."""
    recipe = row.recipe.described()
    return {
        "name": row.name,
        "kind": kind,
        **_settings(row, None if scalar is None else scalar.widths),
        "parameters": row.parameters if scalar is None else scalar.parameters,
        "flops": facts.count_flops(model, facts.one_example(data.train)),
        "recipe": recipe,
        "recipe_sha256": hash_of_settings(recipe),
        "data": facts.of_data(row.data, data),
        "versions": software(),
    }


def _settings(row: Entry, widths: Sequence[int] | None) -> dict[str, Any]:
    """What was trained: the entry's architecture, or the scalar twin of these widths."""
    config = plain(row.config)
    if widths is None:
        return {"architecture": row.architecture.__name__, "config": config}
    return {"architecture": "ScalarTwin", "config": {"of": config, "widths": list(widths)}}


def _scored(row: Entry, model: Any, data: Parts, told: Mapping[str, Any], fitted: Fitted, model_file: Path) -> Run:
    # Ctrl-C may have come between two records of one fact, so what is logged is what the file itself holds.
    best, header = io.load(model_file, like=eqx.nn.inference_mode(model)), io.read_header(model_file)
    validation, test = (evaluate(best, part, row.recipe.task, records=True) for part in (data.validation, data.test))
    return Run(
        seed=told["seed"],
        steps=fitted.rounds[-1].step,
        seconds=round(fitted.seconds, 3),
        interrupted=fitted.interrupted,
        best_step=int(header.notes["step"]),
        weights_sha256=header.data_sha256,
        data={name: told["data"][name] for name in ("sha256", "least", "most")},
        rounds=rounds_as_columns(fitted.rounds),
        validation=Score.of(validation),
        test=Score.of(test),
    )


def files_of_run(folder: Path) -> list[Path]:
    """The files that a run has left in a folder."""
    files = (folder / name for name in (LOG_FILE, EVENTS_FILE, CHECKPOINT_FILE, MODEL_FILE))
    return [file for file in files if file.exists()]


@contract
def publish(
    name: str | Entry,
    runs: Sequence[str | os.PathLike[str]],
    *,
    folder: str | os.PathLike[str] | None = None,
) -> Path:
    """Makes an entry's files of the folders that `reproduce` wrote: one log of all runs, the best weights, the card.

    Of runs of a scalar twin, it is one log alone, `twin-parameters.json`, `twin-flops.json` or `twin-state.json`.

    **Arguments:** `name`: of the entry, or a row of your own; `runs`: one folder for each seed; `folder`: where to, by
    default the entry's.
    **Returns:** the folder.
    **Raises:** `ValueError` if the runs are not complete runs of the entry as it is now that differ by seed alone, if
    there are fewer than two, or if a folder's model is not the one that its log scored.
    """
    row = name if isinstance(name, Entry) else entry(name)
    folders = [Path(run) for run in runs]
    logs = [read_log(each / LOG_FILE) for each in folders]
    if not logs:
        raise ValueError("`runs` is empty: give the folders of two runs at least.")
    merged = dataclasses.replace(logs[0], runs=tuple(run for log in logs for run in log.runs))
    if any(dataclasses.replace(log, runs=merged.runs) != merged for log in logs) or merged.name != row.name:
        raise ValueError(
            f"the runs are not all of {row.name!r} with one config, recipe, data and software: train anew."
        )
    if any(len(log.runs) != 1 for log in logs):
        raise ValueError(f"`runs` (={[str(each) for each in folders]}) must hold one run each: give folders of runs.")
    is_twin = merged.kind != "matrix"
    now = {
        **_settings(row, merged.config.get("widths") if is_twin else None),
        "recipe": row.recipe.described(),
        "data": {**merged.data, "name": row.data.name, "split": row.data.split},
    }
    for what, due in now.items():
        if getattr(merged, what) != due:
            raise ValueError(f"the runs' {what} (={getattr(merged, what)}) must be {row.name!r}'s, {due}: train anew.")
    seeds = [run.seed for run in merged.runs]
    if len(set(seeds)) != len(seeds) or any(run.interrupted for run in merged.runs):
        raise ValueError(f"the runs of seeds {seeds} must differ by seed and be complete: train them anew.")
    if sorted(seeds) != sorted(row.seeds):
        # Of more runs than there are seeds, one could choose.
        raise ValueError(f"the runs are of seeds {seeds}, and must be of {row.name!r}'s own, {list(row.seeds)}.")
    for each, run in zip(folders, merged.runs, strict=True):
        if io.read_header(each / MODEL_FILE).data_sha256 != run.weights_sha256:
            raise ValueError(f"{each / MODEL_FILE} is not the model that its log scored: train seed {run.seed} anew.")
    target = row.folder if folder is None else Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    if is_twin:
        write_log(target / f"twin-{merged.kind}.json", merged)
        return target
    best = folders[seeds.index(best_run(merged).seed)] / MODEL_FILE
    card = make_card(row, merged, best)
    write_atomically(target / "weights.safetensors", [best.read_bytes()])
    write_log(target / LOG_FILE, merged)
    write_card(target / "card.toml", card)
    return target
