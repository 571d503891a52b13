"""Search: Optuna finds better settings than chance, in batches, and the same ones again."""

import math
import sys
import warnings

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.sweep import search, space

SPACE = space.Space(
    {
        "rate": space.log(1e-5, 1e-1),
        "width": (64, 16, 128, 32),
        "kind": space.choice("relu", "gelu"),
        "dropout": space.uniform(0, 0.9),
        "steps": space.Range("log", 10, 1000, whole=True),
    }
)
ALGORITHMS = sorted(search.ALGORITHMS)


def loss(setting: space.Setting) -> float:
    """Zero at rate 1e-3, width 64, gelu, dropout 0.2, 100 steps."""
    return (
        (math.log10(setting["rate"]) + 3) ** 2
        + (math.log2(setting["width"]) - 6) ** 2 / 4
        + (setting["kind"] == "relu")
        + 4 * (setting["dropout"] - 0.2) ** 2
        + math.log10(setting["steps"] / 100) ** 2
    )


def run(algorithm: str, seed: int, samples: int = 64, batch: int = 8) -> list[float]:
    searching = search.Search(SPACE, algorithm, samples, seed, highest=False)
    found: list[float] = []
    while settings := searching.ask(batch):
        losses = [loss(setting) for setting in settings]
        searching.tell(settings, losses)
        found += losses
    return found


def batches(searching: search.Search, count: int) -> list[space.Setting]:
    told: list[space.Setting] = []
    for _ in range(count):
        settings = searching.ask(8)
        searching.tell(settings, [loss(setting) for setting in settings])
        told += settings
    return told


@pytest.mark.parametrize("algorithm", ["tpe", "cmaes"])
def test_a_search_beats_chance_with_the_same_budget(algorithm):
    tried = {kind: [run(kind, seed) for seed in range(4)] for kind in (algorithm, "random")}
    assert all(len(losses) == 64 for losses in tried[algorithm])
    # The second half knows the first.
    later = {kind: np.mean([losses[32:] for losses in tried[kind]]) for kind in tried}
    best = {kind: np.mean([min(losses) for losses in tried[kind]]) for kind in tried}
    assert later[algorithm] < 0.7 * later["random"]
    assert best[algorithm] < best["random"]


def test_the_highest_value_may_be_the_best():
    searching = search.Search(SPACE, "tpe", 64, 0, highest=True)
    found = []
    while settings := searching.ask(8):
        searching.tell(settings, [-loss(setting) for setting in settings])
        found += [loss(setting) for setting in settings]
    assert np.mean(found[32:]) < 0.6 * np.mean(found[:16])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_batch_has_no_setting_twice_and_all_keep_their_ranges(algorithm):
    searching = search.Search(SPACE, algorithm, 60, 0, highest=False)
    told = batches(searching, 9)
    assert len(told) == len(set(told)) == 60
    for setting in told:
        assert 1e-5 <= setting["rate"] <= 1e-1
        assert setting["width"] in (16, 32, 64, 128)
        assert setting["kind"] in ("relu", "gelu")
        assert type(setting["steps"]) is int
        assert 10 <= setting["steps"] <= 1000
    rates = {f"{setting['rate']:.2g}" for setting in told[-8:]}
    assert len(rates) > 4  # the running ones keep the others of their batch away


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_seed_decides(algorithm):
    def first(seed: int) -> list[space.Setting]:
        return batches(search.Search(SPACE, algorithm, 99, seed, highest=False), 4)

    assert first(0) == first(0)
    assert first(0) != first(1)


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_a_search_goes_on_from_its_history_as_if_it_had_not_stopped(algorithm):
    uninterrupted = search.Search(SPACE, algorithm, 99, 3, highest=False)
    told = batches(uninterrupted, 3)
    resumed = search.Search(SPACE, algorithm, 99, 3, highest=False)
    resumed.tell(told, [loss(setting) for setting in told])
    assert resumed.ask(8) == uninterrupted.ask(8)
    assert resumed.ask(2) == uninterrupted.ask(2)


def test_failures_are_kept_away_from():
    """Every rate above 1e-3 diverges; of the random draws, half do."""
    searching = search.Search(SPACE, "tpe", 80, 0, highest=False)
    failed: list[bool] = []
    values = [None, math.nan, math.inf]
    while settings := searching.ask(8):
        fails = [setting["rate"] > 1e-3 for setting in settings]
        pairs = enumerate(zip(settings, fails, strict=True))
        searching.tell(settings, [values[i % 3] if bad else loss(s) for i, (s, bad) in pairs])
        failed += fails
    assert sum(failed[:16]) >= 5
    assert sum(failed[-40:]) <= 12


def test_everything_may_fail():
    searching = search.Search(SPACE, "tpe", 30, 0, highest=False)
    while settings := searching.ask(10):
        searching.tell(settings, [None] * len(settings))
    assert searching.ask(1) == []


@pytest.mark.parametrize("algorithm", ["random", "tpe"])
def test_a_small_space_is_searched_to_its_end(algorithm):
    small = space.Space({"width": (16, 32), "kind": ("a", "b"), "one": (1,), "shape": ((1, 2), ())})
    searching = search.Search(small, algorithm, 50, 0, highest=False)
    found = []
    while settings := searching.ask(3):
        searching.tell(settings, [1.0] * len(settings))
        found += settings
    assert set(found) == set(small.settings())
    assert len(found) == 8


def test_optuna_says_nothing(capfd):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for algorithm in ALGORITHMS:
            batches(search.Search(SPACE, algorithm, 24, 0, highest=False), 3)
    assert caught == []
    assert capfd.readouterr() == ("", "")


def test_errors(monkeypatch):
    def message(algorithm: str, axes: space.Space = SPACE, samples: int = 8) -> str:
        with pytest.raises(errors.InputError) as caught:
            search.Search(axes, algorithm, samples, 0, highest=False)
        return str(caught.value)

    assert message("tpee") == (
        "--search must be one of tpe, cmaes, random, got 'tpee'. Did you mean tpe?"
    )
    assert message("tpe", samples=0) == "--samples must be at least 1, got 0."
    assert message("tpe", space.Space({})) == (
        "--search must come with --sweep, which says what it searches."
    )
    one = space.Space({"rate": space.log(1e-5, 1e-1), "kind": ("a", "b"), "width": (3,)})
    assert message("cmaes", one) == (
        "--search cmaes must have at least two numbers to vary, got rate. Choose --search tpe."
    )
    for package, algorithm in (("cmaes", "cmaes"), ("optuna", "random")):
        monkeypatch.setitem(sys.modules, package, None)
        assert "--search must have Optuna, which is not installed" in message(algorithm)
        assert message(algorithm).endswith('pip install "jaxdl[search]"')
