"""What every optimiser is: plain data that builds an optax transformation for a run of known length."""

from abc import ABC, abstractmethod

import optax


class Optimiser(ABC):
    """An optimiser as plain data: a subclass is a frozen dataclass of numbers and choices, which a log can tell."""

    @abstractmethod
    def schedule(self, steps: int, *, steps_per_epoch: int = 1) -> optax.Schedule:
        """The learning rate as a function of the step, over a run of `steps`.

        **Arguments:** `steps`: of the run, 1 or more; `steps_per_epoch`: for schedules that change by the epoch.
        """

    @abstractmethod
    def build(self, steps: int, *, steps_per_epoch: int = 1) -> optax.GradientTransformation:
        """The transformation for a run of `steps`; its `init` takes the model with `None` for all that is not trained.

        **Arguments:** as for `schedule`.
        """
