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


def test_frames_are_the_values_in_order_folded_step_by_step():
    image = np.arange(2 * 3 * 4 * 2, dtype=np.float32).reshape(2, 3, 4, 2)
    rows = nn.Frames(n=3, shape=(3, 4, 2), length=8)(image)
    assert rows.shape == (2, 3, 1, 3, 3)
    for example in range(2):
        for row in range(3):
            assert np.array_equal(rows[example, row].ravel(), [*image[example, row].ravel(), 0])
    assert np.array_equal(nn.Frames(n=1, shape=(6,), length=2)(jnp.arange(6.0))[..., 0, 0], [[0, 1], [2, 3], [4, 5]])


def test_frames_with_a_stride_below_their_length_overlap():
    values = np.arange(12.0, dtype=np.float32).reshape(2, 6)
    frames = nn.Frames(n=2, shape=(6,), length=4, stride=1)(values)
    assert np.array_equal(frames.reshape(2, 3, 4), np.lib.stride_tricks.sliding_window_view(values, 4, axis=-1))
    apart = nn.Frames(n=2, shape=(6,), length=2)(values)
    assert np.array_equal(nn.Frames(n=2, shape=(6,), length=2, stride=2)(values), apart)
    assert np.array_equal(nn.Frames(n=2, shape=(6,), length=2, stride=4)(values), apart[:, ::2])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"length": 5}, r"`length` \(=5\) must divide the 24 values of `shape` \(=\(3, 8\)\): choose a divisor"),
        ({"length": 0}, r"`length` \(=0\) must be at least 1"),
        ({"length": 25, "stride": 1}, r"`length` \(=25\) must be from 1 to 24"),
        ({"stride": 4}, r"`stride` \(=4\) must lead from the first frame of 6 to the end of the 24.* a divisor of 18"),
        ({"stride": 0}, r"`stride` \(=0\) must lead from the first frame"),
        ({"shape": (3, 0)}, r"`shape\[1\]` \(=0\) must be at least 1"),
        ({"shape": ()}, r"`shape` \(=\(\)\) must name at least one axis: such as \(40,\) or"),
    ],
)
def test_frames_that_do_not_fit_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        nn.Frames(**{"n": 2, "shape": (3, 8), "length": 6, **options})


def test_fold_frames_refuses_a_length_that_does_not_divide():
    with pytest.raises(ValueError, match=r"`length` \(=3\) must divide the 8 features of `x`: choose a divisor"):
        functional.fold_frames(jnp.ones(8), 2, 3)


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
    assert np.array_equal(nn.Frames(3, (4, 4, 2), 8)(features), functional.fold_frames(features.reshape(3, -1), 3, 8))
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
