"""Learning from the outputs of a teacher (Hinton, Vinyals and Dean, "Distilling the knowledge in a
neural network", 2015): their relative sizes tell what its labels do not.

Metrics of a step: loss and accuracy of whoever learns, first the teacher, then the student.
Metrics of an evaluation: the student's, and the teacher's as teacher_loss and the like.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdl import errors, learner, metrics
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.nn import limits


class State(NamedTuple):
    """What teacher and student carry from step to step."""

    teacher: Any
    student: Any
    steps: jax.Array


def distilled(
    teacher: learner.Learner, student: learner.Learner, teacher_steps: int, known: Any = None
) -> learner.Learner:
    """The teacher learns for so many steps and stays as it is; then the student learns from it.

    teacher: a learner with `predict`. student: a learner whose batches have the teacher's outputs
    as batch["teacher"], such as `gradient.supervised` of `soft_targets`.
    known: the state of a teacher that has learned already, in place of the first one.
    """
    if teacher.predict is None or student.predict is None:
        raise errors.InputError("A teacher and a student must have `predict`, got none.")
    if teacher_steps < 0:
        raise errors.InputError(f"teacher_steps must be at least 0, got {teacher_steps}.")
    teach: Callable[..., Any] = teacher.predict
    answer: Callable[..., Any] = student.predict

    def init(key: learner.Key, batch: learner.Batch) -> State:
        teacher_key, student_key = jax.random.split(key)
        taught = teacher.init(teacher_key, batch) if known is None else known
        return State(taught, student.init(student_key, batch), jnp.int32(0))

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        def first() -> tuple[State, learner.Metrics]:
            after, measured = teacher.step(state.teacher, batch, key)
            return state._replace(teacher=after), _shared(measured)

        def then() -> tuple[State, learner.Metrics]:
            told = batch | {"teacher": teach(state.teacher, batch)}
            after, measured = student.step(state.student, told, key)
            return state._replace(student=after), _shared(measured)

        after, measured = jax.lax.cond(state.steps < teacher_steps, first, then)
        return after._replace(steps=state.steps + 1), measured

    def evaluate(state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        told = batch | {"teacher": teach(state.teacher, batch)}
        of_teacher = teacher.evaluate(state.teacher, batch, key)
        named = {f"teacher_{name}": metric for name, metric in of_teacher.items()}
        return named | student.evaluate(state.student, told, key)

    def predict(state: State, batch: learner.Batch) -> Any:
        return answer(state.student, batch)

    return learner.Learner(init, step, evaluate, predict)


def soft_targets(
    temperature: gradient.Scalar = 4.0,
    hard: gradient.Scalar = 0.1,
    counted: Callable[[Any], Any] = lambda batch: 1.0,
) -> gradient.Loss:
    """The loss of a student: (1 - hard) T² KL(teacher ‖ student) + hard · cross-entropy, in nats.

    Both predictions are softened: softmax(logits / T). T² keeps the gradient's size as T changes.
    counted: batch -> weights (b,), of examples that count for the loss; accuracy is of all.
    """
    limits.positive("temperature", temperature)
    limits.share("hard", hard)

    def loss(logits: Any, batch: Any) -> learner.Metrics:
        measured = classification.cross_entropy(logits, batch)
        taught = jax.lax.stop_gradient(batch["teacher"])
        apart = classification.divergence(taught / temperature, logits / temperature)
        by_label = optax.softmax_cross_entropy_with_integer_labels(logits, batch["target"])
        each = (1 - hard) * temperature**2 * apart + hard * by_label
        weights = jnp.broadcast_to(counted(batch), each.shape)
        return measured | {"loss": metrics.Mean.of(each, weights)}

    return loss


def _shared(measured: learner.Metrics) -> learner.Metrics:
    """What teacher and student both measure: a step's metrics are the same in both phases."""
    return {name: measured[name] for name in ("loss", "accuracy")}
