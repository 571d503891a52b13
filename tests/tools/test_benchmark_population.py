"""Each way of searching trains, and computes no more than its budget."""

import importlib
import pathlib

import numpy as np
import pytest

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        yield importlib.import_module("benchmark_population")


@pytest.mark.parametrize("way", ["breeding", "halving"])
def test_a_way_finds_a_member(benchmark, way, tmp_path):
    found = benchmark.search(way, 0, tmp_path / "sweep", small=True)
    assert np.isfinite(found.loss) and 0 <= found.accuracy <= 1
    # Of four members, all to the end; of six, by three rungs: three end at 15 steps, one at 45.
    assert found.compute == (4 * 40 if way == "breeding" else 3 * 15 + 45 + 2 * 100)
