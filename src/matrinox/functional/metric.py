"""Metrics: how good predictions are, in figures that people compare. Nothing here is meant to be differentiated."""

import math
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from matrinox.contract import AnyArray, contract
from matrinox.functional.loss import counted, cross_entropy, wide
from matrinox.functional.precision import widen
from matrinox.functional.reduction import kept, reduce_each


@contract
def accuracy(
    logits: Float[AnyArray, "*batch classes"],
    target: Float[AnyArray, "*batch classes"] | Integer[AnyArray, "*batch"],
    *,
    reduction: str = "mean",
    ignored: int | None = None,
) -> Float[Array, "..."]:
    """The share of examples whose largest logit is that of the target; of equal logits, the first counts.

    **Arguments:** as for `top_k_accuracy`.
    **Returns:** a scalar, or 0 and 1 `(*batch)` with `"none"`, in float32.
    **Raises:** as `top_k_accuracy`.
    **Source:** TorchLean, `accuracyOneHot`.
    """
    return top_k_accuracy(logits, target, k=1, reduction=reduction, ignored=ignored)


@contract
def top_k_accuracy(
    logits: Float[AnyArray, "*batch classes"],
    target: Float[AnyArray, "*batch classes"] | Integer[AnyArray, "*batch"],
    *,
    k: int,
    reduction: str = "mean",
    ignored: int | None = None,
) -> Float[Array, "..."]:
    """The share of examples whose target is among the classes of the k largest logits; of equal ones, the first count.

    **Arguments:** `logits`: `(*batch, classes)`; `target`: class ids `(*batch)`, or one-hot rows or distributions
    `(*batch, classes)`, of which the largest entry counts; `k`; `reduction`: `"mean"`, `"sum"`, which is the count, or
    `"none"`; `ignored`: the class id of examples that do not count.
    **Returns:** a scalar, or 0 and 1 `(*batch)` with `"none"`, in float32. A class id that is none of the classes is
    never hit; a mean over nothing is NaN.
    **Raises:** `ContractError` if the shapes do not match; `ValueError` if `k` is not from 1 to the number of classes,
    for an unknown reduction, or for `ignored` where the targets are no class ids.
    """
    classes = logits.shape[-1]
    if not 1 <= k <= classes:
        raise ValueError(f"`k` (={k}) must be from 1 to the number of classes (={classes}): choose one of these.")
    ids = class_ids(target)
    counts = counted(target, ignored)
    likeliest = jnp.argmax(logits, axis=-1)[..., None] if k == 1 else jax.lax.top_k(jnp.asarray(logits), k)[1]
    (hits,) = kept(counts, jnp.any(likeliest == ids[..., None], axis=-1).astype(jnp.float32))
    return reduce_each(reduction, hits, counts, of_nothing=math.nan)


@contract
def confusion_matrix(
    prediction: Integer[AnyArray, "*batch"], target: Integer[AnyArray, "*batch"], *, classes: int
) -> Integer[Array, "classes classes"]:
    """How many examples of each class were taken for each: row i, column j counts targets i predicted as j.

    **Arguments:** `prediction`, `target`: class ids `(*batch)`; a pair with one outside 0 … classes − 1 is counted
    nowhere; `classes`.
    **Returns:** `(classes, classes)` of int32: its sum is the number of examples, that of its diagonal the hits.
    **Raises:** `ContractError` if the shapes differ; `ValueError` if `classes` is below 1.
    """
    if classes < 1:
        raise ValueError(f"`classes` (={classes}) must be 1 or more: give the number of the model's logits.")
    rows, columns = (ids.reshape(-1) for ids in (class_ids(target), class_ids(prediction)))
    known = (rows >= 0) & (rows < classes) & (columns >= 0) & (columns < classes)
    # A place behind the end is dropped; a negative one would count from there.
    place = jnp.where(known, rows * classes + columns, classes * classes)
    return jnp.zeros(classes * classes, jnp.int32).at[place].add(1, mode="drop").reshape(classes, classes)


@contract
def r2(
    prediction: Float[AnyArray, "examples *target"],
    target: Float[AnyArray, "examples *target"],
    *,
    reduction: str = "mean",
) -> Float[Array, "..."]:
    """The share of a target's variance that is predicted, `1 − Σ (t − y)² / Σ (t − t̄)²`, for each entry of a target.

    The deviations are taken about the mean before they are squared, so that a large mean costs no digits. A target that
    never changes, as that of one example, has 1 if it is predicted exactly, and else 0.

    **Arguments:** `prediction`, `target`: `(examples, *target)`; `reduction`: `"mean"`, `"sum"` or `"none"`, over the
    entries of a target.
    **Returns:** a scalar, or `(*target)` with `"none"`; float32 for half-precision input; NaN of no examples.
    **Raises:** `ContractError` if the shapes differ; `ValueError` for an unknown reduction.
    **Source:** `sklearn.metrics.r2_score`.
    """
    prediction, target = widen(prediction), widen(target)
    residual = jnp.sum(jnp.square(target - prediction), axis=0)
    # From the first example on, the mean of equal numbers is exactly that number.
    shifted = target - target[:1]
    total = jnp.sum(jnp.square(shifted - jnp.mean(shifted, axis=0)), axis=0)
    each = explained(residual, total, jnp)
    return reduce_each(reduction, each if len(target) else jnp.full_like(each, math.nan))


@contract
def perplexity(
    logits: Float[AnyArray, "*batch classes"],
    target: Float[AnyArray, "*batch classes"] | Integer[AnyArray, "*batch"],
    *,
    ignored: int | None = None,
) -> Float[Array, ""]:
    """`exp` of the mean cross-entropy: among how many equally likely tokens the model is undecided.

    **Arguments:** `logits`: `(*batch, classes)`; `target`, `ignored`: as for `cross_entropy`.
    **Returns:** 0-d, from 1; float32 for half-precision input; NaN where no example counts.
    **Raises:** `ContractError` if the shapes do not match; `ValueError` for `ignored` where the targets are no class
    ids.
    """
    return jnp.exp(_nats(logits, target, "mean", ignored))


@contract
def bits_per_character(
    logits: Float[AnyArray, "*batch classes"],
    target: Float[AnyArray, "*batch classes"] | Integer[AnyArray, "*batch"],
    *,
    characters_per_token: float = 1.0,
    reduction: str = "mean",
    ignored: int | None = None,
) -> Float[Array, "..."]:
    """The cross-entropy in bits, divided by the characters of a token: comparable between tokenizers.

    **Arguments:** `logits`: `(*batch, classes)`; `target`, `reduction`, `ignored`: as for `cross_entropy`;
    `characters_per_token`: of the text on average, 1 for bits per token.
    **Returns:** a scalar, or `(*batch)` with `"none"`; float32 for half-precision input; a mean over nothing is NaN.
    **Raises:** `ContractError` if the shapes do not match; `ValueError` if `characters_per_token` is not positive and
    finite, for an unknown reduction, or for `ignored` where the targets are no class ids.
    """
    require_characters(characters_per_token)
    return _nats(logits, target, reduction, ignored) / (math.log(2) * characters_per_token)


def class_ids(target: AnyArray) -> Array:
    """Class ids of at least 32 bits: those given, or the largest entry of each row of floats."""
    return jnp.argmax(target, axis=-1) if jnp.issubdtype(target.dtype, jnp.floating) else wide(target)


def _nats(logits: AnyArray, target: AnyArray, reduction: str, ignored: int | None) -> Array:
    each = cross_entropy(logits, target, reduction="none", ignored=ignored)
    return reduce_each(reduction, each, counted(target, ignored), of_nothing=math.nan)


def explained(residual: Any, total: Any, numbers: ModuleType) -> Any:
    """`1 − residual / total`; where the total is 0, 1 if the residual is 0 as well, and else 0.

    **Arguments:** `residual`, `total`: sums of squares; `numbers`: `jax.numpy`, or `numpy` for figures in float64.
    """
    varies = total > 0
    # The products keep a NaN.
    still = (residual == 0) + 0 * residual + 0 * total
    return numbers.where(varies, 1 - residual / numbers.where(varies, total, 1), still)


def require_characters(characters_per_token: float) -> None:
    """Refuses what no text has.

    **Raises:** `ValueError` if it is not positive, or not finite.
    """
    if not 0 < characters_per_token < math.inf:
        raise ValueError(
            f"`characters_per_token` (={characters_per_token}) must be above 0 and finite: divide the characters "
            "of a text by its tokens."
        )
