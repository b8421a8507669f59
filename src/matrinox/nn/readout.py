"""Read-outs: from matrix neurons `(*batch, p, n, n)` to features `(*batch, f)`."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import flatten, frobenius_norm, matrix_mean, matrix_trace


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
