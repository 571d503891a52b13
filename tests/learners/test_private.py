"""DP-SGD against Opacus (tests/fixtures/make_private.py), and its noise against closed forms."""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.learners import private
from jaxdl.losses import classification
from jaxdl.models import mlp

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "private.npz")
MODEL = mlp.MLP(features=(7,), classes=3)
BATCH = {name: jnp.asarray(FIXTURE[name]) for name in ("input", "target")}
KEY = jax.random.key(0)


def stored(before):
    return {
        layer: {leaf: FIXTURE[f"{before}/{layer}/{leaf}"] for leaf in ("kernel", "bias")}
        for layer in ("hidden_0", "output")
    }


def learner(clip=1.3, noise=0.0, model=MODEL, **options):
    privacy = private.Privacy(clip, noise)
    loss = classification.cross_entropy
    return private.supervised(model, loss, optax.sgd(0.5), privacy=privacy, **options)


def started(taught):
    return jax.jit(taught.init)(KEY, BATCH)._replace(
        params=jax.tree.map(jnp.asarray, stored("start"))
    )


def assert_close(found, wanted):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), found, wanted)


def test_gradients_of_single_examples_are_opacuss():
    def objective(params, batch, key):
        measured = classification.cross_entropy(
            MODEL.apply({"params": params}, batch["input"]), batch
        )
        return measured["loss"].total, measured

    slopes, measured = private.per_example(objective, stored("start"), BATCH, KEY)
    assert_close(slopes, stored("example"))
    assert float(measured["loss"].count) == 12


def test_a_step_without_noise_is_opacuss():
    taught = learner()
    after, measured = jax.jit(taught.step)(started(taught), BATCH, KEY)
    assert_close(after.params, stored("after"))
    found, norms = metrics.values(measured), FIXTURE["norms"]
    assert found["gradient_norm"] == pytest.approx(norms.mean(), rel=1e-5)
    share = (norms > 1.3).mean()
    assert found["clipped"] == pytest.approx(share) and 0 < share < 1
    assert found["participants"] == 12 and int(after.steps) == 1


def test_the_noise_is_as_large_as_the_accountant_takes_it_for():
    """The sum is clipped to almost nothing, so that what is left of a step is its noise."""
    taught = learner(clip=1e-3, noise=50.0, participation=0.5)
    state, step = started(taught), jax.jit(taught.step)
    moved = []
    for i in range(100):
        after, _ = step(state, BATCH, jax.random.key(i))
        change = jax.tree.map(lambda x, y: (x - y).ravel(), after.params, state.params)
        moved.append(np.concatenate(jax.tree.leaves(change)))
    scale = 0.5 * 50.0 * 1e-3 / (0.5 * 12)  # rate * noise * clip / expected participants
    assert np.std(moved) == pytest.approx(scale, rel=0.05)


def test_each_takes_part_by_its_own_chance():
    taught = learner(participation=0.3)
    state, step = started(taught), jax.jit(taught.step)
    counts = [
        float(step(state, BATCH, jax.random.key(i))[1]["participants"].total) for i in range(200)
    ]
    assert np.mean(counts) == pytest.approx(3.6, abs=0.4)
    assert np.var(counts) == pytest.approx(12 * 0.3 * 0.7, rel=0.3)


def test_bad_options_are_refused():
    with pytest.raises(errors.InputError, match="clipping norm must be positive"):
        learner(clip=0.0)
    with pytest.raises(errors.InputError, match="noise must not be negative"):
        learner(noise=-1.0)
    with pytest.raises(errors.InputError, match=r"participation must lie in \(0, 1\], got 0.0"):
        learner(participation=0.0)
    taught = learner(model=mlp.MLP(features=(7,), classes=3, norm=nn.BatchNorm))
    with pytest.raises(errors.InputError, match="parameters alone, got batch_stats as well"):
        taught.init(KEY, BATCH)
