from typing import Any

import equinox as eqx
import jax

from layer_table.norm import InInference
from layer_table.row import DENSE, IMAGE, SEQUENCE, Row, drawn, with_weights
from matrinox import nn

WRONG_N = "axis -2 is 4, n is 3"


def conv_norm_act(key: jax.Array, dtype: Any) -> eqx.Module:
    options = {"kernel": 2, "activation": "tanh", "initializer": drawn, "key": key, "dtype": dtype}
    return eqx.nn.inference_mode(InInference(*eqx.nn.make_with_state(nn.ConvNormAct)(p=2, q=3, n=3, **options)))


ROWS = {
    "MLP": Row(with_weights(nn.MLP, 2, 3, 3, hidden=(4,), activation="tanh", norm="rms"), DENSE, (2, 4, 4), WRONG_N),
    "ConvAct": Row(
        with_weights(nn.ConvAct, 2, 3, 3, kernel=3, axes=1, padding="SAME", activation="tanh"),
        *(SEQUENCE, (4, 2, 4, 4), WRONG_N),
    ),
    "ConvNormAct": Row(conv_norm_act, IMAGE, (4, 4, 2, 4, 4), WRONG_N, "ConvNormAct"),
    "ConvNormActPool": Row(
        with_weights(nn.ConvNormActPool, 2, 3, 3, kernel=3, axes=1, norm="group", activation="tanh", pool="avg"),
        *(SEQUENCE, (4, 2, 4, 4), WRONG_N),
    ),
    "BasicBlock": Row(
        with_weights(nn.BasicBlock, 2, 4, 3, stride=2, norm="layer", activation="tanh"),
        *(IMAGE, (4, 4, 2, 4, 4), WRONG_N),
    ),
}
