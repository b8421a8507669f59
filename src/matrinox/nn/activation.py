"""Activations as layers: each entry by itself; and `Softmax`, along axes."""

import abc

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import elu, gelu, leaky_relu, relu, sigmoid, silu, softmax, softplus, tanh
from matrinox.functional.axis import AxesFromEnd, from_the_end


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


@contract
class Softmax(eqx.Module):
    """`exp(x) / Σ exp(x)`, the sum along `axis`: class scores `(*batch, classes)` to probabilities.

    **Arguments:** `axis`: counted from the end, one or several that share a sum. By default the last: classes, or each
    row of a matrix. Of matrix neurons `(*batch, p, n, n)`, -3 stands for the neurons, entry by entry, and `(-2, -1)`
    for the entries of each matrix.
    **Raises:** `ValueError` for an `axis` that is not below 0, or is named twice.
    **Source:** `functional.softmax`.

    >>> import jax.numpy as jnp
    >>> Softmax()(jnp.zeros((2, 4)))
    Array([[0.25, 0.25, 0.25, 0.25],
           [0.25, 0.25, 0.25, 0.25]], dtype=float32)
    """

    axis: AxesFromEnd = eqx.field(static=True)

    def __init__(self, axis: AxesFromEnd = -1):
        from_the_end(axis)
        self.axis = axis

    def __call__(
        self, x: Float[AnyArray, "*batch classes"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch classes"]:
        """Applies the softmax.

        **Arguments:** `x`: `(*batch, classes)`, or `(*batch, p, n, n)`; `key`: not used.
        **Returns:** the shape and the dtype of `x`; half precision is computed in float32.
        **Raises:** `ContractError` if `x` is not a float array or has no axes; `ValueError` if it lacks the `axis`.
        """
        return softmax(x, self.axis)
