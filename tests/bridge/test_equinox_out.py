"""`to_equinox`: on random weights and inputs, what matrix neurons compute, and back what was taken in."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn, zoo
from matrinox.bridge import from_equinox, to_equinox
from matrinox.contract import contract

KEY = jax.random.key(0)


def test_a_chain_of_dense_layers_is_one_of_linear_layers(draw, drawn):
    chain = drawn(
        lambda: nn.Sequential(
            [
                nn.MLP(p=2, q=3, n=2, hidden=(4,), activation="gelu", norm="layer", key=KEY),
                nn.Residual(nn.Sequential([nn.Dense(p=3, q=3, n=2, key=KEY), nn.SiLU()])),
                nn.BranchSum([nn.Dense(p=3, q=1, n=2, key=KEY), nn.Dense(p=3, q=1, n=2, use_bias=False, key=KEY)]),
                nn.Flatten(),
                eqx.nn.Linear(4, 2, key=KEY),
            ]
        )
    )
    x = draw(2, 2, 2, 2)

    @eqx.filter_jit
    def both(chain):
        scalar = to_equinox(chain)
        return scalar, eqx.filter_vmap(scalar)(x.reshape(2, 8)), eqx.filter_vmap(chain)(x)

    scalar, y, expected = both(chain)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    kinds = [type(layer).__name__ for layer in scalar.layers[0]]
    assert kinds == ["Linear", "LayerNorm", "Lambda", "Linear"]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("mlp", {"features": 7, "n": 2, "widths": (2, 3), "classes": 3}),
        ("cnn", {"shape": (4, 4, 1), "n": 2, "stages": ((2,),), "classes": 3}),
    ],
)
def test_a_model_of_the_zoo_is_its_layers(name, config, draw, drawn):
    build = {"mlp": (zoo.MLP, zoo.MLPConfig), "cnn": (zoo.CNN, zoo.CNNConfig)}[name]
    model = drawn(lambda: build[0](build[1](**config), key=KEY))
    x = draw(2, *model.input_shape)
    folded = to_equinox(model)
    both = eqx.filter_jit(lambda folded, model: (eqx.filter_vmap(folded)(jnp.moveaxis(x, -1, 1)), model(x)))
    np.testing.assert_allclose(*both(folded, model), rtol=1e-5, atol=1e-5)


def test_what_was_taken_in_comes_out_as_it_was(drawn):
    theirs = drawn(
        lambda: eqx.nn.Sequential(
            [
                eqx.nn.Linear(2, 3, key=KEY),
                eqx.nn.Conv2d(2, 4, (2, 1), dilation=2, padding=((0, 1), (1, 0)), groups=2, key=KEY),
                eqx.nn.ConvTranspose1d(2, 4, 3, 2, padding=1, output_padding=1, use_bias=False, key=KEY),
                eqx.nn.LSTMCell(2, 3, key=KEY),
                eqx.nn.GRUCell(2, 3, key=KEY),
                eqx.nn.GRUCell(2, 3, use_bias=False, key=KEY),
                eqx.nn.MultiheadAttention(2, 4, 6, 6, 3, use_query_bias=True, dropout_p=0.5, key=KEY),
                eqx.nn.Embedding(3, 2, key=KEY),
                eqx.nn.LayerNorm(3, eps=0.1),
                eqx.nn.RMSNorm(3, use_bias=False),
                eqx.nn.GroupNorm(2, 4),
                eqx.nn.Dropout(0.3, inference=True),
                eqx.nn.MaxPool2d(2, (1, 2), padding=1),
                eqx.nn.AvgPool3d(2),
                eqx.nn.AdaptiveMaxPool1d(3),
                eqx.nn.Lambda(jax.nn.relu),
                eqx.nn.Sequential(
                    [eqx.nn.Linear(2, 3, key=KEY), eqx.nn.Lambda(jnp.tanh), eqx.nn.Linear(3, 1, key=KEY)]
                ),
            ]
        )
    ).layers
    there_and_back = eqx.filter_jit(lambda layers: [to_equinox(from_equinox(layer)) for layer in layers])
    for before, after in zip(theirs, there_and_back(theirs), strict=True):
        assert eqx.tree_equal(after, before), before


def test_a_taken_mlp_comes_out_as_its_layers(draw, drawn):
    theirs = drawn(lambda: eqx.nn.MLP(2, 3, 4, 1, key=KEY))
    x = draw(2, 2)
    both = eqx.filter_jit(lambda mlp: [eqx.filter_vmap(f)(x) for f in (to_equinox(from_equinox(mlp)), mlp)])
    np.testing.assert_array_equal(*both(theirs))


def test_layers_of_a_tree_are_folded_one_by_one():
    tree = eqx.filter_eval_shape(lambda: to_equinox({"dense": nn.Dense(p=1, q=2, n=2, key=KEY), "rest": [nn.Tanh()]}))
    assert tree["dense"].weight.shape == (8, 4)
    assert type(tree["rest"][0]) is eqx.nn.Lambda


def test_a_layer_of_ones_own_that_works_by_entries_is_folded(draw, assert_folded):
    @contract
    class Own(eqx.Module):
        def __call__(self, x, *, key=None):
            assert x.ndim >= 3
            return x**3

    assert_folded(nn.Sequential([Own(), nn.Lambda(lambda x: x + 1), jnp.sin]), draw(2, 1, 2, 2))


def test_parallel_layers_have_an_input_each(draw, drawn):
    layer = drawn(lambda: nn.Parallel([nn.Dense(p=1, q=2, n=2, key=KEY), nn.Tanh()]))
    x, z = draw(1, 2, 2), draw(2, 2, 2)
    expected, given = layer((x, z)), to_equinox(layer)((x.ravel(), z.ravel()))
    for ours, theirs in zip(expected, given, strict=True):
        np.testing.assert_allclose(theirs, ours.ravel(), rtol=1e-5, atol=1e-6)


def test_all_that_cannot_be_folded_is_told_at_once_by_path_type_and_reason():
    def model():
        dense = nn.Dense(p=2, q=2, n=2, key=KEY)
        conv = nn.Conv2d(p=2, q=2, n=2, kernel=1, input_dilation=2, key=KEY)
        residual = nn.Residual(nn.Sequential([dense, nn.ReLUd()]))
        return nn.Sequential([residual, nn.MaxdPool2d(2), nn.Dropout(0.1, neurons=True), conv, nn.FrobeniusNorm()])

    with pytest.raises(ValueError, match="`layer` cannot be folded into scalar layers, for what is in it:") as caught:
        eqx.filter_eval_shape(lambda: to_equinox(model()))
    lines = [line.strip().split(": ") for line in str(caught.value).splitlines()[1:]]
    assert [line[:2] for line in lines] == [
        ["layers[0].body.layers[1]", "ReLUd"],
        ["layers[1]", "MaxdPool2d"],
        ["layers[2]", "Dropout"],
        ["layers[3]", "Conv2d"],
        ["layers[4]", "FrobeniusNorm"],
    ]


class Own(eqx.Module):
    layers: nn.Sequential

    def __call__(self, x, *, key=None):
        return 2 * self.layers(x)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: nn.Recurrent(nn.GRUCell(p=1, q=1, n=2, key=KEY)), "no layer of eqx.nn runs over a sequence: fold its"),
        (lambda: nn.RNNCell(p=1, q=1, n=2, key=KEY), "eqx.nn has no simple recurrent cell"),
        (
            lambda: Own(nn.Sequential([nn.Dense(p=1, q=1, n=2, key=KEY)])),
            "what it computes is not known: fold the layers that it holds",
        ),
        (lambda: nn.BiMap(p=1, q=1, n=2, key=KEY), "no scalar layer sees a whole matrix"),
        (lambda: 3, "layer: int: it is no layer"),
    ],
)
def test_what_no_scalar_layer_computes_is_refused(make, why):
    with pytest.raises(ValueError, match=why):
        eqx.filter_eval_shape(lambda: to_equinox(make()))


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Dense(p=1, q=1, n=2, key=KEY),
        lambda: nn.Bias(p=1, n=2),
        lambda: nn.FlattenLinear(p=1, features=1, n=2, key=KEY),
        lambda: nn.Conv1d(p=1, q=1, n=2, kernel=1, key=KEY),
        lambda: nn.LSTMCell(p=1, q=1, n=2, key=KEY),
        lambda: nn.MultiheadAttention(p=1, n=2, heads=1, key=KEY),
        lambda: nn.Embedding(vocabulary=1, p=1, n=2, key=KEY),
        lambda: nn.LayerNorm(p=1, n=2),
        lambda: nn.GroupNorm(groups=1, p=1, n=2),
        lambda: nn.BatchNorm(p=1, n=2),
        lambda: nn.Fold(2),
    ],
    ids=range(11),
)
def test_a_side_that_is_not_that_of_the_layers_is_refused(make):
    with pytest.raises(ValueError, match="its matrices are of side 2, and those that flow in of side n=3"):
        eqx.filter_eval_shape(lambda: to_equinox(make(), n=3))
