"""The loss of a model's output, with its gradients by parameters, input and target at once."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract import contract
from matrinox.contract.nearest import guess
from matrinox.transforms.gradient import grad
from matrinox.transforms.leaf import describe, is_model

_PARTS = ("parameters", "input", "target")


class LossGradients(NamedTuple):
    """A loss with its gradients, as `loss_gradients` gives them; what was not asked for is `None`.

    **Arguments:** `value`: the loss, `()`; `parameters`: its gradient in the structure of `grad_states`; `input` and
    `target`: trees like these; `aux`: what the loss returned beside its value; `state`: the model's new state.
    """

    value: Any
    parameters: PyTree = None
    input: PyTree = None
    target: PyTree = None
    aux: PyTree = None
    state: Any = None


@contract
def loss_gradients(
    model: Callable[..., Any],
    loss: Callable[..., Any],
    x: PyTree,
    target: PyTree,
    *,
    by: str | Sequence[str] = "parameters",
    grad_states: Any = eqx.is_inexact_array,
    has_aux: bool = False,
    state: eqx.nn.State | None = None,
    key: PRNGKeyArray | None = None,
) -> LossGradients:
    """The value of `loss(model(x), target)` and its gradients, from one forward and one backward pass.

    **Arguments:** `model`: called as `model(x)`, with `key=key` if one is given, and as `model(x, state)` to `(output,
    state)` if that is; `loss`: a function of an output and a target to a scalar, such as `matrinox.functional.mse`;
    `x`, `target`: trees of arrays; `by`: `"parameters"`, `"input"`, `"target"`, several of these, or `"all"`;
    `grad_states`: which parameters, as `grad` takes it, all arrays of floats otherwise; `has_aux`: whether the loss
    returns `(value, aux)`.
    **Returns:** `LossGradients`, with `None` for what is not asked for.
    **Raises:** `ValueError` for another `by`, by the parameters of what is no module, and as `grad`; `TypeError` by an
    input or target without floats.
    **Source:** TorchLean, `autograd`.

    >>> import jax, jax.numpy as jnp
    >>> linear = eqx.nn.Linear(2, 1, key=jax.random.key(0))
    >>> gradients = loss_gradients(linear, lambda y, t: jnp.sum(y * t), jnp.ones(2), jnp.array([3.0]), by="input")
    >>> bool(jnp.allclose(gradients.input, 3 * linear.weight[0])), gradients.parameters
    (True, None)
    """
    parts = _PARTS if by == "all" else (by,) if isinstance(by, str) else tuple(by)
    unknown = next((part for part in parts if part not in _PARTS), None)
    if unknown is not None or not parts:
        raise ValueError(
            f"`by` (={by!r}) must be of 'parameters', 'input' and 'target', or 'all'{guess(unknown, _PARTS) or ':'} "
            "name one or several."
        )
    if "parameters" in parts and not is_model(model):
        raise ValueError(
            f"`model` ({describe(model)}) must be a module for gradients by its parameters: pass one, or leave "
            "'parameters' out of `by`."
        )
    called = {} if key is None else {"key": key}

    def loss_of_output(model: Callable[..., Any], x: PyTree, target: PyTree) -> tuple[Any, tuple[Any, Any]]:
        output, new = (model(x, **called), None) if state is None else model(x, state, **called)
        value, aux = loss(output, target) if has_aux else (loss(output, target), None)
        return value, (aux, new)

    argnums = tuple(position for position, part in enumerate(_PARTS) if position and part in parts)
    states = grad_states if "parameters" in parts else None
    derivative = grad(loss_of_output, states, argnums or None, has_aux=True, return_value=True)
    gradients, value, (aux, new) = derivative(model, x, target)
    by_parameters, by_arguments = (None, gradients) if states is None else gradients if argnums else (gradients, ())
    by_position = dict(zip(argnums, by_arguments, strict=True))
    return LossGradients(value, by_parameters, by_position.get(1), by_position.get(2), aux, new)
