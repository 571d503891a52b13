"""Text: what is read, how it is split, and what is told about a corpus that is not there."""

import gzip
import pathlib
import sysconfig

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import text


def message(call) -> str:
    with pytest.raises(errors.InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pieces(part: np.ndarray) -> list[str]:
    return part.tobytes().decode().split("\0")


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """Twenty files of 100 bytes in two folders, an empty one, and one of another kind."""
    for number in range(20):
        path = tmp_path / f"part{number % 2}" / f"{number:02d}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{number:02d}" + "x" * 98)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "other.md").write_text("other")
    return tmp_path


@pytest.fixture(scope="module")
def library() -> text.Corpus:
    return text.stdlib()


def test_a_file_is_split_by_position(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_bytes(bytes(range(1, 101)))
    train, test = text.load(path, test_fraction=0.2)
    assert train.dtype == test.dtype == np.uint8
    assert list(train) == list(range(1, 81)) and list(test) == list(range(81, 101))
    train, test = text.load(str(path), test_fraction=0.5, limit=10)
    assert list(train) == [1, 2, 3, 4, 5] and list(test) == [6, 7, 8, 9, 10]


def test_a_folder_is_split_by_file(folder):
    train, test = map(pieces, text.load(folder, test_fraction=0.3))
    assert sorted(train + test) == [f"{number:02d}" + "x" * 98 for number in range(20)]
    # The same on every machine, whatever the order in which its folders list files:
    assert [name[:2] for name in test] == ["05", "04", "14", "08", "15", "18", "06"]


def test_a_file_keeps_its_side_when_others_go(folder):
    before = set(pieces(text.load(folder, test_fraction=0.3).test))
    removed = sorted(folder.glob("part0/*.txt"))[:5]
    gone = {path.read_text() for path in removed}
    for path in removed:
        path.unlink()
    assert set(pieces(text.load(folder, test_fraction=0.3).test)) == before - gone


def test_the_limit_holds(folder):
    train, test = text.load(folder, test_fraction=0.5, limit=1050)
    assert 1000 < len(train) + len(test) <= 1050


def test_a_pattern_chooses_files(folder):
    train, test = text.load(folder, pattern="part1/*.txt", test_fraction=0.5)
    assert all(int(piece[:2]) % 2 for piece in pieces(train) + pieces(test))


def test_what_is_wrong_with_a_corpus_is_told(folder):
    assert message(lambda: text.load(folder / "no")) == (
        f"The data folder must exist, got {folder / 'no'}. "
        "Name a text file, or a folder of text files."
    )
    assert message(lambda: text.load("")).startswith("The data folder must be given, got an empty")
    assert message(lambda: text.load(folder, pattern="*.tex")) == (
        f"The folder {folder} must hold files that match *.tex, got none. "
        "Check the folder and the pattern."
    )
    assert message(lambda: text.load(folder, pattern="/*")).startswith(
        "pattern must be a relative glob pattern such as **/*.txt, got '/*'"
    )
    assert message(lambda: text.load(folder, pattern="")).startswith("pattern must be a relative")
    assert message(lambda: text.load(folder / "empty.txt")) == (
        f"The training part of {folder / 'empty.txt'} must be 1 bytes or longer, got 0. "
        "Use a longer text, or raise the limit."
    )
    assert message(lambda: text.load(folder, pattern="empty.txt")) == (
        f"The training part of {folder} (0 files to learn from, 0 for the test) must be 1 "
        "bytes or longer, got 0. Add files, or join them into one, or raise the limit."
    )
    assert message(lambda: text.load(folder / "part0" / "00.txt", least=11)) == (
        f"The test part of {folder / 'part0' / '00.txt'} must be 11 bytes or longer, got 10. "
        "Use a longer text, or raise the limit."
    )
    found = message(lambda: text.load(folder, limit=0))
    assert found == "limit must be at least 1 byte, got 0."
    assert "test_fraction must be between" in message(lambda: text.stdlib(test_fraction=0.0))


def test_a_damaged_gzip_file_is_told(tmp_path):
    path = tmp_path / "text.txt.gz"
    path.write_bytes(gzip.compress(b"a text" * 100)[:-9])
    assert message(lambda: text.load(path)).startswith(f"{path} must be a whole gzip file, got: ")
    path.write_bytes(gzip.compress(b"a text" * 100))
    assert text.load(path).train.tobytes() == (b"a text" * 100)[:540]


def test_the_standard_library(library):
    train, test = library
    assert len(train) + len(test) > 5_000_000
    assert 0.05 < len(test) / (len(train) + len(test)) < 0.2
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    sources = {bytes(piece) for part in library for piece in part.tobytes().split(b"\0")}
    for name in ("argparse.py", "json/decoder.py", "asyncio/base_events.py"):
        assert (root / name).read_bytes() in sources
    assert (root / "encodings" / "cp437.py").read_bytes() not in sources


def test_the_standard_library_is_split_by_file_and_always_the_same(library):
    train, test = (set(part.tobytes().split(b"\0")) for part in library)
    assert not train & test
    again = text.stdlib()
    assert np.array_equal(again.train, library.train) and np.array_equal(again.test, library.test)


def test_a_python_without_its_library_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "python.zip"))
    assert message(text.stdlib) == (
        f"The data folder must exist, got {tmp_path / 'python.zip'}. "
        "Use a complete installation of Python, or name a folder of text."
    )


def test_encode_and_decode():
    assert text.decode(text.encode("naïve ☃")) == "naïve ☃"
    assert text.decode(np.array([97, 255, 0, 98], np.int32)) == "a\ufffd␀b"
    assert message(lambda: text.decode(np.array([97, 256]))) == (
        "The bytes of a text must be in 0..255, got 256 at index 1."
    )
