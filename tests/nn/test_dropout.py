import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import io
from matrinox.contract import ContractError
from matrinox.nn import Dense, Dropout, Sequential

KEY = jax.random.key(0)


def test_dropout_equals_eqx_dropout_under_the_same_key():
    x = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    assert np.array_equal(Dropout(0.3)(x, key=KEY), eqx.nn.Dropout(0.3)(x, key=KEY))


def test_entries_are_dropped_or_scaled_and_the_mean_stays():
    y = np.asarray(Dropout(0.2)(jnp.ones((100, 10, 4, 4)), key=KEY))
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.8)}
    # Four standard errors of a share of 16,000 draws.
    assert abs(np.mean(y == 0) - 0.2) < 4 * np.sqrt(0.2 * 0.8 / y.size)


def test_neurons_are_dropped_whole():
    x = np.random.default_rng(0).uniform(1, 2, size=(200, 10, 4, 4)).astype(np.float32)
    y = np.asarray(Dropout(0.4, neurons=True)(x, key=KEY))
    gone = (y == 0).all(axis=(-2, -1))
    np.testing.assert_allclose(y[~gone], np.asarray(x)[~gone] / 0.6, rtol=1e-6)
    assert abs(gone.mean() - 0.4) < 4 * np.sqrt(0.4 * 0.6 / gone.size)


@pytest.mark.parametrize("neurons", [False, True])
def test_every_example_on_the_leading_axes_has_draws_of_its_own(neurons):
    y = np.asarray(Dropout(0.5, neurons=neurons)(jnp.ones((4, 8, 16, 2, 2)), key=KEY))
    assert len({example.tobytes() for example in y.reshape(32, -1)}) == 32


def test_shared_axes_share_the_draws_and_every_example_has_its_own():
    x = np.random.default_rng(0).uniform(1, 2, size=(3, 2, 2, 40, 2, 2)).astype(np.float32)
    y = np.asarray(Dropout(0.5, shared=(-5, -4, -2, -1))(x, key=KEY))
    gone = y == 0
    assert np.array_equal(gone, np.broadcast_to(gone[:, :1, :1, :, :1, :1], y.shape))
    assert len({example.tobytes() for example in gone}) == 3
    np.testing.assert_allclose(y[~gone], x[~gone] / 0.5, rtol=1e-6)
    assert np.array_equal(Dropout(0.5, shared=(-2, -1))(x, key=KEY), Dropout(0.5, neurons=True)(x, key=KEY))


def test_shared_axes_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match=r"`shared` \(=2\) must be below 0: count from the end"):
        Dropout(0.5, shared=2)
    with pytest.raises(ValueError, match=r"`shared` \(=\(-1, -1\)\) must name each axis once"):
        Dropout(0.5, shared=(-1, -1))
    with pytest.raises(ValueError, match=r"`shared` \(=\(-4,\)\) must be of the 3 axes of x"):
        Dropout(0.5, shared=-4)(jnp.ones((2, 3, 3)), key=KEY)
    with pytest.raises(ValueError, match=r"`shared` \(=-3\) must not be given beside `neurons`, .*: choose one"):
        Dropout(0.5, neurons=True, shared=-3)


def test_one_key_draws_once():
    layer, x = Dropout(0.5), jnp.ones((4, 4, 4))
    assert np.array_equal(layer(x, key=KEY), layer(x, key=KEY))
    assert not np.array_equal(layer(x, key=KEY), layer(x, key=jax.random.key(1)))


def test_jit_changes_nothing_and_vmap_takes_a_key_for_each_example():
    layer, x, keys = Dropout(0.5), jnp.ones((3, 2, 4, 4)), jax.random.split(KEY, 3)
    assert np.array_equal(eqx.filter_jit(layer)(x, key=KEY), layer(x, key=KEY))
    mapped = jax.jit(jax.vmap(lambda x, key: layer(x, key=key)))(x, keys)
    assert np.array_equal(mapped[1], layer(x[1], key=keys[1]))


def test_inference_mode_switches_it_off_and_on_wherever_it_sits():
    model = Sequential([Dense(p=2, q=2, n=3, key=KEY), Dropout(0.5), Sequential([Dropout(0.9, neurons=True)])])
    x = jnp.ones((2, 3, 3))
    quiet = eqx.nn.inference_mode(model)
    assert np.array_equal(quiet(x), model[0](x))
    assert np.array_equal(quiet(x, key=KEY), model[0](x))
    again = eqx.nn.inference_mode(quiet, value=False)
    assert np.array_equal(again(x, key=KEY), model(x, key=KEY))


def test_inference_may_be_how_it_starts():
    x = jnp.ones((2, 3, 3))
    assert np.array_equal(Dropout(0.5, inference=True)(x), x)


@pytest.mark.parametrize("rate", [0, 0.0])
def test_a_rate_of_zero_needs_no_key(rate):
    x = np.ones((2, 3, 3), np.float32)
    assert np.array_equal(Dropout(rate)(x), x)


def test_the_gradient_passes_where_the_entry_does():
    layer, x = Dropout(0.5), jnp.ones((2, 4, 4))
    gradient = jax.grad(lambda x: layer(x, key=KEY).sum())(x)
    assert np.array_equal(gradient, layer(x, key=KEY))


def test_the_gradient_is_finite_where_a_dropped_entry_is_not():
    layer = Dropout(0.5)
    x = jnp.where(layer(jnp.ones((2, 4, 4)), key=KEY) == 0, jnp.inf, 1.0)
    assert np.isfinite(layer(x, key=KEY)).all()
    assert np.isfinite(jax.grad(lambda x: layer(x, key=KEY).sum())(x)).all()


def test_bfloat16_in_gives_bfloat16_out():
    assert Dropout(0.3)(jnp.ones((2, 4, 4), jnp.bfloat16), key=KEY).dtype == jnp.bfloat16


def test_rate_and_mode_can_be_edited_and_are_saved(tmp_path):
    layer = eqx.tree_at(lambda layer: layer.rate, Dropout(0.5), 0.25)
    assert set(np.unique(layer(jnp.ones((9, 4, 4)), key=KEY))) == {0.0, np.float32(1 / 0.75)}
    io.save(tmp_path / "layer.safetensors", layer)
    assert io.load(tmp_path / "layer.safetensors", like=Dropout(0.5, inference=True)) == layer


def test_training_without_a_key_is_refused():
    with pytest.raises(
        ValueError, match=r"`key` \(=None\) is needed by Dropout\(rate=0.5\) in training: pass a key, or"
    ):
        Dropout(0.5)(jnp.ones((2, 4, 4)))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1, 1.5, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=rf"`rate` \(={rate}\) must be from 0 up to, but not including, 1"):
        Dropout(rate)


def test_matrices_that_are_not_square_are_refused():
    with pytest.raises(ContractError, match=r"Dropout got x float32\[2, 4, 5\]"):
        Dropout(0.5)(jnp.ones((2, 4, 5)), key=KEY)


@pytest.mark.parametrize("rate", [np.float32(0.25), np.asarray(0.25), jnp.float32(0.25)])
def test_a_rate_edited_to_an_array_changes_no_dtype(rate):
    layer = eqx.tree_at(lambda layer: layer.rate, Dropout(0.5), rate)
    x = jnp.ones((9, 4, 4), jnp.bfloat16)
    assert layer(x, key=KEY).dtype == jnp.bfloat16
    assert np.array_equal(layer(x, key=KEY) == 0, Dropout(0.25)(x, key=KEY) == 0)


@pytest.mark.parametrize("rate", [np.float32(0), np.asarray(0.0), jnp.float32(0)])
def test_a_rate_edited_to_an_array_of_zero_needs_no_key(rate):
    layer = eqx.tree_at(lambda layer: layer.rate, Dropout(0.5), rate)
    assert np.array_equal(layer(jnp.ones((2, 3, 3))), jnp.ones((2, 3, 3)))
