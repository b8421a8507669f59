"""What a row of the table says of a layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from matrinox.paths import select


@dataclass(frozen=True)
class Row:
    """A layer from a key and a dtype, the shape of one example, and a shape that is refused: why, and by what layer.

    `takes_integers`: integers are a meaningful input. `takes_anything`: every array is one, of any rank and dtype.
    `frozen`: the leaves that it keeps from learning, as a path pattern.
    """

    make: Callable[[jax.Array, Any], eqx.Module]
    shape: tuple[int, ...]
    wrong: tuple[int, ...]
    why: str = "not square"
    refuser: str | None = None
    takes_integers: bool = False
    takes_anything: bool = False
    frozen: str | None = None

    def trained(self, layer: eqx.Module) -> Any:
        """A mask of the leaves that are parameters."""
        floats = jax.tree.map(eqx.is_inexact_array, layer)
        if self.frozen is None:
            return floats
        return jax.tree.map(lambda is_float, still: is_float and not still, floats, select(layer, self.frozen))


DENSE, WRONG_DENSE = (2, 3, 3), (2, 3, 4)
SEQUENCE, WRONG_SEQUENCE = (4, 2, 3, 3), (4, 2, 3, 4)
IMAGE, WRONG_IMAGE = (4, 4, 2, 3, 3), (4, 4, 2, 3, 4)
VOLUME, WRONG_VOLUME = (4, 2, 2, 2, 3, 3), (4, 2, 2, 2, 3, 4)


def without(layer: Callable[..., eqx.Module], *args: Any, **options: Any) -> Callable[[jax.Array, Any], eqx.Module]:
    """A layer that needs neither key nor dtype."""
    return lambda key, dtype: layer(*args, **options)


def drawn(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """An initializer that compiles nothing, unless the key is traced, as for the groups of a convolution."""
    if isinstance(key, jax.core.Tracer):
        return jax.random.uniform(key, shape, dtype, -0.5, 0.5)
    seed = int(jax.random.key_data(key)[-1])
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype) / 3


def with_weights(
    layer: Callable[..., eqx.Module], *args: Any, **options: Any
) -> Callable[[jax.Array, Any], eqx.Module]:
    """A layer of weights, drawn without compiling."""
    return lambda key, dtype: layer(*args, initializer=drawn, key=key, dtype=dtype, **options)
