"""Federated learning against gradient descent on all data, and literal NumPy of the papers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.learners import federated, gradient, private
from jaxdl.losses import classification, regression
from jaxdl.models import mlp

RANDOM = np.random.default_rng(0)
COUNTS = np.array([6, 2, 5, 3], np.int32)
INPUTS = RANDOM.normal(size=(4, 6, 3)).astype(np.float32)
CLASSES = RANDOM.integers(0, 3, (4, 6)).astype(np.int32)
ABSENT = np.arange(6)[None] >= COUNTS[:, None]
INPUTS[ABSENT] = 100.0  # must not matter
BATCH = jax.tree.map(jnp.asarray, {"input": INPUTS, "target": CLASSES, "count": COUNTS})
POOLED = {"input": jnp.asarray(INPUTS[~ABSENT]), "target": jnp.asarray(CLASSES[~ABSENT])}
MODEL = mlp.MLP(features=(4,), classes=3)
LOSS = classification.cross_entropy


def learner(rate=0.3, model=MODEL, **options):
    return federated.averaging(model, LOSS, optax.sgd(rate), **options)


def begun(taught, batch=BATCH):
    return jax.jit(taught.init)(jax.random.key(0), batch)


def rounds(taught, count=1, batch=BATCH):
    """The server's parameters after each round, and the metrics of the last."""
    state, step = begun(taught, batch), jax.jit(taught.step)
    found, measured = [state.params], {}
    for i in range(count):
        state, measured = step(state, batch, jax.random.key(i))
        found.append(state.params)
    return found, metrics.values(measured)


def assert_close(found, wanted, tolerance=1e-6):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=tolerance), found, wanted)


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def test_a_step_on_all_of_a_clients_data_is_gradient_descent_on_everybodys():
    found, measured = rounds(learner(), 5)
    central = gradient.supervised(MODEL, LOSS, optax.sgd(0.3))
    state = jax.jit(central.init)(jax.random.key(0), POOLED)._replace(params=found[0])
    step = jax.jit(central.step)
    for params in found[1:]:
        expected = LOSS(MODEL.apply({"params": state.params}, POOLED["input"]), POOLED)
        state, _ = step(state, POOLED, jax.random.key(0))
        assert_close(params, state.params)
    assert measured["loss"] == pytest.approx(expected["loss"].value(), rel=1e-5)
    assert measured["accuracy"] == pytest.approx(expected["accuracy"].value())


@pytest.mark.parametrize("mu", [0.0, 0.7])
def test_local_steps_are_those_of_the_paper(mu):
    """Three steps of FedAvg or FedProx on least squares, then the mean by sizes, in NumPy."""
    target = RANDOM.normal(size=(4, 6, 1)).astype(np.float32)
    batch = BATCH | {"target": jnp.asarray(target)}
    model, rate = mlp.MLP(features=(), outputs=1), 0.1
    taught = federated.averaging(
        model, regression.squared_error, optax.sgd(rate), epochs=3, proximal=mu
    )
    (before, after), measured = rounds(taught, batch=batch)
    start = np.append(before["output"]["kernel"], before["output"]["bias"]).astype(np.float64)
    updates = []
    for x, y, n in zip(INPUTS, target, COUNTS, strict=True):
        design, w = np.concatenate([x[:n], np.ones((n, 1))], axis=1), start.copy()
        for _ in range(3):
            w -= rate * (2 * design.T @ (design @ w - y[:n, 0]) / n + mu * (w - start))
        updates.append(w - start)
    mean = (COUNTS[:, None] * updates).sum(0) / COUNTS.sum()
    found = np.append(after["output"]["kernel"], after["output"]["bias"])
    np.testing.assert_allclose(found, start + mean, atol=1e-6)
    norms = np.linalg.norm(updates, axis=1)
    assert measured["update_norm"] == pytest.approx(norms.mean(), rel=1e-5)
    drift = np.linalg.norm(updates - mean, axis=1).mean()
    assert measured["drift"] == pytest.approx(drift, rel=1e-4)


def test_the_adaptive_server_is_the_papers():
    """Reddi et al. 2021, algorithm 2, with Adam's corrections of the first rounds."""
    rate, b1, b2, tau = 0.05, 0.9, 0.99, 1e-3
    plain = learner()
    adaptive = learner(server=optax.adam(rate, b1, b2, tau))
    state, step, average = begun(adaptive), jax.jit(adaptive.step), jax.jit(plain.step)
    first, second, params = 0.0, 0.0, flat(state.params).astype(np.float64)
    server = begun(plain)
    for t in range(1, 4):
        averaged, _ = average(server._replace(params=state.params), BATCH, jax.random.key(0))
        delta = flat(averaged.params) - flat(state.params)
        first, second = b1 * first + (1 - b1) * delta, b2 * second + (1 - b2) * delta**2
        params += rate * first / (1 - b1**t) / (np.sqrt(second / (1 - b2**t)) + tau)
        state, _ = step(state, BATCH, jax.random.key(0))
        np.testing.assert_allclose(flat(state.params), params, atol=2e-5)


def test_an_epoch_has_every_example_once():
    taught = learner(epochs=3, batch_size=4)
    _, found = jax.jit(taught.step)(begun(taught), BATCH, jax.random.key(0))
    assert float(found["loss"].count) == 3 * COUNTS.sum()
    assert found["participants"].value() == 4
    client = federated._Client(MODEL, LOSS, optax.sgd(0.1), 3, 4, 0.0)
    one = jax.tree.map(lambda x: x[2], BATCH)
    order, real, _ = client._plan(one, jax.random.key(1))
    epochs = np.asarray(order).reshape(3, 8), np.asarray(real).reshape(3, 8)
    seen = [row[there] for row, there in zip(*epochs, strict=True)]
    assert [sorted(row) for row in seen] == [list(range(5))] * 3
    assert len({tuple(row) for row in seen}) == 3


def test_the_spread_over_clients_is_of_the_model_they_receive():
    (before, _), measured = rounds(learner(epochs=2))
    losses = []
    for i, n in enumerate(COUNTS):
        own = {"input": BATCH["input"][i, :n], "target": BATCH["target"][i, :n]}
        losses.append(LOSS(MODEL.apply({"params": before}, own["input"]), own)["loss"].value())
    assert measured["clients/loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert measured["clients/loss_deviation"] == pytest.approx(np.std(losses), rel=1e-4)


def test_who_has_dropped_out_does_not_count():
    taught = learner(participation=0.5)
    state, step = begun(taught), jax.jit(taught.step)
    every = jax.jit(learner().step)
    seen = set()
    for i in range(12):
        key = jax.random.key(i)
        after, measured = step(state, BATCH, key)
        answers = np.asarray(jax.random.bernoulli(jax.random.split(key, 3)[0], 0.5, (4,)))
        there = BATCH | {"count": jnp.asarray(COUNTS * answers)}
        expected = every(state, there, key)[0].params if answers.any() else state.params
        assert_close(after.params, expected)
        assert float(measured["participants"].total) == answers.sum()
        seen.add(int(answers.sum()))
    assert len(seen) > 2


def test_a_round_that_nobody_answers_leaves_the_server_as_it_was():
    taught = learner(participation=0.3, server=optax.adam(0.1))
    state, step = begun(taught), jax.jit(taught.step)
    empty = 0
    for i in range(12):
        after, measured = step(state, BATCH, jax.random.key(i))
        if float(measured["participants"].total) == 0:
            empty += 1
            before = state.params, state.optimizer
            jax.tree.map(np.testing.assert_array_equal, (after.params, after.optimizer), before)
        state = after
    assert 0 < empty < 12


def test_private_rounds_clip_every_client_and_add_noise():
    wide = learner(privacy=private.Privacy(1e6, 0.0))
    equal = BATCH | {"count": jnp.full(4, 2, jnp.int32)}
    assert_close(rounds(wide, batch=equal)[0][-1], rounds(learner(), batch=equal)[0][-1])
    tight = learner(privacy=private.Privacy(0.01, 0.0))
    (before, after), measured = rounds(tight)
    assert np.linalg.norm(flat(after) - flat(before)) <= 0.01 and measured["clipped"] == 1
    noisy = learner(privacy=private.Privacy(0.01, 100.0), participation=0.5)
    state, step = begun(noisy), jax.jit(noisy.step)
    moved = [flat(step(state, BATCH, jax.random.key(i))[0].params) for i in range(50)]
    assert np.std(moved, axis=0).mean() == pytest.approx(0.01 * 100 / 2, rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "The epochs of a client must be at least 1, got 0."),
        ({"batch_size": 0}, "The batch size of a client must be at least 1, got 0."),
        ({"proximal": -0.1}, "proximal must not be negative, got -0.1."),
        ({"participation": 1.1}, "participation must lie in (0, 1], got 1.1."),
        ({"privacy": private.Privacy(0.0, 1.0)}, "The clipping norm must be positive, got 0.0."),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(errors.InputError) as caught:
        learner(**options)
    assert str(caught.value) == message


def test_batch_statistics_are_refused():
    taught = learner(model=mlp.MLP(features=(4,), classes=3, norm=nn.BatchNorm))
    with pytest.raises(errors.InputError, match="parameters alone, got batch_stats as well"):
        taught.init(jax.random.key(0), BATCH)
