"""A line through twenty points, with all the lines that they allow.

Data: made; the points lie close together and the test is far outside, where slope and intercept
matter apart. The posterior is known: jaxdl/data/line.py.
Cost: 4 s on two CPU cores, compiling aside. Scores: test/loss 0.584 by Langevin dynamics (5 seeds,
sd 0.005); 0.580 by the exact posterior, the least there is. By backprop 0.772 (sd 0.004), where the
best product of Gaussians has 0.769; the single most probable line has 0.919.

    python -m jaxdl.launch line_bayes --method backprop
"""

from typing import Literal

import optax

from jaxdl.data import batches, line
from jaxdl.learners import bayes_by_backprop, langevin
from jaxdl.losses import likelihood
from jaxdl.models import mlp
from jaxdl.run import AtMost, Run


def experiment(
    method: Literal["langevin", "backprop"] = "langevin",
    friction: float = 0.1,
    draws: int = 256,
    learning_rate: float = 5e-3,
    steps: int = 20_000,
) -> Run:
    """friction: of Langevin dynamics; draws: that the test averages."""
    train, test = line.load()
    model, targets = mlp.MLP(features=(), outputs=1), likelihood.gaussian(line.NOISE)
    count = len(train["input"])
    if method == "langevin":
        taught = langevin.supervised(
            model,
            targets,
            learning_rate,
            examples=count,
            prior=line.PRIOR,
            friction=friction,
            keep=draws,
            every=50,
        )
    else:
        taught = bayes_by_backprop.supervised(
            model,
            targets,
            optax.adam(optax.cosine_decay_schedule(learning_rate, steps)),
            examples=count,
            prior=line.PRIOR,
            draws=4,
            test_draws=draws,
        )
    return Run(
        learner=taught,
        train=batches.shuffled(train, count),
        tests={"test": batches.once(test, 4000)},
        steps=steps,
        expect=AtMost("test/loss", 0.6),
    )
