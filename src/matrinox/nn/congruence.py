"""`BiMap`, the layer that keeps symmetric positive-definite neurons so."""

import equinox as eqx
import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import bimap
from matrinox.functional.congruence import require_not_negative
from matrinox.functional.precision import Precision, require_precision
from matrinox.initializers import Initializer, orthogonal
from matrinox.nn.linear import check_sizes


@contract
class BiMap(eqx.Module):
    """Congruences of symmetric neurons, summed: `Y_q = Σ_p W_qp @ X_p @ W_qpᵀ + eps · I`.

    Positive-definite neurons give such, where the n rows of `(W_q1, …, W_qp)` are independent, or `eps` is above 0.
    At first these rows are orthonormal: the identity gives the identity, and eigenvalues stay within the range of those
    that came. For `G X_p Gᵀ` and `W_qp G⁻¹` it gives the same.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `eps`: added to all eigenvalues;
    `initializer`: of the weight `(q, p, n, n)`, called for each neuron out by itself, with the shape `(1, p, n, n)`,
    `orthogonal()` where `None`; `dtype`: of the weight, the default float where `None`; `precision`: as for
    `functional.dense`, but `"highest"` by default, since rounding can make eigenvalues negative; `key`: one key.
    **Raises:** `ValueError` for a size below 1, for an `eps` that is negative or infinite, and for a `precision` that
    JAX does not know.
    **Source:** Huang and Van Gool 2017, arXiv 1608.04233; `functional.bimap`.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn import LogEig, ReEig, Sequential
    >>> keys = jax.random.split(jax.random.key(0))
    >>> first, second = BiMap(p=2, q=3, n=4, key=keys[0]), BiMap(p=3, q=1, n=4, key=keys[1])
    >>> model = Sequential([first, ReEig(), second, ReEig(), LogEig()])
    >>> x = jnp.broadcast_to(jnp.eye(4), (32, 2, 4, 4))
    >>> model(x).shape, bool(jnp.allclose(model(x), 0, atol=1e-5))
    ((32, 1, 4, 4), True)
    """

    weight: Float[Array, "q p n n"]
    eps: float = eqx.field(static=True)
    precision: Precision = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        eps: float = 0.0,
        initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        precision: Precision = "highest",
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, q=q, n=n)
        require_not_negative("eps", eps)
        require_precision(precision)
        draw = orthogonal() if initializer is None else initializer
        self.weight = jax.vmap(lambda key: draw(key, (1, p, n, n), dtype)[0])(jax.random.split(key, q))
        self.eps = eps
        self.precision = precision

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.weight.shape[-3]

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.weight.shape[-4]

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.weight.shape[-1]

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.q} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, p, n, n)`, of which the symmetric part is taken; `key`: not used.
        **Returns:** `(*batch, q, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return bimap(self.weight, x, eps=self.eps, precision=self.precision)
