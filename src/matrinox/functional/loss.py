"""Losses: how far a prediction is from its target. Half-precision input is compared, and returned, in float32.

A loss passes no gradient on to an output that goes through `stop_gradient`: so a figure is taken on the way.
"""

import math

import jax
import jax.numpy as jnp
import optax
from jax.scipy.special import xlogy
from jaxtyping import Array, Bool, Float, Integer

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen
from matrinox.functional.reduction import kept, reduce_each


@contract
def mse(
    prediction: Float[AnyArray, "*shape"],
    target: Float[AnyArray, "*shape"],
    *,
    reduction: str = "mean",
    where: Bool[AnyArray, "*shape"] | None = None,
) -> Float[Array, "..."]:
    """Squared error, `(prediction − target)²`, averaged over all entries by default.

    **Arguments:** `prediction`, `target`: `(*shape)`, the same for both: nothing is broadcast; `reduction`: `"mean"`,
    `"sum"` or `"none"`; `where`: `(*shape)`, the entries that count: whatever the others hold, NaN too, adds nothing,
    and a mean over none is 0.
    **Returns:** a scalar, or `(*shape)` with `"none"`; float32 for half-precision input.
    **Raises:** `ContractError` if the shapes differ; `ValueError` for an unknown reduction.
    **Source:** TorchLean, `loss.mse`.
    """
    prediction, target = kept(where, widen(prediction), widen(target))
    return reduce_each(reduction, jnp.square(prediction - target), where)


@contract
def mae(
    prediction: Float[AnyArray, "*shape"],
    target: Float[AnyArray, "*shape"],
    *,
    reduction: str = "mean",
    where: Bool[AnyArray, "*shape"] | None = None,
) -> Float[Array, "..."]:
    """Absolute error, `|prediction − target|`, averaged over all entries by default.

    **Arguments:** as for `mse`.
    **Returns:** a scalar, or `(*shape)` with `"none"`; float32 for half-precision input.
    **Raises:** `ContractError` if the shapes differ; `ValueError` for an unknown reduction.
    """
    prediction, target = kept(where, widen(prediction), widen(target))
    return reduce_each(reduction, jnp.abs(prediction - target), where)


@contract
def huber(
    prediction: Float[AnyArray, "*shape"],
    target: Float[AnyArray, "*shape"],
    *,
    delta: float = 1.0,
    reduction: str = "mean",
    where: Bool[AnyArray, "*shape"] | None = None,
) -> Float[Array, "..."]:
    """Half the squared error up to δ, and `δ · (|prediction − target| − δ / 2)` beyond, where the slope stays δ.

    **Arguments:** `delta`: δ, above 0 and finite; the others as for `mse`.
    **Returns:** a scalar, or `(*shape)` with `"none"`; float32 for half-precision input.
    **Raises:** `ContractError` if the shapes differ; `ValueError` if `delta` is out of range, or for an unknown
    reduction.
    **Source:** `optax.losses.huber_loss`.
    """
    require_delta(delta)
    prediction, target = kept(where, widen(prediction), widen(target))
    return reduce_each(reduction, optax.losses.huber_loss(prediction, target, delta=delta), where)


@contract
def binary_cross_entropy(
    logits: Float[AnyArray, "*shape"],
    target: Float[AnyArray, "*shape"] | Integer[AnyArray, "*shape"] | Bool[AnyArray, "*shape"],
    *,
    reduction: str = "mean",
    where: Bool[AnyArray, "*shape"] | None = None,
) -> Float[Array, "..."]:
    """Cross-entropy of yes and no, `−t · log σ(logit) − (1 − t) · log σ(−logit)`, averaged over all entries by default.

    **Arguments:** `logits`: `(*shape)`, finite; `target`: `(*shape)`, 0 and 1, false and true, or shares between;
    `reduction`, `where`: as for `mse`.
    **Returns:** a scalar, or `(*shape)` with `"none"`; float32 for half-precision input.
    **Raises:** `ContractError` if the shapes differ; `ValueError` for an unknown reduction.
    **Source:** `optax.losses.sigmoid_binary_cross_entropy`.
    """
    logits = widen(logits)
    logits, target = kept(where, logits, jnp.asarray(target).astype(logits.dtype))
    (losses,) = kept(where, optax.losses.sigmoid_binary_cross_entropy(logits, target))
    return reduce_each(reduction, losses, where)


@contract
def cross_entropy(
    logits: Float[AnyArray, "*batch classes"],
    target: Float[AnyArray, "*batch classes"] | Integer[AnyArray, "*batch"],
    *,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    weights: Float[AnyArray, " classes"] | None = None,
    ignored: int | None = None,
) -> Float[Array, "..."]:
    """Cross-entropy, `−Σ_c w_c · target_c · log softmax(logits)_c`, averaged over the examples by default.

    With weights the mean is the sum divided by that of the examples' own weights, `Σ_c w_c · target_c` before
    smoothing: an example counts as often as its class weighs, and class ids and their one-hot rows give the same. That
    is PyTorch's mean for class ids; for rows, PyTorch divides by the number of examples.

    **Arguments:** `logits`: `(*batch, classes)`; `target`: class ids `(*batch)` of integers, signed or not, or one-hot
    rows or distributions `(*batch, classes)` of floats; `reduction`: `"mean"`, `"sum"` or `"none"`, over examples;
    `label_smoothing`: how much of each target is spread evenly over all classes, from 0 to below 1; `weights`: of
    classes, `(classes)`; `ignored`: the class id of examples that do not count, such as padding.
    **Returns:** a scalar, or `(*batch)` with `"none"`; float32 for half-precision input. A class id outside
    0 … classes − 1 that is not `ignored` gives NaN; a mean over nothing is 0.
    **Raises:** `ContractError` if the shapes do not match; `ValueError` for an unknown reduction, for smoothing out of
    range, or for `ignored` where the targets are no class ids.
    **Source:** TorchLean, `loss.crossEntropy`.
    """
    require_smoothing(label_smoothing)
    each = jax.nn.log_softmax(widen(logits), axis=-1)
    weight = example_weights(target, weights, ignored)
    if weights is not None:
        weights = jnp.asarray(weights, each.dtype)
        # A class of weight 0 adds nothing, also where its logit is −∞.
        each = jnp.where(weights == 0, 0, weights * each)
    if _are_ids(target):
        ids = wide(target)
        losses = -_at(each, ids if ignored is None else jnp.where(ids == ignored, 0, ids))
    else:
        losses = -_expected(each, widen(target))
    if label_smoothing:
        # NaN, where the target is no class, stays.
        losses = (1 - label_smoothing) * losses - label_smoothing * jnp.mean(each, axis=-1)
    (losses,) = kept(counted(target, ignored), losses)
    return reduce_each(reduction, losses, weight)


@contract
def kl_divergence(
    logits: Float[AnyArray, "*batch classes"], target: Float[AnyArray, "*batch classes"], *, reduction: str = "mean"
) -> Float[Array, "..."]:
    """Kullback-Leibler divergence, `Σ_c target_c · (log target_c − log softmax(logits)_c)`, averaged over the examples.

    It is the cross-entropy less that of the target with itself, so that its gradient along the logits is the same.

    **Arguments:** `logits`: `(*batch, classes)`, of which log-probabilities are a case; `target`: distributions
    `(*batch, classes)`; `reduction`: `"mean"`, `"sum"` or `"none"`, over examples.
    **Returns:** a scalar, or `(*batch)` with `"none"`; float32 for half-precision input.
    **Raises:** `ContractError` if the shapes differ; `ValueError` for an unknown reduction.
    """
    log_odds, target = jax.nn.log_softmax(widen(logits), axis=-1), widen(target)
    return reduce_each(reduction, jnp.sum(xlogy(target, target), axis=-1) - _expected(log_odds, target))


def require_smoothing(label_smoothing: float) -> None:
    """Refuses a share that cannot be spread.

    **Raises:** `ValueError` if it is not from 0 to below 1.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"`label_smoothing` (={label_smoothing}) must be from 0 to below 1: 0.1 is common.")


def require_delta(delta: float) -> None:
    """Refuses an error from which on no loss can be linear.

    **Raises:** `ValueError` if it is not above 0, or not finite.
    """
    if not 0 < delta < math.inf:
        raise ValueError(
            f"`delta` (={delta}) must be above 0 and finite: choose the error from which on the loss is linear."
        )


def example_weights(target: AnyArray, weights: AnyArray | None, ignored: int | None) -> Array | None:
    """How much each example counts in the mean of `cross_entropy`, `(*batch)`; `None` where each counts 1.

    **Raises:** `ValueError` for `ignored` where the targets are no class ids.
    """
    counts = counted(target, ignored)
    if weights is None:
        return counts
    if not _are_ids(target):
        return jnp.sum(jnp.asarray(weights) * widen(target), axis=-1)
    ids = wide(target)
    weight = _at(jnp.broadcast_to(weights, (*ids.shape, len(weights))), ids)
    return weight if counts is None else jnp.where(counts, weight, 0)


def counted(target: AnyArray, ignored: int | None) -> Array | None:
    """Which examples count, `(*batch)`; `None` where all do.

    **Raises:** `ValueError` for `ignored` where the targets are no class ids.
    """
    if ignored is None:
        return None
    if not _are_ids(target):
        raise ValueError(
            f"`ignored` (={ignored}) must come with class ids: leave it out for targets of {target.dtype}."
        )
    return wide(target) != ignored


def wide(ids: AnyArray) -> Array:
    """Class ids of at least 32 bits."""
    ids = jnp.asarray(ids)
    # The count of classes may be beyond a small dtype.
    return ids.astype(jnp.int32) if ids.dtype.itemsize < 4 else ids


def _are_ids(target: AnyArray) -> bool:
    return jnp.issubdtype(target.dtype, jnp.integer)


def _expected(log_odds: Array, target: Array) -> Array:
    # A class that the target leaves out adds nothing, also where its logit is −∞. The product must not see that −∞:
    # its slope along the target would be NaN behind any selection.
    finite = jnp.where((target == 0) & jnp.isneginf(log_odds), 0, log_odds)
    return jnp.sum(target * finite, axis=-1)


def _at(of_classes: Array, ids: Array) -> Array:
    chosen = jnp.take_along_axis(of_classes, ids[..., None], axis=-1, mode="clip")[..., 0]
    return jnp.where((ids >= 0) & (ids < of_classes.shape[-1]), chosen, jnp.nan)
