"""`Prototypes`, a read-out by distance: the nearest class is the likeliest."""

import math

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import squared_distances
from matrinox.functional.precision import widen
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.linear import check_sizes


@contract
class Prototypes(eqx.Module):
    """Logits by nearness to a prototype of each class: `logit_c = −Σ_p s_p ‖x_p − E_pc‖²`, with learned `s_p > 0`.

    A logit is never above 0, and it is 0 where x is the prototype itself, so that a loss can ask for that, as
    `train.StateTracking` does. A neuron that tells no classes apart falls silent: its s goes to 0.

    **Arguments:** `p`, `n`: neurons in and matrix side; `classes`: how many; `scale`: every s_p at the start, small for
    logits that are nearly alike; `initializer`: of the prototypes `(p, classes, n, n)`; `dtype`: of both, the default
    float where `None`; `key`: one key.
    **Raises:** `ValueError` for a size below 1, or a `scale` that is not positive.
    **Source:** Yang et al. 2018, arXiv 1805.03438, with a scale for each neuron; `functional.squared_distances`.

    >>> import jax, jax.numpy as jnp
    >>> head = Prototypes(p=3, classes=10, n=4, key=jax.random.key(0))
    >>> head(jnp.ones((32, 3, 4, 4))).shape
    (32, 10)
    """

    prototypes: Float[Array, "p classes n n"]
    log_scale: Float[Array, "{self.p}"]

    def __init__(
        self,
        p: int,
        classes: int,
        n: int,
        *,
        scale: float = 1.0,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, classes=classes, n=n)
        if not 0 < scale < math.inf:
            raise ValueError(f"`scale` (={scale}) must be positive and finite: choose 1, or less for milder logits.")
        self.prototypes = initializer(key, (p, classes, n, n), dtype)
        self.log_scale = jnp.full((p,), math.log(scale), self.prototypes.dtype)

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.prototypes.shape[-4]

    @property
    def classes(self) -> int:
        """How many logits there are."""
        return self.prototypes.shape[-3]

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.prototypes.shape[-1]

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.classes}"]:
        """The logits.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, classes)`, none above 0; sums of half precision are taken in float32.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        dtype = jnp.result_type(x, self.prototypes)
        distances = squared_distances(widen(x), widen(self.prototypes))
        return -jnp.sum(jnp.exp(widen(self.log_scale))[:, None] * distances, axis=-2).astype(dtype)
