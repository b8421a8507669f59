"""`matrinox list` and `matrinox show`: what is in the zoo."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import tyro
from rich.table import Table

from matrinox import zoo
from matrinox.cli.command import Command, ModelName, UsageError, entry_named
from matrinox.cli.table import facts, on_one_line, show_table


def _any(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="(default: any)")


@dataclasses.dataclass(frozen=True)
class List(Command):
    """List the models of the zoo, with what they reach: the mean over their seeds, ± its spread, on the test part.

    Example: matrinox list "*mnist*" --max-params 10000
    """

    pattern: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PATTERN")] = "*"
    """Of the name, as a shell has it."""
    family: Annotated[str, _any("NAME")] = ""
    """Those of an architecture, such as cnn."""
    task: Annotated[str, _any("NAME")] = ""
    """Those of a task, such as classification."""
    n: Annotated[int | None, _any("INT")] = None
    """Those with matrices of that side."""
    max_params: Annotated[int | None, _any("INT")] = None
    """Those with at most so many parameters."""
    pretrained: tyro.conf.FlagCreatePairsOff[bool] = False
    """Those with trained weights."""

    def __call__(self) -> None:
        """Runs the command."""
        try:
            names = zoo.list_models(
                self.pattern,
                family=self.family or None,
                task=self.task or None,
                n=self.n,
                max_params=self.max_params,
                pretrained=self.pretrained or None,
            )
        except ValueError as error:
            raise UsageError(str(error)) from None
        if not names:
            raise UsageError("no model is as asked: leave out a filter, or ask for a part of the name, as '*mnist*'")
        table = Table(title="The zoo: matrinox show NAME tells more, matrinox train NAME trains it anew")
        for column in ("name", "architecture", "data"):
            table.add_column(column, no_wrap=True)
        for column in ("parameters", "figure", "on test"):
            table.add_column(column, justify="left" if column == "figure" else "right", no_wrap=True)
        for name in names:
            row = zoo.entry(name)
            about = (
                name,
                row.family,
                row.data.name,
                f"{row.parameters:,}",
                row.recipe.task.headline.replace("_", " "),
            )
            if (row.folder / "card.toml").exists():
                card = zoo.card(name)
                table.add_row(*about, f"{card.metric.spelt(card.figures.test_mean)} ± {_spread(card)}")
            else:
                table.add_row(*about, "not run")
        show_table(table)


@dataclasses.dataclass(frozen=True)
class Show(Command):
    """Show the card of a model: sizes, what it takes and gives, data, recipe, figures over its seeds, use, limits.

    Example: matrinox show cnn-digits
    """

    name: ModelName = ""
    """Which model: a name that `matrinox list` shows."""

    def __call__(self) -> None:
        """Runs the command."""
        card = zoo.card(entry_named(self.name).name)
        show_table(facts(card.name, _told(card)))


def _told(card: zoo.Card) -> dict[str, str]:
    figures, weights, metric, takes, gives = card.figures, card.weights, card.metric, card.takes, card.gives
    better = "at least" if metric.ascending else "at most"
    name = metric.name.replace("_", " ")

    def each(values: Sequence[float]) -> str:
        return ", ".join(map(metric.spelt, values))

    points = zip(card.curve["step"], card.curve[f"validation_{metric.name}"], strict=True)
    return {
        "summary": card.summary,
        "use": card.use,
        "limits": card.limits,
        "source": card.source,
        "licence": card.licence,
        "task": card.task,
        "takes": f"{takes.dtype} {_axes(takes.shape)}, from {takes.least:g} to {takes.most:g} in training",
        "gives": f"{gives.dtype} {_axes(gives.shape)}: {gives.what}",
        "parameters": f"{card.parameters:,}",
        "FLOPs": f"{card.flops:,} for an example",
        "data": f"{card.data['name']}: {on_one_line(card.data['examples'])}; {card.data['split']}",
        "config": f"{card.architecture}: {on_one_line(card.config)}",
        "recipe": on_one_line(card.recipe),
        f"test {name}": f"{metric.spelt(figures.test_mean)} ± {_spread(card)} over seeds "
        f"{', '.join(map(str, figures.seeds))}",
        "goal": f"{better} {metric.spelt(metric.goal)}: {'reached' if metric.reached else 'not reached'}",
        "each seed": f"test {each(figures.test)}; validation {each(figures.validation)}",
        "seconds": f"{', '.join(f'{seconds:.1f}' for seconds in figures.seconds)}; {card.versions['machine']}",
        "weights": f"seed {weights.seed}, the best by validation loss ({name} {metric.spelt(weights.validation)}); "
        f"test {name} {metric.spelt(weights.test)}; {weights.bytes:,} bytes; SHA-256 of the arrays {weights.sha256}",
        "curve": f"validation {name} " + ", ".join(f"{metric.spelt(value)} at {step}" for step, value in points),
        "trained with": on_one_line(card.versions),
    }


def _spread(card: zoo.Card) -> str:
    return card.metric.spelt(card.figures.test_spread)


def _axes(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, ('…', *shape)))})"
