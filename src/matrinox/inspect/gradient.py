"""What the gradient of one layer takes, by its parameters and its inputs."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.interpreters import partial_eval

from matrinox.inspect.flops import count_flops


def flops_of_gradient(skeleton: Any, method: str) -> int | None:
    """The floating-point operations of a call and its gradient, without those of the call; `None` without a gradient.

    **Arguments:** `skeleton`: `(layer, args, kwargs)`, with shapes in the place of arrays; `method`: what is called.
    """
    dynamic, static = eqx.partition(skeleton, _is_inexact)
    if not jax.tree.leaves(dynamic):
        return 0

    def call(dynamic: Any, others: Any) -> list[Any]:
        layer, args, kwargs = eqx.combine(dynamic, others)
        return [leaf for leaf in jax.tree.leaves(getattr(layer, method)(*args, **kwargs)) if _is_inexact(leaf)]

    def pull(dynamic: Any, others: Any, cotangents: Any) -> Any:
        outputs, back = jax.vjp(lambda dynamic: call(dynamic, others), dynamic)
        return outputs, back(cotangents)

    forward, outputs, _ = eqx.filter_make_jaxpr(call)(dynamic, static)
    both, _, _ = eqx.filter_make_jaxpr(pull)(dynamic, static, outputs)
    return count_flops(_needed(both)) - count_flops(_needed(forward))


def _needed(program: ClosedJaxpr) -> Jaxpr:
    """The program without what none of its results needs, as a compiler leaves it out."""
    return partial_eval.dce_jaxpr(program.jaxpr, [True] * len(program.jaxpr.outvars))[0]


def _is_inexact(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape") and jnp.issubdtype(leaf.dtype, jnp.inexact)
