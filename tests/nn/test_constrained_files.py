"""A constrained model goes into a file and comes out of it."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np
from constrained_chain import KEYS, LAWS, chain, draw

from matrinox import io, nn


def test_a_saved_model_loads_with_the_same_function(tmp_path):
    laws = {path: law for path, law in LAWS.items() if path.startswith("layers[0]")}
    one, x = nn.Constrained(chain(1), laws), draw(2, 2, 2)
    one = jax.tree.map(lambda leaf: leaf + 0.1 if eqx.is_inexact_array(leaf) else leaf, one)
    io.save(tmp_path / "model.safetensors", one)
    assert [leaf.path for leaf in io.read_header(tmp_path / "model.safetensors").arrays] == [
        "model.layers[0].weight",
        "model.layers[0].bias",
    ]
    loaded = io.load(tmp_path / "model.safetensors", like=nn.Constrained(chain(1), laws))
    assert eqx.tree_equal(loaded, one)
    np.testing.assert_array_equal(loaded(x), one(x))
    io.save(tmp_path / "whole.safetensors", one.whole())
    np.testing.assert_array_equal(io.load(tmp_path / "whole.safetensors", like=chain(1))(x), one(x))


@dataclasses.dataclass(frozen=True)
class Config:
    q: int = dataclasses.field(default=3, metadata={"min": 1, "max": 8})


class Scorer(eqx.Module):
    layer: Any
    config: Config = eqx.field(static=True)

    def __init__(self, config, *, key):
        self.layer = nn.Dense(p=2, q=config.q, n=2, key=key)
        self.config = config

    def __call__(self, x):
        return self.layer(x)


class RigidScorer(Scorer):
    def __init__(self, config, *, key):
        super().__init__(config, key=key)
        self.layer = nn.Constrained(self.layer, {"weight": nn.Orthogonal()})


def test_a_model_that_is_constrained_within_is_rebuilt_from_its_config(tmp_path):
    model, x = RigidScorer(Config(), key=KEYS[0]), draw(2, 2, 2)
    io.save(tmp_path / "model.safetensors", model)
    loaded = io.load(tmp_path / "model.safetensors", RigidScorer)
    assert eqx.tree_equal(loaded, model)
    np.testing.assert_array_equal(loaded(x), model(x))


def test_a_model_of_a_config_that_is_wrapped_is_a_plain_tree_and_its_whole_is_the_model(tmp_path):
    scorer, x = Scorer(Config(), key=KEYS[0]), draw(2, 2, 2)
    wrapped = nn.Constrained(scorer, {"layer.weight": nn.Orthogonal()})
    io.save(tmp_path / "wrapped.safetensors", wrapped)
    assert io.read_header(tmp_path / "wrapped.safetensors").architecture is None
    loaded = io.load(tmp_path / "wrapped.safetensors", like=wrapped)
    np.testing.assert_array_equal(loaded(x), wrapped(x))
    io.save(tmp_path / "whole.safetensors", wrapped.whole())
    np.testing.assert_array_equal(io.load(tmp_path / "whole.safetensors", Scorer)(x), wrapped(x))
