"""Steps: how any layer takes the tokens of a sequence in portions, by what it keeps of those before.

`steps_of(layer)` has `initial_cache(length, batch_shape, dtype)` and `step(cache, x, *, key) -> (cache, y)`, x being
`(*batch, t, …)`: portion by portion, this gives what a call gives for the whole sequence. What attends has the two
itself, and so has what holds other layers; a recurrent layer scans from its carry; a layer of positions counts; and one
whose annotations say that it takes each token by itself keeps nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray, PyTree

from matrinox.contract import ContractError
from matrinox.contract.axes import SPACES, TIMES, read_axes
from matrinox.nn.base_recurrent import BaseRecurrent, shapes_of
from matrinox.nn.child import Layer, call_child, is_stateful, takes, takes_key
from matrinox.nn.derived import Derived
from matrinox.nn.joint import annotations, layer_name


class CannotStep(TypeError):
    """A layer cannot take a sequence in portions: which, by its path, and why."""

    def __init__(self, path: str, layer: Layer, why: str):
        self.path, self.layer, self.why = path, layer, why
        super().__init__(f"{layer_name(path, layer)} cannot step: {why}")

    def within(self, path: str) -> "CannotStep":
        """The same of a layer that is within the one at `path`."""
        return CannotStep(f"{path}.{self.path}".strip("."), self.layer, self.why)


def steps_of(layer: Layer) -> Any:
    """The layer as what steps.

    **Raises:** `CannotStep` for a layer that keeps a state, runs in reverse, or of which nothing tells how it steps.
    """
    if isinstance(layer, Derived):
        return steps_of(layer.whole())
    if isinstance(layer, BaseRecurrent):
        return _Scanned(layer)
    alone = _takes_each_alone(layer)
    steps = callable(getattr(layer, "initial_cache", None)) and callable(getattr(layer, "step", None))
    # A chain that says it of the whole, as an `MLP` does, need not ask what is in it.
    if steps and not (alone and isinstance(layer, eqx.nn.Sequential) and not is_stateful(layer)):
        return layer
    if is_stateful(layer):
        raise CannotStep("", layer, "it keeps an eqx.nn.State, which a step would change unseen.")
    if alone:
        return _Alone(layer)
    if takes(layer, "start_pos"):
        return _Placed(layer)
    raise CannotStep(
        "",
        layer,
        "it has no `initial_cache` and `step`, and no annotations such as `*batch p n n` that say that it takes each "
        "token by itself.",
    )


def initial_caches(
    children: Mapping[str, Layer], length: int, batch_shape: tuple[int, ...], dtype: DTypeLike | None
) -> tuple[PyTree, ...]:
    """The cache of each layer, in a row.

    **Arguments:** `children`: the layers, by their path; all else as for `initial_cache` of a layer.
    **Raises:** `CannotStep`, with the path of the layer.
    """
    return tuple(
        within(path, layer, lambda steps: steps.initial_cache(length, batch_shape, dtype))
        for path, layer in children.items()
    )


def step_child(path: str, layer: Layer, cache: PyTree, x: PyTree, key: PRNGKeyArray | None) -> tuple[PyTree, Any]:
    """The step of the layer at `path`, which is handed a key if it takes one.

    **Raises:** `CannotStep`, with the path of the layer.
    """
    return within(path, layer, lambda steps: steps.step(cache, x, **({"key": key} if takes_key(steps.step) else {})))


def within(path: str, layer: Layer, done: Any) -> Any:
    """What `done` gives of the layer as what steps, the path of a refusal beginning with `path`."""
    try:
        return done(steps_of(layer))
    except CannotStep as error:
        raise error.within(path) from None


def require_parts(cache: PyTree, count: int) -> tuple[PyTree, ...]:
    """The caches of `count` layers.

    **Raises:** `ContractError` for what `initial_cache` does not give.
    """
    if not isinstance(cache, tuple) or len(cache) != count:
        raise ContractError(f"`cache` (={shapes_of(cache)}) must be a tuple of {count}, as initial_cache gives it.")
    return cache


@dataclass(frozen=True)
class _Alone:
    layer: Layer

    def initial_cache(self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> None:
        del length, batch_shape, dtype

    def step(self, cache: None, x: PyTree, *, key: PRNGKeyArray | None = None) -> tuple[None, Any]:
        return cache, call_child(self.layer, x, None, key)[0]


@dataclass(frozen=True)
class _Scanned:
    layer: BaseRecurrent

    def initial_cache(self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> PyTree:
        del length
        if self.layer.directions != {"forward"}:
            raise CannotStep("", self.layer, "it runs in reverse, from steps that are not there yet.")
        if dtype is None:
            # What a call starts from, which sums over all of time.
            dtype = jnp.result_type(jnp.float32, *filter(eqx.is_inexact_array, jax.tree.leaves(self.layer)))
        return self.layer.initial_carry(batch_shape, dtype)

    def step(self, cache: PyTree, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[PyTree, Array]:
        return self.layer.scan(x, carry=cache, key=key)


@dataclass(frozen=True)
class _Placed:
    layer: Any

    def initial_cache(self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> Array:
        del batch_shape, dtype
        room = getattr(self.layer, "length", None)
        if isinstance(room, int) and length > room:
            raise ValueError(
                f"`length` (={length}) must be at most the {room} positions of {layer_name('', self.layer)}: choose "
                f"fewer tokens, or a layer with `length` of {length} or more."
            )
        return jnp.zeros((), jnp.int32)

    def step(self, cache: Array, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[Array, Array]:
        options = {"key": key} if takes_key(self.layer) else {}
        return cache + x.shape[-4], self.layer(x, start_pos=cache, **options)


def _takes_each_alone(layer: Layer) -> bool:
    """Whether the annotations say that all axes before those of a token are batch."""
    taken, given = annotations(layer)
    runs = {_run(option, layer) for option in taken} | {_run(given, layer) if isinstance(given, str) else None}
    return bool(taken) and len(runs) == 1 and None not in runs


def _run(dim_str: str, layer: Layer) -> str | None:
    """The name of the variadic axis that stands for everything before a token, or `None` where t is told apart."""
    first, *rest = read_axes(dim_str, {"self": layer}, {}) or (None,)
    if first is None or not first.variadic or not first.label.isidentifier() or first.label == "_":
        return None
    apart = any(axis.variadic or axis.label.removesuffix("_out") in (*TIMES, *SPACES) for axis in rest)
    return None if apart else first.label
