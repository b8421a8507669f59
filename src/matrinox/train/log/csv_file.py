"""The rounds of a run as a CSV file, for spreadsheets."""

import csv
import io
import os
from collections.abc import Sequence
from typing import Any

from matrinox.contract import contract
from matrinox.train.hooks import Hooks, Round, Start
from matrinox.train.log.growing import GrowingFile, whole_lines
from matrinox.train.log.run_log import rounds_as_columns


class Csv(Hooks):
    """Writes one row a round: step, loss, learning rate, and the figures of validation, each in a column of its own.

    A run that goes on from a checkpoint cuts off, atomically, what the file holds beyond it. As `JsonLines`, it stands
    before what writes checkpoints.

    **Arguments:** `path`: such as `"runs/one/rounds.csv"`, its folder made if need be.
    **Raises:** while a run goes on: `OSError` if a row cannot be written, as on a full disk; `ValueError`, naming the
    line, if the file that a run is to go on with is not such a file.
    """

    @contract
    def __init__(self, path: str | os.PathLike[str]):
        writer = _Writer(GrowingFile(path))
        super().__init__(on_start=writer.on_start, on_round=writer.on_round, on_finish=lambda now: writer.close())


class _Writer:
    def __init__(self, file: GrowingFile):
        self._file = file
        self._header = b""
        self.close = file.close

    def on_start(self, start: Start) -> None:
        lines = self._kept(start.step) if start.step and self._file.path.exists() else []
        self._header = lines[0] if lines else b""
        self._file.begin(lines)

    def _kept(self, step: int) -> list[bytes]:
        """The header, and the rows of rounds until `step`."""
        lines, _ = whole_lines(self._file.path)
        if lines and not lines[0].startswith(b"step,loss,learning_rate"):
            raise ValueError(f"{os.fspath(self._file.path)!r}, line 1 is no header of rounds: name another file.")
        kept = lines[:1]
        for number, line in enumerate(lines[1:], start=2):
            first = line.split(b",")[0]
            if not first.isdigit() or line.count(b",") != lines[0].count(b","):
                raise ValueError(f"{os.fspath(self._file.path)!r}, line {number} is no round: mend or remove the file.")
            if int(first) <= step:
                kept.append(line)
        return kept

    def on_round(self, model: Any, now: Round) -> None:
        del model
        columns = rounds_as_columns([now])
        header = _row(list(columns))
        if not self._header:
            self._header = header
            self._file.add(header)
        if header != self._header:
            raise ValueError(
                f"the round of step {now.step} has the columns {header.decode()}, which must be those of the rounds "
                f"before, {self._header.decode()}: name another file."
            )
        self._file.add(_row([value for (value,) in columns.values()]), lasting=True)


def _row(values: Sequence[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue().encode()
