import re

import equinox as eqx
import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import adjoint, dense
from matrinox.initializers import glorot_uniform, identity_plus_noise
from matrinox.nn import Dense
from matrinox.params import MatrixParams


@pytest.fixture
def layer():
    built = Dense(p=2, q=3, n=4, key=jax.random.key(0))
    bias = jax.random.normal(jax.random.key(1), (3, 4, 4))
    return eqx.tree_at(lambda layer: layer.bias, built, bias)


def test_dense_sums_the_products_and_adds_the_bias():
    layer = Dense(p=2, q=1, n=2, key=jax.random.key(0))
    weight = jnp.array([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]]])
    layer = eqx.tree_at(
        lambda layer: (layer.weight, layer.bias), layer, (weight, jnp.array([[[10.0, 0.0], [0.0, 20.0]]]))
    )
    x = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[5.0, 6.0], [7.0, 8.0]]])
    # [[1, 2], [3, 4]] @ I + [[7, 8], [5, 6]] (the rows of x exchanged) + [[10, 0], [0, 20]]
    assert np.array_equal(layer(x), [[[18.0, 10.0], [8.0, 30.0]]])


def test_dense_equals_eqx_linear_when_n_is_1():
    theirs = eqx.nn.Linear(5, 3, key=jax.random.key(0))
    ours = Dense(p=5, q=3, n=1, key=jax.random.key(1))
    new = (theirs.weight[..., None, None], theirs.bias[..., None, None])
    ours = eqx.tree_at(lambda layer: (layer.weight, layer.bias), ours, new)
    x = jax.random.normal(jax.random.key(2), (7, 5))
    np.testing.assert_allclose(ours(x[..., None, None])[..., 0, 0], jax.vmap(theirs)(x), rtol=1e-6, atol=1e-6)


def test_dense_equals_matnets(layer):
    x = jax.random.normal(jax.random.key(2), (2, 4, 4))
    theirs = matnets.dense(matnets.MatrixParams(W=layer.weight, B=layer.bias), x)
    np.testing.assert_allclose(layer(x), theirs, rtol=1e-5, atol=1e-6)


def test_dense_equals_float64_numpy(layer, x64):
    wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), layer)
    x = np.random.default_rng(0).normal(size=(5, 2, 4, 4))
    expected = [sum(np.asarray(wide.weight)[:, p] @ example[p] for p in range(2)) + wide.bias for example in x]
    np.testing.assert_allclose(wide(x), expected, rtol=1e-12)


def test_dense_is_its_functional_twin(layer):
    x = jax.random.normal(jax.random.key(2), (2, 4, 4))
    assert np.array_equal(layer(x), dense(layer.params, x))


def test_dense_knows_its_sizes(layer):
    assert (layer.p, layer.q, layer.n) == (2, 3, 4)
    assert layer.params.W is layer.weight
    assert layer.params.B is layer.bias


def test_sizes_of_an_edited_layer_are_those_of_its_weight(layer):
    edited = eqx.tree_at(
        lambda layer: (layer.weight, layer.bias), layer, (layer.weight[:, :1, :2, :2], layer.bias[:, :2, :2])
    )
    assert (edited.p, edited.q, edited.n) == (1, 3, 2)
    assert edited(jnp.ones((1, 2, 2))).shape == (3, 2, 2)


def test_sizes_of_stacked_layers_are_those_of_each():
    keys = jax.random.split(jax.random.key(0), 5)
    layers = eqx.filter_vmap(lambda key: Dense(p=2, q=3, n=4, key=key))(keys)
    assert layers.weight.shape == (5, 3, 2, 4, 4)
    assert (layers.p, layers.q, layers.n) == (2, 3, 4)
    y = eqx.filter_vmap(lambda layer, x: layer(x), in_axes=(0, None))(layers, jnp.ones((2, 4, 4)))
    assert y.shape == (5, 3, 4, 4)
    np.testing.assert_allclose(y[3], Dense(p=2, q=3, n=4, key=keys[3])(jnp.ones((2, 4, 4))), rtol=1e-6)


def test_dense_without_bias_has_none():
    layer = Dense(p=2, q=3, n=4, use_bias=False, key=jax.random.key(0))
    assert layer.bias is None
    assert not np.any(layer(jnp.zeros((2, 4, 4))))


def test_a_bias_starts_at_zero():
    layer = Dense(p=2, q=3, n=4, key=jax.random.key(0))
    assert layer.bias.shape == (3, 4, 4)
    assert not np.any(layer.bias)


def test_the_initializer_makes_the_weight():
    key = jax.random.key(0)
    layer = Dense(p=2, q=3, n=4, initializer=glorot_uniform, key=key)
    assert np.array_equal(layer.weight, glorot_uniform(key, (3, 2, 4, 4)))
    passing = Dense(p=2, q=2, n=4, initializer=identity_plus_noise(0.0), key=key)
    x = jax.random.normal(key, (2, 4, 4))
    assert np.array_equal(passing(x), x)


def test_the_default_weight_keeps_the_variance_of_the_entries():
    layer = Dense(p=64, q=64, n=4, key=jax.random.key(0))
    y = layer(jax.random.normal(jax.random.key(1), (64, 64, 4, 4)))
    assert float(jnp.var(y)) == pytest.approx(1.0, rel=0.05)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, "float32"])
def test_the_dtype_is_that_of_weight_and_bias(dtype):
    layer = Dense(p=2, q=3, n=4, dtype=dtype, key=jax.random.key(0))
    assert layer.weight.dtype == layer.bias.dtype == jnp.dtype(dtype)
    assert layer(jnp.ones((2, 4, 4), dtype)).dtype == jnp.dtype(dtype)


@pytest.mark.parametrize("size", ["p", "q", "n"])
def test_a_size_below_1_is_refused(size):
    sizes = {"p": 2, "q": 3, "n": 4, size: 0}
    with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1: choose a positive number"):
        Dense(**sizes, key=jax.random.key(0))


def test_a_key_is_needed():
    with pytest.raises(TypeError, match="key"):
        Dense(p=2, q=3, n=4)


def test_an_initializer_of_the_wrong_shape_is_refused():
    with pytest.raises(ContractError, match=r"weight float32\[3, 2, 4\]"):
        Dense(p=2, q=3, n=4, initializer=lambda key, shape, dtype: jnp.zeros(shape[:-1]), key=jax.random.key(0))


def test_dense_refuses_swapped_p_and_q(layer):
    with pytest.raises(ContractError, match=r"Dense\(p=2, q=3, n=4\) got x float32\[3, 4, 4\].*axis -3 is 3, p is 2"):
        layer(jnp.ones((3, 4, 4)))


def test_dense_refuses_a_wrong_n_and_a_missing_neuron_axis(layer):
    with pytest.raises(ContractError, match="axis -1 is 5, n is 4"):
        layer(jnp.ones((2, 4, 5)))
    with pytest.raises(ContractError, match="it has 2 axes, at least 3 are due"):
        layer(jnp.ones((4, 4)))


@pytest.fixture
def decoder(layer):
    ones = jax.nn.initializers.ones
    built = Dense(p=3, q=2, n=4, transposed=True, initializer=ones, key=jax.random.key(3))
    bias = jax.random.normal(jax.random.key(4), (2, 4, 4))
    return eqx.tree_at(lambda decoder: (decoder.weight, decoder.bias), built, (layer.weight, bias))


def test_a_transposed_layer_is_the_adjoint_of_the_layer_whose_weight_it_shares(layer, decoder, x64):
    layer, decoder = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (layer, decoder))
    x, y = np.random.default_rng(0).normal(size=(2, 4, 4)), np.random.default_rng(1).normal(size=(3, 4, 4))
    assert np.vdot(layer(x) - layer.bias, y) == pytest.approx(np.vdot(x, decoder(y) - decoder.bias), rel=1e-12)


def test_a_transposed_layer_equals_float64_numpy(decoder, x64):
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), decoder)
    x = np.random.default_rng(0).normal(size=(5, 3, 4, 4))
    expected = np.einsum("pqka,bpkc->bqac", np.asarray(wide.weight), x) + wide.bias
    np.testing.assert_allclose(wide(x), expected, rtol=1e-12)


def test_a_transposed_layer_is_the_transposed_kernel_when_n_is_1():
    theirs = eqx.nn.Linear(5, 3, use_bias=False, key=jax.random.key(0))
    ours = Dense(p=3, q=5, n=1, use_bias=False, transposed=True, key=jax.random.key(1))
    ours = eqx.tree_at(lambda layer: layer.weight, ours, theirs.weight[..., None, None])
    x = jax.random.normal(jax.random.key(2), (7, 3))
    np.testing.assert_allclose(ours(x[..., None, None])[..., 0, 0], x @ theirs.weight, rtol=1e-6, atol=1e-6)


def test_sizes_of_a_transposed_layer_are_those_of_input_and_output(decoder):
    assert decoder.weight.shape == (3, 2, 4, 4)
    assert decoder.bias.shape == (2, 4, 4)
    assert (decoder.p, decoder.q, decoder.n) == (3, 2, 4)
    with pytest.raises(ContractError, match=r"Dense\(p=3, q=2, n=4\) got x .*axis -3 is 2, p is 3. p and q are"):
        decoder(jnp.ones((2, 4, 4)))


def test_params_of_a_transposed_layer_are_those_of_the_map_it_applies(decoder):
    x = jax.random.normal(jax.random.key(5), (3, 4, 4))
    assert (decoder.params.p, decoder.params.q) == (3, 2)
    assert np.array_equal(dense(decoder.params, x), decoder(x))
    linear = eqx.tree_at(lambda decoder: decoder.bias, decoder, None)
    shared = dense(MatrixParams(adjoint(decoder.weight)), x)
    np.testing.assert_allclose(shared, linear(x), rtol=1e-6)


def test_a_stacked_transposed_layer_knows_its_sizes(decoder):
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), decoder)
    assert (stacked.p, stacked.q, stacked.n) == (3, 2, 4)


def test_the_default_weight_of_a_transposed_layer_keeps_the_variance_of_the_entries():
    layer = Dense(p=128, q=32, n=4, transposed=True, key=jax.random.key(0))
    y = layer(np.random.default_rng(1).normal(size=(64, 128, 4, 4)).astype(np.float32))
    assert float(jnp.var(y)) == pytest.approx(1.0, rel=0.05)


def test_the_initializer_of_a_transposed_layer_makes_the_map_it_applies():
    key = jax.random.key(0)
    layer = Dense(p=2, q=3, n=4, transposed=True, initializer=glorot_uniform, key=key)
    assert np.array_equal(layer.params.W, glorot_uniform(key, (3, 2, 4, 4)))


def test_a_bias_of_another_size_is_refused_in_a_transposed_layer():
    class Wrong(Dense):
        def __init__(self):
            super().__init__(p=3, q=2, n=4, transposed=True, key=jax.random.key(0))
            self.bias = jnp.zeros((3, 4, 4))

    with pytest.raises(ContractError, match=r"bias float32\[3, 4, 4\].*axis 0 is 3, q is 2"):
        Wrong()


def test_precision_and_accumulation_dtype_reach_the_product():
    layer = Dense(
        p=2, q=3, n=4, dtype=jnp.bfloat16, precision="highest", accumulation_dtype=jnp.float32, key=jax.random.key(0)
    )
    assert (layer.precision, layer.accumulation_dtype) == ("highest", np.dtype("float32"))
    x = jnp.ones((2, 4, 4), jnp.bfloat16)
    text = jax.jit(lambda x: layer(x)).lower(x).as_text()
    assert re.search(r"dot_general.*\[HIGHEST, HIGHEST\].*bf16>\) -> tensor<[^>]*xf32>", text)
    assert eqx.filter_jit(layer)(x).dtype == jnp.bfloat16


def test_an_unknown_precision_and_sums_of_integers_are_refused():
    with pytest.raises(ValueError, match=r"`precision` \(='hihg'\).*did you mean 'high'"):
        Dense(p=2, q=3, n=4, precision="hihg", key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"`accumulation_dtype` \(=int32\) must be a float dtype"):
        Dense(p=2, q=3, n=4, accumulation_dtype=jnp.int32, key=jax.random.key(0))
    layer = Dense(p=2, q=3, n=4, accumulation_dtype=jnp.bfloat16, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"`accumulation_dtype` \(=bfloat16\) must hold what is summed, of float32"):
        layer(jnp.ones((2, 4, 4)))


def test_layers_that_differ_in_the_dtype_of_their_sums_are_compiled_apart(x64):
    # NumPy's float64 equals None.
    options = {"p": 2, "q": 2, "n": 2, "dtype": "float32", "key": jax.random.key(0)}
    layers = [Dense(**options), Dense(**options, accumulation_dtype="float64")]
    assert [layer.accumulation_dtype for layer in layers] == [None, "float64"]
    assert jax.tree.structure(layers[0]) != jax.tree.structure(layers[1])
