"""What the blocks of a transformer share: branches of attention and feed-forward layers around which x passes."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.initializers import Initializer
from matrinox.nn.activation_choice import Activation
from matrinox.nn.attention import MultiheadAttention
from matrinox.nn.child import Layer, is_stateful
from matrinox.nn.dropout import Dropout
from matrinox.nn.linear import check_sizes
from matrinox.nn.mlp import MLP
from matrinox.nn.norm_choice import Norm, norm_of

_Branch = TypeVar("_Branch", bound=eqx.Module)


@contract
class BaseTransformerBlock(eqx.Module):
    """Branches in turn, `x + branch(norm(x))` each, or `norm(x + branch(x))`."""

    attention: MultiheadAttention
    attention_norm: Layer
    feed_forward: MLP
    feed_forward_norm: Layer
    dropout: Dropout
    pre_norm: bool = eqx.field(static=True)

    @property
    def p(self) -> int:
        """Neurons of a token, in and out."""
        return self.attention.p

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.attention.n

    @property
    def heads(self) -> int:
        """Heads of the attention."""
        return self.attention.heads

    def _taken(self, norm: Layer, x: AnyArray) -> AnyArray:
        """What a branch takes of x."""
        return norm(x) if self.pre_norm else x

    def _added(self, norm: Layer, x: AnyArray, y: Any, key: PRNGKeyArray | None) -> Any:
        """x with what a branch gives."""
        x = x + self.dropout(y, key=key)
        return x if self.pre_norm else norm(x)

    def _fed_forward(self, x: AnyArray, within: PRNGKeyArray | None, behind: PRNGKeyArray | None) -> Array:
        y = self.feed_forward(self._taken(self.feed_forward_norm, x), key=within)
        return self._added(self.feed_forward_norm, x, y, behind)

    def _require_causal(self) -> None:
        if not self.attention.causal:
            raise ValueError(
                "`causal` (=False) must be True to step, as tokens would else see later ones, which are not there yet: "
                "build with causal=True."
            )


def feed_forward_of(
    p: int,
    n: int,
    hidden: int | None,
    *,
    activation: Activation,
    dropout: float,
    use_bias: bool,
    initializer: Initializer | None,
    dtype: DTypeLike | None,
    key: PRNGKeyArray,
) -> MLP:
    """The feed-forward branch: of 4·p hidden neurons where `hidden` is `None`."""
    hidden = 4 * p if hidden is None else hidden
    check_sizes(hidden=hidden)
    options = {"activation": activation, "dropout": dropout, "use_bias": use_bias, "use_final_bias": use_bias}
    return MLP(p, p, n, hidden=(hidden,), initializer=initializer, dtype=dtype, key=key, **options)


def branch_norm(norm: Norm, p: int, n: int, dtype: DTypeLike | None) -> Layer:
    """The normalisation of a branch.

    **Raises:** `ValueError` for one that keeps statistics of a batch.
    """
    (layer,) = norm_of(norm, p, n, dtype=dtype)
    if is_stateful(layer):
        raise ValueError(
            f"`norm` (={norm!r}) must keep no state, as the tokens of a sequence are no batch: choose 'layer' or 'rms'."
        )
    return layer


def shrunk(branch: _Branch, last: Callable[[_Branch], Array], branches: int, pre_norm: bool) -> _Branch:
    """The branch with its last weight over the root of the count of branches, where x is not normalised behind them.

    Each branch adds to the variance of x: of `branches` in a row, together as much as one.
    """
    return eqx.tree_at(last, branch, replace_fn=lambda weight: weight / math.sqrt(branches)) if pre_norm else branch


def last_of_attention(attention: MultiheadAttention) -> Array:
    return attention.output_proj.weight


def last_of_mlp(mlp: MLP) -> Array:
    return mlp.layers[-1].weight
