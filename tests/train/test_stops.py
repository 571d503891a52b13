"""Signals: the run saves at the next chunk's end and can go on; a second one ends it at once."""

import json
import signal
import time

import pytest
import runs

LONG = """
    import json, pathlib, time
    folder, sleep = pathlib.Path(sys.argv[1]), float(sys.argv[2])
    what = runs.linear(
        steps=2_000_000, log_every=50, eval_every=100, save_every=100_000,
        summaries={"shown/one": lambda state, key: time.sleep(sleep) or 1.0},
    )
    from jaxdl.train import loop
    result = loop.train(what, folder, runs.launched())
    print(json.dumps([result.status, result.step]))
"""


def started(folder, sleep=0.0):
    """A child that is somewhere within a long run."""
    process = runs.child(LONG, folder, sleep)
    for line in process.stdout:
        if "loss" in line:  # of the first evaluation
            return process
    pytest.fail(process.stderr.read())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_a_signal_saves_and_stops(number, tmp_path):
    process = started(tmp_path / "run", sleep=0.002)
    time.sleep(0.2)
    process.send_signal(number)
    output, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert "Traceback" not in complaints
    lines = output.splitlines()
    status, step = json.loads(lines[-1])
    assert status == "stopped"
    assert (
        f"{number.name}: saved at step {step}. Go on with: python -m jaxdl.launch --resume"
        in output
    )
    result = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    assert (result["status"], result["step"]) == ("stopped", step)
    saved = [int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert max(saved) == step
    curves = runs.curves(tmp_path / "run")
    assert [at for at, _ in curves["train/loss"]] == list(range(50, step + 1, 50))
    assert [at for at, _ in curves["test/loss"]] == list(range(100, step + 1, 100))
    assert step < 2_000_000


def test_a_second_interrupt_ends_at_once(tmp_path):
    process = started(tmp_path / "run", sleep=60.0)
    time.sleep(0.3)  # now it sleeps within a summary, and no chunk ends
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert time.monotonic() - begun < 10


def test_the_handlers_are_given_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    runs.train(runs.linear(steps=2, log_every=2, eval_every=2), tmp_path / "run")
    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
