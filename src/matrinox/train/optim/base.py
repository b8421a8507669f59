"""What every optimiser is: plain data that builds an optax transformation for a run of known length."""

import dataclasses
import math
import typing
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import jax
import optax
from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.contract.options import Options
from matrinox.io.config import check_config
from matrinox.train.optim.decay import require_weight_decay
from matrinox.train.optim.group import Group, groups_of
from matrinox.train.optim.part import on_part
from matrinox.train.optim.schedule import Cosine, Scheduler


@dataclass(frozen=True)
class Optimiser(metaclass=Options):
    """An optimiser as plain data, which a log can tell: what all have in common, written once.

    A step is `−rate · (direction + weight_decay · parameter)`, where `rate` is the learning rate as the scheduler has
    it, and the direction, made of gradients of a global norm of `clip` at most, is what a subclass says.

    **Arguments:** `learning_rate`: the peak; `weight_decay`: decoupled from the gradient, as in AdamW; by default not
    of biases, norms and what else is no map (tables of rows, rates and first states); `clip`: the largest global norm
    of a gradient, `None` for any; `scheduler`: how the learning rate goes; `groups`: what is different for some
    parameters, of which the first that matches counts.
    **Raises:** `ValueError` for a value of another type or outside its range.
    """

    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    clip: float | None = 1.0
    scheduler: Scheduler = field(default_factory=lambda: Cosine(warmup=0.1))
    groups: tuple[Group, ...] = ()

    def __post_init__(self):
        _check_fields(self)
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"`learning_rate` (={self.learning_rate}) must be positive and finite: 1e-3 is common.")
        require_weight_decay(self.weight_decay)
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"`clip` (={self.clip}) must be positive: 1.0 is common, and None leaves gradients alone.")

    @contract
    def schedule(self, steps: int, *, steps_per_epoch: int = 1) -> optax.Schedule:
        """The learning rate as a function of the step, over a run of `steps`.

        **Arguments:** `steps`: of the run, 1 or more; `steps_per_epoch`: for schedules that change by the epoch.
        **Raises:** `ValueError` if one of them is below 1.
        """
        return self.scheduler.build(self.learning_rate, steps, steps_per_epoch=steps_per_epoch)

    @contract
    def build(self, steps: int, *, steps_per_epoch: int = 1) -> optax.GradientTransformationExtraArgs:
        """The transformation for a run of `steps`; its `init` takes the model with `None` for all that is not trained.

        The update of a parameter that a group freezes is `None`, which `eqx.apply_updates` leaves as it is. `init`
        raises a `ValueError` for a group that matches nothing, or if all are frozen.

        **Arguments, Raises:** as for `schedule`.
        """
        rate = self.schedule(steps, steps_per_epoch=steps_per_epoch)
        whole = optax.chain(
            optax.identity() if self.clip is None else optax.clip_by_global_norm(self.clip),
            self.direction(),
            self._grouped(),
            optax.scale_by_learning_rate(rate),
        )
        return on_part(whole, self._trained)

    @abstractmethod
    def direction(self) -> optax.GradientTransformation:
        """From gradients to the direction of the step, uphill as these are, before decay, factors and learning rate."""

    def _grouped(self) -> optax.GradientTransformation:
        """Adds weight decay and multiplies by the factor of its group, parameter by parameter."""

        def update(updates: PyTree, state: PyTree, params: PyTree | None = None) -> tuple[PyTree, PyTree]:
            if params is None:
                raise ValueError(
                    "`params` (=None) must be given to `update`: which group is whose goes by their paths."
                )

            def one(group: Group, direction: jax.Array, parameter: jax.Array) -> jax.Array:
                moved = direction + group.weight_decay * parameter if group.weight_decay else direction
                return moved if group.learning_rate == 1 else group.learning_rate * moved

            return jax.tree.map(one, groups_of(params, self.groups, self.weight_decay), updates, params), state

        return optax.GradientTransformation(lambda params: optax.EmptyState(), update)

    def _trained(self, params: PyTree) -> PyTree:
        trained = jax.tree.map(lambda group: not group.frozen, groups_of(params, self.groups, self.weight_decay))
        if not any(jax.tree.leaves(trained)):
            raise ValueError("`groups` must leave an array of floats to train: freeze less, or use the model as it is.")
        return trained


def require_decay(name: str, value: float) -> None:
    """Refuses a decay of a moving average that is not from 0 to below 1."""
    if not 0 <= value < 1:
        raise ValueError(f"`{name}` (={value}) must be from 0 to below 1: it is what stays of a moving average.")


def _check_fields(config: Any) -> None:
    """`check_config`, but a scheduler, which checked itself when it was built, may be of any kind."""
    hints = {name: hint for name, hint in typing.get_type_hints(type(config)).items() if name != "scheduler"}
    if not isinstance(config.scheduler, Scheduler):
        raise ValueError(
            f"`scheduler` (={config.scheduler!r}) must be a schedule of matrinox.train: such as Cosine(warmup=0.1)."
        )
    plain = dataclasses.make_dataclass(type(config).__name__, list(hints.items()), frozen=True)
    check_config(plain(*(getattr(config, name) for name in hints)))
