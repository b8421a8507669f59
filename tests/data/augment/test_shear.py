from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from matrinox.contract import ContractError
from matrinox.data import Shear, shear_images

KEY = jax.random.key(0)
sheared = jax.jit(shear_images, static_argnames=("slope", "pixels"))


def draw(*shape):
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def test_nothing_moves_an_image_by_nothing():
    images = draw(3, 5, 4, 2)
    assert jnp.array_equal(sheared(KEY, images, slope=0.0, pixels=0.0), images)


def test_rows_and_then_columns_are_interpolated_between_pixels():
    """SciPy's linear interpolation at the places that the two draws of an image say, one axis behind the other."""
    images = draw(2, 9, 7, 1)
    got = sheared(KEY, images, slope=0.3, pixels=1.5)
    rows, columns = np.meshgrid(np.arange(9.0), np.arange(7.0), indexing="ij")
    keys = jax.random.split(KEY)
    for index in range(2):
        (a, s), (b, t) = (
            jax.random.uniform(key, (2, 2, 1, 1, 1), minval=-1, maxval=1)[:, index].ravel() for key in keys
        )
        wide = np.pad(images[index, ..., 0], 20)
        sample = partial(map_coordinates, order=1, mode="constant", prefilter=False)
        along = sample(wide, [rows + 20, columns + 20 - (0.3 * a * (rows - 4) + 1.5 * s)])
        down = sample(np.pad(along, 20), [rows + 20 - (0.3 * b * (columns - 3) + 1.5 * t), columns + 20])
        np.testing.assert_allclose(got[index, ..., 0], down, atol=1e-5)


def test_each_image_has_draws_of_its_own_whatever_its_leading_axes():
    same = np.broadcast_to(draw(6, 6, 1), (2, 2, 6, 6, 1))
    got = sheared(KEY, same)
    assert got.shape == same.shape
    assert len(np.unique(np.asarray(got).reshape(4, -1), axis=0)) == 4
    assert jnp.array_equal(Shear()(KEY, same), shear_images(KEY, same))


def test_half_precision_stays():
    images = jnp.asarray(draw(2, 5, 5, 1), jnp.bfloat16)
    got = sheared(KEY, images)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(float), sheared(KEY, images.astype(jnp.float32)), atol=0.01)


def test_what_moves_further_than_an_image_is_long_leaves_nothing_of_it():
    assert not np.any(sheared(KEY, draw(3, 5, 4, 1), pixels=1e6))


@pytest.mark.parametrize("name", ["slope", "pixels"])
@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan")])
def test_moves_that_are_none_are_refused(name, value):
    for make in (partial(shear_images, KEY, draw(2, 2, 1)), Shear):
        with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) must be 0 or more, and finite"):
            make(**{name: value})


def test_what_is_no_image_is_refused():
    for function in (shear_images, Shear()):
        with pytest.raises(ContractError, match="at least 3 are due"):
            function(KEY, draw(4, 4))
