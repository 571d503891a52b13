"""Learners that act, and their experiments."""

from typing import Any

import jax.numpy as jnp
import optax

import catalogue
from jaxdl.envs import cartpole, pendulum
from jaxdl.learners import on_policy
from jaxdl.models import actor_critic


def _episodes(size: int) -> Any:
    """An evaluation's batch, and a prediction's."""
    return {"episode": jnp.arange(2), "observation": jnp.zeros((2, size))}


def _discrete(kind: Any, **options: Any) -> Any:
    # Short episodes: some end in every step, so that there is a return to tell.
    model = actor_critic.ActorCritic(2, features=(4,))
    return kind(cartpole.make(limit=4), model, optax.sgd(1e-2), **options)


def _continuous(**options: Any) -> Any:
    model = actor_critic.ActorCritic(1, continuous=True, features=(4,))
    return on_policy.ppo(pendulum.make(limit=4), model, optax.sgd(1e-3), **options)


SMALLEST = {"environments": 4, "length": 4}
LEARNERS = {
    "reinforce": catalogue.Case(
        lambda: _discrete(on_policy.reinforce, episodes=4), test=lambda: _episodes(4)
    ),
    "a2c": catalogue.Case(lambda: _discrete(on_policy.a2c, **SMALLEST), test=lambda: _episodes(4)),
    "ppo": catalogue.Case(
        lambda: _discrete(on_policy.ppo, epochs=2, minibatches=2, clip_value=0.2, **SMALLEST),
        test=lambda: _episodes(4),
    ),
    "ppo continuous": catalogue.Case(
        lambda: _continuous(normalize_observations=True, normalize_rewards=True, **SMALLEST),
        test=lambda: _episodes(3),
    ),
}

ROLLOUT = {"environments": 4, "length": 32, "epochs": 1, "minibatches": 2}
SMALL = {
    "cartpole_ppo": {"width": 4, **ROLLOUT},
    "double_pendulum_ppo": {"width": 4, "limit": 10, **ROLLOUT},
    "pendulum_ppo": {"width": 4, **ROLLOUT},
}
