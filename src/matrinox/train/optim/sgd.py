"""Gradient descent: `SGD` and `Momentum`."""

from dataclasses import dataclass

import optax

from matrinox.train.optim.base import Optimiser, require_decay


@dataclass(frozen=True)
class SGD(Optimiser):
    """Gradient descent: the direction is the gradient.

    **Arguments, Raises:** as for `Optimiser`.
    """

    learning_rate: float = 0.1

    def direction(self) -> optax.GradientTransformation:
        """The gradient."""
        return optax.identity()


@dataclass(frozen=True)
class Momentum(Optimiser):
    """Gradient descent with momentum: the direction is `m ← momentum · m + gradient`, or one step ahead of it.

    **Arguments:** as for `Optimiser`; `momentum`: what stays of the direction from step to step; `nesterov`: whether to
    take `momentum · m + gradient` of the new m.
    **Raises:** as `Optimiser`; `ValueError` for a `momentum` that is not from 0 to below 1.
    **Source:** `torch.optim.SGD`, `optax.sgd`.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self):
        super().__post_init__()
        require_decay("momentum", self.momentum)

    def direction(self) -> optax.GradientTransformation:
        """The gradients so far, each weighing less by `momentum` than the next."""
        return optax.trace(self.momentum, self.nesterov)
