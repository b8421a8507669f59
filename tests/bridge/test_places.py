import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from matrinox import nn
from matrinox.bridge.places import ByEntries, EachPlace, RavelPlaces, Rearranged, over_places, ravel_channels_last


def test_a_layer_at_each_place_is_a_convolution_of_one_place(draw):
    linear, x = eqx.nn.Linear(2, 3, key=jax.random.key(0)), draw(2, 4, 5)
    y = EachPlace(linear)(x)
    assert y.shape == (3, 4, 5)
    np.testing.assert_allclose(y[:, 1, 2], linear(x[:, 1, 2]), rtol=1e-6)


def test_a_rearranging_layer_moves_features(draw):
    x = draw(2, 3, 2, 2)
    features = jnp.moveaxis(x.reshape(2, 3, 4), 0, -1).reshape(12, 2)
    np.testing.assert_allclose(Rearranged(nn.Trace(), 2, False)(features), nn.Trace()(x).T, rtol=1e-6)
    turned = Rearranged(jnp.matrix_transpose, 2, True)(features)
    np.testing.assert_array_equal(turned[:, 1], jnp.matrix_transpose(x)[1].ravel())


def test_entries_are_treated_whatever_the_shape(draw):
    x = draw(3, 5)
    np.testing.assert_array_equal(ByEntries(nn.ReLU())(x), jax.nn.relu(x))


def test_places_are_raveled_in_the_order_of_the_other_side(draw):
    x = draw(3, 4, 5)
    ours = jnp.moveaxis(x, 0, -1)[None, ..., None, None]
    np.testing.assert_array_equal(RavelPlaces(2)(ours)[0, :, 0, 0], x.ravel())
    np.testing.assert_array_equal(ravel_channels_last(x), ours.ravel())


def test_reductions_run_over_all_places(draw):
    x = draw(3, 4, 5)
    np.testing.assert_allclose(over_places(x, reduce=jnp.mean), x.mean((1, 2)), rtol=1e-5)
