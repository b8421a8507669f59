"""Masks: which places of each example are hidden from a model that is to tell what is there.

A mask is an array of bools, `True` where a place is hidden. A mask's config is called as `mask(key, batch, grid)`.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray

from matrinox.contract import contract
from matrinox.io.config import check_config

Grid = tuple[int, ...]
"""How many places there are along each axis: `(features,)`, or of an image `(rows, columns)` of patches."""


@contract
def random_mask(key: PRNGKeyArray, batch: int, grid: Grid, *, share: float) -> Bool[Array, "{batch} *grid"]:
    """Hides places drawn without replacement: as many in every example, others in each.

    **Arguments:** `key`; `batch`: how many examples; `grid`: places along each axis; `share`: of all places, rounded
    to whole ones, of which one at least is hidden and one shown.
    **Returns:** `(batch, *grid)`.
    **Raises:** `ValueError` if a size is below 1, or `share` hides no place or all.
    """
    places = _places(batch, grid)
    row = jnp.arange(places) < _hidden(share, places)
    rows = jnp.broadcast_to(row, (batch, places))
    return jax.random.permutation(key, rows, axis=1, independent=True).reshape(batch, *grid)


@contract
def block_mask(key: PRNGKeyArray, batch: int, grid: Grid, *, block: Grid) -> Bool[Array, "{batch} *grid"]:
    """Hides one block, at a place of its own in every example, and as likely at any as at any other.

    **Arguments:** `key`; `batch`: how many examples; `grid`: places along each axis; `block`: of how many the block is.
    **Returns:** `(batch, *grid)`.
    **Raises:** `ValueError` if a size is below 1, or `block` does not fit into `grid`.
    """
    _places(batch, grid)
    if len(block) != len(grid) or not all(1 <= side <= size for side, size in zip(block, grid, strict=True)):
        raise ValueError(f"`block` (={block}) must fit into `grid` (={grid}): give from 1 to that many for each axis.")
    free = np.subtract(grid, block) + 1
    corners = jax.random.randint(key, (batch, len(grid)), 0, jnp.asarray(free))
    hidden = jnp.ones((batch, *grid), bool)
    for axis, side in enumerate(block):
        place = jax.lax.broadcasted_iota(jnp.int32, (batch, *grid), axis + 1)
        corner = corners[:, axis].reshape(-1, *(1,) * len(grid))
        hidden &= (place >= corner) & (place < corner + side)
    return hidden


@contract
def prefix_mask(batch: int, grid: Grid, *, share: float) -> Bool[Array, "{batch} *grid"]:
    """Shows the first places, row by row, and hides the rest: the same in every example.

    **Arguments:** `batch`: how many examples; `grid`: places along each axis; `share`: of all places, rounded to whole
    ones, of which one at least is hidden and one shown.
    **Returns:** `(batch, *grid)`.
    **Raises:** `ValueError` if a size is below 1, or `share` hides no place or all.
    """
    places = _places(batch, grid)
    row = jnp.arange(places) >= places - _hidden(share, places)
    return jnp.broadcast_to(row.reshape(grid), (batch, *grid))


@contract
def periodic_mask(batch: int, grid: Grid, *, period: int, offset: int = 0) -> Bool[Array, "{batch} *grid"]:
    """Hides each place whose number, counted row by row, is `offset` modulo `period`: the same in every example.

    **Arguments:** `batch`: how many examples; `grid`: places along each axis; `period`: 2 or more; `offset`: 0 or more.
    **Returns:** `(batch, *grid)`.
    **Raises:** `ValueError` if a size is below 1, `period` or `offset` is out of range, or no place is hidden.
    **Source:** TorchLean, `ssl.vectorMaeMask` and `ssl.imagePatchMask`.
    """
    places = _places(batch, grid)
    _check_period(period, offset)
    if offset % period >= places:
        raise ValueError(
            f"`offset` (={offset}) must be a place below {places} modulo `period` (={period}): nothing would be hidden."
        )
    row = jnp.arange(places) % period == offset % period
    return jnp.broadcast_to(row.reshape(grid), (batch, *grid))


class Mask(ABC):
    """Which places are hidden, as plain data: a subclass is a frozen dataclass of numbers, which a log can tell."""

    @abstractmethod
    def __call__(self, key: PRNGKeyArray, batch: int, grid: Grid) -> Bool[Array, "..."]:
        """A mask for each example.

        **Arguments:** `key`; `batch`: how many examples; `grid`: places along each axis.
        **Returns:** `(batch, *grid)`, `True` where a place is hidden.
        """


@dataclass(frozen=True)
class _Share(Mask):
    share: float = 0.5

    def __post_init__(self):
        check_config(self)
        _check_share(self.share)


@dataclass(frozen=True)
class RandomMask(_Share):
    """Hides places drawn anew for each example, as `random_mask` does.

    **Arguments:** `share`: of all places, between 0 and 1.
    **Raises:** `ValueError` if `share` is no number or outside.
    """

    def __call__(self, key: PRNGKeyArray, batch: int, grid: Grid) -> Bool[Array, "..."]:
        return random_mask(key, batch, grid, share=self.share)


@dataclass(frozen=True)
class BlockMask(_Share):
    """Hides one block of each example, of the shape of the grid, as `block_mask` does.

    **Arguments:** `share`: of all places, between 0 and 1: along each of `a` axes, its a-th root, rounded to whole
    places.
    **Raises:** `ValueError` if `share` is no number or outside; when called, if the block would be all places.
    """

    def block(self, grid: Grid) -> Grid:
        """Of how many places the block is along each axis."""
        root = self.share ** (1 / len(grid))
        block = tuple(max(1, round(root * size)) for size in grid)
        if block == grid:
            raise ValueError(
                f"`share` (={self.share}) hides all of `grid` (={grid}), of which a place must be shown: "
                "choose a smaller share or a finer grid."
            )
        return block

    def __call__(self, key: PRNGKeyArray, batch: int, grid: Grid) -> Bool[Array, "..."]:
        return block_mask(key, batch, grid, block=self.block(grid))


@dataclass(frozen=True)
class PrefixMask(_Share):
    """Shows the first places of every example and hides the rest, as `prefix_mask` does.

    **Arguments:** `share`: of all places that is hidden, between 0 and 1.
    **Raises:** `ValueError` if `share` is no number or outside.
    """

    def __call__(self, key: PRNGKeyArray, batch: int, grid: Grid) -> Bool[Array, "..."]:
        del key
        return prefix_mask(batch, grid, share=self.share)


@dataclass(frozen=True)
class PeriodicMask(Mask):
    """Hides every `period`-th place of every example, as `periodic_mask` does.

    **Arguments:** `period`: 2 or more; `offset`: of the first, 0 or more.
    **Raises:** `ValueError` if one is no integer or out of range.
    """

    period: int = 2
    offset: int = 0

    def __post_init__(self):
        check_config(self)
        _check_period(self.period, self.offset)

    def __call__(self, key: PRNGKeyArray, batch: int, grid: Grid) -> Bool[Array, "..."]:
        del key
        return periodic_mask(batch, grid, period=self.period, offset=self.offset)


def _places(batch: int, grid: Grid) -> int:
    if batch < 1 or not grid or min(grid) < 1:
        raise ValueError(f"`batch` (={batch}) and `grid` (={grid}) must be at least 1: there is nothing to hide.")
    return math.prod(grid)


def _hidden(share: float, places: int) -> int:
    _check_share(share)
    hidden = round(share * places)
    if not 1 <= hidden < places:
        raise ValueError(
            f"`share` (={share}) hides {hidden} of {places} places, which must be from 1 to {places - 1}: "
            "choose another share or a finer grid."
        )
    return hidden


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(f"`share` (={share}) must be between 0 and 1: 0.5 hides one half.")


def _check_period(period: int, offset: int) -> None:
    if period < 2 or offset < 0:
        raise ValueError(
            f"`period` (={period}) must be at least 2 and `offset` (={offset}) at least 0: 2 hides every other place."
        )
