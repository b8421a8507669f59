from typing import Any

import equinox as eqx
import jax
import numpy as np

from layer_table.row import DENSE, SEQUENCE, Row, drawn
from matrinox import nn

WRONG_N = {"wrong": (2, 4, 4), "why": "axis -2 is 4, n is 3"}
WRONG_SEQUENCE_N = {"wrong": (4, 2, 4, 4), "why": "axis -2 is 4, n is 3"}


class Stepped(eqx.Module):
    """A cell's step from a state that is not zero, where what is done with h would not show."""

    cell: Any

    def __call__(self, x, *, key=None):
        carry = self.cell.initial_carry(np.shape(x)[:-3])
        return self.cell(jax.tree.map(lambda leaf: leaf + 0.3, carry), x, key=key)[1]


def cell(kind, key, dtype, p=2, q=2, **options):
    return kind(p=p, q=q, n=3, initializer=drawn, dtype=dtype, key=key, **options)


def stepped(kind, **options):
    return lambda key, dtype: Stepped(cell(kind, key, dtype, **options))


ROWS = {
    "RNNCell": Row(stepped(nn.RNNCell), DENSE, refuser="RNNCell", **WRONG_N),
    "GRUCell": Row(stepped(nn.GRUCell, reset_after=True), DENSE, refuser="GRUCell", **WRONG_N),
    "LSTMCell": Row(stepped(nn.LSTMCell, gating="matmul"), DENSE, refuser="LSTMCell", **WRONG_N),
    "Recurrent": Row(
        lambda key, dtype: nn.Recurrent(cell(nn.LSTMCell, key, dtype), reverse=True), SEQUENCE, **WRONG_SEQUENCE_N
    ),
    "StackedRecurrent": Row(
        lambda key, dtype: nn.StackedRecurrent(
            [nn.Recurrent(cell(nn.RNNCell, key, dtype)), nn.Recurrent(cell(nn.GRUCell, key, dtype))]
        ),
        SEQUENCE,
        **WRONG_SEQUENCE_N,
    ),
    "Bidirectional": Row(
        lambda key, dtype: nn.Bidirectional(
            nn.Recurrent(cell(nn.RNNCell, key, dtype)),
            nn.Recurrent(cell(nn.RNNCell, key, dtype), reverse=True),
            merge="sum",
        ),
        SEQUENCE,
        **WRONG_SEQUENCE_N,
    ),
}
