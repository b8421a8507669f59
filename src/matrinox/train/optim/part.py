"""A transformation for a part of the parameters, as if there were no others."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import optax
from jaxtyping import PyTree


def on_part(
    inner: optax.GradientTransformation, chosen: Callable[[PyTree], PyTree]
) -> optax.GradientTransformationExtraArgs:
    """A transformation that sees the chosen leaves alone: norms, weight decay and state are of these.

    Of the others the update is `None`, which `eqx.apply_updates` leaves as they are, bit for bit.

    **Arguments:** `inner`; `chosen`: from the parameters, or a tree like them, to a mask.
    """
    inner = optax.with_extra_args_support(inner)

    def init(params: PyTree) -> PyTree:
        return inner.init(eqx.filter(params, chosen(params)))

    def update(updates: PyTree, state: PyTree, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, PyTree]:
        mask = chosen(updates if params is None else params)
        params = None if params is None else eqx.filter(params, mask)
        return inner.update(eqx.filter(updates, mask), state, params, **extra)

    return optax.GradientTransformationExtraArgs(init, update)


def side_by_side(*parts: optax.GradientTransformationExtraArgs) -> optax.GradientTransformationExtraArgs:
    """Transformations of parts that do not overlap, as one of all of these; the state is a tuple of theirs."""

    def init(params: PyTree) -> PyTree:
        return tuple(part.init(params) for part in parts)

    def update(updates: PyTree, state: PyTree, params: PyTree | None = None, **extra: Any) -> tuple[PyTree, PyTree]:
        done = [part.update(updates, its, params, **extra) for part, its in zip(parts, state, strict=True)]
        return eqx.combine(*(new for new, _ in done)), tuple(its for _, its in done)

    return optax.GradientTransformationExtraArgs(init, update)
