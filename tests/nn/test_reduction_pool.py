import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.functional import Reduction

KEY = jax.random.key(0)

SEQUENCE = jnp.array([1.0, 5.0, 2.0, -4.0]).reshape(4, 1, 1, 1)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Pool1d(jnp.min, 2), [1.0, -4.0]),
        (nn.Pool1d(jnp.median, 3, 1), [2.0, 2.0]),
        (nn.Pool1d(jnp.multiply.reduce, 2), [5.0, -8.0]),
        (nn.Pool1d(Reduction(lax.max, 0.0), 2, 1, "SAME"), [5.0, 5.0, 2.0, 0.0]),
        (nn.Pool1d(jnp.min, 2, 2, ((1, 1),), fill=jnp.inf), [1.0, 2.0, -4.0]),
        (nn.Pool1d(jnp.sum, 2, dilation=2, stride=1), [3.0, 1.0]),
        (nn.Pool1d(jnp.sum, 3, input_dilation=2, fill=0.5), [6.5, 3.0]),
    ],
    ids=["smallest", "median", "product", "binary", "padded", "dilated", "spread"],
)
def test_pools_by_any_reduction_by_hand(layer, expected):
    np.testing.assert_allclose(layer(SEQUENCE).ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pools_by_any_reduction_equal_eqx_pools_when_n_is_1(axes):
    x = drawn(KEY, (*(5, 4, 4)[:axes], 3), float)
    twin = eqx.nn.Pool(jnp.inf, lax.min, axes, kernel_size=3, stride=2, padding=1)
    pool = getattr(nn, f"Pool{axes}d")(jnp.min, 3, 2, 1, fill=jnp.inf)
    ours, expected = jax.jit(lambda x: (pool(x[..., None, None]), twin(jnp.moveaxis(x, -1, 0))))(x)
    np.testing.assert_array_equal(ours[..., 0, 0], np.moveaxis(expected, 0, -1))


class Weighted(eqx.Module):
    weight: jax.Array

    def __call__(self, windows, axis):
        return jnp.tensordot(self.weight, windows, (0, axis))


def test_a_reduction_that_is_a_module_trains():
    layer = nn.Pool1d(Weighted(jnp.array([0.25, 0.75])), 2)
    np.testing.assert_allclose(layer(SEQUENCE).ravel(), [4.0, -2.5])
    gradient = eqx.filter_grad(lambda layer: jnp.sum(layer(SEQUENCE)))(layer)
    np.testing.assert_allclose(gradient.reduce_fn.weight, [3.0, 1.0])


def test_what_is_no_reduction_is_refused():
    with pytest.raises(ContractError, match=r"Pool1d got reduce_fn as 3 \(int\)"):
        nn.Pool1d(3, 2)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"`fill` .*must say what padding"):
        nn.Pool1d(jnp.sum, 2, padding="SAME")(SEQUENCE)
    with pytest.raises(ValueError, match=r"`reduce_fn` \(=<lambda>\) must reduce the axis it is given"):
        nn.Pool1d(lambda x, axis: x, 2)(SEQUENCE)
