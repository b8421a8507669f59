"""Patches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import (
    PeriodicMask,
    PrefixMask,
    RandomMask,
    masked_sample,
    patch_grid,
    spread_mask,
    vector_prefix,
)

KEY = jax.random.key(0)
# One program, in place of one for every operation.
sample = jax.jit(masked_sample, static_argnums=(2,), static_argnames=("patch", "fill"))


def test_a_vector_sample_shows_a_prefix_and_hides_the_rest():
    x = np.arange(1, 13, dtype=np.float32).reshape(2, 6)
    shown, hidden = sample(KEY, x, PrefixMask(0.5), fill=-1.0)
    np.testing.assert_array_equal(shown, [[1, 2, 3, -1, -1, -1], [7, 8, 9, -1, -1, -1]])
    np.testing.assert_array_equal(hidden, [[False] * 3 + [True] * 3] * 2)


def test_an_image_sample_hides_whole_patches_with_all_channels():
    """As many patches of each image, others in each, and what is shown is untouched; from NumPy, patch by patch."""
    x = np.random.RandomState(0).uniform(1, 2, (20, 8, 6, 3)).astype(np.float32)
    shown, hidden = map(np.asarray, sample(KEY, x, RandomMask(0.75), patch=(4, 2)))
    patches = hidden.reshape(20, 2, 4, 3, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(20, 6, -1)
    assert set(patches.mean(-1).ravel()) == {0.0, 1.0}
    assert set(patches.all(-1).sum(-1)) == {4}
    assert len({row.tobytes() for row in patches}) > 5
    np.testing.assert_array_equal(shown, np.where(hidden, 0, x))


def test_periodic_patches_are_those_whose_number_row_by_row_says_so():
    _, hidden = sample(KEY, jnp.ones((1, 4, 6, 1)), PeriodicMask(4, 1), patch=(2, 2))
    due = np.array([[False, True, False], [False, False, True]]).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(hidden[0, ..., 0], due)


def test_neurons_and_volumes_are_hidden_by_the_same_rule():
    _, neurons = sample(KEY, jnp.ones((5, 4, 3, 3)), RandomMask(0.5), patch=(1,))
    assert set(np.asarray(neurons).mean((2, 3)).ravel()) == {0.0, 1.0}
    _, volumes = sample(KEY, jnp.ones((5, 4, 4, 4, 2)), RandomMask(0.5), patch=(2, 2, 2))
    assert set(np.asarray(volumes).sum((1, 2, 3, 4))) == {64}


def test_a_prefix_of_any_example_is_a_vector():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(vector_prefix(x, 5), x.reshape(2, 12)[:, :5])
    for length in (0, 13):
        with pytest.raises(ValueError, match=rf"`length` \(={length}\) must be from 1 to the 12 entries"):
            vector_prefix(x, length)
    with pytest.raises(ContractError):
        vector_prefix(np.float32(1), 1)


def test_patches_that_do_not_fit_are_refused():
    assert patch_grid((8, 6, 3), (4, 2)) == (2, 3)
    with pytest.raises(
        ValueError, match=r"axis 1 of an example \(=6\) must be divisible by its side of `patch` \(=4\)"
    ):
        patch_grid((8, 6, 3), (4, 4))
    for patch in ((), (1, 1)):
        with pytest.raises(ValueError, match=r"`patch` \(=.*\) must have from 1 to 1 axes"):
            patch_grid((8,), patch)
    with pytest.raises(ValueError, match=r"`mask` \(=\[2, 3\]\) must be \(batch, 4\): one per patch"):
        spread_mask(np.ones((2, 3), bool), (2,), (8,))
    with pytest.raises(ContractError):
        masked_sample(KEY, jnp.ones((2, 4), int), RandomMask())
