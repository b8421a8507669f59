import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.initializers import lecun_normal

KEY = jax.random.key(0)
SNAPPING = pytest.mark.parametrize("snap", [None, 3])


def build(p=2, q=2, n=2, noise=2.0, **options):
    return nn.MatrixScan(p=p, q=q, n=n, noise=noise, key=KEY, **{"initializer": drawn, **options})


def snapping(snap, **options):
    return build(snap=snap, entries=3 if snap else None, **options)


def draw(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# Compiled as one: each operation by itself takes longer.
transitions = eqx.filter_jit(nn.MatrixScan.transitions)
advance = eqx.filter_jit(nn.MatrixScan.step)


def by_hand(layer, x):
    """A loop in NumPy over the steps of one example."""

    def dense(dense, x):
        return np.einsum("qpak,pkc->qac", np.asarray(dense.weight), x) + np.asarray(dense.bias)

    h, states = np.asarray(layer.initial_carry()), []
    for step in x:
        left, values, right = np.linalg.svd(np.eye(layer.n) + dense(layer.transition_proj, step))
        if layer.transition == "orthogonal":
            values = np.ones_like(values)
        if layer.transition == "spectral":
            values = values * np.minimum(1, layer.bound / values[:, :1])
        h = (left * values[:, None]) @ right @ h
        h = h if layer.input_proj is None else h + dense(layer.input_proj, step)
        states.append(h)
    return np.stack(states)


def test_two_steps_worked_out_by_hand():
    def ones(key, shape, dtype):
        return jnp.ones(shape, dtype)

    x = jnp.array([2.0, 3.0]).reshape(2, 1, 1, 1)
    layer = build(p=1, q=1, n=1, noise=1.0, transition="free", initializer=ones)
    assert layer(x).ravel().tolist() == [3 * 1 + 2, 4 * 5 + 3]
    products = build(p=1, q=1, n=1, noise=1.0, transition="free", use_input=False, initializer=ones)
    assert products(x).ravel().tolist() == [3, 12]


@pytest.mark.parametrize(
    "options",
    [
        {"transition": "orthogonal", "n": 3},
        {"transition": "spectral", "bound": 0.7, "initial": "zero"},
        {"transition": "free", "initial": "learned", "use_input": False},
    ],
    ids=["orthogonal", "spectral", "free"],
)
def test_it_equals_a_loop_in_numpy_in_float64(x64, options):
    layer = build(dtype=jnp.float64, **options)
    layer = jax.tree.map(lambda leaf: leaf + 0.1, layer)
    x = draw(6, 2, layer.n, layer.n, dtype=np.float64)
    np.testing.assert_allclose(layer(x), by_hand(layer, x), rtol=1e-10, atol=1e-10)


# Either with segments of a quarter, or with one of all steps.
@pytest.mark.parametrize("snap", [None, 16])
def test_an_associative_scan_equals_a_sequential_one_in_values_and_gradients(snap):
    layers = [snapping(snap, method=method) for method in ("associative", "sequential")]
    x, weight = draw(2, 64, 2, 2, 2), draw(2, 64, 2, 2, 2, seed=1) / 8

    @eqx.filter_jit
    def run(layer):
        y, pull = eqx.filter_vjp(lambda layer: layer(x), layer)
        return y, pull(weight)

    one, other = (jax.tree.leaves(run(layer)) for layer in layers)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@SNAPPING
def test_steps_and_chunks_give_what_the_whole_gives(snap):
    layer, x = snapping(snap, initial="learned"), draw(2, 8, 2, 2, 2)
    last, y = layer.scan(x)
    carry, steps = layer.initial_carry((2,)), []
    for t in range(8):
        carry, state = advance(layer, carry, x[:, t])
        steps.append(state)
    np.testing.assert_allclose(np.stack(steps, 1), y, atol=1e-5)
    between, first = layer.scan(x[:, :4])
    end, second = layer.scan(x[:, 4:], carry=between)
    np.testing.assert_allclose(np.concatenate([first, second], 1), y, atol=1e-5)
    for other in (carry, end):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), other, last)


@SNAPPING
def test_a_padded_example_is_the_example_by_itself(snap):
    layer, x = snapping(snap, reverse=True), draw(3, 5, 2, 2, 2)
    x[1, 2:] = np.nan
    carry, y = layer.scan(x, lengths=np.array([5, 2, 0]))
    alone, expected = layer.scan(x[1:2, :2])
    np.testing.assert_allclose(y[1, :2], expected[0], atol=1e-5)
    assert not np.any(y[1, 2:])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b[0], atol=1e-5), carry, alone)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[2], b), carry, layer.initial_carry())


def test_snapped_states_are_entries_of_the_table():
    layer = build(entries=3).snapped(4)
    y = np.asarray(layer(draw(9, 2, 2, 2)))
    for t in (3, 7):
        for q in range(2):
            assert np.min(np.abs(y[t, q] - layer.table[q]).max((-2, -1))) == 0
    assert layer.snapped(None).snap is None


def test_the_future_does_not_reach_back():
    layer, x = snapping(3), draw(8, 2, 2, 2)
    other = x.copy()
    other[5:] += 1
    np.testing.assert_array_equal(layer(x)[:5], layer(other)[:5])
    assert np.any(layer(x)[5:] != layer(other)[5:])


def test_orthogonal_products_of_ten_thousand_keep_their_norm():
    layer = build(n=3, use_input=False, method="sequential")
    norms = np.linalg.norm(np.asarray(layer(draw(10_000, 2, 3, 3)), np.float64), axis=(-2, -1))
    np.testing.assert_allclose(norms, np.sqrt(3), rtol=1e-4)


def test_spectral_transitions_stay_within_the_bound():
    a = transitions(build(n=3, transition="spectral", bound=0.5), draw(200, 2, 3, 3))
    norms = np.linalg.norm(np.asarray(a, np.float64), 2, axis=(-2, -1))
    assert norms.max() <= 0.5 * (1 + 1e-6)
    assert norms.max() > 0.5 * (1 - 1e-6)


def test_both_signs_of_the_determinant_appear():
    x = draw(200, 2, 2, 2)
    assert set(np.sign(np.linalg.det(transitions(build(), x))).ravel()) == {-1, 1}
    for determinants, signs in (("positive", [1, 1]), ("negative", [-1, -1]), ("both", [1, -1])):
        a = transitions(build(noise=0.01, determinants=determinants), x)
        np.testing.assert_allclose(np.linalg.det(a), np.broadcast_to(signs, (200, 2)), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"determinants": "negative"}, [0, 1, 1, 0]), ({}, [0, -1, 1, 0]), ({"transition": "spectral"}, [0, 1, 1, 0])],
    ids=["mirror to mirror", "turn to turn", "turn to mirror"],
)
def test_descent_reaches_a_transition_of_either_sign(options, wanted):
    layer, x = build(q=1, noise=0.1, **options), draw(1, 2, 2, 2)
    wanted = jnp.array(wanted, float).reshape(2, 2)

    def distance(layer):
        return jnp.sum((layer.transitions(x)[0, 0] - wanted) ** 2)

    @eqx.filter_jit
    def descend(layer):
        def step(layer, _):
            return jax.tree.map(lambda leaf, slope: leaf - 0.03 * slope, layer, jax.grad(distance)(layer)), None

        return jax.lax.scan(step, layer, length=300)[0]

    assert distance(layer) > 1
    assert distance(descend(layer)) < 1e-3


def test_the_state_of_half_precision_is_in_float32():
    layer = build(dtype=jnp.bfloat16, snap=2, entries=3)
    (h, position), y = layer.scan(jnp.asarray(draw(3, 5, 2, 2, 2), jnp.bfloat16))
    assert (h.dtype, position.dtype, y.dtype) == (jnp.float32, jnp.int32, jnp.bfloat16)
    assert position.tolist() == [1, 1, 1]
    (h, _), y = advance(layer, (h, position), jnp.asarray(draw(3, 2, 2, 2), jnp.bfloat16))
    assert (h.dtype, y.dtype) == (jnp.float32, jnp.bfloat16)


def test_a_step_takes_numpy_arrays():
    layer, x = snapping(3), draw(2, 2, 2)
    carry = layer.initial_carry()
    assert eqx.tree_equal(layer.step(jax.tree.map(np.asarray, carry), x), layer.step(carry, x))


def test_it_can_be_stacked_and_run_both_ways():
    layers = [build(), build(reverse=True)]
    x = draw(2, 4, 2, 2, 2)
    np.testing.assert_allclose(nn.StackedRecurrent(layers)(x), layers[1](layers[0](x)), rtol=1e-6)
    np.testing.assert_allclose(layers[1](x)[:, ::-1], layers[0](x[:, ::-1]), rtol=1e-6)
    assert nn.Bidirectional(*layers)(x).shape == (2, 4, 4, 2, 2)


def test_what_does_not_fit_together_is_refused():
    for options, error, message in (
        ({"q": 0}, ValueError, r"`q` \(=0\) must be at least 1"),
        ({"entries": 0}, ValueError, r"`entries` \(=0\) must be at least 1"),
        ({"snap": 0, "entries": 3}, ValueError, r"`snap` \(=0\) must be at least 1"),
        ({"snap": 4}, ValueError, r"`snap` \(=4\) must be None without a table: choose `entries`"),
        ({"bound": 0.0, "transition": "spectral"}, ValueError, r"`bound` \(=0.0\) must be positive and finite"),
        ({"bound": 2.0}, ValueError, r"`bound` \(=2.0\) must be 1 where A is orthogonal: use transition='spectral'"),
        ({"initial": "zero", "use_input": False}, ValueError, r"`initial` \(='zero'\) must not be zero without U"),
        ({"method": "parallel"}, ValueError, r"`method` \(='parallel'\) must be one of"),
        ({"transition": "unitary"}, ContractError, "transition"),
    ):
        with pytest.raises(error, match=message):
            build(**options)
    with pytest.raises(ValueError, match=r"`snap` \(=4\) must be None without a table"):
        build().snapped(4)


def test_the_carry_of_another_snap_is_refused():
    x = draw(2, 2, 2)
    for layer, other in ((build(), snapping(3)), (snapping(3), build())):
        with pytest.raises(ContractError, match=r"`carry` \(=.*\) must be as initial_carry gives it where snap is"):
            layer.step(other.initial_carry(), x)
        with pytest.raises(ContractError, match=r"`carry` \(=.*\) must be as initial_carry\(\(\)\) gives it"):
            layer.scan(x[None], carry=other.initial_carry())


def test_the_noise_scales_the_weight_of_the_transitions_alone():
    weight = lecun_normal(KEY, (2, 2, 2, 2))
    layer = nn.MatrixScan(p=2, q=2, n=2, noise=0.5, initializer=lambda key, shape, dtype: weight, key=KEY)
    np.testing.assert_allclose(layer.transition_proj.weight, 0.5 * weight)
    np.testing.assert_allclose(layer.input_proj.weight, weight)
