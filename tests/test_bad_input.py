"""Bad input gets one to three lines on stderr and exit code 2, never a traceback.

One row is a command line, the text of experiments/x.py where it matters, and the whole message.
"""

import json
import re

import pytest

from jaxdl import launch

TOY = '''"""A toy.

Second paragraph.
"""

import dataclasses
import enum
from typing import Any, Literal

from jaxdl import learner, run


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


@dataclasses.dataclass(frozen=True)
class Optimizer:
    rate: float = 0.1
    nesterov: bool = False


def experiment(
    width: int = 4,  # of the layer
    learning_rate: float = 0.1,
    kind: Literal["relu", "gelu"] = "relu",
    size: Size = Size.SMALL,
    pair: tuple[int, int] = (1, 2),
    bias: bool = True,
    optional: int | None = None,
    optimizer: Optimizer = Optimizer(),
    unwritable: Any = None,
    steps: int = 2,
) -> run.Run:
    nothing = learner.Learner(
        lambda key, batch: {}, lambda state, batch, key: (state, {}), lambda state, batch, key: {}
    )
    return run.Run(learner=nothing, train=None, steps=steps)
'''
OTHER = {"experiment": "digits_mlp", "seed": 0, "command": ""}
OTHER |= {"hyperparameters": {}, "program": {}, "versions": {}}
RETURNS = "\n\ndef experiment():\n    return 3\n"
LISTS = "`python -m jaxdl.launch` lists the experiments."
HELPS = "`python -m jaxdl.launch toy --help` lists what there is."

# What is wrong with the words of the command.
ARGUMENTS = {
    "tyo": "No experiment is called 'tyo'. Did you mean toy?",
    "zebra": f"No experiment is called 'zebra'.\n{LISTS}",
    "experiments/tyo.py": (
        "An experiment file must exist, got experiments/tyo.py. Did you mean experiments/toy.py?"
    ),
    "nowhere/x.py": "An experiment file must exist, got nowhere/x.py.",
    "folder.py": "An experiment file must be readable, got folder.py: Is a directory.",
    "toy --widht 3": "toy has no hyperparameter --widht. Did you mean --width?",
    "toy --lr 3": "toy has no hyperparameter --lr. Did you mean --learning-rate?",
    "toy --optimizer.rat 3": "toy has no hyperparameter --optimizer.rat. "
    "Did you mean --optimizer.rate?",
    "toy --sed 3": "toy has no hyperparameter --sed. Did you mean --seed?",
    "toy --dryrun": "toy has no hyperparameter --dryrun. Did you mean --dry-run?",
    "toy --zebra 3": f"toy has no hyperparameter --zebra.\n{HELPS}",
    "toy --no-width": "toy has no hyperparameter --no-width. Did you mean --width?",
    "toy -w 3": "toy has no hyperparameter -w. Did you mean --width?",
    "toy 3": "What follows the experiment must be --hyperparameter value, got '3'.",
    "toy --width": "--width must be followed by an integer.",
    "toy --width --steps 3": "--width must be followed by an integer.",
    "toy --width=": "--width must be an integer, got ''.",
    "toy --width abc": "--width must be an integer, got 'abc'.",
    "toy --width 1e3": "--width must be an integer, got '1e3'. Did you mean 1000?",
    "toy --width 3.5": "--width must be an integer, got '3.5'.",
    "toy --width 3 4": "--width must be an integer, got '3 4'.",
    "toy --width None": "--width must be an integer, got 'None'.",
    "toy --optional x": "--optional must be an integer or None, got 'x'.",
    "toy --learning-rate fast": "--learning-rate must be a number, got 'fast'.",
    "toy --learning_rate nan": "--learning-rate must be a number, got 'nan'.",
    "toy --kind rleu": "--kind must be relu or gelu, got 'rleu'. Did you mean relu?",
    "toy --kind": "--kind must be followed by relu or gelu.",
    "toy --size small": "--size must be SMALL or LARGE, got 'small'. Did you mean SMALL?",
    "toy --pair 1": "--pair must be of the form INT INT, got '1'.",
    "toy --bias maybe": "--bias must be true or false, got 'maybe'.",
    "toy --no-bias true": "--no-bias must stand alone, got 'true'.",
    "toy --optimizer.rate x": "--optimizer.rate must be a number, got 'x'.",
    "toy --unwritable 3": "--unwritable must be set from Python, with jaxdl.launch.launch: "
    "a command line cannot write Any.",
    "toy --steps 0": "toy could not be built: Run.steps must be at least 1, got 0.\n"
    "  experiments/toy.py, line 39: return run.Run(learner=nothing, train=None, steps=steps)",
    "toy --seed nan": "--seed must be an integer, got 'nan'.",
    "toy --seed -1": "--seed must be from 0 to 4294967295, got -1.",
    "toy --seed 4294967296": "--seed must be from 0 to 4294967295, got 4294967296.",
    "toy --seed": "--seed must be followed by an integer.",
    "toy --name a/b": "--name must be the name of one folder, got 'a/b'.",
    "toy --name ..": "--name must be the name of one folder, got '..'.",
    "toy --logdir file": "--logdir must be a folder, got the file file.",
    "toy --logdir file/runs": "--logdir must be a folder, got the file file.",
    "toy --profile 5": "--profile must be two steps FROM:TO, the first one smaller, got '5'.",
    "toy --profile 5:5": "--profile must be two steps FROM:TO, the first one smaller, got '5:5'.",
    "toy --profile a:b": "--profile must be two steps FROM:TO, the first one smaller, got 'a:b'.",
    "toy --profile": "--profile must be followed by FROM:TO.",
    "toy --profile 2:3": "--profile must begin before the last step, 2, got 2.",
    "toy --resume last": "--resume last must find a run of toy in runs, got none.",
    "--resume last": "--resume last must find a run in runs, got none.",
    "toy --resume nowhere": "--resume must be a run's folder or `last`, got nowhere, "
    "which is no folder.",
    "toy --resume folder.py": "--resume must be a run's folder or `last`, got folder.py, "
    "which holds no run.json.",
    "toy --resume": "--resume must be followed by DIR|last.",
    "--resume broken": "broken/run.json must be a run's record: "
    "Expecting property name enclosed in double quotes: line 1 column 2 (char 1).",
    "toy --resume broken": "The record broken/run.json must be readable JSON, got Expecting "
    "property name enclosed in double quotes: line 1 column 2 (char 1). "
    "Put back a copy; the checkpoints beside it are whole.",
    "toy --resume broken --name a": "--resume must come without --name: the run has its folder.",
    "toy --resume other": "--resume must be a run of toy, got other, a run of digits_mlp.",
    "--seed 3": f"An experiment must come first, got --seed.\n{LISTS}",
    "--hlep": "The launcher has no option --hlep. Did you mean --help?",
}

# What is wrong with the file, which is launched as `x`.
FILES = {
    "": "An experiment file must define a function `experiment`, got experiments/x.py without one.",
    "def experiment(:\n": "experiments/x.py, line 1 is not Python: invalid syntax.\n"
    "  def experiment(:",
    "a = '\0'\n": "experiments/x.py is not Python: it contains null bytes.",
    "experiment = 3\n": "`experiment` in experiments/x.py must be a function, got int.",
    f"import nowhere{RETURNS}": "x could not be built: ModuleNotFoundError: "
    "No module named 'nowhere'\n  experiments/x.py, line 1: import nowhere",
    f"from jaxdl import nowhere{RETURNS}": "x could not be built: ImportError: "
    "cannot import name 'nowhere' from 'jaxdl' (PACKAGE)\n"
    "  experiments/x.py, line 1: from jaxdl import nowhere",
    f"raise ImportError('no torch', name='torch'){RETURNS}": "x could not be built: ImportError: "
    "no torch\n  experiments/x.py, line 1: raise ImportError('no torch', name='torch')\n"
    '  Install it with: pip install "jaxdl[parity]"',
    f"1 / 0{RETURNS}": "x could not be built: ZeroDivisionError: division by zero\n"
    "  experiments/x.py, line 1: 1 / 0",
    RETURNS: "`experiment` in experiments/x.py must return a jaxdl.run.Run, got int.",
    "def experiment():\n    pass\n": "`experiment` in experiments/x.py must return "
    "a jaxdl.run.Run, got NoneType. Does it `return`?",
    "def experiment():\n    raise ValueError('a\\nb')\n": "x could not be built: ValueError: a\n"
    "  experiments/x.py, line 2: raise ValueError('a\\nb')",
    "def experiment():\n    {}['a']\n": "x could not be built: KeyError: 'a'\n"
    "  experiments/x.py, line 2: {}['a']",
    "def experiment():\n    assert False\n": "x could not be built: AssertionError\n"
    "  experiments/x.py, line 2: assert False",
    "import json\ndef experiment():\n    json.loads('x')\n": "x could not be built: "
    "JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n"
    "  experiments/x.py, line 3: json.loads('x')",
    "def experiment(width: int): ...\n": "--width must be given: an integer.",
    "def experiment(seed: int = 3): ...\n": "A hyperparameter must not be called seed, an option "
    "of the launcher; rename it in experiments/x.py.",
    "def experiment(*sizes): ...\n": "The parameters of an experiment must have names of their "
    "own, got *sizes.",
    "def experiment(**sizes): ...\n": "The parameters of an experiment must have names of their "
    "own, got **sizes.",
    "def experiment(width: 'Nowhere' = 3): ...\n": "The annotation of width must be a type, "
    "got Nowhere: name 'Nowhere' is not defined.",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "toy.py").write_text(TOY)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.py").mkdir()
    for name, text in (("broken", "{"), ("other", json.dumps(OTHER))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    return tmp_path


@pytest.mark.parametrize(("words", "message"), ARGUMENTS.items())
def test_bad_arguments(words, message, folder, capsys):
    check(words.split(" "), message, capsys)
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(("text", "message"), FILES.items())
def test_bad_files(text, message, folder, capsys):
    (folder / "experiments" / "x.py").write_text(text)
    check(["x"], message, capsys)
    assert not (folder / "runs").exists()


def check(argv, message, capsys):
    assert launch.main(argv) == 2
    shown = capsys.readouterr()
    got = re.sub(r"\(/.*jaxdl/__init__.py\)", "(PACKAGE)", shown.err)
    assert got == f"error: {message}\n"
    assert len(got.splitlines()) <= 3
    assert shown.out == ""
