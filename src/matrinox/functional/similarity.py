"""Losses of directions: how far two vectors point apart, and pairs told from all other pairs by it."""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer
from jaxtyping import Bool, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.loss import cross_entropy
from matrinox.functional.precision import exact_product, widen
from matrinox.functional.reduction import kept, reduce_each


@contract
def cosine_distance(
    prediction: Float[AnyArray, "*batch features"],
    target: Float[AnyArray, "*batch features"],
    *,
    reduction: str = "mean",
    where: Bool[AnyArray, "*batch"] | None = None,
) -> Float[Array, "..."]:
    """One less the cosine of the angle between, `1 − ⟨x, y⟩ / (‖x‖ ‖y‖)`, from 0 to 2; 1 where a vector is 0.

    **Arguments:** `prediction`, `target`: `(*batch, features)`; `reduction`: `"mean"`, `"sum"` or `"none"`, over
    examples; `where`: `(*batch)`, the examples that count.
    **Returns:** a scalar, or `(*batch)` with `"none"`; float32 for half-precision input.
    **Raises:** `ContractError` if the shapes differ; `ValueError` for an unknown reduction.
    **Source:** `optax.losses.cosine_distance`.
    """
    prediction, target = kept(where, widen(prediction), widen(target))
    (distance,) = kept(where, 1 - jnp.sum(_unit(prediction) * _unit(target), axis=-1))
    return reduce_each(reduction, distance, where)


@contract
def cosine_similarities(
    first: Float[AnyArray, "rows *features"], second: Float[AnyArray, "columns *features"]
) -> Float[Array, "rows columns"]:
    """The cosine of the angle between each of the first and each of the second, `⟨x_i, y_j⟩ / (‖x_i‖ ‖y_j‖)`.

    **Arguments:** `first`, `second`: `(rows, *features)` and `(columns, *features)`, the features of each taken as one
    vector, so that the cosine of matrices is that of Frobenius.
    **Returns:** `(rows, columns)`, from −1 to 1, and 0 for a vector of 0; float32 for half-precision input.
    **Raises:** `ContractError` if their features differ in shape.
    """
    x, y = (_unit(widen(view).reshape(view.shape[0], math.prod(view.shape[1:]))) for view in (first, second))
    return exact_product(x, y.T)


@contract
def info_nce(
    first: Float[AnyArray, "examples *features"],
    second: Float[AnyArray, "examples *features"],
    *,
    temperature: float | Float[AnyArray, ""] = 0.1,
    reduction: str = "mean",
) -> Float[Array, "..."]:
    """InfoNCE: each example tells its pair from those of all others, `−log softmax_j(cos(x_i, y_j) / τ)_i`, both ways.

    The features of an example are taken as one vector, so that the cosine of matrices is that of Frobenius; what is
    given is the mean of both directions, from first to second and back.

    **Arguments:** `first`, `second`: two views of each example, `(examples, *features)`; `temperature`: τ, above 0, a
    number or, to be learnt, a 0-d array; `reduction`: `"mean"`, `"sum"` or `"none"`, over examples.
    **Returns:** a scalar, or `(examples)` with `"none"`; float32 for half-precision input. It is log(examples) where
    all features are equal.
    **Raises:** `ContractError` if the shapes differ; `ValueError` if `temperature` is not positive, or for an unknown
    reduction.
    **Source:** van den Oord et al. 2018 (arXiv 1807.03748), eq. 4, on cosines and both ways as Radford et al. 2021
    (arXiv 2103.00020), fig. 3.
    """
    if not isinstance(temperature, Tracer) and not temperature > 0:
        raise ValueError(f"`temperature` (={temperature}) must be above 0: 0.1 is common.")
    cosines = cosine_similarities(first, second)
    logits = cosines / jnp.asarray(temperature, cosines.dtype)
    ids = jnp.arange(first.shape[0])
    both = (cross_entropy(each, ids, reduction="none") for each in (logits, logits.T))
    return reduce_each(reduction, sum(both, start=jnp.zeros((), logits.dtype)) / 2)


def _unit(x: Array) -> Array:
    """Vectors of length 1, `(*batch, features)`; a vector of 0 stays, and its slope is 0."""
    # The direction does not depend on the length, so that this has no slope.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
    # NaN is some: as a vector of 0, a model that says nothing else would have a loss.
    some = largest != 0
    # Brought near 1 first: the square of a small or large entry would be 0 or ∞.
    x = jnp.where(some, x, 0) / jnp.where(some, largest, 1)
    square = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x / jnp.sqrt(jnp.where(some, square, 1))
