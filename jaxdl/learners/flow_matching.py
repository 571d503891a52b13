"""Flow matching: a network learns the velocity that carries noise to data along straight lines.

Lipman, Chen, Ben-Hamu, Nickel and Le, "Flow Matching for Generative Modeling" (2022): the
conditional optimal-transport path with σ_min = 0, which is also the rectified flow of Liu, Gong and
Liu, "Flow Straight and Fast" (2022).
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdl import errors, learner
from jaxdl.learners import generation, gradient


def flow(model: Any, optimizer: optax.GradientTransformation, **options: Any) -> learner.Learner:
    """A learner of the velocity data - noise at (1 - time)·noise + time·data.

    options: forget, generate, scores and those of `gradient.minimise`; metrics: see
    `generation.regression`. "loss_3" is nearest to the data.
    """
    return generation.regression(model, straight, optimizer, **options)


def straight(
    data: Float[Array, "b *shape"], key: learner.Key
) -> tuple[Float[Array, "b *shape"], Float[Array, "b"], Float[Array, "b *shape"]]:
    """A random point of the straight line from random noise to each example, its time and velocity
    (Lipman et al., equations 22 and 23).
    """
    time_key, noise_key = jax.random.split(key)
    time = jax.random.uniform(time_key, data.shape[:1])
    noise = jax.random.normal(noise_key, data.shape)
    gone = generation.over(time, data)
    return (1 - gone) * noise + gone * data, time, data - noise


def generator(
    model: Any, *, guidance: generation.Scalar | None = None, steps: int = 50
) -> generation.Generate:
    """Draws samples with a trained model, see `generation.network` and `integrate`."""
    if steps < 1:
        raise errors.InputError(f"steps must be at least 1, got {steps}.")

    def generate(
        variables: gradient.Variables, key: learner.Key, shape: tuple[int, ...], label: Any
    ) -> Any:
        velocity = generation.network(model, variables, label, guidance)
        return integrate(velocity, jax.random.normal(key, shape), steps)

    return generate


def integrate(
    velocity: generation.Network, start: Float[Array, "b *shape"], steps: int = 50
) -> Float[Array, "b *shape"]:
    """From noise `start` at time 0 to data at time 1 by equal steps of Heun's method, each
    of which asks for the velocity twice: its error falls with the square of the step.
    """
    size = 1 / steps

    def step(x: Any, time: Any) -> tuple[Any, None]:
        first = velocity(x, time)
        second = velocity(x + size * first, time + size)
        return x + size / 2 * (first + second), None

    return jax.lax.scan(step, start, jnp.arange(steps) / steps)[0]
