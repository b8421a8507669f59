"""`matrinox list` and `matrinox show`: what is in the zoo."""

import dataclasses

from rich.table import Table

from matrinox import zoo
from matrinox.cli.command import Command, ModelName, entry_named
from matrinox.cli.table import facts, on_one_line, show_table


@dataclasses.dataclass(frozen=True)
class List(Command):
    """List the models of the zoo, with what they reach."""

    def __call__(self) -> None:
        """Runs the command."""
        table = Table(title="The zoo: matrinox show NAME tells more, matrinox train NAME trains it anew")
        for column in ("name", "architecture", "data"):
            table.add_column(column, no_wrap=True)
        for column in ("parameters", "test accuracy"):
            table.add_column(column, justify="right", no_wrap=True)
        for name in zoo.list_models():
            card = zoo.card(name)
            reached = f"{card.figures.test_accuracy_mean:.2%} ± {card.figures.test_accuracy_spread:.2%}"
            table.add_row(name, card.architecture, card.data["name"], f"{card.parameters:,}", reached)
        show_table(table)


@dataclasses.dataclass(frozen=True)
class Show(Command):
    """Show the card of a model: data, sizes, recipe, figures over its seeds, limits.

    Example: matrinox show cnn-digits
    """

    name: ModelName = ""
    """Which model: a name that `matrinox list` shows."""

    def __call__(self) -> None:
        """Runs the command."""
        card = zoo.card(entry_named(self.name).name)
        figures, weights = card.figures, card.weights
        rows = {
            "summary": card.summary,
            "limits": card.limits,
            "licence": card.licence,
            "parameters": f"{card.parameters:,}",
            "data": f"{card.data['name']}: {on_one_line(card.data['examples'])}; {card.data['split']}",
            "config": f"{card.architecture}: {on_one_line(card.config)}",
            "recipe": on_one_line(card.recipe),
            "test accuracy": f"{figures.test_accuracy_mean:.2%} ± {figures.test_accuracy_spread:.2%} over seeds "
            f"{', '.join(map(str, figures.seeds))}",
            "each seed": ", ".join(f"{accuracy:.2%}" for accuracy in figures.test_accuracy),
            "seconds": ", ".join(f"{seconds:.1f}" for seconds in figures.seconds),
            "weights": f"seed {weights.seed}, the best by validation loss ({weights.validation_accuracy:.2%}); "
            f"test accuracy {weights.test_accuracy:.2%}; SHA-256 of the arrays {weights.sha256}",
            "trained with": on_one_line(card.versions),
        }
        show_table(facts(card.name, rows))
