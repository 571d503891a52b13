"""A folder of classes against Pillow's own resizing; what is no image is refused by name."""

import numpy as np
import pytest
from PIL import Image

from jaxdl import errors
from jaxdl.data import image_folder


def picture(width, height, mode="RGB"):
    """A smooth one, which survives JPEG."""
    rows, columns = np.mgrid[:height, :width]
    planes = [rows * 255 / height, columns * 255 / width, (rows + columns) % 256]
    return Image.fromarray(np.stack(planes, -1).astype(np.uint8)).convert(mode)


@pytest.fixture
def folder(tmp_path):
    """Two classes, three images of three formats and sizes."""
    for name in ("cat", "dog"):
        (tmp_path / name / "more").mkdir(parents=True)
    picture(12, 8).save(tmp_path / "cat" / "b.png")
    picture(8, 20, "L").save(tmp_path / "cat" / "more" / "a.bmp")
    picture(16, 16).save(tmp_path / "dog" / "a.jpg", quality=95)
    (tmp_path / "dog" / ".DS_Store").write_bytes(b"x")
    return tmp_path


def test_reads_all_classes_in_order(folder):
    found = image_folder.find(folder)
    assert found.classes == ("cat", "dog")
    assert [path.name for path in found.paths] == ["b.png", "a.bmp", "a.jpg"]
    examples = image_folder.load(folder, side=8)
    assert examples["target"].tolist() == [0, 0, 1]
    assert examples["input"].shape == (3, 8, 8, 3) and examples["input"].dtype == np.uint8
    # 12 x 8 is not scaled: its middle is cut out.
    np.testing.assert_array_equal(examples["input"][0], np.asarray(picture(12, 8))[:, 2:10])
    grey = np.asarray(picture(8, 20, "L"))[6:14]
    np.testing.assert_array_equal(examples["input"][1], np.repeat(grey[..., None], 3, -1))
    half = picture(16, 16).resize((8, 8), Image.Resampling.BILINEAR)
    assert np.abs(examples["input"][2].astype(int) - np.asarray(half)).mean() < 6  # JPEG's loss


def test_one_channel_and_the_cameras_turn(folder):
    image = picture(12, 8)
    turned = Image.Exif()
    turned[0x0112] = 3  # upside down
    image.save(folder / "cat" / "b.png", exif=turned)
    found = image_folder.read(folder / "cat" / "b.png", 8, channels=1)
    wanted = np.asarray(image.rotate(180).convert("L"))[:, 2:10]
    np.testing.assert_array_equal(found[..., 0], wanted)


def test_a_tests_classes_are_numbered_as_the_trainings(folder):
    examples = image_folder.load(folder, 4, classes=("bird", "cat", "dog"))
    assert examples["target"].tolist() == [1, 1, 2]
    with pytest.raises(errors.InputError, match="must be of cat, owl, got dog"):
        image_folder.find(folder, classes=("cat", "owl"))


def test_what_is_no_image_is_refused_by_name(folder):
    path = folder / "dog" / "a.jpg"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.InputError, match=r"a\.jpg must be a whole image, got: "):
        image_folder.load(folder, 8)
    Image.fromarray(np.full((8, 8), 4096, np.uint16)).save(path, "png")
    with pytest.raises(errors.InputError, match=r"a\.jpg must have 8 bits a channel, got .* I;16"):
        image_folder.load(folder, 8)
    path.write_text("no image")
    with pytest.raises(errors.InputError, match=r"a\.jpg must be an image, got another kind"):
        image_folder.load(folder, 8)
    path.unlink()
    with pytest.raises(errors.InputError, match="dog must hold images, got none"):
        image_folder.load(folder, 8)
    with pytest.raises(errors.InputError, match="must have 1 or 3 channels"):
        image_folder.read("x", 8, channels=2)
    empty = folder / "cat" / "empty"
    empty.mkdir()
    with pytest.raises(errors.InputError, match=r"must hold sub-folders, got none\. Put the"):
        image_folder.find(empty)
