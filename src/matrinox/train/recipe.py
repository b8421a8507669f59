"""Recipes: how to train, as plain data: everything but the model, the examples and the seed."""

import dataclasses
import functools
import json
import re
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin

import numpy as np
from beartype.door import is_bearable
from jax import Array

from matrinox.contract.nearest import guess
from matrinox.contract.options import Options
from matrinox.data.augment import Augmentation as Augmentation
from matrinox.data.examples import fingerprint_of_arrays
from matrinox.train.optim import AdamW, Optimiser
from matrinox.train.task import Classification, Task


@dataclass(frozen=True)
class Recipe(metaclass=Options):
    """How to train: everything but the model, the data and the seed.

    **Arguments:** `steps` or `epochs`: of the optimiser, in all, or how often every example is seen: give one;
    `batch`: examples in a minibatch, where a loader does not say it; `task`; `optimiser`; `augment`: changes of the
    inputs, one behind the other; `accumulate`: how many minibatches the gradient of one step is averaged over;
    `precision`: what the model computes in while it is trained, from inputs in it, with parameters and statistics in
    float32 either way (inputs that `data.Normalize` normalises in the model stay exact until then); `average`: the
    decay of a moving average of the weights, such as 0.999, which is then what is evaluated and kept;
    `steps_per_round`: after how many steps the model is evaluated, logged and written, by default an epoch;
    `steps_per_call`: how many steps one compiled call takes at most, by default a round, but 16 of a loader, whose
    minibatches must all be in memory for the call; `patience`: after how many rounds without a lower validation loss
    the run ends.
    **Raises:** `ValueError` for a value of another type or out of range, and for a task that is not hashable.

    An epoch of `N` examples is `N // batch` minibatches, of an order anew; `epochs` of them are
    `⌈epochs · (N // batch) / accumulate⌉` steps, and where `accumulate` does not divide, a step takes of two epochs.

    >>> Recipe(epochs=10, batch=32, accumulate=2, optimiser=AdamW(learning_rate=1e-3)).described()["accumulate"]
    2
    """

    steps: int | None = None
    batch: int = 64
    steps_per_round: int | None = None
    task: Task = field(default_factory=Classification)
    optimiser: Optimiser = field(default_factory=AdamW)
    epochs: int | None = None
    augment: tuple[Augmentation, ...] = ()
    accumulate: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    average: float | None = None
    steps_per_call: int | None = None
    patience: int | None = None

    def __post_init__(self):
        for name, hint in typing.get_type_hints(type(self)).items():
            value = getattr(self, name)
            if not is_bearable(value, hint) or isinstance(value, bool):
                near = guess(value, get_args(hint)) if get_origin(hint) is Literal else ""
                raise ValueError(f"`{name}` (={value!r}) must be {_spelt(hint)}{near or ': see `help(Recipe)`.'}")
            if type(value) is int and value < 1:
                raise ValueError(f"`{name}` (={value}) must be at least 1: choose a larger number.")
        try:
            hash(self.task)
        except TypeError as error:
            raise ValueError(
                f"`task` (={self.task!r}) must be hashable, as a compiled program is kept for it: make "
                f"{type(self.task).__name__} a `@dataclass(frozen=True)` of numbers, texts and tuples."
            ) from error
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(
                f"`steps` (={self.steps}) or `epochs` (={self.epochs}) must be given, and not both: give one."
            )
        if self.average is not None and not 0 < self.average < 1:
            raise ValueError(f"`average` (={self.average}) must be between 0 and 1: 0.999 is common.")

    def described(self) -> dict[str, Any]:
        """The recipe as a log holds it: tuples as lists, each config within by its `kind` and fields; see `plain`."""
        return plain(self)


def plain(settings: Any) -> dict[str, Any]:
    """A dataclass as JSON gives it back: tuples as lists, each dataclass within by its `kind` and fields.

    Arrays are told by shape and hash, functions by name, `functools.partial` by what it is of and what it holds.

    **Raises:** `ValueError` for what cannot be told so that it is the same text in the next process.
    """
    return {each.name: _plain_value(getattr(settings, each.name)) for each in dataclasses.fields(settings)}


def _plain_value(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__, **plain(value)}
    if isinstance(value, functools.partial):
        held = {"of": value.func, "args": value.args, "keywords": value.keywords}
        return {"kind": "partial", **{name: _plain_value(each) for name, each in held.items()}}
    if isinstance(value, Array | np.ndarray):
        return {"kind": "array", "shape": list(value.shape), "sha256": fingerprint_of_arrays(np.atleast_1d(value))}
    if isinstance(value, tuple | list):
        return [_plain_value(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _plain_value(each) for name, each in value.items()}
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    try:
        return json.loads(json.dumps(value))
    except TypeError:
        raise ValueError(
            f"{value!r} must be told in a log, and to a run that goes on: make {type(value).__name__} a frozen "
            "dataclass, of numbers, texts, arrays and functions."
        ) from None


def _spelt(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    if hint == tuple[Augmentation, ...]:
        return "a tuple of augmentations, such as `(Shift(), Flip())`"
    return hint.__name__ if isinstance(hint, type) else re.sub(r"\b[a-z_.]+\.(?=[A-Z])", "", str(hint))
