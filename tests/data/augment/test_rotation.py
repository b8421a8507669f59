"""Rotation of matrix neurons."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import Rotation, rotate_neurons

KEY = jax.random.key(0)
# One program, in place of one for every operation.
rotated = jax.jit(rotate_neurons, static_argnames=("side", "one_per", "angle", "reflect"))
EYES = np.broadcast_to(np.eye(3, dtype=np.float32), (4000, 1, 3, 3))


@pytest.fixture(scope="module")
def x():
    """Six examples of two moments, three neurons of 4 × 4."""
    return np.random.RandomState(0).normal(size=(6, 2, 3, 4, 4)).astype(np.float32)


def turns_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`y x⁻¹` in float64, which is the rotation where it stands on the left."""
    return np.asarray(y, np.float64) @ np.linalg.inv(x.astype(np.float64))


def test_conjugation_keeps_eigenvalues_trace_and_determinant(x):
    """By the coefficients of the characteristic polynomial, in float64: its roots move more than they do."""
    y = np.asarray(rotated(KEY, x), np.float64)
    due = np.stack([np.poly(each) for each in x.reshape(-1, 4, 4).astype(np.float64)])
    found = np.stack([np.poly(each) for each in y.reshape(-1, 4, 4)])
    np.testing.assert_allclose(found, due, atol=2e-4)
    np.testing.assert_allclose(found[:, 1], -np.trace(x, axis1=-2, axis2=-1).ravel(), atol=1e-5)
    assert np.abs(y - x).max() > 0.5


@pytest.mark.parametrize("side", ["both", "left", "right"])
def test_every_rotation_keeps_singular_values_and_only_conjugation_eigenvalues(side, x):
    y = np.asarray(rotated(KEY, x, side=side, one_per="neuron", reflect=True))
    for measure in (np.linalg.norm, lambda each, axis: np.linalg.svd(each, compute_uv=False)):
        np.testing.assert_allclose(measure(y, axis=(-2, -1)), measure(x, axis=(-2, -1)), rtol=1e-5, atol=1e-5)
    moved = np.abs(np.trace(y, axis1=-2, axis2=-1) - np.trace(x, axis1=-2, axis2=-1)).max()
    assert moved < 1e-5 if side == "both" else moved > 0.5


def test_left_right_and_both_are_one_rotation(x):
    """`R X Rᵀ` is `R X` with `Rᵀ` behind, drawn alike; from NumPy in float64."""
    both, left, right = (np.asarray(rotated(KEY, x, side=side), np.float64) for side in ("both", "left", "right"))
    turns = turns_of(x, left)
    np.testing.assert_allclose(turns @ x @ turns.swapaxes(-2, -1), both, atol=1e-4)
    np.testing.assert_allclose(x @ turns.swapaxes(-2, -1), right, atol=1e-4)


def test_an_example_has_one_rotation_or_each_neuron_its_own(x):
    one = turns_of(x, rotated(KEY, x, side="left"))
    np.testing.assert_allclose(one, np.broadcast_to(one[:, :1, :1], one.shape), atol=1e-3)
    np.testing.assert_allclose(np.linalg.det(one), 1, rtol=1e-3)
    assert np.abs(one[0, 0, 0] - one[1, 0, 0]).max() > 0.1
    own = turns_of(x, rotated(KEY, x, side="left", one_per="neuron")).reshape(-1, 16)
    assert np.abs(own[:, None] - own)[~np.eye(36, dtype=bool)].max(-1).min() > 0.1


def test_reflections_are_half_of_all_where_they_are_asked_for():
    determinants = np.linalg.det(rotated(KEY, EYES, side="left", reflect=True))
    np.testing.assert_allclose(np.abs(determinants), 1, rtol=1e-4)
    assert 1900 < (determinants < 0).sum() < 2100


def test_rotations_are_uniform():
    """Each entry of a uniform rotation of three axes has mean 0 and mean square 1/3."""
    turns = np.asarray(rotated(KEY, EYES, side="left"), np.float64)
    np.testing.assert_allclose(turns.mean(0), 0, atol=0.04)
    np.testing.assert_allclose((turns**2).mean(0), 1 / 3, atol=0.03)


def test_a_limited_angle_turns_one_plane_by_no_more():
    """The trace of a turn of one plane by θ is n − 2 + 2 cos θ, and every angle up to the limit turns up."""
    x = np.broadcast_to(np.eye(4, dtype=np.float32), (300, 1, 4, 4))
    turns = np.asarray(rotated(KEY, x, side="left", angle=0.5), np.float64)
    np.testing.assert_allclose(turns @ turns.swapaxes(-2, -1), x, atol=1e-5)
    cosine = (np.trace(turns, axis1=-2, axis2=-1) - 2) / 2
    assert np.cos(0.5) - 1e-5 < cosine.min() < np.cos(0.45)
    fixed = np.sum(np.abs(np.linalg.eigvals(turns) - 1) < 1e-2, axis=-1)
    assert (fixed >= 2).all()


def test_numbers_are_not_turned_and_half_precision_stays():
    scalars = jnp.arange(6.0).reshape(3, 2, 1, 1)
    for angle in (None, 0.3):
        assert jnp.array_equal(rotated(KEY, scalars, side="left", angle=angle), scalars)
    assert rotated(KEY, jnp.ones((2, 1, 3, 3), jnp.bfloat16)).dtype == jnp.bfloat16


def test_a_config_of_rotation_does_what_the_function_does(x):
    config = Rotation("right", "neuron", 0.4, reflect=True)
    due = rotated(KEY, x, side="right", one_per="neuron", angle=0.4, reflect=True)
    np.testing.assert_allclose(jax.jit(config)(KEY, x), due, atol=1e-5)


def test_options_of_rotation_that_are_none_are_refused(x):
    with pytest.raises(ContractError, match=r"side as 'lft'.*'both' or 'left' or 'right': did you mean 'left'"):
        rotate_neurons(KEY, x, side="lft")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"one_per as 'neurone'.*'example' or 'neuron': did you mean 'neuron'"):
        rotate_neurons(KEY, x, one_per="neurone")  # pyright: ignore[reportArgumentType]
    for make in (lambda: Rotation(angle=0.0), lambda: rotate_neurons(KEY, x, angle=0.0)):
        with pytest.raises(ValueError, match=r"`angle` \(=0\.0\) must be above 0"):
            make()
    with pytest.raises(ValueError, match="not one of 'both', 'left', 'right'"):
        Rotation("lft")  # pyright: ignore[reportArgumentType]
    for refused in (x[0, 0], x[..., :3]):
        with pytest.raises(ContractError):
            Rotation()(KEY, refused)
