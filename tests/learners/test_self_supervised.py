"""Losses of views against NumPy as the papers write them, no gradient of teachers against finite
differences, and their averages against the closed form.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.learners import (
    bootstrap,
    contrastive,
    fixmatch,
    gradient,
    masked_autoencoder,
    self_distillation,
    teacher,
    views,
)
from jaxdl.losses import classification, probe
from jaxdl.models import joint_embedding, mlp
from jaxdl.models import masked_autoencoder as masked_models
from jaxdl.nn import patches

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
BATCH = {"input": jnp.asarray(RANDOM.random((12, 4, 4, 1), np.float32))}


def noisy(images, key):
    return images + 0.3 * jax.random.normal(key, images.shape)


def perceptron(outputs):
    return mlp.MLP(features=(8,), outputs=outputs, norm=nn.BatchNorm, act="tanh")


def byol(optimizer, **options):
    model = joint_embedding.JointEmbedding(perceptron(6), perceptron(4), perceptron(4))
    return bootstrap.byol(model, optimizer, augment=noisy, scores=probe.few_shot(1), **options)


def dino(optimizer, **options):
    head = joint_embedding.Prototypes((8,), 4, 6)
    model = joint_embedding.JointEmbedding(perceptron(5), head)
    options = {"temperature": 0.5, "teacher_temperature": 0.4} | options
    return self_distillation.dino(
        model, optimizer, augment=noisy, scores=probe.few_shot(1), local=(noisy,), **options
    )


LEARNERS = {"byol": byol, "dino": dino}


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_is_the_papers(temperature):
    """Chen et al. (2020), equation 1 and algorithm 1: rows 2k - 1 and 2k are one example's."""
    b = 5
    z = np.random.default_rng(1).standard_normal((2 * b, 7))
    paired = z.reshape(2, b, 7).swapaxes(0, 1).reshape(2 * b, 7)  # the views side by side
    s = np.zeros((2 * b, 2 * b))
    for i in range(2 * b):
        for j in range(2 * b):
            norms = np.linalg.norm(paired[i]) * np.linalg.norm(paired[j])
            s[i, j] = paired[i] @ paired[j] / norms

    def loss(i, j):
        below = sum(np.exp(s[i, k] / temperature) for k in range(2 * b) if k != i)
        return -np.log(np.exp(s[i, j] / temperature) / below)

    expected = sum(loss(2 * k, 2 * k + 1) + loss(2 * k + 1, 2 * k) for k in range(b)) / (2 * b)
    others = [[s[i, k] for k in range(2 * b) if k != i] for i in range(2 * b)]
    hits = [max(others[i]) == s[i, i + 1 if i % 2 == 0 else i - 1] for i in range(2 * b)]
    found = metrics.values(contrastive.nt_xent(jnp.asarray(z, jnp.float32), temperature))
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    assert found["accuracy"] == pytest.approx(np.mean(hits))


def test_nt_xents_gradient_is_finite_for_equal_and_for_zero_rows():
    def total(z):
        return contrastive.nt_xent(z, 0.1)["loss"].total

    for z in (jnp.ones((6, 3)), jnp.zeros((6, 3))):
        assert float(total(z)) == pytest.approx(6 * np.log(5), rel=1e-5)  # chance
        assert np.isfinite(jax.grad(total)(z)).all()


def test_byols_distance_is_the_papers():
    """Grill et al. (2020), equation 2: the squared distance of the normalised vectors."""
    p, z = np.random.default_rng(2).standard_normal((2, 5, 3)).astype(np.float32)
    unit = [x / np.linalg.norm(x, axis=1)[:, None] for x in (p, z)]
    expected = ((unit[0] - unit[1]) ** 2).sum(1)
    np.testing.assert_allclose(
        bootstrap.distance(jnp.asarray(p), jnp.asarray(z)), expected, atol=1e-6
    )


def test_dinos_loss_is_the_papers():
    """Caron et al. (2021), equation 3: over both global views, and all views but the same."""
    random = np.random.default_rng(3)
    logits, target = random.standard_normal((4, 5, 6)), random.dirichlet(np.ones(6), (2, 5))
    student = np.exp(logits) / np.exp(logits).sum(-1)[..., None]
    terms = [
        -(target[t] * np.log(student[v])).sum(-1) for t in range(2) for v in range(4) if v != t
    ]
    found = self_distillation.cross_entropies(
        jnp.asarray(logits.reshape(20, 6), jnp.float32),
        jnp.asarray(target.reshape(10, 6), jnp.float32),
    )
    np.testing.assert_allclose(found, np.mean(terms, 0), rtol=1e-5)


def moved(tree, direction, size):
    return jax.tree.map(lambda x, v: x + size * v, tree, direction)


@pytest.mark.parametrize("name", LEARNERS)
def test_no_gradient_reaches_the_teacher(name):
    """A step of rate 1 is the slope of the loss with the teacher where it is, as differences give
    it; with a teacher that moves along, the slope would be another.
    """
    learner = LEARNERS[name](optax.sgd(1.0))
    state = learner.init(KEY, BATCH)
    # Elsewhere than the teacher, as in training.
    noise = jax.tree.map(lambda x: jax.random.normal(jax.random.key(x.size), x.shape), state.params)
    state = state._replace(params=moved(state.params, noise, 0.3))
    direction = jax.tree.map(
        lambda x: jax.random.normal(jax.random.key(7 + x.size), x.shape), state.params
    )
    step = jax.jit(learner.step)
    after, _ = step(state, BATCH, KEY)
    slopes = jax.tree.map(jnp.subtract, state.params, after.params)
    products = jax.tree.map(lambda g, v: float((g * v).sum()), slopes, direction)
    slope = sum(jax.tree.leaves(products))

    def loss(size, along):
        guide = state.statistics["teacher"]
        if along:
            guide = guide | {"params": moved(guide["params"], direction, size)}
        changed = state._replace(
            params=moved(state.params, direction, size),
            statistics=state.statistics | {"teacher": guide},
        )
        return metrics.values(step(changed, BATCH, KEY)[1])["loss"]

    size = 2e-3
    fixed, along = ((loss(size, a) - loss(-size, a)) / (2 * size) for a in (False, True))
    assert fixed == pytest.approx(slope, rel=2e-2, abs=1e-3)
    assert abs(along - slope) > 0.1 * abs(slope)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_teacher_is_the_average_of_its_students(name):
    """d^n s_0 + (1 - d) Σ d^(n - k) s_k, parameters and batch statistics alike."""
    decay, steps = 0.7, 4
    learner = LEARNERS[name](optax.sgd(0.5), decay=decay)
    state, students = learner.init(KEY, BATCH), []
    for i in range(steps + 1):
        students.append({"params": state.params, "batch_stats": state.statistics["batch_stats"]})
        if i < steps:
            state, _ = jax.jit(learner.step)(state, BATCH, jax.random.fold_in(KEY, i))
    weights = [decay**steps] + [(1 - decay) * decay ** (steps - k) for k in range(1, steps + 1)]
    expected = jax.tree.map(lambda *x: sum(map(np.multiply, weights, x)), *students)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6),
        state.statistics["teacher"],
        expected,
    )
    assert not np.allclose(
        students[0]["params"]["encoder"]["hidden_0"]["kernel"],
        students[-1]["params"]["encoder"]["hidden_0"]["kernel"],
        atol=1e-4,
    )


def test_the_centre_is_the_average_of_the_teachers_logits():
    learner = dino(optax.sgd(0.1), centre_decay=0.75)
    state = learner.init(KEY, BATCH)
    assert not np.any(state.statistics["centre"])
    after, measured = jax.jit(learner.step)(state, BATCH, KEY)
    model = joint_embedding.JointEmbedding(perceptron(5), joint_embedding.Prototypes((8,), 4, 6))
    both = views.two(noisy, BATCH["input"], jax.random.split(KEY, 4)[0])
    guide = state.statistics["teacher"]
    embedded, _ = model.apply(guide, both, train=True, mutable=["batch_stats"])
    logits = np.asarray(embedded.projection)
    assert np.abs(logits).max() <= 1 + 1e-6  # cosines
    np.testing.assert_allclose(after.statistics["centre"], 0.25 * logits.mean(0), atol=1e-6)
    p = np.exp(logits / 0.4) / np.exp(logits / 0.4).sum(1)[:, None]
    found = metrics.values(measured)
    assert found["teacher_entropy"] == pytest.approx(-(p * np.log(p)).sum(1).mean(), rel=1e-4)
    mean = p.mean(0)
    assert found["mean_entropy"] == pytest.approx(-(mean * np.log(mean)).sum(), rel=1e-4)


def test_spread_is_0_of_one_direction_and_1_of_all():
    for key in jax.random.split(KEY, 100):  # rounding must not make any of them NaN
        scales = jnp.arange(1.0, 5)
        assert float(views.spread(jnp.outer(scales, jax.random.normal(key, (16,))))) < 1e-3
    assert float(views.spread(jnp.zeros((4, 3)))) == 0
    both = jnp.concatenate([jnp.eye(3), -jnp.eye(3)])
    assert float(views.spread(both)) == pytest.approx(1)


def test_pseudo_labels_are_taught_where_confident_and_give_no_gradient():
    weak = jnp.log(jnp.array([[0.96, 0.03, 0.01], [0.5, 0.3, 0.2], [0.01, 0.01, 0.98]]))
    strong = jnp.log(jnp.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]]))
    losses, confident = fixmatch.consistency(weak, strong, 0.95)
    np.testing.assert_allclose(losses, [-np.log(0.2), 0, -np.log(0.4)], rtol=1e-5)
    assert confident.tolist() == [1, 0, 1]
    slopes = jax.grad(lambda w, s: fixmatch.consistency(w, s, 0.95)[0].sum(), (0, 1))(weak, strong)
    assert not np.any(slopes[0])
    assert np.any(slopes[1][0]) and not np.any(slopes[1][1])


def test_a_weight_of_0_is_supervised_learning():
    model, rate = mlp.MLP(features=(8,), classes=3), optax.sgd(0.1)
    few = {"target": jnp.arange(12, dtype=jnp.int32) % 3, "unlabelled": 1 - BATCH["input"]}
    learner = fixmatch.fixmatch(
        model, rate, weak=lambda x, key: x, strong=noisy, weight=0.0, threshold=0.0
    )
    plain = gradient.supervised(model, classification.cross_entropy, rate)
    found, expected = (
        x.step(x.init(KEY, BATCH | few), BATCH | few, KEY)[0].params for x in (learner, plain)
    )
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), found, expected)


MODEL = masked_models.MaskedAutoencoder(width=8, depth=1, heads=2, decoder_width=8)


def test_patches_are_squares_in_reading_order():
    x = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    found = patches.cut(jnp.asarray(x), 2)
    expected = [x[:, i : i + 2, j : j + 2].reshape(2, -1) for i in (0, 2) for j in (0, 2, 4)]
    np.testing.assert_array_equal(found, np.stack(expected, 1))
    np.testing.assert_array_equal(patches.join(found, 2, (4, 6, 3)), x)


def test_what_is_hidden_is_not_seen_and_alone_counts():
    kept, unseen = masked_autoencoder.hidden(KEY, BATCH["input"], 2, 0.5)
    assert np.asarray(unseen).sum(1).tolist() == [2] * 12
    assert len({tuple(row) for row in np.asarray(unseen).tolist()}) > 1  # not all alike
    for row, places in zip(np.asarray(unseen), np.asarray(kept), strict=True):
        assert sorted(places) == np.flatnonzero(row == 0).tolist()
    learner = masked_autoencoder.masked(MODEL, optax.sgd(0.1))
    state = learner.init(KEY, BATCH)
    mask = patches.join(jnp.repeat(unseen[..., None], 4, 2), 2, (4, 4, 1))
    other = jnp.where(mask > 0, 9.0, BATCH["input"])
    apply = functools.partial(MODEL.apply, {"params": state.params})
    drawn, other_drawn = (apply(x, kept)[0] for x in (BATCH["input"], other))
    np.testing.assert_array_equal(drawn, other_drawn)
    assert np.any(drawn != apply(BATCH["input"] + 1.0, kept)[0])
    image = np.asarray(patches.join(drawn, 2, (4, 4, 1)))
    expected = ((image - np.asarray(BATCH["input"])) ** 2)[np.asarray(mask) > 0].mean()
    found = metrics.values(learner.evaluate(state, BATCH, KEY))["loss"]
    assert found == pytest.approx(expected, rel=1e-5)
    shown = masked_autoencoder.drawings(MODEL, BATCH["input"])(state, KEY).pixels
    assert shown.shape == (12, 6, 18, 1)


def test_bad_input_is_refused():
    model, rate = joint_embedding.JointEmbedding(perceptron(6), perceptron(4)), optax.sgd(0.1)
    shared = {"augment": noisy, "scores": probe.few_shot()}
    with pytest.raises(errors.InputError, match=r"temperature must be positive, got 0\.0\."):
        contrastive.simclr(model, rate, temperature=0.0, **shared)
    with pytest.raises(errors.InputError, match=r"decay must lie in \[0, 1\], got 1\.5\."):
        bootstrap.byol(model, rate, decay=1.5, **shared)
    with pytest.raises(errors.InputError, match=r"teacher_temperature must be positive, got -1\."):
        self_distillation.dino(model, rate, teacher_temperature=-1, **shared)
    with pytest.raises(errors.InputError, match=r"threshold must lie in \[0, 1\], got 2\."):
        fixmatch.fixmatch(model, rate, weak=noisy, strong=noisy, threshold=2)
    with pytest.raises(errors.InputError, match=r"ratio must lie between 0 and 1, got 1\.0\."):
        masked_autoencoder.masked(MODEL, rate, ratio=1.0)
    with pytest.raises(errors.InputError, match=r"at least one of 4 patches, got 0\.01\."):
        masked_autoencoder.masked(MODEL, rate, ratio=0.01).init(KEY, BATCH)
    with pytest.raises(errors.InputError, match="must divide into patches of 3, got 4 x 4 pixels"):
        patches.cut(BATCH["input"], 3)


def test_the_teacher_keeps_out_of_the_objectives_own_collections():
    variables = teacher.begun({"params": jnp.ones(2)}) | {"centre": jnp.zeros(3)}
    student, guide = teacher.apart(variables)
    assert set(student) == set(guide) == {"params"}
