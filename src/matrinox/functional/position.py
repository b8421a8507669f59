"""Positions of the tokens of a sequence, as a table to add and as a rotation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Integer

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen


@contract
def sinusoidal_positions(
    t: int, p: int, n: int, *, start_pos: int | Integer[AnyArray, "*batch"] = 0, base: float = 10000.0
) -> Float[Array, "*batch {t} {p} {n} {n}"]:
    """The Transformer's table: for position s, entry 2k is `sin(s / base^(2k/f))` and entry 2k + 1 the cosine of it.

    Entries are counted as `flatten` counts them, f = p · n · n in all; where f is odd, the last is a sine.

    **Arguments:** `t`: how many positions; `p`, `n`: neurons and matrix side; `start_pos`: the first position, an
    integer, negative too, or one for each example `(*batch)`; `base`: above 1, sets the longest wavelength.
    **Returns:** `(t, p, n, n)`, or `(*batch, t, p, n, n)` with one start for each example; JAX's default float: in
    float32 entries are off by up to 6e-8 times the position.
    **Raises:** `ContractError` if `start_pos` is not of integers; `ValueError` for a size below 1 (`t`: below 0), or a
    `base` out of range.
    **Source:** Vaswani et al. 2017, arXiv 1706.03762.
    """
    for name, size, least in (("t", t, 0), ("p", p, 1), ("n", n, 1)):
        if size < least:
            raise ValueError(f"`{name}` (={size}) must be at least {least}: choose a larger number.")
    f = p * n * n
    angles = _angles(positions(start_pos, t), f, base, jax.dtypes.canonicalize_dtype(float))
    waves = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    *leading, pairs = angles.shape
    return waves.reshape(*leading, 2 * pairs)[..., :f].reshape(*leading, p, n, n)


@contract
def rotary(
    x: Float[AnyArray, "*batch t p n n"],
    *,
    start_pos: int | Integer[AnyArray, ""] | Integer[AnyArray, "*batch"] = 0,
    base: float = 10000.0,
    heads: int = 1,
    interleaved: bool = False,
) -> Float[Array, "*batch t p n n"]:
    """Rotary positions: `x · cos + rotate_pairs(x) · sin`, pair k of a head turned by `position · base^(−2k/f)`.

    `⟨rotary(a) at i, rotary(b) at j⟩` depends on i − j alone, and norms are kept. The f = p / heads · n · n features of
    a head are counted as `flatten` counts them. Pair k is `(k, k + f/2)`, so that with an even number of neurons in a
    head each entry turns with the same entry of another neuron; `interleaved`: `(2k, 2k + 1)`, neighbours.

    **Arguments:** `x`: `(*batch, t, p, n, n)`; `start_pos`: the position of the first token, an integer, negative too,
    or one for each example `(*batch)`; `base`: above 1; `heads`: parts of the p neurons that turn alike;
    `interleaved`: which features pair up.
    **Returns:** `(*batch, t, p, n, n)`; angles are computed in float32 for half precision.
    **Raises:** `ContractError` if the trailing axes are not `(t, p, n, n)` or `start_pos` is not of integers;
    `ValueError` if `heads` does not divide p or leaves an odd number of features, or for a `base` out of range.
    **Source:** Su et al. 2021, arXiv 2104.09864; TorchLean, RoPE.
    """
    t, p, n, _ = x.shape[-4:]
    if heads < 1:
        raise ValueError(f"`heads` (={heads}) must be at least 1: choose a positive number.")
    if p % heads:
        raise ValueError(f"`p` (={p}) must be divisible by `heads` (={heads}): choose `p` as a multiple of {heads}.")
    f = p // heads * n * n
    require_pairs(f)
    features = widen(x).reshape(*x.shape[:-3], heads, f)
    angles = _angles(positions(start_pos, t), f, base, features.dtype)[..., None, :]
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    pairs = (*features.shape[:-1], f // 2, 2) if interleaved else (*features.shape[:-1], 2, f // 2)
    axis = -1 if interleaved else -2
    a, b = jnp.moveaxis(features.reshape(pairs), axis, 0)
    turned = jnp.stack([a * cos - b * sin, b * cos + a * sin], axis)
    return turned.reshape(x.shape).astype(jnp.asarray(x).dtype)


def positions(start_pos: int | AnyArray, t: int) -> Array:
    """`start_pos`, `start_pos + 1`, …, t of them on a new last axis."""
    start = jnp.asarray(start_pos)
    if start.dtype.itemsize < 4:
        # The positions may be beyond a small dtype.
        start = start.astype(jnp.int32)
    return start[..., None] + jnp.arange(t, dtype=start.dtype)


def require_base(base: float, name: str = "base") -> None:
    """Refuses a base that gives no wavelengths, or all the same, by the name that its argument has."""
    if not 1 < base < math.inf:
        raise ValueError(f"`{name}` (={base}) must be above 1, and finite: 10000 is common.")


def require_pairs(f: int) -> None:
    """Refuses heads of an odd number of features, which turn in pairs."""
    if f % 2:
        raise ValueError(
            f"`p`·n·n / `heads` (={f}) must be even, as features turn in pairs: choose an even number of neurons in a "
            "head, or an even n."
        )


def _angles(place: Array, features: int, base: float, dtype: np.dtype) -> Array:
    """`(*batch, t, ⌈features / 2⌉)`: each position times the frequency of each pair."""
    require_base(base)
    frequencies = base ** (-np.arange(0, features, 2) / features)
    return place[..., None].astype(dtype) * jnp.asarray(frequencies, dtype)
