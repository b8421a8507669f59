"""Pools by any reduction of an axis, over windows of one, two or three axes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.pool_window import Windows, explains_windows, windows_over
from matrinox.functional.precision import widen
from matrinox.functional.window import Padding, Sizes

_BEFORE = """`reduce_fn`: called as `reduce_fn(windows, axis=0)`, where `windows` has one more axis in front, for the
entries of a window in the order of the axes; it gives floats without that axis, such as `jnp.min`, `jnp.median` and
`jax.nn.logsumexp` do, the `reduce` of a `jnp.ufunc`, or a `Reduction`; half precision comes to it as float32;
"""
_BEHIND = """;
- `fill`: what padding and holes hold; of a `Reduction`, its `init` where `None`"""
_REFUSED = """,
for padding or holes without a `fill`, and for a `reduce_fn` that gives anything but floats without the axis"""


@dataclass(frozen=True)
class Reduction:
    """Reduces an axis by a function of two arrays, as `lax.reduce_window` does: `init ∘ x_1 ∘ … ∘ x_k`.

    **Arguments:** `combine`: of two arrays of one shape and dtype, entry by entry and associative, such as `lax.mul`;
    `init`: takes part in every window.
    **Source:** mlax, `functional.pool`, which takes the two as `reduce_fn` and `init_value`.

    >>> from jax import lax
    >>> pool1d(jnp.array([-3.0, -1.0, 2.0, 1.0]).reshape(4, 1, 1, 1), Reduction(lax.max, 0.0), window=2).ravel()
    Array([0., 2.], dtype=float32)
    """

    combine: Callable[[Array, Array], Array]
    init: float

    @contract
    def __call__(self, x: Float[AnyArray, "..."], axis: int) -> Float[Array, "..."]:
        """Reduces one axis.

        **Arguments:** `x`: of any shape `(…)`; `axis`: the one to reduce.
        **Returns:** `(…)`, without that axis.
        **Raises:** `ContractError` if `x` is not an array of floats.
        """
        x = jnp.moveaxis(jnp.asarray(x), axis, 0)
        init = jnp.full(x.shape[1:], self.init, x.dtype)
        # Neighbours are combined pair by pair, which keeps their order and takes few steps to compile.
        while len(x) > 1:
            pairs = self.combine(x[: len(x) - 1 : 2], x[1::2])
            x = pairs if len(x) % 2 == 0 else jnp.concatenate([pairs, x[-1:]])
        return self.combine(init, x[0]) if len(x) else init


@contract
@explains_windows(1, before=_BEFORE, behind=_BEHIND, refused=_REFUSED)
def pool1d(
    x: Float[AnyArray, "*batch t p n n"],
    reduce_fn: Callable[..., Any],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
    fill: float | None = None,
) -> Float[Array, "*batch _ p n n"]:
    """What `reduce_fn` makes of each window's entries, over a sequence.

    **Source:** mlax, `functional.pool`.

    >>> windows = {"window": 2, "padding": ((0, 1),)}
    >>> x = jnp.array([5.0, 2.0, 3.0]).reshape(3, 1, 1, 1)
    >>> pool1d(x, jnp.min, fill=jnp.inf, **windows).ravel()
    Array([2., 3.], dtype=float32)
    >>> pool1d(x, jnp.multiply.reduce, fill=1.0, **windows).ravel()
    Array([10.,  3.], dtype=float32)
    """
    return _pool(x, reduce_fn, windows_over(x.shape, 1, window, stride, padding, dilation, input_dilation), fill)


@contract
@explains_windows(2, before=_BEFORE, behind=_BEHIND, refused=_REFUSED)
def pool2d(
    x: Float[AnyArray, "*batch h w p n n"],
    reduce_fn: Callable[..., Any],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
    fill: float | None = None,
) -> Float[Array, "*batch _ _ p n n"]:
    """What `reduce_fn` makes of each window's entries, over an image.

    **Source:** mlax, `functional.pool`.
    """
    return _pool(x, reduce_fn, windows_over(x.shape, 2, window, stride, padding, dilation, input_dilation), fill)


@contract
@explains_windows(3, before=_BEFORE, behind=_BEHIND, refused=_REFUSED)
def pool3d(
    x: Float[AnyArray, "*batch d h w p n n"],
    reduce_fn: Callable[..., Any],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
    fill: float | None = None,
) -> Float[Array, "*batch _ _ _ p n n"]:
    """What `reduce_fn` makes of each window's entries, over a volume.

    **Source:** mlax, `functional.pool`.
    """
    return _pool(x, reduce_fn, windows_over(x.shape, 3, window, stride, padding, dilation, input_dilation), fill)


def _pool(x: AnyArray, reduce_fn: Callable[..., Any], windows: Windows, fill: float | None) -> Array:
    if fill is None and isinstance(reduce_fn, Reduction):
        fill = reduce_fn.init
    if fill is None and not windows.meet_only_entries:
        raise ValueError(
            "`fill` (=None) must say what padding and the holes of an input dilation hold: choose what `reduce_fn` "
            "passes over, such as 0 for a sum."
        )
    x = jnp.asarray(x)
    entries = windows.gathered(widen(x), 0.0 if fill is None else fill)
    name = getattr(reduce_fn, "__name__", reduce_fn)
    y = jnp.asarray(reduce_fn(entries, axis=0))
    if y.shape != entries.shape[1:]:
        raise ValueError(
            f"`reduce_fn` (={name}) must reduce the axis it is given, and no other: of {entries.shape} and axis 0 it "
            f"made {y.shape}, not {entries.shape[1:]}: hand its `axis` on, as `jnp.min` takes it."
        )
    if not jnp.issubdtype(y.dtype, jnp.floating):
        raise ValueError(f"`reduce_fn` (={name}) must give floats, not {y.dtype}: cast what it gives to float32.")
    return y.astype(x.dtype)
