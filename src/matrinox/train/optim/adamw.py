"""Optimisers as plain data: a frozen config that builds an optax transformation."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.tree_util as jtu
import optax
from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.io.config import check_config
from matrinox.train.optim.base import Optimiser


@dataclass(frozen=True)
class AdamW(Optimiser):
    """AdamW under a learning rate that rises linearly to its peak and falls to zero along a cosine.

    **Arguments:** `learning_rate`: the peak; `weight_decay`: applied to everything but biases; `warmup`: the share of
    the steps that the rise takes; `clip`: the largest global norm of a gradient.
    **Raises:** `ValueError` for a value of another type or outside its range.
    """

    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip: float = 1.0

    def __post_init__(self):
        check_config(self)
        for name in ("learning_rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be positive: 1e-3 and 1.0 are common.")
        if not self.weight_decay >= 0:
            raise ValueError(f"`weight_decay` (={self.weight_decay}) must be 0 or more: use 0 for none.")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"`warmup` (={self.warmup}) must be from 0 to below 1: it is a share of the steps.")

    @contract
    def schedule(self, steps: int, *, steps_per_epoch: int = 1) -> optax.Schedule:
        """The learning rate as a function of the step, over a run of `steps`.

        **Raises:** `ValueError` if `steps` is below 1.
        """
        if steps < 1:
            raise ValueError(f"`steps` (={steps}) must be at least 1: a schedule needs a length.")
        # optax wants a cosine of at least one step behind the warm-up.
        rise = min(round(self.warmup * steps), steps - 1)
        return optax.warmup_cosine_decay_schedule(0.0 if rise else self.learning_rate, self.learning_rate, rise, steps)

    @contract
    def build(self, steps: int, *, steps_per_epoch: int = 1) -> optax.GradientTransformation:
        """The transformation for a run of `steps`.

        **Raises:** `ValueError` if `steps` is below 1.
        """
        return optax.chain(
            optax.clip_by_global_norm(self.clip),
            optax.adamw(self.schedule(steps), weight_decay=self.weight_decay, mask=_decayed),
        )


def _decayed(parameters: PyTree) -> PyTree:
    """True for each array that weight decay applies to: all but those in a field `bias`."""

    def decayed(path: tuple[jtu.KeyEntry, ...], leaf: object) -> bool:
        return eqx.is_array(leaf) and jtu.keystr(path[-1:]) != ".bias"

    return jax.tree_util.tree_map_with_path(decayed, parameters)
