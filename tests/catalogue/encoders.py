"""Encoders, and encoders with decoders, and their experiments."""

from typing import Any

import numpy as np
import optax

import catalogue
from jaxdl import learner
from jaxdl.data import batches
from jaxdl.learners import gradient, writing
from jaxdl.losses import classification
from jaxdl.models import t5


def _sentences() -> Any:
    random = np.random.default_rng(0)
    target = random.integers(1, 7, (24, 4)).astype(np.int32)
    begun = np.pad(target[:, :-1], ((0, 0), (1, 0)))
    given = {"source": target[:, ::-1].copy(), "target": begun}
    return batches.shuffled({"input": given, "target": target}, 8)


def _writer() -> learner.Learner:
    model = t5.T5(vocabulary=7, width=8, hidden=8, depth=1, heads=2, head_width=4, length=4)

    def write(variables: Any, inputs: Any) -> Any:
        return t5.write(model, variables, inputs["source"], 4).tokens[:, 0]

    taught = gradient.supervised(model, classification.cross_entropy, optax.sgd(0.1))
    return writing.examined(taught, write, {})


LEARNERS = {"written sentences": catalogue.Case(_writer, _sentences, tolerance=1e-4)}

_TINY = {"width": 8, "depth": 1, "heads": 2, "batch_size": 16}
SMALL = {
    "digits_vit": _TINY,
    "docs_sentiment": _TINY,
    "numbers_transformer": _TINY | {"sentences": 64, "test_sentences": 16},
    "palindrome_bert": _TINY | {"length": 8},
    "stdlib_bert": _TINY | {"length": 16, "test_bytes": 2000},
}
