"""Activations of symmetric neurons by their eigenvalues: `ReEig`, `LogEig`."""

import equinox as eqx
from jax import Array

from matrinox.contract import AnyArray, contract
from matrinox.functional import logeig, reeig
from matrinox.functional.norm import require_eps
from matrinox.nn.activation import BaseActivation


@contract
class _OfEigenvalues(BaseActivation):
    eps: eqx.AbstractVar[float]

    def __check_init__(self):
        require_eps("eps", self.eps)


@contract
class ReEig(_OfEigenvalues):
    """Symmetric neurons with eigenvalues of at least eps: `U max(Λ, eps) Uᵀ` of `X = U Λ Uᵀ`.

    It commutes with `X -> V X Vᵀ` for V orthogonal. Of what is not symmetric, the symmetric part `(X + Xᵀ)/2` is taken.

    **Arguments:** `eps`: the least eigenvalue.
    **Raises:** `ValueError` if `eps` is not positive; `ContractError`, when called, if the matrices are not square.
    **Source:** Huang and Van Gool 2017, arXiv 1608.04233; `functional.reeig`.

    >>> import jax.numpy as jnp
    >>> ReEig(0.5)(jnp.array([[[2.0, 0.0], [0.0, -1.0]]]))
    Array([[[2. , 0. ],
            [0. , 0.5]]], dtype=float32)
    """

    eps: float = eqx.field(static=True, default=1e-4)

    def _activate(self, x: AnyArray) -> Array:
        return reeig(x, self.eps)


@contract
class LogEig(_OfEigenvalues):
    """The logarithm of symmetric positive-definite neurons: `U log(max(Λ, eps)) Uᵀ` of `X = U Λ Uᵀ`.

    From the curved space of positive-definite matrices to the flat one of all symmetric ones, in which `Dense` layers
    and read-outs are at home. It commutes with `X -> V X Vᵀ` for V orthogonal. Of what is not symmetric, the symmetric
    part `(X + Xᵀ)/2` is taken.

    **Arguments:** `eps`: what smaller eigenvalues count as.
    **Raises:** `ValueError` if `eps` is not positive; `ContractError`, when called, if the matrices are not square.
    **Source:** Huang and Van Gool 2017, arXiv 1608.04233; `functional.logeig`.

    >>> import jax.numpy as jnp
    >>> LogEig()(jnp.exp(2.0) * jnp.eye(2)[None]).round(4)
    Array([[[2., 0.],
            [0., 2.]]], dtype=float32)
    """

    eps: float = eqx.field(static=True, default=1e-6)

    def _activate(self, x: AnyArray) -> Array:
        return logeig(x, self.eps)
