"""Elementwise activations as layers."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import elu, gelu, leaky_relu, relu, sigmoid, silu, softplus, tanh


@contract
class BaseActivation(eqx.Module):
    def __call__(
        self, x: Float[AnyArray, "*batch p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p n n"]:
        """Applies the activation.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square.
        """
        return self._activate(x)

    @abc.abstractmethod
    def _activate(self, x: AnyArray) -> Array: ...


@contract
class ReLU(BaseActivation):
    """`max(x, 0)` of every entry: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.relu`.

    >>> import jax.numpy as jnp
    >>> ReLU()(jnp.array([[[-1.0, 2.0], [0.0, 3.0]]]))
    Array([[[0., 2.],
            [0., 3.]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return relu(x)


@contract
class LeakyReLU(BaseActivation):
    """x where positive, `negative_slope·x` elsewhere: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Arguments:** `negative_slope`: of the negative side.
    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.leaky_relu`.

    >>> import jax.numpy as jnp
    >>> LeakyReLU(0.5)(jnp.array([[[-1.0, 2.0], [0.0, 3.0]]]))
    Array([[[-0.5,  2. ],
            [ 0. ,  3. ]]], dtype=float32)
    """

    negative_slope: float = eqx.field(static=True, default=0.01)

    def _activate(self, x: AnyArray) -> Array:
        return leaky_relu(x, self.negative_slope)


@contract
class ELU(BaseActivation):
    """x where positive, `alpha·(eˣ − 1)` elsewhere: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Arguments:** `alpha`: minus the limit on the negative side.
    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.elu`.

    >>> import jax.numpy as jnp
    >>> ELU(2.0)(jnp.array([[[-100.0, 2.0], [0.0, 3.0]]]))
    Array([[[-2.,  2.],
            [ 0.,  3.]]], dtype=float32)
    """

    alpha: float = eqx.field(static=True, default=1.0)

    def _activate(self, x: AnyArray) -> Array:
        return elu(x, self.alpha)


@contract
class Sigmoid(BaseActivation):
    """`1 / (1 + e⁻ˣ)` of every entry: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.sigmoid`.

    >>> import jax.numpy as jnp
    >>> Sigmoid()(jnp.zeros((1, 1, 1)))
    Array([[[0.5]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return sigmoid(x)


@contract
class Tanh(BaseActivation):
    """`tanh x` of every entry: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.tanh`.

    >>> import jax.numpy as jnp
    >>> Tanh()(jnp.zeros((1, 1, 1)))
    Array([[[0.]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return tanh(x)


@contract
class Softplus(BaseActivation):
    """`log(1 + eˣ)` of every entry: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.softplus`.

    >>> import jax.numpy as jnp
    >>> Softplus()(jnp.array([[[100.0]]]))
    Array([[[100.]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return softplus(x)


@contract
class GELU(BaseActivation):
    """`x·Φ(x)` of every entry, Φ being the normal distribution function: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Arguments:** `approximate`: take Φ by its tanh formula rather than by erf.
    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.gelu`.

    >>> import jax.numpy as jnp
    >>> GELU()(jnp.array([[[100.0]]]))
    Array([[[100.]]], dtype=float32)
    """

    approximate: bool = eqx.field(static=True, default=True)

    def _activate(self, x: AnyArray) -> Array:
        return gelu(x, self.approximate)


@contract
class SiLU(BaseActivation):
    """`x / (1 + e⁻ˣ)` of every entry: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.silu`.

    >>> import jax.numpy as jnp
    >>> SiLU()(jnp.array([[[100.0]]]))
    Array([[[100.]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return silu(x)
