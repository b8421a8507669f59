"""Image folders: `folder/class/*.png|jpg`, each image read from disk when it is asked for."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Integer

from matrinox.contract import AnyArray, contract
from matrinox.data.examples import DataSet
from matrinox.data.source import Source

_ENDINGS = (".png", ".jpg", ".jpeg")
_ORIENTATION = 0x0112
# The values of that tag that turn an image by a quarter.
_TURNED = (5, 6, 7, 8)


class ImageFolder(Source):
    """Images in a folder for each class, `folder/class/*.png|jpg`; targets are the numbers of the classes.

    Classes are in alphabetical order, and so are the images of each. An image is given as float32 `(h, w, c)` from 0
    to 1, with c = 3 for `"rgb"` and 1 for `"grey"`, upright as its camera said, and without its transparency. The names
    of the classes are in `classes`, and the class number of each image in `targets`, `(images,)`.

    **Arguments:** `folder`; `colour`: `"rgb"` or `"grey"`; `size`: `(h, w)` that images are resized to (bilinear, over
    all pixels that one comes from), or `None` where all have one size; `name`: what the examples are called in logs, by
    default the folder.
    **Raises:** `ValueError` for a folder without class folders, a class without images, a `size` below 1, images of
    two sizes where there is none, and what is no image, each by its file. `OSError` if a folder cannot be read.
    `ImportError`, naming the extra to install, without Pillow.
    """

    @contract
    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        colour: Literal["rgb", "grey"] = "rgb",
        size: tuple[int, int] | None = None,
        name: str | None = None,
    ):
        self._pillow = _pillow()
        if size is not None and min(size) < 1:
            raise ValueError(f"`size` (={size}) must have a height and a width of 1 or more: choose (28, 28) or so.")
        root = Path(folder)
        self.name = root.name if name is None else name
        self.classes = tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."))
        if not self.classes:
            raise ValueError(f"{os.fspath(root)!r} has no folders, and one for each class is due: sort the images.")
        self._files: list[Path] = []
        targets: list[int] = []
        for number, label in enumerate(self.classes):
            found = sorted(path for path in (root / label).iterdir() if path.suffix.lower() in _ENDINGS)
            if not found:
                raise ValueError(f"{os.fspath(root / label)!r} has no images ({', '.join(_ENDINGS)}): remove it.")
            self._files += found
            targets += [number] * len(found)
        self.targets = np.array(targets, np.int32)
        self.targets.setflags(write=False)
        self._root, self._colour = root, colour
        self._size = self._one_size() if size is None else size

    def __len__(self) -> int:
        return len(self._files)

    @contract
    def gather(
        self, rows: Integer[AnyArray, " batch"]
    ) -> tuple[Float[np.ndarray, "batch h w c"], Integer[np.ndarray, " batch"]]:
        """The images of these numbers, read now.

        **Arguments:** `rows`: `(batch,)`, each from 0 to below the number of images.
        **Returns:** images `(batch, h, w, c)` and class numbers `(batch,)`.
        **Raises:** `ContractError` if `rows` is not one axis of integers; `ValueError` naming a file that is no image.
        """
        numbers = np.asarray(rows)
        images = np.empty((len(numbers), *self._size, 3 if self._colour == "rgb" else 1), np.float32)
        for place, number in enumerate(numbers):
            images[place] = self._pixels(self._files[number])
        return images, self.targets[numbers]

    def fingerprint(self) -> str:
        """SHA-256 of the names and the bytes of all files, of `size` and `colour`, in hexadecimal."""
        digest = hashlib.sha256(f"{self._size}{self._colour}".encode())
        for file in self._files:
            with open(file, "rb") as opened:
                content = hashlib.file_digest(opened, "sha256").digest()
            digest.update(hashlib.sha256(file.relative_to(self._root).as_posix().encode()).digest() + content)
        return digest.hexdigest()

    def _one_size(self) -> tuple[int, int]:
        sizes = {}
        for file in self._files:
            sizes.setdefault(self._height_and_width(file), file)
            if len(sizes) == 2:
                (one, first), (other, second) = sizes.items()
                raise ValueError(
                    f"{os.fspath(first)!r} is {one[0]}×{one[1]} pixels and {os.fspath(second)!r} is "
                    f"{other[0]}×{other[1]}, and all must have one size: give the `size` to bring them to."
                )
        return next(iter(sizes))

    def _height_and_width(self, file: Path) -> tuple[int, int]:
        with self._opened(file) as image:
            turned = image.getexif().get(_ORIENTATION) in _TURNED
            return (image.width, image.height) if turned else (image.height, image.width)

    def _pixels(self, file: Path) -> np.ndarray:
        with self._opened(file) as image:
            image = self._pillow.ImageOps.exif_transpose(image)
            # Pillow would cut the 16 bits of a grey image to the lowest 8.
            deep = image.mode.startswith("I")
            image = image.convert("F") if deep else image.convert("RGB" if self._colour == "rgb" else "L")
            height, width = self._size
            if image.size != (width, height):
                image = image.resize((width, height), self._pillow.Image.Resampling.BILINEAR)
            pixels = np.asarray(image, np.float32) / (65535 if deep else 255)
        return pixels if pixels.ndim == 3 else pixels[..., None]

    @contextlib.contextmanager
    def _opened(self, file: Path) -> Iterator[Any]:
        try:
            with self._pillow.Image.open(file) as image:
                yield image
        # Pillow raises the second for damaged chunks of PNG, the third for more pixels than it holds for safe.
        except (OSError, SyntaxError, self._pillow.Image.DecompressionBombError) as error:
            raise ValueError(
                f"{os.fspath(file)!r} is no image that can be read, or damaged ({error}): mend or remove the file."
            ) from error


@contract
def read_images(
    folder: str | os.PathLike[str],
    *,
    colour: Literal["rgb", "grey"] = "rgb",
    size: tuple[int, int] | None = None,
    name: str | None = None,
) -> DataSet:
    """The images in a folder for each class, read into memory.

    **Arguments:** as `ImageFolder` takes them.
    **Returns:** a data set of images `(examples, h, w, c)` and class numbers `(examples,)`.
    **Raises:** as `ImageFolder`.
    """
    source = ImageFolder(folder, colour=colour, size=size, name=name)
    return DataSet(*source.gather(np.arange(len(source))), name=source.name)


def _pillow() -> Any:
    try:
        import PIL
        import PIL.Image
        import PIL.ImageOps
    except ImportError as error:
        raise ImportError('images are read by Pillow, which is not installed: pip install "matrinox[data]"') from error
    return PIL
