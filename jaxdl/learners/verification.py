"""Learning to tell whether two things are the same, examined on classes never seen.

What is logged: loss, and what else the loss measures. In an evaluation: pairs/eer and pairs/auroc
of all pairs of a batch by their embeddings, and input/eer and input/auroc of the same pairs by the
inputs as they are: the baseline.
"""

from collections.abc import Callable
from typing import Any

import optax

from jaxdl import learner
from jaxdl.learners import gradient
from jaxdl.losses import verification
from jaxdl.models import embedding
from jaxdl.nn import layout

# (outputs, target) -> metrics with a Mean "loss"
Loss = Callable[[embedding.Outputs, Any], learner.Metrics]


def verified(
    model: embedding.Embedding,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    **options: Any,
) -> learner.Learner:
    """A learner of `batch["input"]` and integers `batch["target"]`; a test's may be other classes.

    loss: such as `by_class` or `by_triplets`.
    options: clip, microbatches, average and freeze, see `gradient.minimise`.
    """

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        return gradient.initial(model, key, batch["input"], train=False)

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        outputs, after = gradient.applied(model, variables, key, batch["input"], train=True)
        return loss(outputs, batch["target"]), after

    def evaluate(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> learner.Metrics:
        found = predict(variables, batch)
        return {
            "pairs": verification.pairs(found, batch["target"]),
            "input": verification.pairs(layout.rows(batch["input"]), batch["target"]),
        }

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Any:
        outputs: Any = model.apply(variables, batch["input"], train=False)
        return outputs.embedding

    return gradient.minimise(
        begin, objective, optimizer, evaluate=evaluate, predict=predict, **options
    )


def by_class(scale: gradient.Scalar = 64.0, margin: gradient.Scalar = 0.5) -> Loss:
    """ArcFace: each embedding stands nearer to its class's direction than others by a margin."""
    return lambda outputs, target: verification.arcface(outputs.cosines, target, scale, margin)


def by_triplets(margin: gradient.Scalar = 0.2) -> Loss:
    """Each embedding stands nearer to all of its class in the batch than to any other."""
    return lambda outputs, target: verification.triplet(outputs.embedding, target, margin)
