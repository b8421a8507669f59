"""What weight decay leaves alone by default: one table of fields, by the kind of layer."""

import math

import equinox as eqx

from matrinox.nn.affine import Scaler
from matrinox.nn.embedding import Embedding
from matrinox.nn.matrix_norm import FrobeniusNormalization, SpectralNormalization
from matrinox.nn.matrix_scan import MatrixScan
from matrinox.nn.norm import Affine
from matrinox.nn.position import LearnedPosition
from matrinox.nn.ssm import Mamba
from matrinox.params import MatrixParams
from matrinox.train.optim.owner import Owned

# A shift sets where an activation bends, which to pull to 0 helps nothing.
_SHIFTS = frozenset({"bias", "hidden_bias", "bias_n"})

_LEFT_ALONE: tuple[tuple[tuple[type, ...], frozenset[str]], ...] = (
    # Gains: what they multiply was just normalised, or is as it should be at 1; 0 would be silence.
    ((Affine, FrobeniusNormalization, SpectralNormalization, Scaler), frozenset({"weight"})),
    ((eqx.nn.LayerNorm, eqx.nn.RMSNorm, eqx.nn.GroupNorm, eqx.nn.BatchNorm), frozenset({"weight"})),
    # Rows that are looked up: one that no example of a batch names has no gradient, and would only shrink.
    ((Embedding, LearnedPosition, eqx.nn.Embedding), frozenset({"weight"})),
    # The logarithm of a rate, of which 0 is a rate of 1, and a gain of what goes past the state.
    ((Mamba,), frozenset({"A_log", "D"})),
    # States: a first one that starts at the identity, and those of a table, which is orthogonal.
    ((MatrixScan,), frozenset({"start", "table"})),
    ((MatrixParams,), frozenset({"B"})),
)


def is_decayed(place: Owned) -> bool:
    """Whether weight decay applies to a parameter where nothing else is said."""
    return place.field not in _SHIFTS and not any(
        isinstance(place.module, kinds) and place.field in fields for kinds, fields in _LEFT_ALONE
    )


def require_weight_decay(weight_decay: float) -> None:
    """Refuses one that is negative or not finite."""
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"`weight_decay` (={weight_decay}) must be 0 or more, and finite: use 0 for none.")
