"""Images in a folder that has a sub-folder for each class, as photographs are usually kept.

Every image is made as large as asked: its shorter side is scaled to it and the middle cut out. What
Pillow opens by its contents is an image, whatever its name; other files are refused by name, hidden
ones (".DS_Store") passed over.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from jaxdl import errors
from jaxdl.data import files, splits

REMEDY = "Put the images of each class into a sub-folder of its name."


class Files(NamedTuple):
    """Where images are, and the class of each; classes are named by their sub-folders."""

    paths: tuple[pathlib.Path, ...]
    target: np.ndarray  # int32 (n,)
    classes: tuple[str, ...]


def find(folder: str | pathlib.Path, classes: Sequence[str] | None = None) -> Files:
    """All files of the sub-folders, classes and files in the order of their names.

    classes: the names, and so the numbers, that there may be, such as a training folder's for the
        test; None takes them from the folder.
    """
    directory = files.folder(folder, REMEDY)
    there = sorted(path.name for path in directory.iterdir() if path.is_dir() and _shown(path))
    named = tuple(there if classes is None else classes)
    if not there:
        raise errors.InputError(f"The folder {directory} must hold sub-folders, got none. {REMEDY}")
    for name in there:
        if name not in named:
            raise errors.InputError(
                f"The sub-folders of {directory} must be of {', '.join(named)}, got {name}."
            )
    paths, target = [], []
    for name in there:
        inside = sorted(path for path in (directory / name).rglob("*") if _is_file(path))
        if not inside:
            raise errors.InputError(f"{directory / name} must hold images, got none.")
        paths += inside
        target += [named.index(name)] * len(inside)
    return Files(tuple(paths), np.array(target, np.int32), named)


def load(
    folder: str | pathlib.Path,
    side: int,
    channels: int = 3,
    classes: Sequence[str] | None = None,
) -> splits.Examples:
    """All images in memory: input uint8 (n, side, side, channels), target int32 (n,)."""
    found = find(folder, classes)
    images = np.empty((len(found.paths), side, side, channels), np.uint8)
    for image, path in zip(images, found.paths, strict=True):
        image[:] = read(path, side, channels)
    return {"input": images, "target": found.target}


def read(
    path: str | pathlib.Path, side: int, channels: int = 3
) -> UInt8[np.ndarray, "side side c"]:
    """One image, of 1 channel (grey) or 3 (red, green, blue); the camera's turn is undone.

    Transparency is dropped: what lies under it is seen. Images of more than 8 bits a channel, which
    would saturate, are refused.
    """
    if channels not in (1, 3) or side < 1:
        raise errors.InputError(
            f"Images must have 1 or 3 channels and a side of at least 1, got {channels} and {side}."
        )
    try:
        with Image.open(path) as image:
            if image.mode[0] in "IF":  # Pillow's of 16 and 32 bits: I, I;16, I;16B, F
                raise errors.InputError(
                    f"{path} must have 8 bits a channel, got Pillow's mode {image.mode}. "
                    "Scale it to 0 to 255 first."
                )
            return np.asarray(_squared(image, side, channels)).reshape(side, side, channels)
    except errors.InputError:
        raise
    except UnidentifiedImageError as error:
        raise errors.InputError(f"{path} must be an image, got another kind of file.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise errors.InputError(
            f"{path} must be a whole image, got: {str(error).rstrip('.')}."
        ) from error


def _squared(image: Image.Image, side: int, channels: int) -> Image.Image:
    image = ImageOps.exif_transpose(image).convert("RGB" if channels == 3 else "L")
    width, height = image.size
    scale = side / min(width, height)
    size = max(side, round(width * scale)), max(side, round(height * scale))
    image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    left, top = ((n - side) // 2 for n in size)
    return image.crop((left, top, left + side, top + side))


def _is_file(path: pathlib.Path) -> bool:
    return os.path.isfile(path) and _shown(path)


def _shown(path: pathlib.Path) -> bool:
    return not path.name.startswith(".")
