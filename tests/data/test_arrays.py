"""NumPy's files come back as they were; a damaged one is refused by name or offset."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import arrays

WHOLE = {"input": np.arange(12.0).reshape(4, 3), "target": np.arange(4)}


def refused(path, read=arrays.load, **options):
    with pytest.raises(errors.InputError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


def test_an_array_stays_on_disk(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, WHOLE["input"])
    found = arrays.load(path)
    assert isinstance(found, np.memmap) and np.array_equal(found, WHOLE["input"])
    np.save(path, np.zeros((0, 3)))
    assert arrays.load(path).shape == (0, 3)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_by_name(tmp_path, save):
    path = tmp_path / "x.npz"
    save(path, **WHOLE)
    found = arrays.load(path)
    assert found.keys() == WHOLE.keys()
    assert all(np.array_equal(found[name], WHOLE[name]) for name in WHOLE)
    assert np.array_equal(arrays.examples(path, target="input")["target"], WHOLE["input"])
    assert arrays.examples(path, target=None).keys() == {"input"}
    said = refused(path, arrays.examples, input="images")
    assert said == "FILE must hold the array 'images', got 'input', 'target'."


def test_what_is_damaged_is_refused(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, WHOLE["input"])
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert refused(path) == (
        "FILE must hold 96 bytes of values from offset 128 on, float64[4, 3], got 91. "
        "Write the file again."
    )
    path.write_bytes(whole[:40])
    assert refused(path).startswith("FILE, offset 40: a header of NumPy's must end here, got: EOF")
    path.write_bytes(b"text\n")
    assert refused(path).startswith("FILE, offset 5: a header of NumPy's must end here, got: EOF")
    path.write_bytes(whole.replace(b"'<f8'", b"'<?8'"))
    assert "a header of NumPy's must end here" in refused(path)
    np.save(path, np.array([None, {}], object), allow_pickle=True)
    assert "must hold numbers, got pickled objects" in refused(path)
    assert (
        refused(tmp_path / "none.npy") == "FILE must be readable, got: No such file or directory."
    )
    assert refused(path, arrays.examples).startswith("FILE must hold numbers")


def test_a_damaged_archive_is_refused(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, **WHOLE)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert refused(path).startswith("FILE must be a whole .npz, got: ")
    at = whole.index(WHOLE["input"].tobytes())
    path.write_bytes(whole[: at + 9] + b"!" + whole[at + 10 :])
    assert refused(path) == (
        "The array 'input' of FILE must be whole and of numbers, got: "
        "Bad CRC-32 for file 'input.npy'. Write the file again."
    )
    np.savez(path, words=np.array([None], object))
    assert refused(path).startswith("The array 'words' of FILE must be whole and of numbers, got: ")
    np.savez(path, input=WHOLE["input"], target=np.arange(3))
    assert "Leading axes must be equal" in refused(path, arrays.examples)
