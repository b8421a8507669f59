"""Adapters in a file of their own: they come back bit for bit, onto their base alone, and from no bad file."""

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import io, nn, zoo
from matrinox.io import ModelFileError, fingerprint, load_adapters, save_adapters

KEYS = jax.random.split(jax.random.key(0), 4)


def base(seed=0, p=3):
    keys = jax.random.split(jax.random.key(seed))
    return nn.Sequential([nn.Dense(p=p, q=2, n=2, key=keys[0]), nn.Tanh(), nn.Dense(p=2, q=4, n=2, key=keys[1])])


def moved(adapted):
    """With adapters that are no longer as they started."""
    arrays, rest = eqx.partition(adapted.adapters, eqx.is_array)
    steps = jax.tree.map(lambda leaf: np.linspace(-1, 1, leaf.size).reshape(leaf.shape), arrays)
    arrays = jax.tree.map(lambda leaf, step: leaf + jnp.asarray(step, leaf.dtype), arrays, steps)
    return adapted.with_adapters(eqx.combine(arrays, rest))


@pytest.fixture(scope="module")
def adapted() -> Any:
    first = nn.lora(base(), 2, "layers[0]", alpha=0.1, dtype="bfloat16", key=KEYS[0])
    second = nn.lora(base(), 1, "layers[2]", alpha=3.0, key=KEYS[1])
    return moved(first.with_adapters({**first.adapters, **second.adapters}))


@pytest.fixture(scope="module")
def file(adapted, tmp_path_factory) -> Any:
    path = tmp_path_factory.mktemp("adapters") / "adapters.safetensors"
    save_adapters(path, adapted, notes={"task": "none"})
    return path


def test_adapters_come_back_onto_their_base_bit_for_bit(adapted, file):
    loaded = load_adapters(file, base())
    assert eqx.tree_equal(loaded, adapted)
    assert [adapter.alpha for adapter in loaded.adapters.values()] == [0.1, 3.0]
    assert [adapter.rank for adapter in loaded.adapters.values()] == [2, 1]
    assert loaded.adapters["layers[0]"].down.dtype == jnp.bfloat16


def test_the_file_says_what_it_holds_and_for_which_base(file):
    header = io.read_header(file)
    assert (header.architecture, header.config) == ("LoRA", {"base_sha256": fingerprint(base())})
    assert header.notes == {"task": "none"}
    assert [(leaf.path, leaf.shape or leaf.value) for leaf in header.leaves] == [
        ("['layers[0]']['alpha']", 0.1),
        ("['layers[0]']['down']", (2, 3, 2)),
        ("['layers[0]']['up']", (2, 2, 2)),
        ("['layers[2]']['alpha']", 3.0),
        ("['layers[2]']['down']", (1, 2, 2)),
        ("['layers[2]']['up']", (4, 2, 1)),
    ]


def test_the_file_is_as_small_as_the_adapters(tmp_path):
    model = nn.Dense(p=16, q=16, n=8, key=KEYS[0])
    io.save(tmp_path / "model.safetensors", model)
    save_adapters(tmp_path / "adapters.safetensors", nn.lora(model, 1, "**", key=KEYS[1]))
    size = os.path.getsize(tmp_path / "adapters.safetensors")
    arrays = 4 * 2 * 16 * 8
    assert arrays < size < arrays + 2000
    assert size < os.path.getsize(tmp_path / "model.safetensors") / 20


def test_another_base_is_refused_with_both_hashes(adapted, file):
    due, found = fingerprint(base()), fingerprint(base(seed=1))
    with pytest.raises(
        ModelFileError,
        match=rf"cannot load '.*': its adapters were made for a base of the hash '{due[:12]}' and this one has "
        rf"'{found[:12]}': give the base that they were made for, .* or pass any_base=True",
    ):
        load_adapters(file, base(seed=1))
    loaded = load_adapters(file, base(seed=1), any_base=True)
    assert eqx.tree_equal(loaded.adapters, adapted.adapters)


def test_a_base_of_other_shapes_is_refused_leaf_by_leaf(file):
    with pytest.raises(
        ModelFileError, match=r"\['layers\[0\]'\]\['down'\]: in the file bfloat16\[2, 3, 2\], in the mo"
    ):
        load_adapters(file, base(p=5), any_base=True)
    with pytest.raises(ModelFileError, match=r"\['layers\[2\]'\]\['up'\]: in the file float32\[4, 2, 1\], in the mo"):
        load_adapters(file, nn.Sequential(base().layers[:2]), any_base=True)
    with pytest.raises(TypeError, match=r"must be callable|takes"):
        load_adapters(file, 3)


def test_a_merged_model_is_unmerged_by_the_file_alone(adapted, file):
    merged = adapted.merge()
    unmerged = load_adapters(file, merged, any_base=True).unmerge(merged)
    for before, after in zip(jax.tree.leaves(base()), jax.tree.leaves(unmerged), strict=True):
        np.testing.assert_allclose(after, before, atol=1e-6)


def test_a_file_of_something_else_is_refused(adapted, file, tiny_file, tmp_path):
    with pytest.raises(ModelFileError, match=r"it holds the architecture 'TinyNet' and no adapters: load it with"):
        load_adapters(tiny_file, base())
    io.save(tmp_path / "plain.safetensors", adapted)
    with pytest.raises(ModelFileError, match=r"it holds a plain tree and no adapters: load it with matrinox\.load"):
        load_adapters(tmp_path / "plain.safetensors", base())
    with pytest.raises(
        ModelFileError, match=r"it holds the architecture 'LoRA', and the zoo takes its own architectures, CNN, MLP"
    ):
        zoo.load(file)
    with pytest.raises(ModelFileError, match=r"cannot load '.*none': No such file"):
        load_adapters(tmp_path / "none", base())


def test_a_lora_is_saved_and_loaded_whole_as_any_model(adapted, tmp_path):
    io.save(tmp_path / "all.safetensors", adapted)
    skeleton = nn.lora(base(seed=1), 1, "**", key=KEYS[2])
    with pytest.raises(ModelFileError, match=r"adapters\['layers\[0\]'\]\.down: in the file bfloat16\[2, 3, 2\], in"):
        io.load(tmp_path / "all.safetensors", like=skeleton)
    assert eqx.tree_equal(io.load(tmp_path / "all.safetensors", like=adapted), adapted)


def test_a_file_that_cannot_be_written_leaves_the_old_one(adapted, file, tmp_path):
    with pytest.raises(ModelFileError, match="cannot save"):
        save_adapters(tmp_path, adapted)
    keys = {"layers[0]": adapted.adapters["layers[0]"]}
    traced = eqx.tree_at(lambda a: a.adapters, adapted, keys)
    before = file.read_bytes()
    with pytest.raises(ModelFileError, match="is being traced and has no value yet: save outside jit"):
        eqx.filter_jit(lambda adapted: save_adapters(file, adapted))(traced)
    assert file.read_bytes() == before


DOWN, UP, ALPHA = (f"['layers[0]']['{part}']" for part in ("down", "up", "alpha"))


def of_leaf(path, **changes):
    def change(table, data):
        next(leaf for leaf in table["__metadata__"]["leaves"] if leaf["path"] == path).update(changes)
        if path in table and "shape" in changes:
            table[path]["shape"] = changes["shape"]
        return data

    return change


def of_config(**changes):
    def change(table, data):
        table["__metadata__"]["config"].update(changes)
        return data

    return change


def as_integers(table, data):
    of_leaf(DOWN, dtype="int16")(table, data)
    table[DOWN]["dtype"] = "I16"
    return data


def without(*paths):
    def change(table, data):
        leaves = table["__metadata__"]["leaves"]
        table["__metadata__"]["leaves"] = [leaf for leaf in leaves if leaf["path"] not in paths]
        at = 0
        kept = b""
        for path in [path for path in table if path != "__metadata__"]:
            start, end = table[path]["data_offsets"]
            if path in paths:
                del table[path]
            else:
                kept += data[start:end]
                table[path]["data_offsets"] = [at, at := at + end - start]
        return kept

    return change


def without_all(table, data):
    return without(*(leaf["path"] for leaf in table["__metadata__"]["leaves"]))(table, data)


def of_rank_zero(table, data):
    data = without("['layers[2]']['down']", "['layers[2]']['up']", "['layers[2]']['alpha']")(table, data)
    for path, shape in ((DOWN, [0, 3, 2]), (UP, [2, 2, 0])):
        of_leaf(path, shape=shape)(table, data)
        table[path]["data_offsets"] = [0, 0]
    return b""


def elsewhere(table, data):
    text = json.dumps(table).replace("layers[0]", "layers[1]")
    table.update(json.loads(text))
    for path in [path for path in table if "layers[0]" in path]:
        del table[path]
    return data


BAD = {
    "another base": (
        of_config(base_sha256="0" * 64),
        r"of the hash '000000000000' and this one has '[0-9a-f]{12}'",
    ),
    "a hash that is none": (of_config(base_sha256="\n\x1b[2J"), r"a base of the hash '\\n\\x1b\[2J' and this one"),
    "a hash that is no text": (of_config(base_sha256=7), r"`config\.base_sha256` is 7, not a string"),
    "more in the config": (of_config(path="os"), r"`config` has the unknown field 'path'"),
    "alpha 0": (of_leaf(ALPHA, value=0.0), r"`alpha` \(=0\.0\) must be positive and finite"),
    "alpha nan": (of_leaf(ALPHA, value="nan"), r"`alpha` \(=nan\) must be positive and finite"),
    "alpha an integer": (
        of_leaf(ALPHA, kind="int", value=2),
        r"\['alpha'\]: in the file a Python int, in the mo",
    ),
    "other shape": (
        of_leaf(DOWN, shape=[3, 2, 2]),
        r"\['down'\]: in the file bfloat16\[3, 2, 2\], in the mo",
    ),
    "no axes": (
        of_leaf(DOWN, shape=[12]),
        r"\['down'\]: in the file bfloat16\[12\], in the mo",
    ),
    "integers": (as_integers, r"\['down'\]: in the file int16\[2, 3, 2\], in the model float32"),
    "no up": (without(UP), r"\['up'\]: in the file nothing, in the model float32\[2, 2, 2\]"),
    "no arrays": (without(UP, DOWN), r"\['alpha'\]: in the file a Python float, in the model nothing"),
    "no adapters": (without_all, r"`adapters` \(=\{\}\) must hold at least one"),
    "rank 0": (of_rank_zero, r"`rank` \(=0\) must be at least 1"),
    "a layer that has no weight": (
        elsewhere,
        r"\['layers\[1\]'\]\['down'\]: in the file bfloat16\[",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_with_one_error(case, file, forge, tmp_path):
    change, message = BAD[case]
    table, data = forge.taken_apart(file.read_bytes())
    data = change(table, data)
    table["__metadata__"]["data_sha256"] = hashlib.sha256(data).hexdigest()
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(forge.signed(forge.text_of(table).encode(), data))
    with pytest.raises(ModelFileError, match=rf"(?s)^cannot load '.*bad\.safetensors': .*{message}"):
        load_adapters(bad, base())


def test_damage_is_noticed(file, tmp_path):
    raw, bad = file.read_bytes(), tmp_path / "bad.safetensors"
    model = base()
    for at in (0, 60, len(raw) // 2, len(raw) - 1):
        flipped = bytearray(raw)
        flipped[at] ^= 1
        bad.write_bytes(bytes(flipped))
        with pytest.raises(ModelFileError):
            load_adapters(bad, model)
    bad.write_bytes(raw[:-1])
    with pytest.raises(ModelFileError, match="it is cut or grown"):
        load_adapters(bad, model)


PROGRAM = """
import sys
from matrinox import load_adapters, zoo
from matrinox.io import fingerprint
print(fingerprint(load_adapters(sys.argv[1], zoo.load("cnn-digits"))))
"""


def test_adapters_of_a_model_of_the_zoo_load_in_another_process(tmp_path):
    adapted = moved(nn.lora(zoo.load("cnn-digits"), 2, "**", alpha=0.02, key=KEYS[0]))
    path = tmp_path / "adapters.safetensors"
    save_adapters(path, adapted)
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], check=True, timeout=300, capture_output=True, text=True
    )
    assert there.stdout.strip() == fingerprint(adapted)
    assert len(adapted.adapters) > 2
