"""Draws that a seed alone decides: the same in every process, and wherever JAX gives the same bits."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Float, PRNGKeyArray, Shaped

from matrinox.contract import AnyArray, contract
from matrinox.rand.stream import KeyStream, Seed

Shape = tuple[int, ...]


@contract
def uniform(
    seed: Seed, shape: Shape = (), *, low: float = 0.0, high: float = 1.0, dtype: DTypeLike = jnp.float32
) -> Float[Array, "..."]:
    """Floats from `low` up to, but not including, `high`, all equally likely.

    **Arguments:** `seed`: as for `KeyStream`; `shape`: of the draws; `low`, `high`: the bounds;
    `dtype`: of floats.
    **Returns:** an array, `(*shape)`.
    **Raises:** `ValueError` for a seed out of range, a negative length, and if `high` is not above `low`.

    >>> uniform(0, (2,))
    Array([0.947667 , 0.9785799], dtype=float32)
    """
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"`high` (={high}) must be above `low` (={low}), and both finite: swap or widen them.")
    lowest, end = np.array([low, high], jax.dtypes.canonicalize_dtype(dtype))
    if lowest >= end:
        raise ValueError(f"`high` (={high}) must be above `low` (={low}) in {end.dtype.name} too: widen them.")
    drawn = jax.random.uniform(_key(seed), _lengths(shape), dtype, low, high)
    # Where the bounds are close, draws are rounded up to the upper one.
    return jnp.minimum(drawn, np.nextafter(end, lowest))


@contract
def normal(
    seed: Seed, shape: Shape = (), *, mean: float = 0.0, std: float = 1.0, dtype: DTypeLike = jnp.float32
) -> Float[Array, "..."]:
    """Floats of a normal distribution.

    **Arguments:** `seed`: as for `KeyStream`; `shape`: of the draws; `mean`, `std`: its mean and its
    standard deviation; `dtype`: of floats.
    **Returns:** an array, `(*shape)`.
    **Raises:** `ValueError` for a seed out of range, a negative length, and for a `std` below 0.

    >>> normal(0, (3, 2)).shape
    (3, 2)
    """
    if not 0 <= std < math.inf:
        raise ValueError(f"`std` (={std}) must be at least 0, and finite: it is a standard deviation.")
    return mean + std * jax.random.normal(_key(seed), _lengths(shape), dtype)


@contract
def permutation(seed: Seed, x: int | Shaped[AnyArray, "..."], *, axis: int = 0) -> Shaped[Array, "..."]:
    """The slices of an array in random order, or the indices from 0 in it.

    **Arguments:** `seed`: as for `KeyStream`; `x`: an array, or how many indices; `axis`: which the
    slices stand along, and stay whole.
    **Returns:** an array of the shape of `x`, or `(x,)`.
    **Raises:** `ValueError` for a seed out of range, a negative count, and an axis that `x` does not have.

    >>> sorted(permutation(0, 4).tolist())
    [0, 1, 2, 3]
    """
    slices = jnp.arange(_count("x", x)) if isinstance(x, int) else jnp.asarray(x)
    if not -slices.ndim <= axis < slices.ndim:
        raise ValueError(f"`axis` (={axis}) must be one of the {slices.ndim} axes of `x`: the first is 0.")
    return jax.random.permutation(_key(seed), slices, axis=axis)


@contract
def choice(
    seed: Seed,
    x: int | Shaped[AnyArray, "..."],
    shape: Shape = (),
    *,
    replace: bool = True,
    p: Float[AnyArray, " options"] | None = None,
) -> Shaped[Array, "..."]:
    """Draws from the slices of an array along its first axis, or from the indices from 0.

    **Arguments:** `seed`: as for `KeyStream`; `x`: an array, or how many indices; `shape`: of the
    draws; `replace`: whether one may be drawn again; `p`: how likely each is, `(options,)`; all alike where `None`.
    **Returns:** `(*shape, …)`, with the other axes of `x`.
    **Raises:** `ValueError` for a seed out of range, where there is nothing to draw from, for more draws without
    replacement than there are options that can be drawn, and for a `p` that is not one chance for each, at least 0
    and 1 in all.

    >>> choice(0, 4, (3,), p=jnp.array([0.0, 1.0, 0.0, 0.0])).tolist()
    [1, 1, 1]
    """
    options = jnp.arange(_count("x", x)) if isinstance(x, int) else jnp.asarray(x)
    draws = math.prod(_lengths(shape))
    if options.ndim == 0:
        raise ValueError("`x` must have an axis to draw along, and is a number: give an int for indices.")
    count = options.shape[0]
    if draws and not count:
        raise ValueError("`x` (of length 0) must hold at least one option: there is nothing to draw from.")
    chances = None if p is None else _chances(p, count)
    likely = count if chances is None or isinstance(chances, Tracer) else int(jnp.sum(chances > 0))
    if not replace and draws > likely:
        raise ValueError(
            f"`shape` (={shape}) must hold at most {likely} draws, as many as there are options that can be drawn: "
            "draw fewer, or with replace=True."
        )
    if not draws:
        return jnp.zeros((*shape, *options.shape[1:]), options.dtype)
    if replace and chances is None:
        # Of 32 bits: with JAX's switch for 64 it would draw others.
        return options[jax.random.randint(_key(seed), shape, 0, count, jnp.int32)]
    return jax.random.choice(_key(seed), options, shape, replace, chances)


def _key(seed: Seed) -> PRNGKeyArray:
    return KeyStream(seed).root


def _lengths(shape: Shape) -> Shape:
    for length in shape:
        if length < 0:
            raise ValueError(f"`shape` (={shape}) must hold lengths of at least 0: (3, 4) is three rows of four.")
    return shape


def _count(name: str, count: int) -> int:
    if count < 0:
        raise ValueError(f"`{name}` (={count}) must be at least 0: it says how many indices there are.")
    return count


def _chances(p: Float[AnyArray, " options"], count: int) -> Array:
    p = jnp.asarray(p, jnp.float32)
    if p.shape[0] != count:
        raise ValueError(f"`p` (of length {p.shape[0]}) must hold one chance for each of {count} options.")
    if not isinstance(p, Tracer) and not (bool(jnp.all(p >= 0)) and abs(float(jnp.sum(p)) - 1) < 1e-3):
        raise ValueError(
            f"`p` (with a sum of {float(jnp.sum(p)):.6g}) must hold chances of at least 0, 1 in all: divide by the sum."
        )
    return p
