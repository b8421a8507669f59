import jax.numpy as jnp
import numpy as np

from matrinox.functional.decomposition import singular_values, svd


def test_what_is_decomposed_is_the_product_of_its_parts():
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    left, values, right = svd(jnp.asarray(x))
    np.testing.assert_allclose((left * values[..., None, :]) @ right, x, atol=1e-5)
    np.testing.assert_allclose(values, np.linalg.svd(x, compute_uv=False), rtol=1e-5)


def test_a_matrix_that_is_not_finite_gives_nan_and_leaves_the_others_alone():
    x = jnp.stack([jnp.eye(3), *(jnp.ones((3, 3)).at[0, 1].set(value) for value in (jnp.inf, -jnp.inf, jnp.nan))])
    for values in (svd(x).values, singular_values(x)):
        np.testing.assert_allclose(values[0], 1, rtol=1e-6)
        assert np.isnan(values[1:]).all()
