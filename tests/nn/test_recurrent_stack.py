import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.nn import Bidirectional, Dropout, GRUCell, Recurrent, RNNCell, Sequential, StackedRecurrent

N, T = 2, 4


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def drawn(key, shape, dtype):
    """An initializer that compiles nothing."""
    return jnp.asarray(draw(int(jax.random.key_data(key)[-1]), *shape), dtype) / 3


def layer(p=2, q=3, n=N, seed=0, kind=RNNCell, **options):
    return Recurrent(kind(p=p, q=q, n=n, initializer=drawn, key=jax.random.key(seed)), **options)


def both_ways(p=2, q=3, merge="concatenate"):
    return Bidirectional(layer(p, q), layer(p, q, seed=1, reverse=True), merge=merge)


class Summed(eqx.Module):
    """A running sum: what goes in is known of what comes out."""

    p = q = 1
    n = 1

    def initial_carry(self, batch_shape=(), dtype=None):
        return jnp.zeros((*batch_shape, 1, 1, 1), dtype)

    def __call__(self, carry, x, *, key=None):
        return carry + x, carry + x


def test_a_stack_and_both_directions_of_running_sums_are_worked_out_by_hand():
    x = jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1)
    forward, backward = Recurrent(Summed()), Recurrent(Summed(), reverse=True)
    assert np.array_equal(StackedRecurrent([forward, forward])(x).ravel(), [1.0, 4.0, 10.0])
    side_by_side = Bidirectional(forward, backward)(x)
    assert np.array_equal(side_by_side[:, :, 0, 0], [[1.0, 6.0], [3.0, 5.0], [6.0, 3.0]])
    assert np.array_equal(Bidirectional(forward, backward, merge="sum")(x).ravel(), [7.0, 8.0, 9.0])


def test_a_stack_is_its_layers_in_turn(x64):
    layers = [layer(2, 3), both_ways(3, 2), layer(4, 1, seed=2, reverse=True)]
    stack, x, lengths = StackedRecurrent(layers), draw(0, 3, T, 2, N, N), jnp.array([4, 2, 0])
    carry, y = stack.scan(x, lengths=lengths)
    expected = x
    for index, one in enumerate(layers):
        last, expected = one.scan(expected, lengths=lengths)
        for ours, theirs in zip(jax.tree.leaves(carry[index]), jax.tree.leaves(last), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(y, expected)
    assert (stack.p, stack.q, stack.n) == (2, 1, N)


def test_bidirectional_is_both_layers_side_by_side_or_summed(x64):
    forward, backward = layer(), layer(seed=1, reverse=True)
    x, lengths = draw(0, 3, T, 2, N, N), jnp.array([4, 2, 0])
    (first, y), (second, z) = forward.scan(x, lengths=lengths), backward.scan(x, lengths=lengths)
    carry, both = Bidirectional(forward, backward).scan(x, lengths=lengths)
    np.testing.assert_array_equal(both, jnp.concatenate([y, z], axis=-3))
    assert all(np.array_equal(*pair) for pair in zip(carry, (first, second), strict=True))
    np.testing.assert_array_equal(Bidirectional(forward, backward, merge="sum")(x, lengths=lengths), y + z)
    assert Bidirectional(forward, backward).q == 6
    assert Bidirectional(forward, backward, merge="sum").q == 3


def test_bidirectional_turned_round_in_time_swaps_its_two_halves(x64):
    cell = RNNCell(p=2, q=3, n=N, initializer=drawn, key=jax.random.key(0))
    both = Bidirectional(Recurrent(cell), Recurrent(cell, reverse=True))
    x = draw(0, T, 2, N, N)
    y, turned = both(x), both(x[::-1])[::-1]
    np.testing.assert_allclose(turned, jnp.concatenate([y[:, 3:], y[:, :3]], axis=1), rtol=1e-12)


def test_stacks_may_run_side_by_side_and_side_by_side_may_be_stacked(x64):
    there = StackedRecurrent([layer(2, 3), layer(3, 2)])
    back = StackedRecurrent([layer(2, 3, seed=1, reverse=True), layer(3, 2, seed=2, reverse=True)])
    x, lengths = draw(0, 3, T, 2, N, N), jnp.array([4, 2, 0])
    nested = StackedRecurrent([Bidirectional(there, back), both_ways(4, 1, merge="sum")])
    carry, y = nested.scan(x, lengths=lengths)
    side = jnp.concatenate([there(x, lengths=lengths), back(x, lengths=lengths)], axis=-3)
    np.testing.assert_allclose(y, both_ways(4, 1, merge="sum")(side, lengths=lengths), rtol=1e-12)
    assert jax.tree.structure(carry) == jax.tree.structure(nested.initial_carry((3,)))
    padded = jnp.where((jnp.arange(T) >= lengths[:, None])[..., None, None, None], jnp.nan, x)
    np.testing.assert_array_equal(nested(padded, lengths=lengths), y)


def test_a_carry_goes_to_each_layer_and_two_halves_are_the_whole(x64):
    stack, x = StackedRecurrent([layer(2, 3), layer(3, 2, kind=GRUCell)]), draw(0, 3, T, 2, N, N)
    carry, first = stack.scan(x[:, :1])
    last, second = stack.scan(x[:, 1:], carry=carry)
    whole, y = stack.scan(x)
    np.testing.assert_allclose(jnp.concatenate([first, second], axis=1), y, rtol=1e-12)
    assert all(np.allclose(*pair, rtol=1e-12) for pair in zip(last, whole, strict=True))
    for leaf, q in zip(stack.initial_carry((3,), jnp.bfloat16), (3, 2), strict=True):
        assert (leaf.shape, leaf.dtype) == ((3, q, N, N), jnp.bfloat16)
    both = both_ways()
    start = jax.tree.map(lambda leaf: leaf + 1, both.initial_carry((3,)))
    expected = both.forward(x, carry=start[0]), both.backward(x, carry=start[1])
    np.testing.assert_array_equal(both(x, carry=start), jnp.concatenate(expected, axis=-3))


class Dropped(Summed):
    dropout: Dropout

    def __call__(self, carry, x, *, key=None):
        return super().__call__(carry, self.dropout(x, key=key))


def test_each_layer_has_a_key_of_its_own():
    one = Recurrent(Dropped(Dropout(0.5)))
    x, key = jnp.ones((64, 1, 1, 1)), jax.random.key(0)
    there, back = np.split(
        np.asarray(Bidirectional(one, Recurrent(Dropped(Dropout(0.5)), reverse=True))(x, key=key))[:, :, 0, 0], 2, 1
    )
    assert not np.array_equal(np.diff(there, axis=0) > 0, np.diff(back[::-1], axis=0)[::-1] > 0)
    carry, y = StackedRecurrent([one, Recurrent(Summed()), one]).scan(x, key=key)
    assert carry[0] < 2 * 64
    assert not np.array_equal(y, StackedRecurrent([one, Recurrent(Summed()), one])(x, key=jax.random.key(1)))


def test_dropout_acts_between_layers_in_training_alone():
    passing = Recurrent(RNNCell(p=1, q=1, n=1, activation=lambda h: h, initializer=drawn, key=jax.random.key(0)))
    # y = x: nothing of h.
    passing = eqx.tree_at(lambda one: one.cell.weight, passing, jnp.array([0.0, 1.0]).reshape(1, 2, 1, 1))
    x, key = jnp.ones((200, 1, 1, 1)), jax.random.key(0)
    y = StackedRecurrent([passing, passing], dropout=0.5)(x, key=key)
    assert set(np.unique(y)) == {0.0, 2.0}
    assert np.array_equal(StackedRecurrent([passing], dropout=0.5)(x, key=key), x)
    stack = StackedRecurrent([passing, passing], dropout=0.5)
    assert np.array_equal(eqx.nn.inference_mode(stack)(x), x)
    with pytest.raises(ValueError, match=r"`key` \(=None\) is needed by Dropout"):
        stack(x)
    with pytest.raises(ValueError, match=r"`rate` \(=1.5\) must be from 0"):
        StackedRecurrent([passing], dropout=1.5)


def test_a_joint_that_does_not_fit_is_refused_naming_both_layers():
    with pytest.raises(
        ContractError,
        match=r"layers\[1\]: Recurrent\(p=2, q=3, n=2\) takes .*layers\[0\]: Recurrent\(p=2, q=3, n=2\) gives",
    ):
        StackedRecurrent([layer(2, 3), layer(2, 3)])
    with pytest.raises(ContractError, match=r"layers\[1\]: Recurrent\(p=6.*, n=3\) takes .*layers\[0\]: Bidirectional"):
        StackedRecurrent([both_ways(), layer(6, 1, n=3)])
    with pytest.raises(
        ContractError, match=r"`forward` \(=Recurrent\(p=2, q=3, n=2\)\) and `backward` \(=Recurrent\(p=3"
    ):
        Bidirectional(layer(2, 3), layer(3, 3, reverse=True))
    with pytest.raises(ContractError, match="must have the same n: they take the same x"):
        Bidirectional(layer(), layer(n=3, reverse=True))
    with pytest.raises(ContractError, match="must have the same q: use merge='concatenate'"):
        Bidirectional(layer(2, 3), layer(2, 4, reverse=True), merge="sum")
    assert Bidirectional(layer(2, 3), layer(2, 4, reverse=True)).q == 7
    assert Sequential([both_ways(), layer(6, 1)]).shapes((T, 2, N, N))[-1] == (T, 1, N, N)


def test_a_layer_that_runs_the_wrong_way_is_refused():
    with pytest.raises(ValueError, match=r"`backward` .* must run in reverse and that way only: .* reverse=True"):
        Bidirectional(layer(), layer())
    with pytest.raises(ValueError, match=r"`forward` .* must run forward and that way only: .* reverse=False"):
        Bidirectional(layer(reverse=True), layer(reverse=True))
    with pytest.raises(ValueError, match="must run in reverse and that way only"):
        Bidirectional(layer(), StackedRecurrent([layer(2, 3, reverse=True), layer(3, 3)]))


def test_what_is_no_recurrent_layer_is_refused():
    cell = RNNCell(p=2, q=3, n=N, initializer=drawn, key=jax.random.key(0))
    with pytest.raises(
        TypeError, match=r"`layers\[1\]` \(=RNNCell\) must be a recurrent layer: wrap a cell as nn.Recur"
    ):
        StackedRecurrent([layer(), cell])
    with pytest.raises(TypeError, match=r"`backward` \(=RNNCell\) must be a recurrent layer"):
        Bidirectional(layer(), cell)
    with pytest.raises(ValueError, match=r"`layers` \(=\(\)\) must hold at least one layer"):
        StackedRecurrent([])


def test_a_carry_of_another_count_is_refused():
    stack, x = StackedRecurrent([layer(2, 3), layer(3, 2)]), draw(0, T, 2, N, N)
    for wrong in (stack.initial_carry()[:1], list(stack.initial_carry())):
        with pytest.raises(ContractError, match=r"`carry` \(=.*\) must be a tuple of 2, as initial_carry gives it"):
            stack.scan(x, carry=wrong)
    with pytest.raises(ContractError, match=r"`carry` .* must be as initial_carry\(\(\)\) gives it"):
        stack.scan(x, carry=stack.initial_carry((3,)))


def test_a_wrong_shape_is_refused_with_the_layer_that_was_called():
    with pytest.raises(ContractError, match=r"^StackedRecurrent\(p=2, q=2, n=2\) got x float32\[4, 3, 2, 2\]"):
        StackedRecurrent([layer(2, 3), layer(3, 2)])(jnp.ones((T, 3, N, N)))
    with pytest.raises(ContractError, match=r"^Bidirectional\(p=2, q=6, n=2\) got x .* axis -1 is 3, n is 2"):
        both_ways()(jnp.ones((T, 2, 2, 3)))
