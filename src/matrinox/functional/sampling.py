"""Drawing the next token from logits: by temperature, of the k likeliest, of the likeliest that make up a share p."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen


@contract
def keep_top_k(logits: Float[AnyArray, "*batch vocabulary"], k: int) -> Float[Array, "*batch vocabulary"]:
    """The k largest logits as they are, −∞ for the rest: `softmax` of it is the distribution among the k likeliest.

    Of equal logits those of the smaller ids are kept.

    **Arguments:** `logits`: `(*batch, vocabulary)`; `k`: how many to keep.
    **Returns:** `(*batch, vocabulary)`, with k finite entries at most.
    **Raises:** `ValueError` if `k` is not between 1 and vocabulary; `ContractError` for integers.
    **Source:** Fan, Lewis and Dauphin 2018, arXiv 1805.04833.
    """
    logits = jnp.asarray(logits)
    require_top_k(k, logits.shape[-1])
    kept = jnp.zeros(logits.shape, bool)
    return _without(logits, jnp.put_along_axis(kept, jax.lax.top_k(logits, k)[1], True, axis=-1, inplace=False))


@contract
def keep_top_p(
    logits: Float[AnyArray, "*batch vocabulary"], p: float | Float[AnyArray, ""]
) -> Float[Array, "*batch vocabulary"]:
    """The fewest of the largest logits whose probabilities sum to p or more as they are, −∞ for the rest.

    One is always kept. Of equal logits those of the smaller ids are kept. With p = 1 nothing changes.

    **Arguments:** `logits`: `(*batch, vocabulary)`; `p`: above 0 and at most 1.
    **Returns:** `(*batch, vocabulary)`.
    **Raises:** `ValueError` if `p` is out of range, unless it is an array; `ContractError` for integers as logits.
    **Source:** Holtzman et al. 2020, arXiv 1904.09751, nucleus sampling.
    """
    logits = jnp.asarray(logits)
    require_top_p(p)
    order = jnp.argsort(-logits, axis=-1, stable=True)
    shares = jax.nn.softmax(widen(jnp.take_along_axis(logits, order, axis=-1)), axis=-1)
    before = jnp.cumsum(shares, axis=-1) - shares
    # The first is always in, and with p = 1 all are, whatever the rounding of the sum.
    kept = (before < p) | (jnp.arange(logits.shape[-1]) == 0) | (jnp.asarray(p) >= 1)
    return _without(logits, jnp.take_along_axis(kept, jnp.argsort(order, axis=-1), axis=-1))


@contract
def sample_tokens(
    logits: Float[AnyArray, "*batch vocabulary"],
    *,
    key: PRNGKeyArray | None = None,
    temperature: float | Float[AnyArray, ""] = 1.0,
    top_k: int | None = None,
    top_p: float | Float[AnyArray, ""] | None = None,
) -> Integer[Array, "*batch"]:
    """Draws a token from `softmax(logits / temperature)`, of the `top_k` likeliest and of these the share `top_p`.

    **Arguments:** `logits`: `(*batch, vocabulary)`; `key`: one for all draws, not needed at temperature 0;
    `temperature`: 0 for the likeliest token, of equal ones that of the smaller id; as an array, above 0; `top_k`,
    `top_p`: as for `keep_top_k` and `keep_top_p`, in this order, `None` for all.
    **Returns:** ids, `(*batch)`.
    **Raises:** `ValueError` for a negative `temperature`, a `top_k` or `top_p` out of range, and a missing key;
    `ContractError` for integers as logits.
    **Source:** Holtzman et al. 2020, arXiv 1904.09751.
    """
    logits = widen(logits)
    require_temperature(temperature)
    if isinstance(temperature, float | int):
        if temperature == 0:
            return jnp.argmax(logits, axis=-1)
        temperature = jnp.asarray(temperature, logits.dtype)
    key = require_key(key, temperature)
    if top_k is not None:
        require_top_k(top_k, logits.shape[-1], "top_k")
    if top_p is not None:
        require_top_p(top_p, "top_p")
    # The largest logit as 0, so that none overflows, and a temperature that float32 can divide by.
    logits = logits - jnp.max(logits, axis=-1, keepdims=True)
    logits = logits / jnp.maximum(temperature, jnp.finfo(logits.dtype).tiny)
    logits = logits if top_k is None else keep_top_k(logits, top_k)
    logits = logits if top_p is None else keep_top_p(logits, top_p)
    return jax.random.categorical(key, logits, axis=-1)


def require_temperature(temperature: float | AnyArray) -> None:
    """Refuses a temperature that is negative or not finite.

    **Raises:** `ValueError`.
    """
    if isinstance(temperature, float | int) and not 0 <= temperature < float("inf"):
        raise ValueError(
            f"`temperature` (={temperature}) must be 0 or more: choose 1 for the model's own probabilities, 0 for the "
            "likeliest token."
        )


def require_key(key: PRNGKeyArray | None, temperature: float | AnyArray) -> PRNGKeyArray:
    """The key of draws at a temperature above 0.

    **Raises:** `ValueError` if there is none.
    """
    if key is None:
        raise ValueError(
            f"`key` (=None) is needed at a `temperature` of {temperature}: pass a key, or choose temperature=0."
        )
    return key


def require_top_k(k: int, vocabulary: int, name: str = "k") -> None:
    """Refuses a number of tokens that there are not.

    **Raises:** `ValueError`.
    """
    if not 1 <= k <= vocabulary:
        raise ValueError(
            f"`{name}` (={k}) must be between 1 and the vocabulary (={vocabulary}): choose how many to keep."
        )


def require_top_p(p: float | AnyArray, name: str = "p") -> None:
    """Refuses a share that is none.

    **Raises:** `ValueError`.
    """
    if isinstance(p, float | int) and not 0 < p <= 1:
        raise ValueError(f"`{name}` (={p}) must be above 0 and at most 1: choose a share such as 0.9.")


def _without(logits: Array, kept: Bool[Array, "*batch vocabulary"]) -> Array:
    return jnp.where(kept, logits, -jnp.inf)
