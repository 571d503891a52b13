"""Gaps between groups against fairlearn; the penalty and the weights against what they must do."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, metrics
from jaxdl.losses import classification, fairness

FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "fairness.npz"


@pytest.fixture(scope="module")
def kept():
    with np.load(FIXTURE) as file:
        return dict(file)


def test_gaps_and_rates_equal_fairlearn(kept):
    made = fairness.Groups.of(*(jnp.asarray(kept[x]) for x in ("chosen", "target", "group")), 3)
    value = made.value()
    for name in ("parity", "opportunity", "odds"):
        for kind in ("difference", "ratio"):
            assert value[f"{name}_{kind}"] == kept[f"{name}_{kind}"]
    rates = made.rates()
    for name in ("chosen", "true_positive", "false_positive", "examples"):
        np.testing.assert_array_equal(rates[name], kept[f"rates/{name}"])
    right = kept["chosen"] == kept["target"]
    errors_of = [1 - right[kept["group"] == i].mean() for i in range(3)]
    assert value["error_difference"] == pytest.approx(np.ptp(errors_of))


def test_counts_add_up_and_leave_strangers_out(kept):
    arrays = [kept[x] for x in ("chosen", "target", "group")]
    parts = [
        {"groups": fairness.Groups.of(*(x[part] for x in arrays), 3)}
        for part in (slice(None, 400), slice(400, None))
    ]
    whole = fairness.Groups.of(*arrays, 3)
    np.testing.assert_array_equal(metrics.merge(*parts)["groups"].counts, whole.counts)
    expected = fairness.counted(np.float64(arrays[0]), *arrays[1:], 3)
    np.testing.assert_array_equal(expected, whole.counts)
    strangers = jnp.array([3, -1, 0])
    few = fairness.Groups.of(jnp.ones(3, int), jnp.array([1, 1, 2]), strangers, 3)
    assert few.counts.sum() == 0
    assert all(np.isnan(value) for value in few.value().values())


def test_who_does_not_belong_makes_no_number():
    logits, batch = examples()  # of three groups
    assert np.isnan(fairness.scores(jnp.asarray(logits), batch)["groups"].value()["odds_ratio"])
    penal = fairness.penalised(classification.cross_entropy, 1.0)
    assert np.isnan(penal(jnp.asarray(logits), batch)["loss"].value())
    for many in (fairness.scores, penal):
        with pytest.raises(errors.InputError, match="must be of logits of 2 classes, got 3"):
            many(jnp.zeros((64, 3)), batch)


def test_a_diverged_network_is_not_fair():
    logits, batch = examples()
    lost = fairness.scores(jnp.full_like(logits, jnp.nan), batch, 3)["groups"]
    assert np.isnan(list(lost.value().values())).all() and not lost.strangers


def test_nobody_to_compare_is_not_a_number():
    everybody = fairness.Groups.of(jnp.ones(2, int), jnp.array([1, 0]), jnp.array([0, 1]), 2)
    value = everybody.value()
    assert value["parity_difference"] == 0 and value["parity_ratio"] == 1
    assert np.isnan(value["opportunity_difference"]) and np.isnan(value["odds_ratio"])


def examples(count=64):
    random = np.random.default_rng(1)
    return random.normal(size=(count, 2)).astype(np.float32), {
        "target": jnp.asarray(random.integers(0, 2, count), jnp.int32),
        "group": jnp.asarray(random.integers(0, 3, count), jnp.int32),
    }


@pytest.mark.parametrize("by", ["parity", "opportunity", "odds"])
@pytest.mark.parametrize("sharpness", [1.0, 3.0])
def test_the_penalty_is_the_sum_over_pairs(by, sharpness):
    logits, batch = examples()
    penal = fairness.penalised(
        classification.cross_entropy, 2.0, by=by, sharpness=sharpness, groups=3
    )
    found = penal(jnp.asarray(logits), batch)
    chance = 1 / (1 + np.exp(-sharpness * np.float64(logits[:, 1] - logits[:, 0])))
    target, group = np.asarray(batch["target"]), np.asarray(batch["group"])
    among = {"parity": [target >= 0], "opportunity": [target == 1]}
    among["odds"] = [target == 1, target == 0]
    wanted = 0.0
    for who in among[by]:
        means = [chance[who & (group == i)].mean() for i in range(3)]
        wanted += sum((means[i] - means[j]) ** 2 for i, j in ((0, 1), (0, 2), (1, 2)))
    assert found["penalty"].value() == pytest.approx(wanted, rel=1e-5)
    plain = classification.cross_entropy(jnp.asarray(logits), batch)
    assert found["loss"].value() == pytest.approx(plain["loss"].value() + 2 * wanted, rel=1e-5)
    assert found["accuracy"].value() == plain["accuracy"].value()


def test_a_group_that_is_not_there_is_passed_over():
    logits, batch = examples()
    loss = classification.cross_entropy
    here = batch | {"group": batch["group"] % 2}
    two, three = (
        fairness.penalised(loss, 1.0, groups=n)(jnp.asarray(logits), here) for n in (2, 3)
    )
    assert two["penalty"].value() == three["penalty"].value() > 0
    alone = batch | {"group": jnp.zeros_like(batch["group"])}
    total = lambda x: fairness.penalised(loss, 1.0)(x, alone)["penalty"].total  # noqa: E731
    value, slope = jax.value_and_grad(total)(jnp.asarray(logits))
    assert value == 0 and not slope.any()


def test_the_paper_s_weights():
    # Kamiran and Calders 2012: of ten applicants, by sex and class, 2, 3, 4 and 1.
    group = np.repeat([0, 0, 1, 1], [2, 3, 4, 1])
    target = np.repeat([1, 0, 1, 0], [2, 3, 4, 1])
    found = fairness.weights(target, group)
    np.testing.assert_allclose(found, np.repeat([1.5, 2 / 3, 0.75, 2], [2, 3, 4, 1]), rtol=1e-6)


def test_weighted_targets_do_not_depend_on_the_group(kept):
    target, group = kept["target"], kept["group"]
    found = fairness.weights(target, group)
    shares = [np.average(target[group == i], weights=found[group == i]) for i in range(3)]
    np.testing.assert_allclose(shares, target.mean(), rtol=1e-5)
    # As a mask they weight the loss, here of chances that are the same for all.
    logits = jnp.tile(jnp.array([[0.0, 1.0]]), (len(target), 1))
    batch = {"target": jnp.asarray(target), "mask": jnp.asarray(found)}
    loss = classification.cross_entropy(logits, batch)["loss"]
    log_chance = np.log(1 / (1 + np.exp([1.0, -1.0])))
    assert loss.value() == pytest.approx(-np.average(log_chance[target], weights=found), rel=1e-5)


def test_examples_without_a_group_are_refused():
    logits, batch = examples()
    del batch["group"]
    with pytest.raises(errors.InputError, match='must have a "group" beside target, got none'):
        fairness.scores(jnp.asarray(logits), batch)
    with pytest.raises(errors.InputError, match='must have a "group"'):
        fairness.penalised(classification.cross_entropy, 1.0)(jnp.asarray(logits), batch)
