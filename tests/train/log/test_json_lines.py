"""The log of a run while it goes on."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from matrinox.contract import ContractError
from matrinox.train import Checkpoints, Csv, Hooks, JsonLines, TensorBoard, fit, read_events


def but_for_the_clock(path: Path) -> list[dict]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(next(iter(line)) == "event" and list(line)[-1] == "seconds" for line in lines)
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_each_event_of_a_run_is_a_line_in_turn(play, tmp_path):
    play(JsonLines(tmp_path / "new" / "log.jsonl", about={"recipe": {"steps": 12, "batch": 8}}))
    lines = but_for_the_clock(tmp_path / "new" / "log.jsonl")
    told = ["step", "step", "step", "round", "step", "step", "epoch", "step", "round"]
    assert [line["event"] for line in lines[:10]] == ["start", *told]
    start = {"step": 0, "steps": 12, "steps_per_epoch": 5, "figures": {"loss": 3.0, "accuracy": 0.25}}
    assert lines[0] == {"event": "start", **start, "about": {"recipe": {"steps": 12, "batch": 8}}, "version": 1}
    assert lines[1] == {
        **{"event": "step", "step": 1, "epoch": 1, "loss": 0.5, "learning_rate": 0.01, "gradient_norm": 1.5}
    }
    validation = {"loss": 0.222222222, "accuracy": 0.666666667}
    rates = {"loss": 0.333333333, "learning_rate": 0.00333333333}
    assert lines[4] == {"event": "round", "step": 3, **rates, "validation": validation}
    assert lines[-1] == {"event": "finish", "step": 12, "best_step": 12, "reason": "complete"}


@pytest.mark.parametrize("every", [1, 2, None])
def test_every_step_so_many_is_logged(every, play, tmp_path):
    hooks = JsonLines(tmp_path / "log.jsonl", every)
    play(hooks)
    steps = [line["step"] for line in but_for_the_clock(tmp_path / "log.jsonl") if line["event"] == "step"]
    assert steps == ([] if every is None else list(range(every, 13, every)))
    assert hooks.listens("on_step") == (every is not None)


@pytest.mark.parametrize(("killed", "checkpoint"), [(4, 3), (8, 6), (9, 9), (12, 9), (12, 12)])
@pytest.mark.parametrize("ends", [False, True])
def test_a_resumed_run_leaves_the_log_of_one_without_a_break_but_for_the_clock(
    killed, checkpoint, ends, play, tmp_path
):
    play(JsonLines(tmp_path / "whole.jsonl", about={"seed": 1}))
    path = tmp_path / "broken.jsonl"
    play(JsonLines(path, about={"seed": 1}), last=killed, ends=ends)
    with path.open("ab") as file:
        file.write(b'{"event": "ste')
    play(JsonLines(path, about={"seed": 1}), first=checkpoint)
    assert but_for_the_clock(path) == but_for_the_clock(tmp_path / "whole.jsonl")
    assert read_events(path) == read_events(tmp_path / "whole.jsonl")
    seconds = [event.seconds for event in read_events(path)]
    assert seconds == sorted(seconds)


def test_a_run_resumed_without_its_log_begins_one_where_it_is(play, tmp_path):
    play(JsonLines(tmp_path / "log.jsonl"), first=6)
    events = read_events(tmp_path / "log.jsonl")
    assert (events[0].kind, events[0].step) == ("start", 6)
    assert [event.step for event in events if event.kind == "round"] == [9, 12]


def test_a_new_run_begins_its_log_anew(play, tmp_path):
    path = tmp_path / "log.jsonl"
    play(JsonLines(path), last=8, ends=False)
    play(JsonLines(path))
    assert [event.step for event in read_events(path) if event.kind == "step"] == list(range(1, 13))


def test_a_log_that_is_damaged_is_not_gone_on_with(play, tmp_path):
    path = tmp_path / "log.jsonl"
    play(JsonLines(path), last=8, ends=False)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3] = b'{"event":"stop"}\n'
    path.write_bytes(b"".join(lines))
    with pytest.raises(ValueError, match=r"line 4: `event` \(='stop'\) must be one of .*: did you mean 'step'"):
        play(JsonLines(path), first=6)
    assert path.read_bytes() == b"".join(lines)


def test_every_below_1_is_refused_and_so_is_what_is_no_path(tmp_path):
    for kind in (JsonLines, TensorBoard):
        with pytest.raises(ValueError, match=r"`every` \(=0\) must be at least 1: choose how many steps pass"):
            kind(tmp_path / "log", every=0)
    with pytest.raises(ContractError, match="path"):
        JsonLines(3)  # pyright: ignore[reportArgumentType]


def test_what_json_does_not_take_is_refused_before_a_run_begins(tmp_path):
    with pytest.raises(ValueError, match=r"`about` must be what JSON takes, .* Object of type set is not JSON"):
        JsonLines(tmp_path / "log.jsonl", about={"recipe": {1, 2}})
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_the_run_with_one_clear_error_and_it_can_be_resumed(play, disk_with_room_for, tmp_path):
    path = tmp_path / "log.jsonl"
    play(JsonLines(tmp_path / "whole.jsonl"))
    with (
        disk_with_room_for(1000),
        pytest.raises(OSError, match="the lines before are kept: make room and resume the run"),
    ):
        play(JsonLines(path))
    assert 800 < len(path.read_bytes()) <= 1000
    checkpoint = [event.step for event in read_events(path) if event.kind == "round"][-1]
    assert 0 < checkpoint < 12
    play(JsonLines(path), first=checkpoint)
    assert but_for_the_clock(path) == but_for_the_clock(tmp_path / "whole.jsonl")


def test_it_combines_with_other_hooks(play, tmp_path):
    seen = []
    play(JsonLines(tmp_path / "a.jsonl") + Hooks(on_round=lambda model, now: seen.append(now.step)))
    assert seen == [3, 6, 9, 12]
    assert len(read_events(tmp_path / "a.jsonl")) == 1 + 12 + 2 + 4 + 1


KILLED = """
import sys, time
from types import SimpleNamespace
from matrinox.train import JsonLines, Start, Step
hooks = JsonLines(sys.argv[1])
hooks.on_start(Start(SimpleNamespace(step=0), 10**9, 1, {}))
for step in range(1, 10**9):
    hooks.on_step(Step(step, step, 0.5, 0.1, 1.0))
    if step == 500:
        print("going", flush=True)
"""


def test_a_killed_process_leaves_whole_lines_in_order_and_at_most_one_unfinished(tmp_path):
    path = tmp_path / "log.jsonl"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "going\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        process.stdout.close()
    steps = [event.step for event in read_events(path, unfinished=True)]
    assert steps == list(range(len(steps)))
    assert len(steps) > 500


@pytest.fixture(scope="module")
def stopped_and_resumed(blobs, linear, recipe, tmp_path_factory):
    """One run without a break, and one that is stopped behind its second round and resumed."""
    whole, broken = (tmp_path_factory.mktemp(name) for name in ("whole", "broken"))

    def run(folder, resume=False, should_stop=None):
        logs = JsonLines(folder / "log.jsonl") + Csv(folder / "rounds.csv") + TensorBoard(folder / "board")
        model, key = linear(2, 3, 0.2), jax.random.key(0)
        where = Checkpoints(folder)
        return fit(
            *(model, blobs, blobs, recipe),
            key=key,
            hooks=logs,
            checkpoints=where,
            resume=resume,
            should_stop=should_stop,
        )

    run(whole)
    rounds = []
    run(broken, should_stop=lambda: rounds.append(0) or len(rounds) > 2)
    run(broken, resume=True)
    return whole, broken


def test_fit_stopped_and_resumed_leaves_the_same_logs(stopped_and_resumed):
    whole, broken = stopped_and_resumed
    assert but_for_the_clock(broken / "log.jsonl") == but_for_the_clock(whole / "log.jsonl")
    assert [event.step for event in read_events(broken / "log.jsonl") if event.kind == "step"] == list(range(1, 24))
    assert (broken / "rounds.csv").read_bytes() == (whole / "rounds.csv").read_bytes()
