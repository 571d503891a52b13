"""Learners of two players, and their experiments."""

from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl import learner
from jaxdl.data import batches
from jaxdl.learners import adversarial, cycle_consistency
from jaxdl.losses import adversarial as losses
from jaxdl.models import dcgan, mlp, pixelwise

_SGD = optax.sgd(1e-2)


def _points() -> Any:
    values = np.random.default_rng(0).random((24, 2), np.float32)
    return batches.shuffled({"input": values}, 8)


def _images() -> Any:
    values = np.random.default_rng(0).random((24, 4, 4, 1), np.float32)
    return batches.shuffled({"input": values, "target": np.arange(24, dtype=np.int32) % 3}, 8)


def _domains() -> Any:
    first, second = np.random.default_rng(0).random((2, 24, 4, 4, 1), np.float32)
    return batches.shuffled({"first": first, "second": second}, 8)


def _wasserstein() -> learner.Learner:
    return adversarial.generative(
        mlp.MLP(features=(8,), outputs=2),
        mlp.MLP(features=(8,), outputs=1),
        losses.wasserstein(),
        (_SGD, _SGD),
        latent=2,
        critic_steps=2,
        average=0.9,
    )


def _dcgan() -> learner.Learner:
    return adversarial.generative(
        dcgan.Generator(features=(4,), classes=3),
        dcgan.Critic(features=(2, 4), classes=3),
        losses.hinge(),
        (_SGD, _SGD),
        latent=2,
        condition="target",
    )


def _cycle() -> learner.Learner:
    translator, critic = pixelwise.Pixelwise(features=(4,)), mlp.MLP(features=(4,), outputs=1)
    return cycle_consistency.translation(
        (translator, translator), (critic, critic), losses.least_squares(), (_SGD, _SGD)
    )


LEARNERS: dict[str, catalogue.Case] = {
    "wasserstein gan": catalogue.Case(_wasserstein, _points, random=True, tolerance=1e-4),
    "conditional dcgan": catalogue.Case(_dcgan, _images, exact=False, random=True, tolerance=1e-4),
    "cyclegan": catalogue.Case(_cycle, _domains),
}

SMALL = {
    "digits_cyclegan": {"width": 4, "critic_width": 4, "batch_size": 8},
    "digits_dcgan": {"width": 2, "batch_size": 8},
    "gaussians_gan": {"width": 4, "critic_steps": 2, "batch_size": 8},
}
