"""`Dense`, the fully connected layer."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import adjoint, dense
from matrinox.functional.precision import Precision, require_precision, sum_dtype
from matrinox.initializers import Initializer, lecun_normal
from matrinox.params import MatrixParams


@contract
class Dense(eqx.Module):
    """Dense layer of matrix neurons: `y_q = Σ_p W_qp @ x_p + B_q`.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `use_bias`: whether there is a `B`, which
    starts at zero; `initializer`: of the weight; `dtype`: of both, the default float where `None`; `transposed`: the
    weight is stored as `(p, q, n, n)` and applied as the adjoint of the map it would be, `y_q = Σ_p W_pqᵀ @ x_p + B_q`,
    so that a decoder can share its encoder's weight; `precision`, `accumulation_dtype`: as for `functional.dense`;
    `key`: one key.
    **Raises:** `ValueError` for a size below 1, for a `precision` that JAX does not know, and for an
    `accumulation_dtype` that is not of floats.
    **Source:** MATNETS 1.1.0, `dense`; mlax, `Linear`.

    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> layer = Dense(p=2, q=3, n=4, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 2, 4, 4))).shape
    (32, 3, 4, 4)
    >>> decoder = Dense(p=3, q=2, n=4, transposed=True, key=jax.random.key(1))
    >>> decoder = eqx.tree_at(lambda decoder: decoder.weight, decoder, layer.weight)
    >>> decoder(layer(jnp.ones((32, 2, 4, 4)))).shape
    (32, 2, 4, 4)
    """

    weight: Float[Array, "q p n n"]
    bias: Float[Array, "{self.q} n n"] | None
    transposed: bool = eqx.field(static=True)
    precision: Precision = eqx.field(static=True)
    accumulation_dtype: str | None = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        transposed: bool = False,
        precision: Precision = None,
        accumulation_dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, q=q, n=n)
        require_precision(precision)
        weight = initializer(key, (q, p, n, n), dtype)
        self.weight = adjoint(weight) if transposed else weight
        self.transposed = transposed
        self.precision = precision
        self.accumulation_dtype = sum_dtype(accumulation_dtype)
        self.bias = jnp.zeros((q, n, n), self.weight.dtype) if use_bias else None

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.weight.shape[-4 if self.transposed else -3]

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.weight.shape[-3 if self.transposed else -4]

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.weight.shape[-1]

    @property
    def params(self) -> MatrixParams:
        """Weight `(q, p, n, n)` and bias `(q, n, n)` of the map that is applied, as `functional.dense` takes them."""
        return MatrixParams(adjoint(self.weight) if self.transposed else self.weight, self.bias)

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.q} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, q, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`; `ValueError` if `accumulation_dtype` is
        narrower than the inputs.
        """
        return dense(self.params, x, precision=self.precision, accumulation_dtype=self.accumulation_dtype)


def check_sizes(**sizes: int) -> None:
    """Refuses sizes below 1.

    **Arguments:** the sizes, by the names to give them in the message.
    **Raises:** `ValueError`, naming the first at fault.
    """
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1: choose a positive number.")
