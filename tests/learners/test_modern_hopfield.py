"""The modern Hopfield network against softmax attention and its paper's promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, metrics
from jaxdl.data import patterns
from jaxdl.learners import modern_hopfield

KEY = jax.random.key(0)


def filled(memories, places, beta=1.0, size=None, **options):
    """A memory that has stored all patterns, so many at a time."""
    learner = modern_hopfield.memory(places, beta, **options)
    step, inputs = jax.jit(learner.step), memories.stored["input"]
    state = learner.init(KEY, memories.stored)
    for part in np.split(inputs, len(inputs) // (size or len(inputs))):
        state, _ = step(state, {"input": part}, KEY)
    return learner, state


def test_a_hundred_thousand_patterns_are_told_apart():
    memories = patterns.spherical(100_000, 64, probes=200, noise=0.5)
    learner, state = filled(memories, 100_000, size=50_000)
    measured = metrics.values(jax.jit(learner.evaluate)(state, memories.probes, KEY))
    assert measured["recovered"] >= 0.99
    assert measured["error"] < 0.01 and measured["attention"] > 0.99


@pytest.mark.parametrize("size", [1, 2, 7])
def test_the_oldest_make_way_however_many_come_at_once(size):
    learner = modern_hopfield.memory(3)
    rows = np.arange(28, dtype=np.float32).reshape(14, 2)
    step, state = jax.jit(learner.step), learner.init(KEY, {"input": rows})
    for part in np.split(rows, 14 // size):
        state, measured = step(state, {"input": part}, KEY)
    assert int(state.stored) == 14 and measured["stored"].value() == 3
    places = np.arange(11, 14) % 3  # of the last three
    np.testing.assert_array_equal(np.asarray(state.patterns)[places], rows[11:])


def test_an_update_is_softmax_attention():
    memories = patterns.spherical(40, 16, probes=10, noise=1.0)
    learner, state = filled(memories, 40, beta=0.3)
    q, x = memories.probes["input"][None, :, None], memories.stored["input"][None, :, None]
    attended = jax.nn.dot_product_attention(
        jnp.asarray(q), jnp.asarray(x), jnp.asarray(x), scale=0.3
    )
    found = learner.predict(state, memories.probes)
    np.testing.assert_allclose(found, attended[0, :, 0], atol=1e-6)


def test_energy_never_rises_and_is_the_papers():
    """Equation 2 of the paper in NumPy, before and after each of three updates."""
    memories = patterns.spherical(40, 16, probes=10, noise=1.0)
    x, q = (part["input"].astype(np.float64) for part in (memories.stored, memories.probes))
    for beta in (0.1, 0.3, 1.0):
        energies = []
        for updates in (1, 2, 3):
            learner, state = filled(memories, 40, beta, updates=updates)
            found = np.asarray(learner.predict(state, memories.probes), np.float64)
            sums = np.log(np.exp(beta * found @ x.T).sum(1)) / beta
            wanted = -sums + (found**2).sum(1) / 2 + np.log(40) / beta + 16 / 2
            ours = np.asarray(modern_hopfield.energy(state, jnp.asarray(found, jnp.float32), beta))
            np.testing.assert_allclose(ours, wanted, atol=1e-4)
            energies.append(wanted)
        start = np.asarray(modern_hopfield.energy(state, jnp.asarray(q, jnp.float32), beta))
        assert (np.diff([start, *energies], axis=0) <= 1e-5).all()


def test_an_empty_place_is_not_recalled():
    memories = patterns.spherical(6, 4, probes=6)
    learner, state = filled(memories, 9, beta=0.1)
    weights = modern_hopfield.attention(state, jnp.asarray(memories.probes["input"]), 0.1)
    assert not np.asarray(weights[:, 6:]).any()
    _, full = filled(memories, 6, beta=0.1)
    found, wanted = (learner.predict(s, memories.probes) for s in (state, full))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_full_memory_forgets_the_oldest():
    memories = patterns.spherical(12, 4, probes=1)
    _, state = filled(memories, 8, size=4)
    inputs = memories.stored["input"]
    np.testing.assert_array_equal(state.patterns, np.concatenate([inputs[8:], inputs[4:8]]))


def test_probes_have_the_noise_asked_for():
    memories = patterns.spherical(500, 64, probes=400, noise=0.5)
    probes = memories.probes
    assert np.std(probes["input"] - probes["target"]) == pytest.approx(0.5, rel=0.02)
    np.testing.assert_allclose(np.linalg.norm(memories.stored["input"], axis=1), 8, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: modern_hopfield.memory(0), "A memory's places must be at least 1, got 0."),
        (
            lambda: modern_hopfield.memory(3, updates=0),
            "A memory's updates must be at least 1, got 0.",
        ),
        (lambda: modern_hopfield.memory(3, 0.0), "A memory's beta must be positive, got 0.0."),
        (lambda: patterns.spherical(3, 2, 4), "probes must be in 1..3, the patterns, got 4."),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(errors.InputError) as caught:
        make()
    assert str(caught.value) == message
