"""Learning from a teacher, against the paper's equations and SciPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs
from scipy import special, stats

from jaxdl import errors, metrics
from jaxdl.learners import distillation, gradient
from jaxdl.losses import classification
from jaxdl.models import mlp

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
LOGITS, TAUGHT = (jnp.asarray(RANDOM.normal(size=(6, 4)), jnp.float32) for _ in range(2))
BATCH = {
    "input": jnp.asarray(RANDOM.random((6, 3)), jnp.float32),
    "target": jnp.asarray([0, 1, 2, 3, 0, 1]),
    "teacher": TAUGHT,
}


def learner_of(width, loss, **options):
    return gradient.supervised(
        mlp.MLP(features=(width,), classes=4), loss, optax.sgd(0.1), **options
    )


def pair(teacher_steps, **given):
    """A teacher of its own, and a student."""
    teacher = learner_of(8, classification.cross_entropy)
    student = learner_of(5, distillation.soft_targets())
    return teacher, student, distillation.distilled(teacher, student, teacher_steps, **given)


@pytest.mark.parametrize(("temperature", "hard"), [(1.0, 0.0), (4.0, 0.3), (2.0, 1.0)])
def test_the_loss_is_scipys(temperature, hard):
    found = distillation.soft_targets(temperature, hard)(LOGITS, BATCH)["loss"].value()
    soft = [special.softmax(np.asarray(x, np.float64) / temperature, -1) for x in (TAUGHT, LOGITS)]
    apart = stats.entropy(soft[0], soft[1], axis=-1).mean()
    target = np.asarray(BATCH["target"])
    by_label = -special.log_softmax(np.asarray(LOGITS, np.float64), -1)[np.arange(6), target].mean()
    assert found == pytest.approx((1 - hard) * temperature**2 * apart + hard * by_label, rel=1e-5)


def test_when_hot_the_gradient_matches_logits():
    """The paper's equation 4: (student - teacher) / classes, both centred."""
    loss = distillation.soft_targets(1e3, 0.0)
    slope = jax.grad(lambda z: loss(z, BATCH)["loss"].total)(LOGITS)
    centred = [x - x.mean(-1, keepdims=True) for x in (LOGITS, TAUGHT)]
    np.testing.assert_allclose(slope, (centred[0] - centred[1]) / 4, atol=3e-3)


def test_examples_that_do_not_count_have_no_gradient():
    loss = distillation.soft_targets(2.0, 0.5, lambda batch: batch["target"] != 1)
    slope = jax.grad(lambda z: loss(z, BATCH)["loss"].total)(LOGITS)
    assert (np.abs(slope).sum(-1) > 0).tolist() == [True, False, True, True, True, False]
    assert loss(LOGITS, BATCH)["loss"].count == 4


def test_the_teacher_learns_first_and_then_stays():
    teacher, _, both = pair(2)
    batch = {name: BATCH[name] for name in ("input", "target")}
    states = [both.init(KEY, batch)]
    for i in range(4):
        states.append(jax.jit(both.step)(states[-1], batch, jax.random.fold_in(KEY, i))[0])
    bits = [(runs.bits(s.teacher), runs.bits(s.student)) for s in states]
    moved = [[a != b for a, b in zip(*two, strict=True)] for two in itertools.pairwise(bits)]
    assert moved == [[True, False], [True, False], [False, True], [False, True]]
    measured = both.evaluate(states[-1], batch, KEY)
    alone = teacher.evaluate(states[-1].teacher, batch, KEY)
    assert metrics.values(measured)["teacher_loss"] == alone["loss"].value()


def test_a_teacher_that_has_learned_already():
    teacher, _, _ = pair(0)
    known = teacher.init(jax.random.key(7), BATCH)
    _, student, both = pair(0, known=known)
    state = both.init(KEY, BATCH)
    assert runs.bits(state.teacher) == runs.bits(known)
    batch = {name: BATCH[name] for name in ("input", "target")}
    after, measured = both.step(state, batch, KEY)
    told = batch | {"teacher": teacher.predict(known, batch)}
    wanted, of_student = student.step(state.student, told, KEY)
    for found, expected in zip(
        jax.tree.leaves((after.student, measured["loss"])),
        jax.tree.leaves((wanted, of_student["loss"])),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_refuses():
    teacher, student, _ = pair(1)
    with pytest.raises(errors.InputError, match="must have `predict`"):
        distillation.distilled(teacher._replace(predict=None), student, 1)
    with pytest.raises(errors.InputError, match="teacher_steps must be at least 0, got -1"):
        distillation.distilled(teacher, student, -1)
    with pytest.raises(errors.InputError, match="temperature must be positive, got 0"):
        distillation.soft_targets(0)
    with pytest.raises(errors.InputError, match=r"hard must lie in \[0, 1\], got 2"):
        distillation.soft_targets(1.0, 2)


def test_a_batch_in_which_nothing_counts_is_no_step():
    taught = learner_of(5, distillation.soft_targets(counted=lambda batch: batch["target"] > 3))
    state = jax.jit(taught.init)(KEY, BATCH)
    after, _ = jax.jit(taught.step)(state, BATCH, KEY)
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)
