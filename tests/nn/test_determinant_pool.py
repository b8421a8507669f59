import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn

KEY = jax.random.key(0)

X = jnp.stack([jnp.diag(jnp.array(entries)) for entries in [(2.0, 8.0), (-4.0, 1.0), (3.0, 3.0)]])[:, None]


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.MaxdPool1d(2), X[:1]),
        (nn.MaxdPool1d(2, 1), X[jnp.array([0, 2])]),
        (nn.MaxdPool1d(2, 1, ((0, 1),)), X[jnp.array([0, 2, 2])]),
        (nn.MaxdPool1d(2, 1, dilation=2), X[:1]),
        (nn.MaxdPool1d(2, 1, input_dilation=2), X[jnp.array([0, 1, 1, 2])]),
        (nn.AvgdPool1d(3), (X[0] / 4 - X[1] / 2 + X[2] / 3)[None]),
        (nn.AvgdPool1d(2, 2, ((1, 0),)), jnp.stack([X[0] / 4, X[2] / 3 - X[1] / 2])),
    ],
)
def test_determinant_pools_by_hand(layer, expected):
    np.testing.assert_allclose(layer(X), expected, rtol=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_highest_determinant_is_the_largest_entry_when_n_is_1(axes):
    x = drawn(KEY, (2, *(5, 4, 3)[:axes], 2, 1, 1), float)
    ours, twin = getattr(nn, f"MaxdPool{axes}d"), getattr(nn, f"MaxPool{axes}d")
    y, expected = jax.jit(lambda x: [pool(3, 1, "SAME")(x) for pool in (ours, twin)])(x)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_sum_over_roots_does_not_see_positive_scales(axes):
    x = np.eye(3) + drawn(KEY, (*(4,) * axes, 1, 3, 3), float)
    scale = 1 + np.arange(4.0**axes).reshape(*(4,) * axes, 1, 1, 1)
    pool = jax.jit(getattr(nn, f"AvgdPool{axes}d")(2))
    np.testing.assert_allclose(pool(scale * x), pool(x), rtol=1e-4, atol=1e-5)


def test_a_window_without_a_matrix_is_refused():
    with pytest.raises(ValueError, match="must meet an entry of `x` wherever it stops"):
        nn.MaxdPool1d(1, input_dilation=2)(X)
