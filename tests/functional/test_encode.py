import jax
import jax.numpy as jnp
import matnets.utils
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import embed_pixels, embed_sequence, fold, patches, tile

# Each with an input of two leading axes.
CASES = {
    "fold": (lambda x: fold(x, 2), (2, 3, 5)),
    "patches": (lambda x: patches(x, 2), (2, 3, 4, 6, 2)),
    "embed_pixels": (lambda x: embed_pixels(x, 3, spatial_axes=(-3, -2)), (2, 3, 4, 5, 2)),
    "embed_sequence": (lambda x: embed_sequence(x, 3), (2, 3, 6)),
    "tile": (lambda x: tile(x, 3), (2, 3, 5)),
}
EACH = pytest.mark.parametrize(("encode", "shape"), CASES.values(), ids=CASES)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_fold_fills_matrices_row_by_row_and_ends_in_zeros():
    x = jnp.arange(1.0, 7.0)
    assert fold(x, 2).tolist() == [[[1, 2], [3, 4]], [[5, 6], [0, 0]]]
    assert fold(x[:4], 2).shape == (1, 2, 2)


def test_patches_cut_without_overlap_and_keep_channels_apart():
    rows = jnp.arange(8.0).reshape(2, 4)
    images = jnp.stack([rows, -rows], axis=-1)
    cut = patches(images, 2)
    assert cut.shape == (1, 2, 2, 2, 2)
    assert cut[0, 0, 0].tolist() == [[0, 1], [4, 5]]
    assert cut[0, 1, 0].tolist() == [[2, 3], [6, 7]]
    assert np.array_equal(cut[:, :, 1], -cut[:, :, 0])


def test_tile_repeats_each_number():
    assert tile(jnp.array([1.0, 2.0]), 2).tolist() == [[[1, 1], [1, 1]], [[2, 2], [2, 2]]]


def test_embed_pixels_centres_the_neighbourhood():
    x = jnp.arange(1.0, 7.0).reshape(2, 3)
    near = embed_pixels(x, 3, spatial_axes=(0, 1))
    assert near[0, 0].tolist() == [[0, 0, 0], [0, 1, 2], [0, 4, 5]]
    assert near[1, 1].tolist() == [[1, 2, 3], [4, 5, 6], [0, 0, 0]]


def test_embed_sequence_is_symmetric_with_the_delay_off_the_diagonal():
    past = embed_sequence(jnp.array([1.0, 2.0, 3.0]), 3)
    assert past[2].tolist() == [[3, 2, 1], [2, 3, 2], [1, 2, 3]]
    assert past[0].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("interleave", [False, True, (False, True)])
def test_embed_pixels_equals_matnets(x64, n, interleave):
    x = draw(2, 5, 7, 3)
    expected = matnets.utils.embed_pixels(x, n, interleave=interleave)
    assert np.array_equal(embed_pixels(x, n, interleave=interleave), expected)


@pytest.mark.parametrize("spatial_axes", [1, (1,), (-3, -2), (2, 1), (0, 1, 2)])
def test_embed_pixels_takes_the_axes_that_matnets_takes(x64, spatial_axes):
    x = draw(4, 5, 6, 2)
    expected = matnets.utils.embed_pixels(x, 3, spatial_axes=spatial_axes, interleave=True)
    assert np.array_equal(embed_pixels(x, 3, spatial_axes=spatial_axes, interleave=True), expected)


@pytest.mark.parametrize(("shape", "axis"), [((6,), 0), ((2, 6), 1), ((2, 6, 3), 1), ((2, 6), -1), ((6, 2), 0)])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_embed_sequence_equals_matnets(x64, shape, axis, n):
    x = draw(*shape)
    assert np.array_equal(jax.jit(lambda x: embed_sequence(x, n, axis))(x), matnets.utils.embed_sequence(x, n, axis))


@EACH
def test_encoders_take_any_leading_axes(encode, shape):
    x = jnp.asarray(draw(*shape))
    y = encode(x)
    assert np.array_equal(jax.jit(encode)(x), y)
    assert np.array_equal(jax.jit(jax.vmap(jax.vmap(encode)))(x), y)
    assert np.array_equal(encode(x[1, 2]), y[1, 2])


@EACH
def test_encoder_gradients_match_finite_differences(x64, encode, shape):
    check_grads(jax.jit(encode), (draw(*shape[2:]),), order=1)


@EACH
def test_encoders_keep_the_dtype(encode, shape):
    x = jnp.asarray(draw(*shape), jnp.bfloat16)
    assert encode(x).dtype == jnp.bfloat16


@EACH
def test_encoders_refuse_integers(encode, shape):
    with pytest.raises(ContractError, match="int32"):
        encode(jnp.ones(shape, int))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fold(jnp.ones(()), 2), "0 axes, at least 1"),
        (lambda: tile(jnp.ones(()), 2), "0 axes, at least 1"),
        (lambda: patches(jnp.ones((4, 4)), 2), "2 axes, at least 3"),
        (
            lambda: embed_pixels(jnp.ones((4, 4)), 3),
            r"`spatial_axes` names axis 2, x has 2 axes: name one from -2 to 1",
        ),
        (lambda: embed_sequence(jnp.ones(()), 3), r"`axis` names axis -1, x has 0 axes"),
    ],
)
def test_encoders_refuse_missing_axes(call, message):
    with pytest.raises(ContractError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: patches(jnp.ones((4, 5, 1)), 2),
            r"`w` \(=5\) must be divisible by `n` \(=2\): crop or pad the images",
        ),
        (
            lambda: embed_pixels(jnp.ones((4, 4)), 3, (0, -2)),
            r"`spatial_axes` \(=\(0, -2\)\) must not name an axis twice",
        ),
        (
            lambda: embed_pixels(jnp.ones((4, 4)), 3, (0, 1), (True,)),
            r"`interleave` \(=\(True,\)\) must have one entry for each of the 2 spatial axes",
        ),
        *(
            (lambda encode=encode, x=x: encode(x, 0), r"`n` \(=0\) must be at least 1: choose a positive matrix side")
            for encode, x in (
                (fold, jnp.ones(4)),
                (patches, jnp.ones((4, 4, 1))),
                (embed_pixels, jnp.ones((1, 4, 4))),
                (embed_sequence, jnp.ones(4)),
                (tile, jnp.ones(4)),
            )
        ),
    ],
)
def test_encoders_refuse_options_without_a_meaning(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"spatial_axes": (0, 1.0)}, "spatial_axes"),
        ({"spatial_axes": (0, "1")}, "spatial_axes"),
        ({"spatial_axes": (0, 1), "interleave": (True, 1)}, "interleave"),
    ],
    ids=str,
)
def test_every_entry_of_an_encoders_tuple_is_checked_every_time(options, argument):
    for _ in range(50):
        with pytest.raises(ContractError, match=argument):
            embed_pixels(jnp.ones((4, 4)), 3, **options)
