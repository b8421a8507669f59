"""Read-outs: from matrix neurons `(*batch, p, n, n)` to features `(*batch, f)`."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import (
    flatten,
    flatten_batch,
    flatten_space,
    frobenius_norm,
    matrix_mean,
    matrix_trace,
    reduce_sum,
)
from matrinox.functional.axis import AxesFromEnd, from_the_end


@contract
class _OnePerNeuron(eqx.Module):
    def __call__(
        self, x: Float[AnyArray, "*batch p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p"]:
        """Reads one number out of each neuron.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p)`.
        **Raises:** `ContractError` if the matrices are not square.
        """
        return self._read(x)

    @abc.abstractmethod
    def _read(self, x: AnyArray) -> Array: ...


@contract
class Mean(_OnePerNeuron):
    """The mean of each neuron's entries, `y_p = Σ_ij x_pij / n²`: `(*batch, p, n, n)` to `(*batch, p)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.matrix_mean`.

    >>> import jax.numpy as jnp
    >>> Mean()(jnp.ones((32, 3, 4, 4))).shape
    (32, 3)
    """

    def _read(self, x: AnyArray) -> Array:
        return matrix_mean(x)


@contract
class Trace(_OnePerNeuron):
    """The trace of each neuron, `y_p = Σ_i x_pii`: `(*batch, p, n, n)` to `(*batch, p)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.matrix_trace`.

    >>> import jax.numpy as jnp
    >>> Trace()(jnp.eye(4)[None])
    Array([4.], dtype=float32)
    """

    def _read(self, x: AnyArray) -> Array:
        return matrix_trace(x)


@contract
class FrobeniusNorm(_OnePerNeuron):
    """The Frobenius norm of each neuron, `y_p = √(Σ_ij x_pij²)`: `(*batch, p, n, n)` to `(*batch, p)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.frobenius_norm`.

    >>> import jax.numpy as jnp
    >>> FrobeniusNorm()(jnp.ones((1, 4, 4)))
    Array([4.], dtype=float32)
    """

    def _read(self, x: AnyArray) -> Array:
        return frobenius_norm(x)


@contract
class Flatten(eqx.Module):
    """All entries in a row, neuron by neuron, each row by row: `(*batch, p, n, n)` to `(*batch, p·n·n)`.

    **Source:** `functional.flatten`.

    >>> import jax.numpy as jnp
    >>> Flatten()(jnp.ones((32, 3, 4, 4))).shape
    (32, 48)
    """

    def __call__(
        self, x: Float[AnyArray, "*batch p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p*n*n"]:
        """Reads out every entry.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p·n·n)`.
        **Raises:** `ContractError` if the matrices are not square.
        """
        return flatten(x)


@contract
class FlattenBatch(eqx.Module):
    """All axes of an example in one row: `(examples, *rest, p, n, n)` to `(examples, features)`.

    Only the first axis is batch: what is between it and the neurons, time or space, belongs to the example. So it
    takes whole images where `Flatten` would take each place for an example of its own; and an example without a batch
    axis is one that `jax.vmap` goes over, or `x[None]`.

    **Source:** `functional.flatten_batch`.

    >>> import jax.numpy as jnp
    >>> FlattenBatch()(jnp.ones((32, 7, 7, 3, 4, 4))).shape
    (32, 2352)
    """

    def __call__(
        self, x: Float[AnyArray, "examples *rest p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "examples features"]:
        """Reads out every entry of each example.

        **Arguments:** `x`: `(examples, *rest, p, n, n)`; `key`: not used.
        **Returns:** `(examples, features)`, features being the product of all axes but the first.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
        """
        return flatten_batch(x)


@contract
class FlattenSpace(eqx.Module):
    """The places of an image in a row, each a token: `(*batch, h, w, p, n, n)` to `(*batch, h·w, p, n, n)`.

    **Source:** `functional.flatten_space`.

    >>> import jax.numpy as jnp
    >>> FlattenSpace()(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 64, 3, 4, 4)
    """

    def __call__(
        self, x: Float[AnyArray, "*batch h w p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch h*w p n n"]:
        """Reads the places row by row.

        **Arguments:** `x`: `(*batch, h, w, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, h · w, p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
        """
        return flatten_space(x)


@contract
class Sum(eqx.Module):
    """The sum along axes, by default over all entries of all neurons of an example: `(*batch, p, n, n)` to `(*batch)`.

    **Arguments:** `axis`: counted from the end, one or several: -3 sums over the neurons, entry by entry, to
    `(*batch, n, n)`; `(-2, -1)` over the entries of each, to `(*batch, p)`; -4 over time; `keepdims`: keep these axes,
    with length 1, so that the sum over the neurons is a stack of one.
    **Raises:** `ValueError` for an `axis` that is not below 0, or is named twice.
    **Source:** `functional.reduce_sum`.

    >>> import jax.numpy as jnp
    >>> Sum()(jnp.ones((2, 3, 4, 4)))
    Array([48., 48.], dtype=float32)
    >>> Sum(-3, keepdims=True)(jnp.ones((2, 3, 4, 4))).shape
    (2, 1, 4, 4)
    """

    axis: AxesFromEnd = eqx.field(static=True)
    keepdims: bool = eqx.field(static=True)

    def __init__(self, axis: AxesFromEnd = (-3, -2, -1), *, keepdims: bool = False):
        from_the_end(axis)
        self.axis = axis
        self.keepdims = keepdims

    def __call__(self, x: Float[AnyArray, "*batch p n n"], *, key: PRNGKeyArray | None = None) -> Float[Array, "..."]:
        """Sums.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** the axes of `x` without `axis`; sums of half precision are taken in float32.
        **Raises:** `ContractError` if the matrices are not square; `ValueError` if `axis` is beyond the axes of `x`.
        """
        return reduce_sum(x, self.axis, keepdims=self.keepdims)
