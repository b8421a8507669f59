"""The zoo's own functions: names, building, loading, cards."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import matrinox
from matrinox import io, zoo
from matrinox.contract import ContractError


def test_list_models_names_every_entry():
    assert zoo.list_models() == ("cnn-digits", "mlp-digits")


def test_create_builds_the_entry_untrained_from_the_key():
    a, b, c = (zoo.create("mlp-digits", key=jax.random.key(seed), widths=(3,)) for seed in (0, 0, 1))
    weights = [model.layers.layers[1].weight for model in (a, b, c)]
    assert jnp.array_equal(weights[0], weights[1])
    assert not jnp.array_equal(weights[0], weights[2])
    assert a.config == dataclasses.replace(zoo.entry("mlp-digits").config, widths=(3,))


def test_create_changes_the_config_as_asked():
    shape_of = eqx.filter_eval_shape(zoo.create, "cnn-digits", key=jax.random.key(0), n=3, stages=((2,),), classes=4)
    assert (shape_of.config.n, shape_of.config.stages, shape_of.config.classes) == (3, ((2,),), 4)
    assert eqx.filter_eval_shape(shape_of, jnp.zeros((5, 8, 8, 1))).shape == (5, 4)


def test_create_names_the_nearest_of_an_unknown_field_or_entry():
    with pytest.raises(ValueError, match=r"`width_` \(=3\) must be a field of CNNConfig .*: did you mean `width`\?"):
        zoo.create("cnn-digits", key=jax.random.key(0), width_=3)
    with pytest.raises(ValueError, match="did you mean 'mlp-digits'"):
        zoo.create("mlp_digits", key=jax.random.key(0))


@pytest.mark.parametrize(
    ("name", "wrong", "match"),
    [
        ("cnn-digits", {"n": 0}, r"`CNNConfig.n` \(=0\) must be at least 1: choose a larger number"),
        ("cnn-digits", {"n": 2.5}, "`CNNConfig.n` is 2.5, not an integer"),
        ("cnn-digits", {"n": "2"}, "`CNNConfig.n` is '2', not an integer"),
        ("cnn-digits", {"kernel": 0}, r"`CNNConfig.kernel` \(=0\) must be at least 1"),
        ("cnn-digits", {"height": -8}, r"`CNNConfig.height` \(=-8\) must be at least 1"),
        ("cnn-digits", {"encoder": "patch"}, "`CNNConfig.encoder` is 'patch', not one of .*: did you mean 'patches'"),
        ("cnn-digits", {"stages": ((8,), (0,))}, r"`CNNConfig.stages\[1\]\[0\]` \(=0\) must be at least 1"),
        ("cnn-digits", {"stages": [[8]]}, r"`CNNConfig.stages` is \[\[8\]\]: a config holds .* tuples"),
        ("cnn-digits", {"dropout": 0.995}, r"`CNNConfig.dropout` \(=0.995\) must be at most 0.99: choose a smaller"),
        ("mlp-digits", {"n": 0}, r"`MLPConfig.n` \(=0\) must be at least 1"),
        ("mlp-digits", {"widths": (3, -1)}, r"`MLPConfig.widths\[1\]` \(=-1\) must be at least 1"),
        ("mlp-digits", {"transpose": 1}, "`MLPConfig.transpose` is 1, not true or false"),
    ],
)
def test_create_refuses_a_value_that_the_config_does_not_take(name, wrong, match):
    with pytest.raises(ValueError, match=match):
        zoo.create(name, key=jax.random.key(0), **wrong)


def test_arguments_of_another_type_are_refused():
    with pytest.raises(ContractError, match="name"):
        zoo.create(3, key=jax.random.key(0))
    for function in (zoo.load, zoo.card, zoo.entry):
        with pytest.raises(ContractError, match="name"):
            function(3)


@pytest.mark.parametrize("name", zoo.list_models())
def test_load_gives_a_model_that_predicts_at_once(name, apply):
    model = zoo.load(name)
    x = np.zeros((2, 3, *model.input_shape), np.float32)
    assert apply(model, x).shape == (2, 3, 10)
    assert model.config == zoo.entry(name).config


def test_load_takes_a_path_and_gives_inference_mode(tmp_path, apply):
    model = zoo.create("mlp-digits", key=jax.random.key(0), widths=(3,), dropout=0.5)
    io.save(tmp_path / "model.safetensors", model)
    loaded = zoo.load(tmp_path / "model.safetensors")
    x = np.ones((2, 64), np.float32)
    assert jnp.array_equal(apply(loaded, x), apply(eqx.nn.inference_mode(model), x))
    assert not jnp.array_equal(apply(eqx.nn.inference_mode(loaded, False), x, jax.random.key(1)), apply(loaded, x))


def test_an_entry_goes_before_a_file_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    io.save("cnn-digits", zoo.create("mlp-digits", key=jax.random.key(0), widths=(3,)))
    assert type(zoo.load("cnn-digits")).__name__ == "CNN"
    assert type(zoo.load("./cnn-digits")).__name__ == "MLP"


def test_load_names_the_nearest_of_a_name_that_is_no_file():
    with pytest.raises(ValueError, match=r"'cnn-digts' must be an entry of the zoo .*: did you mean 'cnn-digits'\?"):
        zoo.load("cnn-digts")


def test_load_says_that_a_file_is_missing_or_damaged(tmp_path):
    with pytest.raises(io.ModelFileError, match="No such file"):
        zoo.load(tmp_path / "missing.safetensors")
    data = bytearray((zoo.entry("mlp-digits").folder / "weights.safetensors").read_bytes())
    data[-5] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(data)
    with pytest.raises(io.ModelFileError, match="SHA-256"):
        zoo.load(tmp_path / "flipped.safetensors")


def test_load_says_that_a_file_is_of_no_architecture_of_the_zoo(tmp_path):
    path = tmp_path / "plain.safetensors"
    io.save(path, {"weight": jnp.ones(3)})
    match = (
        r"holds a plain tree, and the zoo takes its own architectures, CNN, MLP: .* `matrinox.load\(path, like=model"
    )
    with pytest.raises(io.ModelFileError, match=match):
        zoo.load(path)
    assert matrinox.load(path, like={"weight": jnp.zeros(3)})["weight"].tolist() == [1, 1, 1]


def test_card_is_the_entrys_own():
    assert zoo.card("cnn-digits").name == "cnn-digits"
    with pytest.raises(ValueError, match="did you mean 'cnn-digits'"):
        zoo.card("cnn")
