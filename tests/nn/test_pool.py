import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError

KEY = jax.random.key(0)

POOLS = {(name, axes): getattr(nn, f"{name}Pool{axes}d") for name in ("Max", "Avg", "Sum") for axes in (1, 2, 3)}
SEQUENCE = jnp.array([1.0, 5.0, 2.0, -4.0, 0.0]).reshape(5, 1, 1, 1)

every_pool = pytest.mark.parametrize(("name", "axes"), POOLS)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.MaxPool1d(2), [5.0, 2.0]),
        (nn.AvgPool1d(2), [3.0, -1.0]),
        (nn.SumPool1d(2), [6.0, -2.0]),
        (nn.MaxPool1d(2, stride=1), [5.0, 5.0, 2.0, 0.0]),
        (nn.SumPool1d(3, stride=2), [8.0, -2.0]),
        (nn.MaxPool1d(3, 3, "SAME"), [5.0, 2.0]),
        (nn.SumPool1d(2, 2, ((1, 0),)), [1.0, 7.0, -4.0]),
        (nn.MaxPool1d(2, 1, dilation=3), [1.0, 5.0]),
        (nn.MaxPool1d(2, 3, input_dilation=2), [1.0, 2.0, -4.0]),
        (nn.SumPool1d(3, 2, input_dilation=2), [6.0, 7.0, -2.0, -4.0]),
    ],
    ids=str,
)
def test_pools_of_a_sequence_by_hand(layer, expected):
    assert np.array_equal(layer(SEQUENCE)[:, 0, 0, 0], expected)


@pytest.mark.parametrize("stride", [None, 1])
@pytest.mark.parametrize(("name", "axes"), [key for key in POOLS if key[0] != "Sum"])
def test_pools_equal_eqx_pools_when_n_is_1(name, axes, stride):
    window = (2, 3, 2)[:axes]
    ours = POOLS[name, axes](window, stride)
    theirs = getattr(eqx.nn, f"{name}Pool{axes}d")(window, stride or window)
    x = drawn(KEY, (2, *(4, 6, 4)[:axes], 3), float)

    @jax.jit
    def both(x):
        expected = jnp.moveaxis(jax.vmap(theirs)(jnp.moveaxis(x, -1, 1)), 1, -1)
        return ours(x[..., None, None])[..., 0, 0], expected

    y, expected = both(x)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_sum_is_the_mean_times_the_places(axes):
    x = drawn(KEY, (*(4,) * axes, 2, 2, 2), float)
    total, mean = jax.jit(lambda x: [POOLS[name, axes](2)(x) for name in ("Sum", "Avg")])(x)
    np.testing.assert_allclose(total, 2**axes * mean, rtol=1e-5, atol=1e-6)


@every_pool
def test_pools_work_entry_by_entry(name, axes):
    x = drawn(KEY, (*(4,) * axes, 2, 3, 3), float)
    pool = jax.jit(POOLS[name, axes](2))
    y = pool(x)
    assert y.shape == (*(2,) * axes, 2, 3, 3)
    one = np.s_[..., 1, 2, 2]
    np.testing.assert_array_equal(pool(jnp.full_like(x, jnp.nan).at[one].set(x[one]))[one], y[one])


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("window", (2, 2.5)),
        ("window", (2.5, 2)),
        ("window", (2, 2, 2, 2)),
        ("stride", (1, None)),
        ("padding", ((1, 1), (1, 1, 1))),
        ("padding", ((1, 1), (1, "1"))),
        ("padding", (0, 1.0)),
        ("padding", ((0,), 1)),
    ],
    ids=str,
)
def test_every_entry_of_a_window_is_checked_every_time(argument, value):
    for _ in range(50):
        with pytest.raises(ContractError, match=f"MaxPool2d got {argument} as a tuple"):
            nn.MaxPool2d(**{"window": 2, argument: value})
