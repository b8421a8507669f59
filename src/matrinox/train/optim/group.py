"""Groups of parameters by path: another learning rate or weight decay for some, or none at all."""

import math
from dataclasses import dataclass

import jax.tree_util as jtu
from jaxtyping import PyTree

from matrinox.contract.options import Options
from matrinox.io.config import check_config
from matrinox.paths import find, matches, show
from matrinox.train.optim.decay import is_decayed, require_weight_decay
from matrinox.train.optim.owner import owned


@dataclass(frozen=True)
class Group(metaclass=Options):
    """Parameters, by a pattern of their paths, and what is different for them.

    **Arguments:** `pattern`: as `matrinox.find` takes it, such as `"**.bias"`; `learning_rate`: a factor on that of the
    optimiser; `weight_decay`: in place of that of the optimiser, `None` for its own, which leaves biases, norms and
    tables alone; `frozen`: keeps them as they are, bit for bit, and without a state.
    **Raises:** `ValueError` for a value of another type or outside its range, and for a malformed pattern.
    """

    pattern: str
    learning_rate: float = 1.0
    weight_decay: float | None = None
    frozen: bool = False

    def __post_init__(self):
        check_config(self)
        matches("", self.pattern)
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(
                f"`learning_rate` (={self.learning_rate}) must be positive and finite: it is a factor; to keep "
                "parameters as they are, say frozen=True."
            )
        require_weight_decay(self.weight_decay or 0.0)


def groups_of(parameters: PyTree, groups: tuple[Group, ...], weight_decay: float) -> PyTree[Group]:
    """For each parameter a group that says all about it: the first that matches, its weight decay filled in.

    **Arguments:** `parameters`: the model with `None` in place of all that is not trained, which a pattern may match;
    `groups`; `weight_decay`: where no group says another.
    **Raises:** `ValueError` for a pattern that matches nothing, naming the nearest path.
    """
    matched = [(group, find(parameters, group.pattern, is_leaf=lambda leaf: leaf is None)) for group in groups]
    places = owned(parameters)

    def of(path: tuple[object, ...], _: object) -> Group:
        name = show(path)
        group = next((group for group, found in matched if name in found), Group("**"))
        if group.weight_decay is not None:
            return group
        own = weight_decay if is_decayed(places[name]) else 0.0
        return Group(group.pattern, group.learning_rate, own, group.frozen)

    return jtu.tree_map_with_path(of, parameters)
