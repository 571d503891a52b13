"""The benchmark of acting: its rows advance, its ratio is the right way round."""

import importlib
import pathlib

import pytest

from jaxdl import errors

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        yield importlib.import_module("benchmark_rl")


@pytest.mark.parametrize("seeds", [1, 2])
def test_rows_advance_by_the_steps_they_tell(benchmark, monkeypatch, seeds):
    monkeypatch.setattr(benchmark, "UPDATES", 4)  # and so short chunks
    row = benchmark.Row("tiny", 2, 4, seeds, 1.0, None)
    advance = benchmark.ours(row)
    assert advance(1) == 2 * 4 * seeds
    assert advance(2 * 4 * seeds + 1) == 2 * (2 * 4 * seeds)


def test_a_ratio_above_one_means_faster(benchmark):
    measured = benchmark.Measured("few", 200.0, 10.0)
    assert measured.ratio == 20 and measured.reached
    assert not benchmark.Measured("few", 190.0, 10.0).reached
    assert benchmark.Measured("few", 190.0, None).reached


def test_names_what_to_install(benchmark, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(benchmark.importlib, "import_module", missing)
    with pytest.raises(errors.MissingError, match="pip install stable-baselines3"):
        benchmark.theirs(benchmark.ROWS["few"])
