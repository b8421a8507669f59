"""`Embedding`, a table of matrix neurons with a row for each token."""

import equinox as eqx
import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import embedding, unembed
from matrinox.initializers import Initializer
from matrinox.nn.linear import check_sizes

_STANDARD_NORMAL: Initializer = jax.nn.initializers.normal(1.0)


@contract
class Embedding(eqx.Module):
    """Tokens into matrix neurons, each by its row of a table: `(*batch)` to `(*batch, p, n, n)`.

    **Arguments:** `vocabulary`: how many tokens there are; `p`, `n`: neurons and matrix side; `initializer`: of the
    weight `(vocabulary, p, n, n)`, by default standard normal, so that entries come out with variance 1; `dtype`: of
    the weight, the default float where `None`; `key`: one key.
    **Raises:** `ValueError` for a size below 1.
    **Source:** `functional.embedding`.

    >>> import jax, jax.numpy as jnp
    >>> layer = Embedding(vocabulary=100, p=2, n=4, key=jax.random.key(0))
    >>> layer(jnp.zeros((32, 10), int)).shape
    (32, 10, 2, 4, 4)
    """

    weight: Float[Array, "vocabulary p n n"]

    def __init__(
        self,
        vocabulary: int,
        p: int,
        n: int,
        *,
        initializer: Initializer = _STANDARD_NORMAL,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(vocabulary=vocabulary, p=p, n=n)
        self.weight = initializer(key, (vocabulary, p, n, n), dtype)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return self.weight.shape[-4]

    @property
    def p(self) -> int:
        """Neurons out."""
        return self.weight.shape[-3]

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.weight.shape[-1]

    def __call__(
        self,
        x: Integer[AnyArray, "*batch"] | Float[AnyArray, "*batch {self.vocabulary}"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch {self.p} {self.n} {self.n}"]:
        """Looks up ids, or mixes rows.

        **Arguments:** `x`: ids `(*batch)` of integers; or one-hot rows or distributions over the tokens
        `(*batch, vocabulary)` of floats; `key`: not used.
        **Returns:** `(*batch, p, n, n)`. While tracing, where values are unknown, an id outside 0 … vocabulary − 1
        gives NaN, so that training stops.
        **Raises:** `ContractError` for booleans, or floats without an axis of length vocabulary; `ValueError` for an
        id outside 0 … vocabulary − 1.
        """
        return embedding(self.weight, x)

    def attend(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"]
    ) -> Float[Array, "*batch {self.vocabulary}"]:
        """Logits of the tokens by the same table, for a head that shares it: `Σ_pij weight_vpij · x_pij`.

        **Arguments:** `x`: `(*batch, p, n, n)`.
        **Returns:** `(*batch, vocabulary)`; where entries have variance 1, of variance p · n · n at first.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return unembed(self.weight, x)
