"""Layers with weights on larger matrices: `lift(layer, n)(X ⊗ J) = layer(X) ⊗ J`, to rounding."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.bridge import lift

KEY = jax.random.key(0)


def spread(x, k):
    return jnp.kron(x, jnp.ones((k, k), x.dtype))


def assert_lifted(layer, x, n=4, *call):
    """The law, for arrays of matrices."""
    k = n // x.shape[-1]

    # One program for all of it: what is lifted eagerly would compile operation by operation.
    @eqx.filter_jit
    def both(layer, *call):
        return lift(layer, n)(*(spread(x, k) for x in call)), jax.tree.map(lambda y: spread(y, k), layer(*call))

    y, expected = both(layer, x, *call)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("m", [1, 2])
def test_layers_of_one_place_keep_their_function(m, draw, drawn):
    dense = partial(nn.Dense, n=m, key=KEY)
    model = drawn(
        lambda: nn.Sequential(
            [
                nn.MLP(p=2, q=3, n=m, hidden=(4,), norm="group", activation="gelu", dropout=0.5, key=KEY),
                nn.Residual(nn.Sequential([nn.LayerNorm(p=3, n=m), dense(3, 3, use_bias=False), nn.Softmax(-3)])),
                nn.BranchSum([nn.BilinearDense(p=3, q=2, n=m, key=KEY), dense(3, 2, transposed=True)]),
                nn.Lambda(jnp.matrix_transpose),
                nn.Bias(p=2, n=m, per="column"),
                nn.Scaler(p=2, n=m, per="row"),
                nn.RMSNorm(p=2, n=m, use_bias=False),
                jnp.sin,
            ]
        )
    )
    assert_lifted(eqx.nn.inference_mode(model), draw(2, 2, m, m))


def test_convolutions_and_pools_keep_their_function(draw, drawn):
    model = drawn(
        lambda: nn.Sequential(
            [
                nn.ConvNormAct(p=2, q=4, n=1, kernel=2, axes=2, norm="instance", key=KEY),
                nn.MaxPool2d(2, 1),
                nn.ConvTranspose2d(p=4, q=2, n=1, kernel=2, key=KEY),
                nn.AdaptiveAvgPool2d(2),
            ]
        )
    )
    assert_lifted(model, draw(1, 4, 4, 2, 1, 1), 2)


def test_recurrent_layers_keep_their_function(draw, drawn):
    sizes = {"p": 2, "q": 2, "n": 1, "key": KEY}
    model = drawn(
        lambda: nn.Sequential(
            [
                nn.Recurrent(nn.LSTMCell(**sizes)),
                nn.StackedRecurrent(
                    [nn.Recurrent(nn.GRUCell(**sizes, reset_after=True)), nn.Recurrent(nn.RNNCell(**sizes))]
                ),
            ]
        )
    )
    assert_lifted(model, draw(3, 2, 1, 1), 2)


def test_a_transformer_keeps_its_function(draw, drawn):
    encoder = partial(nn.TransformerEncoder, p=2, n=1, heads=2, layers=2, hidden=3, key=KEY)
    model = drawn(lambda: nn.Sequential([nn.LearnedPosition(length=4, p=2, n=1, key=KEY), encoder()]))
    assert_lifted(model, draw(2, 4, 2, 1, 1), 2)
    attention = drawn(lambda: nn.MultiheadAttention(p=2, memory=3, n=1, heads=1, key=KEY))
    assert_lifted(attention, draw(4, 2, 1, 1), 2, draw(5, 3, 1, 1))


def test_tokens_keep_their_rows():
    table = nn.Embedding(vocabulary=3, p=2, n=1, key=KEY)
    np.testing.assert_array_equal(lift(table, 3)(jnp.array([2]))[0], spread(table.weight[2], 3))


def test_running_statistics_are_lifted_with_their_state(draw):
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(p=2, n=1)
    x = draw(3, 2, 1, 1)
    _, state = layer(x, state)
    lifted, wide_state = lift(layer, 2, state=state)
    layer, lifted = eqx.nn.inference_mode((layer, lifted))
    y, _ = lifted(spread(x, 2), wide_state)
    np.testing.assert_allclose(y, spread(layer(x, state)[0], 2), rtol=1e-6)


def test_noise_is_on_what_is_new_alone_and_depends_on_the_key(drawn):
    dense = drawn(lambda: nn.Dense(p=8, q=8, n=1, key=KEY))

    @eqx.filter_jit
    def grown(dense, key):
        return lift(dense, 2), lift(dense, 2, scale=0.5, key=key)

    quiet, noisy = grown(dense, KEY)
    old = np.broadcast_to(np.eye(2, dtype=bool), (8, 8, 2, 2))
    weight, bias = np.asarray(noisy.weight), np.asarray(noisy.bias)
    np.testing.assert_array_equal(weight[old], np.asarray(quiet.weight)[old])
    assert np.all(weight[~old] != 0)
    np.testing.assert_array_equal((bias == np.asarray(quiet.bias))[0], [[True, False], [False, False]])
    size = np.sqrt(np.mean(np.square(dense.weight)))
    assert abs(np.std(weight[~old]) / size / 0.5 - 1) < 0.2
    assert not np.array_equal(weight, grown(dense, jax.random.key(1))[1].weight)


def test_the_dtype_stays(drawn):
    cell = drawn(lambda: nn.LSTMCell(p=1, q=1, n=1, dtype=jnp.bfloat16, key=KEY))
    lifted = eqx.filter_eval_shape(lambda cell: lift(cell, 2, scale=0.1, key=KEY), cell)
    assert lifted.weight.dtype == lifted.bias.dtype == jnp.bfloat16
