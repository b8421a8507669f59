"""`InvariantGate`, the activation that commutes with a change of basis."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import invariant_gate, sigmoid
from matrinox.functional.gate import Invariant, require_powers
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.linear import check_sizes


@contract
class InvariantGate(eqx.Module):
    """Each neuron times a number that invariants s of all neurons give: `Y_p = X_p · f(Σ_r,k w_prk s_rk + b_p)`.

    What it commutes with is chosen by `invariant`: `"trace_powers"`, with `X -> G X G⁻¹` for G invertible, the gate
    between layers of `ConjugationDense`; `"squared_determinant_ratios"`, with `X -> G X H` for G and H invertible, and
    `"determinant_ratios"`, the same for det G · det H > 0, the gates between `Dense` layers and convolutions without
    bias, which commute with `X -> X H`; `"frobenius_norm"`, with `X -> U X V` for U and V orthogonal.

    **Arguments:** `p`, `n`: neurons and matrix side; `invariant`: one of the four, which `functional.invariant_gate`
    spells out; `powers`: how many traces of powers, n where `None`, which determine the eigenvalues; 1 for the other
    invariants; `activation`: f, of each number by itself; `use_bias`: whether there is a b, `(p)`, which starts at
    zero; `initializer`: of w, called with the shape `(p, p·powers, 1, 1)`; `dtype`: of both, the default float where
    `None`; `key`: one key.
    **Raises:** `ValueError` for a size below 1, and for more than one power of an invariant that has one.
    **Source:** `functional.invariant_gate`.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn import Dense, Sequential
    >>> keys = jax.random.split(jax.random.key(0), 3)
    >>> model = Sequential([
    ...     Dense(p=2, q=5, n=3, use_bias=False, key=keys[0]),
    ...     InvariantGate(p=5, n=3, invariant="squared_determinant_ratios", key=keys[1]),
    ...     Dense(p=5, q=2, n=3, use_bias=False, key=keys[2]),
    ... ])
    >>> x, g = jax.random.normal(keys[0], (2, 3, 3)), jnp.array([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, -1.0]])
    >>> bool(jnp.allclose(model(x @ g), model(x) @ g, rtol=1e-5, atol=1e-5))
    True
    """

    weight: Float[Array, "p p powers"]
    bias: Float[Array, "p"] | None
    n: int = eqx.field(static=True)
    invariant: Invariant = eqx.field(static=True)
    activation: Callable[[Array], Array]

    def __init__(
        self,
        p: int,
        n: int,
        *,
        invariant: Invariant = "trace_powers",
        powers: int | None = None,
        activation: Callable[[Array], Array] = sigmoid,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        if powers is None:
            powers = n if invariant == "trace_powers" else 1
        check_sizes(p=p, n=n, powers=powers)
        require_powers(invariant, powers)
        self.weight = initializer(key, (p, p * powers, 1, 1), dtype).reshape(p, p, powers)
        self.bias = jnp.zeros((p,), self.weight.dtype) if use_bias else None
        self.n = n
        self.invariant = invariant
        self.activation = activation

    @property
    def p(self) -> int:
        """Neurons, in and out."""
        return self.weight.shape[-2]

    @property
    def powers(self) -> int:
        """Invariants of each neuron."""
        return self.weight.shape[-1]

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.p} {self.n} {self.n}"]:
        """Opens and closes the gates.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return invariant_gate(self.weight, x, self.bias, invariant=self.invariant, activation=self.activation)
