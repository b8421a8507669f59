"""Layers of matrix neurons anew as scalar ones: the options that stay, and the weights that they start from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.bridge.twin_layers import multiple_given, rebuilt, require_scalar_cells
from matrinox.bridge.walk import Unfit

KEY = jax.random.key(0)


def spread(weight):
    return float(np.std(np.asarray(weight, np.float64)))


def test_a_cell_keeps_its_options_and_the_gain_of_each_part():
    cell = nn.LSTMCell(
        p=4,
        q=6,
        n=2,
        gating="matmul",
        forget_bias=1.0,
        initializer=lambda key, shape, dtype: 3 * nn.linear.lecun_normal(key, shape, dtype),
        hidden_initializer=nn.linear.lecun_normal,
        key=KEY,
    )
    twin = rebuilt(nn.Recurrent(cell, reverse=True, unroll=2), 64, 96, KEY)
    assert (twin.p, twin.q, twin.n, twin.reverse, twin.unroll) == (64, 96, 1, True, 2)
    assert twin.cell.gating == "hadamard"
    assert jnp.array_equal(twin.cell.bias.reshape(4, 96), jnp.array([[0.0], [1], [0], [0]]) * jnp.ones(96))
    of_hidden, of_input = twin.cell.weight[:, :96], twin.cell.weight[:, 96:]
    assert spread(of_hidden) * np.sqrt(96) == pytest.approx(spread(cell.weight[:, :6]) * np.sqrt(12), rel=0.03)
    assert spread(of_input) * np.sqrt(64) == pytest.approx(spread(cell.weight[:, 6:]) * np.sqrt(8), rel=0.03)


def test_ways_share_the_neurons_of_both_as_the_models_do():
    def way(q, *, reverse):
        cells = [nn.GRUCell(p=a, q=b, n=2, initializer=jax.nn.initializers.zeros, key=KEY) for a, b in ((2, 4), (4, q))]
        return nn.StackedRecurrent([nn.Recurrent(cell, reverse=reverse) for cell in cells])

    layer = nn.Bidirectional(way(2, reverse=False), way(4, reverse=True))
    assert multiple_given(layer) == 3
    require_scalar_cells(layer)
    twin = rebuilt(layer, 5, 12, KEY)
    assert [(part.p, part.q) for part in twin.forward.layers] == [(5, 8), (8, 4)]
    assert [(part.p, part.q) for part in twin.backward.layers] == [(5, 8), (8, 8)]
    summed = nn.Bidirectional(way(2, reverse=False), way(2, reverse=True), merge="sum")
    assert multiple_given(summed) == 1
    assert (rebuilt(summed, 5, 3, KEY).forward.q, rebuilt(summed, 5, 3, KEY).q) == (3, 3)


def test_the_twin_of_a_matrix_scan_is_a_diagonal_recurrence(draw):
    layer = nn.MatrixScan(p=2, q=3, n=2, use_input=False, noise=0.5, determinants="both", entries=4, key=KEY)
    twin = rebuilt(layer, 5, 4, KEY)
    assert (twin.p, twin.q, twin.n, twin.table) == (5, 4, 1, None)
    x = draw(7, 5, 1, 1)
    a, u = (
        np.einsum("qp,tp->tq", np.float64(part.weight[..., 0, 0]), np.float64(x[..., 0, 0]))
        for part in (twin.transition_proj, twin.input_proj)
    )
    a += np.float64(twin.transition_proj.bias[..., 0, 0]) + np.array([1, -1, 1, -1])
    a /= np.maximum(np.abs(a), 1)
    h, states = np.ones(4), []
    for t in range(7):
        h = a[t] * h + u[t]
        states.append(h)
    np.testing.assert_allclose(jax.jit(twin.__call__)(x)[..., 0, 0], states, rtol=1e-4, atol=1e-5)
    assert len(set(np.abs(a).round(6).flat)) > 10


def test_folds_take_the_tasks_numbers_one_by_one():
    assert rebuilt(nn.Tile(3), 1, 5, KEY) == nn.Fold(1)
    assert rebuilt(nn.Frames(n=3, shape=(4, 5), length=5), 1, 5, KEY) == nn.Frames(n=1, shape=(4, 5), length=5)


def test_prototypes_are_of_the_size_and_the_scale_of_the_models():
    layer = nn.Prototypes(p=2, classes=50, n=2, scale=0.25, initializer=jax.nn.initializers.constant(3.0), key=KEY)
    twin = rebuilt(layer, 40, 50, KEY)
    assert (twin.p, twin.classes, twin.n) == (40, 50, 1)
    assert jnp.exp(twin.log_scale) == pytest.approx(0.25, rel=1e-5)
    assert spread(twin.prototypes) == pytest.approx(3, rel=0.05)


def test_recurrent_layers_of_other_cells_are_refused():
    class Cell(nn.RNNCell):
        """One whose call may do anything."""

    cell = Cell(p=1, q=1, n=2, initializer=jax.nn.initializers.zeros, key=KEY)
    with pytest.raises(Unfit, match="its cell is of Cell, and twins are known of RNNCell, GRUCell, LSTMCell"):
        require_scalar_cells(nn.StackedRecurrent([nn.Recurrent(cell)]))
    with pytest.raises(Unfit, match="it holds a layer of Mamba, which has no scalar twin"):
        require_scalar_cells(nn.StackedRecurrent([nn.Mamba(p=2, q=2, n=2, key=KEY)]))
