"""Steps of a size that does not depend on that of the gradients: `Adam` and `AdamW`."""

import math
from dataclasses import dataclass

import optax

from matrinox.train.optim.base import Optimiser, require_decay


@dataclass(frozen=True)
class Adam(Optimiser):
    """Adam: the mean of the gradients over the root of the mean of their squares, both moving.

    **Arguments:** as for `Optimiser`, of which `weight_decay` is decoupled here too; `b1`, `b2`: what stays of the two
    means from step to step; `eps`: added to the root.
    **Raises:** as `Optimiser`; `ValueError` for a mean not from 0 to below 1, and an `eps` that is not
    positive and finite.
    **Source:** Kingma and Ba 2015, arXiv 1412.6980; `optax.adam`.
    """

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        super().__post_init__()
        require_decay("b1", self.b1)
        require_decay("b2", self.b2)
        if not 0 < self.eps < math.inf:
            raise ValueError(f"`eps` (={self.eps}) must be positive and finite: 1e-8 is common.")

    def direction(self) -> optax.GradientTransformation:
        """Mean over root mean square."""
        return optax.scale_by_adam(self.b1, self.b2, self.eps)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay.

    **Arguments, Raises:** as for `Adam`.
    **Source:** Loshchilov and Hutter 2019, arXiv 1711.05101; `torch.optim.AdamW`, of which this has the default decay.
    """

    weight_decay: float = 0.01
