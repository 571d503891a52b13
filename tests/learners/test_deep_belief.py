"""Deep belief networks: the bound on log p(v) by enumeration, and which part learns when."""

import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from jaxdl import errors, experiment, metrics
from jaxdl.data import bars
from jaxdl.learners import contrastive_divergence, deep_belief, gradient
from jaxdl.losses import classification
from jaxdl.models import dbn, partition, rbm

KEY = jax.random.key(0)
IMAGES = {"input": jnp.asarray(bars.load(3)["input"])}
IMAGES["target"] = jnp.arange(14) % 2
STATES = np.array(list(itertools.product([0.0, 1.0], repeat=9)))


def stacked(hidden=(9, 9), layer_steps=3, rate=0.05, **options):
    return deep_belief.stacked(
        dbn.DBN(9, hidden, 2),
        classification.cross_entropy,
        pretraining=optax.sgd(rate),
        fine_tuning=optax.sgd(0.5),
        layer_steps=layer_steps,
        **options,
    )


def ran(learner, state, steps):
    """The state after some steps, and the metrics of each."""

    def step(state, i):
        return learner.step(state, IMAGES, jax.random.fold_in(KEY, i))

    return jax.jit(lambda state: jax.lax.scan(step, state, jnp.arange(steps)))(state)


def free_energy(params, v):
    p = {name: np.asarray(x, np.float64) for name, x in params.items()}
    field = v @ p["kernel"] + p["hidden_bias"]
    return -v @ p["visible_bias"] - np.logaddexp(0, field).sum(1)


def bound_and_likelihood(lower, upper):
    """The means over the images of the variational bound and of log p(v), by enumeration.

    p(v, h) = p(v | h) P(h), P the upper machine's; the bound is E_Q[log p(v, h) - log Q(h | v)],
    with Q the lower machine's p(h | v) (Hinton et al. 2006, equation 8).
    """
    v = np.asarray(IMAGES["input"], np.float64).reshape(14, 9)
    p = {name: np.asarray(x, np.float64) for name, x in lower.items()}
    prior = -free_energy(upper, STATES)
    prior -= special.logsumexp(prior)
    down = STATES @ p["kernel"].T + p["visible_bias"]
    given = v @ special.log_expit(down).T + (1 - v) @ special.log_expit(-down).T
    joint = given + prior[None]
    up = v @ p["kernel"] + p["hidden_bias"]
    posterior = special.log_expit(up) @ STATES.T + special.log_expit(-up) @ (1 - STATES).T
    bound = (np.exp(posterior) * (joint - posterior)).sum(1)
    return bound.mean(), special.logsumexp(joint, axis=1).mean()


def test_a_transposed_layer_leaves_the_bound_and_training_it_raises_it():
    learner = stacked(layer_steps=1500, rate=0.1, sweeps=5, chains=50)
    first, _ = ran(learner, learner.init(KEY, IMAGES), 1500)
    lower = first.layers[0].params
    v = IMAGES["input"].reshape(14, 9)
    machine = rbm.RBM(9, 9)
    exact = -contrastive_divergence.energy(machine, lower, v).mean() - partition.exact(
        machine, lower
    )
    bound, likelihood = bound_and_likelihood(lower, deep_belief.transposed(lower))
    assert likelihood == pytest.approx(float(exact), abs=1e-4)
    assert bound == pytest.approx(float(exact), abs=1e-4)  # Q is the true posterior
    second, _ = ran(learner, first, 1500)
    raised, better = bound_and_likelihood(lower, second.layers[1].params)
    assert better >= raised > bound + 0.02
    jax.tree.map(np.testing.assert_array_equal, second.layers[0].params, lower)


def test_a_layer_of_the_transposed_shape_begins_as_the_one_below():
    """With a rate of 0 nothing but the beginning changes it."""
    learner = stacked((6, 9), rate=0.0)
    start = learner.init(KEY, IMAGES)
    assert not np.allclose(start.layers[1].params["kernel"], start.layers[0].params["kernel"].T)
    state, _ = ran(learner, start, 4)
    one, two = state.layers[0].params, state.layers[1].params
    np.testing.assert_array_equal(two["kernel"], one["kernel"].T)
    np.testing.assert_array_equal(two["visible_bias"], one["hidden_bias"])
    np.testing.assert_array_equal(two["hidden_bias"], one["visible_bias"])


def test_one_part_learns_at_a_time():
    learner = stacked((6, 4), layer_steps=2, rate=0.5)
    step, state = jax.jit(learner.step), learner.init(KEY, IMAGES)
    for i, part in enumerate([0, 0, 1, 1, 2, 2]):
        after, measured = step(state, IMAGES, jax.random.fold_in(KEY, i))
        assert measured["learning"].value() == part
        befores, afters = ((*s.layers, s.classifier) for s in (state, after))
        moved = [
            not all(jax.tree.leaves(jax.tree.map(np.array_equal, a.params, b.params)))
            for a, b in zip(befores, afters, strict=True)
        ]
        assert moved == [n == part for n in range(3)]
        state = after


def test_the_classifier_begins_as_the_layers_and_then_is_a_gradient_learner():
    learner = stacked((6, 4), layer_steps=2, rate=0.5)
    pretrained, _ = ran(learner, learner.init(KEY, IMAGES), 4)
    alone = gradient.supervised(dbn.DBN(9, (6, 4), 2), classification.cross_entropy, optax.sgd(0.5))
    layers = {f"layer_{i}": layer.params for i, layer in enumerate(pretrained.layers)}
    own = alone.init(KEY, IMAGES)._replace(
        params=layers | {"output": pretrained.classifier.params["output"]}
    )
    state = pretrained
    for i in range(2):
        own, wanted = alone.step(own, IMAGES, KEY)
        state, measured = learner.step(state, IMAGES, jax.random.fold_in(KEY, i))
        assert measured["loss"].value() == pytest.approx(wanted["loss"].value(), rel=1e-6)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6),
        state.classifier.params,
        own.params,
    )
    jax.tree.map(np.testing.assert_array_equal, state.layers, pretrained.layers)
    x = np.asarray(IMAGES["input"]).reshape(14, 9)
    for name in ("layer_0", "layer_1"):
        p = own.params[name]
        x = special.expit(x @ p["kernel"] + p["hidden_bias"][None])
    logits = x @ own.params["output"]["kernel"] + own.params["output"]["bias"][None]
    np.testing.assert_allclose(learner.predict(state, IMAGES), logits, atol=1e-5)


def test_without_layer_steps_the_classifier_alone_learns():
    learner = stacked((6, 4), layer_steps=0)
    start = learner.init(KEY, IMAGES)
    state, measured = ran(learner, start, 2)
    jax.tree.map(np.testing.assert_array_equal, state.layers, start.layers)
    assert (np.asarray(measured["learning"].total) == 2).all()
    measured = metrics.values(learner.evaluate(state, IMAGES, KEY))
    layers = {
        f"layer_{i}/{name}" for i in (0, 1) for name in ("reconstruction_error", "free_energy")
    }
    names = {"loss", "accuracy"} | layers
    assert set(measured) == names


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dbn.DBN(9, (), 2), "DBN's layers must be at least 1, got 0."),
        (lambda: dbn.DBN(9, (3, 0), 2), "DBN's hidden must each be at least 1, got (3, 0)."),
        (lambda: dbn.DBN(9, (3,), 0), "DBN's classes must be at least 1, got 0."),
        (
            lambda: stacked(layer_steps=-1),
            "A deep belief network's layer_steps must be at least 0, got -1.",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(errors.InputError) as caught:
        make()
    assert str(caught.value) == message


def test_however_deep_the_experiment_leaves_the_classifier_its_steps():
    path = pathlib.Path(__file__).parents[2] / "experiments" / "digits_dbn.py"
    made = experiment.File(path).function
    assert [made(depth=depth, width=8).steps for depth in (2, 5)] == [5000, 8000]
    assert made(depth=5, layer_steps=0, steps=7).steps == 7
