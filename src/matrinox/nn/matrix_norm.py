"""Each neuron's matrix divided by its norm: `FrobeniusNormalization`, `SpectralNormalization`."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import frobenius_normalize, spectral_normalize
from matrinox.functional.norm import require_eps
from matrinox.nn.linear import check_sizes


@contract
class _MatrixNormalization(eqx.Module):
    weight: Float[Array, "p"]
    n: int = eqx.field(static=True)
    eps: float = eqx.field(static=True)

    def __init__(self, p: int, n: int, *, eps: float = 1e-5, dtype: DTypeLike | None = None):
        check_sizes(p=p, n=n)
        require_eps("eps", eps)
        self.weight = self._start(n) * jnp.ones((p,), dtype)
        self.n = n
        self.eps = eps

    @property
    def p(self) -> int:
        """Neurons, in and out."""
        return self.weight.shape[-1]

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.p} {self.n} {self.n}"]:
        """Gives every neuron the norm of its gain.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return self._normalise(x)

    @abc.abstractmethod
    def _normalise(self, x: AnyArray) -> Array: ...

    @staticmethod
    @abc.abstractmethod
    def _start(n: int) -> float: ...


@contract
class FrobeniusNormalization(_MatrixNormalization):
    """Each neuron with the Frobenius norm of its gain: `Y_p = weight_p · X_p / max(‖X_p‖_F, eps)`.

    The norm runs over the axes `(n, n)`: every neuron of every place has its own. The gain starts at n, at which the
    entries have mean square 1 whatever the input.

    **Arguments:** `p`, `n`: neurons and matrix side; `eps`: the least norm to divide by; `dtype`: of the `weight`,
    `(p)`, the default float where `None`.
    **Raises:** `ValueError` for a size below 1, and if `eps` is not positive.
    **Source:** `functional.frobenius_normalize`.

    >>> import jax.numpy as jnp
    >>> FrobeniusNormalization(p=1, n=2)(jnp.array([[[3.0, 0.0], [0.0, 4.0]]]))
    Array([[[1.2, 0. ],
            [0. , 1.6]]], dtype=float32)
    """

    def _normalise(self, x: AnyArray) -> Array:
        return frobenius_normalize(x, self.weight, eps=self.eps)

    @staticmethod
    def _start(n: int) -> float:
        return float(n)


@contract
class SpectralNormalization(_MatrixNormalization):
    """Each neuron with the spectral norm of its gain: `Y_p = weight_p · X_p / max(σ(X_p), eps)`.

    σ is the largest singular value, over the axes `(n, n)`: every neuron of every place has its own. The gain starts at
    1, at which no vector grows when multiplied by a neuron; the entries then have mean square 1 / n at most.

    **Arguments:** `p`, `n`: neurons and matrix side; `eps`: the least norm to divide by; `dtype`: of the `weight`,
    `(p)`, the default float where `None`.
    **Raises:** `ValueError` for a size below 1, and if `eps` is not positive.
    **Source:** `functional.spectral_normalize`.

    >>> import jax.numpy as jnp
    >>> SpectralNormalization(p=1, n=2)(jnp.array([[[3.0, 0.0], [0.0, 4.0]]]))
    Array([[[0.75, 0.  ],
            [0.  , 1.  ]]], dtype=float32)
    """

    def _normalise(self, x: AnyArray) -> Array:
        return spectral_normalize(x, self.weight, eps=self.eps)

    @staticmethod
    def _start(n: int) -> float:
        return 1.0
