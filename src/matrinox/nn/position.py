"""Positions of the tokens of a sequence `(*batch, t, p, n, n)`: learned, sinusoidal, rotary."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import embedding, rotary, sinusoidal_positions
from matrinox.functional.position import positions, require_base
from matrinox.functional.precision import widen
from matrinox.initializers import Initializer
from matrinox.nn.linear import check_sizes

_NORMAL_002: Initializer = jax.nn.initializers.normal(0.02)


@contract
class LearnedPosition(eqx.Module):
    """Adds a learned row to each token, by its position: `y_t = x_t + weight_(start_pos + t)`.

    **Arguments:** `length`: how many positions there are; `p`, `n`: neurons and matrix side; `initializer`: of the
    weight `(length, p, n, n)`, by default normal of standard deviation 0.02, as in GPT-2, so that at first a token
    counts for more than its place; `dtype`: of the weight, the default float where `None`; `key`: one key.
    **Raises:** `ValueError` for a size below 1.
    **Source:** Gehring et al. 2017, arXiv 1705.03122; TorchLean, learned positional embedding.

    >>> import jax, jax.numpy as jnp
    >>> layer = LearnedPosition(length=64, p=2, n=4, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 10, 2, 4, 4))).shape
    (32, 10, 2, 4, 4)
    """

    weight: Float[Array, "length p n n"]

    def __init__(
        self,
        length: int,
        p: int,
        n: int,
        *,
        initializer: Initializer = _NORMAL_002,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(length=length, p=p, n=n)
        self.weight = initializer(key, (length, p, n, n), dtype)

    @property
    def length(self) -> int:
        """How many positions there are."""
        return self.weight.shape[-4]

    @property
    def p(self) -> int:
        """Neurons in and out."""
        return self.weight.shape[-3]

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.weight.shape[-1]

    def __call__(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        start_pos: int | Integer[AnyArray, ""] | Integer[AnyArray, "*batch"] = 0,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch t {self.p} {self.n} {self.n}"]:
        """Adds the rows from `start_pos` on.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `start_pos`: the position of the first token, or one for each
        example `(*batch)`; `key`: not used.
        **Returns:** `(*batch, t, p, n, n)`. While tracing, where an array's values are unknown, a position outside
        0 … length − 1 gives NaN.
        **Raises:** `ContractError` if the trailing axes are not `(t, p, n, n)`, or `start_pos` is not of integers;
        `ValueError` for a position outside 0 … length − 1.
        """
        self._require_room(start_pos, x.shape[-4])
        return jnp.asarray(x) + embedding(self.weight, positions(start_pos, x.shape[-4]))

    def _require_room(self, start_pos: int | AnyArray, t: int) -> None:
        starts = np.zeros(1, int) if isinstance(start_pos, Tracer) else np.asarray(start_pos)
        for start in (starts.min(), starts.max()) if starts.size else ():
            if start < 0:
                raise ValueError(f"`start_pos` (={start}) must be 0 or more: the first position is 0.")
            if start + t > self.length:
                raise ValueError(
                    f"`start_pos` + t (={start} + {t}) must be at most `length` (={self.length}): choose a `length` of "
                    f"{start + t} or more, or give fewer tokens."
                )


@contract
class _Waves(eqx.Module):
    base: float = eqx.field(static=True, default=10000.0)

    def __check_init__(self):
        require_base(self.base)

    def __call__(
        self,
        x: Float[AnyArray, "*batch t p n n"],
        *,
        start_pos: int | Integer[AnyArray, ""] | Integer[AnyArray, "*batch"] = 0,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch t p n n"]:
        """Gives the tokens their positions, from `start_pos` on.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `start_pos`: the position of the first token, an integer, negative
        too, or one for each example `(*batch)`; `key`: not used.
        **Returns:** `(*batch, t, p, n, n)`; for half precision computed in float32.
        **Raises:** `ContractError` if the trailing axes are not `(t, p, n, n)`, or `start_pos` is not of integers;
        `ValueError`, of `RotaryPosition`, if `heads` does not divide p or leaves an odd number of features.
        """
        return self._place(x, start_pos)

    @abc.abstractmethod
    def _place(self, x: AnyArray, start_pos: int | AnyArray) -> Array: ...


@contract
class SinusoidalPosition(_Waves):
    """Adds to each token the sines and cosines of its position: `y_t = x_t + table_(start_pos + t)`.

    Entries are counted as `Flatten` counts them; sines and cosines take turns, at ever longer wavelengths. Nothing in
    it trains.

    **Arguments:** `base`: above 1, sets the longest wavelength.
    **Raises:** `ValueError` for a `base` out of range.
    **Source:** `functional.sinusoidal_positions`.

    >>> import jax.numpy as jnp
    >>> SinusoidalPosition()(jnp.zeros((2, 1, 2, 2))).round(3)[:, 0]
    Array([[[0.   , 1.   ],
            [0.   , 1.   ]],
    <BLANKLINE>
           [[0.841, 0.54 ],
            [0.01 , 1.   ]]], dtype=float32)
    """

    def _place(self, x: AnyArray, start_pos: int | AnyArray) -> Array:
        t, p, n, _ = x.shape[-4:]
        table = sinusoidal_positions(t, p, n, start_pos=start_pos, base=self.base)
        return (widen(x) + table).astype(jnp.asarray(x).dtype)


@contract
class RotaryPosition(_Waves):
    """Turns pairs of a token's features by its position: `x · cos + rotate_pairs(x) · sin`.

    Inner products of two tokens then depend on how far apart they are, not on where: for queries and keys. Nothing in
    it trains.

    **Arguments:** `base`: above 1, sets the longest wavelength; `heads`: parts of the neurons that turn alike;
    `interleaved`: pair neighbours `(2k, 2k + 1)` rather than `(k, k + f/2)`, of the f features of a head.
    **Raises:** `ValueError` for `heads` below 1 or a `base` out of range.
    **Source:** `functional.rotary`.

    >>> import jax.numpy as jnp
    >>> RotaryPosition(heads=2)(jnp.ones((32, 10, 6, 4, 4)), start_pos=7).shape
    (32, 10, 6, 4, 4)
    """

    heads: int = eqx.field(static=True, default=1)
    interleaved: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        check_sizes(heads=self.heads)

    def _place(self, x: AnyArray, start_pos: int | AnyArray) -> Array:
        return rotary(x, start_pos=start_pos, base=self.base, heads=self.heads, interleaved=self.interleaved)
