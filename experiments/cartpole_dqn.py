"""Deep Q-learning keeps CartPole's pole upright.

Data: none; it makes its own experience. The environment is Gymnasium's CartPole-v1 to 1e-6.
Cost: 15 s on a CPU core, compiling aside. Scores: the best evaluation, the mean of
100 episodes, has test/return 499 to 500 in 5 of 5 seeds; the last one may have less (it forgets).

    python -m jaxdl.launch cartpole_dqn --ahead 1
"""

import numpy as np
import optax

from jaxdl.data import batches
from jaxdl.envs import cartpole
from jaxdl.learners import q_learning
from jaxdl.models import dueling
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 128,
    learning_rate: float = 1e-3,
    discount: float = 0.99,
    ahead: int = 3,
    double: bool = True,
    prioritised: bool = False,
    updates: int = 16,
    exploration: float = 12_800.0,
    steps: int = 2464,
) -> Run:
    """Each step acts for 32 steps of the environment, then learns from `updates` batches."""
    return Run(
        learner=q_learning.q_learning(
            cartpole.make(),
            dueling.Dueling(actions=2, features=(width, width)),
            optax.adam(optax.linear_schedule(learning_rate, 0.0, steps * updates)),
            q_learning.Acting(moves=4, exploration=exploration, least=0.04),
            q_learning.Learning(
                updates=updates,
                discount=discount,
                ahead=ahead,
                target_every=8,
                double=double,
                priority=0.6 if prioritised else None,
            ),
        ),
        train=None,
        tests={"test": batches.once({"episode": np.arange(100)}, 100)},
        steps=steps,
        eval_every=max(1, steps // 22),
        expect=AtLeast("test/return", 475.0, best=True, share=0.8),
    )
