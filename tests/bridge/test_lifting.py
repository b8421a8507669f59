"""`lift`: `lift(model, n)(X ⊗ J) = model(X) ⊗ J`, to rounding."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn, zoo
from matrinox.bridge import from_equinox, lift, to_equinox, twins

KEY = jax.random.key(0)


def with_zeros(model):
    """The model with weights of which the twins' are not drawn either: each shape that is drawn compiles."""
    return jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_array(leaf) else leaf, model)


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
    config = zoo.CNNConfig(shape=(4, 4, 1), n=1, stages=((2,),), classes=3, encoder="neighbourhoods")
    model = drawn(lambda: zoo.CNN(config, key=KEY))
    x = draw(2, *model.input_shape)
    lifted = lift(model, 2)
    np.testing.assert_allclose(eqx.filter_jit(lifted)(x), eqx.filter_jit(model)(x), rtol=1e-5, atol=2e-6)
    assert lifted.layers[1].layers[0].weight.shape == (2, 1, 3, 3, 2, 2)


def test_a_scalar_network_of_equinox_grows_into_matrices(draw, drawn):
    theirs, x = drawn(lambda: eqx.nn.MLP(3, 2, 4, 1, key=KEY)), draw(3)
    both = eqx.filter_jit(lambda mlp: (lift(nn.Sequential([nn.Fold(1), from_equinox(mlp), nn.Trace()]), 3)(x), mlp(x)))
    np.testing.assert_allclose(*both(theirs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("end", [nn.Flatten(), nn.Trace(), nn.Mean()], ids=["flatten", "trace", "mean"])
def test_what_was_lifted_is_lifted_folded_and_twinned_again(end, draw, drawn):
    model = drawn(lambda: nn.Sequential([nn.Fold(2), *(nn.Dense(p=2, q=2, n=2, key=KEY) for _ in "ab"), end]))
    x = draw(8)

    @eqx.filter_jit
    def each(model):
        once = lift(model, 4)
        twice = lift(once, 8)
        return model(x), once(x), twice(x), to_equinox(once)(x), to_equinox(twice)(x), once, twice

    expected, *given, once, twice = each(model)
    assert twice.layers[1].weight.shape == (2, 2, 8, 8)
    for y in given:
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    found = twins(with_zeros(once), (8,), key=KEY)
    for twin in (found.same_parameters, found.same_flops, found.same_state):
        assert eqx.filter_eval_shape(twin.model, x).shape == expected.shape
        assert type(twin.model[0]) is nn.Fold
    assert found.same_state.widths == (2 * 4**2,)


def test_images_in_front_of_a_row_are_lifted_and_folded_again(draw, drawn):
    theirs = drawn(
        lambda: eqx.nn.Sequential(
            [
                eqx.nn.Conv2d(1, 2, 2, key=KEY),
                eqx.nn.Lambda(jax.nn.relu),
                eqx.nn.AdaptiveAvgPool2d((1, 2)),
                eqx.nn.Lambda(jnp.ravel),
                eqx.nn.Linear(4, 3, key=KEY),
            ]
        )
    )
    x = draw(1, 3, 4)

    @eqx.filter_jit
    def each(theirs):
        ours = from_equinox(theirs)
        wide = lift(ours, 2)
        spread = jnp.ones((1, 1, 1, 2, 2)) * jnp.moveaxis(x, 0, -1)[..., None, None]
        folded = to_equinox(wide)(jnp.repeat(x, 4, 0))
        return theirs(x), to_equinox(ours)(x), wide(spread)[:, 1, 0], folded[::4], wide

    expected, *given, wide = each(theirs)
    for y in given:
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    same_state = twins(with_zeros(wide), (3, 4, 1, 2, 2), key=KEY).same_state
    assert same_state.widths == (8, 12)
    assert same_state.model[4].weight.shape == (12, 16, 1, 1)


def test_nothing_is_drawn_for_a_model_that_breaks_the_law(monkeypatch):
    model = nn.Sequential([nn.Dense(p=1, q=1, n=1, key=KEY), nn.ReLUd()])
    monkeypatch.setattr(jax.random, "normal", lambda *_: pytest.fail("noise was drawn"))
    with pytest.raises(ValueError, match=r"layers\[1\]: ReLUd: it is not known"):
        lift(model, 2, scale=0.1, key=KEY)


def test_all_that_breaks_the_law_is_told_at_once_by_path_type_and_reason():
    model = nn.Sequential(
        [
            nn.Residual(nn.Sequential([nn.Dense(p=2, q=2, n=1, key=KEY), nn.ReLUd()])),
            nn.Softmax(-1),
            nn.Lambda(jnp.cumsum),
            nn.Sum(-1),
        ]
    )
    with pytest.raises(ValueError, match="`model` cannot be lifted to n=2, for what is in it:") as caught:
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
            r"`n` \(=3\) must be a multiple of the side of the model's matrices \(=2\): choose such as 4",
        ),
        (
            lambda: lift(nn.Tanh(), 0),
            r"`n` \(=0\) must be positive: choose a multiple of the side of the matrices \(=1\)",
        ),
        (lambda: lift(nn.Tanh(), -4), r"`n` \(=-4\) must be positive"),
        (lambda: lift(nn.Tanh(), 2, scale=-1.0), r"`scale` \(=-1.0\) must not be negative"),
        (lambda: lift(nn.Tanh(), 2, scale=1.0), r"`key` \(=None\) is needed for noise of `scale` \(=1.0\)"),
        (lambda: lift(nn.LSTMCell(p=1, q=1, n=1, gating="matmul", key=KEY), 2), "only Hadamard gates act by entries"),
        (
            lambda: lift(nn.RNNCell(p=1, q=1, n=1, activation=jnp.cumsum, key=KEY), 2),
            "activation is not known to treat",
        ),
        (lambda: lift(nn.MultiheadAttention(p=2, n=1, heads=1, rotary=True, key=KEY), 2), "it turns pairs of entries"),
        (lambda: lift(3, 2), "model: int: it is no layer"),
        (
            lambda: lift(eqx.nn.MLP(2, 2, 2, 1, key=KEY), 2),
            "model: MLP: it takes numbers, and no matrices: take it over with `from_equinox` first",
        ),
        (
            lambda: lift(eqx.nn.make_with_state(nn.BatchNorm)(p=1, n=1), 2),
            r"`model` \(=tuple\) must be a model without its state: give this as `state`",
        ),
    ],
    ids=range(11),
)
def test_what_breaks_the_law_is_refused(call, why):
    with pytest.raises(ValueError, match=why):
        eqx.filter_eval_shape(call)
