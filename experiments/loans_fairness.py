"""A perceptron learns who was granted a loan, from a past that was unjust, and is to be just.

Data: 20,000 made applications (jaxdl/data/loans.py), half of them for the test: the past asked
more of one group, which the network is not told but can read off a postcode.
Cost: 3 s on a CPU core, compiling aside. Scores: test/groups/parity_difference 0.0145 (3 seeds, sd
0.010), how much more often one group is chosen than the other, at test/accuracy 0.720; see below,
means of 3 seeds. `worthy` is the accuracy against what a just past would have decided.

| mitigation | parity_difference | odds_difference | accuracy | worthy |
|---|---|---|---|---|
| none | 0.366 | 0.347 | 0.763 | 0.654 |
| penalty | 0.015 | 0.137 | 0.720 | 0.654 |
| reweighing | 0.108 | 0.013 | 0.740 | 0.675 |
| none, and a threshold for each group | 0.012 | 0.146 | 0.714 | |

    python -m jaxdl.launch loans_fairness --mitigation reweighing
"""

from typing import Any, Literal

import jax.numpy as jnp
import optax

from jaxdl import learner, metrics
from jaxdl.analysis import fairness as thresholds
from jaxdl.data import batches, loans
from jaxdl.learners import gradient
from jaxdl.losses import classification, fairness
from jaxdl.models import mlp
from jaxdl.run import AtLeast, AtMost, Lowest, Run

UNJUST = 0.763  # the accuracy without mitigation


def experiment(
    mitigation: Literal["none", "penalty", "reweighing"] = "penalty",
    penalty: float = 5.0,
    sharpness: float = 4.0,  # of the chances that the penalty compares
    width: int = 32,
    learning_rate: float = 3e-3,
    batch_size: int = 1000,
    steps: int = 600,
) -> Run:
    """Adam on the cross-entropy, and on what makes groups be chosen equally often."""
    train, test = loans.load()
    loss, penal = classification.cross_entropy, mitigation == "penalty"
    if penal:
        loss = fairness.penalised(loss, penalty, sharpness=sharpness)
    if mitigation == "reweighing":
        train["mask"] = fairness.weights(train["target"], train["group"])
    by_threshold = thresholds.scores(splits=5)

    def scores(logits: Any, batch: learner.Batch) -> learner.Metrics:
        worthy = metrics.Mean.of(jnp.argmax(logits, -1) == batch["worthy"])
        return {
            **fairness.scores(logits, batch),
            **by_threshold(logits, batch),
            "worthy": worthy,
        }

    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    model = mlp.MLP(features=(width,), classes=2)
    return Run(
        learner=gradient.supervised(model, loss, optax.adam(schedule), scores=scores),
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 10_000)},
        steps=steps,
        monitor=Lowest("test/loss"),  # who chooses nobody treats all alike
        expect=(  # of the seeds' means
            *((AtMost("test/groups/parity_difference", 0.03),) if penal else ()),
            AtLeast("test/accuracy", UNJUST - 0.05),
            AtMost("test/thresholds/parity_difference", 0.03),
            AtLeast("test/thresholds/accuracy", UNJUST - 0.05),
        ),
    )
