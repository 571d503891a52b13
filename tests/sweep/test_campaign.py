"""Sweeps from the command line: what they leave behind, how they stop, what they refuse."""

import dataclasses
import inspect
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import small
import submitit  # noqa: F401 - it sets up logging, which closes what a test captures
from tensorboard.plugins.hparams import plugin_data_pb2

from jaxdl import errors, launch, metrics, run, submit
from jaxdl.sweep import campaign, execute, fanout, race
from jaxdl.train import loop, stop

HEAD = '''"""A noisy walk to zero.

It needs no data.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import learner, metrics, run
from jaxdl.data import batches
from jaxdl.sweep import space


'''
TOY = HEAD + inspect.getsource(small.walk).replace("def walk(", "def experiment(")
OWN = TOY + "\n\ndef sweep():\n    return {'rate': space.log(0.01, 0.5), 'size': [3, 4]}\n"
BLIND = TOY.replace('tests={"test"', 'tests={} if True else {"test"')


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Experiments toy, own (with a `sweep()`) and blind (without tests), in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "experiments").mkdir()
    for name, text in (("toy", TOY), ("own", OWN), ("blind", BLIND)):
        (tmp_path / "experiments" / f"{name}.py").write_text(text)
    return tmp_path


def launched(command):
    return launch.main(command.split())


def test_what_a_sweep_leaves(toy, capsys):
    assert launched("toy --sweep rate=0.1,0.2 size=2,3 --seeds 2 --name a") == 0
    folder = toy / "runs/toy/a"
    rows = small.table(folder)
    assert len(rows) == 8
    for (label, seed), row in rows.items():
        member = folder / f"{label},seed={seed}"
        start = plugin_data_pb2.HParamsPluginData.FromString(
            runs.accumulated(member)
            .SummaryMetadata("_hparams_/session_start_info")
            .plugin_data.content
        ).session_start_info
        values = {name: value.number_value for name, value in start.hparams.items()}
        assert [values[name] for name in ("rate", "size", "seed")] == [
            float(row[name]) for name in ("rate", "size", "seed")
        ]
        assert start.group_name == f"toy/a/{member.name}"
        curve = runs.curves(member)["test/loss"]
        best = min(curve, key=lambda point: point[1])
        assert (int(row["best_step"]), np.float32(row["best_value"])) == best
        assert float(row["test/loss"]) == pytest.approx(curve[-1][1], rel=1e-6)
    values = [float(row["best_value"]) for row in rows.values()]
    assert values == sorted(values)
    band = runs.curves(folder / "settings/rate=0.1,size=2")["test/loss/mean"]
    both = [runs.curves(folder / f"rate=0.1,size=2,seed={s}")["test/loss"] for s in (0, 1)]
    np.testing.assert_allclose([v for _, v in band], np.mean(both, axis=0)[:, 1], rtol=1e-5)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    assert sum("runs together" in line for line in lines) == 2
    assert json.loads((folder / "run.json").read_text())["result"] == {
        "status": "completed",
        "runs": 8,
    }


def test_seeds_alone(toy):
    assert launched("toy --seeds 3 --seed 5 --name a") == 0
    rows = small.table(toy / "runs/toy/a")
    assert sorted(seed for _, seed in rows) == ["5", "6", "7"]
    assert sorted(p.name for p in (toy / "runs/toy/a").glob("seed=*")) == [
        "seed=5",
        "seed=6",
        "seed=7",
    ]


def test_the_experiments_own_sweep(toy):
    assert launched("own --sweep --samples 3 --name a") == 0
    assert launched("own --samples 3 --name b") == 0
    assert launched("own --samples 3 --seed 1 --name c") == 0
    one, two, three = (small.table(toy / f"runs/own/{name}") for name in "abc")
    assert len(one) == 3
    assert one == two
    assert one.keys() != three.keys()


def test_random_samples(toy):
    assert launched("toy --sweep rate=log(0.01,0.5) --samples 4 --name a") == 0
    rows = small.table(toy / "runs/toy/a")
    assert len({row["rate"] for row in rows.values()}) == 4
    assert all(0.01 <= float(row["rate"]) <= 0.5 for row in rows.values())


def test_a_search_in_rounds_and_its_resume(toy, monkeypatch, capsys):
    monkeypatch.setattr(campaign, "BATCH", 3)
    command = "toy --sweep rate=log(0.001,1) --search tpe --samples 8 --seeds 2 --name"
    assert launched(f"{command} whole") == 0
    whole = small.table(toy / "runs/toy/whole")
    assert len(whole) == 16
    assert sorted(p.name for p in (toy / "runs/toy/whole/groups").iterdir()) == [
        "0.0",
        "1.0",
        "2.0",
    ]
    # Stopped in the second round.
    monkeypatch.setattr(loop.stop, "Catcher", stopping_after([100, 100, 2]))
    assert launched(f"{command} again") == stop.EXIT_CODE
    monkeypatch.undo()
    monkeypatch.chdir(toy)
    monkeypatch.setattr(campaign, "BATCH", 3)
    capsys.readouterr()
    assert launched("--resume runs/toy/again") == 0
    assert small.table(toy / "runs/toy/again") == whole
    assert small.curves(toy / "runs/toy/again") == small.curves(toy / "runs/toy/whole")


def stopping_after(chunks):
    """In place of `stop.Catcher`: the n-th one entered stops after so many looks."""
    left = iter(chunks)
    return lambda: runs.StopAfter(next(left))


STOPPED = """
    import os
    sys.path.insert(0, str(runs.TESTS / "sweep"))
    import small
    from jaxdl import launch
    from jaxdl.sweep import race
    race.decide = small.forced(sys.argv[1] == "True")
    sys.exit(launch.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
def test_a_signal_stops_and_resume_goes_on(together, toy, monkeypatch, capsys):
    monkeypatch.setattr(race, "decide", small.forced(together))
    sizes = ["--steps", "1000", "--every", "50", "--chunk", "50"]
    command = ["toy", "--sweep", "rate=0.1,0.2,0.3", *sizes, "--name"]
    assert launch.main([*command, "whole"]) == 0
    folder = toy / "runs/toy/a"
    process = runs.child(STOPPED, together, *command, "a")
    while not any(folder.glob("**/checkpoints/50")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    output, complaints = process.communicate(timeout=60)
    assert process.returncode == stop.EXIT_CODE, complaints
    assert output.splitlines()[-1].endswith("--resume runs/toy/a")
    record = json.loads((folder / "run.json").read_text())
    assert record["result"]["status"] == "stopped"
    states = {row["status"] for row in small.table(folder).values()}
    assert "stopped" in states
    assert launch.main(["--resume", "runs/toy/a"]) == 0
    assert small.curves(folder) == small.curves(toy / "runs/toy/whole")
    assert small.table(folder) == small.table(toy / "runs/toy/whole")


def test_a_signal_between_runs_counts(toy, monkeypatch):
    """Also one that comes while nothing trains: while a group is planned, say."""
    first = [True]
    decide = small.forced(False)

    def deciding(*arguments):
        if first:
            first.pop()
            os.kill(os.getpid(), signal.SIGTERM)
        return decide(*arguments)

    monkeypatch.setattr(race, "decide", deciding)
    assert launched("toy --sweep rate=0.1,0.2 --name a") == stop.EXIT_CODE
    assert small.curves(toy / "runs/toy/a") == {}
    assert launched("--resume runs/toy/a") == 0
    assert len(small.curves(toy / "runs/toy/a")) == 2


def test_a_signal_at_the_end_of_a_run_counts(toy, monkeypatch):
    monkeypatch.setattr(race, "decide", small.forced(False))
    train = loop.train

    def training(*arguments, **options):
        result = train(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(loop, "train", training)
    assert launched("toy --sweep rate=0.1,0.2 --name a") == stop.EXIT_CODE
    assert list(small.curves(toy / "runs/toy/a")) == ["rate=0.1"]


def test_groups_side_by_side(toy, monkeypatch):
    """Two processes, by submitit's local executor; and a resume finds nothing to do."""
    tests = str(pathlib.Path(launch.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", tests + os.pathsep + os.environ.get("PYTHONPATH", ""))
    assert launched("toy --sweep rate=0.1,0.2 size=3,4 --seeds 2 --jobs 2 --name jobs") == 0
    assert launched("toy --sweep rate=0.1,0.2 size=3,4 --seeds 2 --name here") == 0
    assert small.table(toy / "runs/toy/jobs") == small.table(toy / "runs/toy/here")
    assert small.curves(toy / "runs/toy/jobs") == small.curves(toy / "runs/toy/here")
    monkeypatch.setattr(subprocess, "Popen", None)
    assert launched("--resume runs/toy/jobs --jobs 2") == 0


def test_what_has_no_default_is_swept(toy, capsys):
    text = TOY.replace("rate: float = 0.1,", "rate: float,")
    assert text != TOY
    (toy / "experiments/toy.py").write_text(text)
    assert launched("toy --sweep rate=0.1,0.2 --name a") == 0
    assert sorted(small.table(toy / "runs/toy/a")) == [("rate=0.1", "0"), ("rate=0.2", "0")]
    assert launched("--resume runs/toy/a") == 0
    assert launched("toy --sweep size=2,3") == 2
    assert launched("toy --rate 0.1 --sweep rate=0.1,0.2") == 2
    assert "must be given or swept, got both for rate." in capsys.readouterr().err


def test_the_rounds_of_a_search_share_a_program(toy, monkeypatch, caplog):
    """Three rounds of 4, 4 and 1; one that would waste most of a wave has a program of its own."""
    monkeypatch.setattr(campaign, "BATCH", 4)
    command = "toy --sweep rate=log(0.001,1) --search random --samples"
    found = []
    for samples in (4, 8, 9):
        jax.clear_caches()
        caplog.clear()
        with jax.log_compiles(), caplog.at_level(logging.WARNING):
            assert launched(f"{command} {samples} --name {samples}") == 0
        texts = [line.getMessage() for line in caplog.records]
        found.append(sum(text.startswith("Compiling jit(_chunk)") for text in texts))
    assert found == [1, 1, 2]
    few, many = (small.curves(toy / f"runs/toy/{samples}") for samples in (4, 9))
    assert few.keys() < many.keys()
    for name, curve in few.items():
        small.close(curve, many[name])


def test_a_group_that_fails_does_not_keep_the_others(toy):
    """The fault is one that only the job's own process meets."""
    fault = "    def init(key, batch):\n        import os\n\n"
    fault += "        if size == 3 and 'SUBMITIT_EXECUTOR' in os.environ:\n"
    fault += "            raise ArithmeticError('not here')\n"
    text = TOY.replace("    def init(key, batch):\n", fault)
    (toy / "experiments/toy.py").write_text(text)
    words = ["toy", "--sweep", "size=3,4", "--jobs", "2", "--name", "a"]
    command = [sys.executable, "-m", "jaxdl.launch", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == errors.FaultError.exit_code == 1, done.stderr
    complaint, place = done.stderr.splitlines()
    assert complaint == "error: size=3: ArithmeticError: not here"
    output = pathlib.Path(place.strip().removeprefix("Its output: "))
    assert "ArithmeticError: not here" in output.read_text()
    rows = small.table(toy / "runs/toy/a")
    assert {label: row["status"] for (label, _), row in rows.items()} == {
        "size=3": "stopped",
        "size=4": "completed",
    }


def test_a_group_that_fails_in_this_process_does_not_keep_the_others(toy, monkeypatch, capsys):
    running = execute.run

    def run_all_but_3(experiment, group, *rest):
        if group.label == "size=3":
            raise ArithmeticError("not here")
        return running(experiment, group, *rest)

    monkeypatch.setattr(execute, "run", run_all_but_3)
    with pytest.raises(ArithmeticError):
        launched("toy --sweep size=3,4 --name a")
    assert "  size=3: ArithmeticError: not here" in capsys.readouterr().out
    rows = small.table(toy / "runs/toy/a")
    assert {label: row["status"] for (label, _), row in rows.items()} == {
        "size=3": "stopped",
        "size=4": "completed",
    }
    assert json.loads((toy / "runs/toy/a/run.json").read_text())["result"]["status"] == "stopped"


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_a_search_goes_on_where_a_run_has_no_best(value, tmp_path, monkeypatch):
    monkeypatch.setattr(campaign, "BATCH", 2)

    def endless(rate: float = 0.1) -> run.Run:
        made = small.walk(rate)
        score = {"loss": metrics.Mean.of(jnp.full(2, float(value)))}
        taught = made.learner._replace(evaluate=lambda state, batch, key: score)
        return dataclasses.replace(made, learner=taught)

    found = small.run_all(endless, tmp_path, "rate=log(0.01,1)", search="tpe", samples=4)
    assert [(member.status, member.best) for member in found.members] == [("completed", None)] * 4
    path = tmp_path / found.members[0].label / "run.json"  # as one that counted infinity has left
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"result": record["result"] | {"best": [10, None]}}))
    again = small.run_all(endless, tmp_path, "rate=log(0.01,1)", search="tpe", samples=4)
    assert again.members[0].best is None


def test_a_search_goes_on_where_the_experiment_refuses(toy, capsys):
    refuse = "    if size == 3:\n        raise ValueError('not 3')\n\n    def init(key, batch):"
    text = TOY.replace("    def init(key, batch):", refuse)
    (toy / "experiments/toy.py").write_text(text)
    sweep = "toy --sweep size=2,3"
    assert launched(f"{sweep} --search random --samples 2 --name a") == 0
    assert [label for label, _ in small.table(toy / "runs/toy/a")] == ["size=2"]
    assert "size=3: refused." in capsys.readouterr().out
    assert launched(f"{sweep} --name b") == 2
    assert small.curves(toy / "runs/toy/b") == {}


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C", "SIGKILL"])
def test_a_signal_stops_groups_side_by_side(how, toy, monkeypatch):
    """The launcher's own process gets it, and passes it on; a terminal's goes to all its group."""
    tests = str(pathlib.Path(launch.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", tests + os.pathsep + os.environ.get("PYTHONPATH", ""))
    sizes = ["--steps", "10000000", "--every", "1000", "--chunk", "100"]
    words = ["toy", "--sweep", "size=3,4", *sizes, "--jobs", "2", "--name", "a"]
    process = runs.child(STOPPED, False, *words, start_new_session=True)
    saved = "runs/toy/a/size=*/checkpoints"
    while len({path.parent for path in toy.glob(f"{saved}/*000")}) < 2 and process.poll() is None:
        time.sleep(0.01)
    number = signal.SIGINT if how == "Ctrl-C" else signal.Signals[how]
    (os.killpg if how == "Ctrl-C" else os.kill)(process.pid, number)
    _, complaints = process.communicate(timeout=60)
    if how == "SIGKILL":  # the groups end by themselves
        assert process.returncode == -signal.SIGKILL
        deadline = time.monotonic() + 60
        while any(result(toy, size) is None for size in (3, 4)) and time.monotonic() < deadline:
            time.sleep(0.05)
    else:
        assert process.returncode == stop.EXIT_CODE, complaints
        rows = small.table(toy / "runs/toy/a")
        assert [row["status"] for row in rows.values()] == ["stopped"] * 2
    for size in (3, 4):  # they had the time to save
        ended = result(toy, size)
        assert ended["status"] == "stopped"
        assert (toy / f"runs/toy/a/size={size}/checkpoints/{ended['step']}").is_dir()


def result(toy, size):
    """How a member's record says that it ended."""
    return json.loads((toy / f"runs/toy/a/size={size}/run.json").read_text())["result"]


def test_a_sweep_is_resumed_as_it_was_begun(toy, capsys, monkeypatch):
    """As jobs of SLURM's, and never as one job; when it stops it says how."""
    monkeypatch.setattr(submit, "slurm", None)
    monkeypatch.setattr(submit, "check", lambda *given: None)
    stopped = fanout.Came(False)
    monkeypatch.setattr(fanout, "side_by_side", lambda where, *rest: asked.append(where) or stopped)
    asked, words = [], "--mesh member=2 --slurm time=10,mem=1GB --jobs 3"
    assert launched(f"toy --seeds 2 --name a {words}") == stop.EXIT_CODE
    again = f"--resume runs/toy/a {words}"
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"python -m jaxdl.launch {again}")
    assert launched(again) == stop.EXIT_CODE
    assert asked == [fanout.Elsewhere("slurm", 3, "time=10,mem=1GB")] * 2


def test_a_sweep_of_which_nothing_is_finite_says_so(toy):
    assert launched("toy --harm 1 --seeds 2 --name a") == errors.NonFiniteError.exit_code
    assert launched("toy --sweep harm=0.0,1.0 --name b") == 0
