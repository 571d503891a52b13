"""Spiking networks, quantum circuits, graphs and factors: their learners and experiments."""

from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.models import spiking


def _events() -> Any:
    values = np.random.default_rng(0).random((24, 6, 5), np.float32) < 0.4
    target = np.arange(24, dtype=np.int32) % 3
    return batches.shuffled({"input": values.astype(np.float32), "target": target}, 8)


LEARNERS: dict[str, catalogue.Case] = {
    "spiking": catalogue.Case(
        lambda: gradient.supervised(
            spiking.adaptive(classes=3, features=(8,)),
            spiking.cross_entropy,
            optax.sgd(0.1, momentum=0.9),
        ),
        _events,
    ),
}

SMALL = {
    "circle_quantum": {"qubits": 1, "layers": 1, "points": 64, "batch_size": 8},
    "digits_spiking": {"width": 8, "moments": 4, "batch_size": 8},
    "ising_vqe": {"sites": 2, "depth": 1},
    "molecules_gin": {"width": 8, "depth": 1, "first": 60, "batch_size": 8},
    "ratings_factorisation": {"users": 20, "items": 20, "batch_size": 8},
    "moving_spiking": {"width": 8, "examples": 16, "batch_size": 8},
}
