"""Twenty kills at random moments, and still the bits of the run that was never killed."""

import concurrent.futures
import pathlib
import pickle
import random
import shutil
import time

import pytest
import runs

KILLS = 20
LONG = """
    import pathlib, pickle
    what = runs.full(
        steps=4000, log_every=10, eval_every=20, save_every=20, chunk=10, summaries={}
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


def killed(folder, seconds):
    """Launch and kill so many seconds after the imports; the steps that are saved, None if it had
    ended by then.
    """
    process = runs.child(LONG, folder, folder.with_suffix(".pickle"))
    assert process.stdout.readline() == "begun\n", process.stderr.read()
    time.sleep(seconds)
    process.kill()
    _, complaints = process.communicate(timeout=60)
    if process.returncode == 0:
        return None
    assert "Traceback" not in complaints, complaints
    saved = folder / "checkpoints"
    return [path.name for path in saved.iterdir()] if saved.exists() else []


def chain(folder, seed):
    """Half of the kills on one folder; a run that ends before is begun anew. Returns what each run
    that was killed came to, and how often a kill left something to resume.
    """
    moments = random.Random(seed)
    outcomes, resumed, at = [], 0, folder.with_name(f"{folder.name}_0")
    for _ in range(KILLS // 2):
        saved = killed(at, moments.uniform(0.3, 1.8))
        if saved is None:
            outcomes.append(run_to_the_end(at))
            at = folder.with_name(f"{folder.name}_{len(outcomes)}")
            saved = killed(at, moments.uniform(0.3, 1.8)) or []
        resumed += bool(saved)
    return [*outcomes, run_to_the_end(at)], resumed


@pytest.mark.timeout(280)
def test_twenty_kills(tmp_path):
    whole = run_to_the_end(tmp_path / "whole")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        folders = tmp_path / "one", tmp_path / "two"
        chains = list(pool.map(chain, folders, (1, 2)))
    assert sum(resumed for _, resumed in chains) >= KILLS // 2
    for outcomes, _ in chains:
        for outcome in outcomes:
            for part, wanted in zip(outcome, whole, strict=True):
                assert part == wanted
    shutil.rmtree(pathlib.Path(tmp_path))
