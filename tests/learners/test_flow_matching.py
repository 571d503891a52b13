"""Flow matching against the closed-form velocity of a mixture."""

import functools

import jax
import jax.numpy as jnp
import noised_mixture
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.data import gaussians
from jaxdl.learners import flow_matching, generation

KEY = jax.random.key(0)


def velocity(grid, x, time):
    """The mean of data - noise given x = (1 - time)·noise + time·data, at time < 1.

    With the data's mean m, that of the noise is (x - time·m)/(1 - time).
    """
    time = jnp.minimum(jnp.broadcast_to(time, len(x)), 1 - 1e-4)
    data = noised_mixture.exact_data(x, time, 1 - time, grid)
    return (data - x) / (1 - time)[:, None]


def test_the_loss_is_least_at_the_marginal_velocity():
    def pull(grid):
        model = noised_mixture.Beside(functools.partial(velocity, grid))
        return noised_mixture.pull(flow_matching.flow(model, optax.sgd(1.0)))

    assert pull(noised_mixture.WIDE) < 4.5  # of 28 standard normals
    assert pull(gaussians.Grid(side=3, spacing=1.0, sigma=0.4)) > 10


def test_the_exact_velocity_carries_noise_to_the_mixture():
    network = functools.partial(velocity, gaussians.PUBLISHED)
    start = jax.random.normal(KEY, (2500, 2))
    samples = jax.jit(lambda x: flow_matching.integrate(network, x, 100))(start)
    value = gaussians.coverage(samples).value()
    assert value["modes"] == 25
    assert value["inside"] >= 0.998
    assert value["variation"] <= 0.06  # of 2,500 of the mixture's own points about 0.039
    assert value["spread"] == pytest.approx(1, abs=0.05)


def test_heun_has_the_error_of_its_order():
    """x' = x + time from 1 goes to 2e - 2. Half the step makes a quarter of the error."""

    def error(steps):
        end = flow_matching.integrate(lambda x, time: x + time, jnp.ones((1, 1)), steps)
        return abs(float(end[0, 0]) - (2 * np.e - 2))

    assert error(10) / error(20) == pytest.approx(4, rel=0.1)
    assert error(1) == pytest.approx(abs(1 + (1 + 3) / 2 - (2 * np.e - 2)), rel=1e-5)  # by hand


def test_paths_are_straight():
    data = jax.random.normal(KEY, (1000, 3))
    point, time, target = flow_matching.straight(data, jax.random.key(1))
    np.testing.assert_allclose(point + (1 - time)[:, None] * target, data, atol=1e-5)
    noise = point - time[:, None] * target
    assert float(noise.mean()) == pytest.approx(0, abs=0.1)
    assert float(noise.std()) == pytest.approx(1, abs=0.1)
    assert 0 <= float(time.min()) < 0.01 and 0.99 < float(time.max()) < 1


def test_a_share_of_labels_is_left_out():
    label = jnp.arange(10_000) % 7
    found = generation.forgotten(label, KEY, 0.2)
    assert float((found == -1).mean()) == pytest.approx(0.2, abs=0.02)
    np.testing.assert_array_equal(np.where(found == -1, label, found), label)


def test_an_evaluation_splits_the_loss_and_scores_samples_for_the_labels_of_its_batch():
    model = noised_mixture.Beside(lambda x, time: 0 * x)
    asked = {}

    def generate(variables, key, shape, label):
        asked.update(shape=shape, label=label)
        return jnp.full(shape, 3.0)

    def scores(samples, batch):
        return {"score": metrics.Mean.of(samples.mean(1) * batch["target"])}

    batch = {"input": jax.random.normal(KEY, (400, 2)), "target": jnp.arange(400) % 4}
    learner = flow_matching.flow(model, optax.sgd(1), forget=0.1, generate=generate, scores=scores)
    found = learner.evaluate(learner.init(KEY, batch), batch, jax.random.key(1))
    assert found["score"].value() == 4.5
    assert asked["shape"] == (400, 2)
    np.testing.assert_array_equal(asked["label"], batch["target"])
    quarters = [found[f"loss_{i}"] for i in range(4)]
    assert all(150 < quarter.count < 250 for quarter in quarters)  # 800 numbers in all
    for part in ("total", "count"):
        total = sum(float(getattr(quarter, part)) for quarter in quarters)
        assert total == pytest.approx(float(getattr(found["loss"], part)), rel=1e-5)
    assert found["loss"].value() == pytest.approx(2, rel=0.15)  # the variance of data - noise


def test_what_cannot_be_meant_is_refused():
    def flow(**options):
        return flow_matching.flow(None, optax.sgd(1), **options)

    with pytest.raises(errors.InputError, match=r"forget must be a share of .* \[0, 1\), got 1.0."):
        flow(forget=1.0)
    with pytest.raises(errors.InputError, match="scores must come with generate, got one alone"):
        flow(scores=lambda samples, batch: {})
    with pytest.raises(errors.InputError, match="steps must be at least 1, got 0"):
        flow_matching.generator(None, steps=0)
