"""`KVCache` and `KVMemory`, the keys and values of attention that need not be computed again."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Integer

from matrinox.contract import AnyArray, contract


def axes_after(cache: "KVCache", neurons: int, label: str = "p") -> str:
    """The axes of the tokens that follow those of `cache`, for annotations; `label`: what their neurons are called."""
    n = cache.keys.shape[-1]
    return " ".join([*map(str, cache.batch_shape), "t", f"{label}={neurons}", f"n={n}", f"n={n}"])


def kept_axes(cache: "KVCache") -> str:
    """The axes of keys and values that follow those of `cache`, for annotations."""
    return axes_after(cache, cache.keys.shape[-3], "kv")


class _KeysValues(eqx.Module):
    keys: Float[Array, "*batch length kv n n"]
    values: Float[Array, "*batch length kv n n"]

    @property
    def length(self) -> int:
        """How many tokens there are, or are room for."""
        return self.keys.shape[-4]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading axes of the tokens."""
        return self.keys.shape[:-4]


@contract
class KVMemory(_KeysValues):
    """Keys and values of a whole sequence, for attention to it from another: `MultiheadAttention.memory_cache`.

    **Arguments:** `keys`, `values`: `(*batch, length, kv, n, n)`.
    **Raises:** `ContractError` if the two differ in shape, or if the matrices are not square.
    """


@contract
class KVCache(_KeysValues):
    """Keys and values of the tokens so far, and room for more: `MultiheadAttention.initial_cache` and `step`.

    **Arguments:** `keys`, `values`: `(*batch, length, kv, n, n)`; `index`: how many places are taken.
    **Raises:** `ContractError` if the two differ in shape, or if the matrices are not square.
    """

    index: Integer[Array, ""]

    def append(
        self,
        keys: Float[AnyArray, "{kept_axes(self)}"],
        values: Float[AnyArray, "{kept_axes(self)}"],
    ) -> "KVCache":
        """The cache with t tokens more.

        **Arguments:** `keys`, `values`: `(*batch, t, kv, n, n)`, kept in the dtype of the cache.
        **Returns:** a cache of the same length. While tracing, where `index` is unknown, tokens that do not fit are
        kept as NaN, which attention to them passes on.
        **Raises:** `ContractError` for other axes than those of the cache; `ValueError` for tokens that do not fit.
        """
        t = keys.shape[-4]
        taken = 0 if isinstance(self.index, Tracer) else int(self.index)
        if taken + t > self.length:
            raise ValueError(
                f"`index` + t (={taken} + {t}) must be at most `length` (={self.length}): choose a `length` of "
                f"{taken + t} or more, or give fewer tokens."
            )
        fits = self.index + t <= self.length

        def write(kept: Array, new: AnyArray) -> Array:
            new = jnp.where(fits, jnp.asarray(new, kept.dtype), jnp.nan)
            return jax.lax.dynamic_update_slice_in_dim(kept, new, self.index, -4)

        return KVCache(write(self.keys, keys), write(self.values, values), self.index + t)
