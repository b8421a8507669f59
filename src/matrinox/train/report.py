"""Figures in a line, to print before, while and after a model is trained."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from matrinox.contract import contract


@runtime_checkable
class Reported(Protocol):
    """What has figures, as an `Evaluation` does."""

    @property
    def figures(self) -> Mapping[str, float]: ...


@contract
def report_line(
    label: str, now: Mapping[str, float] | Reported, *, before: Mapping[str, float] | Reported | None = None
) -> str:
    """A label and figures: `validation: loss 0.3127, accuracy 0.912`, or `loss 2.303 → 0.3127` with those before.

    **Arguments:** `label`: what they are of; `now`: an `Evaluation`, or figures by name, such as those of a `Round`;
    `before`: the same of the model as it was.
    **Returns:** a line of text, numbers with four digits.
    **Raises:** `ValueError` if there is no figure, or other ones than before.
    """
    figures = _figures(now)
    if not figures:
        raise ValueError(f"{label!r} has no figure, and must have one: evaluate the model on some examples.")
    texts = {name: f"{value:.4g}" for name, value in figures.items()}
    if before is not None:
        old = _figures(before)
        if set(old) != set(figures):
            raise ValueError(
                f"`before` (of {', '.join(old) or 'nothing'}) must be of {', '.join(figures)}: use one task for both."
            )
        texts = {name: f"{old[name]:.4g} → {text}" for name, text in texts.items()}
    return f"{label}: {', '.join(f'{name} {text}' for name, text in texts.items())}"


def _figures(of: Mapping[str, float] | Reported) -> Mapping[str, float]:
    return of if isinstance(of, Mapping) else of.figures
