"""Between the axes of Equinox, `(features, *space)`, and those of matrix neurons, `(*space, p, n, n)`."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract


@contract
class EachPlace(eqx.Module):
    """A layer of `(features)` at each place of `(features, *space)`, as layers of matrix neurons are."""

    layer: Callable[..., Any]

    def __call__(self, x: Float[AnyArray, "_ *space"], *, key: PRNGKeyArray | None = None) -> Float[Array, "_ *space"]:
        """Applies the layer at each place.

        **Arguments:** `x`: `(features, *space)`; `key`: not used.
        **Returns:** `(features', *space)`.
        """
        y = jax.vmap(self.layer, in_axes=1, out_axes=1)(x.reshape(len(x), -1))
        return y.reshape(-1, *x.shape[1:])


@contract
class Rearranged(eqx.Module):
    """A layer without weights, which moves or adds entries of matrix neurons, on the features that these are.

    **Arguments:** `layer`: from `(*space, p, n, n)`, or `(*space, channels)` where `n` is `None`; `n`: matrix side;
    `gives_matrices`: whether it gives `(*space', p, n, n)`, or `(*space', features)`.
    """

    layer: Callable[..., Any]
    n: int | None = eqx.field(static=True)
    gives_matrices: bool = eqx.field(static=True)

    def __call__(self, x: Float[AnyArray, "_ ..."], *, key: PRNGKeyArray | None = None) -> Float[Array, "_ ..."]:
        """Applies the layer.

        **Arguments:** `x`: `(features, *space)`; `key`: not used.
        **Returns:** `(features', *space')`.
        """
        x = jnp.moveaxis(x, 0, -1)
        y = self.layer(x if self.n is None else x.reshape(*x.shape[:-1], -1, self.n, self.n))
        return jnp.moveaxis(y.reshape(*y.shape[:-3], -1) if self.gives_matrices else y, -1, 0)


@contract
class ByEntries(eqx.Module):
    """A layer of matrix neurons that treats each entry by itself, on an array of any shape."""

    layer: Callable[..., Any]

    def __call__(self, x: Float[AnyArray, "*axes"], *, key: PRNGKeyArray | None = None) -> Float[Array, "*axes"]:
        """Applies the layer.

        **Arguments:** `x`: of any shape; `key`: not used.
        **Returns:** the shape of `x`.
        """
        return self.layer(x.reshape(-1, 1, 1)).reshape(x.shape)


@contract
class RavelPlaces(eqx.Module):
    """`(*batch, *space, p, n, n)` to `(*batch, p · space, n, n)`, in the order of a ravelled `(p, *space)`.

    **Arguments:** `axes`: how many axes of space there are.
    """

    axes: int = eqx.field(static=True)

    def __call__(
        self, x: Float[AnyArray, "... _ n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "... _ n n"]:
        """Puts the neurons of all places in a row.

        **Arguments:** `x`: `(*batch, *space, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p · space, n, n)`.
        """
        x = jnp.moveaxis(x, -3, -3 - self.axes)
        return x.reshape(*x.shape[: -3 - self.axes], -1, *x.shape[-2:])


def ravel_channels_last(x: Array) -> Array:
    """`(features, *space)` in one row, place by place, in the order of matrix neurons."""
    return jnp.moveaxis(x, 0, -1).ravel()


def over_places(x: Array, *, reduce: Callable[..., Array]) -> Array:
    """`(features, *space)` to `(features)`, by a mean, a maximum or a sum over all places."""
    return reduce(x.reshape(len(x), -1), axis=1)
