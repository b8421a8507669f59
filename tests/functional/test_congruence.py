import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import bimap


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def positive(*shape, seed=0):
    x = draw(*shape, seed=seed)
    return x @ np.swapaxes(x, -1, -2) + 0.1 * np.eye(shape[-1])


def test_a_congruence_by_hand():
    w = jnp.array([[[[1.0, 2.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]])
    x = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[3.0, 1.0], [1.0, 2.0]]])
    # [[5, 2], [2, 1]] + [[2, 1], [1, 3]]
    assert bimap(w, x).tolist() == [[[7, 3], [3, 4]]]
    assert bimap(w, x, eps=0.5).tolist() == [[[7.5, 3], [3, 4.5]]]


def test_bimap_equals_numpy_and_takes_the_symmetric_part(x64):
    w, x = draw(3, 2, 4, 4), draw(5, 6, 2, 4, 4, seed=1)
    symmetric = (x + np.swapaxes(x, -1, -2)) / 2
    expected = np.einsum("qpij,...pjk,qplk->...qil", w, symmetric, w)
    y = bimap(w, x)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(bimap(w, x[1, 2]), expected[1, 2], rtol=1e-12, atol=1e-12)
    assert np.array_equal(y, np.swapaxes(y, -1, -2))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_positive_definite_neurons_give_such_and_weights_undo_a_congruence(x64, n):
    w, x, g = draw(3, 2, n, n), positive(5, 2, n, n, seed=1), draw(n, n, seed=n)
    y = bimap(w, x)
    assert np.linalg.eigvalsh(y).min() > 0
    np.testing.assert_allclose(bimap(w @ np.linalg.inv(g), g @ x @ g.T), y, rtol=1e-9, atol=1e-9)
    # And a congruence of what comes out is one of the weights.
    np.testing.assert_allclose(bimap(g @ w, x), g @ y @ g.T, rtol=1e-9, atol=1e-9)


def test_bimap_of_half_precision_sums_in_single_precision():
    w, x = jnp.ones((1, 1024, 1, 1), jnp.bfloat16), jnp.ones((1024, 1, 1), jnp.bfloat16)
    y = bimap(w, x)
    assert (y.dtype, y.tolist()) == (jnp.bfloat16, [[[1024]]])


def test_bimap_refuses_what_does_not_fit():
    w, x = jnp.ones((3, 2, 4, 4)), jnp.ones((2, 4, 4))
    with pytest.raises(ContractError, match=r"bimap got x float32\[3, 4, 4\].*axis -3 is 3, p is 2"):
        bimap(w, jnp.ones((3, 4, 4)))
    for eps in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=rf"`eps` \(={eps}\) must be finite and not negative: choose 0 or"):
            bimap(w, x, eps=eps)
    with pytest.raises(ValueError, match="did you mean 'high'"):
        bimap(w, x, precision="hihg")
