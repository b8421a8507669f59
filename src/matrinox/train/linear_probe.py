"""Linear probes: how much of what is asked for stands in a model's features, for a linear read-out to find."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from matrinox.contract import AnyArray, contract
from matrinox.data.loader_of import Data, loader_of
from matrinox.functional.metric import explained
from matrinox.functional.precision import widen
from matrinox.train.evaluate import apply_model
from matrinox.train.task.regression import spread


@contract
class Probing(eqx.Module):
    """Frozen features and a linear read-out on top, `y = W φ(x) + b`: a model like any other, whose features are fixed.

    **Arguments:** `features`: called as `features(inputs)`; no gradient reaches it; `weight`, `bias`: of the read-out;
    `state`: of the features, if they have one.
    """

    features: Callable[..., Any]
    weight: Float[Array, "outputs features"]
    bias: Float[Array, " outputs"]
    state: eqx.nn.State | None = None

    def __call__(
        self, inputs: Shaped[AnyArray, "batch ..."], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "batch outputs"]:
        """What the read-out says: a score for each class, or the numbers of a target.

        **Arguments:** `inputs`: `(batch, …)`; `key`: not used.
        **Returns:** `(batch, outputs)`.
        **Raises:** `ContractError` if the features are not as many as the read-out takes.
        """
        del key
        return self.read_out(jax.lax.stop_gradient(features_of(self.features, inputs, self.state)))

    def read_out(self, features: Float[AnyArray, "batch features"]) -> Float[Array, "batch outputs"]:
        """The read-out alone.

        **Arguments:** `features`: `(batch, features)`.
        **Returns:** `(batch, outputs)`.
        **Raises:** `ContractError` if the features are not as many as the read-out takes.
        """
        return jnp.matmul(features, self.weight.T, precision="highest") + self.bias


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """What `linear_probe` gives.

    **Arguments:** `model`: features and read-out; `penalty`: that of the read-out; `train`, `validation`, `test`: the
    figures on each, `loss` and `accuracy` for classes, `loss` and `r2`, the mean over the numbers of a target, for
    numbers; `None` where there was no such data.
    """

    model: Probing
    penalty: float
    train: dict[str, float]
    validation: dict[str, float] | None
    test: dict[str, float] | None


@contract
def linear_probe(
    features: Callable[..., Any],
    train: Data,
    validation: Data | None = None,
    test: Data | None = None,
    *,
    penalties: Sequence[float] = (1e-3, 1e-2, 1e-1),
    state: eqx.nn.State | None = None,
    batch: int = 512,
) -> LinearProbe:
    """Fits a linear read-out of frozen features in closed form, and says how well it does.

    It is the ridge regression of the targets, of classes as one-hot rows, on features of mean 0 and variance 1:
    `W = (C + λ)⁻¹ R`, with `C` the correlations of the features and `R` those with the targets. Both are sums over
    examples, in float64: one pass, in which one minibatch of features is in memory, and neither a seed nor a rate to
    choose. Mean and variance are those of `train`; the penalty λ is chosen by the loss on `validation`, never `test`.

    **Arguments:** `features`: a model that is left as it is, or a part of it, called in inference mode as
    `features(inputs)`, or `features(inputs, state)` if it has a `state`, and giving `(batch, …)`, such as
    `model.encoder`, or `model[:-1]` of an `nn.Sequential`; `train`: with targets, class numbers `(examples,)` or
    floats `(examples, …)`; `validation`: to choose the penalty; `test`: told of once the read-out stands; `penalties`:
    above 0, one of them without `validation`; `batch`: how many examples go at a time.
    **Returns:** `LinearProbe`.
    **Raises:** `ValueError` if there are no examples or targets, a penalty is not above 0, there are several and
    nothing to choose by, or other data hold targets that are none of `train`; `FloatingPointError` if a feature is not
    finite.
    **Source:** Alain and Bengio 2016, "Understanding intermediate layers using linear classifier probes".
    """
    if not penalties or not all(0 < penalty < float("inf") for penalty in penalties):
        raise ValueError(f"`penalties` (={tuple(penalties)}) must be above 0, one at least: such as (1e-2,).")
    if len(penalties) > 1 and validation is None:
        raise ValueError(
            f"`penalties` (={tuple(penalties)}) must be one number without `validation`, by which it is chosen: "
            "give examples to choose by, or such as (1e-2,)."
        )
    moments = _Moments()
    for x, y in _seen(features, train, state, batch):
        moments.add(x, y)
    kinds = moments.kinds("train")
    solutions = [(float(penalty), moments.solved(penalty)) for penalty in penalties]
    chosen, held = 0, None
    if validation is not None:
        found = _figures(features, validation, state, batch, [solution for _, solution in solutions], kinds)
        chosen = min(range(len(found)), key=lambda number: found[number]["loss"])
        held = found[chosen]
    penalty, solution = solutions[chosen]
    train_figures, test_figures = (
        None if data is None else _figures(features, data, state, batch, [solution], kinds)[0] for data in (train, test)
    )
    assert train_figures is not None
    weight, bias = (jnp.asarray(each, jnp.float32) for each in solution)
    return LinearProbe(Probing(features, weight, bias, state), penalty, train_figures, held, test_figures)


@contract
def features_of(
    features: Callable[..., Any], inputs: Shaped[AnyArray, "batch ..."], state: eqx.nn.State | None = None
) -> Float[Array, "batch features"]:
    """A model's features in inference mode, those of an example in one row.

    **Arguments:** `features`: called as `features(inputs)`, or `features(inputs, state)`; `inputs`: `(batch, …)`;
    `state`.
    **Returns:** `(batch, features)`.
    **Raises:** `ValueError` if there are no inputs; `ContractError` if the model does not keep the axis of examples.
    """
    given = apply_model(features, inputs, state=state, batch=max(1, len(inputs)))
    return widen(given).reshape(len(inputs), -1)


_Solution = tuple[np.ndarray, np.ndarray]


class _Moments:
    """Sums over examples of features, targets and their products, in float64."""

    def __init__(self):
        self.sums: dict[str, np.ndarray] = {}
        self.count = 0

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        self.count += len(x)
        self.is_classes = np.issubdtype(y.dtype, np.integer)
        due = _one_hot(y, int(y.max()) + 1) if self.is_classes else y
        for name, more in {"x": x.sum(0), "xx": x.T @ x, "y": due.sum(0), "xy": x.T @ due}.items():
            known = self.sums[name] if name in self.sums else np.zeros_like(more)
            # A minibatch may be the first with a class, or without the last.
            width = max(known.shape[-1], more.shape[-1])
            self.sums[name] = _widened(known, width) + _widened(more, width)

    def kinds(self, name: str) -> int | None:
        """How many classes there are; `None` for targets that are numbers."""
        if not self.count:
            raise ValueError(f"`{name}` has 0 examples, which must be 1 or more: there is nothing to read out.")
        return len(self.sums["y"]) if self.is_classes else None

    def solved(self, penalty: float) -> _Solution:
        """The read-out of features as they come: weight `(outputs, features)`, bias `(outputs,)`."""
        x, y = self.sums["x"] / self.count, self.sums["y"] / self.count
        covariance = self.sums["xx"] / self.count - np.outer(x, x)
        variance = np.diag(covariance)
        # What does not vary says nothing; rounding leaves a little of its square.
        varies = variance > 1e-12 * np.diag(self.sums["xx"] / self.count)
        scale = np.where(varies, 1 / np.sqrt(np.where(varies, variance, 1)), 0)
        correlation = covariance * np.outer(scale, scale) + penalty * np.eye(len(scale))
        with_targets = (self.sums["xy"] / self.count - np.outer(x, y)) * scale[:, None]
        weight = (np.linalg.solve(correlation, with_targets) * scale[:, None]).T
        return weight, y - weight @ x


def _figures(
    features: Any, data: Data, state: Any, batch: int, solutions: list[_Solution], kinds: int | None
) -> list[dict[str, float]]:
    """The figures of each read-out, from one pass over the data."""
    outputs = len(solutions[0][1])
    errors, hits = [np.zeros(outputs) for _ in solutions], [0 for _ in solutions]
    count, target, square = 0, np.zeros(outputs), np.zeros(outputs)
    for x, y in _seen(features, data, state, batch):
        due = _due(y, kinds, outputs)
        count, target, square = count + len(y), target + due.sum(0), square + np.square(due).sum(0)
        for number, (weight, bias) in enumerate(solutions):
            said = x @ weight.T + bias
            errors[number] += np.square(said - due).sum(0)
            hits[number] += (said.argmax(-1) == due.argmax(-1)).sum()
    if not count:
        raise ValueError(
            "the data have 0 examples, which must be 1 or more: there is nothing to evaluate the probe on."
        )
    losses = [{"loss": float(error.mean() / count)} for error in errors]
    if kinds is not None:
        return [loss | {"accuracy": float(hit / count)} for loss, hit in zip(losses, hits, strict=True)]
    whole = spread(target, square, np.asarray(count))
    return [
        loss | {"r2": float(explained(error, whole, np).mean())} for loss, error in zip(losses, errors, strict=True)
    ]


def _seen(features: Any, data: Data, state: Any, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features and targets of each minibatch: floats in 64 bits, `(batch, …)` in one row each; classes `(batch,)`."""
    for inputs, targets in loader_of(data, batch, key=None).once():
        if targets is None:
            raise ValueError(f"{data.name!r} has no targets, which a probe is to read out: give data with targets.")
        y = np.asarray(targets)
        if np.issubdtype(y.dtype, np.integer):
            if y.ndim != 1 or y.min(initial=0) < 0:
                raise ValueError(
                    f"the targets of {data.name!r} ({y.dtype}{list(y.shape)}) must be class numbers (examples,) "
                    "from 0, or floats: give one class for each example."
                )
        else:
            y = y.astype(np.float64).reshape(len(y), -1)
        x = np.asarray(features_of(features, inputs, state), np.float64)
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise FloatingPointError(
                f"features or targets of {data.name!r} are not finite: look for NaN in the data and in the weights."
            )
        yield x, y


def _due(y: np.ndarray, kinds: int | None, outputs: int) -> np.ndarray:
    """What is to be read out, `(batch, outputs)`."""
    is_classes = np.issubdtype(y.dtype, np.integer)
    if kinds is None:
        if is_classes or y.shape[1] != outputs:
            told = "classes" if is_classes else f"{y.shape[1]} numbers"
            raise ValueError(f"the targets are {told}, which must be {outputs} numbers as in `train`: give such data.")
        return y
    if not is_classes or y.max(initial=0) >= kinds:
        raise ValueError(
            f"the targets hold {y.max(initial=0)}, which must be one of the {kinds} classes of `train`: "
            "give data of the same classes."
        )
    return _one_hot(y, kinds)


def _one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[y]


def _widened(sums: np.ndarray, width: int) -> np.ndarray:
    return np.pad(sums, [(0, 0)] * (sums.ndim - 1) + [(0, width - sums.shape[-1])])
