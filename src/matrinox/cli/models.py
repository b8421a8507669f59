"""`matrinox eval` and `matrinox predict`: what a trained model is good for."""

import dataclasses
import math
from io import BytesIO
from typing import Annotated, Literal

import jax
import numpy as np
import tyro

from matrinox import io as model_io
from matrinox import zoo
from matrinox.cli.command import Command, ModelFile, UsageError, model_file_named
from matrinox.cli.table import facts, show_table
from matrinox.io.atomic import write_atomically
from matrinox.train import Classification, apply_model, evaluate
from matrinox.zoo.runs import splits_of


@dataclasses.dataclass(frozen=True)
class Eval(Command):
    """Evaluate a trained model on its data set.

    The cross-entropy is that of the labels as they are; the loss that training shows is smoothed where its recipe says
    so.

    Example: matrinox eval runs/cnn-digits/model.safetensors
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
        model = zoo.load(path)
        notes = model_io.read_header(path).notes
        name = self.data or notes.get("data", "")
        if not name:
            raise UsageError(f"{path} does not say what it was trained on: name a data set with --data")
        parts = splits_of(name)
        if not self.data and notes.get("test_sha256") != parts.test.fingerprint():
            raise ValueError(f"the test part of {name!r} is not the one kept from {path}: add --data {name} to use it")
        examples = getattr(parts, self.part)
        figures = evaluate(model, examples, Classification()).figures
        accuracy, loss = figures["accuracy"], figures["loss"]
        rows = {
            "file": path,
            "data": f"{name}, {self.part} part, {len(examples)} examples",
            "accuracy": f"{accuracy:.2%}",
            "right": f"{round(accuracy * len(examples))} of {len(examples)}",
            "cross-entropy, unsmoothed": f"{loss:.4f}",
        }
        show_table(facts(self.model, rows))


@dataclasses.dataclass(frozen=True)
class Predict(Command):
    """Predict the class of each example in a NumPy file.

    The file holds floats scaled as in training: images (examples, 8, 8, 1) from 0 to 1 for cnn-digits, rows
    (examples, 64) for mlp-digits. Prints one line per example: its number, the class, the probability.

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
        model = zoo.load(path)
        logits = apply_model(model, _read_examples(self.input, len(model.input_shape)))
        probabilities = np.asarray(jax.nn.softmax(logits, axis=-1))
        if self.output:
            data = BytesIO()
            np.lib.format.write_array(data, probabilities, allow_pickle=False)
            write_atomically(self.output, [data.getvalue()])
        for number, row in enumerate(probabilities):
            print(f"{number}\t{row.argmax()}\t{row.max():.4f}")


def _read_examples(path: str, axes: int) -> np.ndarray:
    """The array of a .npy file as float32, its leading axes, if any, merged into one."""
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        array = None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} is no .npy file of numbers: write it with numpy.save")
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{path} holds {array.dtype}: scale it as in training, to floats such as pixels from 0 to 1")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{path} holds nan or infinity, or numbers too large for float32: replace them first")
    # With -1 NumPy could not tell how many examples there are where another axis is 0.
    return array.reshape(math.prod(array.shape[:-axes]), *array.shape[-axes:]) if array.ndim >= axes else array
