"""`BilinearDense`, the fully connected layer that multiplies from both sides."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import bilinear_dense
from matrinox.functional.precision import Precision, require_precision, sum_dtype
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.linear import check_sizes


@contract
class BilinearDense(eqx.Module):
    """Dense layer with weights on both sides: `Y_q = Σ_p,k U_qpk @ X_p @ V_qpk + B_q`.

    `Dense` maps each column of the neurons by itself; here the columns mix. The rank says how much: 1 is one product
    for each pair of neurons, n² is any linear map of their p·n² numbers to q·n².

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `rank`: from 1 to n²; `use_bias`: whether
    there is a `B`, which starts at zero; `initializer`: of U, a weight with the rank as its kernel axis;
    `right_initializer`: of each V, a weight `(1, 1, n, n)`, whose default keeps the entries' variance, so that a gain
    belongs to `initializer` alone; `dtype`: of all, the default float where `None`; `precision`, `accumulation_dtype`:
    as for `functional.bilinear_dense`, which says what a call costs; `key`: one key.
    **Raises:** `ValueError` for a size below 1, for a rank beyond n², for a `precision` that JAX does not know, and for
    an `accumulation_dtype` that is not of floats.
    **Source:** Gao et al. 2016, arXiv 1601.03805, which has rank 1.

    >>> import jax, jax.numpy as jnp
    >>> layer = BilinearDense(p=2, q=3, n=4, rank=2, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 2, 4, 4))).shape
    (32, 3, 4, 4)
    """

    left: Float[Array, "q p rank n n"]
    right: Float[Array, "q p rank n n"]
    bias: Float[Array, "q n n"] | None
    precision: Precision = eqx.field(static=True)
    accumulation_dtype: str | None = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        rank: int = 1,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        right_initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        precision: Precision = None,
        accumulation_dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, q=q, n=n, rank=rank)
        if rank > n * n:
            raise ValueError(
                f"`rank` (={rank}) must be at most n² (={n * n}), which gives every linear map: choose {n * n} or less."
            )
        require_precision(precision)
        left_key, right_key = jax.random.split(key)
        shape = (q, p, rank, n, n)
        self.left = initializer(left_key, shape, dtype)
        # One at a time: of a whole weight, an orthogonal initializer would make all V together orthogonal, not each.
        keys = jax.random.split(right_key, q * p * rank)
        self.right = jax.vmap(lambda key: right_initializer(key, (1, 1, n, n), dtype))(keys).reshape(shape)
        self.bias = jnp.zeros((q, n, n), self.left.dtype) if use_bias else None
        self.precision = precision
        self.accumulation_dtype = sum_dtype(accumulation_dtype)

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.left.shape[-4]

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.left.shape[-5]

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.left.shape[-1]

    @property
    def rank(self) -> int:
        """Products for each pair of neurons."""
        return self.left.shape[-3]

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.q} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, q, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`; `ValueError` if `accumulation_dtype` is
        narrower than the inputs.
        """
        return bilinear_dense(
            self.left,
            self.right,
            x,
            self.bias,
            precision=self.precision,
            accumulation_dtype=self.accumulation_dtype,
        )
