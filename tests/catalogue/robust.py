"""Learners that look beyond an example: at its neighbours, or at a teacher's answer."""

from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl import learner
from jaxdl.data import batches
from jaxdl.learners import adversarial_training, distillation, gradient
from jaxdl.losses import classification
from jaxdl.models import mlp


def _examples() -> Any:
    random = np.random.default_rng(0)
    values = random.random((24, 6), np.float32)
    return batches.shuffled({"input": values, "target": np.arange(24, dtype=np.int32) % 3}, 8)


def _model(width: int) -> mlp.MLP:
    return mlp.MLP(features=(width,), classes=3)


def _robust(beta: float | None) -> learner.Learner:
    ball = adversarial_training.Ball(0.1, 0.05, steps=2, examined=3)
    return adversarial_training.robust(_model(8), optax.sgd(0.1), ball, beta=beta)


def _distilled() -> learner.Learner:
    return distillation.distilled(
        gradient.supervised(_model(8), classification.cross_entropy, optax.sgd(0.1)),
        gradient.supervised(_model(4), distillation.soft_targets(), optax.sgd(0.1)),
        teacher_steps=2,
    )


LEARNERS: dict[str, catalogue.Case] = {
    "adversarial training": catalogue.Case(lambda: _robust(None), _examples, random=True),
    "TRADES": catalogue.Case(lambda: _robust(6.0), _examples, random=True),
    "distillation": catalogue.Case(_distilled, _examples),
}

SMALL = {
    "digits_attacks": {"width": 8, "attack_steps": 2},
    "digits_distill": {"width": 4, "teacher_width": 8},
    "digits_robust": {"width": 8, "attack_steps": 2},
}
