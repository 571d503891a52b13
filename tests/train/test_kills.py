"""Twenty kills at random moments, and still the bits of the run that was never killed."""

import concurrent.futures
import pickle
import random
import time

import pytest
import runs

KILLS = 20
LONG = """
    import pathlib, pickle
    what = runs.full(
        steps=1500, log_every=10, eval_every=20, save_every=20, chunk=10, summaries={}
    )
    folder, outcome = map(pathlib.Path, sys.argv[1:])
    print("begun", flush=True)
    result = runs.train(what, folder)
    found = result.status, result.step, result.best, runs.bits(result.state)
    outcome.write_bytes(pickle.dumps((found, runs.history(result), runs.curves(folder))))
"""


def run_to_the_end(folder):
    outcome = folder.with_suffix(".pickle")
    process = runs.child(LONG, folder, outcome)
    _, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    return pickle.loads(outcome.read_bytes())


def steps(folder):
    """The steps of which there is a complete checkpoint."""
    saved = folder / "checkpoints"
    names = [path.name for path in saved.iterdir()] if saved.exists() else []
    return {int(name) for name in names if name.isdecimal()}


def killed(folder, after_a_save, seconds):
    """Launch and kill, so many seconds after the imports or after the first new checkpoint; the
    checkpoints that there are, None if the run had ended by then.
    """
    before = checkpoints(folder)
    process = runs.child(LONG, folder, folder.with_suffix(".pickle"))
    assert process.stdout.readline() == "begun\n", process.stderr.read()
    while after_a_save and checkpoints(folder) == before and process.poll() is None:
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    _, complaints = process.communicate(timeout=60)
    if process.returncode == 0:
        return None
    assert "Traceback" not in complaints, complaints
    return checkpoints(folder)


def checkpoints(folder):
    saved = folder / "checkpoints"
    return {path.name for path in saved.iterdir()} if saved.exists() else set()


def chain(folder, seed):
    """Half of the kills on one folder; a run that ends before is begun anew. Returns what each run
    that was killed came to, and how often a kill left something to resume.
    """
    moments = random.Random(seed)
    outcomes, resumed, at = [], 0, folder.with_name(f"{folder.name}_0")
    for kill in range(KILLS // 2):
        saved = killed(at, kill % 2 == 0, moments.uniform(0, 0.5))
        if saved is None:
            outcomes.append(run_to_the_end(at))
            at = folder.with_name(f"{folder.name}_{len(outcomes)}")
            saved = killed(at, True, 0.0) or set()
        resumed += bool(saved)
    return [*outcomes, run_to_the_end(at)], resumed


@pytest.mark.timeout(400)
def test_twenty_kills(tmp_path):
    whole = run_to_the_end(tmp_path / "whole")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        folders = [tmp_path / name for name in ("one", "two")]
        for folder in folders:
            folder.mkdir()
        chains = list(pool.map(chain, folders, (1, 2)))
    assert sum(resumed for _, resumed in chains) >= KILLS // 4
    for outcomes, _ in chains:
        for outcome in outcomes:
            for part, wanted in zip(outcome, whole, strict=True):
                assert part == wanted
