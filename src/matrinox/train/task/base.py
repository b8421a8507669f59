"""What every task is: a loss to lower, and figures that add up over minibatches."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jax import Array
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract.options import Options

Tally = dict[str, Array]
"""Sums over examples, by name: the tallies of two minibatches are added entry by entry."""


def share(part: Any, whole: Any) -> float:
    """A figure of two sums, divided in float64: `part / whole`, NaN where nothing was counted."""
    return float(part) / float(whole) if whole else float("nan")


class Task(metaclass=Options):
    """What a model is to do. A subclass is a frozen dataclass of numbers and choices, so that a log can tell it.

    A minibatch goes through `prepare`, the model and `loss` in training; through `prepare`, the model and `tally` in
    evaluation, where the tallies of all minibatches are added up and `report` makes figures of the sums. So `loss` is
    one number, a 0-d mean, and `tally` holds sums over the examples and their number, never means, as the last
    minibatch may be smaller.

    >>> from dataclasses import dataclass
    >>> import jax.numpy as jnp
    >>> @dataclass(frozen=True)
    ... class Cube(Task):
    ...     power: int = 3
    ...     def loss(self, outputs, targets):
    ...         return jnp.mean(jnp.abs(outputs - targets) ** self.power)
    ...     def tally(self, outputs, targets):
    ...         errors = jnp.abs(outputs - targets) ** self.power
    ...         return {"errors": jnp.sum(errors), "numbers": jnp.asarray(errors.size)}
    ...     def report(self, tally):
    ...         return {"loss": float(tally["errors"] / tally["numbers"])}
    >>> task, outputs, targets = Cube(), jnp.array([1.0, 2.0, 5.0]), jnp.array([1.0, 4.0, 4.0])
    >>> float(task.loss(outputs, targets))
    3.0
    >>> parts = [task.tally(outputs[:2], targets[:2]), task.tally(outputs[2:], targets[2:])]
    >>> task.report({name: sum(part[name] for part in parts) for name in ("errors", "numbers")})
    {'loss': 3.0}
    """

    headline: ClassVar[str] = "loss"
    """The figure of `report` that says most, for progress and tables."""
    percent: ClassVar[bool] = False
    """Whether that figure is a share, shown as a percentage."""
    ascending: ClassVar[bool] = False
    """Whether more of that figure is better, as of an accuracy, and not less, as of a loss."""
    gives: ClassVar[str] = "values"
    """What comes out of the model, in a word."""

    def prepare(self, inputs: PyTree, targets: PyTree, *, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        """What goes into the model, and what is compared with what comes out: by default both as they are.

        A task that makes its own targets (masks, noise, two views) does so here, inside the compiled step.

        **Arguments:** `inputs`, `targets`: of a minibatch, with a leading axis of examples; `key`: of this minibatch.
        **Returns:** inputs and targets.
        """
        del key
        return inputs, targets

    @abstractmethod
    def loss(self, outputs: PyTree, targets: PyTree) -> Array:
        """The mean loss of a minibatch, 0-d.

        **Arguments:** `outputs`: what the model gives; `targets`: what `prepare` gave.
        """

    @abstractmethod
    def tally(self, outputs: PyTree, targets: PyTree) -> Tally:
        """Sums over the examples of a minibatch, of which `report` makes figures.

        **Arguments:** as for `loss`.
        """

    @abstractmethod
    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Figures of sums over all minibatches: `"loss"` is among them, and `headline`.

        **Arguments:** `tally`: sums as `tally` names them, in float64.
        """

    def predict(self, outputs: PyTree) -> PyTree:
        """What the outputs say of each example: by default the outputs themselves.

        **Arguments:** `outputs`: what the model gives.
        """
        return outputs

    def record(self, outputs: PyTree, targets: PyTree) -> dict[str, Array]:
        """What a log keeps of each example, little enough for thousands of them: by default nothing.

        **Arguments:** as for `loss`.
        **Returns:** arrays by name, each with a leading axis of examples.
        """
        del outputs, targets
        return {}

    def headline_of(self, records: Mapping[str, np.ndarray], targets: PyTree) -> float:
        """The headline figure, made anew of what `record` kept, so that nobody has to believe it.

        **Arguments:** `records`: of all examples; `targets`: of all examples.
        **Raises:** `ValueError` where nothing is kept that it could be made of.
        """
        del records, targets
        raise ValueError(
            f"{type(self).__name__} keeps no records of which its {self.headline} could be made anew: give it `record` "
            "and `headline_of`."
        )
