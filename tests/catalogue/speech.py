"""Learners of speech, and their experiments."""

from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import ctc
from jaxdl.models import acoustic


def _frames() -> Any:
    random = np.random.default_rng(0)
    frames = random.normal(size=(24, 12, 4)).astype(np.float32)
    lengths = random.integers(9, 13, 24).astype(np.int32)
    target = np.stack([1 + np.arange(24) % 2, np.arange(24) % 3], axis=1).astype(np.int32)
    return batches.shuffled({"input": ctc.Utterances(frames, lengths), "target": target}, 8)


LEARNERS = {
    "ctc": catalogue.Case(
        lambda: gradient.supervised(
            acoustic.Conformer(3, width=8, depth=1, heads=2, kernel=3, halvings=1),
            ctc.loss,
            optax.sgd(0.01),
        ),
        _frames,
        exact=False,
    ),
}

SMALL = {"phones_ctc": {"width": 8, "batch_size": 4, "utterances": 8}}
