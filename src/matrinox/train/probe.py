"""What a model says of examples: of one, of many, and of a few that have a name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PyTree, Shaped

from matrinox.contract import AnyArray, contract
from matrinox.nn.tracing import table
from matrinox.train.evaluate import apply_model
from matrinox.train.task import Classification, Task


@contract
def predict(
    model: Callable[..., Any],
    inputs: Shaped[AnyArray, "examples ..."],
    task: Task | None = None,
    *,
    state: eqx.nn.State | None = None,
    batch: int = 512,
) -> PyTree:
    """What the task makes of the model's outputs for every example, in inference mode.

    **Arguments:** `model`: called as `model(inputs)`, or `model(inputs, state)` if it has a `state`; `inputs`:
    `(examples, …)`; `task`: such as `Classification()`, for class ids; without, the outputs as they are; `batch`: how
    many examples go at a time.
    **Returns:** `(examples, …)`.
    **Raises:** `ContractError` if `inputs` has no axis; `ValueError` if there are no examples or `batch` is below 1.
    **Source:** TorchLean, `train.predict`.
    """
    outputs = apply_model(model, inputs, state=state, batch=batch)
    return outputs if task is None else task.predict(outputs)


@contract
def predict_one(
    model: Callable[..., Any],
    example: Shaped[AnyArray, "..."],
    task: Task | None = None,
    *,
    state: eqx.nn.State | None = None,
) -> PyTree:
    """What the task makes of the model's output for one example, which has no axis of examples.

    **Arguments:** `example`: `(…)`, as an input without its leading axis; the others as for `predict`.
    **Returns:** `(…)`, without that axis.
    **Raises:** `ContractError` if the model does not take it.
    **Source:** TorchLean, `train.predict`.
    """
    predicted = predict(model, jnp.asarray(example)[None], task, state=state)
    return jax.tree.map(lambda each: each[0], predicted)


@dataclass(frozen=True)
class Probe:
    """An example with a name, to see what a model says of it.

    **Arguments:** `name`; `input`: an array without an axis of examples; `expected`: the class that is right, if known.
    """

    name: str
    input: Any
    expected: int | None = None


@dataclass(frozen=True, eq=False)
class Probed:
    """What a model says of a probe.

    **Arguments:** `probe`; `predicted`: the class of the largest logit; `logits`: `(classes,)`.
    """

    probe: Probe
    predicted: int
    logits: np.ndarray

    @property
    def hit(self) -> bool | None:
        """Whether the class is the expected one; `None` where none is."""
        return None if self.probe.expected is None else self.predicted == self.probe.expected


@dataclass(frozen=True, eq=False)
class ProbeTable:
    """Probes and what a model says of them: `print` gives a row for each, and how many are as expected.

    **Arguments:** `rows`; `logits`: whether they are printed.
    """

    rows: tuple[Probed, ...]
    logits: bool = False

    @property
    def hits(self) -> int:
        """How many are as expected."""
        return sum(row.hit is True for row in self.rows)

    def __str__(self) -> str:
        header = ("probe", "predicted", "expected", "", *(("logits",) if self.logits else ()))
        due = sum(row.hit is not None for row in self.rows)
        lines = table((header, *map(self._cells, self.rows)))
        return f"{lines}\n{self.hits} of {due} as expected" if due else lines

    def _cells(self, row: Probed) -> tuple[str, ...]:
        expected = "-" if row.probe.expected is None else str(row.probe.expected)
        mark = "wrong" if row.hit is False else ""
        logits = (" ".join(f"{logit:.3g}" for logit in row.logits),) if self.logits else ()
        return (row.probe.name, str(row.predicted), expected, mark, *logits)


@contract
def run_probes(
    model: Callable[..., Any],
    probes: Sequence[Probe],
    *,
    logits: bool = False,
    state: eqx.nn.State | None = None,
) -> ProbeTable:
    """The class that a model gives each probe, in inference mode, against what is expected.

    **Arguments:** `model`: a classifier, as for `predict`; `probes`: of one shape; `logits`: whether these are printed
    too.
    **Returns:** a table, which `print` shows.
    **Raises:** `ValueError` if there is no probe, or their inputs differ in shape; `ContractError` if the model's
    outputs are not logits `(examples, classes)`.
    **Source:** TorchLean, reports of named probes.
    """
    if not probes:
        raise ValueError("`probes` holds none, which must be 1 or more: give such as Probe('a seven', image, 7).")
    inputs = [np.asarray(probe.input) for probe in probes]
    for probe, array in zip(probes, inputs, strict=True):
        if array.shape != inputs[0].shape:
            raise ValueError(
                f"the probe {probe.name!r} has shape {array.shape}, which must be that of {probes[0].name!r}, "
                f"{inputs[0].shape}: bring all to one shape."
            )
    given = apply_model(model, np.stack(inputs), state=state)
    rows = zip(probes, _likeliest(given).tolist(), np.asarray(given), strict=True)
    return ProbeTable(tuple(Probed(probe, found, each) for probe, found, each in rows), logits)


@contract
def _likeliest(logits: Float[AnyArray, "examples classes"]) -> Integer[Array, " examples"]:
    return Classification().predict(logits)
