"""CIFAR-10's binary files: what was written is read, and each kind of damage is told."""

import image_files
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import cifar


def message(folder) -> str:
    with pytest.raises(errors.InputError) as caught:
        cifar.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_was_written_is_read(tmp_path):
    written = image_files.write_cifar(tmp_path)
    train, test = cifar.load(str(tmp_path))
    assert train["input"].shape == (50, 32, 32, 3) and test["input"].shape == (10, 32, 32, 3)
    for part, expected in ((train, written["train"]), (test, written["test"])):
        assert part["input"].dtype == np.uint8 and part["target"].dtype == np.int32
        assert np.array_equal(part["input"], expected["input"])
        assert np.array_equal(part["target"], expected["target"])


def test_a_missing_folder(tmp_path):
    missing = tmp_path / "nowhere"
    assert message(missing) == f"The data folder must exist, got {missing}. {cifar.REMEDY}"
    assert message("").startswith("The data folder must be given, got an empty name. Give with")


def test_a_missing_file(tmp_path):
    image_files.write_cifar(tmp_path, records=1)
    (tmp_path / "data_batch_4.bin").unlink()
    (tmp_path / "test_batch.bin").unlink()
    assert message(tmp_path) == (
        f"The folder {tmp_path} must hold data_batch_4.bin, got data_batch_1.bin, "
        f"data_batch_2.bin, data_batch_3.bin, data_batch_5.bin. {cifar.REMEDY}"
    )
    for word in ("--folder", "https://www.cs.toronto.edu/~kriz", *cifar.TRAIN, *cifar.TEST):
        assert word in cifar.REMEDY


@pytest.mark.parametrize("size", [0, 1, 3072, 3074, 30729])
def test_a_wrong_length(tmp_path, size):
    image_files.write_cifar(tmp_path)
    path = tmp_path / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:size])
    assert message(tmp_path) == (
        f"{path} must be one or more records of 3073 bytes, got {size} bytes. "
        "Download and extract the archive again."
    )


def test_a_label_out_of_range(tmp_path):
    image_files.write_cifar(tmp_path)
    path = tmp_path / "test_batch.bin"
    data = bytearray(path.read_bytes())
    data[7 * 3073] = 200
    path.write_bytes(data)
    assert message(tmp_path) == f"The labels of {path} must be in 0..9, got 200 at index 7."
