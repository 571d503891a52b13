"""Semi-supervised classification: FixMatch.

Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence"
(2020). What the model says with confidence of a weakly changed image is the label of the same
image strongly changed. Labels that a model gives without the two views (Lee, "Pseudo-label", 2013)
confirm its errors instead.

Logged in training:
loss: cross-entropy of the labelled images in nats, and weight times that of the unlabelled ones.
accuracy: on the weakly changed labelled images.
unlabelled_loss: cross-entropy of the pseudo-labels; 0 for images without one.
confident: the part of the unlabelled images that got a pseudo-label.
An evaluation gives cross-entropy and accuracy.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdl import learner, metrics
from jaxdl.learners import gradient, views
from jaxdl.losses import classification
from jaxdl.nn import limits


def fixmatch(
    model: Any,
    optimizer: optax.GradientTransformation,
    *,
    weak: views.Augment,
    strong: views.Augment,
    weight: gradient.Scalar = 1.0,
    threshold: gradient.Scalar = 0.95,
    **options: Any,
) -> learner.Learner:
    """A learner of classes from few labelled images and many without a label.

    model: gives logits of classes. A batch in training holds "input" and "target" of the labelled
        images and as many "unlabelled" ones.
    weak: the change of the labelled images, and of those that pseudo-labels are taken from.
    strong: the change of those that pseudo-labels are learnt on.
    weight: of the loss of the unlabelled images; 0 is supervised learning with the weak change.
    threshold: the probability from which on a prediction is a pseudo-label, in [0, 1].
    options: those of `gradient.minimise`.
    """
    limits.share("threshold", threshold)

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        return gradient.initial(model, key, batch["input"], train=False)

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        keys = jax.random.split(key, 4)
        labelled, unlabelled = batch["input"], batch["unlabelled"]
        changed = [weak(labelled, keys[0]), weak(unlabelled, keys[1]), strong(unlabelled, keys[2])]
        logits, after = gradient.applied(
            model, variables, keys[3], jnp.concatenate(changed), train=True
        )
        known, guide, guided = jnp.split(logits, [len(labelled), len(labelled) + len(unlabelled)])
        measured = classification.cross_entropy(known, batch)
        losses, confident = consistency(guide, guided, threshold)
        supervised, extra = measured["loss"], metrics.Mean.of(losses)
        share = supervised.count / extra.count
        return measured | {
            "loss": metrics.Mean(supervised.total + weight * share * extra.total, supervised.count),
            "unlabelled_loss": extra,
            "confident": metrics.Mean.of(confident),
        }, after

    def evaluate(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> learner.Metrics:
        return classification.cross_entropy(predict(variables, batch), batch)

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Any:
        return model.apply(variables, batch["input"], train=False)

    return gradient.minimise(
        begin, objective, optimizer, evaluate=evaluate, predict=predict, **options
    )


def consistency(
    weak: Float[Array, "b k"], strong: Float[Array, "b k"], threshold: gradient.Scalar
) -> tuple[Float[Array, "b"], Float[Array, "b"]]:
    """Cross-entropy of the strong views' logits against the weak views' likeliest class, and which.

    The second is 1 where the weak views' largest probability reaches the threshold; elsewhere
    the loss is 0 (equation 4). No gradient reaches the weak views.
    """
    probability = jax.lax.stop_gradient(jax.nn.softmax(weak))
    confident = (probability.max(-1) >= threshold).astype(jnp.float32)
    losses = optax.softmax_cross_entropy_with_integer_labels(strong, probability.argmax(-1))
    return confident * losses, confident
