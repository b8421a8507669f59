import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.nn import Bias, Scaler

SHAPES = {"entry": (2, 3, 3), "row": (2, 3, 1), "column": (2, 1, 3), "neuron": (2, 1, 1), "matrix": (1, 3, 3)}
EDITED = {"entry": (5, 4, 4), "row": (5, 4, 1), "column": (5, 1, 4), "neuron": (5, 1, 1), "matrix": (1, 4, 4)}
every_per = pytest.mark.parametrize("per", SHAPES)


def normal(key, shape, dtype):
    return jax.random.normal(key, shape, dtype)


def test_bias_adds_and_scaler_multiplies_entry_by_entry():
    x = jnp.array([[[1.0, 2.0], [3.0, 4.0]]])
    numbers = jnp.array([[[10.0, 20.0], [0.0, -1.0]]])
    bias = eqx.tree_at(lambda layer: layer.bias, Bias(p=1, n=2), numbers)
    scaler = eqx.tree_at(lambda layer: layer.weight, Scaler(p=1, n=2), numbers)
    assert np.array_equal(bias(x), [[[11.0, 22.0], [3.0, 3.0]]])
    assert np.array_equal(scaler(x), [[[10.0, 40.0], [0.0, -4.0]]])


def test_a_number_for_each_neuron_reaches_its_whole_matrix():
    x = jnp.ones((2, 2, 2))
    numbers = jnp.array([2.0, 3.0])[:, None, None]
    bias = eqx.tree_at(lambda layer: layer.bias, Bias(p=2, n=2, per="neuron"), numbers)
    scaler = eqx.tree_at(lambda layer: layer.weight, Scaler(p=2, n=2, per="neuron"), numbers)
    assert np.array_equal(bias(x), [np.full((2, 2), 3.0), np.full((2, 2), 4.0)])
    assert np.array_equal(scaler(x), [np.full((2, 2), 2.0), np.full((2, 2), 3.0)])


@every_per
def test_bias_and_scaler_equal_float64_numpy(per, x64):
    bias = Bias(p=2, n=3, per=per, initializer=normal, key=jax.random.key(0))
    scaler = Scaler(p=2, n=3, per=per, initializer=normal, key=jax.random.key(0))
    assert bias.bias.shape == scaler.weight.shape == SHAPES[per]
    x = np.random.default_rng(0).normal(size=(5, 2, 3, 3))
    np.testing.assert_allclose(bias(x), x + np.broadcast_to(bias.bias, (2, 3, 3)), rtol=1e-12)
    np.testing.assert_allclose(scaler(x), x * np.broadcast_to(scaler.weight, (2, 3, 3)), rtol=1e-12)


@every_per
def test_bias_and_scaler_start_as_the_identity(per):
    x = jax.random.normal(jax.random.key(0), (2, 3, 3))
    assert np.array_equal(Bias(p=2, n=3, per=per)(x), x)
    assert np.array_equal(Scaler(p=2, n=3, per=per)(x), x)


def test_scaler_and_bias_equal_a_scalar_affine_map_when_n_is_1():
    x = jax.random.normal(jax.random.key(0), (7, 5))
    theirs = eqx.nn.LayerNorm(5)
    new = (jax.random.normal(jax.random.key(1), (5,)), jax.random.normal(jax.random.key(2), (5,)))
    theirs = eqx.tree_at(lambda norm: (norm.weight, norm.bias), theirs, new)
    scaler = eqx.tree_at(lambda layer: layer.weight, Scaler(p=5, n=1), new[0][:, None, None])
    bias = eqx.tree_at(lambda layer: layer.bias, Bias(p=5, n=1), new[1][:, None, None])
    plain = jax.vmap(eqx.nn.LayerNorm(5, use_weight=False, use_bias=False))(x)
    np.testing.assert_allclose(
        bias(scaler(plain[..., None, None]))[..., 0, 0], jax.vmap(theirs)(x), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("layer", [Bias, Scaler])
def test_the_initializer_makes_the_numbers(layer):
    key = jax.random.key(0)
    (numbers,) = jax.tree.leaves(layer(p=2, n=3, per="row", initializer=normal, dtype=jnp.bfloat16, key=key))
    assert np.array_equal(numbers, jax.random.normal(key, (2, 3, 1), jnp.bfloat16))


@pytest.mark.parametrize("layer", [Bias, Scaler])
def test_the_dtype_is_that_of_the_numbers(layer):
    half = layer(p=2, n=3, dtype=jnp.bfloat16)
    assert half(jnp.ones((2, 3, 3), jnp.bfloat16)).dtype == jnp.bfloat16
    for built in (layer(p=2, n=3), layer(p=2, n=3, initializer=normal, key=jax.random.key(0))):
        (numbers,) = jax.tree.leaves(built)
        # Weakly typed ones would give way to any input, and be compiled for anew once they are trained.
        assert (numbers.dtype, numbers.weak_type) == (jnp.float32, False)


@every_per
def test_the_sizes_are_those_of_edited_numbers_where_they_tell(per):
    layer = eqx.tree_at(lambda layer: layer.bias, Bias(p=2, n=3, per=per), jnp.ones(EDITED[per]))
    assert (layer.p, layer.n) == (2 if per == "matrix" else 5, 3 if per == "neuron" else 4)
    assert layer(jnp.ones((layer.p, layer.n, layer.n))).shape == (layer.p, layer.n, layer.n)


@pytest.mark.parametrize("layer", [Bias, Scaler])
def test_an_initializer_needs_a_key(layer):
    with pytest.raises(ValueError, match=r"`key` \(=None\) is needed by `initializer`: pass a key"):
        layer(p=2, n=3, initializer=normal)


@pytest.mark.parametrize("layer", [Bias, Scaler])
@pytest.mark.parametrize("size", ["p", "n"])
def test_a_size_below_1_is_refused(layer, size):
    with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1"):
        layer(**{"p": 2, "n": 3, size: 0})


@pytest.mark.parametrize("layer", [Bias, Scaler])
def test_what_has_no_numbers_is_refused(layer):
    with pytest.raises(ContractError, match=rf"{layer.__name__} got per .*nueron"):
        layer(p=2, n=3, per="nueron")


@pytest.mark.parametrize("layer", [Bias, Scaler])
@every_per
def test_a_wrong_shape_is_refused_however_the_numbers_broadcast(layer, per):
    built = layer(p=2, n=3, per=per)
    for shape, fact in (((2, 4, 4), "axis -2 is 4, n is 3"), ((5, 3, 3), "axis -3 is 5, p is 2")):
        with pytest.raises(ContractError, match=rf"{layer.__name__}\(p=2, n=3\) got x .*{fact}"):
            built(jnp.ones(shape))


def test_numbers_of_another_shape_are_refused():
    with pytest.raises(ContractError, match=r"bias float32\[2, 3, 2\].*axis 1 is 3, n is 2"):
        Bias(p=2, n=3, initializer=lambda key, shape, dtype: jnp.zeros((2, 3, 2)), key=jax.random.key(0))
