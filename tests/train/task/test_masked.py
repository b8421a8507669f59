"""Masked reconstruction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.data import BlockMask, PrefixMask, RandomMask, masked_sample
from matrinox.train import MaskedReconstruction
from matrinox.train.recipe import Recipe

KEY = jax.random.key(0)


def test_the_model_is_given_what_is_shown_and_compared_where_it_is_not():
    x = np.random.RandomState(0).normal(size=(6, 8, 8, 2)).astype(np.float32)
    task = MaskedReconstruction(RandomMask(0.75), patch=(4, 4), fill=2.0)
    shown, (values, hidden) = jax.jit(lambda x, key: task.prepare(x, None, key=key))(x, KEY)
    due, where = masked_sample(KEY, x, RandomMask(0.75), patch=(4, 4), fill=2.0)
    np.testing.assert_array_equal(shown, due)
    np.testing.assert_array_equal(hidden, where)
    np.testing.assert_array_equal(values, x)


def test_only_what_is_hidden_counts():
    """By hand: errors 1 and 3 at the two hidden places; a model that copies what is shown wins nothing by it."""
    x = jnp.array([[1.0, 2.0, 3.0, 4.0]])
    task = MaskedReconstruction(PrefixMask(0.5))
    _, targets = task.prepare(x, None, key=KEY)
    outputs = jnp.array([[9.0, -9.0, 4.0, 1.0]])
    assert float(task.loss(outputs, targets)) == pytest.approx((1 + 9) / 2)
    gradient = jax.grad(lambda outputs: task.loss(outputs, targets))(outputs)
    np.testing.assert_allclose(gradient, [[0, 0, 1, -3]], rtol=1e-6)


def test_a_recipe_tells_the_mask():
    task = MaskedReconstruction(BlockMask(0.25), patch=(4, 4))
    told = Recipe(steps=1, task=task).described()["task"]
    assert told["mask"] == {"kind": "BlockMask", "share": 0.25}
    assert (told["patch"], told["fill"], told["error"]) == ([4, 4], 0.0, "mse")


def test_masks_and_patches_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"`mask` \(=0\.5\) must be a mask's config"):
        MaskedReconstruction(0.5)  # pyright: ignore[reportArgumentType]
    for patch in ((), (0, 4), 4, (2.0,)):
        with pytest.raises(ValueError, match=r"`patch` \(=.*\) must be a tuple of 1 or more for each axis"):
            MaskedReconstruction(patch=patch)  # pyright: ignore[reportArgumentType]
    for fill in ("0", float("nan")):
        with pytest.raises(ValueError, match=r"`fill` \(=.*\) must be a finite number"):
            MaskedReconstruction(fill=fill)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"is 'mae', not one of 'mse', 'bce'"):
        MaskedReconstruction(error="mae")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"axis 0 of an example \(=6\) must be divisible"):
        MaskedReconstruction(patch=(4,)).prepare(jnp.ones((2, 6)), None, key=KEY)
