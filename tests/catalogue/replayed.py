"""Learning from replayed experience: deep Q-learning and soft actor-critic."""

from typing import Any

import jax.numpy as jnp
import optax

import catalogue
from jaxdl import learner
from jaxdl.envs import cartpole, pendulum
from jaxdl.learners import q_learning, soft_actor_critic
from jaxdl.models import dueling
from jaxdl.models import soft_actor_critic as models


def _q_learning(**options: Any) -> learner.Learner:
    return q_learning.q_learning(
        cartpole.make(limit=8),
        dueling.Dueling(actions=2, features=(8,)),
        optax.sgd(1e-2),
        q_learning.Acting(environments=2, moves=4, warmup=8, capacity=32),
        q_learning.Learning(updates=2, batch_size=4, **options),
    )


def _soft_actor_critic() -> learner.Learner:
    return soft_actor_critic.soft_actor_critic(
        pendulum.make(limit=4),
        models.Actor(actions=1, features=(8,)),
        models.Critics(features=(8,)),
        optax.sgd(1e-3),
        soft_actor_critic.Settings(
            environments=2, moves=4, warmup=8, capacity=32, updates=2, batch_size=4
        ),
    )


def _examined(numbers: int) -> Any:
    return {"observation": jnp.zeros((3, numbers)), "episode": jnp.arange(3)}


LEARNERS = {
    "q learning": catalogue.Case(_q_learning, test=lambda: _examined(4)),
    "q learning prioritised": catalogue.Case(
        lambda: _q_learning(priority=0.6, ahead=2, double=False), test=lambda: _examined(4)
    ),
    "soft actor-critic": catalogue.Case(_soft_actor_critic, test=lambda: _examined(3)),
}

SMALL = {
    "cartpole_dqn": {"width": 8, "updates": 2},
    "pendulum_sac": {"width": 8, "updates": 2, "batch_size": 8},
}
