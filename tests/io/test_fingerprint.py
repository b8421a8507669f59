"""What identifies a model: the same for the same arrays, and another for any other."""

import doctest
import hashlib
import importlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import io
from matrinox.io import fingerprint


def test_a_fingerprint_by_hand():
    digest = hashlib.sha256(b'["[\'a\']","array","float32",[2]]' + np.array([1, 2], "<f4").tobytes())
    digest.update(b'["[\'b\'][0]","array","int8",[]]' + b"\x07")
    assert fingerprint({"b": [np.int8(7), 0.5, jnp.tanh, None], "a": jnp.array([1.0, 2.0])}) == digest.hexdigest()
    assert fingerprint({}) == hashlib.sha256().hexdigest()


def test_the_example_runs():
    assert doctest.testmod(importlib.import_module("matrinox.io.fingerprint")) == (0, 2)


def test_a_model_and_what_its_file_gives_have_one_fingerprint(tiny, tiny_net, tiny_file):
    loaded = io.load(tiny_file, tiny.TinyNet)
    assert fingerprint(loaded) == fingerprint(tiny_net)
    assert fingerprint(eqx.nn.inference_mode(loaded)) == fingerprint(tiny_net)
    numpy = jax.tree.map(lambda leaf: np.asarray(leaf) if eqx.is_array(leaf) else leaf, tiny_net)
    assert fingerprint(numpy) == fingerprint(tiny_net)


def test_whatever_changes_in_an_array_changes_the_fingerprint():
    weight = np.arange(4, dtype=np.float32)
    trees = [
        {"weight": weight},
        {"weigh": weight},
        {"weight": weight.reshape(2, 2)},
        {"weight": weight.view(np.int32)},
        {"weight": weight.astype(np.float16)},
        {"weight": np.nextafter(weight, np.float32(9))},
        {"weight": weight[::-1]},
        {"weight": weight, "bias": weight[:0]},
        {"weight": weight, "key": jax.random.key(0)},
        {"weight": weight, "key": jax.random.key(1)},
        {"weight": [weight[:2], weight[2:]]},
        {"weight": [weight[:3], weight[3:]]},
        {"weight": jnp.array([0.0, -0.0, 2.0, 3.0])},
        {"weight": jnp.array([0.0, 0.0, 2.0, 3.0])},
    ]
    assert len({fingerprint(tree) for tree in trees}) == len(trees)


def test_an_array_without_numbers_is_refused():
    with pytest.raises(io.ModelFileError, match=r"`\['weight'\]` is a shape without numbers"):
        fingerprint({"weight": jax.ShapeDtypeStruct((2,), jnp.float32)})
    with pytest.raises(io.ModelFileError, match=r"`\['weight'\]` is being traced and has no value yet"):
        jax.jit(lambda weight: fingerprint({"weight": weight}))(jnp.ones(2))
