"""CartPole: a cart keeps the pole that stands on it upright, pushed to the left or the right.

Barto, Sutton and Anderson, "Neuronlike adaptive elements that can solve difficult learning control
problems" (1983), with the numbers, the Euler steps and the limits of Gymnasium's CartPole-v1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl.envs import environment

GRAVITY, FORCE, SECONDS = 9.8, 10.0, 0.02
POLE, WHOLE = 0.1, 1.1  # kilograms: the pole's, and with the cart
HALF = 0.5  # metres, of the pole's length
FARTHEST, STEEPEST = 2.4, 12 * 2 * jnp.pi / 360  # metres, radians


class State(NamedTuple):
    """Where the cart is, how the pole leans, and how fast both change; metres and radians."""

    position: Float[Array, ""]
    velocity: Float[Array, ""]
    angle: Float[Array, ""]
    spin: Float[Array, ""]


def make(limit: int = 500) -> environment.Environment:
    """Observed are the four numbers of the state; action 0 pushes to the left, 1 to the right.

    Each step earns 1. The end is a pole that leans more than 12 degrees, or a cart that has left.
    """
    box = environment.Box((4,))
    return environment.Environment(reset, step, observe, box, environment.Discrete(2), limit)


def reset(key: Any) -> State:
    """All four numbers within 0.05 of 0."""
    return State(*jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05))


def step(
    state: State, action: Int[Array, ""], key: Any
) -> tuple[State, Float[Array, ""], Bool[Array, ""]]:
    """Florian's corrected equations (2007), one Euler step; nothing is drawn."""
    position, velocity, angle, spin = state
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    push = (jnp.where(action == 1, FORCE, -FORCE) + POLE * HALF * spin**2 * sine) / WHOLE
    turn = (GRAVITY * sine - cosine * push) / (HALF * (4 / 3 - POLE * cosine**2 / WHOLE))
    drive = push - POLE * HALF * turn * cosine / WHOLE
    state = State(
        position + SECONDS * velocity,
        velocity + SECONDS * drive,
        angle + SECONDS * spin,
        spin + SECONDS * turn,
    )
    fallen = (jnp.abs(state.position) > FARTHEST) | (jnp.abs(state.angle) > STEEPEST)
    return state, jnp.ones_like(position), fallen


def observe(state: State) -> Float[Array, "4"]:
    """The state's four numbers."""
    return jnp.stack(state).astype(jnp.float32)
