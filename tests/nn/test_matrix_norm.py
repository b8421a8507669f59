import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError

X = np.random.default_rng(0).normal(size=(5, 2, 4, 4)).astype(np.float32)

LAYERS = {
    nn.FrobeniusNormalization: (functional.frobenius_normalize, "fro"),
    nn.SpectralNormalization: (functional.spectral_normalize, 2),
}
EACH = pytest.mark.parametrize("kind", LAYERS)


def test_normalizations_by_hand():
    x = jnp.array([[[3.0, 0.0], [0.0, 4.0]]])
    np.testing.assert_allclose(nn.FrobeniusNormalization(p=1, n=2)(x), [[[1.2, 0], [0, 1.6]]], rtol=1e-6)
    np.testing.assert_allclose(nn.SpectralNormalization(p=1, n=2)(x), [[[0.75, 0], [0, 1]]], rtol=1e-6)


@EACH
def test_normalizations_equal_float64_numpy(kind):
    layer = eqx.tree_at(lambda layer: layer.weight, kind(p=2, n=4), jnp.array([0.5, 3.0]))
    wide = X.astype(float)
    expected = np.array([0.5, 3.0])[:, None, None] * wide
    expected /= np.linalg.norm(wide, LAYERS[kind][1], axis=(-2, -1), keepdims=True)
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5, atol=1e-6)


@EACH
def test_normalizations_are_their_functional_twins(kind):
    layer = eqx.tree_at(lambda layer: layer.weight, kind(p=2, n=4, eps=100.0), jnp.array([0.5, 3.0]))
    np.testing.assert_array_equal(layer(X), LAYERS[kind][0](X, layer.weight, eps=100.0))


@EACH
def test_the_gain_is_of_the_default_float_and_gives_way_to_none(kind):
    weight = kind(p=2, n=4).weight
    assert (weight.dtype, weight.weak_type) == (jnp.float32, False)


@EACH
def test_normalizations_of_1x1_neurons_are_signs(kind):
    assert np.array_equal(kind(p=2, n=1)(jnp.array([3.0, -2.0])[:, None, None]).ravel(), [1, -1])


def test_entries_have_mean_square_1_behind_a_new_frobenius_normalization():
    y = nn.FrobeniusNormalization(p=2, n=4)(100 * X)
    np.testing.assert_allclose(np.mean(np.square(y), axis=(-2, -1)), 1, rtol=1e-5)


def test_no_vector_grows_behind_a_new_spectral_normalization():
    y, v = nn.SpectralNormalization(p=2, n=4)(100 * X), X[..., :1]
    assert (np.linalg.norm(y @ v, axis=-2) <= np.linalg.norm(v, axis=-2) * (1 + 1e-6)).all()


@EACH
def test_a_zero_neuron_stays_zero(kind):
    assert not kind(p=2, n=4)(jnp.zeros((2, 4, 4))).any()


@EACH
def test_normalizations_refuse_a_wrong_shape(kind):
    with pytest.raises(ContractError, match=rf"{kind.__name__}\(p=2, n=4\) got x .*axis -1 is 3, n is 4"):
        kind(p=2, n=4)(X[..., :3])
    with pytest.raises(ContractError, match=rf"{kind.__name__}\(p=2, n=4\) got x .*axis -3 is 1, p is 2"):
        kind(p=2, n=4)(X[:, :1])


@EACH
def test_normalizations_refuse_options_out_of_range(kind):
    with pytest.raises(ValueError, match=r"`p` \(=0\) must be at least 1"):
        kind(p=0, n=4)
    with pytest.raises(ValueError, match=r"`n` \(=0\) must be at least 1"):
        kind(p=2, n=0)
    with pytest.raises(ValueError, match=r"`eps` \(=-1\) must be positive and finite"):
        kind(p=2, n=4, eps=-1)
