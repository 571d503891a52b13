"""Thresholds for each group against fairlearn's optimiser, and what they do to unseen examples."""

import itertools
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.analysis import fairness

FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "fairness.npz"


@pytest.fixture(scope="module")
def kept():
    with np.load(FIXTURE) as file:
        return dict(file)


@pytest.mark.parametrize("by", ["parity", "opportunity", "odds"])
def test_the_rule_is_fairlearns(kept, by):
    scores, target, group = (kept[x] for x in ("scores", "target", "group"))
    rule = fairness.thresholds(scores, target, group, by)
    chance = rule.chance(scores, group)
    np.testing.assert_allclose(chance, kept[f"chance/{by}"], rtol=0, atol=1e-12)
    share = {
        "parity": [np.ones_like(target, bool)],
        "opportunity": [target == 1],
        "odds": [target == 1, target == 0],
    }[by]
    for who in share:  # where it was set, groups are alike to the last digit
        rates = [chance[who & (group == i)].mean() for i in range(3)]
        np.testing.assert_allclose(rates, rates[0], atol=1e-12)


def test_no_other_pair_of_thresholds_is_better():
    random = np.random.default_rng(3)
    group = np.repeat([0, 1], 6)
    scores = np.round(random.normal(size=12) + group, 2)
    target = (scores + random.normal(size=12) > 0.5).astype(int)
    chance = fairness.thresholds(scores, target, group).chance(scores, group)
    found = np.where(target == 1, chance, 1 - chance).mean()
    borders = [np.append(np.sort(scores[group == i]), np.inf) for i in (0, 1)]
    best = 0.0
    for pair in itertools.product(*borders):
        chosen = scores >= np.array(pair)[group]
        if chosen[:6].sum() == chosen[6:].sum():
            best = max(best, (chosen == target).mean())
    assert best - 1e-9 <= found


@pytest.mark.parametrize("by", ["parity", "opportunity", "odds"])
def test_unseen_examples_are_decided_alike(by):
    random = np.random.default_rng(0)
    group = random.integers(0, 2, 20_000)
    merit = random.normal(size=20_000)
    target = (merit + random.normal(size=20_000) > group).astype(np.int64)
    scores = merit - group
    found = fairness.halves(scores, target, group, by=by, splits=2)
    assert found[f"{by}_difference"] < 0.03
    right = ((scores > 0) == target).mean()
    assert 0.55 < found["accuracy"] < right
    logits = jnp.stack([jnp.zeros(20_000), jnp.asarray(scores, jnp.float32)], axis=1)
    batch = {"target": jnp.asarray(target), "group": jnp.asarray(group)}
    score = fairness.scores(by=by, splits=2)(logits, batch)["thresholds"]
    assert score.value() == pytest.approx(found, abs=1e-3)
    assert fairness.scores(by=by, splits=2)(logits, batch)["thresholds"].finish == score.finish


def test_what_is_no_number_has_no_rule():
    scores = np.array([0.0, np.nan, 1.0, 2.0])
    found = fairness.halves(scores, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
    assert all(np.isnan(value) for value in found.values())


def test_halves_have_all_of_a_small_group():
    group = np.repeat([0, 1], [400, 4])
    target = np.tile([0, 1], 202)
    found = fairness.halves(np.random.default_rng(0).normal(size=404), target, group, splits=40)
    assert np.isfinite([value for name, value in found.items() if "ratio" not in name]).all()
    short = fairness.halves(np.arange(403.0), target[:403], group[:403])  # one positive is left
    assert all(np.isnan(value) for value in short.values())
    unknown = np.where(group == 1, -1, group)
    assert fairness.halves(np.arange(404.0), target, unknown)["parity_difference"] == 0
    with pytest.raises(errors.InputError, match="one of parity, opportunity, odds, got chance"):
        fairness._known("chance")


def test_a_group_of_one_class_is_refused():
    with pytest.raises(
        errors.InputError, match="Group 1 must have examples of both classes, got 2"
    ):
        fairness.thresholds(np.arange(4.0), np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]))
