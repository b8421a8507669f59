import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_layers import KEYS, Model, dense, draw, refusal
from jax.test_util import check_grads

from matrinox import nn


def test_residual_and_branch_sum_by_hand():
    x = jnp.array([[[1.0, 2.0], [3.0, 4.0]]])
    assert np.array_equal(nn.Residual(lambda x: 2 * x)(x), 3 * x)
    assert np.array_equal(nn.Residual(lambda x: 2 * x, lambda x: x * x)(x), [[[3.0, 8.0], [15.0, 24.0]]])
    assert np.array_equal(nn.BranchSum([lambda x: 2 * x, lambda x: x * x, jnp.negative])(x), x + x * x)
    assert np.array_equal(nn.BranchSum([lambda x: 2 * x])(x), 2 * x)


def test_sums_equal_float64_numpy(x64):
    body, shortcut = (jax.tree.map(lambda leaf: leaf.astype(float), dense(2, 3, key=key)) for key in (0, 1))
    x = np.random.default_rng(0).normal(size=(3, 2, 4, 4))
    expected = sum(np.einsum("qpij,bpjk->bqik", layer.weight, x) for layer in (body, shortcut))
    np.testing.assert_allclose(nn.Residual(body, shortcut)(x), expected, rtol=1e-12)
    np.testing.assert_allclose(nn.BranchSum([shortcut, body])(x), expected, rtol=1e-12)


def test_the_gradient_of_a_residual_reaches_x_past_the_body(x64):
    layer = nn.Residual(lambda x: jnp.sin(x))
    x = jnp.asarray(draw(1, 2, 2), float)
    np.testing.assert_allclose(jax.grad(lambda x: layer(x).sum())(x), 1 + np.cos(x), rtol=1e-12)
    check_grads(layer, (x,), order=1)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda layers: nn.Parallel(layers), 2),
        (lambda layers: nn.Residual(*layers), 2),
        (lambda layers: nn.BranchSum(layers), 2),
    ],
    ids=["Parallel", "Residual", "BranchSum"],
)
def test_each_layer_gets_a_key_of_its_own_and_keyless_ones_get_none(build, names):
    layer, x = build([nn.Dropout(0.5), nn.Dropout(0.5)]), jnp.ones((5, 2, 2))
    keys = jax.random.split(KEYS[1], names)
    dropped = [nn.Dropout(0.5)(x, key=key) for key in keys]
    y = layer((x, x) if isinstance(layer, nn.Parallel) else x, key=KEYS[1])
    assert np.array_equal(
        jnp.stack(y) if isinstance(y, tuple) else y, jnp.stack(dropped) if isinstance(y, tuple) else sum(dropped)
    )
    mixed = build([jnp.negative, nn.Dropout(0.5)])
    y = mixed((x, x) if isinstance(layer, nn.Parallel) else x, key=KEYS[1])
    assert np.array_equal(sum(y) if isinstance(y, tuple) else y, dropped[1] - x)


class Counter(eqx.nn.StatefulLayer):
    """Adds to x how often it was called."""

    index: eqx.nn.StateIndex

    def __init__(self):
        self.index = eqx.nn.StateIndex(jnp.array(0.0))

    def __call__(self, x, state, *, key=None):
        count = state.get(self.index) + 1
        return x + count, state.set(self.index, count)


def test_state_passes_through_all_layers_in_turn():
    # The same counter in two places tells the order of the calls.
    counter, state = eqx.nn.make_with_state(Counter)()
    x = jnp.zeros((1, 2, 2))
    (first, other, second), after = nn.Parallel([counter, jnp.cos, counter])((x, x, x), state)
    assert (first[0, 0, 0], other[0, 0, 0], second[0, 0, 0]) == (1, 1, 2)
    assert after.get(counter.index) == 2
    y, after = nn.Residual(counter, lambda x: -x)(x + 1, after)
    assert (y[0, 0, 0], after.get(counter.index)) == (3, 3)
    y, after = nn.Residual(counter, counter)(x, after)
    assert (y[0, 0, 0], after.get(counter.index)) == (9, 5)
    layer = nn.BranchSum([counter, lambda x: x, counter])
    y, after = layer(x, after)
    assert (y[0, 0, 0], after.get(counter.index)) == (13, 7)
    assert layer.is_stateful()


def test_state_reaches_through_nested_layers_and_is_handed_on_where_none_is_stateful():
    x = jnp.zeros((1, 2, 2))
    model, state = eqx.nn.make_with_state(
        lambda: eqx.nn.Sequential([nn.Residual(nn.BranchSum([Counter()])), nn.ReLU()])
    )()
    y, after = model(x, state)
    assert y[0, 0, 0] == 1
    plain = nn.Residual(jnp.negative)
    assert not plain.is_stateful()
    assert plain(x, after)[1] is after
    assert isinstance(plain(x), jax.Array)


def test_batch_norm_trains_inside_a_residual():
    model, state = eqx.nn.make_with_state(lambda: nn.Residual(nn.Sequential([nn.BatchNorm(p=2, n=2), nn.ReLU()])))()
    x = draw(3, 2, 2, 2)
    y, after = model(x, state)
    normal = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(y, x + np.maximum(normal, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.get(model.body.layers[0].statistics)[1], x.mean(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda layer: nn.Parallel([jnp.tanh, layer]), r"layers\[1\]"),
        (lambda layer: nn.Residual(layer), "body"),
        (lambda layer: nn.Residual(jnp.tanh, layer), "shortcut"),
        (lambda layer: nn.BranchSum([jnp.tanh, layer]), r"branches\[1\]"),
    ],
)
def test_a_missing_state_and_what_cannot_be_called_are_refused_by_name(build, name):
    layer, _ = eqx.nn.make_with_state(lambda: build(Counter()))()
    with pytest.raises(ValueError, match=rf"`state` \(=None\) is needed, as {name} \(Counter\) is stateful"):
        layer((1.0, 2.0) if isinstance(layer, nn.Parallel) else jnp.ones(3))
    with pytest.raises(TypeError, match=rf"{name}.*=? ?3"):
        build(3)


def test_a_body_that_changes_the_shape_is_refused_when_built():
    assert refusal(nn.Residual, dense(2, 3)) == (
        "Residual adds equal shapes, but x is (*batch, p=2, n=4, n=4) and body: Dense(p=2, q=3, n=4) gives"
        " (*batch, q=3, n=4, n=4): axis -3 is 3, not 2. Give a `shortcut` that brings x to the shape of the body."
    )
    assert "body.layers[1]: Dense" in refusal(nn.Residual, nn.Sequential([nn.ReLU(), dense(2, 3)]))
    assert "it has 1 axis behind the batch, not 3" in refusal(nn.Residual, nn.Trace())


def test_summands_that_differ_are_refused_when_built():
    assert refusal(nn.Residual, dense(2, 3), dense(2, 5)) == (
        "Residual adds equal shapes, but body: Dense(p=2, q=3, n=4) gives (*batch, q=3, n=4, n=4) and shortcut:"
        " Dense(p=2, q=5, n=4) gives (*batch, q=5, n=4, n=4): axis -3 is 5, not 3."
    )
    message = refusal(nn.BranchSum, [dense(2, 3), jnp.tanh, dense(2, 5)])
    assert message.startswith("BranchSum adds equal shapes, but branches[0]: Dense(p=2, q=3, n=4) gives")
    assert message.endswith("and branches[2]: Dense(p=2, q=5, n=4) gives (*batch, q=5, n=4, n=4): axis -3 is 5, not 3.")
    assert refusal(nn.BranchSum, [nn.Parallel([dense(2, 3)])]) == (
        "BranchSum adds arrays, but branches[0]: Parallel gives 1 output."
    )


def test_branches_that_take_different_inputs_are_refused_when_built():
    assert refusal(nn.BranchSum, [dense(2, 3), dense(5, 3)]) == (
        "branches[1]: Dense(p=5, q=3, n=4) takes (*batch, p=5, n=4, n=4), but branches[0]: Dense(p=2, q=3, n=4) takes"
        " (*batch, p=2, n=4, n=4): axis -3 is 2, p is 5."
    )


def test_no_branches_are_refused():
    with pytest.raises(ValueError, match=r"`branches` \(=\(\)\) must hold at least one branch: give the layers"):
        nn.BranchSum([])


def test_shapes_that_only_data_tell_are_refused_when_called_and_never_broadcast():
    x = jnp.ones((2, 3, 4, 4))
    message = refusal(Model(nn.Sequential([jnp.tanh, nn.Residual(lambda x: x[:1])])), x)
    assert message == (
        "encoder.layers[1]: Residual adds equal shapes, but x is float32[2, 3, 4, 4] and body: <lambda> gives"
        " float32[1, 3, 4, 4]: axis -4 is 1, not 2. Give a `shortcut` that brings x to the shape of the body."
    )
    message = refusal(Model(nn.Sequential([nn.BranchSum([jnp.tanh, lambda x: x[0]])])), x)
    assert message == (
        "encoder.layers[0]: BranchSum adds equal shapes, but branches[0]: tanh gives float32[2, 3, 4, 4] and"
        " branches[1]: <lambda> gives float32[3, 4, 4]: it has 3 axes, not 4."
    )
    assert refusal(nn.BranchSum([lambda x: (x,)]), x) == (
        "BranchSum adds arrays, but branches[0]: <lambda> gives a tuple."
    )
    assert refusal(nn.Residual(lambda x: x), [x]) == "Residual adds arrays, but x is a list."


def test_the_joints_of_a_sequential_see_through():
    chain = nn.Sequential
    assert refusal(chain, [dense(2, 3), nn.Residual(nn.ReLU()), dense(4, 2)]) == (
        "layers[2]: Dense(p=4, q=2, n=4) takes (*batch, p=4, n=4, n=4), but layers[1]: Residual gives"
        " (*batch, q=3, n=4, n=4): axis -3 is 3, p is 4."
    )
    assert refusal(chain, [dense(2, 3), nn.Residual(dense(2, 2))]).startswith(
        "layers[1].body: Dense(p=2, q=2, n=4) takes"
    )
    assert "layers[1]: BranchSum gives" in refusal(
        chain, [nn.ReLU(), nn.BranchSum([jnp.tanh, dense(2, 3)]), dense(2, 3)]
    )
    message = refusal(chain, [nn.Residual(jnp.tanh), nn.Residual(nn.Residual(dense(2, 2))), dense(3, 3)])
    assert message.endswith("but layers[1]: Residual gives (*batch, p=2, n=4, n=4): axis -3 is 2, p is 3.")


def test_a_half_precision_sum_stays_in_half_precision():
    x = jnp.ones((1, 1, 1), jnp.bfloat16)
    y = nn.BranchSum([lambda x: 256 * x, *[jnp.asarray] * 4])(x)
    assert y.dtype == jnp.bfloat16
    # One by one in bfloat16, ones vanish beside 256.
    assert y == 260
    assert nn.Residual(lambda x: x)(jnp.ones((1, 2, 2), jnp.int32)).dtype == jnp.int32
