"""Running statistics, into matrix neurons and out of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.bridge import from_equinox, to_equinox
from matrinox.bridge.running_statistics import share_of_batches


def test_the_share_of_batches_starts_at_one_and_grows_to_it_again():
    shares = share_of_batches(jnp.arange(4), 0.5)
    np.testing.assert_array_equal(shares, [1, 0.5, 0.75, 0.875])


def matrices(x):
    return x[..., None, None]


def test_batch_norm_normalises_by_the_batch_and_keeps_its_running_statistics(draw, drawn):
    kind = eqx.nn.make_with_state(eqx.nn.BatchNorm)
    theirs, state = kind(3, "batch", mode="batch", momentum=0.8)
    theirs = drawn(theirs)
    call = jax.vmap(theirs, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    x, z = draw(3, 4, 3)[:2]
    _, state = call(x, state)
    ours, our_state = from_equinox(theirs, state)
    for inference in (False, True):
        ours, theirs = eqx.nn.inference_mode((ours, theirs), inference)
        call = jax.vmap(theirs, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        expected, state = call(z, state)
        y, our_state = ours(matrices(z), our_state)
        np.testing.assert_allclose(y, matrices(expected), rtol=1e-6, atol=1e-6)


def test_batch_norm_without_a_state_starts_from_its_own_statistics_and_else_asks_for_the_state(draw):
    ours, state = eqx.nn.make_with_state(from_equinox)(eqx.nn.BatchNorm(3, "batch", mode="batch"))
    assert ours(draw(4, 3)[..., None, None], state)[0].shape == (4, 3, 1, 1)
    theirs, _ = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, "batch", mode="batch")
    with pytest.raises(
        ValueError, match="layer: BatchNorm: its running statistics are in the state of the model: give"
    ):
        from_equinox(theirs)
    other = eqx.nn.State(eqx.nn.Identity())
    with pytest.raises(ValueError, match="`state` holds no running statistics of it: give the state of this model"):
        from_equinox(theirs, other)


def test_batch_norm_comes_out_with_its_statistics(draw, drawn):
    ours, state = eqx.nn.make_with_state(nn.BatchNorm)(p=2, n=2, momentum=0.7)
    ours, x, z = drawn(ours), *draw(2, 3, 2, 2, 2)
    _, state = ours(x, state)
    theirs, their_state = to_equinox(ours, state)
    for inference in (False, True):
        ours, theirs = eqx.nn.inference_mode((ours, theirs), inference)
        call = jax.vmap(theirs, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        y, their_state = call(z.reshape(3, 8), their_state)
        expected, state = ours(z, state)
        np.testing.assert_allclose(y, expected.reshape(3, 8), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="its statistics are of whole neurons"):
        to_equinox(nn.BatchNorm(p=2, n=2, per="neuron"))
    one = to_equinox(nn.BatchNorm(p=2, n=1, use_bias=False, axis_name="i"))
    assert one.axis_name == "i"
    np.testing.assert_array_equal(one.bias, jnp.zeros(2))
