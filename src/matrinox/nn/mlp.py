"""`MLP`, dense layers with activations between them."""

from collections.abc import Sequence
from itertools import pairwise

import jax
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from matrinox.contract import ContractError, contract
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.activation_choice import Activation, activation_of, initializer_after
from matrinox.nn.block import Block, dropout_of
from matrinox.nn.child import Layer
from matrinox.nn.dropout import Dropout
from matrinox.nn.linear import Dense, check_sizes
from matrinox.nn.norm_choice import Norm, norm_of


@contract
class MLP(Block):
    """Multilayer perceptron: dense layers `(*batch, p, n, n)` → `hidden` neurons → `(*batch, q, n, n)`.

    Behind each hidden dense layer come, in a row, the normalisation and the activation, and dropout; behind the last
    one the final activation. They are `layers`, as in a `Sequential`, which it is.

    An activation of entries maps the columns of the matrices each by itself, as dense layers do; in one of whole
    matrices, such as `"tanhd"` or `"sst"`, they meet.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `hidden`: neurons of each hidden layer, none
    for a single dense layer; `activation`: behind every hidden layer, a name, a layer or a function as for
    `activation_of`; `final_activation`: behind the last layer, or `None`; `norm`: `"batch"`, which makes the block
    stateful, `"layer"`, `"rms"`, `"group"` of gcd(p, 32) groups, `"instance"`, a function of p and n that gives a
    layer, or `None`; `dropout`: share of entries dropped, or a `Dropout`; `use_bias`, `use_final_bias`: whether the
    hidden layers, and the last one, have a bias; `initializer`: of all weights; where `None`, one under which entries
    keep their variance, with the gain of the activation before it; `dtype`: of weights and biases, the default float
    where `None`; `key`: one key.
    **Raises:** `ValueError` for a size below 1, a rate out of range, and an unknown name, with the nearest one;
    `ContractError` for sizes that are no ints.
    **Source:** TorchLean, `mlp`; Equinox, `nn.MLP`.

    >>> import jax, jax.numpy as jnp
    >>> mlp = MLP(p=2, q=3, n=4, hidden=(8, 8), activation="gelu", key=jax.random.key(0))
    >>> mlp(jnp.ones((32, 2, 4, 4))).shape
    (32, 3, 4, 4)
    >>> mlp.layers[2].weight.shape
    (8, 8, 4, 4)
    """

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        hidden: Sequence[int] = (128, 128),
        activation: Activation = "relu",
        final_activation: Activation | None = None,
        norm: Norm | None = None,
        dropout: float | Dropout = 0.0,
        use_bias: bool = True,
        use_final_bias: bool = True,
        initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        # Of a sequence, beartype checks one entry, picked at random.
        if not all(isinstance(size, int) for size in hidden):
            raise ContractError(f"`hidden` (={tuple(hidden)}) must hold ints: convert each size with int(size).")
        check_sizes(p=p, q=q, n=n, **{f"hidden[{index}]": size for index, size in enumerate(hidden)})
        chosen = activation_of(activation)
        first, others = (initializer, initializer) if initializer else (lecun_normal, initializer_after(activation))
        keys = jax.random.split(key, len(hidden) + 1)
        layers: list[Layer] = []
        for depth, (before, behind) in enumerate(pairwise((p, *hidden, q))):
            last = depth == len(hidden)
            layers.append(
                Dense(
                    *(before, behind, n),
                    use_bias=use_final_bias if last else use_bias,
                    initializer=others if depth else first,
                    dtype=dtype,
                    key=keys[depth],
                )
            )
            if not last:
                layers += [*norm_of(norm, behind, n, dtype=dtype), chosen, *dropout_of(dropout)]
        if final_activation is not None:
            layers.append(activation_of(final_activation))
        super().__init__(layers)

    @property
    def _space(self) -> tuple[str, ...]:
        return ()
