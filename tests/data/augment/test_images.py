"""Augmentation of images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import Crop, Cutout, Flip, Shift, crop_images, cutout_images, flip_images, shift_images
from matrinox.train.recipe import Recipe

KEY = jax.random.key(1)
# One program each, in place of one for every operation.
shifted = jax.jit(shift_images, static_argnames=("pixels",))
cropped = jax.jit(crop_images, static_argnames=("size", "resize"))
flipped = jax.jit(flip_images, static_argnames=("axis", "probability"))
cut_out = jax.jit(cutout_images, static_argnames=("size", "fill"))


@pytest.fixture(scope="module")
def images():
    """200 images of 4 × 5 pixels, no pixel of which is 0 or equals another."""
    return jax.random.uniform(jax.random.key(0), (200, 4, 5, 2), minval=1.0, maxval=2.0)


def windows(image: np.ndarray, h: int, w: int) -> dict[tuple[int, int], np.ndarray]:
    rows, columns = image.shape[0] - h + 1, image.shape[1] - w + 1
    return {(y, x): image[y : y + h, x : x + w] for y in range(rows) for x in range(columns)}


def test_shift_images_moves_each_image_whole_and_fills_with_zeros(images):
    """Every result is one of the nine shifts of its image, done by NumPy; all nine turn up."""
    moved = np.asarray(shifted(KEY, images, pixels=1))
    padded = np.pad(np.asarray(images), ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = set()
    for i, result in enumerate(moved):
        match = [at for at, window in windows(padded[i], 4, 5).items() if np.array_equal(window, result)]
        assert len(match) == 1
        seen.add(match[0])
    assert len(seen) == 9


def test_shift_images_keeps_its_digits():
    """Networks were trained with these draws, of which their logs promise that they come again."""
    image = jnp.zeros((6, 3, 3, 1)).at[:, 1, 1].set(1)
    moved = np.asarray(shifted(jax.random.key(0), image, pixels=1))
    assert [tuple(int(i) for i in np.argwhere(each)[0][:2]) for each in moved] == [
        (1, 2),
        (0, 1),
        (0, 2),
        (2, 0),
        (2, 2),
        (1, 2),
    ]


def test_shift_images_by_zero_pixels_is_the_identity(images):
    assert jnp.array_equal(shifted(KEY, images, pixels=0), images)


def test_shift_images_keeps_batch_axes_and_dtype():
    images = np.ones((2, 3, 4, 4, 1), np.float16)
    moved = shifted(jax.random.key(0), images)
    assert moved.shape == images.shape
    assert moved.dtype == jnp.float16
    assert shifted(jax.random.key(0), images[0, 0]).shape == (4, 4, 1)


def test_crop_images_gives_each_image_one_of_its_windows(images):
    cut = np.asarray(cropped(KEY, images, size=(3, 2)))
    seen = set()
    for image, result in zip(np.asarray(images), cut, strict=True):
        match = [at for at, window in windows(image, 3, 2).items() if np.array_equal(window, result)]
        assert len(match) == 1
        seen.add(match[0])
    assert len(seen) == 8


def test_a_crop_brought_back_to_size_is_the_resized_window(images):
    """Of two images in a row, and of half precision; a window of the whole image changes nothing."""
    rows = images[:6].reshape(2, 3, 4, 5, 2)
    cut, back = (cropped(KEY, rows, size=3, resize=resize) for resize in (False, True))
    assert cut.shape == (2, 3, 3, 3, 2)
    due = jax.image.resize(cut, (2, 3, 4, 5, 2), "linear")
    np.testing.assert_array_equal(back, due)
    assert cropped(KEY, images[:2].astype(jnp.bfloat16), size=3, resize=True).dtype == jnp.bfloat16
    np.testing.assert_allclose(cropped(KEY, images, size=(4, 5), resize=True), images, rtol=1e-6)


def test_flip_images_mirrors_about_half_of_them(images):
    for axis, place in (("across", 2), ("down", 1)):
        turned = np.asarray(flipped(KEY, images, axis=axis))
        mirrored = np.flip(np.asarray(images), place)
        is_mirrored = np.array([np.array_equal(*pair) for pair in zip(turned, mirrored, strict=True)])
        is_left = np.array([np.array_equal(*pair) for pair in zip(turned, np.asarray(images), strict=True)])
        assert np.array_equal(is_mirrored, ~is_left)
        assert 75 < is_mirrored.sum() < 125
    assert jnp.array_equal(flipped(KEY, images, probability=0.0), images)
    assert jnp.array_equal(flipped(KEY, images, probability=1.0), jnp.flip(images, -2))


def test_cutout_images_hides_one_window_inside_each_image(images):
    cut = np.asarray(cut_out(KEY, images, size=(2, 3), fill=-1.0))
    hidden = cut == -1.0
    np.testing.assert_array_equal(cut[~hidden], np.asarray(images)[~hidden])
    seen = set()
    for each in hidden:
        rows, columns = (np.flatnonzero(each.any(axis)) for axis in ((1, 2), (0, 2)))
        assert each.sum() == 2 * 3 * 2
        assert (np.ptp(rows), np.ptp(columns)) == (1, 2)
        seen.add((rows[0], columns[0]))
    assert len(seen) == 9


CONFIGS = {
    "shift": (Shift(2), lambda key, x: shifted(key, x, pixels=2)),
    "crop": (Crop(3), lambda key, x: cropped(key, x, size=3, resize=True)),
    "crop-small": (Crop((2, 3), resize=False), lambda key, x: cropped(key, x, size=(2, 3))),
    "flip": (Flip("down", 0.3), lambda key, x: flipped(key, x, axis="down", probability=0.3)),
    "cutout": (Cutout(2, fill=0.5), lambda key, x: cut_out(key, x, size=2, fill=0.5)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_does_what_its_function_does_under_jit_and_by_example(name, images):
    config, function = CONFIGS[name]
    compiled = jax.jit(config)
    given = compiled(KEY, images)
    np.testing.assert_allclose(given, function(KEY, images), rtol=1e-6)
    assert not jnp.array_equal(given, compiled(jax.random.key(2), images))
    same = compiled(KEY, jnp.broadcast_to(images[:1], images.shape))
    assert len({each.tobytes() for each in np.asarray(same)}) > 1
    recipe = Recipe(steps=1, augment=(config,)).described()["augment"][0]
    assert recipe["kind"] == type(config).__name__
    assert (
        type(config)(**{key: tuple(v) if isinstance(v, list) else v for key, v in recipe.items() if key != "kind"})
        == config
    )


def test_images_without_an_axis_are_refused():
    for function in (shift_images, flip_images, Shift(), Flip(), Crop(2), Cutout(2)):
        with pytest.raises(ContractError, match="at least 3 are due"):
            function(KEY, np.ones((8, 8), np.float32))


def test_values_out_of_range_are_refused():
    image = np.ones((8, 8, 1), np.float32)
    for make in (lambda: shift_images(KEY, image, pixels=-1), lambda: Shift(-1)):
        with pytest.raises(ValueError, match=r"`pixels` \(=-1\) must be 0 or more"):
            make()
    for make in (lambda: crop_images(KEY, image, size=9), lambda: Cutout((8, 9))(KEY, image)):
        with pytest.raises(ValueError, match=r"`size` \(=.*9\)?\) must be at most that of the images, 8 × 8"):
            make()
    for make in (lambda: flip_images(KEY, image, probability=1.1), lambda: Flip(probability=1.1)):
        with pytest.raises(ValueError, match=r"`probability` \(=1\.1\) must be from 0 to 1"):
            make()
    with pytest.raises(ContractError, match=r"axis as 'acros'.*'across' or 'down': did you mean 'across'"):
        flip_images(KEY, image, axis="acros")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"'dwn', not one of 'across', 'down'.*'down'"):
        Flip("dwn")  # pyright: ignore[reportArgumentType]
    for make in (lambda: Crop(0), lambda: Cutout((2, 0))):
        with pytest.raises(ValueError, match=r"`size` \(=.*0\)?\) must be at least 1"):
            make()
