"""Proximal policy optimisation keeps CartPole's pole upright.

Data: none; it makes its own experience. The environment is Gymnasium's CartPole-v1 to 1e-6.
Cost: 3 s on two CPU cores, compiling aside. Scores: test/return, the mean of 100 episodes of the
likeliest actions, comes to 500, the most there is, within 149,504 steps of the environment in 24 of
24 seeds; at the last of them it is there in 23.

    python -m jaxdl.launch cartpole_ppo --learning-rate 1e-3
"""

import numpy as np
import optax

from jaxdl.data import batches
from jaxdl.envs import cartpole
from jaxdl.learners import on_policy
from jaxdl.models import actor_critic
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 64,
    learning_rate: float = 2.5e-3,
    discount: float = 0.99,
    trace: float = 0.95,
    entropy: float = 0.0,
    clip_ratio: float = 0.2,
    environments: int = 16,
    length: int = 64,
    epochs: int = 4,
    minibatches: int = 4,
    steps: int = 146,
) -> Run:
    """Each step acts for environments × length steps and goes over them `epochs` times."""
    environment = cartpole.make()
    rate = optax.linear_schedule(learning_rate, 0.0, steps * epochs * minibatches)
    return Run(
        learner=on_policy.ppo(
            environment,
            actor_critic.ActorCritic(actions=2, features=(width, width)),
            optax.inject_hyperparams(optax.adam)(rate, eps=1e-5),
            environments=environments,
            length=length,
            discount=discount,
            trace=trace,
            entropy=entropy,
            clip_ratio=clip_ratio,
            epochs=epochs,
            minibatches=minibatches,
        ),
        train=None,
        tests={"test": batches.once({"episode": np.arange(100)}, 100)},
        steps=steps,
        rules=on_policy.RULES,
        expect=AtLeast("test/return", 475.0, best=True, share=1.0),
    )
