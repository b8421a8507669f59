"""`lift`: `lift(model, n)(X ⊗ J) = model(X) ⊗ J`, to rounding."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn, zoo
from matrinox.bridge import from_equinox, lift

KEY = jax.random.key(0)


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
@pytest.mark.parametrize("m", [1, 2])
def test_from_numbers_to_numbers_it_is_the_same_function(m, end, draw, drawn):
    x = draw(8)
    model = drawn(lambda: nn.Sequential([nn.Fold(m), nn.Dense(p=8 // m**2, q=2, n=m, key=KEY), nn.Sigmoid(), end(m)]))
    both = eqx.filter_jit(lambda model: (lift(model, 4)(x), model(x)))
    np.testing.assert_allclose(*both(model), rtol=1e-5, atol=2e-6)


def test_a_model_of_the_zoo_keeps_its_function(draw, drawn):
    config = zoo.CNNConfig(height=4, width=4, n=1, stages=((2,),), classes=3, encoder="neighbourhoods")
    model = drawn(lambda: zoo.CNN(config, key=KEY))
    x = draw(2, *model.input_shape)
    lifted = lift(model, 2)
    np.testing.assert_allclose(eqx.filter_jit(lifted)(x), eqx.filter_jit(model)(x), rtol=1e-5, atol=2e-6)
    assert lifted.layers[1].weight.shape == (2, 1, 3, 3, 2, 2)


def test_a_scalar_network_of_equinox_grows_into_matrices(draw, drawn):
    theirs, x = drawn(lambda: eqx.nn.MLP(3, 2, 4, 1, key=KEY)), draw(3)
    both = eqx.filter_jit(lambda mlp: (lift(nn.Sequential([nn.Fold(1), from_equinox(mlp), nn.Trace()]), 3)(x), mlp(x)))
    np.testing.assert_allclose(*both(theirs), rtol=1e-5, atol=1e-6)


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
        eqx.filter_eval_shape(call)
