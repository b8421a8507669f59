"""`matrinox train`."""

import contextlib
import dataclasses
from io import StringIO
from pathlib import Path
from typing import Annotated

import tyro

from matrinox.bridge.twinning import TwinKind
from matrinox.cli.command import Command, ModelName, Stopped, UsageError, entry_named
from matrinox.cli.table import facts, show_table, spelt
from matrinox.train import ask_to_stop, join_processes, show_progress
from matrinox.train.shard.processes import in_main, is_main
from matrinox.train.task import Task
from matrinox.zoo import Entry, Reproduced, reproduce
from matrinox.zoo.runs import files_of_run


@dataclasses.dataclass(frozen=True)
class Train(Command):
    """Train a model of the zoo, evaluate it, and save it as one file.

    Writes FOLDER/model.safetensors (the best model by validation loss, from the first round on), what the run needs to
    go on, FOLDER/log.jsonl, which grows with the run, and FOLDER/log.json at its end. Ctrl-C stops early and keeps the
    last complete files; Ctrl-C twice does not wait for the round in progress.

    Example: matrinox train cnn-digits
    """

    name: ModelName = ""
    """Which model: a name that `matrinox list` shows."""
    seed: int = 0
    """Seed of the initial weights, of the order of examples and, where its data are few, of their split."""
    out: Annotated[
        str, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: runs/NAME, or runs/NAME-twin-KIND)")
    ] = ""
    """Where to write."""
    steps: Annotated[
        int | None, tyro.conf.arg(metavar="INT", help_behavior_hint="(default: as in the model's recipe)")
    ] = None
    """How many steps to train, for a shorter or a longer run."""
    twin: Annotated[TwinKind | None, tyro.conf.arg(help_behavior_hint="(default: the model itself)")] = None
    """Train the scalar network that the model is compared with instead: of as many parameters, FLOPs or states."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the run in FOLDER, however it ended, to the weights and the log of a run without a break."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Remove the run in FOLDER first."""
    mesh: Annotated[str, tyro.conf.arg(metavar="AXIS=SIZE,…", help_behavior_hint="(default: one device)")] = ""
    """Over how many devices to cut batches (data=4), weights (model=2) or both (data=4,model=2)."""
    processes: Annotated[int, tyro.conf.arg(help_behavior_hint="(default: this one)")] = 1
    """How many processes, each given this same command, train together; they share FOLDER, and the first one writes."""
    process: Annotated[int, tyro.conf.arg(help_behavior_hint="(default: 0)")] = 0
    """Which of them this one is, from 0."""
    coordinator: Annotated[str, tyro.conf.arg(metavar="HOST:PORT|auto", help_behavior_hint="(for processes)")] = ""
    """Where process 0 listens for the others, or `auto` where Slurm, Open MPI or Kubernetes started them and tells."""

    def __call__(self) -> None:
        """Runs the command."""
        row = entry_named(self.name)
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps (={self.steps}) must be at least 1: leave it out for the model's own recipe")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"--seed (={self.seed}) must be from 0 to 4294967295: JAX takes 32 bits of a seed")
        if self.resume and self.overwrite:
            raise UsageError("--resume and --overwrite exclude each other: go on with a run, or remove it")
        mesh = _mesh(self.mesh)
        self._join(mesh)
        # What one process says is enough.
        with contextlib.nullcontext() if is_main() else contextlib.redirect_stdout(StringIO()):
            self._run(row, mesh)

    def _join(self, mesh: dict[str, int] | None) -> None:
        """Makes this process one of several, if there are to be."""
        told = {"--processes": self.processes != 1, "--process": self.process != 0}
        if not self.coordinator:
            if given := next((option for option, given in told.items() if given), None):
                raise UsageError(f"{given} needs --coordinator: name the host and a free port, as 127.0.0.1:12345")
            return
        if mesh is None:
            raise UsageError("--coordinator needs --mesh: say over how many devices of all processes, as data=2")
        if self.coordinator == "auto":
            join_processes()
        else:
            join_processes(self.processes, self.process, self.coordinator)

    def _run(self, row: Entry, mesh: dict[str, int] | None) -> None:
        if self.steps is not None:
            row = dataclasses.replace(row, recipe=dataclasses.replace(row.recipe, steps=self.steps))
        folder = Path(self.out or Path("runs") / (row.name if self.twin is None else f"{row.name}-twin-{self.twin}"))
        # One looks for all: what others saw might be its own first files.
        in_main(lambda: self._refuse_to_overwrite(folder))
        try:
            with ask_to_stop() as should_stop, show_progress(row.recipe.task) as hooks:
                done = reproduce(
                    row,
                    seed=self.seed,
                    folder=folder,
                    twin=self.twin,
                    resume=self.resume,
                    overwrite=self.overwrite,
                    hooks=hooks,
                    should_stop=should_stop,
                    mesh=mesh,
                )
        except KeyboardInterrupt as error:
            raise Stopped(str(error) or "stopped before the first evaluation: no model was written") from error
        _tell(done, row.recipe.task)

    def _refuse_to_overwrite(self, folder: Path) -> None:
        if not (self.resume or self.overwrite) and (found := files_of_run(folder)):
            raise UsageError(
                f"{folder} holds a run ({', '.join(each.name for each in found)}): pass --resume to go on with it, "
                "--overwrite to remove it, or another --out"
            )


def _mesh(text: str) -> dict[str, int] | None:
    """The sizes of a mesh, such as of `data=4,model=2`; `None` for no text.

    **Raises:** `UsageError` if it is not written so.
    """
    sizes: dict[str, int] = {}
    for part in text.split(",") if text else ():
        name, equals, size = (word.strip() for word in part.partition("="))
        if not (name and equals and size.isascii() and size.isdigit() and int(size)) or name in sizes:
            raise UsageError(f"--mesh (={text!r}) must name each axis once with its size: write it as data=4,model=2")
        sizes[name] = int(size)
    return sizes or None


def _tell(done: Reproduced, task: Task) -> None:
    run, steps = done.run, done.log.recipe["steps"]
    validation, test = (
        {name: spelt(name, value, task) for name, value in score.figures.items()}
        for score in (run.validation, run.test)
    )
    if run.interrupted:
        figures = ", ".join(f"validation {name} {value}" for name, value in validation.items())
        raise Stopped(
            f"stopped at step {run.steps} of {steps}: {done.model_file} is complete and holds the best so far "
            f"(step {run.best_step}, {figures}); add --resume to go on"
        )
    beside = "" if done.log.kind == "matrix" else f", scalar twin of the same {done.log.kind}"
    rows = {"parameters": f"{done.log.parameters:,}", "best step": f"{run.best_step}, by validation loss"}
    rows |= {f"validation {name}": value for name, value in validation.items()}
    rows |= {f"test {name}": value for name, value in test.items()}
    rows |= {"seconds": f"{run.seconds:.1f}", "file written": str(done.model_file), "log": str(done.log_file)}
    show_table(facts(f"{done.log.name}{beside}, seed {run.seed}", rows))
