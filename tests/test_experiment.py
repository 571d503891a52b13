"""Experiment files: finding them, reading their signature without importing them, importing."""

import inspect
import sys

import pytest

from jaxdl import errors, experiment

LIGHT = '''"""Title.

More.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import nowhere.heavy as heavy
from nowhere import optax

if TYPE_CHECKING:
    from nowhere import Run

DATA = heavy.load()
Kind = Literal["relu", "gelu"]
BASE: int = 16
WIDTHS = (BASE, 2 * BASE)


def double(x):
    return 2 * x


class Size(enum.Enum):
    SMALL = BASE


@dataclasses.dataclass(frozen=True)
class Optimizer:
    rate: float = 0.1
    kind: "Kind" = "relu"

    def make(self):
        return len(WIDTHS)


class Model(heavy.Module):
    width: int


@heavy.decorator
def experiment(
    widths: tuple[int, ...] = WIDTHS,
    angle: float = math.pi,
    depth: int = double(3),
    kind: Kind = "gelu",
    size: Size = Size.SMALL,
    optimizer: "Optimizer" = Optimizer(rate=0.5),
) -> Run:
    return heavy.run(widths)
'''


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (tmp_path / "experiments").mkdir()

    def write(text, name="x"):
        path = tmp_path / "experiments" / f"{name}.py"
        path.write_text(text)
        return experiment.File(path)

    return write


def test_a_signature_is_read_without_the_heavy_parts(write):
    file = write(LIGHT)
    signature = inspect.signature(file.signature())
    defaults = {name: p.default for name, p in signature.parameters.items()}
    assert defaults["widths"] == (16, 32)
    assert defaults["angle"] == pytest.approx(3.14159, abs=1e-5)
    assert defaults["depth"] == 6
    assert defaults["size"].value == 16
    assert defaults["optimizer"].rate == 0.5
    assert defaults["optimizer"].make() == 2
    assert file.docstring == "Title.\n\nMore."


@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np\ndef experiment(x: float = float(np.pi)): ...\n",
        "import functools\ndef base(x, y): ...\nexperiment = functools.partial(base, y=1)\n",
        "from numpy import pi\nif pi:\n    def experiment(x: int = 3): ...\n",
        "def experiment(x: int = UNKNOWN): ...\nUNKNOWN = 3\n",
    ],
)
def test_a_signature_that_needs_the_file_imports_it(text, write):
    file = write(text)
    if "UNKNOWN" in text:  # a default below its use fails in Python too
        assert file.signature().__name__ == "experiment"
        with pytest.raises(errors.InputError, match="NameError: name 'UNKNOWN'"):
            _ = file.function
    else:
        assert file.signature() is file.function
        assert "x" in inspect.signature(file.signature()).parameters


def test_import_runs_the_real_file(write):
    (write("", "side").path).write_text("VALUE = 7\n")
    file = write(
        "from __future__ import annotations\nimport dataclasses, side\n"
        "@dataclasses.dataclass\nclass A:\n    x: int = side.VALUE\n"
        "def experiment(): return A().x, __file__, __name__\n",
        "json",  # a name of the standard library stays that library's
    )
    before = sys.modules["json"]
    assert file.function() == (7, str(file.path), "jaxdl_experiment_json")
    assert sys.modules["json"] is before
    import json

    assert json is before
    assert sys.path[-1] == str(file.path.parent)


def test_line_of_an_error_is_the_files_own(write):
    file = write("import json\n\ndef experiment():\n    return json.loads('')\n")
    with pytest.raises(errors.InputError) as caught:
        experiment.build(file.function, {}, "x", file.path)
    assert str(caught.value).splitlines() == [
        "x could not be built: JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        "  experiments/x.py, line 4: return json.loads('')",
    ]
    assert isinstance(caught.value.__cause__, ValueError)


def test_errors_for_users_keep_their_kind(write):
    file = write(
        "from jaxdl import errors\ndef experiment(): raise errors.StorageError('No space.')\n"
    )
    with pytest.raises(errors.StorageError, match=r"x could not be built: No space\."):
        experiment.build(file.function, {}, "x", file.path)


def test_listed_here_first(write, tmp_path):
    file = write('"""Mine."""\ndef experiment(): ...\n', "digits_cnn")
    write("", "_private")
    found = experiment.listed()
    assert found["digits_cnn"] == file.path
    assert "digits_mlp" in found  # of the checkout
    assert "_private" not in found
    assert experiment.find("digits-cnn").path == file.path
    assert experiment.find("experiments/digits_cnn.py").path == file.path


@pytest.mark.parametrize(
    ("word", "candidates", "meant"),
    [
        ("widht", ["width", "depth"], "width"),
        ("lr", ["width", "learning-rate"], "learning-rate"),
        ("RELU", ["relu", "gelu"], "relu"),
        ("batch_sise", ["batch-size"], "batch-size"),
        ("zebra", ["width"], None),
        ("x", [], None),
    ],
)
def test_nearest(word, candidates, meant):
    assert experiment.nearest(word, candidates) == meant
