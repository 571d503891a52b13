"""Hyperparameters: from the command line, to the record, and back."""

import dataclasses
import enum
import pathlib
from typing import Any, Literal

import numpy as np
import pytest

from jaxdl import errors, experiment, hyperparameters


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


@dataclasses.dataclass(frozen=True)
class Schedule:
    warmup: int = 10


@dataclasses.dataclass(frozen=True)
class Adam:
    rate: float
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    nesterov: bool = False


@dataclasses.dataclass(frozen=True)
class Sgd:
    rate: float = 0.1

    def __post_init__(self):
        if self.rate <= 0:
            raise ValueError(f"rate must be positive, got {self.rate}.")


def function(
    width: int = 4,
    rate: float = 0.1,
    text: str = "a",
    bias: bool = True,
    kind: Literal["relu", "gelu", 3] = "relu",
    size: Size = Size.SMALL,
    pair: tuple[int, float] = (1, 2.0),
    many: tuple[str, ...] = (),
    nested: tuple[tuple[int, int], ...] = ((1, 2),),
    optional: float | None = None,
    where: pathlib.Path = pathlib.Path("data"),
    named: dict[str, int] | None = None,
    adam: Adam = Adam(0.5),
    either: Adam | Sgd = Sgd(),
    act: Any = len,
    bare=3,
    bare_pair=(1, 2),
): ...


CASES = [
    ("--width 5", {"width": 5}),
    ("--width=-5", {"width": -5}),
    ("--width 5 --width 6", {"width": 6}),
    ("--rate -1e-3", {"rate": -1e-3}),
    ("--rate 5", {"rate": 5.0}),
    ("--rate -inf", {"rate": -np.inf}),
    ("--text=--x=y", {"text": "--x=y"}),
    ("--text", None),
    ("--text=", {"text": ""}),
    ("--bias", {"bias": True}),
    ("--no-bias", {"bias": False}),
    ("--bias false", {"bias": False}),
    ("--kind 3", {"kind": 3}),
    ("--size LARGE", {"size": Size.LARGE}),
    ("--pair 3 -4", {"pair": (3, -4.0)}),
    ("--many a b", {"many": ("a", "b")}),
    ("--many", {"many": ()}),
    ("--nested 1 2 3 4", {"nested": ((1, 2), (3, 4))}),
    ("--nested 1 2 3", None),
    ("--optional None", {"optional": None}),
    ("--optional 0.5", {"optional": 0.5}),
    ("--optional nan", None),
    ("--where /a/b", {"where": pathlib.Path("/a/b")}),
    ("--named a 1 b 2", {"named": {"a": 1, "b": 2}}),
    ("--adam.rate 2", {"adam": Adam(2.0)}),
    ("--adam.schedule.warmup 3", {"adam": Adam(0.5, Schedule(3))}),
    ("--adam.nesterov", {"adam": Adam(0.5, nesterov=True)}),
    ("--adam.no-nesterov", {"adam": Adam(0.5)}),
    ("--either.rate 3", {"either": Sgd(3.0)}),
    ("--either.rate -3", None),
    ("--act len", None),
    ("--bare 4", {"bare": 4}),
    ("--bare_pair 4 5 6", {"bare_pair": (4, 5, 6)}),
]


def parsed(words):
    known = hyperparameters.of(function)
    given = hyperparameters.parse(words, known, "It has no", "help")
    return hyperparameters.assemble(function, given)


@pytest.mark.parametrize(("line", "expected"), CASES)
def test_command_line(line, expected):
    if expected is None:
        with pytest.raises(errors.InputError):
            parsed(line.split())
        return
    arguments = parsed(line.split())
    defaults = parsed([])
    assert arguments == defaults | expected


@pytest.mark.parametrize(("line", "expected"), [case for case in CASES if case[1] is not None])
def test_recorded_values_come_back(line, expected):
    import json

    arguments = parsed(line.split())
    recorded = json.loads(json.dumps(hyperparameters.plain(arguments)))
    known = hyperparameters.of(function)
    given = hyperparameters.revived(recorded, known, "it")
    assert hyperparameters.assemble(function, given) == arguments


def test_plain_is_flat_json():
    arguments = {"adam": Adam(0.5), "size": Size.LARGE, "x": np.float32(2), "act": len, "p": (1,)}
    assert hyperparameters.plain(arguments) == {
        "adam.rate": 0.5,
        "adam.schedule.warmup": 10,
        "adam.nesterov": False,
        "size": "LARGE",
        "x": 2.0,
        "act": "len",
        "p": [1],
    }


def test_what_is_required_must_be_given():
    def needs(width: int, adam: Adam): ...

    with pytest.raises(errors.InputError, match=r"^--width must be given: an integer\.$"):
        hyperparameters.assemble(needs, {})
    with pytest.raises(errors.InputError, match=r"^--adam.rate must be given: a number\.$"):
        hyperparameters.assemble(needs, {"width": 3})
    made = hyperparameters.assemble(needs, {"width": 3, "adam.rate": 1.0})
    assert made == {"width": 3, "adam": Adam(1.0)}


def test_a_recorded_hyperparameter_that_is_gone():
    with pytest.raises(errors.InputError, match="has a hyperparameter gone, toy has not"):
        hyperparameters.revived({"gone": 3}, [], "toy")


def test_comments_are_notes(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "def experiment(\n    width: int = 3,  # of the layer\n    text: str = '#',\n"
        "    a: int = 1, b: int = 2,  # of neither\n): ...\n"
    )
    file = experiment.File(path)
    notes = {p.name: p.note for p in hyperparameters.of(file.signature(), file)}
    assert notes == {"width": "of the layer", "text": "", "a": "", "b": ""}
