import jax.numpy as jnp
import numpy as np

from matrinox.bridge.gates import first_two_exchanged


def test_the_first_two_gates_are_exchanged_and_no_bias_stays_none():
    np.testing.assert_array_equal(first_two_exchanged(jnp.arange(6)), [2, 3, 0, 1, 4, 5])
    assert first_two_exchanged(None) is None
