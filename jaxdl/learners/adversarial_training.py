"""Learning from inputs that an adversary has moved, to classify rightly those near an example.

Madry et al., "Towards deep learning models resistant to adversarial attacks" (2018): the loss of
the worst point of a ball around each example. Zhang et al., "Theoretically principled trade-off
between robustness and accuracy" (2019), TRADES: the loss of the example itself, and beta times how
far the prediction moves within the ball.

Metrics of a step: loss; accuracy of the unmoved examples; robust_accuracy, of the moved ones.
Metrics of an evaluation: loss and accuracy of the unmoved examples, robust_accuracy under the
longer attack of the evaluation, which begins at a random point of the ball.
"""

from typing import Any, NamedTuple

import jax
import optax

from jaxdl import errors, learner, metrics
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.nn import perturbation


class Ball(NamedTuple):
    """The inputs an adversary may choose, and how it looks for the worst.

    epsilon: how far each coordinate may be moved, in units of the input. steps, step: of projected
    gradient descent, while training; `examined` steps, each 2.5 epsilon / examined, when evaluated.
    low, high: the range of inputs.
    """

    epsilon: gradient.Scalar
    step: gradient.Scalar
    steps: int = 10
    examined: int = 40
    low: float = 0.0
    high: float = 1.0


def robust(
    model: Any,
    optimizer: optax.GradientTransformation,
    ball: Ball,
    *,
    beta: gradient.Scalar | None = None,
    **options: Any,
) -> learner.Learner:
    """A classifier of `batch["input"]`, floats, that holds in a ball around each example.

    model: called as `model(input, train=...)`, returns logits. beta: the weight of TRADES, 1 to 10;
    None learns from the moved examples alone, as Madry et al. do.
    options: clip, microbatches, average and freeze, see `gradient.minimise`.
    """
    _check(ball, beta)

    def begin(key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        return gradient.initial(model, key, batch["input"], train=False)

    def objective(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        attack_key, clean_key, moved_key = jax.random.split(key, 3)
        fixed = jax.lax.stop_gradient(variables)
        moved = _attacked(model, fixed, batch, attack_key, ball, beta is not None)
        far, after = gradient.applied(model, variables, moved_key, moved, train=True)
        robust_accuracy = classification.cross_entropy(far, batch)["accuracy"]
        if beta is None:
            near = model.apply(fixed, batch["input"], train=False)
            measured = classification.cross_entropy(near, batch)
            measured["loss"] = classification.cross_entropy(far, batch)["loss"]
        else:
            near, after = gradient.applied(
                model, variables | after, clean_key, batch["input"], train=True
            )
            measured = classification.cross_entropy(near, batch)
            apart = metrics.Mean.of(beta * classification.divergence(near, far))
            loss = measured["loss"]
            measured["loss"] = metrics.Mean(loss.total + apart.total, loss.count)
        return measured | {"robust_accuracy": robust_accuracy}, after

    def evaluate(
        variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> learner.Metrics:
        step = 2.5 * ball.epsilon / ball.examined  # as Madry et al.: every corner can be reached
        longer = ball._replace(steps=ball.examined, step=step)
        moved = _attacked(model, variables, batch, key, longer, apart=False)
        measured = classification.cross_entropy(predict(variables, batch), batch)
        far = model.apply(variables, moved, train=False)
        return measured | {"robust_accuracy": classification.cross_entropy(far, batch)["accuracy"]}

    def predict(variables: gradient.Variables, batch: learner.Batch) -> Any:
        return model.apply(variables, batch["input"], train=False)

    return gradient.minimise(
        begin, objective, optimizer, evaluate=evaluate, predict=predict, **options
    )


def _attacked(
    model: Any, variables: Any, batch: Any, key: learner.Key, ball: Ball, apart: bool
) -> Any:
    """The batch's inputs, moved to where the loss is large; or, if `apart`, where the prediction is
    far from that of the example.
    """
    x = batch["input"]
    near = model.apply(variables, x, train=False)

    def loss(moved: Any) -> Any:
        far = model.apply(variables, moved, train=False)
        if apart:
            return classification.divergence(near, far).sum()
        return classification.cross_entropy(far, batch)["loss"].total

    start = perturbation.uniform(x, key, ball.epsilon, ball.low, ball.high)
    moved = perturbation.descended(
        loss, x, start, ball.epsilon, ball.step, ball.steps, ball.low, ball.high
    )
    return jax.lax.stop_gradient(moved)


def _check(ball: Ball, beta: gradient.Scalar | None) -> None:
    """Refuse what cannot be meant; a traced number cannot be looked at."""
    named = {"Ball.epsilon": ball.epsilon, "Ball.step": ball.step, "beta": beta}
    for name, value in named.items():
        if isinstance(value, float | int) and value < 0:
            raise errors.InputError(f"{name} must be at least 0, got {value}.")
    for name in ("steps", "examined"):
        if getattr(ball, name) < 1:
            raise errors.InputError(f"Ball.{name} must be at least 1, got {getattr(ball, name)}.")
    if not ball.low < ball.high:
        raise errors.InputError(f"Ball.low must be below Ball.high, got {ball.low}, {ball.high}.")
