"""Hopfield networks against NumPy's pseudo-inverse, a transcription of Hopfield's rule, and the
theory of Amit, Gutfreund and Sompolinsky.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, metrics
from jaxdl.data import patterns
from jaxdl.learners import hebbian

KEY = jax.random.key(0)


def stored(rule, batches):
    """The network after it has stored some batches, and the metrics of the last."""
    learner = hebbian.hopfield(rule)
    state, step = learner.init(KEY, {"input": batches[0]}), jax.jit(learner.step)
    measured = {}
    for part in batches:
        state, measured = step(state, {"input": part}, KEY)
    return learner, state, metrics.values(measured)


@pytest.mark.parametrize(
    ("load", "least", "most"), [(0.10, 0.99, 1.0), (0.138, 0.93, 0.99), (0.20, 0.3, 0.65)]
)
def test_recall_breaks_down_where_theory_says(load, least, most):
    """Patterns are stable up to a load of 0.138 and nearly lost beyond it."""
    memories = patterns.binary(int(load * 1000), 1000)
    learner, state, measured = stored("hebb", [memories.stored["input"]])
    probes = {name: values[:100] for name, values in memories.probes.items()}
    found = metrics.values(jax.jit(learner.evaluate)(state, probes, KEY))
    assert measured["load"] == pytest.approx(load)
    assert found["probe_overlap"] == 1
    assert least <= found["overlap"] <= most
    assert (found["recovered"] > 0.8) == (load < 0.15)


def test_units_that_one_update_would_flip_are_as_many_as_theory_says():
    """The crosstalk of many patterns is normal with variance load: P(it exceeds 1)."""
    memories = patterns.binary(200, 1000)
    _, _, measured = stored("hebb", [memories.stored["input"]])
    assert measured["unstable"] == pytest.approx(0.01267, rel=0.1)  # 1 - Phi(1 / sqrt(0.2))


def test_hebbs_weights_are_the_sum_of_outer_products():
    memories = patterns.binary(12, 9).stored["input"]
    _, state, _ = stored("hebb", np.split(memories, 3))
    outer = sum(np.outer(x, x) for x in memories) / 9
    np.testing.assert_allclose(state.weights, outer, atol=1e-6)
    assert int(state.stored) == 12
    assert not np.asarray(hebbian.couplings(state.weights)).diagonal().any()


def test_the_pseudo_inverse_rule_is_numpys_projection():
    memories = patterns.binary(24, 40).stored["input"]
    again = np.concatenate([memories, memories[:6]])  # what is stored twice changes nothing
    _, state, measured = stored("pseudo-inverse", np.split(again, 5))
    np.testing.assert_allclose(state.weights, np.linalg.pinv(memories) @ memories, atol=1e-5)
    assert measured["unstable"] == 0


def test_the_pseudo_inverse_rule_recalls_where_hebbs_cannot():
    memories = patterns.binary(60, 200, flipped=0.05)  # a load of 0.3
    found = {}
    for rule in ("hebb", "pseudo-inverse"):
        learner, state, _ = stored(rule, [memories.stored["input"]])
        found[rule] = metrics.values(jax.jit(learner.evaluate)(state, memories.probes, KEY))
    assert found["hebb"]["overlap"] < 0.65
    assert found["pseudo-inverse"]["overlap"] > 0.99
    assert found["pseudo-inverse"]["probe_overlap"] == pytest.approx(0.9)


@pytest.mark.parametrize("rule", ["hebb", "pseudo-inverse"])
def test_recall_is_hopfields_and_energy_never_rises(rule):
    """Units in turn, in NumPy; the energy after each single update."""
    memories = patterns.binary(8, 30, flipped=0.3)
    learner, state, _ = stored(rule, [memories.stored["input"]])
    wired = np.asarray(state.weights, np.float64)
    np.fill_diagonal(wired, 0)
    states, energies = memories.probes["input"].astype(np.float64), []
    for _ in range(20):
        for i in range(30):
            field = states @ wired[i]
            states[:, i] = np.where(np.abs(field) < 1e-9, states[:, i], np.sign(field))
            energies.append(-0.5 * np.einsum("bi,ij,bj->b", states, wired, states))
    assert (np.diff(energies, axis=0) <= 1e-9).all()
    assert (energies[-1] < energies[0]).all()
    found = learner.predict(state, memories.probes)
    np.testing.assert_array_equal(found, states)
    wired, probes = hebbian.couplings(state.weights), jnp.asarray(memories.probes["input"])
    for sweeps in (1, 2, 20):
        reached = hebbian.energy(wired, hebbian.recall(wired, probes, sweeps))
        np.testing.assert_allclose(reached, energies[30 * sweeps - 1], rtol=1e-5)


def test_a_unit_without_input_stays():
    probes = jnp.array([[1.0, -1.0, 1.0]])
    np.testing.assert_array_equal(hebbian.recall(jnp.zeros((3, 3)), probes, 5), probes)


def test_probes_have_as_many_signs_flipped_as_asked():
    memories = patterns.binary(7, 50, flipped=0.3)
    wrong = memories.probes["input"] != memories.probes["target"]
    assert (wrong.sum(1) == 15).all()
    np.testing.assert_array_equal(memories.probes["target"], memories.stored["input"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hebbian.hopfield("oja"), "A rule must be hebb or pseudo-inverse, got 'oja'."),
        (lambda: hebbian.hopfield(sweeps=0), "Hopfield's sweeps must be at least 1, got 0."),
        (lambda: patterns.binary(0, 5), "The number of patterns must be at least 1, got 0."),
        (lambda: patterns.binary(5, 0), "The width of patterns must be at least 1, got 0."),
        (lambda: patterns.binary(5, 5, 2.0), "flipped must be in [0, 1], got 2.0."),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(errors.InputError) as caught:
        make()
    assert str(caught.value) == message
