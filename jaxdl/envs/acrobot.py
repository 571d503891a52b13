"""Acrobot: two hanging links with a motor at the elbow alone swing their tip up above the bar.

Sutton, "Generalization in reinforcement learning: successful examples using sparse coarse coding"
(1996), with the equations of Sutton and Barto's book and the numbers of Gymnasium's Acrobot-v1.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl.envs import environment

GRAVITY, SECONDS = 9.8, 0.2
CENTRE = 0.5  # metres, of a link of 1 m, 1 kg and a moment of inertia of 1 kg m²
FASTEST = (4 * jnp.pi, 9 * jnp.pi)  # radians a second, of each joint


def make(limit: int = 500) -> environment.Environment:
    """Observed are cosine and sine of both angles, and their spins; actions: torque -1, 0 or 1.

    Each step costs 1 until the tip is a link's length above the bar, which ends the episode.
    """
    most = (1.0,) * 4 + FASTEST
    box = environment.Box((6,), tuple(-x for x in most), most)
    return environment.Environment(reset, step, observe, box, environment.Discrete(3), limit)


def reset(key: Any) -> Float[Array, "4"]:
    """Both angles (the second from the first) and both spins within 0.1 of hanging still."""
    return jax.random.uniform(key, (4,), minval=-0.1, maxval=0.1)


def step(
    state: Float[Array, "4"], action: Int[Array, ""], key: Any
) -> tuple[Float[Array, "4"], Float[Array, ""], Bool[Array, ""]]:
    """One step of Runge and Kutta's fourth order; nothing is drawn."""
    torque = action.astype(state.dtype) - 1
    a = _change(state, torque)
    b = _change(state + SECONDS / 2 * a, torque)
    c = _change(state + SECONDS / 2 * b, torque)
    d = _change(state + SECONDS * c, torque)
    one, two, spin, bend = state + SECONDS / 6 * (a + 2 * b + 2 * c + d)
    one, two = ((x + jnp.pi) % (2 * jnp.pi) - jnp.pi for x in (one, two))
    spin, bend = (jnp.clip(x, -most, most) for x, most in zip((spin, bend), FASTEST, strict=True))
    up = -jnp.cos(one) - jnp.cos(one + two) > 1
    return jnp.stack([one, two, spin, bend]), jnp.where(up, 0.0, -1.0), up


def _change(state: Float[Array, "4"], torque: Float[Array, ""]) -> Float[Array, "4"]:
    one, two, spin, bend = state
    sine, cosine = jnp.sin(two), jnp.cos(two)
    d1 = 2 * CENTRE**2 + 1 + 2 * CENTRE * cosine + 2
    d2 = CENTRE**2 + CENTRE * cosine + 1
    phi2 = CENTRE * GRAVITY * jnp.sin(one + two)
    phi1 = (CENTRE + 1) * GRAVITY * jnp.sin(one) + phi2
    phi1 = phi1 - CENTRE * sine * (bend**2 + 2 * bend * spin)
    bent = torque + d2 / d1 * phi1 - CENTRE * spin**2 * sine - phi2
    bent = bent / (CENTRE**2 + 1 - d2**2 / d1)
    return jnp.stack([spin, bend, -(d2 * bent + phi1) / d1, bent])


def observe(state: Float[Array, "4"]) -> Float[Array, "6"]:
    """Cosine and sine of both angles, and both spins."""
    one, two, spin, bend = state
    seen = (jnp.cos(one), jnp.sin(one), jnp.cos(two), jnp.sin(two), spin, bend)
    return jnp.stack(seen).astype(jnp.float32)
