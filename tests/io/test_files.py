"""Saving and loading: with an architecture, with its state, with a skeleton, and what each refuses."""

import dataclasses
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.io import ModelFileError, load, read_header, save


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def assert_same_tree(a: Any, b: Any) -> None:
    for (where, x), (other, y) in zip(*map(jax.tree_util.tree_leaves_with_path, (a, b)), strict=True):
        assert where == other
        assert type(x) is type(y)
        if eqx.is_array(x):
            assert x.dtype == y.dtype
            assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def test_an_architecture_comes_back_from_its_class(tiny_net: Any, tiny: ModuleType, path: Path) -> None:
    save(path, tiny_net)
    loaded = load(path, tiny.TinyNet)
    assert_same_tree(tiny_net, loaded)
    assert (loaded.config, loaded.activation) == (tiny_net.config, tiny_net.activation)
    assert loaded.scaled(2.0) == 0.5


def test_an_architecture_is_taken_from_a_table_by_the_name_in_the_file(
    tiny_net: Any, tiny: ModuleType, path: Path
) -> None:
    save(path, tiny_net)
    assert_same_tree(tiny_net, load(path, {"Other": tiny.TinyStateful, "TinyNet": tiny.TinyNet}))


def test_numbers_changed_since_building_are_kept(tiny_net: Any, tiny: ModuleType, path: Path) -> None:
    save(path, eqx.tree_at(lambda net: net.rate, eqx.nn.inference_mode(tiny_net), 0.75))
    loaded = load(path, tiny.TinyNet)
    assert (loaded.inference, loaded.rate, loaded.config.rate) == (True, 0.75, 0.25)


def test_an_architecture_loads_with_a_skeleton_too(tiny_net: Any, tiny: ModuleType, path: Path) -> None:
    save(path, tiny_net)
    skeleton = eqx.filter_eval_shape(tiny.TinyNet, tiny_net.config, key=jax.random.key(1))
    assert_same_tree(tiny_net, load(path, like=skeleton))


def test_a_model_and_its_state_come_back_as_a_pair(tiny: ModuleType, path: Path) -> None:
    model, state = eqx.nn.make_with_state(tiny.TinyStateful)(tiny.TinyConfig(), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (5, 2))
    _, state = jax.vmap(model.norm, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)
    save(path, (model, state))
    assert read_header(path).stateful
    with pytest.raises(
        ModelFileError, match=r"it holds a pair of such a model and its State: pass like=\(model, state\)"
    ):
        load(path, like=model)
    loaded, loaded_state = load(path, tiny.TinyStateful)
    assert_same_tree((model, state), (loaded, loaded_state))
    before, after = (eqx.nn.inference_mode(m).norm(x[0], s)[0] for m, s in ((model, state), (loaded, loaded_state)))
    assert np.array_equal(before, after)


def test_a_stateful_model_without_its_state_is_refused_with_the_remedy(tiny: ModuleType, path: Path) -> None:
    model, _ = eqx.nn.make_with_state(tiny.TinyStateful)(tiny.TinyConfig(), key=jax.random.key(0))
    with pytest.raises(ModelFileError, match=r"It holds state: build it by eqx.nn.make_with_state and save the pair"):
        save(path, model)


def test_a_plain_tree_with_state_comes_back_with_a_skeleton(path: Path) -> None:
    pair = eqx.nn.make_with_state(eqx.nn.BatchNorm)(2, "batch", mode="ema")
    save(path, pair)
    assert read_header(path).architecture is None
    assert_same_tree(pair, load(path, like=pair))
    with pytest.raises(ModelFileError, match=r"pass like=\(model, state\)"):
        load(path, like=pair[0])


def test_the_same_model_is_written_as_the_same_bytes(tiny_net: Any, path: Path) -> None:
    save(path, tiny_net)
    first = path.read_bytes()
    save(path, tiny_net)
    assert path.read_bytes() == first


@dataclasses.dataclass(frozen=True)
class NumberedConfig:
    number: float | str
    more: tuple[float, ...]


class Numbered(eqx.Module):
    weight: jax.Array
    config: NumberedConfig = eqx.field(static=True)

    def __init__(self, config: NumberedConfig, *, key: jax.Array):
        self.weight, self.config = jax.random.normal(key, (2,)), config


# --- a model that its config does not rebuild


def surgeries(tiny: ModuleType, net: Any) -> dict[str, tuple[Any, str]]:
    key = jax.random.key(5)
    faster = tiny.TinyNet(dataclasses.replace(net.config, rate=0.5), key=key)
    return {
        "wider head": (
            eqx.tree_at(lambda m: m.head, net, jnp.zeros(5)),
            r"  head: in the model float32\[5\], rebuilt bfloat16\[2\]\n",
        ),
        "one layer more": (
            eqx.tree_at(lambda m: m.layers, net, (*net.layers, tiny.TinyLayer(2, 2, key=key))),
            r"  layers\[2\].weight: in the model float32\[2, 2, 2, 2\], rebuilt nothing\n  layers\[2\].bias",
        ),
        "no bias": (
            eqx.tree_at(lambda m: m.layers[0].bias, net, None),
            r"  layers\[0\].bias: in the model nothing, rebuilt float32\[2, 2, 2\]\n",
        ),
        "another activation": (
            eqx.tree_at(lambda m: m.activation, net, jnp.sin),
            r"  activation: in the model jax.numpy.sin, rebuilt jax.*relu\n",
        ),
        "another constant in a function": (
            eqx.tree_at(lambda m: m.scaled, net, faster.scaled),
            r"  scaled: in the model io_tiny.TinyNet.__init__.<locals>.<lambda>, .* of the same name but not the same",
        ),
        "another container": (
            eqx.tree_at(lambda m: m.layers, net, list(net.layers)),
            r"  layers: in the model \[TinyLayer",
        ),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("wider head", "one layer more", "no bias"),
        *("another activation", "another constant in a function", "another container"),
    ],
)
def test_a_model_after_surgery_is_refused_with_the_difference_and_the_remedy(
    tiny: ModuleType, tiny_net: Any, path: Path, name: str
) -> None:
    model, difference = surgeries(tiny, tiny_net)[name]
    remedy = "Pass the config= that rebuilds it, or save with plain=True, and load with like="
    with pytest.raises(
        ModelFileError, match=rf"its config does not rebuild this TinyNet:\n{difference}(.|\n)*{remedy}"
    ):
        save(path, model)
    assert not path.exists()
    save(path, model, plain=True)
    assert_same_tree(model, load(path, like=model))
    with pytest.raises(ModelFileError, match="it holds a plain tree without architecture: pass like="):
        load(path, tiny.TinyNet)


def test_a_config_given_by_hand_rebuilds_what_the_own_one_does_not(tiny: ModuleType, path: Path) -> None:
    net = tiny.TinyNet(tiny.TinyConfig(depth=2), key=jax.random.key(0))
    shorter = eqx.tree_at(lambda m: m.layers, net, net.layers[:1])
    with pytest.raises(ModelFileError, match=r"layers\[1\].weight: in the model nothing"):
        save(path, shorter)
    save(path, shorter, config=tiny.TinyConfig(depth=1))
    loaded = load(path, tiny.TinyNet)
    assert_same_tree(shorter, loaded)
    assert loaded.config.depth == 1


def test_a_config_by_hand_that_does_not_rebuild_is_refused(tiny: ModuleType, tiny_net: Any, path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"layers\[2\].weight: in the model nothing, rebuilt float32"):
        save(path, tiny_net, config=tiny.TinyConfig(depth=3))
    with pytest.raises(ModelFileError, match="`config` is a int, and TinyNet takes TinyConfig"):
        save(path, tiny_net, config=3)
    with pytest.raises(ModelFileError, match="`config` was given, but Linear has no static field `config`: add it, or"):
        save(path, eqx.nn.Linear(2, 2, key=jax.random.key(0)), config=tiny.TinyConfig())


def test_a_config_out_of_its_own_bounds_is_not_written(tiny: ModuleType, path: Path) -> None:
    net = tiny.TinyNet(tiny.TinyConfig(rate=2.0), key=jax.random.key(0))
    with pytest.raises(ModelFileError, match=r"`config.rate` \(=2.0\) must be at most 1.0"):
        save(path, net)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0])
def test_a_config_with_a_number_that_json_cannot_spell_comes_back(path: Path, number: float) -> None:
    save(path, Numbered(NumberedConfig(number, (1.0, number)), key=jax.random.key(0)))
    config = load(path, Numbered).config
    assert repr((config.number, config.more)) == repr((number, (1.0, number)))


def test_a_config_that_comes_back_as_another_is_not_written(path: Path) -> None:
    """`"nan"` is read as the number: the first of the two types that takes it."""
    with pytest.raises(ModelFileError, match=r"does not survive being written as \{.*\}: let `==` compare its fields"):
        save(path, Numbered(NumberedConfig("nan", ()), key=jax.random.key(0)))


def test_a_config_with_a_boolean_for_an_integer_is_not_written(tiny: ModuleType, path: Path) -> None:
    net = tiny.TinyNet(tiny.TinyConfig(kernel=(True,)), key=jax.random.key(0))
    with pytest.raises(ModelFileError, match=r"`config.kernel\[0\]` is True, not an integer"):
        save(path, net)


# --- a file that is not the model's


def test_differences_are_printed_leaf_by_leaf(tiny_net: Any, path: Path) -> None:
    save(path, tiny_net)
    model = eqx.tree_at(lambda m: (m.head, m.layers[0].bias), tiny_net, (jnp.zeros(3), None))
    with pytest.raises(ModelFileError) as caught:
        load(path, like=model)
    assert str(caught.value) == (
        f"cannot load '{path}': the file holds a TinyNet whose leaves are not the model's:\n"
        "  layers[0].bias: in the file float32[2, 2, 2], in the model nothing\n"
        "  head: in the file bfloat16[2], in the model float32[3]"
    )


def test_a_class_that_changed_since_is_told_leaf_by_leaf(tiny_net: Any, path: Path, tiny: ModuleType) -> None:
    class TinyNet(eqx.Module):
        head: jax.Array
        extra: jax.Array
        config: tiny.TinyConfig = eqx.field(static=True)

        def __init__(self, config: Any, *, key: jax.Array):
            self.head, self.extra, self.config = jnp.zeros(2, "bfloat16"), jnp.zeros(1), config

    save(path, tiny_net)
    with pytest.raises(
        ModelFileError, match=r"layers\[0\].weight: in the file .*, in the model nothing(.|\n)*extra: in"
    ):
        load(path, TinyNet)


def test_an_unknown_architecture_names_the_nearest(tiny_net: Any, path: Path, tiny: ModuleType) -> None:
    save(path, tiny_net)
    with pytest.raises(ModelFileError, match=r"'TinyNet', which is not among TinyNets, B: did you mean 'TinyNets'"):
        load(path, {"TinyNets": tiny.TinyNet, "B": tiny.TinyNet})
    with pytest.raises(ModelFileError, match="'TinyNet', which is not among TinyStateful"):
        load(path, tiny.TinyStateful)
    with pytest.raises(ModelFileError, match="'TinyNet', which is not among none"):
        load(path, {})


def test_a_class_that_no_file_can_rebuild_says_what_it_lacks(tiny_net: Any, path: Path) -> None:
    save(path, tiny_net)
    with pytest.raises(ModelFileError, match="TinyNet has no static field `config` annotated with a dataclass"):
        load(path, {"TinyNet": eqx.nn.Linear})


def test_exactly_one_of_builders_and_like_is_due(tiny_file: Path, tiny: ModuleType, tiny_net: Any) -> None:
    with pytest.raises(ValueError, match=r"`load` takes either `builders` .* or `like`.*: pass exactly one"):
        load(tiny_file)
    with pytest.raises(ValueError, match="pass exactly one"):
        load(tiny_file, tiny.TinyNet, like=tiny_net)


def test_a_plain_file_takes_no_config(tiny: ModuleType, tiny_net: Any, path: Path) -> None:
    with pytest.raises(ValueError, match="`save` writes no `config` with plain=True: pass either"):
        save(path, tiny_net, config=tiny.TinyConfig(), plain=True)


def test_arguments_of_a_wrong_type_are_a_contract_error(tiny_file: Path, tiny_net: Any) -> None:
    with pytest.raises(ContractError, match="path"):
        load(3, like=tiny_net)  # pyright: ignore
    with pytest.raises(ContractError, match="builders"):
        load(tiny_file, lambda: tiny_net)  # pyright: ignore
    with pytest.raises(ContractError, match="notes"):
        save(tiny_file, tiny_net, notes=3)  # pyright: ignore


def test_a_path_that_is_no_file_is_an_error(tmp_path: Path, tiny: ModuleType) -> None:
    with pytest.raises(ModelFileError, match=r"cannot load '.*none': No such file or directory"):
        load(tmp_path / "none", tiny.TinyNet)
    with pytest.raises(ModelFileError, match="it is a folder or a device, not a file"):
        load(tmp_path, tiny.TinyNet)
    with pytest.raises(ModelFileError, match="it is a folder or a device, not a file"):
        load("/dev/zero", tiny.TinyNet)


def test_a_lazy_model_is_refused_with_the_path_of_the_first(path: Path) -> None:
    model = nn.Sequential([nn.ReLU(), nn.Lazy(nn.Dense, q=3)])
    with pytest.raises(ModelFileError, match=r"`layers\[1\]` is a Lazy, which has no weights yet: save what nn.mat"):
        save(path, model)
    assert not path.exists()
