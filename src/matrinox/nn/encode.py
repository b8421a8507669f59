"""Encoders as layers: features, images and sequences into matrix neurons."""

import math

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import embed_pixels, embed_sequence, fold, fold_frames, patches, tile
from matrinox.functional.encode import require_frames
from matrinox.nn.linear import check_sizes


@contract
class _Encoder(eqx.Module):
    n: int = eqx.field(static=True)

    def __check_init__(self):
        check_sizes(n=self.n)


@contract
class Fold(_Encoder):
    """Features, in order, into as few n×n matrices as hold them, zeros behind: `(*batch, f)` to `(*batch, p, n, n)`.

    **Arguments:** `n`: matrix side. The neurons are p = ⌈f / n²⌉.
    **Raises:** `ValueError` if `n` is below 1.
    **Source:** `functional.fold`.

    >>> import jax.numpy as jnp
    >>> Fold(n=4)(jnp.ones((32, 40))).shape
    (32, 3, 4, 4)
    """

    def __call__(
        self, x: Float[AnyArray, "*batch f"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ {self.n} {self.n}"]:
        """Folds.

        **Arguments:** `x`: `(*batch, f)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if `x` has no axes.
        """
        return fold(x, self.n)


@contract
class Frames(_Encoder):
    """A sequence of matrices from an example's values, in order and `length` a step: to `(*batch, t, p, n, n)`.

    Rows of an image, where `length` is its width times its channels, or moments of a signal.

    **Arguments:** `n`: matrix side; `shape`: of an example; `length`: values of a step; `stride`: from the start of a
    step to that of the next, less than `length` where steps overlap, more where values between them are left out, and
    `length` where `None`. The steps are t = (values − length) / stride + 1, and the neurons p = ⌈length / n²⌉.
    **Raises:** `ValueError` if `n`, a size of `shape`, `length` or `stride` is below 1, `shape` is empty or the last
    step does not end where the values do.
    **Source:** `functional.fold_frames`.

    >>> import jax.numpy as jnp
    >>> Frames(n=2, shape=(28, 28, 1), length=28)(jnp.ones((32, 28, 28, 1))).shape
    (32, 28, 7, 2, 2)
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    length: int = eqx.field(static=True)
    stride: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if not self.shape:
            raise ValueError("`shape` (=()) must name at least one axis: such as (40,) or (28, 28, 1).")
        check_sizes(length=self.length, **{f"shape[{axis}]": size for axis, size in enumerate(self.shape)})
        values = math.prod(self.shape)
        require_frames(f"the {values} values of `shape` (={self.shape})", values, self.length, self.stride)

    @property
    def values(self) -> int | str:
        """The axes of an example."""
        return self.shape[0] if len(self.shape) == 1 else " ".join(map(str, self.shape))

    def __call__(
        self, x: Float[AnyArray, "*batch {self.values}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch t _ {self.n} {self.n}"]:
        """Cuts and folds.

        **Arguments:** `x`: `(*batch, *shape)`; `key`: not used.
        **Returns:** `(*batch, t, p, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `shape`.
        """
        batch = x.shape[: x.ndim - len(self.shape)]
        return fold_frames(x.reshape(*batch, math.prod(self.shape)), self.n, self.length, self.stride)


@contract
class Patches(_Encoder):
    """Each n×n patch of each channel is a neuron: `(*batch, h, w, p)` to `(*batch, h / n, w / n, p, n, n)`.

    **Arguments:** `n`: matrix side, which must divide h and w.
    **Raises:** `ValueError` if `n` is below 1.
    **Source:** `functional.patches`.

    >>> import jax.numpy as jnp
    >>> Patches(n=4)(jnp.ones((32, 28, 28, 1))).shape
    (32, 7, 7, 1, 4, 4)
    """

    def __call__(
        self, x: Float[AnyArray, "*batch h w p"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ _ p {self.n} {self.n}"]:
        """Cuts.

        **Arguments:** `x`: `(*batch, h, w, p)`, p being the channels; `key`: not used.
        **Returns:** `(*batch, h / n, w / n, p, n, n)`.
        **Raises:** `ContractError` if an axis is missing; `ValueError` if `n` does not divide h and w.
        """
        return patches(x, self.n)


@contract
class EmbedPixels(_Encoder):
    """Each pixel becomes its n×n neighbourhood, zeros beyond: `(*batch, h, w, p)` to `(*batch, h, w, p, n, n)`.

    **Arguments:** `n`: matrix side; `interleave`: order the places so that those n apart come together.
    **Raises:** `ValueError` if `n` is below 1.
    **Source:** MATNETS 3.2.5, `embed_pixels`.

    >>> import jax.numpy as jnp
    >>> EmbedPixels(n=3)(jnp.ones((32, 8, 8, 1))).shape
    (32, 8, 8, 1, 3, 3)
    """

    interleave: bool = eqx.field(static=True, default=False)

    def __call__(
        self, x: Float[AnyArray, "*batch h w p"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch h w p {self.n} {self.n}"]:
        """Embeds.

        **Arguments:** `x`: `(*batch, h, w, p)`, p being the channels; `key`: not used.
        **Returns:** `(*batch, h, w, p, n, n)`.
        **Raises:** `ContractError` if an axis is missing.
        """
        return embed_pixels(x, self.n, spatial_axes=(-3, -2), interleave=self.interleave)


@contract
class EmbedSequence(_Encoder):
    """Each moment becomes the Toeplitz matrix of its last n values: `(*batch, t, p)` to `(*batch, t, p, n, n)`.

    **Arguments:** `n`: matrix side, and the length of the history; before the first moment it is zero.
    **Raises:** `ValueError` if `n` is below 1.
    **Source:** MATNETS 3.2.5, `embed_sequence`.

    >>> import jax.numpy as jnp
    >>> EmbedSequence(n=2)(jnp.array([[1.0], [5.0]]))[:, 0]
    Array([[[1., 0.],
            [0., 1.]],
    <BLANKLINE>
           [[5., 1.],
            [1., 5.]]], dtype=float32)
    """

    def __call__(
        self, x: Float[AnyArray, "*batch t p"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch t p {self.n} {self.n}"]:
        """Embeds.

        **Arguments:** `x`: `(*batch, t, p)`, p being the channels; `key`: not used.
        **Returns:** `(*batch, t, p, n, n)`.
        **Raises:** `ContractError` if an axis is missing.
        """
        return embed_sequence(x, self.n, axis=-2)


@contract
class Tile(_Encoder):
    """Each number fills a matrix: `(*batch, p)` to `(*batch, p, n, n)`.

    All columns start equal, and a layer treats columns alike: until a bias tells them apart, n columns do the work of
    one, and every determinant is zero. Prefer `Fold`.

    **Arguments:** `n`: matrix side.
    **Raises:** `ValueError` if `n` is below 1.
    **Source:** MATNETS 3.2.5, as its examples embed scalars.

    >>> import jax.numpy as jnp
    >>> Tile(n=2)(jnp.array([3.0]))
    Array([[[3., 3.],
            [3., 3.]]], dtype=float32)
    """

    def __call__(
        self, x: Float[AnyArray, "*batch p"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p {self.n} {self.n}"]:
        """Tiles.

        **Arguments:** `x`: `(*batch, p)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if `x` has no axes.
        """
        return tile(x, self.n)
