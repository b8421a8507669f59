import hashlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.rand import KeyStream


def bits(key):
    return np.asarray(jax.random.key_data(key))


def same(left, right):
    return np.array_equal(bits(left), bits(right))


def test_a_key_depends_on_the_seed_and_the_name_alone():
    stream = KeyStream(7)
    first = [stream.key(name) for name in ("encoder", "head")]
    reordered = [KeyStream(7).key(name) for name in ("new", "head", "encoder")]
    assert same(first[0], reordered[2])
    assert same(first[1], reordered[1])
    assert not same(first[0], KeyStream(8).key("encoder"))


def test_a_key_by_name_is_the_digest_folded_in():
    words = hashlib.sha256(b"encoder").digest()
    expected = jax.random.fold_in(jax.random.key(7), 1)
    for word in (words[:4], words[4:8]):
        expected = jax.random.fold_in(expected, int.from_bytes(word, "big"))
    assert same(KeyStream(7).key("encoder"), expected)


def test_split_is_the_keys_of_the_first_positions_whatever_the_count():
    stream = KeyStream(0)
    for i, key in enumerate(stream.split(3)):
        assert same(key, stream.key(i))
        assert same(key, stream.split(5)[i])
    assert stream.split(0).shape == (0,)


def test_no_two_uses_of_a_stream_share_a_key():
    stream = KeyStream(0)
    drawn, advanced = stream.next()
    keys = [stream.root, drawn, advanced.next()[0], stream.child(0).root, stream.child("0").root]
    keys += [
        stream.child(0).key(0),
        stream.child("0").key("0"),
        *stream.split(20),
        *map(stream.key, map(str, range(20))),
    ]
    assert len({bits(key).tobytes() for key in keys}) == len(keys)


def test_next_walks_on_and_leaves_the_names_alone():
    stream = KeyStream(3)
    first, second = stream.next()
    assert same(stream.next()[0], first)
    assert not same(second.next()[0], first)
    assert same(second.key("encoder"), stream.key("encoder"))
    assert same(second.child("encoder").root, stream.child("encoder").root)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey], ids=["typed", "older"])
def test_a_seed_may_be_a_key_and_keys_are_of_its_kind(make):
    stream = KeyStream(make(5))
    assert stream.key("encoder").dtype == make(5).dtype
    assert same(stream.key("encoder"), KeyStream(5).key("encoder"))
    assert np.array_equal(bits(stream.split(2)), bits(KeyStream(5).split(2)))
    assert same(stream.next()[1].next()[0], KeyStream(5).next()[1].next()[0])


def test_a_position_may_be_traced():
    stream = KeyStream(0)
    assert same(jax.jit(lambda step: stream.key(step))(jnp.uint32(4)), stream.key(4))
    assert same(jax.jit(lambda step: stream.child(step).key("noise"))(4), stream.child(4).key("noise"))


@pytest.mark.parametrize("transform", ["jit", "scan", "scan inside jit", "vmap inside jit", "checkpoint", "while"])
def test_next_refuses_to_advance_a_constant_of_a_traced_function(transform):
    stream = KeyStream(0)

    def scan(stream):
        return jax.lax.scan(lambda carry, _: (carry, stream.next()[0]), 0, None, length=3)[1]

    run = {
        "jit": lambda: jax.jit(lambda: stream.next()[0])(),
        "scan": lambda: scan(stream),
        "scan inside jit": lambda: jax.jit(scan)(stream),
        "vmap inside jit": lambda: jax.jit(jax.vmap(lambda x: (x, stream.next()[0])))(jnp.ones(2)),
        "checkpoint": lambda: jax.checkpoint(lambda x: (x, stream.next()[0]))(1.0),
        "while": lambda: jax.lax.while_loop(
            lambda s: s[0] < 3, lambda s: (s[0] + 1, stream.next()[0]), (0, stream.root)
        ),
    }[transform]
    with pytest.raises(
        RuntimeError, match=r"repeat the same keys: pass the stream in as an argument.*stream\.key\(step\)"
    ):
        run()


def test_next_advances_a_stream_that_is_passed_through_the_traced_function():
    drawn = []
    stream = KeyStream(0)
    for _ in range(3):
        key, stream = stream.next()
        drawn.append(bits(key))
    advance = jax.jit(lambda stream: stream.next())
    key, after = advance(KeyStream(0))
    assert np.array_equal(bits(key), drawn[0])
    assert np.array_equal(bits(advance(after)[0]), drawn[1])
    scanned = jax.lax.scan(lambda stream, _: stream.next()[::-1], KeyStream(0), None, length=3)[1]
    assert np.array_equal(bits(scanned), drawn)


def test_next_advances_where_python_runs_every_time_and_where_the_key_is_an_argument():
    stream = KeyStream(0)
    draw = jax.random.uniform(stream.next()[0])
    assert jax.grad(lambda x: x * jax.random.uniform(stream.next()[0]))(1.0) == draw
    assert jax.jit(jax.grad(lambda x, s: x * jax.random.uniform(s.next()[0])))(1.0, stream) == draw
    assert eqx.filter_eval_shape(lambda key: KeyStream(key).next()[0], jax.random.key(0)).shape == ()


@pytest.mark.parametrize("outer", [jax.jit, lambda f: f], ids=["jit", "no jit"])
def test_next_advances_streams_that_are_mapped_over(outer):
    keys = KeyStream(0).split(3)
    drawn = outer(jax.vmap(lambda stream: stream.next()[0]))(jax.vmap(KeyStream)(keys))
    assert np.array_equal(bits(drawn), [bits(KeyStream(key).next()[0]) for key in keys])
    twice = outer(jax.vmap(jax.vmap(lambda stream: stream.next()[0])))
    assert np.array_equal(bits(twice(jax.vmap(jax.vmap(KeyStream))(keys[None]))[0]), bits(drawn))


def test_streams_can_be_stacked():
    streams = jax.vmap(KeyStream)(KeyStream(0).split(2))
    keys = jax.vmap(lambda stream: stream.key("noise"))(streams)
    assert same(keys[1], KeyStream(KeyStream(0).key(1)).key("noise"))


@pytest.mark.parametrize("method", ["key", "child"])
@pytest.mark.parametrize("position", [-1, 2**32])
def test_a_position_outside_32_bits_is_refused(method, position):
    with pytest.raises(ValueError, match=rf"`name` \(={position}\) must be from 0 to 2³² − 1: use text"):
        getattr(KeyStream(0), method)(position)


@pytest.mark.parametrize("method", ["key", "child"])
def test_a_position_in_an_array_is_checked_where_it_is_known_and_wraps_where_it_is_traced(method):
    call = getattr(KeyStream(0), method)
    for position in (jnp.array(-1), np.array(-1), np.array(2**32)):
        with pytest.raises(ValueError, match=rf"`name` \(={int(position)}\) must be from 0 to 2³² − 1: use text"):
            call(position)
    traced, known = jax.jit(lambda position: call(position))(jnp.array(-1)), call(2**32 - 1)
    assert same(jax.tree.leaves(traced)[0], jax.tree.leaves(known)[0])


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70])
def test_a_seed_outside_32_bits_is_refused(seed):
    with pytest.raises(ValueError, match=rf"`seed` \(={seed}\) must be from 0 to 2³² − 1: choose a seed in this"):
        KeyStream(seed)
    assert not same(KeyStream(2**32 - 1).root, KeyStream(0).root)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match=r"`count` \(=-1\) must be at least 0"):
        KeyStream(0).split(-1)


@pytest.mark.parametrize("seed", ["zero", 0.5, None, jnp.zeros(3, jnp.uint32), KeyStream(0).split(2)], ids=str)
def test_a_seed_that_is_neither_int_nor_key_is_refused(seed):
    with pytest.raises(ContractError):
        KeyStream(seed)


def test_a_name_that_is_neither_text_nor_whole_number_is_refused():
    with pytest.raises(ContractError):
        KeyStream(0).key(1.5)
