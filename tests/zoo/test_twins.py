"""Scalar twins of entries: trained as the entries are, and published beside them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox import io, zoo
from matrinox.bridge import scalar_twin
from matrinox.train import evaluate, read_log
from matrinox.zoo import publish, reproduce
from matrinox.zoo.facts import count_flops


@pytest.fixture(scope="module")
def row(quick):
    return dataclasses.replace(quick, seeds=(3,))


@pytest.fixture(scope="module")
def done(row, tmp_path_factory):
    return reproduce(row, seed=3, folder=tmp_path_factory.mktemp("twins"), twin="parameters")


def twin_of(row, kind="parameters"):
    """A twin of an entry, of weights of zeros: nothing is drawn, so that nothing compiles."""
    model = eqx.filter_eval_shape(row.architecture, row.config, key=jax.random.key(0))
    model = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf, model
    )
    return model, scalar_twin(model.chain, kind, model.input_shape, key=jax.random.key(0))


def test_the_log_of_a_twin_tells_its_kind_and_its_sizes(row, done):
    log, (_, twin) = done.log, twin_of(row)
    assert (log.name, log.kind, log.architecture) == ("mlp-digits", "parameters", "ScalarTwin")
    assert log.config == {"of": {**dataclasses.asdict(row.config), "widths": [4]}, "widths": list(twin.widths)}
    assert abs(log.parameters / row.parameters - 1) < 0.05
    assert (log.parameters, log.flops) == (twin.parameters, twin.flops)
    assert log.flops == count_flops(twin.model, jax.ShapeDtypeStruct((64,), jnp.float32))
    assert log.recipe == row.recipe.described()
    assert log.runs[0].data["sha256"]["test"] == row.data.splits(3).test.fingerprint()


def test_the_file_of_a_twin_scores_what_its_log_says(row, done):
    loaded = io.load(done.model_file, like=eqx.nn.inference_mode(twin_of(row)[1].model))
    assert evaluate(loaded, row.data.splits(3).test, row.recipe.task).figures == done.run.test.figures
    assert io.read_header(done.model_file).notes["twin"] == "parameters"


def test_publish_puts_the_log_of_a_twin_beside_that_of_the_entry(row, done, tmp_path):
    target = publish(row, [done.log_file.parent], folder=tmp_path / "entry")
    assert [path.name for path in target.iterdir()] == ["twin-parameters.json"]
    assert read_log(target / "twin-parameters.json") == done.log
    other = dataclasses.replace(row, config=dataclasses.replace(row.config, widths=(5,)))
    with pytest.raises(ValueError, match=r"the runs' config .* must be 'mlp-digits''s"):
        publish(other, [done.log_file.parent], folder=tmp_path / "other")


def test_a_twin_does_not_go_on_with_the_run_of_another(row, done):
    with pytest.raises(ValueError, match="its twin is 'parameters', and here it is 'state'"):
        reproduce(row, seed=3, folder=done.log_file.parent, twin="state", resume=True)


@pytest.mark.parametrize("name", ["mlp-7-digits", "cnn-digits", "cnn1d-mnist1d", "lstm-rows-mnist", "scan-a5"])
def test_an_entry_has_a_twin_of_as_many_parameters(name):
    row = zoo.entry(name)
    model, twin = twin_of(row)
    assert abs(twin.parameters / row.parameters - 1) < 0.05
    kind = jnp.float32 if getattr(row.config, "vocabulary", None) is None else jnp.int32
    example = jax.ShapeDtypeStruct((3, *model.input_shape), kind)
    ours, theirs = (eqx.filter_eval_shape(eqx.nn.inference_mode(each), example) for each in (model, twin.model))
    assert ours == theirs
