"""Layers that commute with `X -> G X G⁻¹`: `ConjugationDense` and `ConjugationBilinear`."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import conjugation_bilinear, conjugation_dense
from matrinox.functional.precision import Precision, require_precision
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.linear import check_sizes


@contract
class ConjugationDense(eqx.Module):
    """Mixes neurons and their traces: `Y_q = Σ_p (w_qp (X_p − t_p I) + v_qp t_p I) + b_q I`, with `t_p = tr X_p / n`.

    For `G X_p G⁻¹` with any invertible G it gives `G Y_q G⁻¹`, and it can be every affine map that does. So do
    `ConjugationBilinear`, `InvariantGate` and the activations by determinants (`ReLUd` and all that are named like it);
    `TracePowers` and `CharacteristicPolynomial` then read out what no G changes. An activation of each entry by itself,
    such as `ReLU`, or a `Dense` layer, would end that. For n = 1 every matrix is its trace: w has no part in it.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `use_bias`: whether there is a b, `(q)`,
    which starts at zero; `initializer`: of w and of v, each called with the shape `(q, p, 1, 1)`; `dtype`: of all, the
    default float where `None`; `precision`: as for `functional.dense`, but `"highest"` by default, since the law holds
    to rounding in it; `key`: one key.
    **Raises:** `ValueError` for a size below 1, and for a `precision` that JAX does not know.
    **Source:** `functional.conjugation_dense`.

    >>> import jax, jax.numpy as jnp
    >>> layer = ConjugationDense(p=2, q=3, n=4, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 2, 4, 4))).shape
    (32, 3, 4, 4)
    """

    weight: Float[Array, "q p"]
    trace_weight: Float[Array, "q p"]
    bias: Float[Array, "q"] | None
    n: int = eqx.field(static=True)
    precision: Precision = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        precision: Precision = "highest",
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, q=q, n=n)
        require_precision(precision)
        self.weight, self.trace_weight = (
            initializer(each, (q, p, 1, 1), dtype).reshape(q, p) for each in jax.random.split(key)
        )
        self.bias = jnp.zeros((q,), self.weight.dtype) if use_bias else None
        self.n = n
        self.precision = precision

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.weight.shape[-1]

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.weight.shape[-2]

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.q} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, q, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return conjugation_dense(self.weight, self.trace_weight, x, self.bias, precision=self.precision)


@contract
class ConjugationBilinear(eqx.Module):
    """Products of mixed neurons: `Y_q = Σ_k A_qk @ B_qk`, with `A_qk = Σ_p u_qpk X_p` and `B_qk = Σ_p v_qpk X_p`.

    For `G X_p G⁻¹` with any invertible G it gives `G Y_q G⁻¹`. Of second degree: in a stack, normalise or gate, lest
    large neurons grow and small ones shrink.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `rank`: products for each neuron out, from 1
    to p, which gives every sum of products of two neurons; `commutator`: `A @ B − B @ A` in place of `A @ B`, for
    p and n of at least 2; `initializer`: of u, called with the shape `(q, p·rank, 1, 1)`, and of v, with
    `(q·rank, p, 1, 1)`; u is then divided by √n, or √(2 (n − 1/n)) for commutators, so that entries keep their
    variance; `dtype`: of both, the default float where `None`; `precision`: as for `ConjugationDense`; `key`: one key.
    **Raises:** `ValueError` for a size below 1, for a rank beyond p, for a `commutator` where all commute, and for a
    `precision` that JAX does not know.
    **Source:** `functional.conjugation_bilinear`.

    >>> import jax, jax.numpy as jnp
    >>> layer = ConjugationBilinear(p=2, q=3, n=4, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 2, 4, 4))).shape
    (32, 3, 4, 4)
    """

    left: Float[Array, "q p rank"]
    right: Float[Array, "q p rank"]
    n: int = eqx.field(static=True)
    commutator: bool = eqx.field(static=True)
    precision: Precision = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        rank: int = 1,
        commutator: bool = False,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        precision: Precision = "highest",
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, q=q, n=n, rank=rank)
        if rank > p:
            raise ValueError(
                f"`rank` (={rank}) must be at most `p` (={p}), which gives every sum of products: choose {p} or less."
            )
        for name, size in {"p": p, "n": n}.items():
            if commutator and size == 1:
                raise ValueError(f"`{name}` (=1) must be at least 2 for `commutator`: choose 2 or more.")
        require_precision(precision)
        left_key, right_key = jax.random.split(key)
        left = initializer(left_key, (q, p * rank, 1, 1), dtype).reshape(q, p, rank)
        self.left = left / math.sqrt(2 * (n - 1 / n) if commutator else n)
        right = initializer(right_key, (q * rank, p, 1, 1), dtype)
        self.right = jnp.swapaxes(right.reshape(q, rank, p), -1, -2)
        self.n = n
        self.commutator = commutator
        self.precision = precision

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.left.shape[-2]

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.left.shape[-3]

    @property
    def rank(self) -> int:
        """Products for each neuron out."""
        return self.left.shape[-1]

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.q} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, q, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return conjugation_bilinear(self.left, self.right, x, commutator=self.commutator, precision=self.precision)
