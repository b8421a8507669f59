"""Initializers of matrix-neuron weights `(q, p, *kernel, n, n)`, which count p, n and the kernel.

An initializer is a function `(key, shape, dtype) -> weight`. `variance_scaling`, `orthogonal` and `identity_plus_noise`
make one; `lecun_normal`, `glorot_uniform` and `rotations` are ready to use. `gain_of` gives the gain of an activation,
and `MATCHED` the pairs that keep the size of what flows through thirty layers.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float, PRNGKeyArray

from matrinox.contract import ContractError, contract
from matrinox.contract.nearest import nearest

Initializer = Callable[[PRNGKeyArray, tuple[int, ...], Any], Array]
"""`(key, shape, dtype) -> weight`, with `shape` as `(q, p, *kernel, n, n)`."""

Distribution = Literal["normal", "truncated_normal", "uniform"]

_STEADY = ("identity", "relu", "relud", "leaky_relu", "leaky_relud", "elu", "sigmoid", "tanh", "softplus")

MATCHED: dict[str, tuple[str, ...]] = {
    "variance_scaling(gain_of(activation))": _STEADY,
    "orthogonal(gain_of(activation))": _STEADY,
    "lecun_normal": ("identity",),
    "glorot_uniform": ("identity",),
    "identity_plus_noise(0.1)": ("identity",),
}
"""Initializer → the activations it is matched with: in thirty layers of equal width `p·n = 512` the root mean square
of the activations stays within a factor of 2 of the input's. In narrow layers chance does more than the gain. gelu and
silu are matched with nothing: under any gain, a second moment that is too large grows and one that is too small
shrinks. Normalise there, or add the input back.
"""


@contract
def variance_scaling(gain: float = 1.0, distribution: Distribution = "normal") -> Initializer:
    """Independent entries of variance `gain² / (k·p·n)`, k being the kernel's area: entries keep their variance.

    **Arguments:** `gain`: positive, usually `gain_of(activation)`; `distribution`: of the entries.
    **Returns:** an initializer of weights `(q, p, *kernel, n, n)`.
    **Raises:** `ValueError` if `gain` is not positive; the initializer, if the shape is not that of a weight.
    **Source:** He et al. 2015, with the n entries of a column counted as inputs.

    >>> import jax
    >>> variance_scaling(gain_of("relu"))(jax.random.key(0), (3, 2, 4, 4)).shape
    (3, 2, 4, 4)
    """
    _check_positive("gain", gain)
    draw = _scaled(distribution, gain)

    @contract
    def initialize(
        key: PRNGKeyArray, shape: Sequence[int], dtype: DTypeLike | None = None
    ) -> Float[Array, "q p *kernel n n"]:
        return draw(key, _weight_shape(shape), _float_dtype(dtype))

    return initialize


@contract
def lecun_normal(
    key: PRNGKeyArray, shape: Sequence[int], dtype: DTypeLike | None = None
) -> Float[Array, "q p *kernel n n"]:
    """Normal entries of variance `1 / (k·p·n)`: `variance_scaling()`, the layers' default.

    **Arguments:** `key`; `shape`: `(q, p, *kernel, n, n)`; `dtype`: of the weight, the default float where `None`.
    **Returns:** `(q, p, *kernel, n, n)`.
    **Raises:** `ValueError` if `shape` is not that of a weight.
    **Source:** LeCun et al. 1998, with the n entries of a column counted as inputs.

    >>> import jax
    >>> lecun_normal(jax.random.key(0), (3, 2, 4, 4)).shape
    (3, 2, 4, 4)
    """
    return _scaled("normal", 1.0)(key, _weight_shape(shape), _float_dtype(dtype))


@contract
def glorot_uniform(
    key: PRNGKeyArray, shape: Sequence[int], dtype: DTypeLike | None = None
) -> Float[Array, "q p *kernel n n"]:
    """Uniform entries within ±√(6 / (k·p·n + k·q·n)).

    **Arguments:** `key`; `shape`: `(q, p, *kernel, n, n)`; `dtype`: of the weight, the default float where `None`.
    **Returns:** `(q, p, *kernel, n, n)`.
    **Raises:** `ValueError` if `shape` is not that of a weight.
    **Source:** Glorot and Bengio 2010; MATNETS 3.2.5, `init`, of which it repeats every bit.

    >>> import jax
    >>> glorot_uniform(jax.random.key(0), (3, 2, 4, 4)).shape
    (3, 2, 4, 4)
    """
    q, p, *kernel, n, _ = _weight_shape(shape)
    limit = math.sqrt(6.0 / (math.prod(kernel) * (p * n + q * n)))
    return jax.random.uniform(key, tuple(shape), _float_dtype(dtype), minval=-limit, maxval=limit)


@contract
def orthogonal(gain: float = 1.0) -> Initializer:
    """`gain` times a random matrix with orthonormal rows (columns, where there are fewer of them).

    The matrix is the weight flattened to (q·n) × (k·p·n), the linear map that a layer applies to every column. Where q
    exceeds k·p it keeps the norm of a column, so that entries shrink by √(k·p/q).

    **Arguments:** `gain`: positive, usually `gain_of(activation)`.
    **Returns:** an initializer of weights `(q, p, *kernel, n, n)`.
    **Raises:** `ValueError` if `gain` is not positive; the initializer, if the shape is not that of a weight.
    **Source:** Saxe et al. 2014, arXiv 1312.6120.

    >>> import jax
    >>> orthogonal()(jax.random.key(0), (3, 2, 4, 4)).shape
    (3, 2, 4, 4)
    """
    _check_positive("gain", gain)

    @contract
    def initialize(
        key: PRNGKeyArray, shape: Sequence[int], dtype: DTypeLike | None = None
    ) -> Float[Array, "q p *kernel n n"]:
        q, p, *kernel, n, _ = _weight_shape(shape)
        dtype = _float_dtype(dtype)
        # The QR factorisation behind it knows no half precision.
        wide = jnp.promote_types(dtype, jnp.float32)
        rows, columns = q * n, p * math.prod(kernel) * n
        flat = gain * jax.random.orthogonal(key, rows, (), wide, columns)
        return jnp.moveaxis(flat.reshape(q, n, p, *kernel, n), 1, -2).astype(dtype)

    return initialize


@contract
def identity_plus_noise(scale: float) -> Initializer:
    """`I + scale·G`: neuron i passes to neuron i unchanged, plus normal noise of variance `scale² / (k·p·n)`.

    The identity sits in the middle tap of a kernel. With q ≠ p the first min(p, q) neurons pass. A product of many such
    matrices neither vanishes nor explodes as one of random matrices does, hence its use for transitions.

    **Arguments:** `scale`: of the noise, 0 or more; about the spectral radius of what is added.
    **Returns:** an initializer of weights `(q, p, *kernel, n, n)`.
    **Raises:** `ValueError` if `scale` is negative; the initializer, if the shape is not that of a weight.
    **Source:** Le et al. 2015, arXiv 1504.00941, with noise.

    >>> import jax
    >>> identity_plus_noise(0.0)(jax.random.key(0), (1, 1, 2, 2))
    Array([[[[1., 0.],
             [0., 1.]]]], dtype=float32)
    """
    if not 0 <= scale < math.inf:
        raise ValueError(f"`scale` (={scale}) must be 0 or more, and finite: use 0 for the identity alone.")
    noise = _scaled("normal", scale)

    @contract
    def initialize(
        key: PRNGKeyArray, shape: Sequence[int], dtype: DTypeLike | None = None
    ) -> Float[Array, "q p *kernel n n"]:
        q, p, *kernel, n, _ = _weight_shape(shape)
        dtype = _float_dtype(dtype)
        middle = tuple((size - 1) // 2 for size in kernel)
        identity = jnp.einsum("qp,ij->qpij", jnp.eye(q, p, dtype=dtype), jnp.eye(n, dtype=dtype))
        return noise(key, _weight_shape(shape), dtype).at[:, :, *middle].add(identity)

    return initialize


@contract
def rotations(
    key: PRNGKeyArray, shape: Sequence[int], dtype: DTypeLike | None = None
) -> Float[Array, "q p *kernel n n"]:
    """Each n × n matrix a rotation, orthogonal with determinant 1, all of them alike likely.

    For tables of states that are multiplied, such as a `MatrixScan`'s, where a mirror would stay a mirror.

    **Arguments:** `key`; `shape`: `(q, p, *kernel, n, n)`; `dtype`: of the weight, the default float where `None`.
    **Returns:** `(q, p, *kernel, n, n)`.
    **Raises:** `ValueError` if `shape` is not that of a weight.
    **Source:** Stewart 1980, by `jax.random.orthogonal`, with a column turned round where the determinant is −1.

    >>> import jax
    >>> rotations(jax.random.key(0), (1, 1, 1, 1))
    Array([[[[1.]]]], dtype=float32)
    """
    *places, n, _ = _weight_shape(shape)
    dtype = _float_dtype(dtype)
    # The QR factorisation behind it knows no half precision.
    drawn = jax.random.orthogonal(key, n, tuple(places), jnp.promote_types(dtype, jnp.float32))
    return drawn.at[..., 0].multiply(jnp.sign(jnp.linalg.det(drawn))[..., None]).astype(dtype)


@contract
def gain_of(activation: str | Callable[[Any], Any]) -> float:
    """The gain g of an elementwise activation f: g² = 1 / E[f(z)²] for z of the standard normal distribution.

    Weights of that gain (`variance_scaling(gain_of("relu"))`) give back the second moment that the activation takes.

    **Arguments:** `activation`: a name, such as `"relu"`; or a function of an array of numbers.
    **Returns:** g: √2 for relu, 1 for the identity.
    **Raises:** `ValueError` for an unknown name, or where E[f(z)²] is zero or not finite.
    **Source:** He et al. 2015, by Gauss–Legendre quadrature on either side of 0, where the kinks are.

    >>> round(gain_of("relu"), 6)
    1.414214
    """
    if isinstance(activation, str):
        if activation not in _ACTIVATIONS:
            known, close = ", ".join(_ACTIVATIONS), nearest(activation, _ACTIVATIONS)
            raise ValueError(f"`activation` (={activation!r}) must be one of {known}: did you mean {close!r}?")
        activation = _ACTIVATIONS[activation]
    moment = _second_moment(activation)
    if not 0 < moment < math.inf:
        raise ValueError(
            f"`activation` gives E[f(z)²] = {moment}, which must be positive and finite: no gain mends it."
        )
    return 1 / math.sqrt(moment)


def _second_moment(activation: Callable[[Any], Any]) -> float:
    node, weight = np.polynomial.legendre.leggauss(128)
    positive, weight = 6 * (node + 1), 6 * weight
    density = weight * np.exp(-(positive**2) / 2) / math.sqrt(2 * math.pi)
    return float(sum(density @ np.asarray(activation(sign * positive), np.float64) ** 2 for sign in (1, -1)))


_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda z: z,
    "linear": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    # Negating a row changes the sign of the determinant: half of the second moment passes the gate, as with relu.
    "relud": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "leaky_relud": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
    "gelu": lambda z: z * (1 + np.vectorize(math.erf)(z / math.sqrt(2))) / 2,
    "silu": lambda z: z / (1 + np.exp(-z)),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "softplus": lambda z: np.logaddexp(z, 0),
}


def _scaled(distribution: Distribution, gain: float) -> Callable[[PRNGKeyArray, tuple[int, ...], np.dtype], Array]:
    return jax.nn.initializers.variance_scaling(gain**2, "fan_in", distribution, in_axis=(1, -1), out_axis=(0, -2))


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"`{name}` (={value}) must be positive and finite: use 1 for the identity.")


def _weight_shape(shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(shape)
    # Of a sequence, beartype checks one entry, picked at random.
    if not all(isinstance(size, int) for size in shape):
        raise ContractError(f"`shape` (={shape}) must hold ints: convert each size with int(size).")
    if len(shape) < 4 or shape[-1] != shape[-2]:
        raise ValueError(f"`shape` (={shape}) must be (q, p, *kernel, n, n): end it with the matrix side twice.")
    if min(shape) < 1:
        raise ValueError(f"`shape` (={shape}) must have sizes of at least 1: choose q, p, n and the kernel so.")
    return shape


def _float_dtype(dtype: DTypeLike | None) -> np.dtype:
    dtype = jnp.dtype(float if dtype is None else dtype)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"`dtype` (={dtype}) must be a float dtype: use float32, or bfloat16 for half precision.")
    return jax.dtypes.canonicalize_dtype(dtype)
