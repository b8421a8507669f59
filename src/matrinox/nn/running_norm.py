"""Normalisation by statistics of the batch, of which running ones are kept for inference: `BatchNorm`, `ZNorm`."""

import abc
import math
from collections.abc import Hashable
from typing import Any, Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional.norm import (
    AxisChoice,
    affine,
    axis_names,
    chosen_axes,
    mapped_count,
    moments,
    require_eps,
    standardise,
)
from matrinox.functional.precision import widen
from matrinox.initializers import Initializer
from matrinox.nn.linear import check_sizes
from matrinox.nn.norm import Affine

Space: TypeAlias = tuple[()] | tuple[int] | tuple[int, int] | tuple[int, int, int]


@contract
class _RunningNorm(eqx.nn.StatefulLayer):
    # In the state: how many batches were seen, and the running mean and variance.
    statistics: eqx.nn.StateIndex
    inference: bool
    momentum: float = eqx.field(static=True)
    _shape: tuple[int, ...] = eqx.field(static=True)

    def _keep(self, mean: Array, variance: Array, momentum: float, inference: bool) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(
                f"`momentum` (={momentum}) must be from 0 up to, but not including, 1: choose the share of the old "
                "statistics that stays."
            )
        self.statistics = eqx.nn.StateIndex((jnp.zeros((), jnp.int32), mean, variance))
        self._shape = mean.shape
        self.inference = inference
        self.momentum = momentum

    def _normalised(
        self, x: Array, state: eqx.nn.State, axes: tuple[int, ...], names: tuple[Hashable, ...], eps: float
    ) -> tuple[Array, eqx.nn.State]:
        batches, running_mean, running_variance = self._statistics_in(state)
        wide = widen(x)
        if self.inference:
            mean, variance = running_mean.astype(wide.dtype), running_variance.astype(wide.dtype)
            return standardise(wide, mean, variance, eps), state
        mean, variance = moments(wide, axes, names)
        rate = self._rate(batches + 1)

        def moved(running: Array, batch: Array) -> Array:
            # What is kept for later must not hold on to the gradient of this step.
            batch = jax.lax.stop_gradient(batch).reshape(running.shape).astype(running.dtype)
            return running + jnp.asarray(rate, running.dtype) * (batch - running)

        kept = (batches + 1, moved(running_mean, mean), moved(running_variance, variance))
        return standardise(wide, mean, variance, eps), state.set(self.statistics, kept)

    def _statistics_in(self, state: eqx.nn.State) -> tuple[Array, Array, Array]:
        try:
            kept: Any = state.get(self.statistics)
        except KeyError:
            kept = None
        if [jnp.shape(leaf) for leaf in jax.tree.leaves(kept)] != [(), self._shape, self._shape]:
            raise ValueError(
                f"`state` holds no statistics of this {type(self).__name__}: build the model and its state together, "
                "with eqx.nn.make_with_state."
            )
        return kept

    @abc.abstractmethod
    def _rate(self, batches: Array) -> Array | float: ...


@contract
class BatchNorm(_RunningNorm, Affine):
    """`(x − mean) / √(variance + eps) · weight + bias`, mean and variance over the batch.

    In training the statistics run over all leading axes (space axes are among them) and over the mapped axes that
    `axis_name` names, for each entry of each neuron; with `per="neuron"` also over the entries `(n, n)`. In inference,
    which `eqx.nn.inference_mode` switches, running ones take their place, and stay as they are.

    The running statistics are means over all batches seen, in which each batch weighs `momentum` times as much as the
    next one: after c batches `running += (1 − momentum) / (1 − momentum^c) · (batch − running)`. So the first batch
    counts in full, and later ones by `1 − momentum`, as in `equinox.nn.BatchNorm`; where PyTorch says momentum, it
    means that difference. The variance is divided by the count, not by the count less one. Before the first batch they
    are 0 and 1. They are in float32 at least.

    **Arguments:** `p`, `n`: neurons and matrix side; `axis_name`: a name, or a tuple of names, of mapped axes (of
    `jax.vmap`, `jax.shard_map`) that are part of the batch; `momentum`: from 0 up to, but not including, 1; `eps`:
    added to the variance; `per`: whether each entry or each neuron has statistics; `use_weight`, `use_bias`: whether
    there is a `weight`, `(p, n, n)` from 1, and a `bias`, `(p, n, n)` from 0; `inference`: start in inference; `dtype`:
    of weight and bias, the default float where `None`.
    **Raises:** `ValueError` for a size below 1, a `momentum` out of range, and an `eps` that is not positive.
    **Source:** Ioffe and Szegedy 2015, arXiv 1502.03167.

    >>> import equinox as eqx, jax.numpy as jnp
    >>> layer, state = eqx.nn.make_with_state(BatchNorm)(p=3, n=4)
    >>> y, state = layer(jnp.ones((32, 3, 4, 4)), state)
    >>> y.shape
    (32, 3, 4, 4)
    >>> y, _ = eqx.nn.inference_mode(layer)(jnp.ones((3, 4, 4)), state)
    >>> y.shape
    (3, 4, 4)
    """

    axis_name: Hashable = eqx.field(static=True)
    per: Literal["entry", "neuron"] = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        n: int,
        *,
        axis_name: Hashable = None,
        momentum: float = 0.99,
        eps: float = 1e-5,
        per: Literal["entry", "neuron"] = "entry",
        use_weight: bool = True,
        use_bias: bool = True,
        inference: bool = False,
        dtype: DTypeLike | None = None,
    ):
        Affine.__init__(self, p, n, eps=eps, use_weight=use_weight, use_bias=use_bias, dtype=dtype)
        shape = (p, n, n) if per == "entry" else (p, 1, 1)
        kept = _dtype_of_statistics(dtype)
        self._keep(jnp.zeros(shape, kept), jnp.ones(shape, kept), momentum, inference)
        self.axis_name = axis_name
        self.per = per

    def __call__(
        self,
        x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"],
        state: eqx.nn.State,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Float[Array, "*batch {self.p} {self.n} {self.n}"], eqx.nn.State]:
        """Normalises, and in training takes note of the batch in the state.

        **Arguments:** `x`: `(*batch, p, n, n)`; `state`: which holds the running statistics; `key`: not used.
        **Returns:** `(*batch, p, n, n)`, and the new state: in inference, the one that was given.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`; `ValueError` in training for fewer than 2
        examples, and for an `axis_name` of no map around the call; `ValueError` for the state of another model.
        """
        x = jnp.asarray(x)
        names, leading = axis_names(self.axis_name), tuple(range(x.ndim - 3))
        if not self.inference:
            _require_two("axis_name", x, leading, names, "example")
        axes = leading if self.per == "entry" else (*leading, -2, -1)
        y, state = self._normalised(x, state, axes, names, self.eps)
        return affine(y, self.weight, self.bias).astype(x.dtype), state

    def _rate(self, batches: Array) -> Array | float:
        # Logarithms, as 1 − momentum^c would lose the digits of a momentum near 1.
        decay = math.log(self.momentum) if self.momentum > 0 else -math.inf
        return jnp.expm1(decay) / jnp.expm1(batches * decay)


@contract
class ZNorm(_RunningNorm):
    """`(x − mean) / √(variance + epsilon)` over the batch and any axes of an example, without weight or bias.

    In training the statistics run over all axes before those of an example, over the axes of an example that `axis`
    says, and over the mapped axes that `batch_axis_name` names. In inference, which `eqx.nn.inference_mode` switches,
    running ones take their place, and stay as they are: `running = momentum · running + (1 − momentum) · batch`, from
    what the initializers gave, with the variance divided by the count. They are in float32 at least.

    **Arguments:** `p`, `n`: neurons and matrix side; `axis`: `"all"` for every axis of an example; `"channel_last"` for
    all but the neurons; `"channel_first"` for the same, where the neurons come before the space axes; or axes of an
    example by number; `space`: sizes of the space axes that belong to an example, before p, or behind it for
    `"channel_first"` (other leading axes are batch); `batch_axis_name`: a name, or a tuple of names, of mapped axes
    that are part of the batch; `epsilon`: added to the variance; `momentum`: from 0 up to, but not including, 1;
    `mean_initializer`, `variance_initializer`: of the running statistics, `(key, shape, dtype)`, in the shape of an
    example with size 1 for the axes in `axis`; `inference`: start in inference; `dtype`: of the statistics, float32 for
    half precision, and the default float where `None`; `key`: for initializers that draw.
    **Raises:** `ValueError` for a size below 1, an axis that is not there or named twice, a `momentum` out of range, an
    `epsilon` that is not positive, and an initializer that gives another shape.
    **Source:** mlax, `nn.ZNorm`; the training output is `functional.z_norm`.

    >>> import equinox as eqx, jax.numpy as jnp
    >>> layer, state = eqx.nn.make_with_state(ZNorm)(p=3, n=4, axis="channel_last")
    >>> y, state = layer(jnp.ones((32, 3, 4, 4)), state)
    >>> y.shape
    (32, 3, 4, 4)
    """

    p: int = eqx.field(static=True)
    n: int = eqx.field(static=True)
    axis: AxisChoice = eqx.field(static=True)
    space: Space = eqx.field(static=True)
    batch_axis_name: Hashable = eqx.field(static=True)
    epsilon: float = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        n: int,
        *,
        axis: AxisChoice,
        space: Space = (),
        batch_axis_name: Hashable = (),
        epsilon: float = 1e-5,
        momentum: float = 0.9,
        mean_initializer: Initializer = jax.nn.initializers.zeros,
        variance_initializer: Initializer = jax.nn.initializers.ones,
        inference: bool = False,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        check_sizes(p=p, n=n, **{f"space[{index}]": size for index, size in enumerate(space)})
        require_eps("epsilon", epsilon)
        self.p, self.n, self.axis, self.space = p, n, axis, space
        self.batch_axis_name = batch_axis_name
        self.epsilon = epsilon
        example = self._example()
        reduced = chosen_axes(axis, len(example))
        shape = tuple(1 if place - len(example) in reduced else size for place, size in enumerate(example))
        keys = (None, None) if key is None else jax.random.split(key)
        initializers = {"mean_initializer": mean_initializer, "variance_initializer": variance_initializer}
        mean, variance = (
            _initialised(name, initializer, key, shape, _dtype_of_statistics(dtype))
            for (name, initializer), key in zip(initializers.items(), keys, strict=True)
        )
        self._keep(mean, variance, momentum, inference)

    @property
    def taken(self) -> str:
        """The axes of an example, with their sizes: `"8 8 p=2 n=3 n=3"`."""
        names = {-1: "n=", -2: "n=", -len(self.space) - 3 if self.axis == "channel_first" else -3: "p="}
        example = self._example()
        return " ".join(f"{names.get(place - len(example), '')}{size}" for place, size in enumerate(example))

    def _example(self) -> tuple[int, ...]:
        places = (self.p, *self.space) if self.axis == "channel_first" else (*self.space, self.p)
        return (*places, self.n, self.n)

    def __call__(
        self, x: Float[AnyArray, "*batch {self.taken}"], state: eqx.nn.State, *, key: PRNGKeyArray | None = None
    ) -> tuple[Float[Array, "*batch {self.taken}"], eqx.nn.State]:
        """Normalises, and in training takes note of the batch in the state.

        **Arguments:** `x`: `(*batch, *space, p, n, n)`, or `(*batch, p, *space, n, n)` for `"channel_first"`; `state`:
        which holds the running statistics; `key`: not used.
        **Returns:** the shape of `x`, and the new state: in inference, the one that was given.
        **Raises:** `ContractError` if the trailing axes are not those of an example; `ValueError` in training for fewer
        than 2 values of a statistic, and for a `batch_axis_name` of no map around the call; `ValueError` for the state
        of another model.
        """
        x = jnp.asarray(x)
        rank = len(self._example())
        axes = (*range(-x.ndim, -rank), *chosen_axes(self.axis, rank))
        names = axis_names(self.batch_axis_name)
        if not self.inference:
            _require_two("batch_axis_name", x, axes, names, "value")
        y, state = self._normalised(x, state, axes, names, self.epsilon)
        return y.astype(x.dtype), state

    def _rate(self, batches: Array) -> Array | float:
        return 1 - self.momentum


def _dtype_of_statistics(dtype: DTypeLike | None) -> DTypeLike:
    return jnp.promote_types(jnp.zeros((), dtype).dtype, jnp.float32)


def _initialised(
    name: str, initializer: Initializer, key: PRNGKeyArray | None, shape: tuple[int, ...], dtype: DTypeLike
) -> Array:
    # Zeros and ones take no notice of the key; an initializer that draws says itself that it needs one.
    array = jnp.asarray(initializer(key, shape, dtype), dtype)  # pyright: ignore[reportArgumentType]
    if array.shape != shape:
        raise ValueError(f"`{name}` gave the shape {array.shape}, {shape} is due: return an array of the shape asked.")
    return array


def _require_two(argument: str, x: Array, axes: tuple[int, ...], names: tuple[Hashable, ...], unit: str) -> None:
    count = math.prod(x.shape[axis] for axis in axes) * mapped_count(argument, names)
    if count < 2:
        raise ValueError(
            f"`x` (={x.dtype}{list(x.shape)}) holds {count} {unit}{'s' if count == 0 else ''} for each statistic, and "
            f"training takes at least 2: add a batch axis, name a mapped one by `{argument}`, or switch the model to "
            "inference with eqx.nn.inference_mode(model)."
        )
