"""Heads: from the neurons of the last layer to logits or outputs, one number each."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import flatten_linear, frobenius_norm, matrix_mean, matrix_trace
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.linear import Dense, check_sizes

Read = Literal["trace", "mean", "frobenius_norm"]
_READ: dict[Read, Callable[[AnyArray], Array]] = {
    "trace": matrix_trace,
    "mean": matrix_mean,
    "frobenius_norm": frobenius_norm,
}


@contract
class _Head(eqx.Module):
    dense: Dense
    read: Read = eqx.field(static=True)

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.dense.p

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.dense.n

    def _read_out(self, x: AnyArray) -> Array:
        return _READ[self.read](self.dense(x))


@contract
class ClassificationHead(_Head):
    """Logits, a neuron for each class and one number of it: `logit_c = tr(Σ_p W_cp @ x_p + B_c)`.

    Any leading axes are batch: pool, or flatten, over places or time before it. Read by the trace, it can be any linear
    map of all p·n·n entries; logits then have variance n at first, where entries have variance 1.

    **Arguments:** `p`, `n`: neurons in and matrix side; `classes`: how many; `read`: the number that is read out of the
    neuron, its `"trace"`, its `"mean"` or its `"frobenius_norm"`, which is never negative; `use_bias`, `initializer`,
    `dtype`: as for `Dense`; `key`: one key.
    **Raises:** `ValueError` for a size below 1.
    **Source:** TorchLean, classification head; `Dense` and `Trace`, which it is.

    >>> import jax, jax.numpy as jnp
    >>> head = ClassificationHead(p=3, classes=10, n=4, key=jax.random.key(0))
    >>> head(jnp.ones((32, 3, 4, 4))).shape
    (32, 10)
    """

    def __init__(
        self,
        p: int,
        classes: int,
        n: int,
        *,
        read: Read = "trace",
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, classes=classes, n=n)
        self.dense = Dense(p, classes, n, use_bias=use_bias, initializer=initializer, dtype=dtype, key=key)
        self.read = read

    @property
    def classes(self) -> int:
        """How many logits there are."""
        return self.dense.q

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.classes}"]:
        """The logits.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, classes)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return self._read_out(x)


@contract
class RegressionHead(_Head):
    """Outputs, a neuron for each and one number of it: `y_o = mean of the entries of (Σ_p W_op @ x_p + B_o)`.

    Any leading axes are batch: pool, or flatten, over places or time before it.

    **Arguments:** `p`, `n`: neurons in and matrix side; `outputs`: how many; `read`: the number that is read out of the
    neuron, its `"mean"`, its `"trace"` or its `"frobenius_norm"`, which is never negative; `use_bias`, `initializer`,
    `dtype`: as for `Dense`; `key`: one key.
    **Raises:** `ValueError` for a size below 1.
    **Source:** TorchLean, regression head.

    >>> import jax, jax.numpy as jnp
    >>> head = RegressionHead(p=3, outputs=2, n=4, key=jax.random.key(0))
    >>> head(jnp.ones((32, 3, 4, 4))).shape
    (32, 2)
    """

    def __init__(
        self,
        p: int,
        outputs: int,
        n: int,
        *,
        read: Read = "mean",
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, outputs=outputs, n=n)
        self.dense = Dense(p, outputs, n, use_bias=use_bias, initializer=initializer, dtype=dtype, key=key)
        self.read = read

    @property
    def outputs(self) -> int:
        """How many outputs there are."""
        return self.dense.q

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.outputs}"]:
        """The outputs.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, outputs)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return self._read_out(x)


@contract
class FlattenLinear(eqx.Module):
    """One scalar linear map of all entries: `y_f = Σ_pij W_fpij x_pij + b_f`.

    It is `eqx.nn.Linear` on what `Flatten` gives. The weight has the shape of an `Embedding`'s, to which it can be
    `Tied`.

    **Arguments:** `p`, `n`: neurons in and matrix side; `features`: how many numbers come out; `use_bias`: whether
    there is a b, `(features)`, which starts at zero; `initializer`: of the weight `(features, p, n, n)`, called with
    the shape `(features, p·n·n, 1, 1)`, so that it counts every entry as an input; `dtype`: of both, the default float
    where `None`; `key`: one key.
    **Raises:** `ValueError` for a size below 1.
    **Source:** `functional.flatten_linear`.

    >>> import jax, jax.numpy as jnp
    >>> layer = FlattenLinear(p=3, features=10, n=4, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 3, 4, 4))).shape
    (32, 10)
    """

    weight: Float[Array, "features p n n"]
    bias: Float[Array, "{self.features}"] | None

    def __init__(
        self,
        p: int,
        features: int,
        n: int,
        *,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, features=features, n=n)
        self.weight = initializer(key, (features, p * n * n, 1, 1), dtype).reshape(features, p, n, n)
        self.bias = jnp.zeros(features, self.weight.dtype) if use_bias else None

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.weight.shape[-3]

    @property
    def features(self) -> int:
        """Numbers out."""
        return self.weight.shape[-4]

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.weight.shape[-1]

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.features}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, features)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return flatten_linear(self.weight, x, self.bias)
