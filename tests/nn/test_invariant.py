import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError

READOUTS = {
    "TracePowers": (nn.TracePowers(3), lambda x: functional.trace_powers(x, 3)),
    "TracePowers, scaled": (nn.TracePowers(scaled=True), lambda x: functional.trace_powers(x, scaled=True)),
    "CharacteristicPolynomial": (nn.CharacteristicPolynomial(), functional.characteristic_polynomial),
    "DeterminantRatios": (nn.DeterminantRatios(), functional.determinant_ratios),
}


def test_invariant_readouts_by_hand():
    x = jnp.array([[[3.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [2.0, 0.0]]])
    assert nn.TracePowers()(x).tolist() == [4, 10, 0, 8]
    assert nn.TracePowers(1)(x).tolist() == [4, 0]
    assert nn.CharacteristicPolynomial()(x).tolist() == [-4, 3, 0, -4]
    np.testing.assert_allclose(nn.DeterminantRatios()(x), [0.6, -0.8], rtol=1e-6)


@pytest.mark.parametrize("name", READOUTS)
def test_invariant_readouts_are_their_functional_twins_neuron_by_neuron(name):
    layer, function = READOUTS[name]
    x = np.random.default_rng(0).normal(size=(5, 2, 3, 4, 4)).astype(np.float32)
    assert np.array_equal(layer(x), function(x).reshape(5, 2, -1))
    assert layer(x[:0]).shape == (0, *layer(x).shape[1:])
    with pytest.raises(ContractError, match=rf"{type(layer).__name__} got x float32\[2, 4, 5\].*axis -1 is 5, n is 4"):
        layer(jnp.ones((2, 4, 5)))


def test_no_power_is_refused():
    with pytest.raises(ValueError, match=r"`powers` \(=0\) must be at least 1"):
        nn.TracePowers(0)
