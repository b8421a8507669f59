"""`Parallel`: layers side by side, each on an input of its own."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract import ContractError, contract
from matrinox.contract.checked import refusal_of
from matrinox.nn.child import Layer, call_children, require_callable
from matrinox.nn.joint import Axes, Composite, Flow, Several, Told, counted, layer_name, pass_through


@contract
class Parallel(Composite):
    """Each layer on an input of its own: `(x_0, x_1, …)` to `(layers[0](x_0), layers[1](x_1), …)`.

    **Arguments:** `layers`: layers and functions, called as in `Sequential`.
    **Raises:** `ContractError`, when built, for a joint within a layer that does not fit; `TypeError` for what is not
    callable.
    **Source:** mlax, `Parallel` and `ParallelRng`.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn.linear import Dense
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> layer = Parallel([Dense(p=2, q=3, n=4, key=k0), Dense(p=5, q=1, n=4, key=k1)])
    >>> y, z = layer((jnp.ones((2, 4, 4)), jnp.ones((5, 4, 4))))
    >>> y.shape, z.shape
    ((3, 4, 4), (1, 4, 4))
    """

    layers: tuple[Layer, ...]

    def __init__(self, layers: Sequence[Layer]):
        self.layers = tuple(layers)
        require_callable(self.children())
        self.passes("", None)

    def __call__(
        self,
        x: tuple[PyTree, ...] | list[PyTree],
        state: eqx.nn.State | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Any:
        """Applies each layer to its input; `state` is passed to, and updated by, the stateful ones in turn.

        **Arguments:** `x`: a tuple or list with what each layer takes; `state`: needed if a layer is stateful; `key`:
        split over the layers.
        **Returns:** a tuple with what each layer gives, `(outputs, state)` if `state` was given.
        **Raises:** `ContractError` if there is not one input for each layer; `ValueError` if a layer is stateful and
        `state` is missing.
        """
        if len(x) != len(self.layers):
            raise refusal_of(
                f"Parallel got x as {counted(len(x), 'input')}; it takes {len(self.layers)}, one for each layer.",
                sys._getframe(1),
                self,
            )
        outputs, after = call_children(self.children(), x, state, key)
        return tuple(outputs) if state is None else (tuple(outputs), after)

    def children(self) -> Mapping[str, Layer]:
        """The layers, by their path from here."""
        return {f"layers[{index}]": layer for index, layer in enumerate(self.layers)}

    def passes(self, path: str, came: Flow) -> Flow:
        """What each layer gives of what came; raises `ContractError` where they do not fit."""
        name = layer_name(path, self)
        if isinstance(came, Told):
            raise ContractError(f"{name} takes {counted(len(self.layers), 'input')}, but {came}: it is one array.")
        if came is not None and len(came.parts) != len(self.layers):
            raise ContractError(f"{name} takes {counted(len(self.layers), 'input')}, but {came}.")
        parts = (None,) * len(self.layers) if came is None else came.parts
        children = zip(self.children().items(), parts, strict=True)
        given = tuple(
            pass_through(f"{path}.{where}".removeprefix("."), child, part) for (where, child), part in children
        )
        return Several(name, given)

    def demands(self) -> Axes | None:
        """Nothing: it takes several arrays."""
        return None
