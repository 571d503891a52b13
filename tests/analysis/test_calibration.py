"""The reliability diagram, read back from its pixels; errors and temperatures against torchmetrics,
PyTorch and scikit-learn.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from sklearn import metrics as judges

from jaxdl import errors, learner
from jaxdl.analysis import calibration, conformal

FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "calibration.npz"


@pytest.fixture(scope="module")
def kept():
    with np.load(FIXTURE) as file:
        return {name: jnp.asarray(file[name], _type(file[name])) for name in file.files}


def _type(array):
    return np.float32 if array.dtype.kind == "f" else np.int32


def test_bars_are_as_high_as_what_was_right():
    confidence = np.array([0.5] * 8 + [0.99] * 24)
    right = np.array([1, 0] * 4 + [1] * 18 + [0] * 6)
    pixels = calibration.diagram(confidence, right)
    assert pixels.shape == (300, 240, 3)
    bars = (pixels[:240] == calibration._BAR).all(-1)

    def height(i):  # past the column of the diagonal
        return bars[:, 16 * i + 2].sum()

    assert abs(height(7) - 120) <= 1 and abs(height(14) - 180) <= 1
    assert sum(height(i) > 1 for i in range(15)) == 2
    counts = (pixels[241:] == calibration._INK).all(-1).sum(0)
    assert counts[16 * 7 + 2] == round(59 / 4) and counts[16 * 14 + 2] == round(59 * 3 / 4)


def taught(predict):
    return learner.Learner(lambda *_: None, lambda *_: (None, {}), lambda *_: {}, predict)


def test_what_is_no_number_leaves_no_bar():
    examples = {"input": np.ones((3, 4), np.float32), "target": np.zeros(3, int)}
    show = calibration.reliability(taught(lambda state, batch: state * batch["input"]), examples)
    assert not (show(np.float32("nan"), None).pixels == calibration._BAR).all(-1).any()
    assert (show(np.float32(1), None).pixels == calibration._BAR).all(-1).any()
    one = calibration.diagram(np.array([np.nan, 0.5]), np.array([0, 1]))
    np.testing.assert_array_equal(one, calibration.diagram(np.array([0.5]), np.array([1])))


def test_a_learner_that_predicts_nothing_is_refused():
    with pytest.raises(errors.InputError, match="must be of a learner with `predict`"):
        calibration.reliability(taught(None), {})


@pytest.mark.parametrize("bins", [10, 15])
def test_errors_equal_torchmetrics(kept, bins):
    logits, target = kept["logits"], kept["target"]
    found = calibration.expected_error(logits, target, bins)
    np.testing.assert_allclose(found, kept[f"expected/{bins}"], rtol=1e-6)
    chances = jax.nn.softmax(logits)
    made = calibration.binned(chances.max(-1), chances.argmax(-1) == target, bins)
    np.testing.assert_allclose(made.largest_error, kept[f"largest/{bins}"], rtol=1e-5)
    assert (
        made.count.sum() == len(target) and made.right.sum() == (chances.argmax(-1) == target).sum()
    )


def test_errors_of_two_classes_equal_torchmetrics(kept):
    made = calibration.binned(kept["positive"], kept["right"])
    np.testing.assert_allclose(made.expected_error, kept["binary/15"], rtol=1e-6)


def test_certainty_is_of_the_last_bin():
    made = calibration.binned(jnp.ones(4), jnp.array([1, 1, 1, 0]))
    assert made.count[-1] == 4 and made.expected_error == 0.25 == made.largest_error


def test_brier_score_equals_scikit_learn(kept):
    chances = special.softmax(np.float64(kept["logits"]), axis=-1)
    wanted = judges.brier_score_loss(kept["target"], chances, labels=range(5))
    np.testing.assert_allclose(calibration.brier(kept["logits"], kept["target"]), wanted, rtol=1e-5)


def test_logits_of_16_bits_are_judged_by_32(kept):
    logits, target = kept["logits"].astype(jnp.bfloat16), kept["target"]
    for judge in (calibration.brier, calibration.expected_error):
        assert judge(logits, target) == judge(logits.astype(jnp.float32), target)
    for name, values in calibration.halves(logits, target, splits=2).items():
        assert values.dtype == jnp.float32, name


def test_temperature_equals_a_minimiser_of_pytorch(kept):
    logits, target = kept["logits"], kept["target"]
    found = jax.jit(calibration.temperature)(logits, target)
    np.testing.assert_allclose(found, kept["temperature"][0], rtol=1e-5)
    scaled = jnp.stack([logits, 3 * logits, logits / 300])
    many = jax.vmap(calibration.temperature, in_axes=(0, None))(scaled, target)
    np.testing.assert_allclose(many[:2], found * np.array([1, 3]), rtol=1e-4)
    assert many[2] == pytest.approx(0.01, rel=1e-3)  # no colder is looked for


def test_temperature_of_two_classes_is_a_closed_form():
    # Of logits (0, 1) and a share q of ones the optimum is sigmoid(1 / T) = q.
    target = jnp.arange(10, dtype=jnp.int32) % 10 < 8
    logits = jnp.tile(jnp.array([[0.0, 1.0]]), (10, 1))
    found = calibration.temperature(logits, target.astype(jnp.int32))
    np.testing.assert_allclose(1 / found, np.log(0.8 / 0.2), rtol=1e-5)


def test_what_has_no_best_temperature():
    never_wrong = 5 * jnp.eye(3)
    assert calibration.temperature(never_wrong, jnp.arange(3)) == 1
    useless = jnp.array([[0.0, 1.0], [0.0, -1.0]])
    assert calibration.temperature(useless, jnp.array([0, 1])) == pytest.approx(100, rel=1e-3)
    assert np.isnan(calibration.temperature(jnp.full((2, 2), jnp.nan), jnp.array([0, 1])))


def test_halves_put_a_confidence_right(kept):
    logits, target = kept["logits"], kept["target"]
    found = calibration.halves(logits, target, coverage=0.9, splits=60)
    assert all(values.shape == (60,) for values in found.values())
    made = calibration.means(found)
    assert made["ece"] == pytest.approx(float(kept["expected/15"]), abs=0.01)
    assert made["scaled_ece"] < made["ece"] / 2 and made["scaled_ece"] < made["floor_ece"] + 0.01
    assert made["scaled_loss"] < made["loss"] - 0.3 and made["scaled_brier"] < made["brier"]
    assert made["temperature"] == pytest.approx(float(kept["temperature"][0]), rel=0.03)
    score = calibration.scores(coverage=0.9, splits=60)(logits, {"target": target})["calibration"]
    assert score.value() == pytest.approx(made, rel=1e-5)
    again = calibration.scores(coverage=0.9, splits=60)(logits, {"target": target})
    assert jax.tree.structure(again["calibration"]) == jax.tree.structure(score)


def test_halves_of_nothing_are_refused():
    with pytest.raises(errors.InputError, match="at least 2 to be halved, got 1"):
        calibration.halves(jnp.zeros((1, 2)), jnp.zeros(1, int))
    with pytest.raises(errors.InputError, match="splits must be at least 1, got 0"):
        calibration.halves(jnp.zeros((4, 2)), jnp.zeros(4, int), splits=0)
    with pytest.raises(errors.InputError, match="coverage must be between 0 and 1"):
        calibration.scores(coverage=1.0)
    with pytest.raises(errors.InputError, match="method must be one of lac, aps, got raps"):
        conformal.known("raps")
