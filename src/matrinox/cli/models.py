"""`matrinox eval` and `matrinox predict`: what a trained model is good for."""

import dataclasses
import math
import sys
from collections.abc import Mapping
from io import BytesIO
from typing import Annotated, Literal

import jax
import numpy as np
import tyro

from matrinox import io as model_io
from matrinox import zoo
from matrinox.cli.command import Command, ModelFile, UsageError, model_file_named
from matrinox.cli.table import facts, show_table, spelt
from matrinox.io.atomic import write_atomically
from matrinox.train import Classification, LanguageModelling, apply_model, evaluate
from matrinox.zoo import BuiltIn, Entry, Parts
from matrinox.zoo.card import Takes


@dataclasses.dataclass(frozen=True)
class Eval(Command):
    """Evaluate a trained model on its data set: the figures of its task, as its card and its log have them.

    The loss is the one that its recipe lowers, label smoothing included.

    Example: matrinox eval cnn-digits
    """

    model: ModelFile = ""
    """A file that `matrinox train` wrote, or a name that `matrinox list` shows."""
    part: Literal["test", "validation", "train"] = "test"
    """Which part of the data set."""
    data: Annotated[str, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: what it was trained on)")] = ""
    """Which built-in data set."""

    def __call__(self) -> None:
        """Runs the command."""
        path = model_file_named(self.model)
        model = zoo.load(self.model)
        notes = model_io.read_header(path).notes
        row = zoo.CATALOGUE.get(notes.get("entry", ""))
        parts = self._parts(path, notes, row)
        examples = getattr(parts, self.part)
        task = Classification() if row is None else row.recipe.task
        figures = evaluate(model, examples, task).figures
        rows = {"file": path, "data": f"{examples.name}, {self.part} part, {len(examples)} examples"}
        for name in (task.headline, *(name for name in figures if name != task.headline)):
            rows[name.replace("_", " ")] = spelt(name, figures[name], task)
        if task.headline == "accuracy":
            rows["right"] = f"{round(figures['accuracy'] * len(examples))} of {len(examples)}"
        if self.model in zoo.CATALOGUE and self.part != "train" and not self.data:
            card = zoo.card(self.model)
            due = card.weights.test if self.part == "test" else card.weights.validation
            rows["on its card"] = f"{card.metric.name.replace('_', ' ')} {card.metric.spelt(due)}"
        show_table(facts(self.model, rows))

    def _parts(self, path: str, notes: Mapping[str, str], row: Entry | None) -> Parts:
        """The data that are asked for, or those that the model was trained on, split as they were then."""
        if row is None or self.data not in ("", row.data.name):
            if not self.data:
                raise UsageError(f"{path} does not say what it was trained on: name a data set with --data")
            return BuiltIn(self.data).splits(0)
        parts = row.data.splits(int(notes.get("seed", 0)))
        if not self.data and notes.get("test_sha256") != parts.test.fingerprint():
            name = row.data.name
            raise ValueError(f"the test part of {name!r} is not the one kept from {path}: add --data {name} to use it")
        return parts


@dataclasses.dataclass(frozen=True)
class Predict(Command):
    """Predict the class of each example in a NumPy file.

    The file holds floats scaled as in training, as `matrinox show NAME` tells: images (examples, 8, 8, 1) from 0 to 1
    for cnn-digits, rows (examples, 64) for mlp-digits. Prints one line per example: its number, the class, the
    probability.

    Example: matrinox predict cnn-digits --input images.npy
    """

    model: ModelFile = ""
    """A file that `matrinox train` wrote, or a name that `matrinox list` shows."""
    input: Annotated[str, tyro.conf.arg(metavar="FILE.npy", help_behavior_hint="(required)")] = ""
    """The examples."""
    output: Annotated[str, tyro.conf.arg(metavar="FILE.npy", help_behavior_hint="(default: none)")] = ""
    """Where to save the probabilities as well, (examples, classes)."""

    def __call__(self) -> None:
        """Runs the command."""
        if not self.input:
            raise UsageError("--input is missing: name the .npy file of the examples")
        path = model_file_named(self.model)
        model = zoo.load(self.model)
        row = zoo.CATALOGUE.get(model_io.read_header(path).notes.get("entry", ""))
        task = Classification() if row is None else row.recipe.task
        if not isinstance(task, Classification) or isinstance(task, LanguageModelling):
            raise ValueError(f"{self.model} is no classifier, which `predict` takes: call what matrinox.zoo.load gives")
        takes = zoo.card(row.name).takes if row is not None and (row.folder / "card.toml").exists() else None
        logits = apply_model(model, _read_examples(self.input, len(model.input_shape), takes))
        if logits.ndim != 2:
            raise ValueError(f"{self.model} gives {logits.shape[1:]} numbers for an example, and `predict` takes a row")
        probabilities = np.asarray(jax.nn.softmax(logits, axis=-1))
        if self.output:
            data = BytesIO()
            np.lib.format.write_array(data, probabilities, allow_pickle=False)
            write_atomically(self.output, [data.getvalue()])
        for number, chances in enumerate(probabilities):
            print(f"{number}\t{chances.argmax()}\t{chances.max():.4f}")


def _read_examples(path: str, axes: int, takes: Takes | None) -> np.ndarray:
    """The array of a .npy file as the model takes it, its leading axes, if any, merged into one.

    What lies outside of what the model was trained on is pointed out; no token is, as it would stand for another.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        array = None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} is no .npy file of numbers: write it with numpy.save")
    if takes is not None and np.issubdtype(takes.dtype, np.integer):
        if not np.issubdtype(array.dtype, np.integer) or (
            array.size and not 0 <= array.min() <= array.max() <= takes.most
        ):
            raise ValueError(f"{path} must hold tokens, whole numbers from 0 to {takes.most}")
        array = array.astype(takes.dtype)
    else:
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(
                f"{path} holds {array.dtype}: scale it as in training, to floats such as pixels from 0 to 1"
            )
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise ValueError(f"{path} holds nan or infinity, or numbers too large for float32: replace them first")
        if takes is not None and array.size and not takes.least <= array.min() <= array.max() <= takes.most:
            print(
                f"note: {path} holds numbers from {array.min():g} to {array.max():g}, and the model was trained on "
                f"{takes.least:g} to {takes.most:g}: scale them as in training",
                file=sys.stderr,
            )
    # With -1 NumPy could not tell how many examples there are where another axis is 0.
    return array.reshape(math.prod(array.shape[:-axes]), *array.shape[-axes:]) if array.ndim >= axes else array
