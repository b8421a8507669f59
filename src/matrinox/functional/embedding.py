"""Tokens into matrix neurons by a table, and neurons back into logits by the same table."""

import math

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Integer

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen


@contract
def embedding(
    weight: Float[AnyArray, "vocabulary p n n"],
    x: Integer[AnyArray, "*batch"] | Float[AnyArray, "*batch vocabulary"],
) -> Float[Array, "*batch p n n"]:
    """The rows of a table: that of each id, or their mixture `y = Σ_v x_v · weight_v` for floats.

    **Arguments:** `weight`: `(vocabulary, p, n, n)`; `x`: ids `(*batch)` of integers, signed or not; or one-hot rows or
    distributions over the tokens `(*batch, vocabulary)` of floats, mixed in one product.
    **Returns:** `(*batch, p, n, n)`. While tracing, where values are unknown, an id outside 0 … vocabulary − 1 gives
    NaN, so that training stops.
    **Raises:** `ContractError` for booleans, or floats without an axis of length vocabulary; `ValueError` for an id
    outside 0 … vocabulary − 1, of which none counts from the end.
    **Source:** TorchLean, `nn.Embedding`; mlax, `Embed`.
    """
    vocabulary, *row = weight.shape
    if jnp.issubdtype(x.dtype, jnp.floating):
        mixed = jnp.einsum("...v,vf->...f", x, jnp.asarray(weight).reshape(vocabulary, math.prod(row)))
        return mixed.reshape(*x.shape[:-1], *row)
    if not isinstance(x, Tracer):
        _require_known(np.asarray(x), vocabulary)
    # Widened, as the gradient is a sum over all places of a token.
    rows = widen(weight).at[x].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
    return rows.astype(jnp.asarray(weight).dtype)


@contract
def unembed(
    weight: Float[AnyArray, "vocabulary p n n"], x: Float[AnyArray, "*batch p n n"]
) -> Float[Array, "*batch vocabulary"]:
    """Logits of the tokens: the Frobenius inner product `Σ_pij weight_vpij · x_pij` with each row of a table.

    **Arguments:** `weight`: `(vocabulary, p, n, n)`; `x`: `(*batch, p, n, n)`.
    **Returns:** `(*batch, vocabulary)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not those of a row.
    **Source:** Press and Wolf 2017, arXiv 1608.05859.
    """
    vocabulary, *row = weight.shape
    features = jnp.asarray(x).reshape(*x.shape[:-3], math.prod(row))
    return jnp.einsum("...f,vf->...v", features, jnp.asarray(weight).reshape(vocabulary, math.prod(row)))


def _require_known(ids: np.ndarray, vocabulary: int) -> None:
    for edge in (ids.min(), ids.max()) if ids.size else ():
        if not 0 <= edge < vocabulary:
            raise ValueError(
                f"`x` holds the id {edge}, which must be from 0 to `vocabulary` − 1 (={vocabulary - 1}): "
                "choose a larger `vocabulary`, or give unknown tokens an id of their own."
            )
