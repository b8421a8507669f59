"""`Lion`, the sign of a moving average."""

from dataclasses import dataclass

import optax

from matrinox.train.optim.base import Optimiser, require_decay


@dataclass(frozen=True)
class Lion(Optimiser):
    """Lion: the sign of a mean of the gradients, so that every entry moves as far as any other.

    A tenth of the learning rate of Adam, and ten times its weight decay, are a good start.

    **Arguments:** as for `Optimiser`; `b1`: what the mean so far counts for in the sign; `b2`: what of it stays from
    step to step.
    **Raises:** as `Optimiser`; `ValueError` for one of these that is not from 0 to below 1.
    **Source:** Chen et al. 2023, arXiv 2302.06675; `optax.lion`.
    """

    learning_rate: float = 3e-4
    b1: float = 0.9
    b2: float = 0.99

    def __post_init__(self):
        super().__post_init__()
        require_decay("b1", self.b1)
        require_decay("b2", self.b2)

    def direction(self) -> optax.GradientTransformation:
        """A sign for each entry."""
        return optax.scale_by_lion(self.b1, self.b2)
