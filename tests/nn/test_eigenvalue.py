import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError

LAYERS = {"ReEig": (nn.ReEig, functional.reeig), "LogEig": (nn.LogEig, functional.logeig)}
EACH = pytest.mark.parametrize("name", LAYERS)


def test_layers_of_eigenvalues_by_hand():
    # Eigenvalues 3 and −1, of (1, 1) and (1, −1).
    x = jnp.array([[[1.0, 2.0], [2.0, 1.0]]])
    np.testing.assert_allclose(nn.ReEig(1.0)(x), [[[2, 1], [1, 2]]], rtol=1e-6)
    np.testing.assert_allclose(nn.LogEig(1.0)(x), np.full((1, 2, 2), np.log(3) / 2), rtol=1e-5)


@EACH
def test_layers_of_eigenvalues_are_their_functional_twins(name):
    layer, function = LAYERS[name]
    x = np.random.default_rng(0).normal(size=(5, 2, 3, 3)).astype(np.float32)
    assert np.array_equal(layer()(x), function(x))
    assert np.array_equal(layer(eps=0.5)(x), function(x, 0.5))


@EACH
def test_layers_of_eigenvalues_refuse_what_does_not_fit(name):
    layer, _ = LAYERS[name]
    with pytest.raises(ValueError, match=r"`eps` \(=0.0\) must be positive and finite"):
        layer(0.0)
    with pytest.raises(ContractError, match=rf"{name}.* got x float32\[2, 4, 5\].*axis -1 is 5, n is 4"):
        layer()(jnp.ones((2, 4, 5)))
