"""IDX files: what was written is read, and each kind of damage is told."""

import gzip
import struct

import image_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import idx, pixels

IMAGES, LABELS = image_files.IDX_NAMES["train"]


def message(folder) -> str:
    with pytest.raises(errors.InputError) as caught:
        idx.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("zipped", [False, True])
def test_what_was_written_is_read(tmp_path, zipped):
    written = image_files.write_mnist(tmp_path, zipped=zipped)
    train, test = idx.load(str(tmp_path))
    for part, expected in ((train, written["train"]), (test, written["test"])):
        assert part["input"].dtype == np.uint8 and part["target"].dtype == np.int32
        assert np.array_equal(part["input"], expected["input"])
        assert np.array_equal(part["target"], expected["target"])


def test_plain_and_zipped_files_may_be_mixed(tmp_path):
    image_files.write_mnist(tmp_path)
    plain = tmp_path / LABELS
    (tmp_path / f"{LABELS}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(idx.load(tmp_path).train["target"]) == 40


def test_scale_is_a_transform_of_batches():
    batch = {"input": jnp.array([[[[0], [51]], [[255], [102]]]], jnp.uint8), "target": jnp.ones(1)}
    scaled = jax.jit(idx.scale)(batch)
    assert scaled["input"].dtype == jnp.float32
    np.testing.assert_allclose(scaled["input"][0, :, :, 0], [[0, 0.2], [1, 0.4]], rtol=1e-6)
    assert np.array_equal(scaled["target"], batch["target"])
    assert idx.scale is pixels.scale


def test_a_missing_folder(tmp_path):
    assert message("") == f"The data folder must be given, got an empty name. {idx.REMEDY}"
    missing = tmp_path / "nowhere"
    assert message(missing) == f"The data folder must exist, got {missing}. {idx.REMEDY}"
    (tmp_path / "file").touch()
    found = message(tmp_path / "file")
    assert found.startswith(
        f"The data folder must be a folder, got the file {tmp_path / 'file'}. Give with --folder"
    )


def test_a_missing_file(tmp_path):
    rule = f"The folder {tmp_path} must hold {IMAGES} or {IMAGES}.gz"
    assert message(tmp_path) == f"{rule}, got an empty folder. {idx.REMEDY}"
    for name in "abcdefgh":
        (tmp_path / name).touch()
    assert message(tmp_path) == f"{rule}, got a, b, c, d, e, f and 2 more. {idx.REMEDY}"
    for word in ("--folder", "http://yann.lecun.com", "fashion-mnist", *idx.TRAIN, *idx.TEST):
        assert word in idx.REMEDY


def magic(data: bytes) -> bytes:
    return struct.pack(">I", 2049) + data[4:]


def more_declared(data: bytes) -> bytes:
    return data[:4] + struct.pack(">I", 41) + data[8:]


def huge_declared(data: bytes) -> bytes:
    return data[:4] + struct.pack(">III", *[2**32 - 1] * 3) + data[16:]


def other_shape(data: bytes) -> bytes:
    return data[:8] + struct.pack(">II", 14, 56) + data[16:]


AGAIN = "Download the file again."
DAMAGES = {
    "empty": (lambda data: b"", f"must begin with a header of 16 bytes, got 0. {AGAIN}"),
    "header cut": (
        lambda data: data[:9],
        f"must begin with a header of 16 bytes, got 9. {AGAIN}",
    ),
    "magic": (
        magic,
        "must begin with the magic number 2051, got 2049. "
        f"It is damaged, or not the kind of file that its name says. {AGAIN}",
    ),
    "truncated": (
        lambda data: data[:-100],
        f"must hold the 31360 bytes that its header declares (40×28×28), got 31260. {AGAIN}",
    ),
    "too long": (
        lambda data: data + b"x",
        f"must hold the 31360 bytes that its header declares (40×28×28), got more. {AGAIN}",
    ),
    "more declared": (
        more_declared,
        f"must hold the 32144 bytes that its header declares (41×28×28), got 31360. {AGAIN}",
    ),
    "huge declared": (
        huge_declared,
        f"must hold the {(2**32 - 1) ** 3} bytes that its header declares "
        f"(4294967295×4294967295×4294967295), got 31360. {AGAIN}",
    ),
    "other shape": (
        other_shape,
        f"must hold images of 28×28 pixels, got 14×56. {idx.REMEDY}",
    ),
    "other count": (
        lambda data: image_files.idx_bytes(np.zeros((39, 28, 28))),
        None,
    ),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("damage,expected", DAMAGES.values(), ids=DAMAGES)
def test_damaged_images(tmp_path, damage, expected, zipped):
    image_files.write_mnist(tmp_path, zipped=zipped)
    suffix = ".gz" if zipped else ""
    path = tmp_path / f"{IMAGES}{suffix}"
    if zipped:
        path.write_bytes(gzip.compress(damage(gzip.decompress(path.read_bytes()))))
    else:
        path.write_bytes(damage(path.read_bytes()))
    if expected is None:
        assert message(tmp_path) == (
            f"{tmp_path / LABELS}{suffix} must hold a label for each of the 39 images of "
            f"{path.name}, got 40. Take both files from the same download."
        )
    else:
        assert message(tmp_path) == f"{path} {expected}"


def test_a_label_out_of_range(tmp_path):
    image_files.write_mnist(tmp_path)
    path = tmp_path / LABELS
    data = bytearray(path.read_bytes())
    data[8 + 3] = 10
    path.write_bytes(data)
    assert message(tmp_path) == f"The labels of {path} must be in 0..9, got 10 at index 3."


def test_no_images(tmp_path):
    image_files.write_mnist(tmp_path, train=0)
    assert message(tmp_path) == (
        f"The data of {tmp_path / IMAGES} must hold at least one example, got 0."
    )


GZIP_DAMAGES = {
    "not gzip": (lambda data: b"<html>" + data, r"Not a gzipped file \(b'<h'\)"),
    "truncated": (lambda data: data[: len(data) // 2], "Compressed file ended before .*"),
    "bits flipped": (
        lambda data: data[:50] + bytes(255 - byte for byte in data[50:90]) + data[90:],
        ".+",
    ),
    "checksum": (lambda data: data[:-8] + b"\0\0\0\0" + data[-4:], "CRC check failed .*"),
    "rubbish after": (lambda data: data + b"rubbish", "Not a gzipped file .*"),
}


@pytest.mark.parametrize("damage,reason", GZIP_DAMAGES.values(), ids=GZIP_DAMAGES)
def test_a_damaged_gzip_file(tmp_path, damage, reason):
    image_files.write_mnist(tmp_path, zipped=True)
    path = tmp_path / f"{IMAGES}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        errors.InputError, match=f"^{path} must be a whole gzip file, got: {reason}. {AGAIN}$"
    ):
        idx.load(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path, monkeypatch):
    image_files.write_mnist(tmp_path)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    found = message(tmp_path)
    monkeypatch.undo()
    assert found == f"{tmp_path / IMAGES} must be readable, got: Permission denied."
