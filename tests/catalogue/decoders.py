"""Language models of other architectures than GPT's, and their experiments."""

import functools
from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl import learner
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mamba, mixtral


def _tokens() -> Any:
    corpus = np.random.default_rng(0).integers(0, 11, 24 * 6 + 1).astype(np.uint8)
    return batches.windows(corpus, 6, 8)


def _mixture() -> learner.Learner:
    model = mixtral.Mixtral(11, 6, 8, depth=1, heads=2, groups=1, hidden=8, experts=3)
    loss = functools.partial(mixtral.loss, chosen=2, weight=0.1)
    return gradient.supervised(model, loss, optax.sgd(1e-2, momentum=0.9))


def _state_space() -> learner.Learner:
    model = mamba.Mamba(11, width=8, depth=1, states=3)
    return gradient.supervised(model, classification.in_bits, optax.sgd(1e-2, momentum=0.9))


LEARNERS: dict[str, catalogue.Case] = {
    "mamba": catalogue.Case(_state_space, _tokens),
    "mixtral": catalogue.Case(_mixture, _tokens),
}

_SMALL = {"width": 8, "depth": 1, "length": 16, "batch_size": 4, "test_bytes": 500}
SMALL = {
    "stdlib_llama": _SMALL | {"heads": 2},
    "stdlib_mamba": _SMALL,
    "stdlib_mixtral": _SMALL | {"heads": 2},
}
