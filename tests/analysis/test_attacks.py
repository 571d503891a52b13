"""Attacks on linear models, where the worst is known, and on a small trained network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxdl.learner
from jaxdl import errors
from jaxdl.analysis import attack_pictures, attacks

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(6, 2)).astype(np.float32)
CLASSES = RANDOM.normal(size=(6, 5)).astype(np.float32)
X = RANDOM.uniform(-1, 1, (40, 6)).astype(np.float32)
WIDE = {"low": -9.0, "high": 9.0}
ALL = {
    "fgsm": attacks.FGSM,
    "pgd": attacks.PGD._replace(stride=0.2),  # long enough to come round to the other side
    "apgd": attacks.APGD,
    "restarts": attacks.PGD._replace(starts=3, stride=0.2),
}


def linear(x):
    return x @ WEIGHTS


def bent(x):
    """A network with many maxima, so that where an attack begins matters."""
    return jnp.sin(4 * x @ CLASSES[:, :4]) @ CLASSES[:4] + 0.5 * x @ CLASSES


def batch(predict, x=X):
    return {"input": jnp.asarray(x), "target": predict(jnp.asarray(x)).argmax(-1)}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_worst_of_a_linear_model_is_its_closed_form(name, norm):
    """The margin of two classes falls by epsilon times the dual norm of the weights' difference."""
    across = WEIGHTS[:, 0] - WEIGHTS[:, 1]
    fall = 0.3 * (np.abs(across).sum() if norm == "linf" else np.linalg.norm(across))
    given = batch(linear)
    attack = ALL[name]._replace(norm=norm, **WIDE)
    moved = attacks.attacked(linear, None, given, KEY, 0.3, attack)
    sign = np.where(np.asarray(given["target"]) == 0, 1, -1)
    before, after = (sign * np.asarray(x @ across) for x in (given["input"], moved))
    np.testing.assert_allclose(before - after, fall, rtol=2e-3)
    held = attacks.held(linear, None, given, moved)
    np.testing.assert_array_equal(held, before > fall)
    assert 0.1 < held.mean() < 0.9


@pytest.mark.parametrize(
    ("norm", "epsilons"), [("linf", (0.02, 0.05, 0.1)), ("l2", (0.05, 0.1, 0.2))]
)
def test_auto_pgd_is_never_weaker_than_pgd_at_equal_steps(norm, epsilons):
    given = batch(bent)
    fixed, adaptive = (
        attacks.curve(bent, None, given, KEY, epsilons, attack._replace(norm=norm, **WIDE))
        for attack in (attacks.PGD, attacks.APGD)
    )
    assert (adaptive <= fixed).all() and (adaptive > 0).any()
    assert (np.diff(fixed) < 0).all()


def test_more_starts_find_more():
    given = batch(bent)
    few, many = (
        attacks.curve(bent, None, given, KEY, [0.06], attacks.PGD._replace(starts=n, **WIDE))
        for n in (1, 8)
    )
    assert many < few


@pytest.mark.parametrize("loss", ["ce", "dlr"])
def test_a_ratio_does_not_care_for_the_scale_of_logits(loss):
    """Of logits a thousandfold the cross-entropy is 0 in float32, and so is its slope."""
    given = batch(bent)
    attack = attacks.APGD._replace(loss=loss, **WIDE)
    plain = attacks.curve(bent, None, given, KEY, [0.1], attack)
    steep = attacks.curve(lambda x: 1000 * bent(x), None, given, KEY, [0.1], attack)
    assert abs(steep - plain) < 0.06 if loss == "dlr" else steep > plain + 0.2


@pytest.mark.parametrize("attack", [attacks.PGD, attacks.APGD, attacks.APGD_DLR])
def test_towards_a_class(attack):
    """It finds the class that was wanted far more often than an attack that wants none."""
    given = batch(bent)
    wanted = (given["target"] + 2) % 5
    attack = attack._replace(**WIDE)
    shares = [
        attacks.taken_for(
            bent, None, given, attacks.attacked(bent, None, given, KEY, 0.2, attack, aim), wanted
        ).mean()
        for aim in (wanted, None)
    ]
    assert shares[0] > 0.7 and shares[0] > shares[1] + 0.3
    own = attacks.taken_for(bent, None, given, given["input"], given["target"])
    assert not own.any()  # nobody is deceived there


def taught(predict):
    return jaxdl.learner.Learner(
        lambda *_: None, lambda *_: (None, {}), lambda state, batch, key: {}, predict
    )


def test_a_learner_is_examined_under_attack():
    """Its `evaluate` runs in jit, reads the state, and what else is in the batch."""
    learner = taught(
        lambda state, batch: state * bent(batch["input"]) + 0 * batch["other"][:, None]
    )
    given = batch(bent) | {"other": jnp.ones(40)}
    harder = attacks.examined(learner, 0.05, {"pgd": attacks.PGD._replace(**WIDE)})
    found = jax.jit(harder.evaluate)(jnp.float32(1), given, KEY)
    alone = attacks.curve(bent, None, given, KEY, [0.05], attacks.PGD._replace(**WIDE))
    assert found["pgd_accuracy"].value() == pytest.approx(alone[0])
    assert harder.predict is learner.predict
    with pytest.raises(errors.InputError, match=r"corruption must be one of noise, .*, got snow"):
        attacks.examined(learner, 0.05, {}, ("snow",))


def test_corrupted_images_are_judged():
    """A model that asks whether one pixel is light, of a corner that is."""
    images = jnp.asarray(RANDOM.random((30, 6, 6, 1), np.float32)).at[:, :3, :3].set(0.0)
    images = images.at[::2, :3, :3].set(1.0) * 4 - 2  # black is -2 and white 2
    given = {"input": images, "target": jnp.arange(30) % 2}

    def bright(x):
        return jnp.stack([x[:, 1, 1, 0] - 0.8, 0.8 - x[:, 1, 1, 0]], -1)

    found = attacks.corrupted(bright, None, given, KEY, low=-2.0, high=2.0)
    assert list(found) == ["noise", "blur", "shift", "contrast"]
    assert all(shares.shape == (5,) for shares in found.values())
    assert found["blur"].tolist() == [1] * 5
    assert found["noise"][0] == 1 and found["contrast"][4] == 0.5


def test_what_cannot_be_attacked_is_refused():
    given = batch(bent)

    def refused(match, what=bent, given=given, epsilon=0.1, attack=attacks.PGD, wanted=None):
        attack = attack._replace(low=-9.0) if attack.low == 0 else attack
        with pytest.raises(errors.InputError, match=match) as caught:
            attacks.attacked(what, None, given, KEY, epsilon, attack, wanted)
        assert "\n" not in str(caught.value)

    refused("must be on a learner with `predict`, got one without", taught(None))
    refused("epsilon must be at least 0, got -0.1", epsilon=-0.1)
    refused("steps must be at least 1, got 0", attack=attacks.PGD._replace(steps=0))
    refused("starts must be at least 0, got -1", attack=attacks.PGD._replace(starts=-1))
    refused("norm must be linf or l2, got l1", attack=attacks.PGD._replace(norm="l1"))
    refused("method must be pgd or apgd, got cw", attack=attacks.PGD._replace(method="cw"))
    refused(r"floats, got int32\[40, 6\].*tokens", given=given | {"input": jnp.zeros((40, 6), int)})
    refused("floats, got none", given={"target": given["target"]})
    refused("floats, got dict", given=given | {"input": {"a": given["input"]}})
    refused("integer target for each of 40 examples, got none", given={"input": given["input"]})
    refused(r"got float32\[40\]", given=given | {"target": jnp.zeros(40)})
    refused("integer wanted class for each of 40", wanted=np.zeros(3, int))
    refused(r"must lie in \[-0.5, 1\], got -", attack=attacks.PGD._replace(low=-0.5))
    refused("low must be below its high", attack=attacks.PGD._replace(low=2.0))
    refused(r"logits of classes \(b, k\), got float32\[40\]", lambda x: x[:, 0])
    refused("loss dlr must have at least 3 classes, got 2", linear, attack=attacks.APGD_DLR)
    few = jnp.zeros(40, int)
    refused("at least 4 classes", lambda x: x[:, :3], attack=attacks.APGD_DLR, wanted=few)
    with pytest.raises(errors.InputError, match=r"images \(b, h, w, c\), got float32\[40, 6\]"):
        attacks.corrupted(bent, None, given, KEY, low=-9.0)


def test_pictures_show_the_change():
    """Each image, below it the moved one, below that the change, grey where there is none."""
    images = RANDOM.random((3, 4, 5, 1)).astype(np.float32) * 0.5 + 0.25
    given = {"input": jnp.asarray(images), "target": jnp.arange(3) % 2}
    weights = jnp.zeros((20, 2)).at[:10].set(jnp.asarray([1.0, -1.0]))
    learner = taught(lambda state, batch: batch["input"].reshape(-1, 20) @ state)
    shown = attack_pictures.pictures(learner, given, 0.1)(weights, KEY)
    assert shown.pixels.shape == (3 * 5 - 1, 3 * 6 - 1, 1)
    columns = [shown.pixels[:, left : left + 5] for left in (0, 6, 12)]
    plain, moved, drawn = (
        np.stack([column[top : top + 4] for column in columns]) for top in (0, 5, 10)
    )
    np.testing.assert_allclose(plain, images)
    change = moved - images
    np.testing.assert_allclose(np.abs(change[:, :2]), 0.1, atol=1e-6)  # what counts
    np.testing.assert_allclose(drawn, 0.5 + change / 0.2, atol=1e-5)
    with pytest.raises(errors.InputError, match=r"of images \(b, h, w, c\), got float32\[40, 6"):
        attack_pictures.pictures(learner, batch(bent), 0.1, attacks.PGD._replace(**WIDE))


def test_the_chart_falls_where_the_curve_does():
    half = np.array([1.0, 0.5, 0.0], np.float32)
    pixels = attack_pictures.chart([0.0, 0.1, 0.2], {"PGD": half, "none": np.ones(3, np.float32)})
    blue, red = (
        np.argwhere((pixels[30:] == colour).all(-1)) for colour in attack_pictures._COLOURS[:2]
    )
    many = attack_pictures.chart([0.0, 1.0], {str(i): np.full(2, i / 8) for i in range(6)})
    again = np.argwhere((many[30:] == attack_pictures._COLOURS[0]).all(-1))
    assert np.ptp(again[:, 0]) > 100  # the sixth curve has the first one's colour
    assert np.ptp(red[:, 0]) < 8  # a level line with its points
    assert np.corrcoef(blue.T)[0, 1] > 0.99 and np.ptp(blue[:, 0]) > 250
