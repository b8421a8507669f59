"""Layers by portions of a sequence: chains of them give what the call gives for the whole."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import functional, nn
from matrinox.contract import ContractError
from matrinox.nn.stepping import steps_of

KEYS = jax.random.split(jax.random.key(0), 8)
X = jax.random.normal(KEYS[7], (2, 7, 2, 2, 2))
OPTIONS = {"initializer": drawn}


def dense(key=KEYS[0], p=2, q=2):
    return nn.Dense(p=p, q=q, n=2, key=key, **OPTIONS)


def residual(mixer):
    return nn.Residual(nn.Sequential([nn.RMSNorm(p=2, n=2), mixer]))


def by_portions(layer, x, sizes, key=None):
    """What the steps give, portion by portion, side by side."""
    cache, outputs, start = layer.initial_cache(x.shape[1], x.shape[:1]), [], 0
    step = eqx.filter_jit(lambda layer, cache, x, key: layer.step(cache, x, key=key))
    for size in sizes:
        cache, y = step(layer, cache, x[:, start : start + size], key)
        outputs.append(y)
        start += size
    return jnp.concatenate(outputs, axis=1)


def assert_steps_equal_the_whole(layer, x=X):
    y = eqx.filter_jit(layer)(x)
    np.testing.assert_allclose(by_portions(layer, x, (3, 1, 3)), y, rtol=1e-5, atol=1e-5)
    # The last token is told from the first: what is kept counts.
    assert np.abs(layer(x[:, -1:])[:, 0] - y[:, -1]).max() > 1e-2


def test_a_chain_with_positions_attention_and_what_takes_each_token_alone_steps_as_the_whole():
    attention = nn.MultiheadAttention(2, 2, heads=2, causal=True, key=KEYS[0], **OPTIONS)
    position = nn.LearnedPosition(length=7, p=2, n=2, key=KEYS[1])
    mlp = nn.MLP(2, 2, 2, hidden=(3,), activation=lambda x: jnp.tanh(x), key=KEYS[2])
    chain = nn.Sequential([position, attention, nn.SinusoidalPosition(), residual(mlp), functional.tanh])
    assert_steps_equal_the_whole(chain)


def test_a_stack_of_residual_recurrences_steps_as_the_whole():
    layers = [residual(nn.Mamba(2, 2, 2, state=2, key=key, **OPTIONS)) for key in KEYS[:2]]
    assert_steps_equal_the_whole(nn.Sequential([nn.Stack(layers), nn.Flatten()]))


def test_products_of_matrices_and_stacked_cells_step_as_the_whole_beside_one_another():
    scan = nn.MatrixScan(2, 2, 2, transition="free", key=KEYS[0], **OPTIONS)
    cells = nn.StackedRecurrent([nn.Recurrent(nn.LSTMCell(2, 2, 2, key=key, **OPTIONS)) for key in KEYS[1:3]])
    branches = nn.BranchSum([scan, cells, dense()])
    assert_steps_equal_the_whole(nn.Residual(branches, shortcut=dense(KEYS[3])))


def test_a_derived_layer_steps_as_what_it_makes():
    tied = nn.Tied(
        nn.Sequential([nn.Recurrent(nn.RNNCell(2, 2, 2, key=KEYS[0], **OPTIONS))] * 2),
        {"layers[1].cell.weight": "layers[0].cell.weight"},
    )
    steps = steps_of(tied)
    _, y = steps.step(steps.initial_cache(7, (2,)), X)
    np.testing.assert_allclose(y, tied(X), rtol=1e-5, atol=1e-6)


def test_half_precision_keeps_recurrent_states_in_float32():
    cell = nn.LSTMCell(2, 2, 2, dtype=jnp.bfloat16, key=KEYS[0])
    chain = nn.Sequential([nn.Recurrent(cell)])
    cache = chain.initial_cache(5, (3,))
    assert [leaf.dtype for leaf in jax.tree.leaves(cache)] == [jnp.float32] * 2
    assert [leaf.shape[0] for leaf in jax.tree.leaves(cache)] == [3, 3]
    given = chain.initial_cache(5, (3,), jnp.bfloat16)
    assert [leaf.dtype for leaf in jax.tree.leaves(given)] == [jnp.bfloat16] * 2


def test_each_layer_of_a_chain_draws_from_a_key_of_its_own():
    chain = nn.Sequential([nn.Dropout(0.5), nn.Dropout(0.5)])
    x = jnp.ones((2, 4, 2, 2, 2))
    _, y = chain.step(chain.initial_cache(4, (2,)), x, key=KEYS[0])
    np.testing.assert_array_equal(y, chain(x, key=KEYS[0]))


class Shared(eqx.Module):
    @property
    def length(self):
        return 3

    def __call__(self, x, *, start_pos=0):
        return x + start_pos


def test_a_layer_that_takes_a_start_position_counts_its_tokens():
    chain = nn.Sequential([Shared()])
    (place,), y = chain.step(chain.initial_cache(3), jnp.zeros((2, 1, 1, 1)))
    (place,), z = chain.step((place,), jnp.zeros((1, 1, 1, 1)))
    assert place == 3
    assert (y.max(), z.min()) == (0, 2)
    with pytest.raises(ValueError, match=r"`length` \(=4\) must be at most the 3 positions of Shared: choose fewer"):
        chain.initial_cache(4)


def recurrent(**options):
    return nn.Recurrent(nn.RNNCell(2, 2, 2, key=KEYS[0], **OPTIONS), **options)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: recurrent(reverse=True), r"layers\[1\]\.body: Recurrent.* cannot step: it runs in reverse"),
        (lambda: nn.Conv1d(2, 2, 2, 1, key=KEYS[0]), r"layers\[1\]\.body: Conv1d.* no `initial_cache` and `step`"),
        (lambda: lambda x: x, r"layers\[1\]\.body: .*<lambda> cannot step: it has no"),
        (lambda: nn.Sequential([nn.Sum(-4, keepdims=True)]), r"layers\[1\]\.body\.layers\[0\]: Sum.* cannot step"),
        (lambda: nn.Stack([lambda x: x]), r"layers\[1\]\.body\.layers\[\*\]: .*<lambda> cannot step"),
        (lambda: eqx.nn.make_with_state(nn.BatchNorm)(2, 2)[0], r"layers\[1\]\.body: BatchNorm.* it keeps an eqx.nn"),
    ],
    ids=["reverse", "convolution", "function", "over time", "stack", "stateful"],
)
def test_what_cannot_step_is_refused_with_its_path(layer, message):
    chain = nn.Sequential([recurrent(), nn.Residual(layer())])
    with pytest.raises(TypeError, match=rf"^{message}"):
        chain.initial_cache(4)


@pytest.mark.parametrize("chain", [nn.Sequential([nn.Tanh()]), nn.Residual(nn.Tanh())], ids=["Sequential", "Residual"])
def test_a_cache_of_another_chain_and_no_room_are_refused(chain):
    with pytest.raises(ContractError, match=r"`cache` \(=.*\) must be a tuple of 1, as initial_cache gives it"):
        chain.step((None, None), X)
    with pytest.raises(ValueError, match=r"`length` \(=0\) must be at least 1"):
        chain.initial_cache(0)


class Narrow(eqx.Module):
    def __call__(self, x, *, start_pos=0):
        return x[..., :1]


def test_summands_that_differ_are_refused_by_a_step_as_by_a_call():
    layer = nn.Residual(Narrow())
    for run in (lambda: layer(X), lambda: layer.step(layer.initial_cache(7), X)):
        with pytest.raises(ContractError, match=r"Residual adds equal shapes, but x is .* and body: Narrow gives"):
            run()
