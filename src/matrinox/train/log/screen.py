"""The progress of a run on the screen."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from matrinox.contract import contract
from matrinox.train.hooks import Hooks, Round, Start
from matrinox.train.task import Task

_LINES = 20
# Narrower terminals have no room for the epoch beside the bar.
_WIDE = 100


@contextmanager
@contract
def show_progress(task: Task | None = None, *, console: Console | None = None) -> Iterator[Hooks]:
    """Shows a run on the screen: a live bar on a terminal, at most about twenty plain lines elsewhere.

    **Arguments:** `task`: of the recipe, whose headline figure on the validation examples is shown, as a percentage if
    it is a share; by default their loss; `console`: where to, standard output by default.
    **Returns:** within `with`, `Hooks` for `fit`.
    """
    console = console or Console()
    if console.is_terminal:
        yield from _live(task, console)
    else:
        yield from _lines(task, console)


def _live(task: Task | None, console: Console) -> Iterator[Hooks]:
    columns = (
        BarColumn(),
        TextColumn("{task.fields[place]}"),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=None, place="", numbers="compiling …")
        began: Start | None = None

        def start(now: Start) -> None:
            nonlocal began
            began = now
            # A new bar, or the time left would be reckoned with the steps of another process.
            place = _place(now.step, now, epochs=False)
            progress.reset(bar, total=now.steps, completed=now.step, place=place, numbers="compiling …")

        def show(model: Any, now: Round) -> None:
            del model
            if began is not None:
                place = _place(now.step, began, epochs=console.width >= _WIDE)
                progress.update(bar, completed=now.step, place=place, numbers=_numbers(now, task, " "))

        yield Hooks(on_start=start, on_round=show)


def _lines(task: Task | None, console: Console) -> Iterator[Hooks]:
    console.print("compiling …", soft_wrap=True)
    began: Start | None = None
    first: tuple[float, int] | None = None
    printed = 0

    def start(now: Start) -> None:
        nonlocal began, first, printed
        began, first, printed = now, None, _twentieth(now.step, now)
        if now.step:
            console.print(f"going on behind {_place(now.step, now)}", highlight=False, soft_wrap=True)

    def show(model: Any, now: Round) -> None:
        nonlocal first, printed
        del model
        if began is None:
            return
        left = ""
        if first is None:
            first = (time.perf_counter(), now.step)
        else:
            pace = (time.perf_counter() - first[0]) / (now.step - first[1])
            left = f"  {pace * (began.steps - now.step):.0f} s left"
        if now.step == began.steps or _twentieth(now.step, began) > printed:
            printed = _twentieth(now.step, began)
            console.print(f"{_place(now.step, began)}  {_numbers(now, task)}{left}", highlight=False, soft_wrap=True)

    yield Hooks(on_start=start, on_round=show)


def _twentieth(step: int, run: Start) -> int:
    return step * _LINES // run.steps


def _place(step: int, run: Start, *, epochs: bool = True) -> str:
    place = f"step {step}/{run.steps}"
    return f"{place}, epoch {step / run.steps_per_epoch:.3g}" if epochs and run.steps_per_epoch else place


def _numbers(now: Round, task: Task | None, gap: str = "  ") -> str:
    numbers = [f"loss {now.loss:.3f}"]
    if now.validation:
        numbers.append(f"validation {headline(now.validation, task)}")
    return gap.join([*numbers, f"rate {now.learning_rate:.1e}"])


def headline(figures: Mapping[str, float], task: Task | None) -> str:
    """The figure of a task that says most, as text: a share as a percentage; the loss where there is no such figure."""
    if task is None or task.headline not in figures:
        return f"{figures['loss']:.3f}"
    return f"{figures[task.headline]:.1%}" if task.percent else f"{figures[task.headline]:.3f}"
