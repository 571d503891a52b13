"""Denoising diffusion against diffusers' schedulers and the closed form for a mixture."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import noised_mixture
import numpy as np
import optax
import pytest

from jaxdl import errors
from jaxdl.data import gaussians
from jaxdl.learners import denoising, generation
from jaxdl.models import denoiser

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "denoising.npz")
SCHEDULES = {"linear": denoising.linear(), "cosine": denoising.cosine()}
PREDICTIONS = ("noise", "data", "velocity")
AT = (979, 699, 279, 39, 19)  # as make_denoising.py
KEY = jax.random.key(0)


def level(schedule, step):
    """The levels of one step, or of data without noise for a negative one."""
    if step < 0:
        return denoising.Level(1.0, 0.0)
    return denoising.Level(*(float(part[step]) for part in schedule))


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_and_noising_are_those_of_diffusers(name):
    schedule = SCHEDULES[name]
    stored = {key: FIXTURE[f"{name}/{key}"] for key in ("kept", "data", "noise")}
    np.testing.assert_allclose(schedule.signal**2, stored["kept"], atol=1e-6)
    np.testing.assert_allclose(schedule.signal**2 + schedule.noise**2, 1, atol=1e-12)
    at = denoising.Level(*(jnp.float32(part)[jnp.array(AT), None] for part in schedule))
    found = denoising.noised(at, jnp.asarray(stored["data"]), jnp.asarray(stored["noise"]))
    np.testing.assert_allclose(found, FIXTURE[f"{name}/noised"], atol=1e-6)
    velocity = jnp.asarray(FIXTURE[f"{name}/velocity"])
    data, noise = denoising.estimates(at, found, velocity, "velocity")
    np.testing.assert_allclose(data, stored["data"], atol=1e-6)
    np.testing.assert_allclose(noise[:3], stored["noise"][:3], atol=1e-6)


@pytest.mark.parametrize("limit", [None, 1.0], ids=["free", "limited"])
@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "half"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_steps_are_those_of_diffusers(name, prediction, sampler, limit):
    """DDPM is DDIM with all the noise fresh. Both estimate the data from the network's words."""
    eta = {"ddpm": 1.0, "ddim": 0.0, "half": 0.5}[sampler]
    stored = f"{name}/{prediction}/{sampler}/{int(limit is not None)}"
    x, said, fresh, after = (
        jnp.asarray(FIXTURE[f"{stored}/{key}"]) for key in ("x", "said", "fresh", "after")
    )
    for i, step in enumerate(AT):
        now, before = level(SCHEDULES[name], step), level(SCHEDULES[name], step - 20)
        data, noise = denoising.estimates(now, x[i], said[i], prediction, limit)
        found = denoising.step_back(now, before, data, noise, eta, fresh[i])
        # Close to pure noise the data is a small difference over a small signal.
        scale = max(1, np.abs(after[i]).max())
        np.testing.assert_allclose(found, after[i], atol=1e-6 * scale, err_msg=f"step {step}")


def said(schedule, prediction, grid, x, time):
    """What the exact network of a mixture says: the mean of noise, data or velocity given x."""
    step = jnp.round(time * len(schedule.signal)).astype(jnp.int32)
    signal, noise = (jnp.broadcast_to(jnp.float32(part)[step], len(x)) for part in schedule)
    data = noised_mixture.exact_data(x, signal, noise, grid)
    error = (x - signal[:, None] * data) / noise[:, None]
    velocity = signal[:, None] * error - noise[:, None] * data
    return {"noise": error, "data": data, "velocity": velocity}[prediction]


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_loss_is_least_where_theory_has_it(prediction):
    """The closed-form answer, and only that, is left alone by a step down the gradient."""
    schedule = denoising.cosine(100)

    def pull(schedule_of_answers, grid):
        exact = functools.partial(said, schedule_of_answers, prediction, grid)
        model = noised_mixture.Beside(exact)
        learner = denoising.diffusion(model, schedule, optax.sgd(1.0), prediction=prediction)
        return noised_mixture.pull(learner)

    assert pull(schedule, noised_mixture.WIDE) < 4.5  # of 28 standard normals
    assert pull(denoising.linear(100), noised_mixture.WIDE) > 20
    assert pull(schedule, gaussians.Grid(side=3, spacing=1.0, sigma=0.4)) > 10


@pytest.mark.parametrize(
    ("prediction", "eta", "steps"),
    [("noise", 1.0, 200), ("velocity", 0.0, 100), ("data", 0.0, 100)],
)
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_exact_network_leads_noise_to_the_mixture(name, prediction, eta, steps):
    network = functools.partial(said, SCHEDULES[name], prediction, gaussians.PUBLISHED)
    start = jax.random.normal(KEY, (2500, 2))

    def reverse(start):
        return denoising.reverse(network, SCHEDULES[name], start, KEY, prediction, steps, eta)

    samples = jax.jit(reverse)(start)
    value = gaussians.coverage(samples).value()
    assert value["modes"] == 25
    assert value["inside"] >= 0.998
    assert value["variation"] <= 0.06  # of 2,500 of the mixture's own points about 0.039
    assert 0.6 < value["spread"] < 1  # the last step is the mean of the data, which is narrower


def test_without_fresh_noise_a_gaussian_is_scaled_by_known_factors():
    """Data of one Gaussian: every step of DDIM is a product, and so is the whole way."""
    schedule, sigma = denoising.linear(), 0.3
    grid = gaussians.Grid(side=1, sigma=sigma)
    network = functools.partial(said, schedule, "noise", grid)
    start = jax.random.normal(KEY, (5, 2))
    found = denoising.reverse(network, schedule, start, KEY, steps=10, eta=0.0)
    factor = 1.0
    times = [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]
    for time, then in zip(times, [*times[1:], None], strict=True):
        signal, noise = (part[time] for part in schedule)
        a, b = (1.0, 0.0) if then is None else (part[then] for part in schedule)
        variance = (signal * sigma) ** 2 + noise**2
        factor *= (a * signal * sigma**2 + b * noise) / variance
    np.testing.assert_allclose(found, factor * start, rtol=1e-4)


def test_guidance_goes_from_the_words_without_a_label_past_those_with_it():
    model = denoiser.Denoiser(width=8, depth=1, classes=3)
    x, label = jax.random.normal(KEY, (4, 2, 2)), jnp.array([0, 1, 2, 1])
    variables = jax.tree.map(
        lambda p: p + 0.3 * jax.random.normal(KEY, p.shape), model.init(KEY, x, jnp.zeros(4), label)
    )
    ways = {
        scale: denoising.generator(
            model, denoising.cosine(20), steps=1, prediction="data", guidance=scale
        )
        for scale in (None, 0.0, 1.0, 3.0)
    }
    with_label, without, same, far = (way(variables, KEY, x.shape, label) for way in ways.values())
    unlabelled = ways[None](variables, KEY, x.shape, None)
    np.testing.assert_allclose(without, unlabelled, atol=1e-5)
    np.testing.assert_allclose(same, with_label, atol=1e-5)
    np.testing.assert_allclose(far, without + 3 * (with_label - without), atol=1e-4)
    assert np.abs(with_label - without).max() > 0.01


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: denoising.linear(1), "A schedule must have at least 2 steps, got 1."),
        (
            lambda: denoising.linear(10, first=0.5, last=0.1),
            "first and last must rise within (0, 1), got 0.5, 0.1.",
        ),
        (
            lambda: denoising.generator(None, denoising.cosine(9), steps=10),
            "steps must be from 1 to the schedule's 9, got 10.",
        ),
        (
            lambda: denoising.generator(None, denoising.cosine(9), steps=9, eta=1.5),
            "eta must be in [0, 1], got 1.5.",
        ),
        (
            lambda: denoising.generator(None, denoising.cosine(9), steps=9, limit=-1.0),
            "limit must be positive, got -1.0.",
        ),
        (
            lambda: generation.network(None, {}, None, 2.0),
            "guidance must come with labels, got a label of None.",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(errors.InputError) as caught:
        make()
    assert str(caught.value) == message
