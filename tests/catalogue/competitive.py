"""Self-organising maps and their experiments."""

import numpy as np

import catalogue
from jaxdl.data import batches
from jaxdl.learners import competitive


def _points() -> batches.Shuffled:
    return batches.shuffled({"input": np.random.default_rng(0).random((24, 3), np.float32)}, 8)


LEARNERS = {
    "som batch": catalogue.Case(
        lambda: competitive.batch_map(competitive.Grid(3, 2), competitive.shrinking(2.0, 0.5, 4)),
        _points,
    ),
    "som online": catalogue.Case(
        lambda: competitive.online_map(
            competitive.Grid(3, 2, "hexagonal"),
            competitive.shrinking(2.0, 0.5, 32),
            competitive.shrinking(0.5, 0.1, 32),
        ),
        _points,
    ),
}

SMALL = {
    "digits_som": {"side": 3, "batch_size": 4},
    "iris_som": {"side": 3},
    "square_som": {"side": 3, "points": 50},
}
