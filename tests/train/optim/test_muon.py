"""Muon of matrix neurons."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.contrib import MuonState

from matrinox import MatrixParams, nn
from matrinox.train import Adam, Constant, Group, Muon, freeze

KEY = jax.random.key(0)
MUON = Muon(1.0, weight_decay=0.0, clip=None, scheduler=Constant())


@eqx.filter_jit
def first_step(optimiser, parameters, gradient):
    transformation = optimiser.build(10)
    updates, _ = transformation.update(gradient, transformation.init(parameters), parameters)
    return jax.tree.map(jnp.negative, updates)


def step(optimiser, model, gradient):
    """The first step of a model, uphill; `gradient` makes a tree of gradients of the tree of parameters."""
    parameters = eqx.filter(model, eqx.is_inexact_array)
    return first_step(optimiser, parameters, gradient(parameters))


def random_gradient(parameters):
    random = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: jnp.asarray(random.normal(size=leaf.shape), leaf.dtype), parameters)


def as_matrix(weight):
    """The map of columns that a weight `(q, p, *kernel, n, n)` is: outputs `(q n)` by inputs `(p *kernel n)`."""
    weight = np.moveaxis(np.asarray(weight), -2, 1)
    return weight.reshape(weight.shape[0] * weight.shape[1], -1)


def assert_orthogonal(found, gradient):
    """That it has the singular vectors of the gradient, with values that five iterations bring near 1.

    Each is a polynomial of what it was in units of the Frobenius norm, which for 0.01 to 1 is from 0.65 to 1.25.
    """
    gradient = np.asarray(gradient, np.float64)
    left, values, right = np.linalg.svd(gradient, full_matrices=False)
    values = values / np.linalg.norm(gradient, axis=(-2, -1))[..., None]
    were_small = values < 0.01
    for _ in range(5):
        values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
    np.testing.assert_allclose(found, (left * values[..., None, :]) @ right, atol=1e-4)
    assert ((values > 0.65) & (values < 1.25) | were_small).all()
    assert were_small.mean() < 0.1


@pytest.mark.parametrize("transposed", [False, True])
def test_a_layer_moves_by_an_orthogonal_matrix_times_a_scale(transposed):
    layer = nn.Dense(p=3, q=2, n=4, use_bias=False, transposed=transposed, key=KEY)
    found = step(MUON, layer, random_gradient).weight
    gradient = random_gradient(layer).weight
    assert_orthogonal(as_matrix(found) / (0.2 * np.sqrt(12)), as_matrix(gradient))
    # (3·4) inputs to (2·4) outputs, but stored as the other way round where transposed.
    rows, columns = (8, 12)
    by_width = step(dataclasses.replace(MUON, rms=None), layer, random_gradient).weight
    scale = np.sqrt(max(1, rows / columns))
    np.testing.assert_allclose(by_width, found / (0.2 * np.sqrt(12)) * scale, rtol=1e-4, atol=1e-6)


def test_a_neuron_at_each_place_of_a_kernel_moves_by_an_orthogonal_matrix_of_its_own():
    layer = nn.Conv1d(p=3, q=2, n=4, kernel=2, key=KEY)
    found = step(dataclasses.replace(MUON, block="neuron", rms=None), layer, random_gradient).weight
    assert_orthogonal(found, random_gradient(layer).weight)


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose1d])
def test_a_kernel_belongs_to_the_fan_in(kind):
    layer = kind(p=2, q=3, n=2, kernel=3, key=KEY)
    found, gradient = step(MUON, layer, random_gradient).weight, random_gradient(layer).weight
    assert gradient.shape[2] == 3
    assert_orthogonal(as_matrix(found) / (0.2 * np.sqrt(max(as_matrix(found).shape))), as_matrix(gradient))


@pytest.mark.parametrize("rms", [0.2, None])
def test_muon_of_1x1_neurons_equals_that_of_optax(behind_steps, rms):
    layer = nn.Dense(p=5, q=7, n=1, use_bias=False, key=KEY)
    muon = dataclasses.replace(MUON, rms=rms, learning_rate=0.1, weight_decay=0.3, momentum=0.9, iterations=4)
    ours = behind_steps(muon.build(10), layer)
    # Of inputs by outputs, as optax has a matrix.
    transposed = optax.contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=0)
    theirs = optax.contrib.muon(
        0.1,
        beta=0.9,
        ns_steps=4,
        weight_decay=0.3,
        consistent_rms=rms,
        muon_weight_dimension_numbers={"weight": transposed},
    )
    for found, due in zip(ours, behind_steps(theirs, {"weight": layer.weight[..., 0, 0]}), strict=True):
        np.testing.assert_allclose(found.weight[..., 0, 0], due["weight"], rtol=1e-5, atol=1e-6)


def test_the_scale_gives_entries_a_mean_square_that_sizes_do_not_change():
    layers = [nn.Dense(**sizes, key=KEY) for sizes in ({"p": 3, "q": 2, "n": 4}, {"p": 2, "q": 8, "n": 3})]
    for block in ("neuron", "layer"):
        for found in step(dataclasses.replace(MUON, block=block), layers, random_gradient):
            # As orthogonal as Newton–Schulz makes it: 0.2 to a quarter.
            assert np.sqrt(np.mean(np.square(found.weight))) == pytest.approx(0.2, rel=0.25)


def test_what_is_no_map_of_columns_goes_by_adam():
    @eqx.filter_eval_shape
    def model():
        return {
            "dense": nn.Dense(p=2, q=2, n=2, key=KEY),
            "cell": nn.GRUCell(p=2, q=2, n=2, key=KEY),
            "params": MatrixParams(jnp.ones((2, 1, 3, 2, 2)), jnp.ones((2, 2, 2))),
            "norm": nn.LayerNorm(p=2, n=2),
            "embedding": nn.Embedding(5, p=2, n=2, key=KEY),
            "head": nn.FlattenLinear(features=2, p=2, n=2, key=KEY),
            "conjugation": nn.ConjugationDense(p=2, q=2, n=2, key=KEY),
            "scalar": eqx.nn.Linear(2, 2, key=KEY),
        }

    parameters = eqx.filter(model, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))

    def by_muon(muon):
        """Of what the state holds one mean, and not Adam's two."""
        states = jax.eval_shape(muon.build(10).init, parameters)

        def is_state(node):
            return isinstance(node, MuonState | optax.ScaleByAdamState)

        ours, adams = (each.mu for each in jax.tree.leaves(states, is_leaf=is_state) if is_state(each))
        assert len(jax.tree.leaves((ours, adams))) == len(jax.tree.leaves(parameters))
        return {jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(ours)}

    maps = {"['dense'].weight", "['cell'].weight", "['params'].W"}
    assert by_muon(MUON) == maps
    assert by_muon(dataclasses.replace(MUON, by_adam=("['cell'].**",))) == maps - {"['cell'].weight"}


def test_what_goes_by_adam_goes_as_it_does():
    model = nn.Sequential([nn.Dense(p=2, q=2, n=2, key=KEY), nn.LayerNorm(p=2, n=2)])
    found, due = (step(each, model, random_gradient) for each in (MUON, Adam(1.0, clip=None, scheduler=Constant())))
    assert eqx.tree_equal(found.layers[1], due.layers[1], rtol=1e-6)
    assert eqx.tree_equal(found.layers[0].bias, due.layers[0].bias, rtol=1e-6)
    assert not np.allclose(found.layers[0].weight, due.layers[0].weight, rtol=0.1)


def test_the_layers_of_a_stack_are_matrices_of_their_own():
    keys = jax.random.split(KEY)
    stacked = eqx.filter_vmap(lambda key: nn.Dense(p=2, q=3, n=2, key=key))(keys)
    found, gradient = step(MUON, stacked, random_gradient).weight, random_gradient(stacked).weight
    for one, its in zip(found, gradient, strict=True):
        assert_orthogonal(as_matrix(one) / (0.2 * np.sqrt(6)), as_matrix(its))


def test_muon_works_through_wrappers_with_groups_and_where_leaves_are_none():
    dense = nn.Dense(p=2, q=2, n=2, key=KEY)
    base = nn.Constrained(nn.Sequential([dense, dense]), {"layers[1].weight": nn.Symmetric()})
    trainable = freeze(base, "model.layers[0].weight").trainable
    muon = dataclasses.replace(
        MUON, groups=(Group("**.bias", frozen=True), Group("model.layers[1].*", learning_rate=0.5))
    )
    found = step(muon, trainable, random_gradient).model
    assert found.layers[0].weight is found.layers[0].bias is found.layers[1].bias is None
    gradient = random_gradient(eqx.filter(trainable, eqx.is_inexact_array)).model.layers[1].weight
    assert_orthogonal(as_matrix(found.layers[1].weight) / (0.5 * 0.2 * 2), as_matrix(gradient))


def test_a_gradient_of_zero_moves_nothing():
    found = step(MUON, nn.Dense(p=2, q=2, n=2, key=KEY), lambda tree: jax.tree.map(jnp.zeros_like, tree))
    assert not np.any(found.weight)
    assert not np.any(found.bias)


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"momentum": 1.0}, r"`momentum` \(=1.0\) must be from 0 to below 1"),
        ({"block": "neurons"}, r"`Muon.block` is 'neurons', not one of 'neuron', 'layer'"),
        ({"iterations": 0}, r"`iterations` \(=0\) must be at least 1"),
        ({"rms": 0.0}, r"`rms` \(=0.0\) must be positive and finite"),
        ({"by_adam": ("a..b",)}, r"`pattern` \(='a..b'\) is not a path pattern"),
    ],
)
def test_settings_out_of_range_are_refused(setting, match):
    with pytest.raises(ValueError, match=match):
        Muon(**setting)


def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest_path():
    layer = nn.Dense(p=2, q=2, n=2, key=KEY)
    with pytest.raises(ValueError, match=r"`pattern` \(='wieght'\) matches no leaf: .* is 'weight'"):
        Muon(by_adam=("wieght",)).build(10).init(eqx.filter(layer, eqx.is_inexact_array))
