"""Seeds and models from a stream: pure, repeatable, and none drawn twice."""

import equinox as eqx
import jax
import numpy as np
import pytest

from matrinox import nn
from matrinox.rand import KeyStream, build, fresh_seed, manual_seed, with_model


def make(names):
    def layers(keys):
        return nn.Sequential([nn.Dense(p=2, q=2, n=2, key=keys.key(name)) for name in names])

    return layers


def test_a_manual_seed_starts_the_stream_of_that_seed():
    assert eqx.tree_equal(manual_seed(7), KeyStream(7))
    with pytest.raises(ValueError, match=r"`seed` \(=-1\) must be from 0 to 2³² − 1"):
        manual_seed(-1)


def test_fresh_seeds_differ_and_the_same_stream_gives_the_same_ones():
    def three(stream):
        seeds = []
        for _ in range(3):
            seed, stream = fresh_seed(stream)
            seeds.append(int(seed))
        return seeds

    assert three(manual_seed(0)) == three(manual_seed(0))
    assert len({*three(manual_seed(0)), *three(manual_seed(1))}) == 6
    assert all(0 <= seed < 2**32 for seed in three(manual_seed(0)))
    seed, _ = fresh_seed(manual_seed(0))
    assert eqx.tree_equal(manual_seed(seed), manual_seed(int(seed)))


def test_a_stream_that_is_a_constant_of_a_traced_function_gives_no_seed_and_no_model():
    stream = manual_seed(0)
    with pytest.raises(RuntimeError, match="cannot advance a stream"):
        jax.jit(lambda: fresh_seed(stream)[0])()
    with pytest.raises(RuntimeError, match="cannot advance a stream"):
        jax.jit(lambda: with_model(make("a"), stream, lambda model: model.layers[0].weight)[0])()
    seed, _ = jax.jit(fresh_seed)(stream)
    assert seed == fresh_seed(stream)[0]


def test_a_model_is_a_function_of_its_seed_alone():
    assert eqx.tree_equal(build(make("ab"), 0), build(make("ab"), 0))
    assert eqx.tree_equal(build(make("ab"), 0), build(make("ab"), manual_seed(0)))
    assert eqx.tree_equal(build(make("ab"), 0), build(make("ab"), jax.random.key(0)))
    assert not np.array_equal(build(make("a"), 0).layers[0].weight, build(make("a"), 1).layers[0].weight)


def test_a_layer_that_is_added_leaves_the_named_draws_of_the_others():
    small, large = build(make("ab"), 0), build(make("cab"), 0)
    assert eqx.tree_equal(small.layers, large.layers[1:])
    assert not np.array_equal(large.layers[0].weight, large.layers[1].weight)


def test_a_model_of_the_next_seed_is_used_and_the_stream_is_advanced():
    stream = manual_seed(3)
    key, behind = stream.next()
    model, after = with_model(make("a"), stream, lambda model: model)
    assert eqx.tree_equal(model, build(make("a"), key))
    assert eqx.tree_equal(after, behind)
    other, _ = with_model(make("a"), after, lambda model: model)
    assert not np.array_equal(model.layers[0].weight, other.layers[0].weight)


def test_no_switch_of_jax_changes_what_a_seed_gives():
    before = jax.random.key_data(manual_seed(0).key("a"))
    with jax.default_prng_impl("rbg"):
        np.testing.assert_array_equal(jax.random.key_data(manual_seed(0).key("a")), before)
