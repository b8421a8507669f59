"""`Normalize`: shift and scale of inputs, fitted on the training examples, as a layer that is saved with the model."""

from collections.abc import Iterator
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Num, PRNGKeyArray, UInt32

from matrinox.contract import AnyArray, contract
from matrinox.data.loader import Loader
from matrinox.data.loader_of import Data, loader_of
from matrinox.functional.precision import widen


@contract
class Normalize(eqx.Module):
    """`y = (x − offset) / scale`, as the first layer of a model or beside it; nothing in it is trained.

    The numbers are kept as bits: what trains a model takes its arrays of floats for weights, and would let the decay of
    weights draw them to zero, a lower precision round them.

    **Arguments:** `offset`, `scale`: of the last axes of an input, `(…)`, in float32; `scale` above 0.
    **Raises:** `ContractError` if the two are not of one shape; `ValueError` for a `scale` that is not positive and
    finite, and an `offset` that is not finite.

    >>> import numpy as np
    >>> from matrinox.data.examples import DataSet
    >>> Normalize.fit(DataSet(np.array([[1.0, 5.0], [3.0, 5.0]])))(np.array([[1.0, 5.0], [3.0, 6.0]]))
    Array([[-1.,  0.],
           [ 1.,  1.]], dtype=float32)
    """

    bits: UInt32[Array, "2 ..."]

    def __init__(self, offset: Float[AnyArray, "*shape"], scale: Float[AnyArray, "*shape"]):
        if not isinstance(offset, Tracer) and not np.all(np.isfinite(offset)):
            raise ValueError("`offset` must be finite: fit it on examples that are, or fill in what is missing.")
        if not isinstance(scale, Tracer) and not np.all(np.isfinite(scale) & (np.asarray(scale) > 0)):
            raise ValueError("`scale` must be above 0 and finite: choose 1 for what is constant.")
        numbers = jnp.stack([jnp.asarray(offset, jnp.float32), jnp.asarray(scale, jnp.float32)])
        self.bits = jax.lax.bitcast_convert_type(numbers, jnp.uint32)

    @staticmethod
    def identity(*shape: int) -> "Normalize":
        """One that changes nothing: what a config builds, into which `load` puts the numbers of a file.

        **Arguments:** `shape`: of `offset` and `scale`, such as the number of features; none for one number each.
        """
        return Normalize(jnp.zeros(shape), jnp.ones(shape))

    @staticmethod
    def fit(
        train: Data,
        *,
        per: Literal["feature", "channel", "all"] = "feature",
        method: Literal["standard", "min-max"] = "standard",
        of: Literal["inputs", "targets"] = "inputs",
        batch: int = 1024,
    ) -> "Normalize":
        """The shift and scale that bring the training examples to mean 0 and variance 1, or to 0 … 1.

        The examples are read once, a minibatch at a time, and counted in float64. What is constant is shifted alone.

        **Arguments:** `train`: the training part alone, as what validates or tests must not be known yet; `per`:
        whether each entry of an example has numbers of its own, or each channel (its last axis), or there is one pair
        for `"all"`; `method`: `"standard"` for mean and standard deviation (with the count as divisor), `"min-max"` for
        minimum and range; `of`: what is fitted, `"targets"` for regression; `batch`: how many examples are read at a
        time, where a loader does not say it.
        **Returns:** a layer for inputs `(*batch, …)`.
        **Raises:** `ValueError` if there are no examples, no targets to fit or an entry that is not finite.
        """
        loader = loader_of(train, batch, key=None)
        mean, deviation, low, high = _statistics(_reduced(values, per) for values in _values(loader, of))
        if not np.all(np.isfinite([low, high])):
            where = tuple(int(index) for index in np.argwhere(~np.isfinite(low) | ~np.isfinite(high))[0])
            raise ValueError(
                f"the {of} of {loader.name!r} hold a number that is not finite"
                f"{f', in entry {list(where)}' if where else ''}: fill in or leave out what is missing."
            )
        offset, scale = (mean, deviation) if method == "standard" else (low, high - low)
        # By its range and not its deviation, which rounding lets differ from 0.
        scale = np.where((high > low) & (scale.astype(np.float32) > 0), scale, 1)
        return Normalize(np.asarray(offset, np.float32), np.asarray(scale, np.float32))

    @property
    def offset(self) -> Float[Array, "..."]:
        """What is subtracted: the mean, or the minimum."""
        return jax.lax.bitcast_convert_type(self.bits[0], jnp.float32)

    @property
    def scale(self) -> Float[Array, "..."]:
        """What is divided by: the standard deviation, or the range; 1 for what is constant."""
        return jax.lax.bitcast_convert_type(self.bits[1], jnp.float32)

    @property
    def taken(self) -> str:
        """The sizes of the last axes of an input: `"8 8 1"`."""
        # A space says to the contract that these are any number of axes, none among them.
        return "".join(f"{size} " for size in self.bits.shape[1:]) or " "

    def __call__(
        self, x: Num[AnyArray, "*batch {self.taken}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.taken}"]:
        """Normalises.

        **Arguments:** `x`: `(*batch, …)`, integers too; `key`: not used.
        **Returns:** the shape of `x`, and its dtype, but float32 for integers.
        **Raises:** `ContractError` if the last axes are not those of `offset`.
        """
        wide = widen(x)
        return ((wide - self.offset) / self.scale).astype(_given(x))

    def inverse(self, y: Num[AnyArray, "*batch {self.taken}"]) -> Float[Array, "*batch {self.taken}"]:
        """What was normalised: `x = y · scale + offset`, such as a prediction in the unit of the targets.

        **Arguments:** `y`: `(*batch, …)`.
        **Returns:** the shape of `y`, and its dtype, but float32 for integers.
        **Raises:** `ContractError` if the last axes are not those of `offset`.
        """
        return (widen(y) * self.scale + self.offset).astype(_given(y))


def _given(x: AnyArray) -> jnp.dtype:
    dtype = jnp.asarray(x).dtype
    return dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.dtype(jnp.float32)


def _values(loader: Loader, of: str) -> Iterator[np.ndarray]:
    for inputs, targets in loader.once():
        values = inputs if of == "inputs" else targets
        if values is None:
            raise ValueError(f"`of` (='targets') must be 'inputs' for {loader.name!r}: there are no targets.")
        yield np.asarray(values, np.float64)


def _reduced(values: np.ndarray, per: str) -> np.ndarray:
    """With the axes that statistics run over as the first one."""
    if per == "all":
        return values.reshape(-1)
    return values.reshape(-1, values.shape[-1]) if per == "channel" else values


def _statistics(parts: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation, least and greatest over the first axis of all parts.

    **Source:** Chan, Golub and LeVeque 1979, for what two parts have together.
    """
    count, mean, squares, low, high = 0, np.zeros(()), np.zeros(()), np.array(np.inf), np.array(-np.inf)
    for part in parts:
        more = len(part)
        part_mean = part.mean(0)
        apart = part_mean - mean
        squares = squares + ((part - part_mean) ** 2).sum(0) + apart**2 * (count * more / (count + more))
        mean = mean + apart * (more / (count + more))
        count += more
        # What is not a number stays so.
        low, high = np.minimum(low, part.min(0)), np.maximum(high, part.max(0))
    if count == 0:
        raise ValueError("`train` has 0 examples, which must be 1 or more: there is nothing to fit on.")
    return np.asarray(mean), np.sqrt(squares / count), np.asarray(low), np.asarray(high)
