"""COCO's format: what is read, and what is refused by the file's name and the entry."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxdl import errors
from jaxdl.data import coco

IMAGES = [
    {"id": 7, "file_name": "b.png", "width": 8, "height": 4},
    {"id": 3, "file_name": "a.png", "width": 4, "height": 4},
]
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]
ANNOTATIONS = [
    {"image_id": 7, "category_id": 18, "bbox": [2, 1, 4, 2], "iscrowd": 0},
    {"image_id": 7, "category_id": 1, "bbox": [-1, 0, 9.5, 4]},
    {"image_id": 7, "category_id": 1, "bbox": [0, 0, 8, 4], "iscrowd": 1},
]


def write(folder, **changed):
    content = {"images": IMAGES, "categories": CATEGORIES, "annotations": ANNOTATIONS} | changed
    (folder / "instances.json").write_text(json.dumps(content))
    for entry, grey in zip(IMAGES, (200, 100), strict=True):
        Image.new("L", (entry["width"], entry["height"]), grey).save(folder / entry["file_name"])
    return folder / "instances.json", folder


def test_images_boxes_and_classes(tmp_path):
    found = coco.read(*write(tmp_path))
    assert found.names == ("person", "dog")
    assert [picture.path.name for picture in found.pictures] == ["a.png", "b.png"]
    assert found.pictures[0].boxes.shape == (0, 4)
    np.testing.assert_array_equal(found.pictures[1].boxes, [[2, 1, 6, 3], [0, 0, 8, 4]])
    assert found.pictures[1].classes.tolist() == [1, 0]


def test_examples_are_fitted_into_a_square(tmp_path):
    found = coco.load(*write(tmp_path), side=16)
    assert found["input"].shape == (2, 16, 16, 3) and found["input"].dtype == np.uint8
    assert (found["input"][0] == 100).all()
    assert (found["input"][1, :8] == 200).all() and (found["input"][1, 8:] == 0).all()
    np.testing.assert_array_equal(found["boxes"][1], [[0, 0, 16, 8], [4, 2, 12, 6]])
    assert found["classes"].tolist() == [[-1, -1], [0, 1]]
    assert coco.load(*write(tmp_path), side=4, most=1)["classes"].tolist() == [[-1], [0]]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"images": None}, "must hold a list 'images', got NoneType"),
        ({"images": []}, "must hold an image and a category"),
        ({"images": [*IMAGES, IMAGES[0]]}, r"images\[2\] must have an id of its own, got 7"),
        ({"images": [IMAGES[0] | {"width": "8"}]}, r"images\[0\] must have an integer width"),
        ({"images": [IMAGES[0] | {"height": 0}]}, r"images\[0\] must have a positive size"),
        ({"images": [IMAGES[0] | {"file_name": "../b.png"}]}, r"images\[0\] must have the name"),
        ({"images": [IMAGES[0] | {"file_name": "c.png"}]}, "must hold c.png"),
        ({"categories": [3]}, r"categories\[0\] must be an object, got 3"),
        ({"annotations": [ANNOTATIONS[0] | {"image_id": 9}]}, r"\[0\] must name an image .* got 9"),
        ({"annotations": [ANNOTATIONS[0] | {"category_id": 2}]}, "must name a category"),
        ({"annotations": [ANNOTATIONS[0] | {"bbox": [1, 2, 3]}]}, r"\[0\] must have a bbox \[left"),
        ({"annotations": [ANNOTATIONS[0] | {"bbox": [9, 0, 2, 2]}]}, "a bbox that meets its image"),
    ],
)
def test_what_is_malformed_is_named(tmp_path, changed, message):
    with pytest.raises(errors.InputError, match=message):
        coco.read(*write(tmp_path, **changed))


def test_files_that_are_none(tmp_path):
    path, folder = write(tmp_path)
    (folder / "a.png").write_bytes(b"no image")
    with pytest.raises(errors.InputError, match=r"a\.png must be a readable image"):
        coco.load(path, folder, side=4)
    Image.new("L", (5, 4)).save(folder / "a.png")
    with pytest.raises(errors.InputError, match=r"a\.png must be of 4×4 pixels .* got 5×4"):
        coco.load(path, folder, side=4)
    path.write_text("{")
    with pytest.raises(errors.InputError, match=r"instances\.json must be JSON"):
        coco.read(path, folder)
