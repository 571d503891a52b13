"""The doctor: its report, and that it sees what is wrong."""

import pathlib
import re
import sys
import time
import tomllib

import pytest
import rich.console

from jaxdl import doctor, errors


def fine():
    """A check that finds nothing."""


def wrong():
    sys.exit("3 of 4 are wrong")


def breaks():
    raise RuntimeError("no device")


def crashes():
    import os

    os.abort()


def hangs():
    time.sleep(60)


@pytest.mark.parametrize(
    ("function", "limit", "problem"),
    [
        (fine, 60, ""),
        (wrong, 60, "3 of 4 are wrong"),
        (breaks, 60, "RuntimeError: no device"),
        (crashes, 60, "crashes: SIGABRT"),
        (hangs, 1, "hangs: no end after 1 s"),
    ],
)
def test_a_check_sees_how_its_child_ends(function, limit, problem, monkeypatch):
    paths = [path for path in sys.path if path]
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))  # where the child finds this very module
    assert doctor.check(function, limit=limit).problem == problem


@pytest.mark.parametrize("problem", ["", "hangs: no end after 15 s"])
def test_report(problem, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "check", lambda function: doctor.Outcome(problem, 1.5))
    console = rich.console.Console(record=True, width=80)
    assert doctor.main(console, tmp_path / "cache") == (1 if problem else 0)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    for word in ("2 × cpu", "jaxlib 0.", "tensorboard 2.", "GiB memory"):
        assert word in " ".join(text.split())  # wherever a line is broken
    assert re.search(r"XLA_FLAGS +--xla_cpu_experimental_ynn_fusion_type=", text)
    assert 'pip install "jaxdl[tpu]"' in text
    assert text.count(f": {problem}" if problem else ": right, 1.5 s") == len(doctor.CHECKS)
    assert ("Do not train here" in text) == bool(problem)


def test_every_extra_is_known():
    project = tomllib.loads((pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text())
    extras = set(project["project"]["optional-dependencies"]) - {"dev"}
    assert extras == doctor.PURPOSES.keys() == set(errors.EXTRAS.values())
