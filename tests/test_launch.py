"""The launcher: help, list, runs, resumes, exit codes, and the same from Python."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import pytest

from jaxdl import errors, launch, options
from jaxdl.train import stop

TOY = '''"""A toy counts.

Data: none. This paragraph has lines that are longer than eighty columns, so that they must
be filled anew.

    python -m jaxdl.launch toy --width 3
"""

import enum
import time

import jax.numpy as jnp

from jaxdl import learner, metrics, run


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


def experiment(
    width: int = 4,  # of the layer
    size: Size = Size.SMALL,
    bias: bool = True,
    shapes: tuple[int, ...] = (3, 4),
    steps: int = 4,
) -> run.Run:
    """Counts steps."""
    assert isinstance(size, Size)

    def step(state, batch, key):
        return state + 1, {"count": metrics.Mean.of(state)}

    def evaluate(state, batch, key):
        return {"count": metrics.Mean.of(state)}

    count = learner.Learner(lambda key, batch: jnp.zeros(width), step, evaluate)
    return run.Run(learner=count, train=None, steps=steps)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "toy.py").write_text(TOY)
    return tmp_path


@pytest.fixture
def trained(monkeypatch):
    """What the loop was called with, instead of training."""
    from jaxdl.train import loop

    calls = []

    def train(run, folder, launched, *, profile=None, quiet=False):
        call = types.SimpleNamespace(
            run=run, folder=folder, launched=launched, profile=profile, quiet=quiet
        )
        calls.append(call)
        call.status = calls[0].status if len(calls) > 1 else "completed"
        return call

    monkeypatch.setattr(loop, "train", train)
    return calls


def recorded(folder, **changes):
    folder.mkdir(parents=True)
    hyperparameters = {"width": 7, "size": "LARGE", "bias": False, "shapes": [5], "steps": 3}
    record = {"experiment": "toy", "hyperparameters": hyperparameters, "seed": 9, "command": "c"}
    record |= {"program": {}, "versions": {}} | changes
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def environment(**variables):
    paths = {"PYTHONPATH": str(pathlib.Path(launch.__file__).parents[1])}
    return {name: value for name, value in (os.environ | paths | variables).items() if value}


def child(folder, *argv, **variables):
    return subprocess.run(
        [sys.executable, *argv],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.mark.parametrize("words", ["toy --help", "--help", "", "toy --width x", "toy --widht 3"])
def test_answers_before_anything_heavy_is_imported(words, folder):
    code = (
        "import sys; from jaxdl import launch; code = launch.main(sys.argv[1:]);"
        "heavy = {'jax', 'numpy', 'flax', 'optax', 'orbax', 'tensorboard', 'sklearn'};"
        "print('HEAVY', sorted(heavy & set(sys.modules)), code)"
    )
    done = child(folder, "-c", code, *words.split())
    assert done.stdout.splitlines()[-1].startswith("HEAVY [] "), done.stdout


def test_help_of_an_experiment(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert launch.main(["toy", "--help"]) == 0
    shown = capsys.readouterr().out
    lines = [line.rstrip() for line in shown.splitlines()]
    assert max(map(len, lines)) <= 80
    assert lines[0] == "toy   experiments/toy.py"
    assert lines[2] == "A toy counts."
    assert lines[4].endswith("longer than eighty columns, so")
    assert lines[5] == "that they must be filled anew."
    assert "    python -m jaxdl.launch toy --width 3" in lines
    assert "  --width INT             4        of the layer" in lines
    assert "  --size {SMALL,LARGE}    SMALL" in lines
    assert "  --[no-]bias             on" in lines
    assert "  --shapes [INT ...]      3 4" in lines
    for option in options.ALL:
        assert any(line.startswith(f"  {option.flag}") for line in lines)


def test_list(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (folder / "experiments" / "broken.py").write_text("def\n")
    (folder / "experiments" / "nothing.py").write_text("")
    assert launch.main([]) == 0
    shown = capsys.readouterr().out
    assert "toy        A toy counts." in shown
    assert "broken     experiments/broken.py, line 1 is not Python: invalid syntax." in shown
    assert "nothing    defines no function `experiment`" in shown
    assert "digits_mlp" in shown  # of the checkout
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80


def test_a_run_from_the_command_line(folder, trained):
    words = "toy --width 3 --size LARGE --no-bias --shapes 1 2 --seed 5 --name a --profile 1:3"
    assert launch.main(words.split()) == 0
    (call,) = trained
    assert call.folder == pathlib.Path("runs/toy/a")
    assert call.profile == (1, 3) and not call.quiet and call.run.steps == 4
    assert call.launched.experiment == "toy"
    assert call.launched.source == folder / "experiments" / "toy.py"
    assert call.launched.seed == 5
    assert call.launched.command == f"python -m jaxdl.launch {words}"
    assert call.launched.hyperparameters == {
        "width": 3,
        "size": "LARGE",
        "bias": False,
        "shapes": [1, 2],
        "steps": 4,
    }


def test_folders_have_names_of_their_own(folder, trained):
    assert launch.main(["toy"]) == launch.main(["toy", "--logdir", "there"]) == 0
    first, second = (call.folder for call in trained)
    assert first.parent == pathlib.Path("runs/toy") and second.parent == pathlib.Path("there/toy")
    assert first.name != second.name


def test_exit_code_of_a_stopped_run(folder, trained, monkeypatch):
    from jaxdl.train import loop

    stopped = types.SimpleNamespace(status="stopped")
    monkeypatch.setattr(loop, "train", lambda *args, **options: stopped)
    assert launch.main(["toy"]) == stop.EXIT_CODE == 75


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.NonFiniteError, 3), (errors.StorageError, 4), (errors.InputError, 2)],
)
def test_exit_codes_of_errors(error, code, folder, monkeypatch, capsys):
    from jaxdl.train import loop

    def train(*args, **options):
        raise error("What is wrong.")

    monkeypatch.setattr(loop, "train", train)
    assert launch.main(["toy"]) == code
    assert capsys.readouterr().err == "error: What is wrong.\n"


def test_a_real_fault_keeps_its_traceback(folder, monkeypatch):
    from jaxdl.train import loop

    def train(*args, **options):
        raise RuntimeError("a fault")

    monkeypatch.setattr(loop, "train", train)
    with pytest.raises(RuntimeError, match="a fault"):
        launch.main(["toy"])


@pytest.mark.parametrize("words", ["toy --resume runs/toy/a", "toy --resume last", "--resume last"])
def test_resume_takes_what_was_launched(words, folder, trained):
    recorded(folder / "runs" / "toy" / "a")
    old = recorded(folder / "runs" / "toy" / "b")
    os.utime(old / "run.json", (1, 1))
    assert launch.main(words.split()) == 0
    (call,) = trained
    assert call.folder == pathlib.Path("runs/toy/a")
    assert call.launched.seed == 9
    assert call.launched.hyperparameters["width"] == 7
    assert call.launched.hyperparameters["size"] == "LARGE"
    assert call.launched.hyperparameters["shapes"] == [5]
    assert call.run.steps == 3


def test_resume_hands_other_values_to_the_check_of_the_record(folder, trained):
    recorded(folder / "a")
    assert launch.main(["toy", "--resume", "a", "--width", "8", "--seed", "0"]) == 0
    assert trained[0].launched.hyperparameters["width"] == 8
    assert trained[0].launched.hyperparameters["size"] == "LARGE"
    assert trained[0].launched.seed == 0


def test_resume_says_that_the_file_has_changed(folder, trained, capsys):
    run = recorded(folder / "a")
    (run / "experiment.py").write_text(TOY)
    assert launch.main(["--resume", "a"]) == 0
    assert capsys.readouterr().err == ""
    (run / "experiment.py").write_text(TOY + "\n")
    assert launch.main(["--resume", "a"]) == 0
    assert capsys.readouterr().err == (
        "note: experiments/toy.py has changed since this run was launched with a/experiment.py\n"
    )
    assert launch.main(["a/experiment.py", "--resume", "a"]) == 0
    assert trained[-1].launched.experiment == "toy"


def test_resume_of_an_experiment_that_is_gone_takes_the_copy(folder, trained):
    run = recorded(folder / "a", experiment="gone")
    (run / "experiment.py").write_text(TOY)
    assert launch.main(["--resume", "a"]) == 0
    assert trained[0].launched.experiment == "gone"
    assert trained[0].launched.source == run / "experiment.py"


def test_launch_from_python_trains(folder):
    result = launch.launch("toy", width=2, steps=3, seed=4, name="a", quiet=True)
    assert result.status == "completed"
    assert result.state.tolist() == [3.0, 3.0]
    assert result.folder == pathlib.Path("runs/toy/a")
    record = json.loads((result.folder / "run.json").read_text())
    assert record["command"] == "launch('toy', width=2, steps=3)"
    assert record["seed"] == 4
    again = launch.launch("toy", resume=result.folder, quiet=True)
    assert again.step == 3
    with pytest.raises(errors.InputError, match="width was 2, now 3"):
        launch.launch("toy", resume=result.folder, width=3, quiet=True)


def test_launch_takes_a_function(folder, trained):
    from jaxdl import experiment

    function = experiment.find("toy").function
    launch.launch(function, width=2, logdir=folder / "there")
    assert trained[0].launched.experiment == "toy"
    assert trained[0].launched.source == folder / "experiments" / "toy.py"

    def mine(width: int = 3):
        return function(width=width)

    launch.launch(mine)
    assert trained[1].launched.experiment == "mine"
    assert trained[1].launched.hyperparameters == {"width": 3}


def test_launch_raises(folder, trained):
    with pytest.raises(errors.InputError, match=r"^toy has no hyperparameter widht\. Did you mean"):
        launch.launch("toy", widht=2)
    with pytest.raises(errors.InputError, match="seed must be from 0"):
        launch.launch("toy", seed=-1)
    with pytest.raises(errors.InputError, match="No experiment is called 'tyo'"):
        launch.launch("tyo")
    assert not trained


def test_the_command_in_a_process_of_its_own(folder):
    cache = folder / "cache"
    variables = {"JAXDL_CACHE": str(cache), "JAX_COMPILATION_CACHE_DIR": ""}
    done = child(folder, "-m", "jaxdl.launch", "toy", "--name", "a", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "runs/toy/a/experiment.py").read_text() == TOY
    assert cache.is_dir()  # what compiles faster than the limit is not kept
    done = child(folder, "-m", "jaxdl.launch", "toy", "--steps", "0")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: toy could not be built: Run.steps must be at least 1")


def test_a_signal_saves_and_exits_with_75(folder):
    command = [sys.executable, "-m", "jaxdl.launch", "toy", "--name", "a", "--steps", "100000000"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 100
    while not (folder / "runs/toy/a/run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 75, output
    assert any((folder / "runs/toy/a/checkpoints").iterdir())
