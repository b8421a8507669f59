"""What TensorBoard reads."""

import sys
from collections import Counter

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

from matrinox.train import Round, TensorBoard


def masked(data: bytes) -> int:
    """The checksum as the format has it."""
    checksum = crc32c(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def scalars(folder) -> list[tuple[str, int, float]]:
    """What the event files of a folder hold, read with their checksums."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.suffix):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            assert int.from_bytes(data[at + 8 : at + 12], "little") == masked(data[at : at + 8])
            body = data[at + 12 : at + 12 + length]
            assert int.from_bytes(data[at + 12 + length : at + 16 + length], "little") == masked(body)
            event = Event.FromString(body)
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            at += 16 + length
    return found


def test_a_run_leaves_scalars_of_steps_and_of_rounds(play, tmp_path):
    play(TensorBoard(tmp_path / "board"))
    found = scalars(tmp_path / "board")
    names = {"train/loss": 12, "train/learning_rate": 12, "train/gradient_norm": 12}
    assert Counter(name for name, _, _ in found) == {**names, "validation/loss": 4, "validation/accuracy": 4}
    assert [value for name, _, value in found if name == "train/loss"] == pytest.approx(
        [1 / (step + 1) for step in range(1, 13)]
    )
    assert [step for name, step, _ in found if name == "validation/loss"] == [3, 6, 9, 12]


@pytest.mark.parametrize(("every", "steps"), [(5, [5, 10]), (None, [])])
def test_every_step_so_many_is_written(every, steps, play, tmp_path):
    play(TensorBoard(tmp_path, every))
    assert [step for name, step, _ in scalars(tmp_path) if name == "train/loss"] == steps


@pytest.mark.parametrize(("killed", "checkpoint"), [(8, 3), (8, 6), (9, 9), (12, 6)])
def test_a_resumed_run_leaves_each_step_once(killed, checkpoint, play, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    play(TensorBoard(whole))
    # Twice, so that there are files of three processes, all of the same second.
    play(TensorBoard(broken), last=killed)
    play(TensorBoard(broken), first=checkpoint, last=killed)
    play(TensorBoard(broken), first=checkpoint)
    assert scalars(broken) == scalars(whole)
    assert len(list(broken.iterdir())) == 3


def test_a_record_that_a_killed_process_left_half_written_is_cut_off(play, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    play(TensorBoard(whole))
    play(TensorBoard(broken), last=9)
    (path,) = broken.iterdir()
    path.write_bytes(path.read_bytes() + b"\x20\x00\x00\x00\x00\x00\x00\x00half")
    play(TensorBoard(broken), first=9)
    assert scalars(broken) == scalars(whole)


def test_a_new_run_removes_the_files_of_the_one_before_and_none_of_others(play, tmp_path):
    other = tmp_path / "events.out.tfevents.1700000000.elsewhere"
    other.write_bytes(b"another's")
    play(TensorBoard(tmp_path), last=6)
    play(TensorBoard(tmp_path))
    assert other.read_bytes() == b"another's"
    other.unlink()
    assert [step for name, step, _ in scalars(tmp_path) if name == "validation/loss"] == [3, 6, 9, 12]


def test_rounds_are_in_the_file_before_a_checkpoint_could_be(play, tmp_path):
    hooks = TensorBoard(tmp_path)
    play(hooks, last=6, ends=False)
    assert [step for name, step, _ in scalars(tmp_path) if name == "validation/loss"] == [3, 6]


def test_a_full_disk_is_one_clear_error_and_keeps_the_rounds_before(play, disk_with_room_for, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    play(TensorBoard(whole))
    hooks = TensorBoard(broken)
    play(hooks, last=6, ends=False)
    (path,) = broken.iterdir()
    size = path.stat().st_size
    with disk_with_room_for(size + 10), pytest.raises(OSError, match=r"rounds before are kept: make room .*broken'"):
        hooks.on_round(None, Round(9, 1.0, 1.0, {"loss": 1.0}))
    assert path.stat().st_size == size + 10
    play(TensorBoard(broken), first=6)
    assert scalars(broken) == scalars(whole)


def test_without_tensorboardx_it_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r'TensorBoard needs tensorboardX: pip install "matrinox\[tensorboard\]"'):
        TensorBoard(tmp_path / "board")
    assert not list(tmp_path.iterdir())
