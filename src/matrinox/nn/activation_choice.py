"""What `activation="relu"` means: a layer, and the gain of the weights that come after it.

For blocks that leave the choice to their user: `activation_of` gives the layer to put in, of a name, a function or a
layer, and `initializer_after` what draws the weights of the layer behind it.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax

from matrinox.contract import contract
from matrinox.contract.nearest import guess
from matrinox.functional import identity
from matrinox.functional.recurrent import works_by_entries
from matrinox.initializers import Initializer, gain_of, variance_scaling
from matrinox.nn.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from matrinox.nn.child import Layer, require_built
from matrinox.nn.determinant_activation import SSS, SST, ELUd, ELUPowered, LeakyReLUd, ReLUd, Sigmoidd, Softplusd, Tanhd
from matrinox.nn.eigenvalue import LogEig, ReEig

Activation: TypeAlias = str | Layer
"""The name of an activation of `functional`, such as `"relu"` or `"relud"`; or a layer, or a function."""

_LAYERS: dict[str, Callable[[], Layer]] = {
    "identity": lambda: identity,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "gelu": GELU,
    "silu": SiLU,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "softplus": Softplus,
    "relud": ReLUd,
    "leaky_relud": LeakyReLUd,
    "elud": ELUd,
    "elu_powered": ELUPowered,
    "sigmoidd": Sigmoidd,
    "tanhd": Tanhd,
    "softplusd": Softplusd,
    "sst": SST,
    "sss": SSS,
    "reeig": ReEig,
    "logeig": LogEig,
}
# Layers that treat entries by themselves; and those that pass a matrix or not by the sign of its determinant, which is
# as often positive for a matrix of any side as for one number.
_GAIN_AS_AT_ONE = (ReLU, LeakyReLU, ELU, GELU, SiLU, Sigmoid, Tanh, Softplus, ReLUd, LeakyReLUd)


@contract
def activation_of(activation: Activation) -> Layer:
    """The layer that a choice of activation stands for.

    **Arguments:** `activation`: the name of an activation of `functional`, such as `"relu"`, `"gelu"` or `"relud"`,
    with the options that it has by default; or a layer or function that keeps the shape, such as `LeakyReLU(0.2)`.
    **Returns:** a layer for a name; what was given, otherwise.
    **Raises:** `ValueError` for an unknown name, with the nearest one; `TypeError` for the class of a layer.
    **Source:** TorchLean, activation choice.

    >>> activation_of("relu")
    ReLU()
    >>> activation_of(LeakyReLU(0.2))
    LeakyReLU(negative_slope=0.2)
    """
    require_built("activation", activation)
    if not isinstance(activation, str):
        return activation
    if activation not in _LAYERS:
        raise ValueError(
            f"`activation` (={activation!r}) must be a layer, a function or one of {', '.join(_LAYERS)}"
            f"{guess(activation, _LAYERS) or '.'}"
        )
    return _LAYERS[activation]()


def gain_after(activation: Activation) -> float:
    """The gain of weights that take what the activation gives: `gain_of` it, or 1 where none is known of it.

    None is known of a function or layer of the user's own, which need not work by entries, and of those activations of
    whole matrices whose second moment depends on n.
    """
    layer = activation_of(activation)
    by_entries = works_by_entries(layer)
    if not by_entries and not isinstance(layer, _GAIN_AS_AT_ONE):
        return 1.0
    if isinstance(activation, str):
        return gain_of(activation)
    # A model may be built under a trace, as `materialize` does for its shapes.
    with jax.ensure_compile_time_eval():
        return gain_of(layer if by_entries else lambda z: layer(z[:, None, None])[:, 0, 0])


def initializer_after(activation: Activation) -> Initializer:
    """An initializer of weights that give back the second moment that the activation took: of `gain_after` it."""
    return variance_scaling(gain_after(activation))
