"""A network learns from seven digits to tell whether two scans of three others show the same one.

Data: 1,797 real 8×8 scans that ship with scikit-learn: seven classes to learn from, three, which
training never sees, for the test: each pair of their scans.
Cost: ?. Scores: ?

    python -m jaxdl.launch digits_verify --loss triplet
"""

import functools
from typing import Literal

import optax

from jaxdl.data import augment, batches, digits
from jaxdl.learners import verification
from jaxdl.models import cnn, embedding
from jaxdl.run import AtMost, Run

UNSEEN = (0, 3, 6)


def experiment(
    loss: Literal["arcface", "triplet"] = "arcface",
    scale: float = 16.0,
    margin: float = 0.3,
    width: int = 32,
    dimensions: int = 32,
    degrees: float = 10.0,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    steps: int = 1000,
) -> Run:
    """Adam with ArcFace's angular margin, or with the hardest triplets of each batch."""
    train, test = digits.by_class(UNSEEN)
    backbone = cnn.CNN(features=(width, 2 * width), classes=dimensions, hidden=0)
    losses = {
        "arcface": verification.by_class(scale, margin),
        "triplet": verification.by_triplets(margin),
    }
    changed = augment.inputs(
        functools.partial(augment.shift, pixels=1),
        functools.partial(augment.rotate, degrees=degrees),
    )
    return Run(
        learner=verification.verified(
            embedding.Embedding(backbone, 7), losses[loss], optax.adam(learning_rate), average=0.99
        ),
        train=batches.shuffled(train, batch_size, augment=changed),
        tests={"test": batches.once(test, 1000)},
        steps=steps,
        expect=AtMost("test/pairs/eer", 0.1),
    )
