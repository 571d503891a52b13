"""Pendulum: a weak motor swings a pole up and holds it there; the action is its torque.

The swing-up of Doya (2000), "Reinforcement learning in continuous time and space", with the numbers
and the steps of Gymnasium's Pendulum-v1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdl.envs import environment

GRAVITY, SECONDS, TORQUE, FASTEST = 10.0, 0.05, 2.0, 8.0  # of a pole of 1 kg and 1 m


class State(NamedTuple):
    """The angle from upright, in radians and never wrapped, and its change in radians a second."""

    angle: Float[Array, ""]
    spin: Float[Array, ""]


def make(limit: int = 200) -> environment.Environment:
    """Observed are the angle's cosine and sine, and the spin; the action is a torque in [-2, 2].

    A step costs angle² + 0.1 spin² + 0.001 torque². There is no end but the limit.
    """
    seen = environment.Box((3,), (-1.0, -1.0, -FASTEST), (1.0, 1.0, FASTEST))
    torque = environment.Box((1,), -TORQUE, TORQUE)
    return environment.Environment(reset, step, observe, seen, torque, limit)


def reset(key: Any) -> State:
    """Any angle, and a spin within 1."""
    angle, spin = jax.random.uniform(key, (2,), minval=-1.0)
    return State(jnp.pi * angle, spin)


def step(
    state: State, action: Float[Array, "1"], key: Any
) -> tuple[State, Float[Array, ""], Bool[Array, ""]]:
    """One semi-implicit Euler step; nothing is drawn."""
    angle, spin = state
    torque = jnp.clip(action[0], -TORQUE, TORQUE)
    lean = (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
    cost = lean**2 + 0.1 * spin**2 + 0.001 * torque**2
    spin = spin + (1.5 * GRAVITY * jnp.sin(angle) + 3 * torque) * SECONDS
    spin = jnp.clip(spin, -FASTEST, FASTEST)
    return State(angle + SECONDS * spin, spin), -cost, jnp.bool_(False)


def observe(state: State) -> Float[Array, "3"]:
    """Cosine, sine and spin."""
    seen = (jnp.cos(state.angle), jnp.sin(state.angle), state.spin)
    return jnp.stack(seen).astype(jnp.float32)
