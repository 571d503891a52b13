"""Denoising diffusion: data is noised step by step, and a network learns the way back.

Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models" (2020); fewer and deterministic
steps: Song, Meng and Ermon, "Denoising Diffusion Implicit Models" (2020).
"""

import math
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxdl import errors, learner
from jaxdl.learners import generation, gradient
from jaxdl.nn import limits

# What the network says of a noised example x: the noise in it (Ho et al.), the data without it, or
# the velocity signal·noise - noise·data, which is well conditioned at both ends (Salimans and Ho,
# "Progressive Distillation for Fast Sampling of Diffusion Models", 2022).
Prediction = Literal["noise", "data", "velocity"]


class Level(NamedTuple):
    """How much of a noised example is data and how much is noise, signal² + noise² = 1.

    x = signal·data + noise·ε with ε standard normal: signal is the papers' √ᾱ. A schedule is the
    levels of all its steps, two arrays of shape (steps,), from almost data to almost noise.
    """

    signal: Any
    noise: Any


def linear(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Level:
    """The schedule of Ho et al.: the variances β added in each step rise linearly."""
    if not 0 < first <= last < 1:
        raise errors.InputError(f"first and last must rise within (0, 1), got {first}, {last}.")
    return _schedule(np.linspace(first, last, _at_least_two(steps)))


def cosine(steps: int = 1000) -> Level:
    """The schedule of Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models"
    (2021), equation 17: slower at both ends. Their offset is 0.008, and β at most 0.999.

    Its last steps hold next to no signal, by which an estimate from the noise would be divided:
    predict data or velocity with it.
    """
    turn = (np.arange(_at_least_two(steps) + 1) / steps + 0.008) / 1.008
    kept = np.cos(turn * math.pi / 2) ** 2
    return _schedule(np.minimum(1 - kept[1:] / kept[:-1], 0.999))


def noised(
    level: Level, data: Float[Array, "b *shape"], noise: Float[Array, "b *shape"]
) -> Float[Array, "b *shape"]:
    """Data with noise at this level (Ho et al., equation 4)."""
    return level.signal * data + level.noise * noise


def diffusion(
    model: Any,
    schedule: Level,
    optimizer: optax.GradientTransformation,
    *,
    prediction: Prediction = "noise",
    **options: Any,
) -> learner.Learner:
    """A learner of the noise in examples noised at random steps of a schedule.

    prediction: what the network says; the mean square error of that is minimised (Ho et al.,
        equation 14). Time is step / steps.
    options: forget, generate, scores and those of `gradient.minimise`; metrics: see
        `generation.regression`. "loss_0" is of the least noise.
    """
    _check(prediction)
    steps = len(schedule.signal)

    def path(data: Any, key: learner.Key) -> tuple[Any, Any, Any]:
        step_key, noise_key = jax.random.split(key)
        step = jax.random.randint(step_key, data.shape[:1], 0, steps)
        level = Level(*(generation.over(jnp.float32(part)[step], data) for part in schedule))
        noise = jax.random.normal(noise_key, data.shape)
        target = _said(level, data, noise, prediction)
        return noised(level, data, noise), step / steps, target

    return generation.regression(model, path, optimizer, **options)


def generator(
    model: Any,
    schedule: Level,
    *,
    prediction: Prediction = "noise",
    guidance: generation.Scalar | None = None,
    steps: int = 50,
    eta: generation.Scalar = 0.0,
    limit: generation.Scalar | None = None,
) -> generation.Generate:
    """Draws samples with a trained model, see `generation.network` and `reverse`."""
    _check(prediction)
    _check_way(schedule, steps, eta)
    limits.positive("limit", limit)

    def generate(
        variables: gradient.Variables, key: learner.Key, shape: tuple[int, ...], label: Any
    ) -> Any:
        network = generation.network(model, variables, label, guidance)
        start_key, key = jax.random.split(key)
        start = jax.random.normal(start_key, shape)
        return reverse(network, schedule, start, key, prediction, steps, eta, limit)

    return generate


def reverse(
    network: generation.Network,
    schedule: Level,
    start: Float[Array, "b *shape"],
    key: learner.Key,
    prediction: Prediction = "noise",
    steps: int = 50,
    eta: generation.Scalar = 0.0,
    limit: generation.Scalar | None = None,
) -> Float[Array, "b *shape"]:
    """From noise `start` to data, over evenly spaced steps of the schedule.

    steps: how many times the network is asked.
    eta: fresh noise in each step: 0 is DDIM, a function of `start` alone; 1 is DDPM's, a draw from
        the posterior given the estimated data (Song et al., equation 16).
    limit: the estimated data is cut to [-limit, limit].
    """
    times = np.round(np.linspace(len(schedule.signal) - 1, 0, steps)).astype(int)
    levels = Level(*(part[times] for part in schedule))
    after = Level(*(np.append(part[1:], end) for part, end in zip(levels, (1, 0), strict=True)))

    def back(x: Any, now: Any) -> tuple[Any, None]:
        time, level, before, key = now
        data, noise = estimates(level, x, network(x, time), prediction, limit)
        fresh = jax.random.normal(key, x.shape)
        return step_back(level, before, data, noise, eta, fresh), None

    along = jax.tree.map(jnp.float32, (times / len(schedule.signal), levels, after))
    return jax.lax.scan(back, start, (*along, jax.random.split(key, steps)))[0]


def estimates(
    level: Level,
    x: Float[Array, "b *shape"],
    outputs: Float[Array, "b *shape"],
    prediction: Prediction,
    limit: generation.Scalar | None = None,
) -> tuple[Float[Array, "b *shape"], Float[Array, "b *shape"]]:
    """The data and the noise in x by what the network says of it."""
    if prediction == "noise":
        data = (x - level.noise * outputs) / level.signal
    elif prediction == "velocity":
        data = level.signal * x - level.noise * outputs
    else:
        data = outputs
    if limit is not None:
        data = jnp.clip(data, -limit, limit)
    return data, (x - level.signal * data) / level.noise


def step_back(
    level: Level,
    before: Level,
    data: Float[Array, "b *shape"],
    noise: Float[Array, "b *shape"],
    eta: generation.Scalar,
    fresh: Float[Array, "b *shape"],
) -> Float[Array, "b *shape"]:
    """From a level to one with less noise, by the estimated data and noise in it.

    Song et al., equation 12: of the noise that stays, the share eta²·(1 - ᾱ/ᾱ′)/(1 - ᾱ) in variance
    is fresh. At eta 1 this is a draw of the posterior of Ho et al., equations 6 and 7.
    """
    share = eta**2 * (level.noise**2 - before.noise**2) / (before.signal**2 * level.noise**2)
    kept = jnp.sqrt(jnp.maximum(1 - share, 0))  # by rounding, 1 could be passed
    return before.signal * data + before.noise * (kept * noise + jnp.sqrt(share) * fresh)


def _schedule(added: np.ndarray) -> Level:
    kept = np.cumprod(1 - added)
    return Level(np.sqrt(kept), np.sqrt(1 - kept))


def _said(level: Level, data: Any, noise: Any, prediction: Prediction) -> Any:
    if prediction == "velocity":
        return level.signal * noise - level.noise * data
    return noise if prediction == "noise" else data


def _at_least_two(steps: int) -> int:
    if steps < 2:
        raise errors.InputError(f"A schedule must have at least 2 steps, got {steps}.")
    return steps


def _check(prediction: str) -> None:
    if prediction not in get_args(Prediction):
        raise errors.InputError(
            f"prediction must be one of {', '.join(get_args(Prediction))}, got {prediction!r}."
        )


def _check_way(schedule: Level, steps: int, eta: Any) -> None:
    if not 1 <= steps <= len(schedule.signal):
        raise errors.InputError(
            f"steps must be from 1 to the schedule's {len(schedule.signal)}, got {steps}."
        )
    if isinstance(eta, float | int) and not 0 <= eta <= 1:
        raise errors.InputError(f"eta must be in [0, 1], got {eta}.")
