"""The figures of a run for TensorBoard, by tensorboardX."""

import contextlib
import os
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matrinox.contract import contract
from matrinox.io.atomic import write_atomically
from matrinox.train.hooks import Finish, Hooks, Round, Start, Step
from matrinox.train.log.json_lines import check_every

# The number at the end is ours: event files of others in the folder are left alone.
_FILES = "events.out.tfevents.*.[0-9][0-9][0-9][0-9]"
# A record is its length (8 bytes) and a checksum of it (4), the data, and their checksum (4).
_BEFORE, _BEHIND = 12, 4


class TensorBoard(Hooks):
    """Writes scalars for TensorBoard: of steps `train/loss`, `train/learning_rate` and `train/gradient_norm`, of rounds
    the figures of validation as `validation/…`.

    A run that begins at step 0 removes the event files that it wrote to the folder before; one that goes on from a
    checkpoint cuts off, file by file and atomically, what they hold beyond it, so that no step is there twice. As
    `JsonLines`, it stands before what writes checkpoints.

    **Arguments:** `folder`: made if need be; `every`: how many steps pass from one that is written to the next, `None`
    for none.
    **Raises:** `ValueError` if `every` is below 1; `ImportError` without tensorboardX, naming the extra. While a run
    goes on: `OSError` if a file cannot be written.
    """

    @contract
    def __init__(self, folder: str | os.PathLike[str], every: int | None = 1):
        check_every(every)
        writer = _Writer(Path(folder), every)
        super().__init__(
            on_start=writer.on_start,
            on_step=Hooks.on_step if every is None else writer.on_step,
            on_round=writer.on_round,
            on_finish=writer.on_finish,
        )


class _Writer:
    def __init__(self, folder: Path, every: int | None):
        try:
            from tensorboardX import event_file_writer, summary
            from tensorboardX.proto import event_pb2
        except ImportError as error:
            raise ImportError('TensorBoard needs tensorboardX: pip install "matrinox[tensorboard]".') from error
        # Of tensorboardX, what writes at once: its SummaryWriter leaves events in a queue that a kill would lose, and
        # opens anew, empty, the file of another run that began in the same second.
        self._open, self._scalar = event_file_writer.EventsWriter, summary.scalar
        # protobuf makes the class when it is imported.
        self._event = event_pb2.Event  # pyright: ignore[reportAttributeAccessIssue]
        self._folder, self._every = folder, every
        self._file: Any = None

    def on_start(self, start: Start) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        before = sorted(self._folder.glob(_FILES))
        for path in before:
            if start.step:
                self._cut(path, start.step)
            else:
                path.unlink()
        number = 1 + max((int(path.suffix[1:]) for path in before), default=0)
        self._file = self._open(os.fspath(self._folder / "events"), f".{number:04}")
        with self._one_error():
            self._file.flush()

    def on_step(self, now: Step) -> None:
        if self._every and now.step % self._every == 0:
            numbers = {"loss": now.loss, "learning_rate": now.learning_rate, "gradient_norm": now.gradient_norm}
            self._write("train", numbers, now.step)

    def on_round(self, model: Any, now: Round) -> None:
        del model
        self._write("validation", now.validation, now.step)
        if self._file is not None:
            with self._one_error():
                self._file.flush()

    def on_finish(self, now: Finish) -> None:
        del now
        if self._file is not None:
            with self._one_error():
                self._file.close()
            self._file = None

    def _write(self, part: str, numbers: Mapping[str, float], step: int) -> None:
        if self._file is None:
            raise RuntimeError(f"{self._folder} was not begun: `fit` tells the start of a run first.")
        for name, number in numbers.items():
            scalar = self._scalar(f"{part}/{name}", float(number))
            with self._one_error():
                self._file.write_event(self._event(wall_time=time.time(), step=step, summary=scalar))

    @contextlib.contextmanager
    def _one_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What is left of the file's buffer would be tried again, in vain, when Python ends.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
            why = f"{error.strerror} (the rounds before are kept: make room and resume the run)"
            raise OSError(error.errno, why, os.fspath(self._folder)) from error

    def _cut(self, path: Path, step: int) -> None:
        data = path.read_bytes()
        kept = [record for record, event in self._records(data) if event.step <= step]
        if sum(map(len, kept)) < len(data):
            write_atomically(path, kept)

    def _records(self, data: bytes) -> Iterator[tuple[bytes, Any]]:
        """The records of an event file, each with its event; the last is left out where a killed process cut it."""
        at = 0
        while at + _BEFORE <= len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            end = at + _BEFORE + length + _BEHIND
            if end > len(data):
                return
            yield data[at:end], self._event.FromString(data[at + _BEFORE : end - _BEHIND])
            at = end
