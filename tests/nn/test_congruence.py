import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError


def drawn(key, shape, dtype):
    """An initializer that compiles nothing: of every neuron out the same."""
    return jnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape) / 2, dtype)


def positive(*shape, seed=0):
    x = np.random.default_rng(seed).normal(size=shape)
    return (x @ np.swapaxes(x, -1, -2) + 0.1 * np.eye(shape[-1])).astype(np.float32)


def test_bimap_by_hand():
    layer = nn.BiMap(1, 1, 2, eps=0.5, key=jax.random.key(0))
    layer = eqx.tree_at(lambda layer: layer.weight, layer, jnp.array([[[[1.0, 2.0], [0.0, 1.0]]]]))
    assert layer(jnp.eye(2)[None]).tolist() == [[[5.5, 2], [2, 1.5]]]


def test_bimap_is_its_functional_twin_and_knows_its_sizes():
    layer, x = nn.BiMap(2, 5, 3, eps=0.1, initializer=drawn, key=jax.random.key(0)), positive(4, 2, 3, 3)
    assert np.array_equal(layer(x), functional.bimap(layer.weight, x, eps=0.1))
    assert (layer.p, layer.q, layer.n) == (2, 5, 3)
    assert nn.BiMap(2, 5, 3, dtype=jnp.bfloat16, initializer=drawn, key=jax.random.key(0)).weight.dtype == jnp.bfloat16


@pytest.mark.parametrize("q", [2, 7])
def test_at_first_each_neuron_out_has_orthonormal_rows_and_eigenvalues_stay_in_their_range(q):
    layer, x = nn.BiMap(3, q, 4, key=jax.random.key(0)), positive(8, 3, 4, 4)
    rows = np.moveaxis(np.asarray(layer.weight, float), 1, 2).reshape(q, 4, 12)
    np.testing.assert_allclose(rows @ np.swapaxes(rows, -1, -2), np.broadcast_to(np.eye(4), (q, 4, 4)), atol=1e-5)
    assert not np.allclose(rows[0], rows[1])
    before, after = (np.linalg.eigvalsh(np.asarray(value, float)) for value in (x, layer(x)))
    assert after.min() > before.min() - 1e-5
    assert after.max() < before.max() + 1e-5


@pytest.mark.parametrize("n", [2, 4])
def test_a_stack_of_congruences_does_not_change_where_weights_undo_a_congruence_of_the_input(n):
    keys = jax.random.split(jax.random.key(n))
    layers = [nn.BiMap(2, 3, n, key=keys[0]), nn.ReEig(), nn.BiMap(3, 2, n, key=keys[1]), nn.ReEig(), nn.LogEig()]
    run = eqx.filter_jit(nn.Sequential(layers))
    x, rng = positive(10, 2, n, n), np.random.default_rng(n)
    left, right = np.linalg.qr(rng.normal(size=(2, n, n)))[0]
    g = left @ np.diag(np.geomspace(10**0.5, 10**-0.5, n)) @ right
    undone = jnp.asarray(np.asarray(layers[0].weight, float) @ np.linalg.inv(g), jnp.float32)
    moved = eqx.filter_jit(nn.Sequential([eqx.tree_at(lambda layer: layer.weight, layers[0], undone), *layers[1:]]))
    y = run(x)
    assert np.max(np.abs(moved((g @ x @ g.T).astype(np.float32)) - y)) < 1e-5 * np.max(np.abs(y))
    # A rotation of the last weights is one of what comes out.
    turned = jnp.asarray(left @ np.asarray(layers[2].weight, float), jnp.float32)
    last = eqx.tree_at(lambda layer: layer.weight, layers[2], turned)
    rotated = eqx.filter_jit(nn.Sequential([*layers[:2], last, *layers[3:]]))(x)
    assert np.max(np.abs(rotated - left @ np.asarray(y, float) @ left.T)) < 1e-5 * np.max(np.abs(y))
    # And an activation of each entry by itself ends it.
    broken, whole = (np.asarray(nn.ReLU()(value), float) for value in (rotated, y))
    assert np.max(np.abs(broken - left @ whole @ left.T)) > 0.01 * np.max(np.abs(whole))


def test_what_does_not_fit_is_refused():
    key = jax.random.key(0)
    for size in ("p", "q", "n"):
        with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1"):
            nn.BiMap(**{"p": 2, "q": 3, "n": 4, size: 0}, key=key)
    with pytest.raises(ValueError, match=r"`eps` \(=-1.0\) must be finite and not negative"):
        nn.BiMap(2, 3, 4, eps=-1.0, key=key)
    with pytest.raises(ValueError, match="did you mean 'high'"):
        nn.BiMap(2, 3, 4, precision="hihg", key=key)
    with pytest.raises(ContractError, match=r"BiMap\(p=2, q=3, n=4\) got x .*axis -3 is 3, p is 2"):
        nn.BiMap(2, 3, 4, initializer=drawn, key=key)(jnp.ones((3, 4, 4)))
