"""Learning of capsules: by their lengths, and by drawing the input from the capsule of its class.

Sabour, Frosst and Hinton, "Dynamic routing between capsules" (2017), sections 3 and 4.1. Training
draws from the true class's capsule, evaluation from the longest.

What is logged: loss, what is minimised; accuracy, of the longest capsule; error, the mean squared
error of drawn pixels.
"""

import functools
from typing import Any

import optax

from jaxdl import learner
from jaxdl.learners import gradient
from jaxdl.models import capsule


def capsules(
    model: capsule.CapsNet,
    optimizer: optax.GradientTransformation,
    *,
    weight: gradient.Scalar = 0.0005,
    **options: Any,
) -> learner.Learner:
    """A learner of images `batch["input"]` in [0, 1] and integers `batch["target"]`.

    weight: of a drawing's sum of squared errors beside the margin loss.
    options: clip, microbatches, average and freeze, see `gradient.minimise`.
    """
    loss = functools.partial(capsule.loss, weight=weight)

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        return gradient.initial(model, key, batch["input"], train=False)

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        outputs, after = gradient.applied(
            model, variables, key, batch["input"], batch["target"], train=True
        )
        return loss(outputs, batch), after

    def evaluate(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> learner.Metrics:
        return loss(predict(variables, batch), batch)

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Any:
        return model.apply(variables, batch["input"], train=False)

    return gradient.minimise(
        begin, objective, optimizer, evaluate=evaluate, predict=predict, **options
    )
