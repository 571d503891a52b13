"""Summable metrics against scikit-learn and NumPy."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxdl import metrics

BINS = 1000


def scored(seed: int, size: int = 400, slant: float = 2.0):
    """Scores that know a little of the target."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, size)
    scores = 1 / (1 + np.exp(-rng.normal(slant * (target - 0.5), 1.0)))
    return jnp.asarray(scores, jnp.float32), jnp.asarray(target)


def calibration_error(scores, target, groups: int = 15) -> float:
    """Guo et al.'s equation, group by group."""
    edges = np.minimum((scores * groups).astype(int), groups - 1)
    gaps = [
        np.mean(edges == g) * abs(scores[edges == g].mean() - target[edges == g].mean())
        for g in set(edges)
    ]
    return float(sum(gaps))


def test_mean_of_any_shape():
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    assert metrics.Mean.of(jnp.asarray(x)).value() == pytest.approx(x.mean(), rel=1e-5)


def test_the_root_of_a_mean_is_that_of_the_sums():
    parts = [metrics.RootMean.of(jnp.asarray(x)) for x in ([1.0, 4.0], [4.0])]
    assert metrics.merge({"": parts[0]}, {"": parts[1]})[""].value() == pytest.approx(3**0.5)


def test_mean_of_what_the_mask_keeps():
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    mask = x > 0.2
    mean = metrics.Mean.of(jnp.asarray(np.where(mask, x, np.nan)), jnp.asarray(mask))
    assert mean.value() == pytest.approx(np.ma.masked_array(x, ~mask).mean(), rel=1e-6)
    assert float(mean.count) == mask.sum()
    gradient = jax.grad(lambda x: metrics.Mean.of(x, jnp.asarray(mask)).total)(jnp.asarray(x))
    np.testing.assert_array_equal(gradient, mask.astype(np.float32))


@pytest.mark.parametrize("mean", [metrics.Mean(0.0, 0.0), metrics.Mean.of(np.zeros((0, 3)))])
def test_mean_of_nothing_is_no_number(mean):
    assert np.isnan(mean.value())


def test_a_long_mean_is_good_to_single_precision_times_its_steps():
    """A log interval of 300 steps of 131,071 tokens: sums beyond what float32 counts exactly."""
    bound = 300 * 2**-24
    rng = np.random.default_rng(0)
    losses = jnp.asarray(rng.uniform(2, 3, 131_071), jnp.float32)
    right = jnp.asarray(rng.random(131_071) < 0.37)
    step = {"loss": metrics.Mean.of(losses), "accuracy": metrics.Mean.of(right)}
    zeros = jax.tree.map(jnp.zeros_like, step)
    summed = jax.jit(
        lambda zero: jax.lax.scan(lambda m, _: (metrics.merge(m, step), None), zero, length=300)[0]
    )(zeros)
    assert summed["loss"].value() == pytest.approx(np.asarray(losses, np.float64).mean(), rel=bound)
    assert summed["accuracy"].value() == pytest.approx(np.asarray(right).mean(), rel=bound)


def test_the_host_adds_exactly():
    """Evaluations of more examples than float32 counts."""
    large, one = metrics.Mean(np.float32(2**24), np.float32(2**24)), metrics.Mean.of(jnp.ones(1))
    parts = jax.device_get([{"a": large}] + [{"a": one}] * 3)
    assert float(functools.reduce(metrics.merge, parts)["a"].count) == 2**24 + 3
    wide = {"a": metrics.Confusion(np.full((2, 2), 2**31, np.uint32))}
    assert (metrics.merge(metrics.merge(wide, wide), wide)["a"].matrix == 3 * 2.0**31).all()


def test_events_are_counted_exactly_on_the_device():
    """One more pixel on top of 2**24 of them, which float32 cannot tell apart."""
    counted = metrics.Confusion.of(jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32), 2)
    many = metrics.Confusion(jnp.full((2, 2), 2**24, counted.matrix.dtype))
    assert int(jax.jit(metrics.merge)({"a": many}, {"a": counted})["a"].matrix[0, 0]) == 2**24 + 1
    scored = metrics.ScoreHistogram.of(jnp.zeros(1), jnp.ones(1), 4)
    many = jax.tree.map(lambda x: jnp.full_like(x, 2**24), scored)
    assert int(jax.jit(metrics.merge)({"a": many}, {"a": scored})["a"].positive[0]) == 2**24 + 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("absent", [(), (1,), (0, 4)], ids=str)
def test_confusion_agrees_with_scikit_learn(seed, absent):
    rng = np.random.default_rng(seed)
    classes = [c for c in range(5) if c not in absent]
    target = rng.choice(classes, 60)
    guessed = rng.choice(classes[: 3 + seed] if seed else classes, 60)
    predicted = np.where(rng.random(60) < 0.5, target, guessed)
    confusion = metrics.Confusion.of(jnp.asarray(predicted), jnp.asarray(target), 5)
    np.testing.assert_array_equal(
        confusion.matrix, sklearn.metrics.confusion_matrix(target, predicted, labels=range(5))
    )
    assert confusion.value() == pytest.approx(
        {
            "accuracy": sklearn.metrics.accuracy_score(target, predicted),
            "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(target, predicted),
            "f1": sklearn.metrics.f1_score(target, predicted, average="macro"),
        }
    )


def test_confusion_of_a_class_that_is_only_claimed():
    """scikit-learn leaves such a class out of the recalls but counts it in the F1."""
    target, predicted = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    value = metrics.Confusion.of(jnp.asarray(predicted), jnp.asarray(target), 4).value()
    assert value["f1"] == pytest.approx(
        sklearn.metrics.f1_score(target, predicted, average="macro", zero_division=0)
    )
    assert value["balanced_accuracy"] == pytest.approx(0.75)


def test_confusion_of_labels_kept_as_bytes():
    target = np.arange(100, dtype=np.uint8)
    confusion = metrics.Confusion.of(jnp.asarray(target), jnp.asarray(target), 100)
    np.testing.assert_array_equal(confusion.matrix, np.eye(100))


def test_confusion_counts_no_label_outside_the_classes():
    target = jnp.asarray([0, 1, -1, 3, 2, 0, 1])
    predicted = jnp.asarray([0, 2, 2, 1, -1, 3, 1])
    matrix = metrics.Confusion.of(predicted, target, 3).matrix
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 1, 1], [0, 0, 0]])


def test_empty_counts_are_no_numbers():
    assert all(np.isnan(v) for v in metrics.Confusion(np.zeros((3, 3))).value().values())
    empty = metrics.ScoreHistogram(np.zeros(9), np.zeros(9))
    assert all(np.isnan(v) for v in empty.value().values())


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_binned_values_are_exactly_scikit_learns(seed):
    """Scores in the middle of the bins, many of them tied."""
    scores, target = scored(seed)
    scores = (np.floor(np.asarray(scores) * 60) + 0.5) / 60
    value = metrics.ScoreHistogram.of(jnp.asarray(scores), target, bins=60).value()
    assert value == pytest.approx(
        {
            "auroc": sklearn.metrics.roc_auc_score(target, scores),
            "auprc": sklearn.metrics.average_precision_score(target, scores),
            "ece": calibration_error(scores, np.asarray(target)),
        },
        rel=1e-6,
    )


@pytest.mark.parametrize("slant", [0.0, 2.0, 6.0])
def test_scores_agree_to_the_width_of_a_bin(slant):
    scores, target = scored(7, 5000, slant)
    value = metrics.ScoreHistogram.of(scores, target).value()
    auroc = sklearn.metrics.roc_auc_score(target, scores)
    auprc = sklearn.metrics.average_precision_score(target, scores)
    assert value["auroc"] == pytest.approx(auroc, abs=1 / BINS)
    assert value["auprc"] == pytest.approx(auprc, abs=1 / BINS)
    ece = calibration_error(np.asarray(scores), np.asarray(target))
    assert value["ece"] == pytest.approx(ece, abs=1 / BINS)


def test_scores_at_both_ends_and_in_half_precision():
    ends = metrics.ScoreHistogram.of(jnp.array([0.0, 1.0]), jnp.array([0, 1]), bins=10)
    assert (int(ends.negative[0]), int(ends.positive[9])) == (1, 1)
    half = jnp.asarray([0.2236328125], jnp.bfloat16)  # times 1000 in bfloat16 would be 224
    assert int(metrics.ScoreHistogram.of(half, jnp.array([1])).positive[223]) == 1


def measured(scores, target):
    """One metric of each kind."""
    guess = (scores > 0.5).astype(jnp.int32)
    return {
        "mean": metrics.Mean.of(scores),
        "masked": metrics.Mean.of(scores, target),
        "confusion": metrics.Confusion.of(guess, target, 2),
        "scores": metrics.ScoreHistogram.of(scores, target, 50),
    }


def test_uneven_parts_merge_to_the_whole():
    scores, target = scored(3, 257)
    cuts = [0, 100, 101, 256, 257]
    measure = jax.jit(measured)
    parts = [measure(scores[a:b], target[a:b]) for a, b in itertools.pairwise(cuts)]
    whole = metrics.values(measured(scores, target))
    for some in (parts, jax.device_get(parts)):
        merged = functools.reduce(metrics.merge, some)
        assert metrics.values(merged) == pytest.approx(whole, rel=1e-6)


def test_vmap_measures_each_batch_by_itself():
    pairs = [scored(seed, 40) for seed in range(3)]
    scores, targets = (jnp.stack(x) for x in zip(*pairs, strict=True))
    together = jax.jit(jax.vmap(measured))(scores, targets)
    for i, pair in enumerate(pairs):
        alone = metrics.values(measured(*pair))
        taken = metrics.values(jax.tree.map(lambda x, i=i: x[i], together))
        assert taken == pytest.approx(alone, rel=1e-6)


def test_collected_arrays_are_concatenated():
    def finish(arrays):
        return {"r2": sklearn.metrics.r2_score(arrays["true"], arrays["guess"])}

    rng = np.random.default_rng(0)
    true = rng.normal(size=23)
    guess = true + rng.normal(size=23) / 3

    @jax.jit
    def evaluate(true, guess):
        return {"fit": metrics.Collected({"true": true, "guess": guess}, finish)}

    pieces = (slice(0, 10), slice(10, 23))
    parts = [evaluate(jnp.asarray(true[piece]), jnp.asarray(guess[piece])) for piece in pieces]
    merged = metrics.merge(*jax.device_get(parts))
    expected = sklearn.metrics.r2_score(true.astype(np.float32), guess.astype(np.float32))
    assert metrics.values(merged) == pytest.approx({"fit/r2": expected}, rel=1e-5)


def test_names_of_values():
    named = metrics.values(measured(*scored(0)))
    assert list(named) == [
        "mean",
        "masked",
        "confusion/accuracy",
        "confusion/balanced_accuracy",
        "confusion/f1",
        "scores/auroc",
        "scores/auprc",
        "scores/ece",
    ]
    assert all(type(value) is float for value in named.values())


@pytest.mark.parametrize("groups", [1, 3])
def test_determination_is_scikit_learns_mean_over_groups(groups):
    random = np.random.default_rng(0)
    target, noise = random.normal(2, 3, (2, 40, 2))
    outputs, group = target + noise, np.arange(40) % groups
    halves = [
        metrics.Determination.of(outputs[half], target[half], jnp.asarray(group[half]), groups)
        for half in (slice(0, 13), slice(13, 40))
    ]
    found = metrics.merge(*({"r2": half} for half in halves))["r2"].value()
    each = [sklearn.metrics.r2_score(target[group == g], outputs[group == g]) for g in set(group)]
    assert found == pytest.approx(np.mean(each), rel=1e-5)
    constant = metrics.Determination.of(np.ones((4, 1)), np.ones((4, 1)))
    assert np.isnan(constant.value())
