"""`KVCache`, the keys and values of the tokens so far."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from matrinox.contract import AnyArray, contract


@contract
class KVCache(eqx.Module):
    """Keys and values of the tokens so far, with room for `length` of them.

    **Arguments:** `keys`, `values`: `(*batch, length, kv, n, n)`; `index`: how many places are taken.
    """

    keys: Float[Array, "*batch length kv n n"]
    values: Float[Array, "*batch length kv n n"]
    index: Integer[Array, ""]

    @property
    def length(self) -> int:
        """How many tokens there is room for."""
        return self.keys.shape[-4]

    def append(self, keys: Float[AnyArray, "*batch t kv n n"], values: Float[AnyArray, "*batch t kv n n"]) -> "KVCache":
        """The cache with t tokens more.

        **Arguments:** `keys`, `values`: `(*batch, t, kv, n, n)`.
        **Returns:** a cache of the same length.
        **Raises:** `ContractError` for other axes than those of the cache.
        """
        write = jax.lax.dynamic_update_slice_in_dim
        return KVCache(
            write(self.keys, jnp.asarray(keys, self.keys.dtype), self.index, -4),
            write(self.values, jnp.asarray(values, self.values.dtype), self.index, -4),
            self.index + keys.shape[-4],
        )
