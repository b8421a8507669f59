"""`lift`: `lift(model, n)(X ⊗ J) = model(X) ⊗ J`, to rounding."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn, zoo
from matrinox.bridge import from_equinox, lift

KEY = jax.random.key(0)


def spread(x, k):
    return jnp.kron(x, jnp.ones((k, k), x.dtype))


def assert_lifted(layer, x, n=4, *call):
    """The law, for arrays of matrices, and in inference; it returns the lifted layer."""
    lifted = lift(layer, n)
    k = n // x.shape[-1]
    y = eqx.filter_jit(lifted)(spread(x, k), *(spread(more, k) for more in call))
    expected = eqx.filter_jit(layer)(x, *call)
    for ours, theirs in zip(jax.tree.leaves(y), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, spread(theirs, k), rtol=1e-5, atol=2e-6)
    return lifted


@pytest.mark.parametrize("m", [1, 2])
def test_layers_of_one_place_keep_their_function(m, draw, drawn):
    dense = partial(nn.Dense, n=m, key=KEY)
    model = nn.Sequential(
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
    assert_lifted(eqx.nn.inference_mode(drawn(model)), draw(2, 2, m, m))


def test_convolutions_and_pools_keep_their_function(draw, drawn):
    model = nn.Sequential(
        [
            nn.ConvNormAct(p=2, q=4, n=1, kernel=3, axes=2, norm="instance", key=KEY),
            nn.MaxPool2d(2, 1),
            nn.ConvTranspose2d(p=4, q=2, n=1, kernel=2, key=KEY),
            nn.AdaptiveAvgPool2d(2),
        ]
    )
    assert_lifted(drawn(model), draw(1, 5, 5, 2, 1, 1), 2)


def test_recurrent_layers_keep_their_function(draw, drawn):
    cells = [
        nn.LSTMCell(p=2, q=2, n=1, key=KEY),
        nn.GRUCell(p=2, q=2, n=1, reset_after=True, key=KEY),
        nn.RNNCell(p=2, q=2, n=1, key=KEY),
    ]
    model = nn.Sequential(
        [nn.Recurrent(cells[0]), nn.StackedRecurrent([nn.Recurrent(cells[1]), nn.Recurrent(cells[2])])]
    )
    assert_lifted(drawn(model), draw(3, 2, 1, 1), 2)


def test_a_transformer_keeps_its_function(draw, drawn):
    encoder = nn.TransformerEncoder(p=2, n=1, heads=2, layers=2, hidden=3, key=KEY)
    model = nn.Sequential([nn.LearnedPosition(length=4, p=2, n=1, key=KEY), encoder])
    assert_lifted(drawn(model), draw(2, 4, 2, 1, 1), 2)
    attention = drawn(nn.MultiheadAttention(p=2, memory=3, n=1, heads=1, key=KEY))
    assert_lifted(attention, draw(4, 2, 1, 1), 2, draw(5, 3, 1, 1))


@pytest.mark.parametrize(
    "end",
    [
        lambda m: nn.Trace(),
        lambda m: nn.Mean(),
        lambda m: nn.FrobeniusNorm(),
        lambda m: nn.Sequential([nn.Flatten(), eqx.nn.Linear(2 * m * m, 3, key=KEY), nn.Softmax()]),
        lambda m: nn.Sum(),
        lambda m: nn.ClassificationHead(p=2, classes=3, n=m, key=KEY),
        lambda m: nn.RegressionHead(p=2, outputs=3, n=m, read="frobenius_norm", key=KEY),
        lambda m: nn.FlattenLinear(p=2, features=3, n=m, key=KEY),
    ],
    ids="trace mean norm flatten sum classes regression linear".split(),  # noqa: SIM905
)
def test_from_numbers_to_numbers_it_is_the_same_function(end, draw, drawn):
    x = draw(8)
    for m, encoder in ((1, nn.Fold(1)), (2, nn.Fold(2))):
        p = 8 // m**2
        model = drawn(nn.Sequential([encoder, nn.Dense(p=p, q=2, n=m, key=KEY), nn.Sigmoid(), end(m)]))
        np.testing.assert_allclose(lift(model, 4)(x), model(x), rtol=1e-5, atol=2e-6)


def test_a_model_of_the_zoo_keeps_its_function(draw, drawn):
    config = zoo.CNNConfig(height=4, width=4, n=1, stages=((2,),), classes=3, encoder="neighbourhoods")
    model = drawn(zoo.CNN(config, key=KEY))
    x = draw(2, *model.input_shape)
    lifted = lift(model, 2)
    np.testing.assert_allclose(eqx.filter_jit(lifted)(x), eqx.filter_jit(model)(x), rtol=1e-5, atol=2e-6)
    assert lifted.layers[1].weight.shape == (2, 1, 3, 3, 2, 2)


def test_tokens_keep_their_rows():
    table = nn.Embedding(vocabulary=3, p=2, n=1, key=KEY)
    np.testing.assert_array_equal(lift(table, 3)(jnp.array([2]))[0], spread(table.weight[2], 3))


def test_a_scalar_network_of_equinox_grows_into_matrices(draw):
    theirs, x = eqx.nn.MLP(3, 2, 4, 1, key=KEY), draw(3)
    model = nn.Sequential([nn.Fold(1), from_equinox(theirs), nn.Trace()])
    np.testing.assert_allclose(lift(model, 3)(x), theirs(x), rtol=1e-6, atol=1e-6)


def test_running_statistics_are_lifted_with_their_state(draw):
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(p=2, n=1)
    x = draw(3, 2, 1, 1)
    _, state = layer(x, state)
    lifted, wide_state = lift(layer, 2, state=state)
    layer, lifted = eqx.nn.inference_mode((layer, lifted))
    y, _ = lifted(spread(x, 2), wide_state)
    np.testing.assert_allclose(y, spread(layer(x, state)[0], 2), rtol=1e-6)


def test_noise_is_on_what_is_new_alone_and_depends_on_the_key():
    dense = nn.Dense(p=2, q=3, n=1, key=KEY)
    quiet, noisy = lift(dense, 2), lift(dense, 2, scale=0.5, key=KEY)
    old = np.broadcast_to(np.eye(2, dtype=bool), (3, 2, 2, 2))
    np.testing.assert_array_equal(noisy.weight[old], quiet.weight[old])
    assert np.all(noisy.weight[~old] != 0)
    np.testing.assert_array_equal(np.asarray(noisy.bias == quiet.bias)[0], [[True, False], [False, False]])
    deviation = jnp.std(lift(nn.Dense(p=8, q=8, n=1, key=KEY), 4, scale=0.5, key=KEY).weight[..., 0, 1:])
    assert abs(deviation / jnp.sqrt(jnp.mean(nn.Dense(p=8, q=8, n=1, key=KEY).weight ** 2)) / 0.5 - 1) < 0.2
    assert not np.array_equal(noisy.weight, lift(dense, 2, scale=0.5, key=jax.random.key(1)).weight)


def test_the_dtype_stays():
    layer = lift(nn.LSTMCell(p=1, q=1, n=1, dtype=jnp.bfloat16, key=KEY), 2, scale=0.1, key=KEY)
    assert layer.weight.dtype == layer.bias.dtype == jnp.bfloat16


def test_all_that_breaks_the_law_is_told_at_once_by_path_type_and_reason():
    model = nn.Sequential(
        [
            nn.Residual(nn.Sequential([nn.Dense(p=2, q=2, n=1, key=KEY), nn.ReLUd()])),
            nn.Softmax(-1),
            nn.Lambda(jnp.cumsum),
            nn.Sum(-1),
        ]
    )
    with pytest.raises(ValueError, match="`layer` cannot be lifted to n=2, for what is in it:") as caught:
        lift(model, 2)
    lines = [line.strip().split(": ") for line in str(caught.value).splitlines()[1:]]
    assert [line[:2] for line in lines] == [
        ["layers[0].body.layers[1]", "ReLUd"],
        ["layers[1]", "Softmax"],
        ["layers[2]", "Lambda"],
        ["layers[3]", "Sum"],
    ]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (
            lambda: lift(nn.Dense(p=1, q=1, n=2, key=KEY), 3),
            r"`n` \(=3\) must be a multiple of the side of the model's",
        ),
        (lambda: lift(nn.Tanh(), 0), r"`n` \(=0\) must be a multiple"),
        (lambda: lift(nn.Tanh(), 2, scale=-1.0), r"`scale` \(=-1.0\) must not be negative"),
        (lambda: lift(nn.Tanh(), 2, scale=1.0), r"`key` \(=None\) is needed for noise of `scale` \(=1.0\)"),
        (lambda: lift(nn.LSTMCell(p=1, q=1, n=1, gating="matmul", key=KEY), 2), "only Hadamard gates act by entries"),
        (
            lambda: lift(nn.RNNCell(p=1, q=1, n=1, activation=jnp.cumsum, key=KEY), 2),
            "activation is not known to treat",
        ),
        (lambda: lift(nn.MultiheadAttention(p=2, n=1, heads=1, rotary=True, key=KEY), 2), "it turns pairs of entries"),
        (lambda: lift(3, 2), "layer: int: it is no layer"),
    ],
    ids=range(8),
)
def test_what_breaks_the_law_is_refused(call, why):
    with pytest.raises(ValueError, match=why):
        call()
