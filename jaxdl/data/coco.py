"""Images and boxes in COCO's format: a folder of images, and one JSON file of what is on them.

T.-Y. Lin et al., "Microsoft COCO: Common objects in context" (2014); annotations CC BY 4.0, images
by their owners' terms. The file (`instances_val2017.json` and the like) holds lists `images` (id,
file_name, width, height), `categories` (id, name) and `annotations` (image_id, category_id, bbox:
left, top, width, height in pixels, and iscrowd).

Classes are numbered from 0 in the order of the categories' ids, which have gaps. Crowds, one box
around many objects, are left out. Images are fitted into a square, boxes with them.
"""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from PIL import Image, UnidentifiedImageError

from jaxdl import errors
from jaxdl.data import files, splits

REMEDY = (
    "Give an annotation file such as instances_val2017.json and the folder of its images "
    "(https://cocodataset.org/#download)."
)
LIMIT = 1 << 31  # bytes of the annotation file; the published ones have 450 MB
NUMBER = int | float


class Picture(NamedTuple):
    """An image's file and its size, and what is on it."""

    path: pathlib.Path
    width: int
    height: int
    boxes: Float32[np.ndarray, "m 4"]  # left, top, right, bottom in the file's pixels
    classes: Int32[np.ndarray, "m"]


class Instances(NamedTuple):
    """All images in the order of their ids, and the classes' names."""

    pictures: list[Picture]
    names: tuple[str, ...]


def read(annotations: str | pathlib.Path, folder: str | pathlib.Path) -> Instances:
    """What the annotation file says; no image is opened, but each must be there."""
    path, directory = pathlib.Path(annotations).expanduser(), files.folder(folder, REMEDY)
    content = _parsed(path)
    categories = {
        _number(path, "categories", i, entry, "id"): str(entry.get("name", ""))
        for i, entry in enumerate(content["categories"])
    }
    order = {label: i for i, label in enumerate(sorted(categories))}
    images = _images(path, directory, content["images"])
    found: dict[int, list[tuple[list[float], int]]] = {number: [] for number in images}
    for i, entry in enumerate(content["annotations"]):
        image = _number(path, "annotations", i, entry, "image_id")
        label = _number(path, "annotations", i, entry, "category_id")
        for value, known, what in ((image, images, "an image"), (label, categories, "a category")):
            if value not in known:
                raise _wrong(path, "annotations", i, f"name {what} of the file", value)
        box = _box(path, i, entry, images[image])
        if not entry.get("iscrowd"):
            found[image].append((box, order[label]))
    pictures = []
    for number in sorted(images):
        boxes = np.array([box for box, _ in found[number]], np.float32).reshape(-1, 4)
        classes = np.array([label for _, label in found[number]], np.int32)
        pictures.append(images[number]._replace(boxes=boxes, classes=classes))
    return Instances(pictures, tuple(categories[label] for label in sorted(categories)))


def load(
    annotations: str | pathlib.Path, folder: str | pathlib.Path, side: int, most: int | None = None
) -> splits.Examples:
    """All images in memory: `input` uint8 (n, side, side, 3), `boxes` (n, most, 4) in its pixels,
    `classes` (n, most), -1 where there is no object.

    most: boxes of an image, the largest kept; None: as many as the fullest image has.
    """
    if side < 1 or (most is not None and most < 1):
        raise errors.InputError(f"side and most must be at least 1, got {side} and {most}.")
    pictures = read(annotations, folder).pictures
    if most is None:
        most = max(1, *(len(picture.classes) for picture in pictures))
    fitted = [fit(picture, side, most) for picture in pictures]
    return {name: np.stack([one[name] for one in fitted]) for name in fitted[0]}


def fit(picture: Picture, side: int, most: int) -> dict[str, np.ndarray]:
    """One example of `load`: the image shrunk or enlarged to touch the square, at its upper left,
    the rest black.
    """
    image, scale = _pixels(picture, side)
    sizes = picture.boxes[:, 2:] - picture.boxes[:, :2]
    kept = np.argsort(-sizes.prod(1), kind="stable")[:most]
    boxes, classes = np.zeros((most, 4), np.float32), np.full(most, -1, np.int32)
    boxes[: len(kept)] = picture.boxes[kept] * scale[None]
    classes[: len(kept)] = picture.classes[kept]
    return {"input": image, "boxes": boxes, "classes": classes}


def _pixels(
    picture: Picture, side: int
) -> tuple[UInt8[np.ndarray, "side side 3"], Float32[np.ndarray, "4"]]:
    """The square, and by what left, top, right and bottom are to be multiplied."""
    try:
        with Image.open(picture.path) as opened:
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise errors.InputError(
            f"{picture.path} must be a readable image, got: {error}. Download it again."
        ) from error
    if image.size != (picture.width, picture.height):
        raise errors.InputError(
            f"{picture.path} must be of {picture.width}×{picture.height} pixels as its annotation "
            f"says, got {image.size[0]}×{image.size[1]}. {REMEDY}"
        )
    share = side / max(image.size)
    size = [max(1, round(share * length)) for length in image.size]
    square = np.zeros((side, side, 3), np.uint8)
    small = image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    square[: size[1], : size[0]] = np.asarray(small)
    scale = np.array([size[0] / image.size[0], size[1] / image.size[1]] * 2, np.float32)
    return square, scale


def _parsed(path: pathlib.Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = json.loads(files.read(path, LIMIT, REMEDY))
    except ValueError as error:
        raise errors.InputError(f"{path} must be JSON, got: {error}. {REMEDY}") from error
    for name in ("images", "categories", "annotations"):
        entries = content.get(name) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise errors.InputError(
                f"{path} must hold a list {name!r}, got {type(entries).__name__}. {REMEDY}"
            )
        for i, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise _wrong(path, name, i, "be an object", entry)
    if not content["images"] or not content["categories"]:
        raise errors.InputError(f"{path} must hold an image and a category, got none. {REMEDY}")
    return content


def _images(
    path: pathlib.Path, directory: pathlib.Path, entries: list[dict[str, Any]]
) -> dict[int, Picture]:
    """Id -> the image, with nothing on it yet."""
    images: dict[int, Picture] = {}
    nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    for i, entry in enumerate(entries):
        number, width, height = (
            _number(path, "images", i, entry, field) for field in ("id", "width", "height")
        )
        name = entry.get("file_name")
        if number in images:
            raise _wrong(path, "images", i, "have an id of its own", number)
        if width < 1 or height < 1:
            raise _wrong(path, "images", i, "have a positive size", f"{width}×{height}")
        if not isinstance(name, str) or pathlib.Path(name).name != name:
            raise _wrong(path, "images", i, "have the name of a file as file_name", name)
        if not (directory / name).is_file():
            raise errors.InputError(f"The folder {directory} must hold {name}. {REMEDY}")
        images[number] = Picture(directory / name, width, height, *nothing)
    return images


def _box(path: pathlib.Path, i: int, entry: dict[str, Any], picture: Picture) -> list[float]:
    """Corners, cut off at the image's edge, beyond which the published boxes reach by rounding."""
    box: Any = entry.get("bbox")
    numbers = isinstance(box, list) and all(isinstance(x, NUMBER) for x in box)
    if not numbers or len(box) != 4 or not np.isfinite(box).all() or min(box[2:]) < 0:
        raise _wrong(path, "annotations", i, "have a bbox [left, top, width, height]", box)
    left, top, width, height = map(float, box)
    ends = min(left + width, picture.width), min(top + height, picture.height)
    right, bottom = map(float, ends)
    left, top = max(left, 0.0), max(top, 0.0)
    if right < left or bottom < top:
        raise _wrong(path, "annotations", i, "have a bbox that meets its image", box)
    return [left, top, right, bottom]


def _number(path: pathlib.Path, kind: str, i: int, entry: dict[str, Any], field: str) -> int:
    value = entry.get(field)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(path, kind, i, f"have an integer {field}", value)
    return value


def _wrong(path: pathlib.Path, kind: str, i: int, rule: str, value: Any) -> errors.InputError:
    return errors.InputError(f"{path}: {kind}[{i}] must {rule}, got {value!r}.")
