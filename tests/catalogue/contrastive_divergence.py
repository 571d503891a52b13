"""Boltzmann machines, and their experiments."""

import numpy as np
import optax

import catalogue
from jaxdl.data import batches, ratings
from jaxdl.learners import contrastive_divergence, deep_belief
from jaxdl.losses import classification
from jaxdl.models import dbn, rbm


def _bits() -> batches.Shuffled:
    random = np.random.default_rng(0)
    inputs = random.integers(0, 2, (24, 3, 2)).astype(np.float32)
    return batches.shuffled({"input": inputs, "target": np.arange(24, dtype=np.int32) % 3}, 8)


def _stars() -> batches.Shuffled:
    return batches.shuffled(ratings.make(24, 4, seen=0.8).shown, 8)


LEARNERS = {
    "rbm": catalogue.Case(
        lambda: contrastive_divergence.machine(rbm.RBM(6, 4), optax.sgd(0.1)), _bits, random=True
    ),
    "rbm persistent gaussian": catalogue.Case(
        lambda: contrastive_divergence.machine(
            rbm.RBM(6, 4, "gaussian"), optax.sgd(0.01, momentum=0.9), sweeps=2, chains=6
        ),
        _bits,
    ),
    "rbm softmax": catalogue.Case(
        lambda: contrastive_divergence.machine(rbm.RBM(20, 4, "softmax", 5), optax.sgd(0.1)), _stars
    ),
    "dbn": catalogue.Case(
        lambda: deep_belief.stacked(
            dbn.DBN(6, (4, 6), 3),
            classification.cross_entropy,
            pretraining=optax.sgd(0.1),
            fine_tuning=optax.sgd(0.1),
            layer_steps=1,  # of the four steps, two are the classifier's
            chains=4,
        ),
        _bits,
    ),
}

SMALL = {
    "bars_rbm": {"hidden": 3, "chains": 4, "sweeps": 1},
    "digits_dbn": {"width": 8, "depth": 1, "layer_steps": 1, "batch_size": 16, "steps": 1},
    "ratings_rbm": {"users": 40, "hidden": 3, "batch_size": 10},
}
