import jax
import jax.numpy as jnp
import matnets.utils
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError

ENCODERS = [nn.Fold, nn.Patches, nn.EmbedPixels, nn.EmbedSequence, nn.Tile]


def test_fold_fills_matrices_in_order_and_zeros_behind():
    y = nn.Fold(n=2)(jnp.arange(1.0, 7.0))
    assert np.array_equal(y, [[[1, 2], [3, 4]], [[5, 6], [0, 0]]])


def test_fold_with_n_1_gives_a_neuron_a_feature():
    assert np.array_equal(nn.Fold(n=1)(jnp.arange(3.0))[:, 0, 0], [0.0, 1.0, 2.0])


def test_patches_are_the_pixels_side_by_side():
    image = np.arange(4 * 6 * 2, dtype=np.float32).reshape(4, 6, 2)
    y = nn.Patches(n=2)(image)
    assert y.shape == (2, 3, 2, 2, 2)
    for i in range(2):
        for j in range(3):
            for channel in range(2):
                patch = image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, channel]
                assert np.array_equal(y[i, j, channel], patch)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("interleave", [False, True])
def test_embed_pixels_equals_matnets(n, interleave):
    images = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype(np.float32)
    theirs = matnets.utils.embed_pixels(images, n, (1, 2), interleave)
    assert np.array_equal(nn.EmbedPixels(n=n, interleave=interleave)(images), theirs)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_embed_sequence_equals_matnets(n):
    sequences = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    assert np.array_equal(nn.EmbedSequence(n=n)(sequences), matnets.utils.embed_sequence(sequences, n, 1))


def test_tile_repeats_each_number():
    y = nn.Tile(n=2)(jnp.array([[3.0, -1.0]]))
    assert np.array_equal(y, [[[[3, 3], [3, 3]], [[-1, -1], [-1, -1]]]])


def test_encoders_are_their_functional_twins():
    features = jax.random.normal(jax.random.key(0), (3, 4, 4, 2))
    assert np.array_equal(nn.Fold(3)(features), functional.fold(features, 3))
    assert np.array_equal(nn.Patches(2)(features), functional.patches(features, 2))
    assert np.array_equal(nn.Tile(2)(features), functional.tile(features, 2))
    pixels = functional.embed_pixels(features, 3, spatial_axes=(-3, -2), interleave=False)
    assert np.array_equal(nn.EmbedPixels(3)(features), pixels)
    assert np.array_equal(nn.EmbedSequence(3)(features), functional.embed_sequence(features, 3, axis=-2))


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_matrix_side_below_1_is_refused(kind):
    with pytest.raises(ValueError, match=r"`n` \(=0\) must be at least 1"):
        kind(n=0)


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_matrix_side_that_is_no_size_is_refused(kind):
    with pytest.raises(ContractError, match=r"n as 2\.0"):
        kind(n=2.0)


def test_patches_refuse_an_image_that_n_does_not_divide():
    with pytest.raises(ValueError, match=r"\(=5\) must be divisible by `n` \(=2\)"):
        nn.Patches(n=2)(jnp.ones((4, 5, 1)))


def test_a_missing_axis_is_refused():
    with pytest.raises(ContractError, match=r"Patches\(n=2\) got x float32\[4, 4\]"):
        nn.Patches(n=2)(jnp.ones((4, 4)))
    with pytest.raises(ContractError, match=r"EmbedSequence\(n=2\) got x float32\[4\]"):
        nn.EmbedSequence(n=2)(jnp.ones(4))
