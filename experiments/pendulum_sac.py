"""Soft actor-critic swings a pendulum up and holds it there.

Data: none; it makes its own experience. The environment is Gymnasium's Pendulum-v1 to 1e-6.
Cost: 20 s on two CPU cores, compiling aside, for 30,000 steps of the environment.
Scores: test/return, a mean over 100 episodes, -144 (3 seeds, sd 3), and -150 from 10,000 steps on;
random actions earn about -1,200.

    python -m jaxdl.launch pendulum_sac --learning-rate 3e-4
"""

import numpy as np
import optax

from jaxdl.data import batches
from jaxdl.envs import pendulum
from jaxdl.learners import soft_actor_critic
from jaxdl.models import soft_actor_critic as models
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 64,
    learning_rate: float = 1e-3,
    discount: float = 0.99,
    rate: float = 0.005,
    batch_size: int = 128,
    updates: int = 64,
    steps: int = 453,
) -> Run:
    """Each step acts for 64 steps of the environment, then learns from `updates` batches."""
    features = (width, width)
    return Run(
        learner=soft_actor_critic.soft_actor_critic(
            pendulum.make(),
            models.Actor(actions=1, features=features),
            models.Critics(features=features),
            optax.adam(learning_rate),
            soft_actor_critic.Settings(
                discount=discount, rate=rate, batch_size=batch_size, updates=updates
            ),
        ),
        train=None,
        tests={"test": batches.once({"episode": np.arange(100)}, 100)},
        steps=steps,
        expect=AtLeast("test/return", -165.0, share=1.0),
    )
