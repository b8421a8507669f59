"""Activations of whole matrices as layers."""

import equinox as eqx
from jaxtyping import Array

from matrinox.contract import AnyArray, contract
from matrinox.functional import elu_powered, elud, leaky_relud, relud, sigmoidd, softplusd, sss, sst, tanhd
from matrinox.nn.activation import BaseActivation


@contract
class ReLUd(BaseActivation):
    """X where det X > 0, else 0: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    It halves the second moment, as `ReLU` does (`gain_of("relud")` is √2); no gradient comes from the boundary
    det X = 0. Between layers of one neuron it gains nothing: det(W X) = det W · det X.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.relud`.

    >>> import jax.numpy as jnp
    >>> ReLUd()(jnp.array([[[1.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [2.0, 0.0]]]))
    Array([[[1., 0.],
            [0., 2.]],
    <BLANKLINE>
           [[0., 0.],
            [0., 0.]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return relud(x)


@contract
class LeakyReLUd(BaseActivation):
    """X where det X > 0, `negative_slope·X` elsewhere: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Arguments:** `negative_slope`: where the determinant is not positive.
    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.leaky_relud`.

    >>> import jax.numpy as jnp
    >>> LeakyReLUd(0.5)(jnp.array([[[0.0, 1.0], [2.0, 0.0]]]))
    Array([[[0. , 0.5],
            [1. , 0. ]]], dtype=float32)
    """

    negative_slope: float = eqx.field(static=True, default=0.01)

    def _activate(self, x: AnyArray) -> Array:
        return leaky_relud(x, self.negative_slope)


@contract
class ELUPowered(BaseActivation):
    """X where det X > 0, `alpha·(exp X − I)` elsewhere: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Arguments:** `alpha`: of the side of the matrix exponential.
    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.elu_powered`.

    >>> import jax.numpy as jnp
    >>> ELUPowered()(jnp.array([[[0.0, 2.0], [0.0, 0.0]]]))
    Array([[[0., 2.],
            [0., 0.]]], dtype=float32)
    """

    alpha: float = eqx.field(static=True, default=1.0)

    def _activate(self, x: AnyArray) -> Array:
        return elu_powered(x, self.alpha)


@contract
class ELUd(BaseActivation):
    """X times `elu(r) / r`, r being the root of its determinant: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Arguments:** `alpha`: minus the limit of elu on the negative side.
    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.elud`.

    >>> import jax.numpy as jnp
    >>> ELUd()(jnp.array([[[3.0, 1.0], [0.0, 3.0]]]))
    Array([[[3., 1.],
            [0., 3.]]], dtype=float32)
    """

    alpha: float = eqx.field(static=True, default=1.0)

    def _activate(self, x: AnyArray) -> Array:
        return elud(x, self.alpha)


@contract
class Sigmoidd(BaseActivation):
    """X times `sigmoid(r) / r`, r being the root of its determinant: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.sigmoidd`.

    >>> import jax.numpy as jnp
    >>> Sigmoidd()(100 * jnp.eye(2)[None]).round()
    Array([[[1., 0.],
            [0., 1.]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return sigmoidd(x)


@contract
class Tanhd(BaseActivation):
    """X times `tanh(r) / r`, r being the root of its determinant: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.tanhd`.

    >>> import jax.numpy as jnp
    >>> Tanhd()(-100 * jnp.eye(2)[None]).round()
    Array([[[-1., -0.],
            [-0., -1.]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return tanhd(x)


@contract
class Softplusd(BaseActivation):
    """X times `softplus(r) / r`, r being the root of its determinant: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.softplusd`.

    >>> import jax.numpy as jnp
    >>> Softplusd()(100 * jnp.eye(2)[None]).round()
    Array([[[100.,   0.],
            [  0., 100.]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return softplusd(x)


@contract
class SST(BaseActivation):
    """`T @ T / n`, T being the tanh of X's entries: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.sst`.

    >>> import jax.numpy as jnp
    >>> SST()(jnp.array([[[0.0, 100.0], [-100.0, 0.0]]]))
    Array([[[-0.5,  0. ],
            [ 0. , -0.5]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return sst(x)


@contract
class SSS(BaseActivation):
    """`S @ S / n`, S being the sigmoid of X's entries: `(*batch, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** `ContractError`, when called, if the matrices are not square.
    **Source:** `functional.sss`.

    >>> import jax.numpy as jnp
    >>> SSS()(jnp.zeros((1, 2, 2)))
    Array([[[0.25, 0.25],
            [0.25, 0.25]]], dtype=float32)
    """

    def _activate(self, x: AnyArray) -> Array:
        return sss(x)
