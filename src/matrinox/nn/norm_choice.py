"""What `norm="batch"` means: a normalising layer of so many neurons, for blocks that leave the choice to their user."""

import math
from collections.abc import Callable
from typing import TypeAlias

from jax.typing import DTypeLike

from matrinox.contract.nearest import guess
from matrinox.nn.child import Layer, require_callable
from matrinox.nn.norm import GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from matrinox.nn.running_norm import BatchNorm

Norm: TypeAlias = str | Callable[[int, int], Layer]
"""`"batch"`, `"layer"`, `"rms"`, `"group"` or `"instance"`; or a function of p and n, such as a class of layers."""

_MOST_GROUPS = 32
_LAYERS: dict[str, Callable[[int, int, int, DTypeLike | None], Layer]] = {
    "batch": lambda p, n, axes, dtype: BatchNorm(p, n, dtype=dtype),
    "layer": lambda p, n, axes, dtype: LayerNorm(p, n, dtype=dtype),
    "rms": lambda p, n, axes, dtype: RMSNorm(p, n, dtype=dtype),
    "group": lambda p, n, axes, dtype: GroupNorm(math.gcd(p, _MOST_GROUPS), p, n, axes=axes, dtype=dtype),
    "instance": lambda p, n, axes, dtype: InstanceNorm(p, n, axes=axes, dtype=dtype),
}


def norm_of(norm: Norm | None, p: int, n: int, *, axes: int = 0, dtype: DTypeLike | None = None) -> list[Layer]:
    """The layer that a choice of normalisation stands for, in a list that is empty for `None`.

    **Arguments:** `norm`: `"batch"`, which is stateful; `"layer"` or `"rms"`, of each place; `"group"`, of
    gcd(p, 32) groups, or `"instance"`, over the space axes too; or a function of p and n that gives a layer, which sees
    to its own options; `p`, `n`: neurons and matrix side; `axes`: how many space axes there are before p; `dtype`: of
    weight and bias.
    **Raises:** `ValueError` for an unknown name, with the nearest one; `TypeError` if the function gives no layer.
    """
    if norm is None:
        return []
    if not isinstance(norm, str):
        layer = norm(p, n)
        require_callable({f"norm({p}, {n})": layer})
        return [layer]
    if norm not in _LAYERS:
        raise ValueError(
            f"`norm` (={norm!r}) must be None, a function of p and n, or one of {', '.join(_LAYERS)}"
            f"{guess(norm, _LAYERS) or '.'}"
        )
    return [_LAYERS[norm](p, n, axes, dtype)]
