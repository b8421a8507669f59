"""Losses: how far a prediction is from its target. Half-precision input is compared, and returned, in float32."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from matrinox.contract import AnyArray, contract
from matrinox.contract.nearest import nearest
from matrinox.functional.precision import widen

_REDUCTIONS = {"mean": jnp.mean, "sum": jnp.sum, "none": jnp.asarray}


@contract
def mse(
    prediction: Float[AnyArray, "*shape"], target: Float[AnyArray, "*shape"], *, reduction: str = "mean"
) -> Float[Array, "..."]:
    """Squared error, `(prediction − target)²`, averaged over all entries by default.

    **Arguments:** `prediction`, `target`: `(*shape)`, the same for both: nothing is broadcast; `reduction`: `"mean"`,
    `"sum"` or `"none"`.
    **Returns:** a scalar, or `(*shape)` with `"none"`; float32 for half-precision input.
    **Raises:** `ContractError` if the shapes differ; `ValueError` for an unknown reduction.
    **Source:** TorchLean, `loss.mse`.
    """
    return _reduce(reduction, jnp.square(widen(prediction) - widen(target)))


@contract
def cross_entropy(
    logits: Float[AnyArray, "*batch classes"],
    target: Float[AnyArray, "*batch classes"] | Integer[AnyArray, "*batch"],
    *,
    reduction: str = "mean",
) -> Float[Array, "..."]:
    """Cross-entropy, `−Σ_c target_c · log softmax(logits)_c`, averaged over the examples by default.

    **Arguments:** `logits`: `(*batch, classes)`; `target`: class ids `(*batch)` of integers, signed or not, or one-hot
    rows or distributions `(*batch, classes)` of floats; `reduction`: `"mean"`, `"sum"` or `"none"`, over examples.
    **Returns:** a scalar, or `(*batch)` with `"none"`; float32 for half-precision input. A class id outside
    0 … classes − 1 gives NaN.
    **Raises:** `ContractError` if the shapes do not match; `ValueError` for an unknown reduction.
    **Source:** TorchLean, `loss.crossEntropy`.
    """
    log_odds = jax.nn.log_softmax(widen(logits), axis=-1)
    if jnp.issubdtype(target.dtype, jnp.integer):
        return _reduce(reduction, -_at(log_odds, jnp.asarray(target)))
    target = widen(target)
    # A class that the target leaves out adds nothing, also where its logit is −∞. The product must not see that −∞:
    # its slope along the target would be NaN behind any selection.
    finite = jnp.where((target == 0) & jnp.isneginf(log_odds), 0, log_odds)
    return _reduce(reduction, -jnp.sum(target * finite, axis=-1))


def _at(log_odds: Array, ids: Array) -> Array:
    if ids.dtype.itemsize < 4:
        # The count of classes may be beyond a small dtype.
        ids = ids.astype(jnp.int32)
    chosen = jnp.take_along_axis(log_odds, ids[..., None], axis=-1, mode="clip")[..., 0]
    return jnp.where((ids >= 0) & (ids < log_odds.shape[-1]), chosen, jnp.nan)


def _reduce(reduction: str, losses: Array) -> Array:
    if reduction not in _REDUCTIONS:
        close = nearest(reduction, _REDUCTIONS)
        raise ValueError(f"`reduction` (={reduction!r}) must be 'mean', 'sum' or 'none': did you mean {close!r}?")
    return _REDUCTIONS[reduction](losses)
