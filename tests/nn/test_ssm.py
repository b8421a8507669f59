import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from layer_table.row import drawn

from matrinox.contract import ContractError
from matrinox.nn import Bidirectional, Mamba, StackedRecurrent

P, Q, N, T = 2, 3, 2, 5
KEY = jax.random.key(0)


def build(p=P, q=Q, dtype=None, **options):
    options = {"state": 3, "inner": 4, "kernel": 3, "rank": 2, "use_bias": True, "delta_range": (0.1, 1.0), **options}
    layer = Mamba(p=p, q=q, n=N, initializer=drawn, dtype=dtype, key=KEY, **options)
    # Biases start at zero, where mistakes in them would not show.
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(0.1, leaf.dtype) if eqx.is_array(leaf) else leaf, layer)


def sequence(*batch, t=T, p=P):
    return jnp.asarray(np.random.default_rng(1).normal(size=(*batch, t, p, N, N)))


def start_of(layer, *batch):
    """A state that is not zero."""
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), layer.initial_carry(batch))


@eqx.filter_jit
def stepped(layer, x, carry):
    def step(carry, x):
        return layer.step(carry, x)

    carry, y = jax.lax.scan(step, carry, jnp.moveaxis(x, -4, 0))
    return carry, jnp.moveaxis(y, 0, -4)


def silu(x):
    return x / (1 + np.exp(-x))


def by_numpy(layer, x, carry):
    """The oracle: the layer as loops over steps, neurons and states in float64, for one example."""
    W_in, W_conv, W_select, W_delta, W_out = (
        np.asarray(part.weight)
        for part in (layer.input_proj, layer.conv, layer.select_proj, layer.delta_proj, layer.output_proj)
    )
    inner, state = layer.A_log.shape[:2]
    rank, kernel = W_delta.shape[1], W_conv.shape[2]
    A, D = -np.exp(np.asarray(layer.A_log)), np.asarray(layer.D)
    window, h = (np.array(leaf) for leaf in carry)
    ys = []
    for x_t in np.asarray(x):
        mixed = np.einsum("qpij,pjk->qik", W_in, x_t) + layer.input_proj.bias
        z = mixed[inner:]
        window = np.concatenate([window, mixed[None, :inner]])
        u = np.array(layer.conv.bias)
        for e in range(inner):
            for k in range(kernel):
                u[e] += W_conv[e, 0, k] @ window[k, e]
        u, window = silu(u), window[1:]
        selected = np.einsum("qpij,pjk->qik", W_select, u)
        B, C = selected[rank : rank + state], selected[rank + state :]
        delta = np.log1p(np.exp(np.einsum("qpij,pjk->qik", W_delta, selected[:rank]) + layer.delta_proj.bias))
        y = D * u
        for e in range(inner):
            for s in range(state):
                h[e, s] = np.exp(delta[e] * A[e, s]) * h[e, s] + delta[e] * B[s] * u[e]
                y[e] += C[s] * h[e, s]
        ys.append(np.einsum("qpij,pjk->qik", W_out, y * silu(z)) + layer.output_proj.bias)
    return (window, h), np.stack(ys)


def assert_close(ours, theirs, rtol=1e-5):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert np.shape(one) == np.shape(other)
        assert np.abs(np.subtract(one, other)).max(initial=0) <= rtol * np.abs(other).max(initial=0)


def test_a_scalar_layer_of_one_state_is_worked_out_by_hand():
    """u is silu(x_t + x_(t−1)) and z is x; the step is log 2, so that the state halves; B and C are u, and D is 1."""
    layer = Mamba(p=1, q=1, n=1, state=1, inner=1, kernel=2, initializer=drawn, key=KEY)
    values = {"input_proj": [1, 1], "conv": [1, 1], "select_proj": [0, 1, 1], "delta_proj": [0], "output_proj": [1]}
    for name, value in values.items():
        weight = getattr(layer, name).weight
        value = jnp.asarray(value, weight.dtype).reshape(weight.shape)
        layer = eqx.tree_at(lambda layer, name=name: getattr(layer, name).weight, layer, value)
    layer = eqx.tree_at(lambda layer: layer.delta_proj.bias, layer, jnp.zeros((1, 1, 1)))
    x = jnp.array([1.0, 2.0]).reshape(2, 1, 1, 1)
    u0, u1 = silu(1.0), silu(3.0)
    h0 = np.log(2) * u0**2
    h1 = h0 / 2 + np.log(2) * u1**2
    expected = [(u0 * h0 + u0) * silu(1.0), (u1 * h1 + u1) * silu(2.0)]
    np.testing.assert_allclose(layer(x).ravel(), expected, rtol=1e-6)


def test_the_layer_equals_loops_in_float64(x64):
    x = sequence()
    layer = build()
    start = start_of(layer)
    assert_close(layer.scan(x, carry=start), by_numpy(layer, x, start), 1e-12)


def test_steps_equal_the_whole_in_values_and_gradients():
    layer, x = build(), sequence(2)

    def run(forward):
        def loss(given):
            layer, x, start = given
            carry, y = forward(layer, x, start)
            return sum(jnp.sum(leaf**2) for leaf in (*carry, y)), (carry, y)

        return eqx.filter_jit(eqx.filter_grad(loss, has_aux=True))((layer, x, start_of(layer, 2)))

    ours, theirs = run(lambda layer, x, start: layer.scan(x, carry=start)), run(stepped)
    assert_close(ours, theirs)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(theirs))


def test_pieces_of_a_sequence_equal_the_whole():
    layer, x = build(), sequence(2)
    carry, ys = None, []
    # The first piece is shorter than what the convolution sees, and one is empty.
    for piece in (x[:, :1], x[:, :0], x[:, 1:]):
        carry, y = layer.scan(piece, carry=carry)
        ys.append(y)
    assert_close((carry, jnp.concatenate(ys, 1)), layer.scan(x))


def test_without_a_convolution_the_window_is_empty():
    layer, x = build(kernel=None), sequence(2)
    assert layer.conv is None
    assert layer.kernel == 1
    start = start_of(layer, 2)
    assert start[0].shape == (2, 0, 4, N, N)
    assert_close(layer.scan(x, carry=start), stepped(layer, x, start))


def test_a_padded_example_gives_what_it_gives_alone():
    lengths = np.array([5, 1, 0])
    padding = np.arange(T) >= lengths[:, None]
    x = jnp.where(padding[..., None, None, None], jnp.nan, sequence(3))
    layer = build(reverse=True, method="sequential")
    start = start_of(layer, 3)
    carry, y = layer.scan(x, carry=start, lengths=lengths)
    assert not np.any(y[padding])
    # Fewer steps than the convolution sees, and none.
    short, none = (jax.tree.map(lambda leaf, index=index: leaf[index], (start, carry)) for index in (1, 2))
    assert_close((short[1], y[1, :1]), layer.scan(x[1, :1], carry=short[0]))
    assert_close(none[1], none[0], 0)


def test_no_output_depends_on_a_later_input():
    layer, x = build(), sequence()
    early, late = layer(x), layer(x.at[3].add(1))
    np.testing.assert_array_equal(early[:3], late[:3])
    # What comes after does, beyond what the convolution sees.
    assert np.all(np.any(early[1:] != layer(x.at[0].add(1))[1:], axis=(1, 2, 3)))


def test_decays_stay_between_0_and_1_for_any_weights():
    @jax.jit
    def decays(layer):
        delta, A, *_ = layer._selected(sequence(p=4))
        return jnp.exp(delta[..., None, :, :] * A)

    for scale in (0.1, 1.0, 3.0, 1e4):
        decay = decays(jax.tree.map(lambda leaf, scale=scale: scale * leaf, build()))
        # Where weights are so large that none between has a number, it is 0 or 1.
        assert np.all((decay >= 0) & (decay <= 1))
        assert scale > 1 or np.all((decay > 0) & (decay < 1))


def test_the_layer_starts_as_it_is_published():
    layer = Mamba(p=2, q=2, n=2, state=4, inner=40, kernel=None, initializer=drawn, key=KEY)
    np.testing.assert_allclose(jnp.exp(layer.A_log), np.broadcast_to(np.arange(1, 5)[:, None, None], (40, 4, 2, 2)))
    assert np.all(layer.D == 1)
    steps = np.log10(jax.nn.softplus(layer.delta_proj.bias))
    assert -3.001 <= steps.min() < -2.8
    assert -1.2 < steps.max() <= -0.999
    # Evenly on a scale of logarithms.
    np.testing.assert_allclose([steps.mean(), steps.std()], [-2, 2 / np.sqrt(12)], atol=0.12)
    assert layer.delta_proj.p == layer.rank == 2
    assert np.abs(layer.delta_proj.weight).max() <= 1 / np.sqrt(2 * 2)
    assert layer.input_proj.bias is None
    sizes = eqx.filter_eval_shape(lambda: Mamba(p=2, q=3, n=1, key=KEY))
    assert (sizes.inner, sizes.state, sizes.kernel, sizes.rank) == (6, 16, 4, 1)
    assert sizes.conv.bias is not None


def test_half_precision_keeps_its_state_in_float32():
    layer, x = build(dtype=jnp.bfloat16), sequence(2).astype(jnp.bfloat16)
    carry, y = eqx.filter_eval_shape(layer.scan, x)
    assert [leaf.dtype for leaf in (*carry, y)] == [jnp.float32, jnp.float32, jnp.bfloat16]
    assert [leaf.dtype for leaf in layer.initial_carry()] == [jnp.float32, jnp.float32]
    for start in (layer.initial_carry((2,)), layer.initial_carry((2,), jnp.bfloat16)):
        after, y = eqx.filter_eval_shape(layer.step, start, x[:, 0])
        assert [leaf.dtype for leaf in after] == [leaf.dtype for leaf in start]
        assert y.dtype == jnp.bfloat16
        assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, start)


def test_layers_stack_and_run_both_ways():
    both = Bidirectional(build(), build(reverse=True), merge="sum")
    model = StackedRecurrent([build(q=P), both])
    carry, y = eqx.filter_eval_shape(model.scan, sequence(2), lengths=jnp.array([5, 3]))
    assert y.shape == (2, T, Q, N, N)
    assert jax.tree.map(jnp.shape, carry) == jax.tree.map(jnp.shape, model.initial_carry((2,)))


def test_what_does_not_fit_is_refused():
    for name in ("p", "q", "n", "state", "inner", "kernel", "rank"):
        with pytest.raises(ValueError, match=rf"`{name}` \(=0\) must be at least 1: choose a positive number"):
            Mamba(**{"p": 1, "q": 1, "n": 1, name: 0}, key=KEY)
    for wrong in ((0.0, 0.1), (0.1, 0.01)):
        with pytest.raises(ValueError, match=r"`delta_range` \(=.*\) must be 0 < least <= largest: choose such as"):
            Mamba(p=1, q=1, n=1, delta_range=wrong, key=KEY)
    with pytest.raises(ValueError, match=r"`method` \(='associate'\) must be one of .*: did you mean 'associative'"):
        Mamba(p=1, q=1, n=1, method="associate", key=KEY)
    with pytest.raises(ValueError, match=r"`chunk` \(=0\) must be at least 1"):
        Mamba(p=1, q=1, n=1, chunk=0, key=KEY)
    layer = build()
    window, h = layer.initial_carry((2,))
    with pytest.raises(ContractError, match=r"`carry` \(=.*\) must be as initial_carry\(\(2,\)\) gives it: \(f32"):
        layer(sequence(2), carry=(window[:, 1:], h))
    with pytest.raises(ContractError, match=r"Mamba\(p=2, q=3, n=2.*\)\.step got carry"):
        layer.step((window[:, 1:], h), sequence(2)[:, 0])
    with pytest.raises(ContractError, match=r"Mamba\(p=2, q=3, n=2.*\)\.step got x .*axis -3 is 3, p is 2"):
        layer.step((window, h), jnp.ones((2, 3, N, N)))


@eqx.filter_jit
def trained(model, steps):
    """Keeps a value that is marked at a random step; the loss over the last tenth of the training."""
    arrays, rest = eqx.partition(model, eqx.is_array)
    optimizer = optax.adam(0.03)

    def loss(arrays, key):
        value, mark = jax.random.split(key)
        value = jax.random.normal(value, (32, T, 1, N, N))
        marked = jax.nn.one_hot(jax.random.randint(mark, (32,), 0, T), T)[..., None, None, None]
        x = jnp.concatenate([value, jnp.broadcast_to(marked, value.shape)], -3)
        return jnp.mean((eqx.combine(arrays, rest)(x)[:, -1] - jnp.sum(marked * value, 1)) ** 2)

    def step(carry, key):
        arrays, state = carry
        value, gradient = jax.value_and_grad(loss)(arrays, key)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(arrays, updates), state), value

    keys = jax.random.split(jax.random.key(3), steps)
    return jnp.mean(jax.lax.scan(step, (arrays, optimizer.init(arrays)), keys)[1][-steps // 10 :])


def test_the_layer_learns_to_keep_what_is_marked():
    """The step is drawn anew for each example, so that only what selects by its input can keep the value.

    Its variance is 1, of which a layer that treats each step by itself is left with 5/6.
    """
    options = {"state": 2, "inner": 8, "kernel": None, "delta_range": (0.1, 1.0), "method": "sequential"}
    assert trained(Mamba(p=2, q=1, n=N, initializer=drawn, key=KEY, **options), 500) < 5 / 6 / 3
