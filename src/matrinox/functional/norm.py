"""Normalisation: `(x − mean) / √(variance + eps)`, over the axes that each function says.

Mean and variance are taken in two passes, in float32 at least; the variance is that of the values themselves, divided
by their count.
"""

from collections.abc import Hashable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.contract.nearest import nearest
from matrinox.functional.axis import AxisTuple
from matrinox.functional.conv import require_groups
from matrinox.functional.precision import widen
from matrinox.functional.window import LETTERS

AxisChoice: TypeAlias = str | int | tuple[()] | AxisTuple
"""`"all"`, `"channel_last"`, `"channel_first"`, or axes by number."""

_CHOICES = ("all", "channel_last", "channel_first")


@contract
def layer_norm(
    x: Float[AnyArray, "*batch p n n"],
    weight: Float[AnyArray, "p n n"] | None = None,
    bias: Float[AnyArray, "p n n"] | None = None,
    *,
    eps: float = 1e-5,
) -> Float[Array, "*batch p n n"]:
    """Layer normalisation: mean and variance over the p·n·n entries of each place.

    **Arguments:** `x`: `(*batch, p, n, n)`; `weight`, `bias`: `(p, n, n)`, multiplied by and added; `eps`: added to the
    variance.
    **Returns:** `(*batch, p, n, n)`, in the dtype of `x`.
    **Raises:** `ContractError` if the shapes do not fit; `ValueError` if `eps` is not positive.
    **Source:** Ba et al. 2016, arXiv 1607.06450.
    """
    x = jnp.asarray(x)
    y = _standardised(widen(x), (-3, -2, -1), eps)
    return affine(y, weight, bias).astype(x.dtype)


@contract
def rms_norm(
    x: Float[AnyArray, "*batch p n n"],
    weight: Float[AnyArray, "p n n"] | None = None,
    bias: Float[AnyArray, "p n n"] | None = None,
    *,
    eps: float = 1e-5,
) -> Float[Array, "*batch p n n"]:
    """Root-mean-square normalisation: `x / √(mean(x²) + eps)`, the mean over the p·n·n entries of each place.

    **Arguments:** `x`: `(*batch, p, n, n)`; `weight`, `bias`: `(p, n, n)`, multiplied by and added; `eps`: added to the
    mean square.
    **Returns:** `(*batch, p, n, n)`, in the dtype of `x`.
    **Raises:** `ContractError` if the shapes do not fit; `ValueError` if `eps` is not positive.
    **Source:** Zhang and Sennrich 2019, arXiv 1910.07467.
    """
    require_eps("eps", eps)
    x = jnp.asarray(x)
    wide = widen(x)
    mean_square = jnp.mean(jnp.square(wide), axis=(-3, -2, -1), keepdims=True)
    return affine(wide * jax.lax.rsqrt(mean_square + eps), weight, bias).astype(x.dtype)


def places_taken(axes: int) -> str:
    """The axes of an example with `axes` space axes: `"h w p n n"` for 2."""
    return " ".join((*LETTERS.get(axes, ()), "p n n"))


@contract
def group_norm(
    x: Float[AnyArray, "*batch {places_taken(axes)}"],
    weight: Float[AnyArray, "p n n"] | None = None,
    bias: Float[AnyArray, "p n n"] | None = None,
    *,
    groups: int,
    axes: int = 0,
    eps: float = 1e-5,
) -> Float[Array, "*batch {places_taken(axes)}"]:
    """Group normalisation: mean and variance over p / groups neurons, their entries and the space axes before them.

    **Arguments:** `x`: `(*batch, p, n, n)`, or `(*batch, t, p, n, n)`, `(*batch, h, w, p, n, n)` or
    `(*batch, d, h, w, p, n, n)` for 1, 2 or 3 space axes; `weight`, `bias`: `(p, n, n)`, multiplied by and added;
    `groups`: of neurons that follow one another; `axes`: how many space axes the statistics run over; `eps`: added to
    the variance.
    **Returns:** the shape and the dtype of `x`.
    **Raises:** `ContractError` if the shapes do not fit; `ValueError` if `p` is not divisible by `groups`, for `axes`
    beyond 3, and if `eps` is not positive.
    **Source:** Wu and He 2018, arXiv 1803.08494.
    """
    require_space(axes)
    x = jnp.asarray(x)
    *before, p, n, _ = x.shape
    require_groups(groups, p=p)
    grouped = widen(x).reshape(*before, groups, p // groups, n, n)
    y = _standardised(grouped, (*range(-4 - axes, -4), -3, -2, -1), eps)
    return affine(y.reshape(x.shape), weight, bias).astype(x.dtype)


@contract
def instance_norm(
    x: Float[AnyArray, "*batch {places_taken(axes)}"],
    weight: Float[AnyArray, "p n n"] | None = None,
    bias: Float[AnyArray, "p n n"] | None = None,
    *,
    axes: int = 0,
    eps: float = 1e-5,
) -> Float[Array, "*batch {places_taken(axes)}"]:
    """Instance normalisation: mean and variance over each neuron's entries and the space axes before the neurons.

    **Arguments:** `x`, `weight`, `bias`, `axes`, `eps`: as for `group_norm`, of which this is the case of p groups; `x`
    is `(*batch, p, n, n)`, with the space axes before p.
    **Returns:** the shape and the dtype of `x`.
    **Raises:** as `group_norm`: `ContractError` for the shapes, `ValueError` for the options.
    **Source:** Ulyanov et al. 2016, arXiv 1607.08022.
    """
    return group_norm(x, weight, bias, groups=x.shape[-3], axes=axes, eps=eps)


@contract
def z_norm(
    x: Float[AnyArray, "*space p n n"],
    axis: AxisChoice,
    batch_axis_name: Hashable = (),
    epsilon: float = 1e-5,
) -> Float[Array, "*space p n n"]:
    """Mean 0 and variance 1 along any axes of one example, and along the axes of `vmap` that are named.

    The channel, of which mlax says that it stays, is the neuron with its matrix: at n = 1 they are the same numbers.

    **Arguments:** `x`: one example, `(*space, p, n, n)`; or `(p, *space, n, n)` for `"channel_first"`; `axis`: `"all"`
    for every axis; `"channel_last"` for all but the neurons, p at axis −3; `"channel_first"` for all but p at axis 0;
    or axes by number; `batch_axis_name`: a name, or a tuple of names, to normalise along too; `epsilon`: added to the
    variance.
    **Returns:** the shape and the dtype of `x`.
    **Raises:** `ContractError` if the matrices are not square; `ValueError` for an axis that is not there, or named
    twice, for a name of no enclosing map, and if `epsilon` is not positive.
    **Source:** mlax, `nn.functional.z_norm`.
    """
    require_eps("epsilon", epsilon)
    x = jnp.asarray(x)
    wide = widen(x)
    names = axis_names(batch_axis_name)
    mapped_count("batch_axis_name", names)
    mean, variance = moments(wide, chosen_axes(axis, x.ndim), names)
    return standardise(wide, mean, variance, epsilon).astype(x.dtype)


def moments(x: Array, axes: tuple[int, ...], names: tuple[Hashable, ...] = ()) -> tuple[Array, Array]:
    """Mean and variance along `axes`, which stay with size 1, and along the named axes of enclosing maps."""
    mean = _mean(x, axes, names)
    return mean, _mean(jnp.square(x - mean), axes, names)


def _mean(x: Array, axes: tuple[int, ...], names: tuple[Hashable, ...]) -> Array:
    mean = jnp.mean(x, axis=axes, keepdims=True)
    return jax.lax.pmean(mean, names) if names else mean


def mapped_count(argument: str, names: tuple[Hashable, ...]) -> int:
    """How many examples the named axes of enclosing maps hold.

    **Raises:** `ValueError` for a name of no enclosing map.
    """
    count = 1
    for name in names:
        try:
            count *= jax.lax.axis_size(name)
        except NameError:
            raise ValueError(
                f"`{argument}` (={name!r}) must name an axis of a map around this call: call the model under "
                f"jax.vmap(…, axis_name={name!r}), or leave `{argument}` out."
            ) from None
    return count


def axis_names(name: Hashable) -> tuple[Hashable, ...]:
    """A name, a tuple of names, or `None` for no name, as a tuple."""
    if name is None:
        return ()
    return name if isinstance(name, tuple) else (name,)


def standardise(x: Array, mean: Array, variance: Array, eps: float) -> Array:
    """`(x − mean) / √(variance + eps)`."""
    return (x - mean) * jax.lax.rsqrt(variance + eps)


def affine(x: Array, weight: AnyArray | None, bias: AnyArray | None) -> Array:
    """`weight · x + bias` in the dtype of `x`, whatever theirs."""
    if weight is not None:
        x = x * jnp.asarray(weight, x.dtype)
    return x if bias is None else x + jnp.asarray(bias, x.dtype)


def chosen_axes(axis: AxisChoice, rank: int) -> tuple[int, ...]:
    """The axes that `axis` means in an example of `rank` axes, counted from the end: -1 is the last.

    **Raises:** `ValueError` for an unknown name, for an axis beyond the rank, and for one that is named twice.
    """
    everything = tuple(range(-rank, 0))
    if isinstance(axis, str):
        if axis not in _CHOICES:
            raise ValueError(
                f"`axis` (={axis!r}) must be 'all', 'channel_last', 'channel_first' or axes by number: "
                f"did you mean {nearest(axis, _CHOICES)!r}?"
            )
        kept = {"all": None, "channel_last": -3, "channel_first": -rank}[axis]
        return tuple(entry for entry in everything if entry != kept)
    numbers = (axis,) if isinstance(axis, int) else axis
    for number in numbers:
        if not -rank <= number < rank:
            raise ValueError(
                f"`axis` (={axis}) must be of the {rank} axes of an example: choose from {-rank} to {rank - 1}."
            )
    chosen = tuple(sorted(number % rank - rank for number in numbers))
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"`axis` (={axis}) must name each axis once: choose from {-rank} to -1.")
    return chosen


def require_eps(argument: str, eps: float) -> None:
    """Refuses what would divide by zero where all values are equal, or by a number that is none.

    **Raises:** `ValueError`, naming the argument.
    """
    if not 0 < eps < float("inf"):
        raise ValueError(f"`{argument}` (={eps}) must be positive and finite: choose a small number such as 1e-5.")


def require_space(axes: int) -> None:
    """Refuses a count of space axes that no example has.

    **Raises:** `ValueError`.
    """
    if axes not in (0, *LETTERS):
        raise ValueError(f"`axes` (={axes}) must be from 0 to 3: count the space axes that statistics run over.")


def _standardised(x: Array, axes: tuple[int, ...], eps: float) -> Array:
    require_eps("eps", eps)
    return standardise(x, *moments(x, axes), eps)
