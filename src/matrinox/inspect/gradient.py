"""What the gradient of one call takes, by the parameters of the layer and its inputs."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr
from jax.interpreters import partial_eval

from matrinox.inspect.flops import count_flops
from matrinox.nn.tracing import is_shaped, is_state


class GradientCosts:
    """The floating-point operations of gradients, each traced once however many equal layers are called alike."""

    def __init__(self) -> None:
        self._known: dict[Any, int | None] = {}

    def of(self, skeleton: Any, method: str) -> int | None:
        """Those of a call together with its gradient, without those of the call alone.

        **Arguments:** `skeleton`: `(layer, args, kwargs)` with shapes in the place of arrays; `method`: what is called.
        **Returns:** their number, `None` where it cannot be told: the call has no gradient, or it works along an axis
        that has its name from a transform around it.
        """
        leaves, treedef = jax.tree.flatten(skeleton)
        question = (tuple(leaves), treedef, method)
        try:
            return self._known[question]
        except (KeyError, TypeError, ValueError):
            # Not asked yet, or of leaves that cannot be told apart.
            found = _flops_of_gradient(skeleton, method)
        with suppress(TypeError):
            self._known[question] = found
        return found


def _flops_of_gradient(skeleton: Any, method: str) -> int | None:
    variables, others = eqx.partition(skeleton, is_inexact, is_leaf=is_state)

    def call(variables: Any, others: Any) -> list[Any]:
        layer, args, kwargs = eqx.combine(variables, others, is_leaf=is_state)
        return [leaf for leaf in jax.tree.leaves(getattr(layer, method)(*args, **kwargs)) if is_inexact(leaf)]

    def call_and_gradient(variables: Any, others: Any, cotangents: Any) -> Any:
        outputs, pull = jax.vjp(lambda variables: call(variables, others), variables)
        return outputs, pull(cotangents)

    try:
        forward, outputs = _program(call, variables, others)
        both, _ = _program(call_and_gradient, variables, others, outputs)
    except Exception:
        # The call itself has been traced already: it is the gradient that has no rule, or no place of its own.
        return None
    return count_flops(_needed(both)) - count_flops(_needed(forward))


def _program(call: Callable[..., Any], *args: Any) -> tuple[ClosedJaxpr, Any]:
    program, outputs, _ = eqx.filter_make_jaxpr(call)(*args)
    return program, outputs


def _needed(program: ClosedJaxpr) -> Jaxpr:
    """The program without what none of its results needs, which a compiler leaves out too."""
    return partial_eval.dce_jaxpr(program.jaxpr, [True] * len(program.jaxpr.outvars))[0]


def is_inexact(leaf: Any) -> bool:
    """Whether this is an array of floats, or stands for one: a parameter, or what has a gradient."""
    return is_shaped(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact)
