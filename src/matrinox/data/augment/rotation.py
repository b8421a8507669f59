"""Rotation of matrix neurons: what a network should not mind if only the frame of its matrices is arbitrary."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import exact_product, widen
from matrinox.io.config import check_config

Side = Literal["both", "left", "right"]
OnePer = Literal["example", "neuron"]


@contract
def rotate_neurons(
    key: PRNGKeyArray,
    x: Float[AnyArray, "batch *rest p n n"],
    *,
    side: Side = "both",
    one_per: OnePer = "example",
    angle: float | None = None,
    reflect: bool = False,
) -> Float[Array, "batch *rest p n n"]:
    """Turns each matrix by a random rotation: `R X Rᵀ`, `R X` or `X Rᵀ`.

    The first keeps eigenvalues, trace and determinant; each keeps the Frobenius norm and all singular values. The
    rotations are uniform (by the Haar measure) on SO(n), or turn a random plane by a limited angle.

    **Arguments:** `key`; `x`: `(batch, *rest, p, n, n)`; `side`: `"both"`, `"left"` or `"right"`; `one_per`:
    `"example"`, one rotation for all matrices of an example, or `"neuron"`, one for each matrix; `angle`: the largest,
    in radians, of a turn in one random plane; `None` for any rotation; `reflect`: whether half of the rotations are
    improper, so that they are uniform on O(n).
    **Returns:** `(batch, *rest, p, n, n)`, of the dtype of `x`; half precision is turned in float32.
    **Raises:** `ContractError` if the matrices are not square or the batch axis is missing, and for another `side` or
    `one_per`; `ValueError` for an `angle` that is not above 0.
    """
    _check_angle(angle)
    wide, n = widen(x), x.shape[-1]
    drawn = x.shape[:1] if one_per == "example" else x.shape[:-2]
    turn_key, mirror_key = jax.random.split(key)
    if angle is None:
        turns = _proper(jax.random.orthogonal(turn_key, n, drawn, wide.dtype))
    else:
        turns = _plane_turns(turn_key, n, drawn, angle, wide.dtype)
    if reflect:
        turns = turns.at[..., 0].multiply(jax.random.rademacher(mirror_key, drawn, wide.dtype)[..., None])
    turns = turns.reshape(*drawn, *(1,) * (x.ndim - 2 - len(drawn)), n, n)
    if side != "right":
        wide = exact_product(turns, wide)
    if side != "left":
        wide = exact_product(wide, jnp.matrix_transpose(turns))
    return wide.astype(x.dtype)


@dataclass(frozen=True)
class Rotation:
    """A random rotation of each neuron's matrix, as `rotate_neurons` makes it.

    **Arguments:** `side`: `"both"` for `R X Rᵀ`, `"left"` or `"right"`; `one_per`: `"example"` or `"neuron"`; `angle`:
    the largest, in radians, of a turn in one random plane, or `None` for any rotation; `reflect`: whether half of them
    are improper.
    **Raises:** `ValueError` for a value of another type, or an `angle` that is not above 0.
    """

    side: Side = "both"
    one_per: OnePer = "example"
    angle: float | None = None
    reflect: bool = False

    def __post_init__(self):
        check_config(self)
        _check_angle(self.angle)

    @contract
    def __call__(self, key: PRNGKeyArray, x: Float[AnyArray, "batch *rest p n n"]) -> Float[Array, "batch *rest p n n"]:
        """Turns the matrices of each example.

        **Arguments:** `key`; `x`: `(batch, *rest, p, n, n)`.
        **Returns:** `(batch, *rest, p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square or the batch axis is missing.
        """
        return rotate_neurons(key, x, side=self.side, one_per=self.one_per, angle=self.angle, reflect=self.reflect)


def _proper(turns: Array) -> Array:
    """Orthogonal matrices with their first column turned round where the determinant is −1."""
    return turns.at[..., 0].multiply(jnp.sign(jnp.linalg.det(turns))[..., None])


def _plane_turns(key: PRNGKeyArray, n: int, drawn: tuple[int, ...], angle: float, dtype: jnp.dtype) -> Array:
    """Rotations of a random plane by an angle from −`angle` to `angle`, which leave what is across it alone."""
    frame_key, angle_key = jax.random.split(key)
    frame = jax.random.orthogonal(frame_key, n, drawn, dtype)
    theta = jax.random.uniform(angle_key, drawn, dtype, -angle, angle)
    cosine, sine = jnp.cos(theta), jnp.sin(theta)
    turns = jnp.broadcast_to(jnp.eye(n, dtype=dtype), (*drawn, n, n))
    if n > 1:
        block = jnp.stack([jnp.stack([cosine, -sine], -1), jnp.stack([sine, cosine], -1)], -2)
        turns = turns.at[..., :2, :2].set(block)
    return exact_product(exact_product(frame, turns), jnp.matrix_transpose(frame))


def _check_angle(angle: float | None) -> None:
    if angle is not None and not 0 < angle < float("inf"):
        raise ValueError(f"`angle` (={angle}) must be above 0, in radians: choose such as 0.3, or None for any.")
