"""Training entries, and making their files of several runs."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from matrinox import io, zoo
from matrinox.contract import ContractError
from matrinox.inspect import check
from matrinox.train import Hooks, evaluate, read_log, write_log
from matrinox.train.log.run_log import hash_of_settings
from matrinox.zoo import Reproduced, publish, read_card, reproduce


@pytest.fixture(scope="module")
def runs(quick, tmp_path_factory) -> list[Reproduced]:
    """Seeds 0, 1, and 0 again."""
    folder = tmp_path_factory.mktemp("runs")
    return [reproduce(quick, seed=seed, folder=folder / str(i)) for i, seed in enumerate((0, 1, 0))]


def test_a_run_leaves_its_model_its_last_state_and_its_logs(runs):
    files = {"model.safetensors", "checkpoint.safetensors", "log.json", "log.jsonl"}
    for done in runs:
        assert {path.name for path in done.model_file.parent.iterdir()} == files


def test_the_file_scores_what_the_log_says(runs, quick):
    for done in runs:
        model = zoo.load(done.model_file)
        test = quick.data.splits(0).test
        seen = evaluate(model, test, quick.recipe.task, records=True)
        run = read_log(done.log_file).runs[0]
        assert seen.figures == run.test.figures
        assert seen.records["classes"].tolist() == run.test.unpacked()["classes"].tolist()
        assert run.weights_sha256 == io.read_header(done.model_file).data_sha256


def test_the_log_says_what_was_done(runs, quick):
    log = read_log(runs[1].log_file)
    assert (log.name, log.architecture, log.runs[0].seed) == ("mlp-digits", "MLP", 1)
    assert log.config == json.loads(json.dumps(dataclasses.asdict(quick.config)))
    model = quick.architecture(quick.config, key=jax.random.key(0))
    flops = check(model, (64,), verbose=False).flops_forward
    assert (log.kind, log.parameters, log.flops) == ("matrix", quick.parameters, flops)
    assert (log.recipe, log.recipe_sha256) == (quick.recipe.described(), hash_of_settings(quick.recipe.described()))
    assert log.runs[0].rounds["step"] == [4, 8, 12]
    assert log.data["examples"] == {"train": 1259, "validation": 179, "test": 359}
    assert (log.data["input"], log.data["split"]) == ({"shape": [64], "dtype": "float32"}, quick.data.split)
    parts = quick.data.splits(1)
    hashes = {name: part.fingerprint() for name, part in parts._asdict().items()}
    assert log.runs[0].data == {"sha256": hashes, "least": 0.0, "most": 1.0}
    assert log.runs[0].best_step in (4, 8, 12)


def test_the_same_seed_writes_the_same_bytes(runs):
    first, other, again = (done.model_file.read_bytes() for done in runs)
    assert first == again
    assert first != other
    a, b = (dataclasses.replace(done.run, seconds=0.0) for done in (runs[0], runs[2]))
    assert a == b


def test_the_file_says_where_it_comes_from(runs):
    notes = io.read_header(runs[1].model_file).notes
    assert (notes["entry"], notes["data"], notes["seed"]) == ("mlp-digits", "digits-features", "1")
    assert notes["test_sha256"] == zoo.entry("mlp-digits").data.splits(1).test.fingerprint()
    assert notes["step"] == str(runs[1].run.best_step)


def test_ctrl_c_leaves_the_last_complete_file_and_a_log_that_says_so(quick, tmp_path):
    def stop(model, now):
        if now.step == 8:
            raise KeyboardInterrupt

    done = reproduce(quick, seed=0, folder=tmp_path, hooks=Hooks(on_round=stop))
    assert done.run.interrupted
    assert done.run.rounds["step"] == [4, 8]
    assert io.read_header(done.model_file).notes["step"] == str(done.run.best_step)
    test = quick.data.splits(0).test
    assert evaluate(zoo.load(done.model_file), test, quick.recipe.task).figures == done.run.test.figures


def test_ctrl_c_before_there_is_a_file_leaves_none(quick, tmp_path):
    def stop(now):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="stopped before the first evaluation: no model was written"):
        reproduce(quick, seed=0, folder=tmp_path / "run", hooks=Hooks(on_step=stop))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["log.jsonl"]
    done = reproduce(quick, seed=0, folder=tmp_path / "run", resume=True)
    assert done.run.steps == 12


def test_a_run_is_neither_overwritten_nor_gone_on_with_unasked(runs, quick, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs[0].model_file.parent, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match=r"holds a run \(log\.json.*\): resume it, overwrite it, or"):
        reproduce(quick, seed=0, folder=folder)
    with pytest.raises(ValueError, match=r"is of another run: its seed is '0', and here it is '1'; its key is"):
        reproduce(quick, seed=1, folder=folder, resume=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert reproduce(quick, seed=1, folder=folder, overwrite=True).run.seed == 1
    (folder / "checkpoint.safetensors").unlink()
    with pytest.raises(
        FileExistsError, match=r"without its last state, checkpoint\.safetensors: there is nothing to go"
    ):
        reproduce(quick, seed=1, folder=folder, resume=True)


def test_an_unknown_entry_names_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'mlp-digits'"):
        reproduce("mlp-digit", seed=0, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_publish_merges_the_runs_and_ships_the_best_by_validation(runs, quick, tmp_path):
    folders = [done.model_file.parent for done in runs[:2]]
    target = publish(quick, folders, folder=tmp_path / "entry")
    card, log = read_card(target / "card.toml"), read_log(target / "log.json")
    assert [run.seed for run in log.runs] == [0, 1]
    assert card.figures.seeds == (0, 1)
    assert card.figures.test_mean == pytest.approx(
        np.mean([run.test.figures["accuracy"] for run in log.runs]), abs=1e-6
    )
    shipped = io.read_header(target / "weights.safetensors").data_sha256
    assert card.weights.sha256 == shipped == runs[card.weights.seed].run.weights_sha256
    assert card.weights.seed == min(log.runs, key=lambda run: run.validation.figures["loss"]).seed


def test_publish_refuses_runs_that_do_not_belong_together(runs, quick, tmp_path):
    folders = [done.model_file.parent for done in runs]
    with pytest.raises(ValueError, match="`runs` is empty"):
        publish(quick, [], folder=tmp_path)
    with pytest.raises(ValueError, match=r"the runs are of seeds \[0\], and must be of 'mlp-digits''s own, \[0, 1\]"):
        publish(quick, folders[:1], folder=tmp_path)
    with pytest.raises(ValueError, match=r"the runs of seeds \[0, 0\] must differ by seed"):
        publish(quick, [folders[0], folders[2]], folder=tmp_path)
    with pytest.raises(ValueError, match="not all of 'cnn-digits' with one config"):
        publish("cnn-digits", folders[:2], folder=tmp_path)
    log = read_log(folders[1] / "log.json")
    other = tmp_path / "other"
    shutil.copytree(folders[1], other)
    longer = {**log.recipe, "steps": 13}
    write_log(other / "log.json", dataclasses.replace(log, recipe=longer, recipe_sha256=hash_of_settings(longer)))
    with pytest.raises(ValueError, match="with one config, recipe, data and software"):
        publish(quick, [folders[0], other], folder=tmp_path)
    write_log(other / "log.json", dataclasses.replace(log, runs=(dataclasses.replace(log.runs[0], interrupted=True),)))
    with pytest.raises(ValueError, match="must differ by seed and be complete"):
        publish(quick, [folders[0], other], folder=tmp_path)
    assert not (tmp_path / "card.toml").exists()
    write_log(other / "log.json", dataclasses.replace(log, runs=log.runs * 2))
    with pytest.raises(ValueError, match="must hold one run each"):
        publish(quick, [folders[0], other], folder=tmp_path)
    assert not (tmp_path / "card.toml").exists()


def test_publish_refuses_runs_of_another_recipe_than_the_entrys(runs, quick, tmp_path):
    folders = [done.model_file.parent for done in runs[:2]]
    with pytest.raises(ValueError, match=r"the runs' config \(={.*}\) must be 'mlp-digits''s, {.*: train anew"):
        publish("mlp-digits", folders, folder=tmp_path)
    longer = dataclasses.replace(quick, recipe=dataclasses.replace(quick.recipe, steps=13))
    with pytest.raises(ValueError, match=r"the runs' recipe \(={'steps': 12"):
        publish(longer, folders, folder=tmp_path)
    with pytest.raises(ValueError, match="the runs' data"):
        publish(dataclasses.replace(quick, data=zoo.BuiltIn("digits")), folders, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_publish_refuses_a_model_that_its_log_did_not_score(runs, quick, tmp_path):
    folders = [done.model_file.parent for done in runs[:2]]
    other = tmp_path / "other"
    shutil.copytree(folders[1], other)
    shutil.copyfile(folders[0] / "model.safetensors", other / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors is not the model that its log scored: train seed 1 anew"):
        publish(quick, [folders[0], other], folder=tmp_path / "entry")
    assert not (tmp_path / "entry").exists()


def test_a_log_of_scores_never_lies_beside_a_model_that_it_did_not_score(runs, quick, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs[0].model_file.parent, folder)

    def fail(model, now):
        if now.step == 8:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        reproduce(quick, seed=5, folder=folder, overwrite=True, hooks=Hooks(on_round=fail))
    assert not (folder / "log.json").exists()
    assert (folder / "model.safetensors").read_bytes() != runs[0].model_file.read_bytes()


def test_ctrl_c_just_behind_the_second_file_logs_that_file(quick, tmp_path, monkeypatch):
    """The interrupt comes between the file's replacement and whatever the run would note of it in memory."""
    save, steps = io.save, []

    def stop(path, model, **options):
        save(path, model, **options)
        if path.name == "model.safetensors":
            steps.append(options["notes"]["step"])
            if len(steps) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(io, "save", stop)
    done = reproduce(quick, seed=0, folder=tmp_path)
    header = io.read_header(done.model_file)
    assert done.run.interrupted
    assert (str(done.run.best_step), done.run.weights_sha256) == (header.notes["step"], header.data_sha256)
    assert header.notes["step"] == steps[1]
    test = quick.data.splits(0).test
    seen = evaluate(zoo.load(done.model_file), test, quick.recipe.task, records=True)
    assert seen.records["classes"].tolist() == done.run.test.unpacked()["classes"].tolist()


def test_ctrl_c_while_the_file_is_scored_says_that_there_is_a_file_without_a_log(quick, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("matrinox.zoo.runs.evaluate", stop)
    with pytest.raises(KeyboardInterrupt, match=r"model\.safetensors is complete, but not scored: there is no log"):
        reproduce(quick, seed=0, folder=tmp_path)
    assert zoo.load(tmp_path / "model.safetensors").config == quick.config
    assert not (tmp_path / "log.json").exists()


@pytest.mark.parametrize("seed", [-1, 2**32, 10**20])
def test_a_seed_that_would_repeat_another_is_refused(seed, quick, tmp_path):
    with pytest.raises(ValueError, match=rf"`seed` \(={seed}\) must be from 0 to 4294967295"):
        reproduce(quick, seed=seed, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_arguments_of_another_type_are_refused(quick, tmp_path):
    with pytest.raises(ContractError, match="seed"):
        reproduce(quick, seed=1.5, folder=tmp_path)
    with pytest.raises(ContractError, match="name"):
        publish(3, [tmp_path])
