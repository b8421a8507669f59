"""Models by name: listing, building, loading, saving, cards."""

import dataclasses
import functools
import hashlib
import http.server
import shutil
import threading
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import matrinox
from matrinox import io, zoo
from matrinox.contract import ContractError
from matrinox.data.download import RemoteFile


def test_list_models_names_every_entry_and_those_that_are_as_asked():
    assert zoo.list_models() == tuple(zoo.CATALOGUE)
    asked = {"family": "mlp", "task": "classification", "n": 4, "max_params": 10_000}
    assert "mlp-digits" in zoo.list_models("*-digits", **asked)
    for other in ({"family": "CNN"}, {"task": "language modelling"}, {"n": 3}, {"max_params": 100}):
        assert "mlp-digits" not in zoo.list_models("*-digits", **{**asked, **other})
    assert zoo.list_models("*mnist") == tuple(name for name in zoo.list_models() if name.endswith("mnist"))
    assert zoo.list_models("no-such-*") == ()


def test_list_models_tells_those_with_weights_from_those_without(monkeypatch):
    row = dataclasses.replace(zoo.entry("mlp-digits"), name="untrained")
    monkeypatch.setattr(zoo.models, "CATALOGUE", {"mlp-digits": zoo.entry("mlp-digits"), "untrained": row})
    assert zoo.list_models(pretrained=True) == ("mlp-digits",)
    assert zoo.list_models(pretrained=False) == ("untrained",)
    with pytest.raises(FileNotFoundError, match="'untrained' has not been trained: there are no weights: `create`"):
        zoo.load("untrained")


def test_list_models_names_the_nearest_of_an_unknown_family_or_task():
    with pytest.raises(ValueError, match=r"`family` \(='cn'\) must be one of .*: did you mean 'cnn'\?"):
        zoo.list_models(family="cn")
    with pytest.raises(ValueError, match=r"`task` \(='classify'\) must be one of .*: did you mean 'classification'\?"):
        zoo.list_models(task="classify")


def test_create_builds_the_entry_untrained_from_the_key():
    a, b, c = (zoo.create("mlp-digits", key=jax.random.key(seed), widths=(3,)) for seed in (0, 0, 1))
    weights = [model.body.layers[1].weight for model in (a, b, c)]
    assert jnp.array_equal(weights[0], weights[1])
    assert not jnp.array_equal(weights[0], weights[2])
    assert a.config == dataclasses.replace(zoo.entry("mlp-digits").config, widths=(3,))


def test_create_changes_the_config_as_asked():
    shape_of = eqx.filter_eval_shape(zoo.create, "cnn-digits", key=jax.random.key(0), n=3, stages=((2,),), classes=4)
    assert (shape_of.config.n, shape_of.config.stages, shape_of.config.classes) == (3, ((2,),), 4)
    assert eqx.filter_eval_shape(shape_of, jnp.zeros((5, 8, 8, 1))).shape == (5, 4)


def test_create_names_the_nearest_of_an_unknown_field_or_entry():
    with pytest.raises(ValueError, match=r"`kernels` \(=3\) must be a field of CNNConfig .*: did you mean `kernel`\?"):
        zoo.create("cnn-digits", key=jax.random.key(0), kernels=3)
    with pytest.raises(ValueError, match="did you mean 'mlp-digits'"):
        zoo.create("mlp_digits", key=jax.random.key(0))


@pytest.mark.parametrize(
    ("name", "wrong", "match"),
    [
        ("cnn-digits", {"n": 0}, r"`CNNConfig.n` \(=0\) must be at least 1: choose a larger number"),
        ("cnn-digits", {"n": 2.5}, "`CNNConfig.n` is 2.5, not an integer"),
        ("cnn-digits", {"n": "2"}, "`CNNConfig.n` is '2', not an integer"),
        ("cnn-digits", {"kernel": 0}, r"`CNNConfig.kernel` \(=0\) must be at least 1"),
        ("cnn-digits", {"n": -1}, r"`CNNConfig.n` \(=-1\) must be at least 1"),
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


def test_load_gives_a_new_head_for_other_classes_on_the_same_body(apply):
    whole, model = zoo.load("mlp-digits"), zoo.load("mlp-digits", classes=3)
    x = np.ones((2, 64), np.float32)
    assert apply(model, x).shape == (2, 3)
    assert eqx.tree_equal(model.body, whole.body)
    assert model.config == dataclasses.replace(whole.config, classes=3)
    assert eqx.tree_equal(zoo.load("mlp-digits", classes=3), model)
    other = zoo.load("mlp-digits", classes=3, key=jax.random.key(1))
    assert eqx.tree_equal(other.body, whole.body)
    assert not eqx.tree_equal(other.head, model.head)
    with pytest.raises(ValueError, match=r"`MLPConfig.classes` \(=0\) must be at least 1"):
        zoo.load("mlp-digits", classes=0)


def test_what_is_saved_with_a_new_head_is_loaded_by_its_path(tmp_path):
    model = zoo.load("mlp-digits", classes=3)
    zoo.save(tmp_path / "three.safetensors", model)
    assert eqx.tree_equal(zoo.load(tmp_path / "three.safetensors"), model)
    with pytest.raises(ContractError, match="model"):
        zoo.save(tmp_path / "other.safetensors", model.body)
    assert not (tmp_path / "other.safetensors").exists()


def test_load_refuses_weights_that_are_not_those_of_the_card(tmp_path, monkeypatch):
    row = zoo.entry("mlp-digits")
    monkeypatch.setattr(type(row), "folder", tmp_path)
    shutil.copyfile(Path(zoo.__file__).parent / "entries" / row.name / "card.toml", tmp_path / "card.toml")
    zoo.save(tmp_path / "weights.safetensors", zoo.create(row.name, key=jax.random.key(0)))
    for name in (row.name, Path(row.name)):
        with pytest.raises(io.ModelFileError, match=r"SHA-256 of its arrays is .*, and that of the trained weights is"):
            zoo.load(name)
    assert zoo.load(tmp_path / "weights.safetensors").config == row.config


@pytest.fixture
def published(tmp_path, monkeypatch):
    """`mlp-digits` as an entry whose weights are published on a server, and whose folder holds its card alone."""
    row, here = zoo.entry("mlp-digits"), tmp_path / "entry"
    weights = (row.folder / "weights.safetensors").read_bytes()
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "mlp-digits.safetensors").write_bytes(weights)
    here.mkdir()
    shutil.copyfile(row.folder / "card.toml", here / "card.toml")
    monkeypatch.setattr(type(row), "folder", here)
    monkeypatch.setenv("MATRINOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MATRINOX_DATA", raising=False)
    monkeypatch.delenv("MATRINOX_MIRROR", raising=False)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/mlp-digits.safetensors"
        remote = RemoteFile("mlp-digits.safetensors", url, hashlib.sha256(weights).hexdigest())
        monkeypatch.setattr(zoo.models, "CATALOGUE", {row.name: dataclasses.replace(row, remote=remote)})
        yield tmp_path
        server.shutdown()


def test_weights_outside_the_package_are_downloaded_when_asked_and_checked(published, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"the model 'mlp-digits' is neither .* download=False was passed"):
        zoo.load("mlp-digits")
    assert zoo.list_models(pretrained=True) == ("mlp-digits",)
    model = zoo.load("mlp-digits", download=True)
    served = published / "served" / "mlp-digits.safetensors"
    assert eqx.tree_equal(model, zoo.load(served))
    served.unlink()
    assert eqx.tree_equal(zoo.load("mlp-digits"), model)


def test_a_download_of_other_bytes_is_refused_and_leaves_nothing(published):
    served = published / "served" / "mlp-digits.safetensors"
    served.write_bytes(served.read_bytes()[:-1])
    with pytest.raises(FileNotFoundError, match=r"the download of .* failed: .*hash"):
        zoo.load("mlp-digits", download=True)
    assert [path for path in (published / "cache").rglob("*") if path.is_file()] == []


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
    match = r"holds a plain tree, and the zoo takes its own architectures, CNN, .*: .* `matrinox.load\(path, like=model"
    with pytest.raises(io.ModelFileError, match=match):
        zoo.load(path)
    assert matrinox.load(path, like={"weight": jnp.zeros(3)})["weight"].tolist() == [1, 1, 1]


def test_card_is_the_entrys_own():
    assert zoo.card("cnn-digits").name == "cnn-digits"
    with pytest.raises(ValueError, match="did you mean 'cnn-digits'"):
        zoo.card("cnn")


def test_an_entry_without_a_card_says_how_it_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo.Entry, "folder", tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no card: `matrinox train mlp-digits` trains it"):
        zoo.card("mlp-digits")
