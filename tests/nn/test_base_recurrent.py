import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.functional import diagonal_scan
from matrinox.nn import Bidirectional, Recurrent, StackedRecurrent
from matrinox.nn.base_recurrent import ParallelRecurrent, valid_steps

P, N, T = 2, 2, 5


class Leaky(eqx.Module):
    """A user's cell: `h_t = a h_{t−1} + x_t`."""

    decay: jax.Array
    p = q = P
    n = N

    def initial_carry(self, batch_shape=(), dtype=None):
        return jnp.zeros((*batch_shape, P, N, N), dtype)

    def __call__(self, carry, x, *, key=None):
        h = self.decay * carry + x
        return h, h


class ParallelLeaky(ParallelRecurrent):
    """The same, all steps at once."""

    cell: Leaky
    reverse: bool = False
    p = q = P
    n = N

    def initial_carry(self, batch_shape=(), dtype=None):
        return self.cell.initial_carry(batch_shape, dtype)

    def step(self, carry, x, *, key=None):
        return self.cell(carry, x, key=key)

    def forward(self, carry, x, lengths, key):
        decay = jnp.broadcast_to(self.cell.decay, x.shape)
        if lengths is not None:
            decay = jnp.where(valid_steps(lengths, x.shape[-4])[..., None, None, None], decay, 1)
        h = diagonal_scan(decay, x, carry)
        return (h[..., -1, :, :, :] if x.shape[-4] else carry), h


CELL = Leaky(jnp.asarray(np.random.default_rng(0).uniform(0.1, 0.9, (P, N, N)), jnp.float32))


def sequence(*batch):
    return jnp.asarray(np.random.default_rng(1).normal(size=(*batch, T, P, N, N)), jnp.float32)


def assert_close(ours, theirs):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_all_steps_at_once_are_those_of_the_cell_from_a_carry_and_with_lengths(reverse):
    parallel, stepped = ParallelLeaky(CELL, reverse), Recurrent(CELL, reverse=reverse)
    x, start = sequence(4), sequence(4)[:, 0]
    assert_close(parallel.scan(x, carry=start), stepped.scan(x, carry=start))
    lengths = jnp.array([5, 3, 1, 0])
    # What is behind the lengths is padding, and not looked at.
    padded = jnp.where(valid_steps(lengths, T)[..., None, None, None], x, jnp.nan)

    @eqx.filter_jit
    def run(layer, x):
        def loss(layer):
            carry, y = layer.scan(x, carry=start, lengths=lengths)
            return jnp.sum(jnp.sin(y)) + jnp.sum(carry), (carry, y)

        return eqx.filter_value_and_grad(loss, has_aux=True)(layer)

    ours, theirs = run(parallel, padded), run(stepped, padded)
    assert_close(ours, theirs)
    assert np.any(ours[1].cell.decay)
    (carry, y) = ours[0][1]
    assert np.array_equal(carry[3], start[3])
    assert not np.any(y[2, 1:])


def test_a_parallel_layer_stacks_and_runs_both_ways_as_its_cell_does():
    x, lengths = sequence(3), jnp.array([5, 2, 0])

    def model(one, way):
        return StackedRecurrent([one, Bidirectional(one, way, merge="sum")])

    ours = model(ParallelLeaky(CELL), ParallelLeaky(CELL, True))
    theirs = model(Recurrent(CELL), Recurrent(CELL, reverse=True))
    assert_close(ours.scan(x, lengths=lengths), theirs.scan(x, lengths=lengths))
    assert ours.directions == {"forward", "reverse"}


def test_steps_equal_the_whole():
    layer, x = ParallelLeaky(CELL), sequence(3)
    carry, ys = layer.initial_carry((3,)), []
    for t in range(T):
        carry, y = layer.step(carry, x[:, t])
        ys.append(y)
    assert_close((carry, jnp.stack(ys, 1)), layer.scan(x))


def test_outside_jit_too_the_whole_is_compiled_once(caplog):
    layer, x = ParallelLeaky(CELL), sequence(7)
    compiled = []
    with jax.log_compiles(True), caplog.at_level("DEBUG"):
        for factor in (1, 2):
            layer(factor * x)
            compiled.append(sum("Finished XLA compilation of jit(_at_once)" in message for message in caplog.messages))
    assert compiled == [1, 1]


def test_traced_lengths_out_of_range_make_their_example_nan_and_no_other():
    layer, x = ParallelLeaky(CELL, True), sequence(3)
    carry, y = jax.jit(lambda lengths: layer.scan(x, lengths=lengths))(jnp.array([6, 5, -1]))
    for array in (carry, y):
        assert np.isnan(array[0::2]).all()
        assert np.isfinite(array[1]).all()
