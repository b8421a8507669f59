"""Read-outs that do not depend on the basis: `TracePowers`, `CharacteristicPolynomial`, `DeterminantRatios`."""

import abc
import math

import equinox as eqx
from jax import Array
from jaxtyping import Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import characteristic_polynomial, determinant_ratios, trace_powers
from matrinox.nn.linear import check_sizes


@contract
class _InvariantReadout(eqx.Module):
    def __call__(
        self, x: Float[AnyArray, "*batch p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch features"]:
        """Reads out the invariants, neuron by neuron.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, features)`.
        **Raises:** `ContractError` if the matrices are not square.
        """
        y = self._read(x)
        # Of an empty batch, -1 in place of the product would be of any size.
        return y.reshape(*x.shape[:-3], math.prod(y.shape[x.ndim - 3 :]))

    @abc.abstractmethod
    def _read(self, x: AnyArray) -> Array: ...


@contract
class TracePowers(_InvariantReadout):
    """The traces of each neuron's powers, `tr X, tr X², …`: `(*batch, p, n, n)` to `(*batch, p·powers)`.

    The same for `G X G⁻¹`: what reads out a model of `ConjugationDense` layers.

    **Arguments:** `powers`: how many, n where `None`, which determine the eigenvalues; `scaled`: divide `tr X^k` by
    `√k · n^(k/2)`, so that features have variance about 1 where entries have; `False` for the traces themselves.
    **Raises:** `ValueError` for `powers` below 1; `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.trace_powers`.

    >>> import jax.numpy as jnp
    >>> TracePowers()(jnp.diag(jnp.array([1.0, 2.0, 3.0]))[None])
    Array([ 6., 14., 36.], dtype=float32)
    """

    powers: int | None = eqx.field(static=True)
    scaled: bool = eqx.field(static=True)

    def __init__(self, powers: int | None = None, *, scaled: bool = False):
        if powers is not None:
            check_sizes(powers=powers)
        self.powers = powers
        self.scaled = scaled

    def _read(self, x: AnyArray) -> Array:
        return trace_powers(x, self.powers, scaled=self.scaled)


@contract
class CharacteristicPolynomial(_InvariantReadout):
    """The coefficients of each neuron's `det(λ I − X)`, without the leading 1: `(*batch, p, n, n)` to `(*batch, p·n)`.

    The first is `−tr X`, the last `(−1)ⁿ det X`. The same for `G X G⁻¹`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.characteristic_polynomial`.

    >>> import jax.numpy as jnp
    >>> CharacteristicPolynomial()(jnp.diag(jnp.array([1.0, 2.0, 3.0]))[None])
    Array([-6., 11., -6.], dtype=float32)
    """

    def _read(self, x: AnyArray) -> Array:
        return characteristic_polynomial(x)


@contract
class DeterminantRatios(_InvariantReadout):
    """The determinants over the root of their sum of squares: `(*batch, p, n, n)` to `(*batch, p)`.

    The same for `G X_p H` with det G · det H > 0, and of opposite sign where that is negative: what reads out a model
    of `Dense` layers without bias. It takes two neurons at least to say more than a sign.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.determinant_ratios`.

    >>> import jax.numpy as jnp
    >>> DeterminantRatios()(jnp.array([[[3.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [2.0, 0.0]]]))
    Array([ 0.6, -0.8], dtype=float32)
    """

    def _read(self, x: AnyArray) -> Array:
        return determinant_ratios(x)
