"""Training entries, and making their files of several runs."""

import dataclasses
import json

import numpy as np
import pytest

from matrinox import io, zoo
from matrinox.data import load_builtin, split
from matrinox.train import Classification, evaluate, read_log, unpack, write_log
from matrinox.zoo import Reproduced, publish, read_card, reproduce


@pytest.fixture(scope="module")
def runs(quick, tmp_path_factory) -> list[Reproduced]:
    """Seeds 0, 1, and 0 again."""
    folder = tmp_path_factory.mktemp("runs")
    return [reproduce(quick, seed=seed, folder=folder / str(i)) for i, seed in enumerate((0, 1, 0))]


def test_a_run_leaves_one_model_file_and_one_log(runs):
    for done in runs:
        assert {path.name for path in done.model_file.parent.iterdir()} == {"model.safetensors", "log.json"}


def test_the_file_scores_what_the_log_says(runs, quick):
    for done in runs:
        model = zoo.load(done.model_file)
        test = split(load_builtin(quick.data)).test
        seen = evaluate(model, test, Classification())
        run = read_log(done.log_file).runs[0]
        assert seen.accuracy == run.test.accuracy
        assert seen.predictions.tolist() == unpack(run.test.predictions).tolist()
        assert run.weights_sha256 == io.read_header(done.model_file).data_sha256


def test_the_log_says_what_was_done(runs, quick):
    log = read_log(runs[1].log_file)
    assert (log.name, log.architecture, log.runs[0].seed) == ("mlp-digits", "MLP", 1)
    assert log.config == json.loads(json.dumps(dataclasses.asdict(quick.config)))
    assert log.recipe["steps"] == 12
    assert log.runs[0].rounds["step"] == [4, 8, 12]
    assert log.data["examples"] == {"train": 1259, "validation": 179, "test": 359}
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
    assert notes["test_sha256"] == split(load_builtin("digits-features")).test.fingerprint()
    assert notes["step"] == str(runs[1].run.best_step)


def test_ctrl_c_leaves_the_last_complete_file_and_a_log_that_says_so(quick, tmp_path):
    def stop(now):
        if now.step == 8:
            raise KeyboardInterrupt

    done = reproduce(quick, seed=0, folder=tmp_path, on_round=stop)
    assert done.run.interrupted
    assert done.run.best_step == 4
    assert io.read_header(done.model_file).notes["step"] == "4"
    test = split(load_builtin(quick.data)).test
    assert evaluate(zoo.load(done.model_file), test, Classification()).accuracy == done.run.test.accuracy


def test_ctrl_c_before_there_is_a_file_leaves_none(quick, tmp_path):
    def stop(now):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(quick, seed=0, folder=tmp_path / "run", on_round=stop)
    assert list((tmp_path / "run").iterdir()) == []


def test_an_unknown_entry_names_the_nearest(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'mlp-digits'"):
        reproduce("mlp-digit", seed=0, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_publish_merges_the_runs_and_ships_the_best_by_validation(runs, tmp_path):
    folders = [done.model_file.parent for done in runs[:2]]
    target = publish("mlp-digits", folders, folder=tmp_path / "entry")
    card, log = read_card(target / "card.toml"), read_log(target / "log.json")
    assert [run.seed for run in log.runs] == [0, 1]
    assert card.figures.seeds == (0, 1)
    assert card.figures.test_accuracy_mean == pytest.approx(np.mean([run.test.accuracy for run in log.runs]), abs=1e-6)
    shipped = io.read_header(target / "weights.safetensors").data_sha256
    assert card.weights.sha256 == shipped == runs[card.weights.seed].run.weights_sha256
    assert card.weights.seed == min(log.runs, key=lambda run: run.validation.loss).seed


def test_publish_refuses_runs_that_do_not_belong_together(runs, tmp_path):
    folders = [done.model_file.parent for done in runs]
    with pytest.raises(ValueError, match="`runs` is empty"):
        publish("mlp-digits", [], folder=tmp_path)
    with pytest.raises(ValueError, match="a spread takes 2 at least"):
        publish("mlp-digits", folders[:1], folder=tmp_path)
    with pytest.raises(ValueError, match=r"the runs of seeds \[0, 0\] must differ by seed"):
        publish("mlp-digits", [folders[0], folders[2]], folder=tmp_path)
    with pytest.raises(ValueError, match="not all of 'cnn-digits' with one config"):
        publish("cnn-digits", folders[:2], folder=tmp_path)
    log = read_log(folders[1] / "log.json")
    other = tmp_path / "other"
    other.mkdir()
    write_log(other / "log.json", dataclasses.replace(log, recipe={**log.recipe, "steps": 13}))
    with pytest.raises(ValueError, match="with one config, recipe, data and software"):
        publish("mlp-digits", [folders[0], other], folder=tmp_path)
    write_log(other / "log.json", dataclasses.replace(log, runs=(dataclasses.replace(log.runs[0], interrupted=True),)))
    with pytest.raises(ValueError, match="must differ by seed and be complete"):
        publish("mlp-digits", [folders[0], other], folder=tmp_path)
    assert not (tmp_path / "card.toml").exists()
