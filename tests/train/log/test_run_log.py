"""The finished log."""

import dataclasses
import hashlib
import json
import math

import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.train import Evaluation, Round, Run, RunLog, Score, pack, read_log, rounds_as_columns, software, write_log
from matrinox.train.log.run_log import hash_of_settings

ROUNDS = [Round(step, 1 / step, 0.01 / step, {"loss": 2 / step, "accuracy": 1 - 1 / step}) for step in (3, 7, 9)]


@pytest.fixture
def log() -> RunLog:
    score = Score.of(Evaluation({"loss": 0.25, "accuracy": 0.75}, records={"classes": np.array([1, 2, 3, 3])}))
    own = {"sha256": {"train": "cd"}, "least": 0, "most": 1.5}
    run = Run(4, 9, 1.5, False, 7, "ab" * 32, own, rounds_as_columns(ROUNDS), score, score)
    recipe = {"steps": 9, "epochs": None}
    shared = {"recipe": recipe, "recipe_sha256": hash_of_settings(recipe), "versions": software()}
    shared |= {"config": {"n": 2}, "data": {"name": "blobs"}, "parameters": 12, "flops": 99}
    runs = (run, dataclasses.replace(run, seed=5))
    return RunLog(name="a", kind="matrix", architecture="CNN", runs=runs, **shared)


def test_read_log_gives_back_what_write_log_took(log, tmp_path):
    write_log(tmp_path / "log.json", log)
    assert read_log(tmp_path / "log.json") == log


def test_a_log_is_plain_json_with_a_line_for_each_run(log, tmp_path):
    write_log(tmp_path / "log.json", log)
    text = (tmp_path / "log.json").read_text()
    assert [run["seed"] for run in json.loads(text)["runs"]] == [4, 5]
    assert sum('"seed"' in line for line in text.splitlines()) == 2


def test_numbers_that_are_not_finite_come_back_as_they_were(log, tmp_path):
    rounds = rounds_as_columns([Round(1, 0.5, 0.1, {"loss": math.inf, "r2": math.nan})])
    run = dataclasses.replace(log.runs[0], rounds=rounds, test=Score({"loss": -math.inf}))
    write_log(tmp_path / "log.json", dataclasses.replace(log, runs=(run,)))

    def strict(number: str) -> float:
        raise AssertionError(number)

    json.loads((tmp_path / "log.json").read_text(), parse_constant=strict)
    (seen,) = read_log(tmp_path / "log.json").runs
    assert seen.rounds["validation_loss"] == [math.inf]
    assert math.isnan(seen.rounds["validation_r2"][0])
    assert seen.test == Score({"loss": -math.inf})


def test_a_score_holds_the_figures_and_the_records_of_any_task():
    records = {"classes": np.array([[2, 0], [1, 1]]), "numbers": np.array([0.5, -1.0], np.float32)}
    score = Score.of(Evaluation({"loss": 0.1, "r2": 1 / 3}, np.zeros(9), records=records))
    assert score.figures == {"loss": 0.1, "r2": 1 / 3}
    unpacked = score.unpacked()
    assert unpacked.keys() == records.keys()
    assert all(np.array_equal(unpacked[name], records[name]) for name in records)
    assert Score.of(Evaluation({"loss": 0.1})) == Score({"loss": 0.1}, {})


def test_a_recipe_has_the_same_hash_in_any_order_and_as_json_gives_it_back():
    recipe = {"steps": 9, "task": {"a": None, "b": math.inf, "c": (1, 2)}}
    due = hashlib.sha256(b'{"steps":9,"task":{"a":null,"b":"inf","c":[1,2]}}').hexdigest()
    assert hash_of_settings(recipe) == due
    assert hash_of_settings({"task": {"c": [1, 2], "b": "inf", "a": None}, "steps": 9}) == due
    assert hash_of_settings({**recipe, "steps": 10}) != due


def test_logs_take_their_own_types_alone(log, tmp_path):
    with pytest.raises(ContractError, match=r"log.*it takes a RunLog"):
        write_log(tmp_path / "log.json", dataclasses.asdict(log))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"read_log got path"):
        read_log(3)  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.iterdir())


def changed(path: tuple, value) -> str:
    """A log as text, of which one field is another, or gone."""
    validation, test = ({"figures": {"loss": 0.5}, "records": {"classes": pack(np.arange(3))}} for _ in range(2))
    run = {"seed": 0, "steps": 9, "seconds": 1.5, "interrupted": False, "best_step": 7, "weights_sha256": "ab"}
    run |= {"data": {}, "rounds": {"step": [3, 9], "loss": [0.5, 0.25]}, "validation": validation, "test": test}
    log = {"name": "a", "architecture": "CNN", "parameters": 12, "config": {}, "recipe": {}, "data": {}}
    log |= {
        "kind": "matrix",
        "flops": 99,
        "recipe_sha256": hash_of_settings({}),
        "versions": {"python": "3.11"},
        "runs": [run],
    }
    within = log
    for step in path[:-1]:
        within = within[step]
    if value is None:
        del within[path[-1]]
    else:
        within[path[-1]] = value
    return json.dumps(log)


REFUSED = {
    "[]": "the file is",
    '{"name": "a"}': "log has no field `kind`",
    '{"names": "a"}': "log has a field 'names', which is not among .*: did you mean 'name'",
    '{"name": "a", "name": "b"}': "the key 'name' twice",
    "no JSON": "the file is not JSON",
    changed(("runs",), []): "it holds no run",
    changed(("runs",), {}): r"`log\.runs` \(=\{\}\) must be a list",
    changed(("parameters",), 1.5): r"`log\.parameters` \(=1\.5\) must be an integer",
    changed(("versions", "python"), 3): r"`log\.versions\.python` \(=3\) must be a text",
    changed(("runs", 0, "interrupted"), 0): r"`log\.runs\[0\]\.interrupted` \(=0\) must be true or false",
    changed(("runs", 0, "test"), None): r"log\.runs\[0\] has no field `test`",
    changed(("runs", 0, "test", "figures", "loss"), "low"): r"test\.figures\.loss` \(='low'\) must be a number",
    changed(("runs", 0, "test", "records", "classes"), "x"): "a packed array begins with 'x'",
    changed(("runs", 0, "test", "records", "classes"), 3): r"records\.classes` \(=3\) must be a text",
    changed(("recipe",), {"steps": 9}): r"`recipe_sha256` \(='44136fa.*'\) must be that of the recipe, [0-9a-f]{64}",
    changed(("runs", 0, "rounds", "loss"), [0.5]): r"the columns of `rounds` must be of one length, .*'loss': 1",
    changed(("runs", 0, "rounds", "loss"), [0.5, [1]]): r"rounds\.loss\[1\]` \(=\[1\]\) must be a number",
}


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_read_log_refuses_another_json_naming_the_field(number, tmp_path):
    text, said = list(REFUSED.items())[number]
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(ValueError, match=rf"log\.json' is not the log of a training run: .*{said}"):
        read_log(tmp_path / "log.json")


def test_the_log_that_the_refused_ones_are_made_of_is_taken(tmp_path):
    (tmp_path / "log.json").write_text(changed(("name",), "b"))
    assert read_log(tmp_path / "log.json").name == "b"


def test_columns_keep_every_bit_of_a_float32():
    losses = np.random.RandomState(0).normal(size=50).astype(np.float32)
    columns = rounds_as_columns([Round(1, float(loss), 0.0) for loss in losses])
    assert np.array_equal(np.array(columns["loss"], np.float32), losses)
    assert columns["step"] == [1] * 50


def test_each_figure_of_validation_has_a_column():
    assert list(rounds_as_columns(ROUNDS)) == [
        "step",
        "loss",
        "learning_rate",
        "validation_loss",
        "validation_accuracy",
    ]
    assert rounds_as_columns(ROUNDS)["validation_loss"] == [0.666666667, 0.285714286, 0.222222222]
    assert list(rounds_as_columns([])) == ["step", "loss", "learning_rate"]
    columns = rounds_as_columns([Round(1, 1.0, 1.0), Round(2, 1.0, 1.0, {"loss": 0.5})])
    assert math.isnan(columns["validation_loss"][0])
    assert columns["validation_loss"][1] == 0.5


def test_software_names_what_decides_the_digits():
    assert {"matrinox", "jax", "numpy", "python", "machine"} <= set(software())
