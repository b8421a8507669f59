import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import gru_step, lstm_step, relu, rnn_step
from matrinox.initializers import glorot_uniform, identity_plus_noise, orthogonal
from matrinox.nn import GRUCell, LSTMCell, Recurrent, RNNCell
from matrinox.nn.cell import can_split

CELLS = {
    "rnn": lambda **options: RNNCell(**options),
    "gru": lambda **options: GRUCell(**options),
    "gru after": lambda **options: GRUCell(reset_after=True, **options),
    "lstm": lambda **options: LSTMCell(**options),
    "lstm matmul": lambda **options: LSTMCell(gating="matmul", **options),
}
every_cell = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def drawn(key, shape, dtype):
    """An initializer that compiles nothing."""
    return jnp.asarray(draw(int(jax.random.key_data(key)[-1]), *shape), dtype) / 3


def build(make, p=2, q=3, n=2, **options):
    cell = make(p=p, q=q, n=n, initializer=drawn, key=jax.random.key(0), **options)
    # Biases start at zero, where mistakes in them would not show.
    return jax.tree.map(lambda leaf: leaf + 0.1 if eqx.is_inexact_array(leaf) else leaf, cell)


def logistic(a):
    return 1 / (1 + np.exp(-np.asarray(a)))


def test_an_rnn_cell_is_worked_out_by_hand():
    cell = RNNCell(p=1, q=1, n=2, activation=relu, key=jax.random.key(0))
    weight = jnp.array([[[[0.0, 1.0], [1.0, 0.0]], [[2.0, 0.0], [0.0, 2.0]]]])
    cell = eqx.tree_at(lambda cell: (cell.weight, cell.bias), cell, (weight, jnp.array([[[0.0, 0.0], [0.0, -20.0]]])))
    h, x = jnp.array([[[1.0, 2.0], [3.0, 4.0]]]), jnp.array([[[1.0, 1.0], [5.0, 5.0]]])
    # The rows of h exchanged, plus 2 x, plus the bias.
    carry, y = cell(h, x)
    assert np.array_equal(y, [[[5.0, 6.0], [11.0, 0.0]]])
    assert np.array_equal(carry, y)


def test_an_rnn_cell_equals_float64_numpy(x64):
    cell = build(RNNCell, dtype=jnp.float64)
    h, x = draw(0, 3, 2, 2), draw(1, 2, 2, 2)
    expected = np.tanh(np.einsum("qpak,pkc->qac", cell.weight, np.concatenate([h, x])) + cell.bias)
    np.testing.assert_allclose(cell(h, x)[1], expected, rtol=1e-12)


def scalar(x):
    return jnp.asarray(np.asarray(x)[..., None, None])


def test_an_lstm_cell_equals_eqx_lstm_cell_when_n_is_1(x64):
    theirs = eqx.nn.LSTMCell(2, 3, key=jax.random.key(0))
    weight = scalar(np.concatenate([theirs.weight_hh, theirs.weight_ih], axis=1))
    h, c, x = draw(0, 3), draw(1, 3), draw(2, 2)
    expected = eqx.filter_jit(theirs)(x, (h, c))
    for gating in ("hadamard", "matmul"):
        ours = LSTMCell(p=2, q=3, n=1, gating=gating, initializer=drawn, key=jax.random.key(1))
        ours = eqx.tree_at(lambda cell: (cell.weight, cell.bias), ours, (weight, scalar(theirs.bias)))
        carry, y = eqx.filter_jit(ours)((scalar(h), scalar(c)), scalar(x))
        np.testing.assert_allclose(carry[0][:, 0, 0], expected[0], rtol=1e-12)
        np.testing.assert_allclose(carry[1][:, 0, 0], expected[1], rtol=1e-12)
        assert np.array_equal(y, carry[0])


def test_a_gru_cell_with_reset_after_equals_eqx_gru_cell_when_n_is_1(x64):
    theirs = eqx.nn.GRUCell(2, 3, key=jax.random.key(0))

    def z_r_n(r_z_n):
        r, z, n = np.split(np.asarray(r_z_n), 3)
        return scalar(np.concatenate([z, r, n]))

    ours = GRUCell(p=2, q=3, n=1, reset_after=True, initializer=drawn, key=jax.random.key(1))
    new = (
        z_r_n(np.concatenate([theirs.weight_hh, theirs.weight_ih], axis=1)),
        z_r_n(theirs.bias),
        scalar(theirs.bias_n),
    )
    ours = eqx.tree_at(lambda cell: (cell.weight, cell.bias, cell.hidden_bias), ours, new)
    h, x = draw(0, 3), draw(1, 2)
    _, y = eqx.filter_jit(ours)(scalar(h), scalar(x))
    np.testing.assert_allclose(y[:, 0, 0], eqx.filter_jit(theirs)(x, h), rtol=1e-12)


def test_a_gru_cell_equals_float64_numpy(x64):
    cell = build(GRUCell, dtype=jnp.float64)
    h, x = draw(0, 3, 2, 2), draw(1, 2, 2, 2)
    W, B = np.split(np.asarray(cell.weight), 3), np.split(np.asarray(cell.bias), 3)
    z, r = (logistic(np.einsum("qpak,pkc->qac", W[k], np.concatenate([h, x])) + B[k]) for k in (0, 1))
    n = np.tanh(np.einsum("qpak,pkc->qac", W[2], np.concatenate([r * h, x])) + B[2])
    np.testing.assert_allclose(cell(h, x)[1], (1 - z) * n + z * h, rtol=1e-12)


def test_cells_are_their_functional_twins():
    h, c, x = draw(0, 3, 2, 2), draw(1, 3, 2, 2), draw(2, 2, 2, 2)
    h, c, x = (jnp.asarray(a, jnp.float32) for a in (h, c, x))
    rnn, gru, lstm = build(RNNCell, activation=jnp.sin), build(GRUCell, reset_after=True), build(CELLS["lstm matmul"])
    odd = build(LSTMCell, activations=(jnp.sin, jnp.cos))

    @jax.jit
    def twins(h, c, x):
        return [
            (rnn(h, x), rnn_step(rnn.params, h, x, activation=jnp.sin)),
            (gru(h, x), gru_step(gru.params, h, x, reset_after=True, hidden_bias=gru.hidden_bias)),
            (lstm((h, c), x), lstm_step(lstm.params, (h, c), x, gating="matmul")),
            (odd((h, c), x), lstm_step(odd.params, (h, c), x, activations=(jnp.sin, jnp.cos))),
        ]

    for (_, ours), (_, theirs) in twins(h, c, x):
        assert np.array_equal(ours, theirs)


@every_cell
def test_sizes_are_those_of_the_fused_weight(make):
    cell = build(make, p=2, q=3, n=4)
    assert (cell.p, cell.q, cell.n) == (2, 3, 4)
    assert cell.weight.shape == (cell.gates * 3, 5, 4, 4)
    assert cell.bias.shape == (cell.gates * 3, 4, 4)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]) if eqx.is_array(leaf) else leaf, cell)
    assert (stacked.p, stacked.q, stacked.n) == (2, 3, 4)


@every_cell
def test_the_initial_carry_is_zero_and_at_least_float32(make):
    cell = build(make, dtype=jnp.bfloat16)
    for leaf in jax.tree.leaves(cell.initial_carry((5, 2))):
        assert leaf.shape == (5, 2, 3, 2, 2)
        assert leaf.dtype == jnp.float32
        assert not np.any(leaf)
    assert {leaf.dtype for leaf in jax.tree.leaves(cell.initial_carry((), jnp.bfloat16))} == {jnp.dtype(jnp.bfloat16)}


@every_cell
def test_a_cell_without_bias_has_none(make):
    cell = make(p=2, q=3, n=2, use_bias=False, initializer=drawn, key=jax.random.key(0))
    assert cell.bias is None
    assert getattr(cell, "hidden_bias", None) is None
    # Of nothing comes nothing: tanh(0) = 0, and so are all candidates.
    assert not np.any(cell(cell.initial_carry(), jnp.zeros((2, 2, 2)))[1])


def test_each_gate_and_each_part_has_a_draw_and_a_fan_of_its_own():
    cell = LSTMCell(p=2, q=30, n=4, initializer=glorot_uniform, key=jax.random.key(0))
    gates = jnp.split(cell.weight, 4)
    assert len({float(part[0, 0, 0, 0]) for gate in gates for part in (gate[:, :30], gate[:, 30:])}) == 8
    for gate in gates:
        assert float(jnp.abs(gate[:, :30]).max()) == pytest.approx(np.sqrt(6 / (60 * 4)), rel=0.01)
        assert float(jnp.abs(gate[:, 30:]).max()) == pytest.approx(np.sqrt(6 / (32 * 4)), rel=0.01)


def test_the_hidden_part_can_have_an_initializer_of_its_own():
    cell = GRUCell(p=2, q=3, n=2, initializer=drawn, hidden_initializer=orthogonal(), key=jax.random.key(0))
    for gate in jnp.split(cell.weight, 3):
        flat = jnp.swapaxes(gate[:, :3], 1, 2).reshape(6, 6)
        np.testing.assert_allclose(flat @ flat.T, np.eye(6), atol=1e-5)
    passing = RNNCell(
        p=2, q=3, n=2, hidden_initializer=identity_plus_noise(0.0), initializer=drawn, key=jax.random.key(0)
    )
    h = draw(0, 3, 2, 2)
    np.testing.assert_allclose(passing(h, jnp.zeros((2, 2, 2)))[1], np.tanh(h), rtol=1e-5)


def test_the_forget_bias_is_zero_unless_asked_for():
    plain = LSTMCell(p=2, q=3, n=2, initializer=drawn, key=jax.random.key(0))
    assert not np.any(plain.bias)
    long = LSTMCell(p=2, q=3, n=2, forget_bias=1.0, initializer=drawn, key=jax.random.key(0))
    assert np.array_equal(np.split(long.bias, 4), np.stack([np.full((3, 2, 2), b) for b in (0.0, 1.0, 0.0, 0.0)]))
    with pytest.raises(ValueError, match=r"`forget_bias` \(=1.0\) must be 0 without bias: build with use_bias=True"):
        LSTMCell(p=2, q=3, n=2, forget_bias=1.0, use_bias=False, key=jax.random.key(0))


# The root mean square of y under an input of variance 1, from 10 steps on: measured 0.69, 0.42, 0.42, 0.19 and 0.38.
LEVELS = {
    "rnn": (0.6, 0.75),
    "gru": (0.35, 0.5),
    "gru after": (0.35, 0.5),
    "lstm": (0.15, 0.25),
    "lstm matmul": (0.3, 0.45),
}


@pytest.mark.parametrize("name", LEVELS)
def test_the_hidden_state_neither_dies_nor_explodes_in_100_steps(name):
    layer = Recurrent(CELLS[name](p=8, q=16, n=4, key=jax.random.key(0)))
    x = jnp.asarray(draw(0, 8, 100, 8, 4, 4), jnp.float32)
    squares = np.asarray(eqx.filter_jit(layer)(x)) ** 2
    low, high = LEVELS[name]
    for steps in (slice(10, 20), slice(90, 100)):
        assert low < np.sqrt(squares[:, steps].mean()) < high


def test_a_cell_of_a_subclass_with_its_own_call_is_not_split():
    class Halved(RNNCell):
        def __call__(self, carry, x, *, key=None):
            return super().__call__(carry / 2, x, key=key)

    assert can_split(build(RNNCell))
    assert not can_split(build(Halved))


@every_cell
def test_a_cell_refuses_a_wrong_shape(make):
    cell = build(make, p=2, q=3, n=4)
    kind = type(cell).__name__
    with pytest.raises(
        ContractError, match=rf"{kind}\(p=2, q=3, n=4.*\) got x float32\[3, 4, 4\].*axis -3 is 3, p is 2"
    ):
        cell(cell.initial_carry(), jnp.ones((3, 4, 4)))
    with pytest.raises(ContractError, match=rf"{kind}\(p=2, q=3, n=4.*\) got carry"):
        cell(jax.tree.map(lambda leaf: leaf[1:], cell.initial_carry()), jnp.ones((2, 4, 4)))


@pytest.mark.parametrize("size", ["p", "q", "n"])
def test_a_size_below_1_is_refused(size):
    sizes = {"p": 2, "q": 3, "n": 4, size: 0}
    with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1: choose a positive number"):
        LSTMCell(**sizes, key=jax.random.key(0))


def test_an_initializer_of_the_wrong_shape_and_an_unknown_gating_are_refused():
    with pytest.raises(ContractError, match=r"weight float32\[3, 5, 4\]"):
        RNNCell(p=2, q=3, n=4, initializer=lambda key, shape, dtype: jnp.zeros(shape[:-1]), key=jax.random.key(0))
    with pytest.raises(ContractError, match="got gating as 'matrix'"):
        LSTMCell(p=2, q=3, n=4, gating="matrix", key=jax.random.key(0))
