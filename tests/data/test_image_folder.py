"""Image folders."""

import sys

import jax
import numpy as np
import pytest
from PIL import Image

from matrinox.contract import ContractError
from matrinox.data import ImageFolder, RowLoader, read_images

PIXELS = np.random.RandomState(0).randint(0, 256, (5, 6, 4, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two classes of images of 6×4 pixels; other files beside them."""
    root = tmp_path / "pets"
    for name, numbers in (("dog", (3, 4)), ("cat", (0, 1, 2))):
        (root / name).mkdir(parents=True)
        for number in numbers:
            Image.fromarray(PIXELS[number]).save(root / name / f"{number}.PNG")
    (root / "cat" / "notes.txt").write_text("not an image")
    (root / "labels.csv").write_text("not a class")
    (root / ".cache").mkdir()
    return root


def test_classes_and_images_come_in_alphabetical_order(folder):
    source = ImageFolder(folder)
    assert source.classes == ("cat", "dog")
    assert (len(source), source.name) == (5, "pets")
    images, targets = source.gather(np.arange(5))
    assert images.dtype == np.float32
    assert np.array_equal(images, PIXELS.astype(np.float32) / 255)
    assert targets.tolist() == source.targets.tolist() == [0, 0, 0, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        source.targets[0] = 1


def test_a_loader_reads_images_shuffled_and_read_images_reads_all(folder):
    source, data = ImageFolder(folder, colour="grey"), read_images(folder, colour="grey", name="mine")
    assert data.inputs.shape == (5, 6, 4, 1)
    assert data.name == "mine"
    for key in (None, jax.random.key(0)):
        ours, theirs = (next(RowLoader(each, 3, key=key).batches(1)) for each in (source, data))
        assert np.array_equal(ours[0], theirs[0])
        assert np.array_equal(ours[1], theirs[1])


def test_grey_is_the_luma_of_the_colours(folder):
    """ITU-R 601: 0.299 r + 0.587 g + 0.114 b, to within the rounding of 8 bits."""
    grey = ImageFolder(folder, colour="grey").gather(np.array([2]))[0][0, ..., 0]
    assert np.allclose(grey * 255, PIXELS[2] @ [0.299, 0.587, 0.114], atol=1)


def test_modes_of_other_images_become_the_one_that_was_asked_for(tmp_path):
    """Grey of 8 and 16 bits, a palette, and transparency, which is dropped."""
    (tmp_path / "a").mkdir()
    grey = PIXELS[0, ..., 0]
    for name, image in (
        ("0", Image.fromarray(grey)),
        ("1", Image.fromarray(grey.astype(np.uint16) * 257)),
        ("2", Image.fromarray(grey).convert("P")),
        ("3", Image.merge("RGBA", [Image.fromarray(grey)] * 4)),
    ):
        image.save(tmp_path / "a" / f"{name}.png")
    for colour, channels in (("grey", 1), ("rgb", 3)):
        images, _ = ImageFolder(tmp_path, colour=colour).gather(np.arange(4))
        assert images.shape == (4, 6, 4, channels)
        assert np.allclose(images, grey[..., None].astype(np.float32) / 255, atol=1e-6)


def test_sizes_must_be_one_or_be_given(folder):
    Image.fromarray(PIXELS[0][:5]).save(folder / "dog" / "small.png")
    with pytest.raises(ValueError, match=r"0\.PNG' is 6×4 pixels and .*small\.png' is 5×4, and all must have one size"):
        ImageFolder(folder)
    images, _ = ImageFolder(folder, size=(3, 2)).gather(np.arange(6))
    assert images.shape == (6, 3, 2, 3)
    assert np.allclose(images.mean((1, 2)), [image.mean((0, 1)) / 255 for image in [*PIXELS, PIXELS[0][:5]]], atol=0.1)


def test_an_image_of_one_colour_keeps_it_when_resized(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("RGB", (7, 5), (51, 102, 204)).save(tmp_path / "a" / "x.png")
    images, _ = ImageFolder(tmp_path, size=(4, 4)).gather(np.array([0]))
    assert np.allclose(images, np.array([0.2, 0.4, 0.8]), atol=1e-6)


def test_photographs_stand_upright_as_their_camera_says(tmp_path):
    (tmp_path / "a").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.new("L", (16, 8))
    wide.paste(255, (0, 0, 8, 8))
    wide.save(tmp_path / "a" / "x.jpg", exif=exif, quality=95)
    image = ImageFolder(tmp_path, colour="grey").gather(np.array([0]))[0][0]
    assert image.shape == (16, 8, 1)
    assert image[:8].mean() > 0.95
    assert image[8:].mean() < 0.05


def test_fingerprint_sees_names_bytes_size_and_colour(folder):
    prints = {ImageFolder(folder).fingerprint(), ImageFolder(folder, colour="grey").fingerprint()}
    prints.add(ImageFolder(folder, size=(6, 5)).fingerprint())
    assert ImageFolder(folder, name="other").fingerprint() in prints
    (folder / "cat" / "0.PNG").rename(folder / "cat" / "00.PNG")
    prints.add(ImageFolder(folder).fingerprint())
    Image.fromarray(PIXELS[1]).save(folder / "cat" / "00.PNG")
    prints.add(ImageFolder(folder).fingerprint())
    assert len(prints) == 5


def test_folders_without_classes_or_images_are_refused(folder):
    with pytest.raises(ValueError, match="cat' has no folders, and one for each class is due"):
        ImageFolder(folder / "cat")
    (folder / "bird").mkdir()
    with pytest.raises(ValueError, match=r"bird' has no images \(\.png, \.jpg, \.jpeg\): remove it"):
        ImageFolder(folder)
    with pytest.raises(FileNotFoundError, match="missing"):
        ImageFolder(folder / "missing")


def test_what_is_no_image_is_named(folder, monkeypatch):
    whole = (folder / "dog" / "4.PNG").read_bytes()
    (folder / "dog" / "4.PNG").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"4\.PNG' is no image that can be read, or damaged \(.*\): mend or remove"):
        ImageFolder(folder).gather(np.array([4]))
    with monkeypatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
        with pytest.raises(ValueError, match=r"3\.PNG' is no image that can be read.*exceeds limit of 8 pixels"):
            ImageFolder(folder, size=(2, 2)).gather(np.array([3]))
    (folder / "dog" / "4.PNG").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"4\.PNG' is no image that can be read"):
        ImageFolder(folder)


def test_options_out_of_range_are_refused(folder):
    with pytest.raises(ValueError, match=r"`size` \(=\(0, 4\)\) must have a height and a width of 1 or more"):
        ImageFolder(folder, size=(0, 4))
    with pytest.raises(ContractError, match="colour"):
        ImageFolder(folder, colour="gray")  # pyright: ignore[reportArgumentType]


def test_without_pillow_the_error_names_the_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'read by Pillow, which is not installed: pip install "matrinox\[data\]"'):
        ImageFolder(folder)
